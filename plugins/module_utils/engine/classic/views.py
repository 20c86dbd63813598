# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One look at the kernel: its eroutes and its groups of SAs, each table dumped once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from ..kernel.client import XfrmClient
from ..kernel.registry import RegistryView
from ..kernel.values import PROTOCOL_NAMES, SaState, said_of
from ..said import Said
from . import shunt_rules
from .eroutes import Eroute, eroutes
from .shunt import Shunt, of_shape


class Tables(NamedTuple):
    """What :func:`read_tables` found; ``groups`` have their SAs innermost first, an SA in no group stands alone."""

    eroutes: list[Eroute]
    groups: list[tuple[Said, ...]]


def read_tables(runtime_dir: str) -> Tables:
    """Read the kernel of this network namespace, with the names that the registry in ``runtime_dir`` has.

    :raises MissingError: without the permission, or without XFRM in the kernel.
    """
    client = XfrmClient()
    registry = RegistryView(runtime_dir)
    try:
        sas, known = client.dump_sas(), registry.groups()
        shunts = {number: of_shape(*row) for number, row in registry.shunts().items()}
        policies = client.dump_outbound_policies()
        counts, identities = _counts(shunts.values()), registry.identities()
        table = eroutes(policies, sas, registry.children(), known, shunts, counts, identities)
        return Tables(table, with_single_sas(known, sas))
    finally:
        registry.close()
        client.close()


def _counts(shunts: Iterable[Shunt]) -> Mapping[shunt_rules.Counter, int]:
    """Packets of the shunts that nftables counts; starting it is for those that have any."""
    return shunt_rules.read_packets() if any(shunt.counted for shunt in shunts) else {}


def with_single_sas(known: Iterable[tuple[Said, ...]], sas: Iterable[SaState]) -> list[tuple[Said, ...]]:
    """Groups as they were made, then each SA that is in none.

    SPI reservations are no SAs, nor are the IP in IP states that the kernel adds to IPComp by itself.
    """
    lines = list(known)
    grouped = {said for members in lines for said in members}
    alone = {said_of(sa) for sa in sas if not sa.larval and sa.protocol in PROTOCOL_NAMES} - grouped
    return lines + [(said,) for said in sorted(alone, key=lambda said: (said.destination, said.protocol, said.spi))]
