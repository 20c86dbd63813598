# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Many branches under one definition of a hub: listings, policies, what ends with whom, another manager going on."""

from __future__ import annotations

import pytest
from engine.errors import InputError
from engine.manager.renames import renames
from engine.manager.states import reached
from engine.manager.store import Remove
from hub_world import HUB, KIND, NAME, Hub, branch

from tests.issued import authority

HELD = {"10.9.0.0/16": "block"}


@pytest.fixture
def hub(tmp_path):
    made = Hub(tmp_path)
    yield made
    made.close()


def actions(hub: Hub, direction: str = "out") -> dict[str, str]:
    return {network: action for network, (action, _reqid) in hub.policies(direction).items()}


def how(hub: Hub, name: str = NAME):
    return hub.left.tunnels.condition(name)


def test_nothing_leaves_in_clear_before_anybody_has_come(hub):
    for direction in ("in", "fwd", "out"):
        assert actions(hub, direction) == HELD
    told = how(hub)
    assert (told.state, told.reason) == ("dormant", "waiting_for_peers")
    assert hub.listed(names=[NAME])[NAME]["instances"] == {"count": 0, "max": 256}


def test_each_branch_is_listed_by_its_identity_with_policies_of_its_own(hub):
    hub.come(1)
    hub.come(2)
    listed = hub.listed(verbose=True)
    names = [f"{NAME}#{branch(1)}", f"{NAME}#{branch(2)}"]
    assert sorted(listed) == [NAME, *names]
    for number, name in enumerate(names, 1):
        entry = listed[name]
        assert (entry["state"], entry["role"], entry["instance_of"]) == ("active", "responder", NAME)
        address = f"10.0.1.{number}"
        known = {"addresses": [address], "in_use": address, "resolved": {}}
        assert entry["remote"] == {"address": address, "id": branch(number)} | known
        assert entry["number"] == entry["manager_number"] > 0 and entry["database_number"] == 0
        (child,) = entry["children"]
        assert child["state"] == "active" and child["sas"][0]["remote"] == [f"10.9.{number}.0/24"]
        assert entry["established_seconds"] is not None and entry["instances"] is None
    assert listed[NAME]["instances"] == {"count": 2, "max": 256} and listed[NAME]["state"] == "active"
    assert listed[NAME]["instance_of"] is None
    assert actions(hub) == HELD | {"10.9.1.0/24": "allow", "10.9.2.0/24": "allow"}
    reqids = {reqid for _action, reqid in hub.policies().values()}
    assert len(reqids) == 3
    registry = hub.left.host.registry
    assert {registry.names(reqid).tunnel for reqid in reqids} == {NAME, *names}
    assert registry.identities()[names[0]].remote == branch(1)
    # By the name of the definition all of them, by that of one that one; the database has no instance.
    assert set(hub.listed(names=[NAME])) == {NAME, *names}
    assert set(hub.listed(names=[names[1]])) == {names[1]}
    assert set(hub.listed(source="database")) == {NAME}


def test_what_a_branch_had_is_gone_with_it_and_held_by_the_definition(hub):
    hub.come(1)
    hub.come(2)
    gone = f"{NAME}#{branch(1)}"
    hub.leave(1)
    assert actions(hub) == actions(hub, "in") == HELD | {"10.9.2.0/24": "allow"}
    assert set(hub.listed()) == {NAME, f"{NAME}#{branch(2)}"}
    left = hub.left
    assert gone not in left.host.registry.identities() and left.tunnels.numbers.of(gone) == 0
    assert {names.tunnel for names in left.host.registry.children().values()} == {NAME, f"{NAME}#{branch(2)}"}
    assert len(left.host.gateway.sas) == 2 and left.tunnels.uptimes.of(gone) is None
    hub.come(1)
    assert set(hub.listed()) == {NAME, gone, f"{NAME}#{branch(2)}"}


def test_events_name_the_instance(hub):
    heard = []
    hub.left.subscribers.add(heard.append)
    hub.come(1)
    assert {
        (event["event"], event["tunnel"]) for event in heard if event["event"] in ("ike_established", "child_up")
    } == {
        ("ike_established", f"{NAME}#{branch(1)}"),
        ("child_up", f"{NAME}#{branch(1)}"),
    }
    assert f"tunnel={NAME}#{branch(1)}" in hub.log.getvalue().replace('"', "")


def test_a_branch_that_asks_for_anothers_network_says_so_where_it_is_listed(hub):
    hub.come(1)
    hub.come(2, child={"local": ["10.9.0.0/16"]})
    entry = hub.listed()[f"{NAME}#{branch(2)}"]
    assert (entry["state"], entry["reason"]) == ("degraded", "selectors_taken")
    assert f"{NAME}#{branch(1)}" in entry["story"] and entry["remedy"]
    assert actions(hub) == HELD | {"10.9.1.0/24": "allow"}


@pytest.mark.parametrize("case", ["authority", "identity", "pattern"])
def test_who_is_not_one_of_them_stays_out(hub, case):
    issuer = authority(KIND, 1) if case == "authority" else None
    identity = "b1.office.example.net" if case == "pattern" else branch(1)
    hub.come(1, identity, issuer, claims=branch(7) if case == "identity" else "")
    reason = {
        "authority": "certificate_unknown_authority",
        "identity": "certificate_other_identity",
        "pattern": "no_matching_tunnel",
    }[case]
    assert f"reason={reason}" in hub.log.getvalue()
    assert set(hub.listed(source="manager")) <= {NAME} and actions(hub) == HELD


def test_a_branch_with_a_tunnel_of_its_own_gets_that_one(hub):
    mine = hub.hub(name="b1", remote={"id": branch(1)}, child={"remote": ["10.9.1.0/24"]})
    hub.apply(mine)
    hub.come(1)
    hub.come(2)
    assert set(hub.listed()) == {NAME, "b1", f"{NAME}#{branch(2)}"} and how(hub, "b1").phase1 == "active"


def test_activating_means_no_more_than_to_be_in_operation_and_says_so(hub):
    plan = hub.apply(hub.hub(), state="active")
    assert any("nothing is started here, nor waited for" in warning for warning in plan.warnings)
    assert reached(how(hub), "established", None) and reached(how(hub), "established", 1)
    assert hub.apply(hub.hub(), state="active").changed is False
    hub.run(100)
    assert hub.left.executor.sent == 0


def test_inactive_ends_all_of_them_and_lets_nobody_in(hub):
    hub.come(1)
    hub.come(2)
    plan = hub.apply(hub.hub(), state="inactive")
    assert any("have no policy" in warning for warning in plan.warnings)
    hub.run(1)
    assert actions(hub) == {} and not hub.left.host.gateway.sas and how(hub).state == "inactive"
    assert reached(how(hub), "down", None)
    hub.come(3)
    assert set(hub.listed(source="database")) == {NAME} and not hub.left.host.gateway.sas
    hub.apply(hub.hub(), state="active")
    hub.come(4)
    assert f"{NAME}#{branch(4)}" in hub.listed()


def test_removing_the_definition_removes_all_of_them(hub):
    hub.come(1)
    hub.come(2)
    hub.apply(hub.hub(), state="absent")
    hub.run(1)
    assert hub.policies() == {} and not hub.left.host.gateway.sas
    assert hub.left.host.registry.children() == {} and hub.left.host.registry.identities() == {}
    assert hub.left.tunnels.numbers.tunnels() == set() and hub.listed() == {}


def test_keys_are_not_renewed_by_the_name_of_many(hub):
    hub.come(1)
    with pytest.raises(InputError, match="is a definition for many peers"):
        hub.call("tunnels.rekey", names=[NAME])


def test_another_name_is_another_definition(hub):
    """Who is up is up under the old name, which ends with it."""
    row = hub.left.tunnels.rows[NAME]
    assert renames({NAME: row}, [("others", "present", row.definition)]) == {}


def test_a_narrower_pattern_ends_those_it_is_not_for(hub):
    hub.apply(hub.hub(remote={"id": "*.*.example.net"}))
    hub.run(1)
    hub.come(1)
    hub.come(2, "b2.office.example.net")
    plan = hub.apply(hub.hub())
    assert plan.steps[0].impact == "re-establish"
    hub.run(2)
    assert f"{NAME}#b2.office.example.net" not in hub.listed()
    assert "10.9.2.0/24" not in actions(hub)


def test_what_a_change_does_to_branches_that_are_up(hub):
    hub.come(1)
    plan = hub.apply(hub.hub(child={"lifetime": 1800}))
    assert plan.steps[0].impact == "hot"
    plan = hub.apply(hub.hub(child={"replay_window": 64}))
    assert plan.steps[0].impact == "rekey"
    hub.run(5)
    (child,) = hub.left.endpoint.child_sas(f"{NAME}#{branch(1)}")
    assert child.replay_window == 64
    assert hub.apply(hub.hub(child={"replay_window": 64}, remote={"max_instances": 1})).steps[0].impact == "hot"
    hub.come(2)
    assert f"{NAME}#{branch(2)}" not in hub.listed()
    assert hub.listed()[NAME]["instances"] == {"count": 1, "max": 1}


def test_a_child_without_traffic_is_closed_where_that_is_wanted(hub):
    hub.apply(hub.hub(child={"inactivity": 60}))
    hub.come(1)
    hub.run(120)
    assert "no packet passed through lan: closed" in hub.log.getvalue()
    assert hub.left.counts["child_down"] == 1


def test_a_revoked_certificate_ends_its_instance_alone(hub):
    hub.come(1)
    hub.come(2)
    crl = authority(KIND).revoke(*[view_certificate(hub, 1)])
    hub.apply(hub.hub(auth=hub.auth(HUB, 0, crl=[crl.decode()])))
    hub.run(2)
    assert set(hub.listed()) == {NAME, f"{NAME}#{branch(2)}"}


def view_certificate(hub: Hub, number: int) -> bytes:
    return hub.right.tunnels.rows[f"as-{number}"].definition.document["auth"]["certificate"].encode()


def test_another_manager_goes_on_with_all_of_them(hub):
    for number in (1, 2):
        hub.come(number)
    before = hub.listed(verbose=True), hub.policies(), dict(hub.left.host.gateway.sas)
    established = hub.right.counts["ike_established"]
    hub.restart()
    hub.run(5)
    after = hub.listed(verbose=True), hub.policies(), dict(hub.left.host.gateway.sas)
    assert after[1:] == before[1:]
    for name, entry in before[0].items():
        again = after[0][name]
        for key in ("number", "state", "phase1", "role", "remote", "instance_of", "instances"):
            assert again[key] == entry[key], (name, key)
    assert hub.right.counts["ike_established"] == established and hub.left.executor.sent == 0
    # They are rekeyed, end, and keep others out, as before.
    hub.come(3, child={"local": ["10.9.1.0/25"]})
    assert hub.listed()[f"{NAME}#{branch(3)}"]["reason"] == "selectors_taken"
    hub.leave(2)
    assert f"{NAME}#{branch(2)}" not in hub.listed() and "10.9.2.0/24" not in actions(hub)


def test_a_manager_that_was_killed_before_it_noted_anything_leaves_nothing(hub):
    hub.come(1)
    gone = hub.left.host.gateway
    hub.left.journal.close()
    hub.left.journal._file = -1
    with open(hub.left.journal._path, "r+b") as stream:
        stream.truncate(0)
    hub.restart()
    hub.run(1)
    assert not gone.sas and actions(hub) == HELD
    assert {names.tunnel for names in hub.left.host.registry.children().values()} == {NAME}
    assert hub.left.tunnels.numbers.tunnels() <= {NAME}
    hub.run(200)
    assert set(hub.listed()) >= {NAME, f"{NAME}#{branch(1)}"}  # the branch comes again by itself


def test_a_definition_that_went_while_nobody_was_there_takes_them_along(hub):
    hub.come(1)
    hub.left.store.commit([Remove(NAME)])
    hub.restart()
    hub.run(1)
    assert hub.policies() == {} and not hub.left.host.gateway.sas and hub.left.host.registry.children() == {}


def test_numbers_of_names_with_blanks_outlive_the_manager(hub):
    hub.apply(hub.hub(remote={"id": "any"}))
    hub.come(1, "dn:O=Fleet, CN=Branch Office 1", certified="Branch Office 1")
    name = f"{NAME}#dn:O=fleet, CN=branch office 1"
    number = hub.listed()[name]["number"]
    assert number > 0
    hub.restart()
    assert hub.listed()[name]["number"] == number


def test_the_cost_of_a_hundred_branches_in_policies_is_theirs(hub):
    for number in range(1, 41):
        hub.come(number)
    assert len(hub.policies()) == 41
    replaced = hub.left.policies.replaced
    hub.come(50)
    assert hub.left.policies.replaced - replaced == 3
