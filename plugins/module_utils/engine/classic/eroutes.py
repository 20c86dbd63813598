# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Eroutes: what happens to outgoing packets, as a view of policies, SAs and registry."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from operator import attrgetter
from typing import Any, NamedTuple

from ..kernel import neighbours
from ..kernel.policies import is_pass, network_text, owner_of_pass
from ..kernel.registry import SHUNT_FIRST, Child, Identities, child_reqid
from ..kernel.values import OUT, KernelSelector, Policy, SaState, Template, said_of
from ..newer_python import dataclass, zip
from ..said import Said, magic
from .klips import ErouteLine
from .shunt import REJECT, Shunt, is_answer, number_of, trap_number


@dataclass(frozen=True, slots=True)
class Eroute:
    """One outgoing rule.

    :ivar packets: what nftables counted of an eroute that was set by hand, else what the first SA of the group carried;
        policies themselves do not count. 0 where nobody counts.
    :ivar packets_shared: whether it is the count of an SA that other eroutes use, so that it is theirs too.
    :ivar source_ports: (lowest, highest), (0, 0) for every port; ICMP has its type here and its code in
        ``destination_ports``.
    :ivar said: canonical SAID of the first SA, or ``%pass``, ``%drop``, ``%reject``, ``%trap``, ``%hold``.
    :ivar sas: SAIDs of all SAs, innermost first; empty when ``said`` is an action.
    :ivar action: ``ipsec``, ``pass``, ``drop``, ``reject``, ``trap`` or ``hold``.
    :ivar owner: who installed it, None when it is not ours; ``tunnel`` and ``child`` likewise.
    :ivar source_identity: of the tunnel's end here, None when it is not one of ours; ``destination_identity`` of its
        peer, None also where that may be anybody.
    :ivar if_id: of the interface whose packets alone it is for, 0 for the packets of no such interface.
    """

    packets: int
    packets_shared: bool
    source: str
    source_ports: tuple[int, int]
    destination: str
    destination_ports: tuple[int, int]
    protocol: int
    said: str
    sas: tuple[str, ...]
    action: str
    priority: int
    reqid: int
    owner: str | None = None
    tunnel: str | None = None
    child: str | None = None
    source_identity: str | None = None
    destination_identity: str | None = None
    if_id: int = 0

    def row(self) -> dict[str, Any]:
        """The same as a dictionary, its keys in the order of the fields."""
        return dict(zip(_FIELDS, _VALUES(self), strict=True))

    def line(self) -> ErouteLine:
        """The same in classic words, in which no kernel wrote identities; a port range reads as every port."""
        source, destination = ipaddress.ip_network(self.source), ipaddress.ip_network(self.destination)
        first_ports = [low if low == high else 0 for low, high in (self.source_ports, self.destination_ports)]
        return ErouteLine(
            self.packets, source, first_ports[0], destination, first_ports[1], self.said, self.protocol,
            group=self.sas or (self.said,),
        )  # fmt: skip


# dataclasses.asdict would copy every value, in ten times the time.
_FIELDS = tuple(field.name for field in fields(Eroute))
_VALUES = attrgetter(*_FIELDS)


class Names(NamedTuple):
    """Whose a policy is, in the words of :class:`Eroute`."""

    owner: str | None = None
    tunnel: str | None = None
    child: str | None = None
    source_identity: str | None = None
    destination_identity: str | None = None


_NOBODY, _MANAGER = Names(), Names(neighbours.OWNER)


class SaTable:
    """SAs by the ways in which templates and SAIDs find them."""

    def __init__(self, sas: Iterable[SaState]) -> None:
        self._by_said: dict[Said, SaState] = {}
        self._by_template: dict[tuple[str, int, str, int], SaState] = {}
        self.holds: list[SaState] = []
        for sa in sas:
            if sa.hold:
                self.holds.append(sa)
                continue
            self._by_said[said_of(sa)] = sa
            if sa.larval:
                continue
            key = (sa.destination, sa.protocol, sa.mode, sa.reqid)
            held = self._by_template.get(key)
            if held is None or held.add_time <= sa.add_time:
                self._by_template[key] = sa

    def find(self, said: Said) -> SaState | None:
        """The SA with this name, reservations included."""
        return self._by_said.get(said)

    def resolve(self, template: Template, destination: str) -> SaState | None:
        """The SA that the kernel takes for ``template``: the pinned one, else the newest that fits.

        :param destination: used where the template, being in transport mode, names none.
        """
        address = template.destination if template.mode == "tunnel" else destination
        if template.spi:
            sa = self._by_said.get(Said(template.protocol, template.spi, address))
            return sa if sa and not sa.larval and sa.reqid == template.reqid and sa.mode == template.mode else None
        return self._by_template.get((address, template.protocol, template.mode, template.reqid))


def eroutes(
    policies: Iterable[Policy],
    sas: Iterable[SaState],
    children: Mapping[int, Child],
    groups: Iterable[tuple[Said, ...]],
    shunts: Mapping[int, Shunt] | None = None,
    counts: Mapping[tuple[int, int], int] | None = None,
    identities: Mapping[str, Identities] | None = None,
) -> list[Eroute]:
    """The table in the order in which the kernel tries it, holds first.

    Policies for a mark, inbound and forward policies are no eroutes.

    :param shunts: those that people set, by number; ``counts``: the packets of those that are counted, by
        number and the request ID of the SA that they lead to, 0 for none.
    :param identities: of the ends of tunnels, by name.
    """
    ends = identities or {}
    names = {reqid: Names(*child, *ends.get(child.tunnel, ())) for reqid, child in children.items()}
    policies = [policy for policy in policies if policy.direction == OUT and not policy.marked]
    table = SaTable(sas)
    heads = {said: members for members in groups for said in members}
    found = []
    alone: set[int] = set()
    for policy in policies:
        if is_pass(policy):
            found.append(_of_interface(policy.if_id, _pass(policy, policies, names)))
            continue
        eroute = _of_interface(policy.if_id, _eroute(policy, table, names, heads))
        if policy.index >= SHUNT_FIRST:
            if is_answer(policy):
                continue
            number = number_of(policy)
            eroute = _set_by_hand(eroute, number, shunts or {}, counts or {})
            if number is not None and (number, eroute.reqid) in (counts or {}):
                alone.add(len(found))
        found.append(eroute)
    found += [_of_interface(sa.if_id, _hold(sa, names, shunts or {})) for sa in table.holds]
    uses: dict[str, int] = {}
    for eroute in found:
        uses[eroute.said] = uses.get(eroute.said, 0) + 1
    found = [
        replace(e, packets_shared=True) if e.sas and uses[e.said] > 1 and place not in alone else e
        for place, e in enumerate(found)
    ]
    return sorted(found, key=lambda e: (e.priority, e.source, e.destination, e.protocol, e.source_ports, e.said))


def _pass(policy: Policy, others: Iterable[Policy], names: Mapping[int, Names]) -> Eroute:
    """What passes by a tunnel belongs to that."""
    owner = owner_of_pass(policy, others)
    whose = names.get(child_reqid(owner.reqid), _NOBODY) if owner else _NOBODY
    return _build(policy.selector, "pass", policy.priority, 0, whose)


def _eroute(
    policy: Policy, table: SaTable, names: Mapping[int, Names], heads: Mapping[Said, tuple[Said, ...]]
) -> Eroute:
    if policy.action == "block":
        # Of a child that drops its packets; the SA that it demands is for nothing but that.
        return _build(policy.selector, "drop", policy.priority, policy.reqid, names.get(policy.reqid, _NOBODY))
    if not policy.templates:
        whose = _MANAGER if neighbours.is_ours(policy) else _NOBODY
        return _build(policy.selector, "pass", policy.priority, 0, whose)
    reqid = policy.templates[0].reqid
    whose = names.get(child_reqid(reqid), _NOBODY)
    states: list[SaState] = []
    address = ""
    for template in policy.templates:
        if template.mode == "tunnel":
            address = template.destination
        state = table.resolve(template, address or _host(policy.selector))
        if state is not None:
            states.append(state)
        elif not template.optional:
            # A packet waits for every SA of the chain, not for the first one only.
            return _build(policy.selector, "trap", policy.priority, reqid, whose)
    if not states:
        return _build(policy.selector, "pass", policy.priority, reqid, whose)
    members = heads.get(said_of(states[0])) or tuple(map(said_of, states))
    return _build(policy.selector, "ipsec", policy.priority, reqid, whose, members, states[0].packets)


def _of_interface(if_id: int, eroute: Eroute) -> Eroute:
    return replace(eroute, if_id=if_id) if if_id else eroute


def _set_by_hand(
    eroute: Eroute, number: int | None, shunts: Mapping[int, Shunt], counts: Mapping[tuple[int, int], int]
) -> Eroute:
    if number is None or number not in shunts:
        return eroute
    shunt = shunts[number]
    # It is the owner's, whosever the SA is that it leads to.
    eroute = replace(eroute, **Names(shunt.owner)._asdict())
    if eroute.sas:
        return replace(eroute, packets=counts.get((number, eroute.reqid), eroute.packets))
    if shunt.action == REJECT:
        eroute = replace(eroute, action=REJECT, said=str(magic("%reject")))
    return replace(eroute, packets=counts.get((number, 0), 0))


def _host(selector: KernelSelector) -> str:
    """Where packets of a transport mode policy go: known for a single host only."""
    return network_text(selector.destination, selector.destination_prefix).partition("/")[0]


def _hold(sa: SaState, names: Mapping[int, Names], shunts: Mapping[int, Shunt]) -> Eroute:
    # Before every policy, as the packet it holds waits for its answer already.
    eroute = _build(sa.selector, "hold", 0, sa.reqid, names.get(child_reqid(sa.reqid), _NOBODY))
    trap = shunts.get(trap_number(sa.reqid))
    return replace(eroute, owner=trap.owner) if trap else eroute


def _build(
    selector: KernelSelector,
    action: str,
    priority: int,
    reqid: int = 0,
    whose: Names = _NOBODY,
    members: tuple[Said, ...] = (),
    packets: int = 0,
) -> Eroute:
    return Eroute(
        packets,
        False,
        network_text(selector.source, selector.source_prefix),
        _ports(selector.source_port, selector.source_port_mask),
        network_text(selector.destination, selector.destination_prefix),
        _ports(selector.destination_port, selector.destination_port_mask),
        selector.protocol,
        str(members[0]) if members else str(magic(f"%{action}")),
        tuple(map(str, members)),
        action,
        priority,
        reqid,
        *whose,
    )


def _ports(port: int, mask: int) -> tuple[int, int]:
    return (port & mask, port | ~mask & 0xFFFF) if mask else (0, 0)
