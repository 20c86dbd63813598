# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Eroutes as a view of policies, SAs and groups."""

from __future__ import annotations

from dataclasses import asdict, replace

import pytest
from engine.classic.eroutes import Eroute, eroutes
from engine.classic.klips import format_eroute
from engine.classic.shunt import Shunt
from engine.kernel import neighbours
from engine.kernel.registry import SHUNT_FIRST, Child, Identities
from engine.kernel.values import KernelSelector, Policy, SaState, Template
from engine.said import parse_said

LAN = KernelSelector(4, bytes([10, 1, 0, 0]), 24, bytes([10, 2, 0, 0]), 24)
HOSTS = KernelSelector(4, bytes([192, 0, 2, 1]), 32, bytes([192, 0, 2, 2]), 32)
ANY = KernelSelector(4, bytes(4), 0, bytes(4), 0)
HERE, THERE = "192.0.2.1", "192.0.2.2"
ESP = SaState(
    HERE,
    THERE,
    0x115,
    50,
    "tunnel",
    7,
    4,
    ("rfc4106(gcm(aes))",),
    None,
    0,
    False,
    False,
    4200,
    42,
    100,
    0,
    0,
    0,
    0,
    ANY,
)
AH = replace(ESP, protocol=51, spi=0x116, mode="transport", packets=40)
OUT = Policy(LAN, "out", 1000, "allow", (Template(HERE, THERE, 0x115, 50, "tunnel", 7),))
NAMES = {7: Child("lab", "hq", "lan")}


def lines(policies, sas=(), groups=()) -> list[str]:
    return [" ".join(format_eroute(e.line()).split()) for e in eroutes(policies, sas, NAMES, groups)]


def group(text: str) -> tuple:
    return tuple(map(parse_said, text.split()))


def test_a_row_has_every_field() -> None:
    (found,) = eroutes([OUT], [ESP], NAMES, [])
    assert found.row() == asdict(found)
    assert list(found.row()) == list(asdict(found))


def test_a_policy_with_its_sa() -> None:
    (found,) = eroutes([OUT], [ESP], NAMES, [])
    assert (found.action, found.said, found.sas) == ("ipsec", "esp.115@192.0.2.2", ("esp.115@192.0.2.2",))
    assert (found.packets, found.packets_shared, found.priority, found.reqid) == (42, False, 1000, 7)
    assert (found.source, found.destination) == ("10.1.0.0/24", "10.2.0.0/24")
    assert (found.owner, found.tunnel, found.child) == ("lab", "hq", "lan")


def test_a_tunnel_has_identities_and_its_classic_line_has_none() -> None:
    (found,) = eroutes([OUT], [ESP], NAMES, [], identities={"hq": Identities("hq.example", "b1.example")})
    assert (found.source_identity, found.destination_identity) == ("hq.example", "b1.example")
    assert found.line().source_identity is None


def test_eroutes_by_hand_to_one_sa_have_counts_of_their_own() -> None:
    shunts = {
        SHUNT_FIRST + 16 * n: Shunt(LAN, "out", "ipsec", "me", "esp.115@192.0.2.2", False, True) for n in (0, 1, 2)
    }
    held = [OUT._replace(index=number + 1) for number in shunts]
    counts = {(SHUNT_FIRST, 7): 5, (SHUNT_FIRST + 16, 7): 0, (SHUNT_FIRST + 32, 8): 9}
    found = eroutes(held, [ESP], {}, [], shunts, counts)
    # The last counter is of another SA, to which that eroute led before.
    assert [(e.packets, e.packets_shared) for e in found] == [(5, False), (0, False), (42, True)]


def test_what_lets_neighbours_pass_is_the_managers() -> None:
    solicitation = KernelSelector(6, bytes(16), 0, bytes(16), 0, 58, neighbours.SOLICITATION, 0xFFFF)
    ours = Policy(solicitation, "out", neighbours.PRIORITY)
    found = eroutes([ours, ours._replace(priority=7), ours._replace(selector=LAN)], [], NAMES, [])
    assert {(e.priority, e.protocol): e.owner for e in found} == {
        (neighbours.PRIORITY, 58): "fleet-ipsec-manager",
        (7, 58): None,
        (neighbours.PRIORITY, 0): None,
    }


@pytest.mark.parametrize(
    ("policy", "target"),
    [
        (OUT._replace(action="block", templates=()), "%drop"),
        (OUT._replace(templates=()), "%pass"),
        (OUT, "%trap"),
    ],
)
def test_actions_without_an_sa(policy: Policy, target: str) -> None:
    assert lines([policy]) == [f"0 10.1.0.0/24 -> 10.2.0.0/24 => {target}"]


@pytest.mark.parametrize(
    "sa",
    [
        replace(ESP, larval=True, algorithms=()),
        replace(ESP, spi=0x114),
        replace(ESP, reqid=8),
        replace(ESP, mode="transport"),
        replace(ESP, destination="192.0.2.9"),
        replace(ESP, protocol=51),
    ],
)
def test_an_sa_that_the_kernel_would_not_take_leaves_a_trap(sa: SaState) -> None:
    assert lines([OUT], [sa]) == ["0 10.1.0.0/24 -> 10.2.0.0/24 => %trap"]


def test_a_policy_that_names_no_spi_takes_the_newest_sa() -> None:
    older, newer = replace(ESP, spi=0x200, add_time=50, packets=1), replace(ESP, spi=0x300, add_time=60, packets=2)
    loose = OUT._replace(templates=(OUT.templates[0]._replace(spi=0),))
    for sas in ([older, newer], [newer, older]):
        assert lines([loose], sas) == ["2 10.1.0.0/24 -> 10.2.0.0/24 => esp0x300@192.0.2.2"]


def test_a_group_is_named_by_its_first_sa_and_shows_all() -> None:
    both = OUT._replace(templates=(*OUT.templates, Template(HERE, THERE, 0x116, 51, "transport", 7)))
    named = group("tun.113@192.0.2.2 esp.115@192.0.2.2 ah.116@192.0.2.2")
    (found,) = eroutes([both], [ESP, AH], NAMES, [named])
    assert found.said == "tun.113@192.0.2.2" and found.sas == tuple(map(str, named)) and found.packets == 42
    (found,) = eroutes([both], [ESP, AH], NAMES, [])
    assert found.sas == ("esp.115@192.0.2.2", "ah.116@192.0.2.2")


def test_transport_mode_goes_where_the_packets_go() -> None:
    template = Template("0.0.0.0", "0.0.0.0", 0, 51, "transport", 7)
    (found,) = eroutes([Policy(HOSTS, "out", 1, "allow", (template,))], [AH], NAMES, [])
    assert found.said == "ah.116@192.0.2.2"


def test_two_policies_that_share_an_sa_share_its_count() -> None:
    other = OUT._replace(selector=LAN._replace(destination=bytes([10, 3, 0, 0])), priority=900)
    found = eroutes([OUT, other], [ESP], NAMES, [])
    assert [(e.priority, e.packets, e.packets_shared) for e in found] == [(900, 42, True), (1000, 42, True)]


def test_only_policies_that_packets_going_out_meet_are_eroutes() -> None:
    others = [OUT._replace(direction="in"), OUT._replace(direction="fwd"), OUT._replace(marked=True)]
    assert lines(others, [ESP]) == []


def test_the_same_networks_of_two_interfaces_are_two_eroutes() -> None:
    found = eroutes([OUT, OUT._replace(if_id=42)], [ESP], NAMES, [])
    assert [(e.if_id, e.source, e.destination) for e in found] == [
        (0, "10.1.0.0/24", "10.2.0.0/24"), (42, "10.1.0.0/24", "10.2.0.0/24"),
    ]  # fmt: skip
    packet = replace(ESP, spi=0, larval=True, algorithms=(), if_id=42)
    assert [e.if_id for e in eroutes([], [packet], NAMES, [])] == [42]


def test_a_packet_that_waits_is_a_hold_before_all_others() -> None:
    packet = KernelSelector(4, bytes([10, 1, 0, 5]), 32, bytes([10, 2, 0, 6]), 32, 6, 4000, 0xFFFF, 443, 0xFFFF)
    hold = replace(ESP, spi=0, larval=True, algorithms=(), selector=packet, packets=0)
    assert lines([OUT], [hold, replace(ESP, larval=True, algorithms=())]) == [
        "0 10.1.0.5/32:4000 -> 10.2.0.6/32:443 => %hold:6",
        "0 10.1.0.0/24 -> 10.2.0.0/24 => %trap",
    ]


def test_ports_are_ranges_and_the_classic_line_has_single_ones_only() -> None:
    tcp = LAN._replace(protocol=6, source_port=0x1000, source_port_mask=0xF000, destination_port=443,
                       destination_port_mask=0xFFFF)  # fmt: skip
    (found,) = eroutes([OUT._replace(selector=tcp)], [ESP], {}, [])
    assert (found.source_ports, found.destination_ports, found.protocol) == ((0x1000, 0x1FFF), (443, 443), 6)
    assert " ".join(format_eroute(found.line()).split()) == (
        "42 10.1.0.0/24 -> 10.2.0.0/24:443 => esp0x115@192.0.2.2:6"
    )
    assert (found.owner, found.tunnel, found.child) == (None, None, None)


# Every shape of a policy

SELECTOR = KernelSelector(4, bytes([10, 1, 0, 0]), 24, bytes([10, 2, 0, 0]), 24)
TEMPLATE = Template("192.0.2.1", "192.0.2.2", 0, 50, "tunnel", 7)
OUTER = Template("0.0.0.0", "0.0.0.0", 0, 50, "transport", 8)
POLICY = Policy(SELECTOR, "out", 100, templates=(TEMPLATE,))
SA = SaState(
    "192.0.2.1", "192.0.2.2", 0x1001, 50, "tunnel", 7, 4, ("rfc4106(gcm(aes))",), None, 0, False, False,
    500, 5, 1000, 1001, 0, 0, 0, KernelSelector(4, bytes(4), 0, bytes(4), 0),
)  # fmt: skip
OUTER_SA = replace(SA, spi=0x2002, mode="transport", reqid=8, packets=9)
OPS = {7: Child("ops", "hq-branch", "lan")}


def only(policy: Policy, *sas: SaState) -> Eroute:
    (found,) = eroutes([policy], sas, OPS, [])
    return found


@pytest.mark.parametrize(
    ("policy", "sas", "action", "said"),
    [
        (POLICY, [SA], "ipsec", "esp.1001@192.0.2.2"),
        (POLICY, [], "trap", "%trap"),
        (POLICY, [replace(SA, reqid=9)], "trap", "%trap"),
        (POLICY, [replace(SA, mode="transport")], "trap", "%trap"),
        (POLICY, [replace(SA, larval=True)], "trap", "%trap"),
        (POLICY._replace(templates=(TEMPLATE._replace(spi=0x1002),)), [SA], "trap", "%trap"),
        (POLICY._replace(templates=()), [], "pass", "%pass"),
        (POLICY._replace(templates=(), action="block"), [], "drop", "%drop"),
        (POLICY._replace(templates=(TEMPLATE, OUTER)), [SA], "trap", "%trap"),
        (POLICY._replace(templates=(TEMPLATE, OUTER)), [OUTER_SA], "trap", "%trap"),
        (POLICY._replace(templates=(TEMPLATE, OUTER)), [SA, OUTER_SA], "ipsec", "esp.1001@192.0.2.2"),
        (POLICY._replace(templates=(TEMPLATE, OUTER._replace(optional=True))), [SA], "ipsec", "esp.1001@192.0.2.2"),
    ],
)
def test_each_shape(policy: Policy, sas: list[SaState], action: str, said: str) -> None:
    found = only(policy, *sas)
    assert (found.action, found.said) == (action, said)
    assert found.packets == (5 if action == "ipsec" else 0)


def test_names_chain_and_count() -> None:
    found = only(POLICY._replace(templates=(TEMPLATE, OUTER)), SA, OUTER_SA)
    assert found.sas == ("esp.1001@192.0.2.2", "esp.2002@192.0.2.2")
    assert (found.owner, found.tunnel, found.child, found.reqid) == ("ops", "hq-branch", "lan", 7)
    assert format_eroute(found.line()) == "5          10.1.0.0/24        -> 10.2.0.0/24        => esp0x1001@192.0.2.2"


def test_the_newest_generation_counts_unless_one_is_pinned() -> None:
    newer = replace(SA, spi=0x1002, add_time=2000, packets=1)
    assert only(POLICY, newer, SA).said == "esp.1002@192.0.2.2"
    pinned = POLICY._replace(templates=(TEMPLATE._replace(spi=0x1001),))
    assert only(pinned, newer, SA).said == "esp.1001@192.0.2.2"


def test_a_hold_has_the_selector_of_its_packet_and_comes_first() -> None:
    packet = KernelSelector(4, bytes([10, 1, 0, 1]), 32, bytes([10, 2, 0, 9]), 32, 17, 53, 0xFFFF, 99, 0xFFFF)
    hold, trap = eroutes([POLICY], [replace(SA, spi=0, larval=True, algorithms=(), selector=packet)], OPS, [])
    assert (hold.action, hold.source, hold.source_ports, hold.tunnel) == ("hold", "10.1.0.1/32", (53, 53), "hq-branch")
    assert format_eroute(hold.line()) == "0          10.1.0.1/32:53     -> 10.2.0.9/32:99     => %hold:17"
    assert trap.action == "trap"


def test_only_outbound_policies_for_every_packet_in_priority_order() -> None:
    policies = [
        POLICY,
        POLICY._replace(direction="in"),
        POLICY._replace(direction="fwd"),
        POLICY._replace(marked=True),
        POLICY._replace(selector=SELECTOR._replace(destination_prefix=23), priority=50),
    ]
    assert [e.destination for e in eroutes(policies, [], {}, [])] == ["10.2.0.0/23", "10.2.0.0/24"]


def test_a_group_is_named_by_its_first_sa() -> None:
    named = group("tun.3d0@192.0.2.2 esp.1001@192.0.2.2")
    (found,) = eroutes([POLICY], [SA], OPS, [named])
    assert (found.said, found.sas, found.packets) == ("tun.3d0@192.0.2.2", tuple(map(str, named)), 5)


def test_port_ranges() -> None:
    selector = SELECTOR._replace(protocol=6, destination_port=0x1F90, destination_port_mask=0xFFF8)
    found = only(POLICY._replace(selector=selector), SA)
    assert found.destination_ports == (8080, 8087)
    assert format_eroute(found.line()).endswith("10.2.0.0/24        => esp0x1001@192.0.2.2:6")
