# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Eroutes as a view of policies, SAs and names: what each shape reads as, and in which classic line."""

from __future__ import annotations

from dataclasses import replace

import pytest
from engine.kernel.eroutes import Eroute, eroutes
from engine.kernel.klips import format_eroute
from engine.kernel.registry import Child
from engine.kernel.values import KernelSelector, Policy, SaState, Template
from engine.said import parse_said

SELECTOR = KernelSelector(4, bytes([10, 1, 0, 0]), 24, bytes([10, 2, 0, 0]), 24)
TEMPLATE = Template("192.0.2.1", "192.0.2.2", 0, 50, "tunnel", 7)
OUTER = Template("0.0.0.0", "0.0.0.0", 0, 50, "transport", 8)
POLICY = Policy(SELECTOR, "out", 100, templates=(TEMPLATE,))
SA = SaState(
    "192.0.2.1", "192.0.2.2", 0x1001, 50, "tunnel", 7, 4, ("rfc4106(gcm(aes))",), None, 0, False, False,
    500, 5, 1000, 1001, 0, 0, 0, KernelSelector(4, bytes(4), 0, bytes(4), 0),
)  # fmt: skip
OUTER_SA = replace(SA, spi=0x2002, mode="transport", reqid=8, packets=9)
NAMES = {7: Child("ops", "hq-branch", "lan")}


def only(policy: Policy, *sas: SaState) -> Eroute:
    (found,) = eroutes([policy], sas, NAMES, [])
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
    hold, trap = eroutes([POLICY], [replace(SA, spi=0, larval=True, algorithms=(), selector=packet)], NAMES, [])
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


def test_a_shared_sa_is_said_to_be_shared() -> None:
    other = POLICY._replace(selector=SELECTOR._replace(destination=bytes([10, 3, 0, 0])))
    assert [e.packets_shared for e in eroutes([POLICY, other], [SA], NAMES, [])] == [True, True]
    assert not only(POLICY, SA).packets_shared


def test_a_group_is_named_by_its_first_sa() -> None:
    group = (parse_said("tun.3d0@192.0.2.2"), parse_said("esp.1001@192.0.2.2"))
    (found,) = eroutes([POLICY], [SA], NAMES, [group])
    assert (found.said, found.sas, found.packets) == ("tun.3d0@192.0.2.2", tuple(map(str, group)), 5)


def test_port_ranges() -> None:
    selector = SELECTOR._replace(protocol=6, destination_port=0x1F90, destination_port_mask=0xFFF8)
    found = only(POLICY._replace(selector=selector), SA)
    assert found.destination_ports == (8080, 8087)
    assert format_eroute(found.line()).endswith("10.2.0.0/24        => esp0x1001@192.0.2.2:6")
