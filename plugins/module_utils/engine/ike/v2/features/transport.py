# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Transport mode (RFC 7296 section 1.3.1), across a NAT as well (section 2.23.1).

A transport mode packet has one IP header, and the NAT rewrites it: each end names the
addresses that it sees itself. So the selectors that come from the peer are put into the
addresses of the IKE SA as seen here, before anything else is done with them.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import replace

from ....selector import Selector
from ....wire.v2.notify import Notify
from ....wire.v2.numbers import NotifyType
from ....wire.v2.payloads import Payloads
from ..sa import IkeSa
from . import nat
from .feature import Asked, ChildPart, ChildTalk, Feature

_NUMBER = int(NotifyType.USE_TRANSPORT_MODE)


def _offer(talk: ChildTalk) -> Sequence[Notify]:
    return [Notify(_NUMBER)] if talk.config.mode == "transport" else []


def _read(sa: IkeSa, said: Payloads, asked: Asked) -> Asked:
    """The peer's selectors with the addresses that packets have at this host."""
    if said.notify(_NUMBER) is None:
        return asked
    local, remote, behind = asked.local, asked.remote, nat.FOUND.of(sa)
    if behind.nat_local:
        local = _at(sa.path.local_address, local)
    if behind.nat_remote:
        remote = _at(sa.path.remote_address, remote)
    return Asked("transport", local, remote)


def _at(address: str, selectors: Iterable[Selector]) -> tuple[Selector, ...]:
    packed = ipaddress.ip_address(address).packed
    return tuple(dict.fromkeys(replace(selector, first=packed, last=packed) for selector in selectors))


FEATURE = Feature("transport_mode", child=ChildPart(_offer, _read))
