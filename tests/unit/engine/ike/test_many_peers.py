# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Many peers under one definition: who gets an instance, beside whom, for which packets, and what that costs."""

from __future__ import annotations

import copy
import json
from dataclasses import replace

import pytest
from engine.errors import InputError
from engine.identity import ID_FQDN, Identity
from engine.identity_pattern import IdentityPattern
from engine.ike.actions import Path, Vanished
from engine.ike.connections import Connections
from engine.ike.endpoint import Endpoint
from engine.selector import parse_selector

from tests.seeded_entropy import SeededEntropy

from .many_peers import NAME, Reqids, address, come, for_many, instances, lan, peer, world_for_many
from .world import EAST, World, east_connection


def refusals(world: World) -> list[str]:
    """East's reasons for turning peers away."""
    return world.east.reasons("ike_failed")


def remotes(world: World) -> list[str]:
    """What is behind the peers of east, by its Child SAs."""
    return sorted(str(selector) for child in world.east.engine.child_sas() for selector in child.remote_selectors)


def test_each_peer_has_an_instance_of_its_own_with_what_it_asks_for() -> None:
    world = world_for_many()
    for number in (1, 2):
        come(world, peer(number))
    assert instances(world) == [f"{NAME}#b1.branch.example", f"{NAME}#b2.branch.example"]
    assert remotes(world) == ["10.1.1.0/24", "10.1.2.0/24"]
    first, second = world.east.engine.child_sas()
    assert (first.tunnel, second.tunnel) == tuple(instances(world))
    assert first.reqid != second.reqid
    # It ranks as its definition does, however much of that it is.
    assert first.defined == ((parse_selector("10.0.0.0/16"),), (parse_selector("10.0.0.0/8"),))
    assert {report.tunnel for report in world.east.reports if report.kind == "ike_established"} == {*instances(world)}


def test_an_instance_ends_with_its_last_ike_sa() -> None:
    world = world_for_many()
    come(world, peer(1))
    assert world.east.engine.instances.ended() == []
    world.west.stop("as-1")
    world.run(1.0)
    assert instances(world) == []
    assert world.east.engine.instances.ended() == [f"{NAME}#b1.branch.example"]
    assert world.east.engine.connections.get(f"{NAME}#b1.branch.example") is None
    come(world, peer(1))
    assert instances(world) == [f"{NAME}#b1.branch.example"]


def test_who_is_not_meant_by_the_pattern_is_turned_away() -> None:
    world = world_for_many()
    for number, identity in enumerate(
        ("b1.office.example", "a.b1.branch.example", "branch.example", "*.branch.example")
    ):
        come(world, peer(number, identity))
    assert instances(world) == []
    assert refusals(world) == ["no_matching_tunnel"] * 4


def test_a_tunnel_that_names_the_peer_comes_first_then_the_pattern_that_says_most() -> None:
    known = Connections()
    for name, pattern in (("any", "any"), ("wide", "*.*.example"), ("narrow", "*.branch.example")):
        known.put(replace(for_many(pattern), name=name))
    known.put(replace(for_many(), name="one", pattern=None, remote_id=Identity.parse("b1.branch.example")))
    path = Path(EAST, 500, address(1), 500)

    def found(identity: str, **more: Identity | None) -> list[str]:
        wish = more.get("wish")
        return [each.name for each in known.for_identities(path, Identity.parse(identity), wish)]

    assert found("b1.branch.example") == ["one", "narrow", "wide", "any"]
    assert found("B2.Branch.Example") == ["narrow", "wide", "any"]
    assert found("b2.other.example") == ["wide", "any"]
    assert found("dn:O=Example, CN=b1") == ["any"]
    assert found("b2.branch.example", wish=Identity.parse("east.example")) == ["narrow", "wide", "any"]
    assert found("b2.branch.example", wish=Identity.parse("other.example")) == []
    for name in ("any", "wide", "narrow", "one"):
        known.remove(name)
    assert found("b1.branch.example") == []
    assert known.for_path(path) is None


def test_peers_may_come_from_the_networks_that_are_named_and_from_nowhere_else() -> None:
    networks = parse_selector("198.51.100.0/28"), parse_selector("198.51.100.200-198.51.100.203")
    world = world_for_many(networks=networks)
    for number in (1, 199, 100):
        come(world, peer(number))
    assert instances(world) == [f"{NAME}#b1.branch.example", f"{NAME}#b199.branch.example"]
    assert "no_matching_tunnel" in world.east.reasons("rejected")


def test_no_more_peers_than_allowed_and_another_one_when_one_is_gone() -> None:
    world = world_for_many(max_instances=2)
    for number in (1, 2, 3):
        come(world, peer(number))
    assert len(instances(world)) == 2
    assert refusals(world) == ["too_many_instances"]
    assert [report.tunnel for report in world.east.reports if report.kind == "ike_failed"] == [NAME]
    world.west.stop("as-1")
    world.run(1.0)
    come(world, peer(3))
    assert instances(world) == [f"{NAME}#b2.branch.example", f"{NAME}#b3.branch.example"]


@pytest.mark.parametrize("unique", ["replace", "never"])
def test_one_peer_has_one_instance_however_often_it_comes_and_however_it_writes_its_name(unique: str) -> None:
    world = world_for_many(max_instances=2, unique=unique)
    for number in range(100):
        identity = "".join(c.upper() if number >> at & 1 else c for at, c in enumerate("b1.branch.example"))
        come(world, peer(number, identity, "10.9.0.0/24", at=number % 3), 0.1)
    assert instances(world) == [f"{NAME}#b1.branch.example"]
    assert len(world.east.sas()) <= world.east.engine.settings.ike_sas_of_peer
    come(world, peer(200))
    assert len(instances(world)) == 2


def test_the_second_of_an_identity_replaces_the_first_from_another_address() -> None:
    world = world_for_many()
    come(world, peer(1))
    come(world, peer(2, "b1.branch.example"))
    (sa,) = world.east.sas()
    assert sa.path.remote_address == address(2)
    assert world.east.reasons("ike_down") == ["replaced"]
    assert [str(each) for each in world.east.engine.child_sas()[0].remote_selectors] == ["10.1.2.0/24"]
    assert len(world.west.sas()) == 1


def test_who_comes_from_elsewhere_with_the_same_network_goes_on_with_it() -> None:
    world = world_for_many()
    come(world, peer(1))
    come(world, peer(2, "b1.branch.example", "10.1.1.0/24"))
    world.run(5.0)
    (child,) = world.east.engine.child_sas()
    assert child.remote_address == address(2) and world.east.kernel.sending(child.reqid) == child
    assert world.east.kernel.faults == []


def test_the_first_of_an_identity_is_kept_and_comes_again_from_where_it_is() -> None:
    world = world_for_many(unique="keep")
    come(world, peer(1))
    come(world, peer(2, "b1.branch.example"))
    assert refusals(world) == ["identity_in_use"]
    (sa,) = world.east.sas()
    assert sa.path.remote_address == address(1)
    # As when it proves itself anew.
    come(world, peer(3, "b1.branch.example", "10.1.1.0/24", at=1))
    assert len(world.east.sas()) == 2


def test_several_of_one_identity_stand_beside_each_other_where_that_is_wanted() -> None:
    world = world_for_many(unique="never")
    for number in (1, 2, 3):
        come(world, peer(number, "b1.branch.example"))
    world.run(120.0)
    assert len(world.east.sas()) == 3
    assert instances(world) == [f"{NAME}#b1.branch.example"]
    assert remotes(world) == ["10.1.1.0/24", "10.1.2.0/24", "10.1.3.0/24"]


@pytest.mark.parametrize("net", ["10.1.1.0/24", "10.1.1.128/25", "10.1.0.0/16", "0.0.0.0/0"])
def test_a_newcomer_gets_nothing_that_is_anothers(net: str) -> None:
    world = world_for_many()
    come(world, peer(1))
    come(world, peer(2, net=net))
    assert remotes(world) == ["10.1.1.0/24"]
    failed = [report for report in world.east.reports if report.kind == "child_failed"]
    assert {(report.tunnel, report.data["reason"]) for report in failed} == {
        (f"{NAME}#b2.branch.example", "selectors_taken")
    }
    assert f"{NAME}#b1.branch.example" in failed[0].data["story"]
    assert not world.east.kernel.reserved
    # It has its instance, and may ask for what is free.
    assert len(instances(world)) == 2
    assert world.west.reasons("child_failed")[0] == "selectors_refused"


def test_what_is_anothers_is_refused_in_a_further_child_and_in_a_rekey_too() -> None:
    world = world_for_many()
    come(world, peer(1))
    two = peer(2)
    wide = replace(two.children[0], name="wide", reqid=77, local=(parse_selector("10.1.0.0/16"),), start="manual")
    come(world, replace(two, children=(*two.children, wide)))
    world.west.start("as-2", children=["wide"])
    world.run(1.0)
    assert remotes(world) == ["10.1.1.0/24", "10.1.2.0/24"]
    assert world.east.reasons("child_failed") == [] and "selectors_refused" in world.west.reasons("child_failed")
    # Rekeyed with what it has: that is its own.
    world.west.do(world.west.engine.rekey("as-2", world.now, ["lan"]))
    world.run(5.0)
    assert "child_rekeyed" in world.east.kinds()
    assert remotes(world) == ["10.1.1.0/24", "10.1.2.0/24"]


def test_what_is_anothers_is_not_taken_from_an_answer_either() -> None:
    """We ask for all that is defined where we rekey a child, or make one anew; the peer may take it."""
    world = world_for_many()
    come(world, peer(1))
    come(world, peer(2))
    greedy = peer(2)
    wide = replace(greedy.children[0], local=(parse_selector("10.0.0.0/8"),))
    world.west.engine.define(replace(greedy, children=(wide,)))
    second = world.east.engine.child_sas(instances(world)[1])[0]
    world.east.do(world.east.engine.kernel_event(Vanished(second.local_address, 50, second.spi_in), world.now))
    world.run(5.0)
    assert [net for net in remotes(world) if net != "10.1.1.0/24"] in ([], ["10.1.2.0/24"])
    assert world.east.kernel.faults == []


def test_policies_of_an_instance_are_gone_with_it() -> None:
    world = world_for_many()
    come(world, peer(1))
    world.east.stop(NAME)
    world.run(1.0)
    assert world.east.kernel.faults == [] and not world.east.kernel.reserved
    assert not world.east.kernel.inbound and not world.east.kernel.outbound
    assert not any(world.east.kernel.policies.values())


def test_verbs_for_the_definition_are_for_all_of_its_instances() -> None:
    world = world_for_many()
    for number in (1, 2):
        come(world, peer(number))
    world.east.do(world.east.engine.rekey(NAME, world.now))
    world.east.do(world.east.engine.rekey(NAME, world.now, ["lan"]))
    world.run(5.0)
    assert world.west.kinds().count("ike_rekeyed") == 2
    assert world.west.kinds().count("child_rekeyed") == 2
    assert remotes(world) == ["10.1.1.0/24", "10.1.2.0/24"]
    world.east.stop(NAME)
    world.run(1.0)
    assert instances(world) == [] and not world.east.sas() and not world.west.sas()


def test_a_definition_for_many_is_never_started() -> None:
    world = world_for_many()
    with pytest.raises(InputError, match="is defined for many peers"):
        world.east.start(NAME)


def test_who_is_not_meant_any_more_is_ended_and_the_others_go_on() -> None:
    world = world_for_many("*.*.example")
    come(world, peer(1))
    come(world, peer(2, "b2.office.example"))
    world.east.engine.define(for_many())
    world.east.do(world.east.engine.vet(NAME, world.now))
    world.run(1.0)
    assert instances(world) == [f"{NAME}#b1.branch.example"]
    assert remotes(world) == ["10.1.1.0/24"]


def test_a_child_more_in_the_definition_is_one_more_for_each_instance() -> None:
    world = world_for_many()
    come(world, peer(1))
    more = replace(lan("10.0.0.0/16", "10.200.0.0/16"), name="more", start="manual")
    world.east.engine.define(for_many(children=(*for_many().children, more)))
    connection = world.east.engine.connections.get(f"{NAME}#b1.branch.example")
    assert [child.name for child in connection.children] == ["lan", "more"]
    assert len({child.reqid for child in connection.children}) == 2


def test_control_characters_and_long_names_do_no_harm() -> None:
    world = world_for_many("any")
    nasty = Identity(ID_FQDN, b"b\x1b[31m\r\n#x.branch.example")
    come(world, replace(peer(1), local_id=nasty))
    (name,) = instances(world)
    assert name == f"{NAME}#b\\x1b[31m\\x0d\\x0a#x.branch.example" and name.isprintable()
    # Another one that only looks the same when it is written down gets nothing of it.
    come(world, replace(peer(2), local_id=Identity(ID_FQDN, name.partition("#")[2].encode())))
    assert refusals(world) == ["identity_in_use"]
    for number, units in ((3, 4), (4, 20), (5, 60)):
        long = Identity.parse(f"dn:O=Example, {', '.join(f'OU={unit:063}' for unit in range(units))}")
        come(world, replace(peer(number), local_id=long))
    assert refusals(world)[1:] == ["identity_too_long", "identity_too_long", "protocol_error"]
    assert instances(world) == [name]


def test_a_thousand_identities_cost_what_they_are_and_leave_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    looked = 0
    matches = IdentityPattern.matches

    def counting(self: IdentityPattern, identity: Identity) -> bool:
        nonlocal looked
        looked += 1
        return matches(self, identity)

    monkeypatch.setattr(IdentityPattern, "matches", counting)
    world = world_for_many(max_instances=50)
    others = [replace(for_many(f"*.other{n}.example"), name=f"other-{n}") for n in range(200)]
    for other in others:
        world.east.engine.define(other)
    for number in range(100):
        come(world, peer(number), 0.1)
    assert len(instances(world)) == 50
    # However many patterns there are, each peer was held against the one that it fits.
    assert looked == 100
    world.east.stop(NAME)
    world.run(1.0)
    assert instances(world) == []
    engine = world.east.engine
    assert not any(connection.definition for connection in engine.connections)
    assert len(engine.instances.ended()) == 50


def test_instances_go_on_in_another_process() -> None:
    world = world_for_many()
    reqids = world.east.engine.reqids
    records: dict[object, object] = {}
    for number in (1, 2):
        come(world, peer(number))
    for key, record in world.east.engine.changes().items():
        if record is not None:
            records[key] = json.loads(json.dumps(record))
    again = Endpoint(SeededEntropy(5), world.east._reserve, world.east.engine.settings, reqids=reqids)
    again.define(for_many())
    before = copy.copy(world.east.engine.child_sas())
    world.east.engine = again
    actions, problems = again.resume(records, world.now)
    assert not problems
    world.east.do(actions)
    assert instances(world) == [f"{NAME}#b1.branch.example", f"{NAME}#b2.branch.example"]
    assert again.child_sas() == before
    assert [connection.children[0].reqid for connection in again.connections if connection.definition] == [
        child.reqid for child in before
    ]
    # They are kept from each other's packets, and counted, as before.
    come(world, peer(3, net="10.1.1.0/24"))
    assert remotes(world) == ["10.1.1.0/24", "10.1.2.0/24"]
    world.west.stop("as-1")
    world.run(1.0)
    assert again.instances.ended() == [f"{NAME}#b1.branch.example"]


def test_what_is_not_for_many_any_more_when_another_process_goes_on_is_closed() -> None:
    world = world_for_many()
    come(world, peer(1))
    records = {key: record for key, record in world.east.engine.changes().items() if record is not None}
    again = Endpoint(SeededEntropy(5), world.east._reserve, world.east.engine.settings, reqids=Reqids())
    again.define(east_connection(name=NAME))
    _actions, problems = again.resume(records, world.now)
    assert not problems
    (view,) = again.sas()
    assert view.tunnel == f"{NAME}#b1.branch.example"
