# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans: what a wish does, and how hard."""

from __future__ import annotations

from dataclasses import replace

import pytest
from engine.definition.difference import _CHILD, _TUNNEL
from engine.definition.options import CHILD, DEFINITION
from engine.definition.parsing import parse_definition
from engine.definition.schema import Problems
from engine.definition.table import IMPACTS
from engine.errors import InputError
from engine.manager.desired_state import holds_place, wanted_after
from engine.manager.plan import Running, stored_changes
from engine.manager.retry import FIRST_PAUSE, LONGEST_PAUSE, STARTS_AT_ONCE, Retry
from engine.manager.states import needed
from engine.manager.store import Put, Remove
from manager_lab import definition
from planning import DOWN, UP, plan, row


def step(*raw: dict, **more: object):
    (found,) = plan(*raw, **more).steps
    return found


def test_every_option_has_an_impact():
    """A new option without a row in the table of impacts would change things silently."""

    def paths(schema, prefix=""):
        for key, rule in schema["properties"].items():
            inner = rule.get("items", rule)
            if prefix + key != "children" and "properties" in inner:
                yield from paths(inner, f"{prefix}{key}.")
            else:
                yield f"{prefix}{key}"

    assert set(paths(DEFINITION)) - {"name", "children"} == _TUNNEL.keys()
    assert set(CHILD["properties"]) - {"name"} == _CHILD.keys()
    assert set(_TUNNEL.values()) | set(_CHILD.values()) <= set(IMPACTS)


CHANGES = [
    ({"ike": {"lifetime": "1h"}}, "hot", ["ike.lifetime"]),
    ({"auth": {"secret": "x" * 32}}, "hot", ["auth.secret"]),
    ({"ike": {"proposals": "compat"}}, "rekey", ["ike.proposals"]),
    ({"remote": {"address": "203.0.113.77", "id": "b9.example.net"}}, "re-establish", ["remote.address"]),
    ({"encapsulation": "force", "role": "initiator"}, "re-establish", ["role", "encapsulation"]),
]


@pytest.mark.parametrize(("change", "impact", "paths"), CHANGES)
def test_impact_of_a_change(change, impact, paths):
    found = step(definition() | change, have=[row(definition())])
    assert (found.action, found.impact, [one.path for one in found.changes]) == ("changed", impact, paths)
    assert step(definition() | change, have=[row(definition())], running=DOWN).impact == "hot", "nothing runs"


def test_a_change_of_one_child_is_that_childs():
    two = [{"name": name, "local": ["10.1.0.0/16"], "remote": [f"10.{n}.0.0/24"]} for n, name in enumerate("ab")]
    narrower = [two[0], two[1] | {"remote": ["10.1.0.0/25"]}]
    running = Running(True, True, frozenset("ab"))
    found = step(definition() | {"children": narrower}, have=[row(definition() | {"children": two})], running=running)
    assert [(one.path, one.child, one.impact) for one in found.changes] == [("children.b.remote", "b", "rekey")]
    found = step(definition() | {"children": two[:1]}, have=[row(definition() | {"children": two})], running=running)
    assert [(one.path, one.impact) for one in found.changes] == [("children.b", "rekey")]


def test_second_run_is_none_for_every_state():
    for state, wanted, running in (("present", "active", UP), ("active", "active", UP), ("inactive", "inactive", DOWN)):
        outcome = plan(definition(), have=[row(definition(), wanted)], running=running, state=state)
        assert not outcome.changed and stored_changes(outcome.steps) == [], state
    assert not plan(definition(), state="absent").changed


MOVES = [
    ("active", "present", DOWN, None, "started"),
    ("active", "active", DOWN, None, "none"),  # it is tried until it is up, so this changes nothing
    ("active", "inactive", DOWN, None, "started"),
    ("active", "ike", Running(True, True), None, "started"),
    ("active", "active", Running(busy=True), 1, "none"),
    ("enabled", "inactive", DOWN, None, "started"),
    ("enabled", "active", DOWN, None, "none"),
    ("inactive", "active", UP, None, "stopped"),
    ("inactive", "active", DOWN, None, "stopped"),  # no longer wanted, so no longer tried
    ("inactive", "active", UP, 2, "stopped"),
    ("inactive", "ike", Running(busy=True), 2, "none"),
    ("present", "inactive", DOWN, None, "none"),
]


@pytest.mark.parametrize(("state", "wanted", "running", "phase", "action"), MOVES)
def test_movements(state, wanted, running, phase, action):
    params = {"state": state} | ({"phase": phase} if phase else {})
    found = step({"name": "hq-b1"}, have=[row(definition(), wanted)], running=running, **params)
    assert (found.action, found.impact) == (action, "none")


def test_what_is_wanted_but_down_is_tried_at_once_without_a_change():
    found = step(definition(), have=[row(definition(), "active")], running=DOWN, state="active")
    assert (found.action, found.nudges) == ("none", True)
    for state, running in (("present", DOWN), ("active", UP)):
        assert not step(definition(), have=[row(definition(), "active")], running=running, state=state).nudges


TWO = definition() | {
    "children": [
        {"name": name, "local": ["10.1.0.0/16"], "remote": [f"10.{number}.0.0/24"], "start": start}
        for number, (name, start) in enumerate({"lan": "auto", "voice": "manual", "guest": "trap"}.items(), 20)
    ]
}
# wanted and asked before, what is asked of which child, what runs -> action, wanted and asked after
ONLY = [
    ("present", {}, "active", "voice", (), "started", "present", {"voice": True}),
    ("inactive", {}, "active", "voice", (), "started", "present", {"voice": True}),
    ("active", {}, "active", "voice", ("lan",), "started", "active", {"voice": True}),
    ("active", {"voice": True}, "active", "voice", (), "none", "active", {"voice": True}),
    ("active", {}, "active", "lan", ("lan",), "none", "active", {}),
    ("active", {"lan": False}, "active", "lan", (), "started", "active", {}),
    ("ike", {}, "active", "lan", (), "started", "ike", {"lan": True}),
    ("active", {}, "inactive", "lan", ("lan",), "stopped", "active", {"lan": False}),
    ("active", {"lan": False}, "inactive", "lan", (), "none", "active", {"lan": False}),
    ("active", {"voice": True}, "inactive", "voice", ("voice",), "stopped", "active", {}),
    ("present", {}, "inactive", "voice", ("lan",), "none", "present", {}),
    ("present", {}, "inactive", "guest", (), "stopped", "present", {"guest": False}),
    ("inactive", {}, "inactive", "lan", (), "none", "inactive", {}),
]


@pytest.mark.parametrize(("wanted", "asked", "state", "child", "up", "action", "after", "asked_after"), ONLY)
def test_single_children_are_started_and_ended(wanted, asked, state, child, up, action, after, asked_after):
    before = replace(row(TWO, wanted), asked=asked)
    running = Running(bool(up), False, frozenset(up))
    found = step({"name": "hq-b1", "only_children": [child]}, have=[before], running=running, state=state)
    assert (found.action, found.after.wanted, found.after.asked) == (action, after, asked_after)
    assert (found.stored_change is None) == ((wanted, asked) == (after, asked_after))


WHOLE = [
    ("active", {"lan": False, "voice": True}, "active", None, {"voice": True, "guest": True}),
    ("inactive", {}, "active", 2, {"voice": True, "guest": True}),
    ("active", {"lan": False, "voice": True, "guest": False}, "enabled", None, {"voice": True}),
    ("inactive", {}, "enabled", None, {}),
    ("active", {"voice": True, "guest": True}, "active", 1, {"voice": True, "guest": True}),
    ("active", {"lan": False, "guest": False}, "active", 1, {"guest": False}),  # by then the IKE SA alone is wanted
    ("present", {"voice": True}, "active", 1, {"voice": True}),
    ("active", {"lan": False, "voice": True}, "inactive", 2, {"guest": False}),
    ("present", {}, "inactive", 2, {"guest": False}),
    ("active", {"voice": True}, "inactive", None, {}),
    ("active", {"lan": False}, "present", None, {"lan": False}),
]


@pytest.mark.parametrize(("wanted", "asked", "state", "phase", "after"), WHOLE)
def test_what_is_wanted_of_single_children_after_something_is_wanted_of_all(wanted, asked, state, phase, after):
    params = {"state": state} | ({"phase": phase} if phase else {})
    found = step({"name": "hq-b1"}, have=[replace(row(TWO, wanted), asked=asked)], **params)
    assert found.after.asked == after


def test_a_tunnel_that_was_activated_stays_so_until_somebody_removes_it():
    """Whatever its children's start says; and a role that enables what it defines does not take that back."""
    row_now = row(TWO, "present")
    for state, action in (("active", "started"), ("active", "none"), ("enabled", "none"), ("present", "none")):
        found = step(TWO, have=[row_now], running=DOWN, state=state)
        assert found.action == action
        row_now = replace(row_now, wanted=found.after.wanted, asked=found.after.asked)
        assert needed(row_now) == ["lan", "voice", "guest"]
    more = TWO | {"children": [*TWO["children"], TWO["children"][1] | {"name": "new", "remote": ["10.9.9.0/24"]}]}
    assert step(more, have=[row_now], state="enabled").after.asked == row_now.asked, "a new child is left to its start"
    assert step(more, have=[row_now], state="active").after.asked == row_now.asked | {"new": True}
    found = step({"name": "hq-b1"}, have=[row_now], state="inactive")
    row_now = replace(row_now, wanted=found.after.wanted, asked=found.after.asked)
    assert (found.action, needed(row_now)) == ("stopped", [])
    found = step(TWO, have=[row_now], state="enabled")
    assert (found.action, found.after.wanted, found.after.asked) == ("started", "active", {})


@pytest.mark.parametrize(("wanted", "held"), [("active", True), ("present", True), ("inactive", False)])
def test_phase_1_leaves_traps_where_they_are(wanted, held):
    """Their networks would be in clear without them."""
    two = TWO | {"children": TWO["children"][1:]}
    found = step({"name": "hq-b1"}, have=[row(two, wanted)], state="active", phase=1)
    assert (found.action, found.after.wanted, found.after.asked) == ("started", "ike", {})
    guest = two["children"][1]
    assert holds_place(wanted, {}, guest) is held and holds_place("ike", found.after.asked, guest)


def test_children_are_removed_from_a_definition_and_be_it_the_last():
    have = [replace(row(TWO, "active"), asked={"voice": True})]
    found = step({"name": "hq-b1", "only_children": ["voice", "unknown"]}, have=have, state="absent", running=UP)
    assert [one.path for one in found.changes] == ["children.voice"] and found.after.asked == {}
    assert [child["name"] for child in found.after.definition.document["children"]] == ["lan", "guest"]
    found = step({"name": "hq-b1"}, have=have, state="absent", phase=2)
    assert (found.action, found.after.definition.document["children"]) == ("changed", [])
    assert len(found.after.definition.selectors) == 0 and found.after.wanted == "active"
    rest = [row(TWO, "active")]
    assert step({"name": "hq-b1", "only_children": ["unknown"]}, have=rest, state="absent").action == "none"
    assert step({"name": "hq-b9"}, have=rest, state="absent", phase=2).action == "none"
    with pytest.raises(Problems, match="belongs to owner 'fleet', not to 'other'"):
        plan({"name": "hq-b1"}, have=[row(TWO, owner="fleet")], state="absent", phase=2, owner="other")


@pytest.mark.parametrize(
    ("only", "params", "message"),
    [
        (["lam"], {"state": "active"}, r"definitions\[hq-b1\].only_children: is no child .* did you mean lan"),
        ([], {"state": "active"}, "name the children"),
        ("lan", {"state": "active"}, "is not a list of names"),
        ([7], {"state": "inactive"}, "is not a list of names"),
        (["lan"], {}, "no meaning with state present"),
        (["lan"], {"state": "enabled"}, "no meaning with state enabled"),
        (["lan"], {"state": "active", "phase": 1}, "cannot stand beside phase 1"),
    ],
)
def test_bad_choices_of_children(only, params, message):
    with pytest.raises(Problems, match=message):
        plan({"name": "hq-b1", "only_children": only}, have=[row(TWO)], **params)


def test_what_is_left_alone_shows_no_definitions():
    found = step(definition(), have=[row(definition())]).shown(1)
    assert (found["action"], found["before"], found["after"]) == ("none", {}, {})


def test_a_responder_does_not_start_what_is_wanted_already():
    raw = definition() | {"role": "responder"}
    assert step(raw, have=[row(raw, "active")], running=DOWN, state="active").action == "none"


WANTED = [
    (None, "present", None, "present"),
    ("active", "present", None, "active"),
    ("inactive", "present", None, "inactive"),
    ("present", "active", None, "active"),
    ("present", "active", 1, "ike"),
    ("active", "active", 1, "active"),
    ("ike", "active", 2, "active"),
    ("inactive", "enabled", None, "active"),
    ("ike", "enabled", None, "active"),
    ("active", "inactive", None, "inactive"),
    ("active", "inactive", 1, "inactive"),
    ("active", "inactive", 2, "ike"),
    ("present", "inactive", 2, "present"),
]


@pytest.mark.parametrize(("before", "state", "phase", "after"), WANTED)
def test_the_lasting_wish(before, state, phase, after):
    assert wanted_after(before, state, phase) == after


def test_purge_keeps_to_its_owner():
    have = [row(definition("a", 1), owner="fleet"), row(definition("b", 2), owner="fleet"), row(definition("c", 3))]
    outcome = plan(definition("a", 1), have=have, owner="fleet", purge=True)
    assert [(one.name, one.action) for one in outcome.steps] == [("a", "none"), ("b", "removed")]
    assert stored_changes(outcome.steps) == [Remove("b")]


def test_another_owners_tunnel_is_not_redefined():
    with pytest.raises(Problems, match="belongs to owner 'fleet'"):
        plan(definition(), have=[row(definition(), owner="fleet")])
    assert step({"name": "hq-b1"}, have=[row(definition(), owner="fleet")], state="inactive").action == "stopped"


@pytest.mark.parametrize("raw", [{"name": "hq-b1"}, definition()])
def test_another_owners_tunnel_is_not_removed(raw):
    have = [row(definition(), owner="fleet")]
    with pytest.raises(Problems, match="belongs to owner 'fleet', not to 'other'"):
        plan(raw, have=have, state="absent", owner="other")
    assert step(raw, have=have, state="absent", owner="fleet").action == "removed"
    assert step(raw, have=have, state="absent").action == "removed", "the operator at the gateway names no owner"


def test_a_bare_name_must_be_defined():
    with pytest.raises(Problems, match="did you mean hq-b1"):
        plan({"name": "hq-b2"}, have=[row(definition())], state="active")
    assert step({"name": "hq-b2"}, have=[row(definition())], state="absent").action == "none"


@pytest.mark.parametrize("state", ["present", "enabled", "absent"])
def test_a_phase_needs_something_to_limit(state):
    with pytest.raises(Problems, match="no meaning with state"):
        plan(definition(), state=state, phase=1)


@pytest.mark.parametrize(("running", "when"), [(UP, "when their lifetimes are over"), (DOWN, "from now on")])
def test_the_warning_of_an_ended_ike_sa_tells_when_its_networks_lose_their_policies(running, when):
    name = definition()["name"]
    (warning,) = plan({"name": name}, have=[row(definition())], running=running, state="inactive", phase=1).warnings
    assert warning.startswith(f"the networks of {name} have no policy {when}: ")


def purged(left: int, of: int, **params: object) -> list[str]:
    have = [row(definition(f"t{n}", n), owner="fleet", number=n) for n in range(1, of + 1)]
    wanted = [definition(f"t{n}", n) for n in range(1, left + 1)]
    outcome = plan(*wanted, have=have, owner="fleet", purge=True, **params)
    return [step.name for step in outcome.steps if step.action == "removed"]


@pytest.mark.parametrize(
    ("left", "of", "limit"), [(2, 3, 33), (200, 300, 33), (0, 1, 100), (5, 10, 50), (3, 3, 0), (99, 100, 1)]
)
def test_a_purge_within_its_limit(left: int, of: int, limit: int):
    assert len(purged(left, of, purge_limit=limit)) == of - left


@pytest.mark.parametrize(("left", "of", "limit"), [(0, 1, 99), (1, 2, 33), (66, 100, 33), (99, 100, 0), (0, 50, 33)])
def test_a_purge_of_more_is_refused_with_both_numbers(left: int, of: int, limit: int):
    with pytest.raises(InputError, match=f"{of - left} of the {of} tunnels of owner fleet.*purge_limit: 100"):
        purged(left, of, purge_limit=limit)


def test_a_tunnel_to_the_same_peer_takes_the_place_of_the_purged_one():
    have = [row(definition(f"old-{n}", n), owner="fleet", number=n) for n in (1, 2, 3)]
    outcome = plan(*(definition(f"new-{n}", n) for n in (1, 2, 3)), have=have, owner="fleet", purge=True, purge_limit=0)
    assert sorted(step.action for step in outcome.steps) == ["created"] * 3 + ["removed"] * 3
    with pytest.raises(InputError, match="1 of the 3 tunnels"):
        plan(*(definition(f"new-{n}", n) for n in (1, 2)), have=have, owner="fleet", purge=True, purge_limit=0)


def test_tunnels_of_others_do_not_count():
    have = [row(definition(f"t{n}", n), owner="other", number=n) for n in (1, 2, 3)]
    have.append(row(definition("t4", 4), owner="fleet", number=4))
    with pytest.raises(InputError, match="1 of the 1 tunnels of owner fleet"):
        plan(have=have, owner="fleet", purge=True, purge_limit=33)


def test_what_is_purged_leaves_its_selectors():
    have = [row(definition("old", 1))]
    again = definition("new", 1) | {"remote": {"address": "203.0.113.50", "id": "other"}}
    with pytest.raises(Problems, match="overlaps"):
        plan(again, have=have)
    outcome = plan(again, have=have, purge=True)
    assert [(one.name, one.action) for one in outcome.steps] == [("new", "created"), ("old", "removed")]
    assert isinstance(stored_changes(outcome.steps)[0], Remove), "removed first"


def test_before_and_after_show_no_secret():
    found = step(definition() | {"auth": {"secret": "n" * 32}}, have=[row(definition())]).shown(1)
    assert found["before"]["auth"]["secret"] == "hidden" and found["after"]["auth"]["secret"] == "hidden (changed)"
    created = step(definition("x", 5), have=[]).shown(0)
    assert created["before"] == {} and created["after"]["name"] == "x"
    assert step({"name": "hq-b1"}, have=[row(definition())], state="absent").shown(1)["after"] == {}


def test_stored_change_of_a_wish_alone():
    (change,) = stored_changes([step({"name": "hq-b1"}, have=[row(definition(), "present")], state="active")])
    assert isinstance(change, Put) and change.wanted == "active"


# Retry


def test_pauses_double_up_to_a_limit_and_start_anew_after_success():
    retry = Retry(lambda: 0.5)
    now, pauses = 0.0, []
    retry.want("a", now)
    for _unused in range(9):
        assert list(retry.due(now)) == ["a"] and list(retry.due(now + 100)) == []
        retry.failed("a", now)
        retry.failed("a", now)  # a second report of the same failure counts once
        pauses.append(retry.due_at("a") - now)
        now = retry.next_deadline()
    assert pauses == [1, 2, 4, 8, 16, 32, LONGEST_PAUSE, LONGEST_PAUSE, LONGEST_PAUSE]
    retry.succeeded("a")
    retry.failed("a", now)
    assert retry.due_at("a") == now + FIRST_PAUSE


def test_pauses_are_spread():
    retry = Retry(iter([0.0, 0.999]).__next__)
    for name in "ab":
        retry.want(name, 0)
    assert list(retry.due(0)) == ["a", "b"]
    for name in "ab":
        retry.failed(name, 0)
    assert retry.due_at("a") == 0.75 and 1.24 < retry.due_at("b") < 1.25


def test_starts_are_paced():
    retry = Retry(lambda: 0.5)
    for number in range(100):
        retry.want(str(number), 0.0)
    now, started = 0.0, []
    while (when := retry.next_deadline()) is not None:
        now = max(now, when)
        batch = list(retry.due(now))
        assert 0 < len(batch) <= STARTS_AT_ONCE
        started += batch
    assert sorted(started, key=int) == [str(number) for number in range(100)] and now > 0


def test_what_is_forgotten_or_started_is_not_due():
    retry = Retry(lambda: 0.5)
    for name in "abc":
        retry.want(name, 0)
    retry.forget("a")
    retry.started("b")
    assert list(retry.due(10)) == ["c"] and retry.next_deadline() is None and "a" not in retry
    retry.failed("a", 0)
    assert retry.next_deadline() is None


def test_a_definition_without_a_secret_keeps_the_stored_one_where_that_is_wanted():
    bare = definition() | {"auth": {"method": "psk"}, "ike": {"lifetime": "1h"}}
    found = step(bare, have=[row(definition())], keep_secrets=True)
    assert [change.path for change in found.changes] == ["ike.lifetime"]
    assert found.after.definition.credential.secret == parse_definition(definition()).credential.secret
    with pytest.raises(Problems, match="secret"):
        step(bare, have=[row(definition())])
    with pytest.raises(Problems, match="secret"):
        step(bare | {"name": "unknown"}, have=[row(definition())], keep_secrets=True)
    given = step(definition() | {"auth": {"secret": "x" * 32}}, have=[row(definition())], keep_secrets=True)
    assert [change.path for change in given.changes] == ["auth.secret"]
