# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Route-based tunnels: how their interfaces are written, planned, made and taken back."""

from __future__ import annotations

from dataclasses import replace

import pytest
from engine.definition.interface import OWN_IDS, if_id_of
from engine.definition.parsing import parse_definition, parse_stored
from engine.definition.schema import Problems
from engine.errors import KernelError, MissingError
from engine.kernel.interfaces import Interface
from engine.manager.methods import check_params
from engine.manager.plan import Running, make_plan
from engine.manager.store import Stored
from engine.manager.tunnel_interfaces import TunnelInterfaces, interface_of
from fake_kernel import FakeHost
from manager_lab import definition

ANY = [{"name": "any", "local": ["0.0.0.0/0"], "remote": ["0.0.0.0/0"]}]


def routed(name: str = "hq-b1", number: int = 9, interface: object = (), **changes: object) -> dict:
    return definition(name, number, interface={"name": "ipsec0"} | dict(interface), **{"children": ANY} | changes)


def row(raw: dict, number: int = 1, owner: str = "", wanted: str = "active") -> Stored:
    parsed = parse_definition(raw)
    return Stored(number, parsed.name, owner, wanted, parsed, {child["name"]: 1 for child in raw["children"]})


def plan(*raw: dict, have: list[Stored] | None = None, **params: object):
    checked = check_params("tunnels.plan", {"definitions": list(raw)} | params)
    busy = Running(busy=True, up=True, children=frozenset({"any", "lan"}))
    return make_plan(checked, {one.name: one for one in have or []}, lambda name: busy)


def test_without_the_option_there_is_none():
    parsed = parse_definition(definition())
    assert parsed.document["interface"] is None and if_id_of(parsed.document, 7) == 0
    assert interface_of(row(definition())) is None


def test_what_is_left_out_is_filled_in():
    parsed = parse_definition(routed())
    assert parsed.document["interface"] == {"name": "ipsec0", "id": None, "addresses": [], "routes": [], "mtu": 1500}
    assert if_id_of(parsed.document, 7) == OWN_IDS[7]
    assert if_id_of(parse_definition(routed(interface={"id": 42})).document, 7) == 42
    assert parse_stored(parsed.stored()).document == parsed.document, "and stays as it is"


def test_routes_are_the_remote_networks_but_the_peers_own_and_everything():
    children = [
        {"name": "one", "local": ["10.1.0.0/16"], "remote": ["10.9.0.0/24", "10.9.0.0/24[tcp/80]", "203.0.0.0/16"]},
        {"name": "two", "local": ["::/0"], "remote": ["::/0", "2001:db8:9::/48"]},
    ]
    parsed = parse_definition(routed(children=children))
    assert parsed.document["interface"]["routes"] == ["10.9.0.0/24", "2001:db8:9::/48"]
    assert parse_definition(routed(children=children, interface={"routes": []})).document["interface"]["routes"] == []


def test_a_route_that_holds_the_peer_is_warned_of():
    (warning,) = parse_definition(routed(interface={"routes": ["203.0.0.0/16", "10.0.0.0/8"]})).warnings()
    assert "203.0.0.0/16" in warning and "203.0.0.11" in warning and "more specific" in warning


@pytest.mark.parametrize(
    ("interface", "field", "words"),
    [
        ({"name": "sixteen-letters0"}, "interface.name", "1 to 15"),
        ({"name": "a/b"}, "interface.name", "1 to 15"),
        ({"name": ".."}, "interface.name", "1 to 15"),
        ({"id": 0}, "interface.id", "at least 1"),
        ({"id": OWN_IDS.start}, "interface.id", "manager chooses from"),
        ({"addresses": ["10.255.0.1/33"]}, "interface.addresses[0]", "10.255.0.1/30"),
        ({"addresses": ["127.0.0.1/8"]}, "interface.addresses[0]", "not the address of an interface"),
        ({"addresses": ["10.255.0.1/30", "10.255.0.1/24"]}, "interface.addresses[1]", "listed twice"),
        ({"routes": ["10.9.0.1/24"]}, "interface.routes[0]", "host bits"),
        ({"routes": ["2001:db8::/32"]}, "interface.routes[0]", "no child protects"),
        ({"mtu": 1279}, "interface.mtu", "at least 1280"),
        ({"vrf": "red"}, "interface.vrf", "not a known option"),
    ],
)
def test_bad_values_name_the_field_and_the_remedy(interface: dict, field: str, words: str):
    with pytest.raises(Problems) as told:
        parse_definition(routed(interface=interface))
    assert str(told.value).startswith(f"{field}:") and words in str(told.value)


def test_transport_mode_has_no_place_behind_an_interface():
    children = [{"name": "any", "mode": "transport"}]
    with pytest.raises(Problems, match="children\\[0\\].mode.*use mode: tunnel"):
        parse_definition(routed(children=children))


def test_the_same_selectors_may_stand_behind_two_interfaces_only():
    plan(routed(), routed("hq-b2", 10, {"name": "ipsec1"}), definition("hq-b3", 11, children=ANY))
    with pytest.raises(Problems, match="overlaps"):
        plan(definition("hq-b2", 10, children=ANY), definition("hq-b3", 11, children=ANY))
    overlapping = [{"name": "lan", "local": ["10.0.0.0/8"], "remote": ["10.9.0.0/24"]}]
    with pytest.raises(Problems, match="overlaps"):
        plan(routed(children=[{"name": "x", "local": ["10.1.0.0/16"], "remote": ["10.9.0.0/16"]}, *overlapping]))


@pytest.mark.parametrize(
    ("mine", "theirs", "field"),
    [
        ({"name": "ipsec0"}, {"name": "ipsec0"}, "interface.name"),
        ({"name": "ipsec0", "id": 5}, {"name": "ipsec1", "id": 5}, "interface.id"),
        (
            {"name": "ipsec0", "routes": ["10.9.0.0/16"]},
            {"name": "ipsec1", "routes": ["10.9.0.0/16"]},
            "interface.routes",
        ),
    ],
)
def test_two_tunnels_cannot_have_the_same(mine: dict, theirs: dict, field: str):
    standing = row(routed("hq-b2", 10, theirs), number=2)
    with pytest.raises(Problems) as told:
        plan(routed(interface=mine), have=[standing])
    assert str(told.value).startswith(f"definitions[hq-b1].{field}:") and "hq-b2" in str(told.value)
    assert plan({"name": "hq-b2"}, have=[standing], state="inactive").changed, "who is not defined anew is not judged"


@pytest.mark.parametrize(
    ("change", "impact", "paths"),
    [
        ({"addresses": ["10.255.0.1/30"]}, "hot", ["interface.addresses"]),
        ({"routes": ["10.9.0.0/16"], "mtu": 1400}, "hot", ["interface.routes", "interface.mtu"]),
        ({"id": 42}, "re-establish", ["interface.id"]),
        ({"name": "ipsec1"}, "re-establish", ["interface.name"]),
    ],
)
def test_impact(change: dict, impact: str, paths: list[str]):
    (step,) = plan(routed(interface=change), have=[row(routed())]).steps
    assert (step.impact, [each.path for each in step.changes]) == (impact, paths)


def test_getting_and_losing_an_interface_re_establishes():
    for before, after in ((definition(children=ANY), routed()), (routed(), definition(children=ANY))):
        (step,) = plan(after, have=[row(before)]).steps
        assert step.impact == "re-establish" and "interface.name" in {change.path for change in step.changes}


# What stands


@pytest.fixture
def host(tmp_path):
    made = FakeHost(str(tmp_path), journal=False)
    yield made
    made.close()


def test_a_foreign_link_and_a_kernel_without_interfaces_are_told_before_anything(host):
    devices = TunnelInterfaces(host)
    devices.vet(plan(routed(), definition("hq-b2", 10)).steps)
    with pytest.raises(Problems, match=r"definitions\[hq-b1\].interface.name: .*not ours.*choose another name"):
        devices.vet(plan(routed(interface={"name": "eth0"})).steps)
    host.xfrm_interfaces = False
    with pytest.raises(MissingError, match="modprobe xfrm_interface"):
        devices.vet(plan(routed()).steps)
    devices.vet(plan(definition("hq-b2", 10)).steps)
    assert host.interfaces == {}


def test_it_stands_as_defined_and_is_left_alone_when_nothing_differs(host):
    devices = TunnelInterfaces(host)
    first = row(routed(interface={"addresses": ["10.255.0.1/30"]}), owner="me")
    devices.stand(first)
    devices.stand(first)
    assert host.made == [(Interface("ipsec0", OWN_IDS[1], "me", "hq-b1", 1500, ("10.255.0.1/30",), (),
                                    first.definition.selectors[0][0]), None)]  # fmt: skip
    assert host.interfaces["ipsec0"].alias == "fleet.ipsec:me/hq-b1"
    devices.stand(row(routed(interface={"addresses": ["10.255.0.5/30"]}), owner="me"))
    assert host.made[-1][1].addresses == ("10.255.0.1/30",), "so that it is known what to take away"
    devices.stand(row(definition(), owner="me"))
    assert host.interfaces == {}
    devices.take("hq-b1")


def test_two_tunnels_may_swap_their_interfaces(host):
    devices = TunnelInterfaces(host)
    names = {"hq-b1": "ipsec0", "hq-b2": "ipsec1"}
    for swap in (names, {"hq-b1": "ipsec1", "hq-b2": "ipsec0"}):
        for number, (tunnel, name) in enumerate(swap.items(), 1):
            devices.stand(row(routed(tunnel, number + 8, {"name": name}), number=number))
    assert {name: each.tunnel for name, each in host.interfaces.items()} == {"ipsec1": "hq-b1", "ipsec0": "hq-b2"}


def test_what_the_kernel_refused_is_tried_again_and_taken_back(host):
    devices = TunnelInterfaces(host)
    works = host.make_interface

    def fails(wanted, before):
        works(wanted, before)
        raise KernelError("add the route", 17, "refused by the test")

    host.make_interface = fails
    for _twice in range(2):
        with pytest.raises(KernelError):
            devices.stand(row(routed()))
    assert len(host.made) == 2
    devices.take("hq-b1")
    assert host.interfaces == {}, "what was made of it goes too"


def test_leftovers_of_an_earlier_run_go(host):
    defined = row(routed(), number=1)
    before = TunnelInterfaces(host)
    before.stand(defined)
    before.stand(row(routed("hq-b2", 10, {"name": "ipsec1"}), number=2))
    before.stand(row(routed("hq-b3", 11, {"name": "ipsec2", "id": 5}), number=3))
    other_id = row(routed("hq-b3", 11, {"name": "ipsec2", "id": 6}), number=3)
    TunnelInterfaces(host).sweep(
        [defined, other_id, replace(defined, name="x", definition=parse_definition(definition()))]
    )
    assert list(host.interfaces) == ["ipsec0"]
