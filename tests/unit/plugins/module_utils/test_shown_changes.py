# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a task shows of what became of tunnels."""

from __future__ import annotations

import time

import pytest
from ansible_collections.fleet.ipsec.plugins.module_utils.engine.definition.parsing import parse_definition
from ansible_collections.fleet.ipsec.plugins.module_utils.tunnels import shown_changes
from ansible_collections.fleet.ipsec.plugins.module_utils.unprotected import no_longer_protected


def test_a_diff_tells_what_is_put_back_from_what_is_missing() -> None:
    back = dict.fromkeys(("state", "reason", "story", "remedy"), "") | {
        "name": "hq", "number": 1, "action": "repaired", "impact": "none", "changes": [], "before": {}, "after": {},
        "repaired": ["the route to 10.9.0.0/24 (3 times)"], "missing": [],
    }  # fmt: skip
    (diff,) = shown_changes([back])["diff"]
    assert diff["before"] == "removed by others, put back since: [the route to 10.9.0.0/24 (3 times)]\n"
    assert not diff["after"] and "tunnel hq" in diff["before_header"]
    missing = back | {"repaired": [], "missing": ["the route to 10.9.0.0/24"]}
    (diff,) = shown_changes([missing])["diff"]
    assert diff["before"] == "missing: [the route to 10.9.0.0/24]\n" and not diff["after"]
    (diff,) = shown_changes([missing | {"reason": "kernel_disturbed"}])["diff"]
    assert diff["before"] == diff["after"], "it could not be put back"


def document(name: str = "hq", **changes: object) -> dict:
    """A definition as a manager shows it."""
    raw = {
        "name": name,
        "local": {"address": "203.0.113.1", "id": "hq.example.net"},
        "remote": {"address": "203.0.113.9", "id": "branch.example.net"},
        "auth": {"secret": "correct horse battery staple"},
        "children": [{"name": "lan", "local": ["10.1.0.0/16"], "remote": ["10.9.0.0/24"]}],
        **changes,
    }
    return {**parse_definition(raw).public(), "owner": "fleet", "wanted": "active"}


def step(action: str, before: dict, after: dict, impact: str = "none", **more: object) -> dict:
    texts = dict.fromkeys(("state", "reason", "story", "remedy"), "")
    lists: dict = {"changes": [], "repaired": [], "missing": []}
    name = (after or before)["name"]
    given = {"name": name, "number": 1, "action": action, "impact": impact, "before": before, "after": after}
    return {**texts, **lists, **given, **more}


def test_a_new_tunnel_is_shown_by_what_is_not_the_default() -> None:
    (diff,) = shown_changes([step("created", {}, document())])["diff"]
    assert diff["before"] == ""
    assert diff["after_header"] == (
        "tunnel hq, created: from now on packets between its networks are held until it is up"
    )
    assert diff["after"].splitlines() == [
        "owner: fleet",
        "wanted: active",
        "local.address: 203.0.113.1",
        "local.id: hq.example.net",
        "remote.address: 203.0.113.9",
        "remote.id: branch.example.net",
        "children.lan.local: [10.1.0.0/16]",
        "children.lan.remote: [10.9.0.0/24]",
        "auth.secret: hidden",
    ]


def test_a_change_is_shown_by_the_options_that_differ_and_by_what_it_does_to_packets() -> None:
    other = document(children=[{"name": "lan", "local": ["10.1.0.0/16"], "remote": ["10.9.0.0/24", "10.7.0.0/16"]}])
    changed = step("changed", document(), other, "rekey", changes=["children.lan.remote"])
    found = shown_changes([changed])
    (diff,) = found["diff"]
    assert diff["before"] == "children.lan.remote: [10.9.0.0/24]\n"
    assert diff["after"] == "children.lan.remote: [10.9.0.0/24, 10.7.0.0/16]\n"
    assert "no packet is lost" in diff["after_header"] and found["tunnels"][0]["packets"] in diff["after_header"]
    gone = step("removed", document(), {})
    assert "have no policy" in shown_changes([gone])["diff"][0]["after_header"]
    idle = step("created", {}, document() | {"wanted": "present"})
    assert "nothing yet" in shown_changes([idle])["diff"][0]["after_header"]


def lan(local: str, remote: str, name: str = "lan") -> dict:
    return {"name": name, "local": local.split(), "remote": remote.split()}


@pytest.mark.parametrize(
    ("before", "after", "bare"),
    [
        (lan("10.3.0.0/24", "10.1.0.0/16"), lan("203.0.113.2", "10.1.0.0/16"), ["10.3.0.0/24 and 10.1.0.0/16"]),
        (lan("10.3.0.0/24", "10.1.0.0/16"), lan("10.3.0.0/25 10.3.0.128/25", "10.0.0.0/8"), []),
        (lan("10.3.0.0/24", "10.1.0.0/16"), lan("10.3.0.0/25", "10.1.0.0/16"), ["10.3.0.128/25 and 10.1.0.0/16"]),
        (lan("10.3.0.0/24 fd03::/64", "10.1.0.0/16 fd01::/64"), lan("10.3.0.0/24", "10.1.0.0/16"),
         ["fd03::/64 and fd01::/64"]),
        (lan("10.3.0.0/24", "10.1.0.0/16"), lan("10.3.0.0/24", "10.1.0.0/16[tcp/443]"),
         ["10.3.0.0/24 and 10.1.0.0/16"]),
        (lan("10.3.0.0/24", "10.1.0.0/24 10.2.0.0/24"), lan("10.3.0.0/24", "10.2.0.0/24", "other"),
         ["10.3.0.0/24 and 10.1.0.0/24"]),
        (lan("10.3.0.0/24 10.4.0.0/24", "10.1.0.0/24 10.2.0.0/24"), lan("10.3.0.0/24", "10.1.0.0/24"),
         ["10.4.0.0/24 and 10.1.0.0/24 10.2.0.0/24", "10.3.0.0/24 and 10.2.0.0/24"]),
    ],
)  # fmt: skip
def test_networks_that_are_no_longer_protected_are_told(before: dict, after: dict, bare: list[str]) -> None:
    old, new = document(children=[before]), document(children=[after])
    assert no_longer_protected(old, new) == bare
    changed = step("changed", old, new, "rekey", changes=["children.lan.local"])
    (told,) = shown_changes([changed])["tunnels"]
    assert told["packets"].startswith("fresh SAs take over from those that run, no packet is lost")
    assert ("leave in clear unless gateway_protected_networks has" in told["packets"]) == bool(bare)
    assert all(each in told["packets"] for each in bare)
    asleep = step("changed", old | {"wanted": "inactive"}, new, "hot")
    assert "in clear" not in shown_changes([asleep])["tunnels"][0]["packets"]
    (diff,) = shown_changes([changed] * 11)["diff"]
    assert ("leave in clear" in diff["after"].splitlines()[0]) == bool(bare)


def test_hundreds_of_other_networks_take_no_time() -> None:
    networks = " ".join(f"10.{n}.0.0/16" for n in range(220))
    others = " ".join(f"10.{n}.0.0/17" for n in range(220))
    began = time.process_time()
    assert no_longer_protected(document(children=[lan(networks, networks)]), document(children=[lan(others, others)]))
    assert time.process_time() - began < 5


def test_many_tunnels_have_a_line_each() -> None:
    steps = [step("created", {}, document(f"t{n}")) for n in range(20)]
    steps += [
        step("changed", document("c"), document("c"), "hot", changes=["ike.lifetime"]),
        step("none", {}, {"name": "n"}),
    ]
    steps += [step("removed", document("gone"), {})]
    (diff,) = shown_changes(steps)["diff"]
    assert diff["after_header"] == "22 tunnels"
    assert diff["after"].splitlines()[0] == "t0 created: 203.0.113.1 10.1.0.0/16 - 203.0.113.9 10.9.0.0/24"
    assert diff["after"].splitlines()[-1] == "c changed (hot): ike.lifetime"
    assert diff["before"] == "gone removed: 203.0.113.1 10.1.0.0/16 - 203.0.113.9 10.9.0.0/24\n"
    assert shown_changes([step("none", {}, {"name": "n"})])["diff"] == []
