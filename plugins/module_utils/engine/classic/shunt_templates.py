# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Eroutes to an SA: the templates that its policies need, of the SA alone or of its whole group."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address, ip_network

from ..errors import RefusedError
from ..kernel import sa_chains
from ..kernel.values import FWD, IPCOMP, OUT, Policy, SaState, Template
from ..said import Said, parse_said
from . import group_rules
from .group_snapshot import Snapshot
from .shunt import IPSEC, Shunt, policies

# Members that the kernel has, with their states.
Whole = Sequence[tuple[Said, SaState]]


def with_templates(shunt: Shunt, number: int, kernel: Snapshot, place: str) -> list[Policy]:
    """The policies of a shunt, those of action ``ipsec`` with the templates of the SA that it names.

    :param place: what the user calls the SA, for errors.
    :raises RefusedError: there is no such SA, or it cannot take these packets.
    """
    found = policies(shunt, number)
    if shunt.action != IPSEC:
        return found
    chain = _chain(parse_said(shunt.said), kernel, place)
    found = [sa_chains.with_chain(policy._replace(templates=(_first(policy, chain),)), chain) for policy in found]
    for policy in found:
        group_rules.check_family(policy, chain, lambda _said: place)
        _check_ends(policy, chain, place)
    # Nothing that is forwarded was protected in transport mode.
    return found if chain[0][1].mode == "tunnel" else [policy for policy in found if policy.direction != FWD]


def _chain(said: Said, kernel: Snapshot, place: str) -> Whole:
    """The SAs that a SAID stands for: its group, or itself.

    :raises RefusedError: there is no such SA, or it is not the first of its group; :raises InputError: it can be none.
    """
    group_rules.check_name(said, place)
    members = kernel.group_of(said)
    if members and members[0] != said and sa_chains.transforms(members, kernel.sas)[0][0] != said:
        raise RefusedError(
            place, str(said), f"is inside the group {members[0]}", f"name the group by its first SA, {members[0]}"
        )
    if not members and said.protocol == sa_chains.TUN:
        raise RefusedError(
            place, str(said), "names no group, and a tun alone is no SA",
            "group it with the SA that encapsulates first: ipsec spigrp --said TUN SA",
        )  # fmt: skip
    chain: list[tuple[Said, SaState]] = []
    for member, sa in sa_chains.transforms(members or (said,), kernel.sas):
        if sa is None:
            raise group_rules.no_such_sa(member, place)
        chain.append((member, sa))
    return chain


def _check_ends(policy: Policy, chain: Whole, place: str) -> None:
    """Transport mode keeps the addresses of a packet, so that such an SA only ever fits those between its own ends."""
    said, sa = chain[0]
    if sa.mode != "transport":
        return
    selector = policy.selector
    pairs = (
        (sa.source, selector.source, selector.source_prefix),
        (sa.destination, selector.destination, selector.destination_prefix),
    )
    if not all(ip_address(end) in ip_network((network, prefix)) for end, network, prefix in pairs):
        raise RefusedError(
            place, str(said), f"is in transport mode, which carries packets from {sa.source} to {sa.destination} alone",
            "write these two addresses, or create the SA in tunnel mode",
        )  # fmt: skip


def _first(policy: Policy, chain: Whole) -> Template:
    inbound = policy.direction != OUT
    sa = chain[0][1]
    spi = 0 if inbound else sa.spi
    return Template(sa.source, sa.destination, spi, sa.protocol, sa.mode, sa.reqid, inbound and sa.protocol == IPCOMP)
