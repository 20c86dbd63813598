# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the protocol engine asks of its caller.

Every verb of :class:`~.endpoint.Endpoint` returns a list of these values; the caller
performs them in order and feeds failures of the kernel back through
``Endpoint.kernel_event``.
"""

from __future__ import annotations

from dataclasses import field
from typing import Any, NamedTuple, Union

from ..child_sa import ChildSa
from ..newer_python import dataclass
from ..selector import Selector


class Path(NamedTuple):
    """The way of a datagram between this host and a peer.

    :ivar natt: whether it travels on the NAT traversal port; the caller adds and strips
        the non-ESP marker (RFC 3948 section 2.2), the engine never sees it.
    """

    local_address: str
    local_port: int
    remote_address: str
    remote_port: int
    natt: bool = False


@dataclass(frozen=True, slots=True)
class Send:
    """Send one IKE message (no marker in front) along ``path``, its packets marked with a DSCP (RFC 2474)."""

    datagram: bytes
    path: Path
    dscp: int = 0


@dataclass(frozen=True, slots=True)
class InstallInbound:
    """Add the SA that receives."""

    child: ChildSa


@dataclass(frozen=True, slots=True)
class InstallOutbound:
    """Add the SA that sends, then point the policies (out, in, fwd) to this child."""

    child: ChildSa


@dataclass(frozen=True, slots=True)
class PointPolicies:
    """Point the policies to this child, whose SAs are installed already."""

    child: ChildSa


@dataclass(frozen=True, slots=True)
class YieldPolicies:
    """Have the packets of this child go by others that send, also by those with wider policies; its SAs stay."""

    child: ChildSa


@dataclass(frozen=True, slots=True)
class RemoveSas:
    """Delete both SAs, the sending one first; policies stay."""

    child: ChildSa


@dataclass(frozen=True, slots=True)
class ResetPolicies:
    """Keep the policies, but without an SA: packets are dropped and raise an acquire, none leaves in clear."""

    child: ChildSa


@dataclass(frozen=True, slots=True)
class RemovePolicies:
    """Delete the policies of this child."""

    child: ChildSa


@dataclass(frozen=True, slots=True)
class ReleaseSpi:
    """Give back an SPI that was reserved and is not going to be used. ``spi`` is one of ours (inbound)."""

    local_address: str
    remote_address: str
    protocol: int
    spi: int


@dataclass(frozen=True, slots=True)
class Report:
    """Something an operator or the manager wants to know.

    :ivar kind: one of ``events.KINDS``.
    :ivar ike: number of the IKE SA, 0 when there is none yet.
    :ivar child: number of the Child SA, 0 when it is not about one.
    :ivar data: plain values, never secrets; a failure has ``reason`` (see ``reasons.py``) and ``story``.
    """

    kind: str
    tunnel: str
    ike: int = 0
    child: int = 0
    data: dict[str, Any] = field(default_factory=dict)


# About a Child SA, for the kernel.
KernelAction = Union[
    InstallInbound, InstallOutbound, PointPolicies, YieldPolicies, RemoveSas, ResetPolicies, RemovePolicies
]
Action = Union[Send, KernelAction, ReleaseSpi, Report]


# What the caller feeds back: Endpoint.kernel_event(event, now).


@dataclass(frozen=True, slots=True)
class InstallFailed:
    """The kernel refused an Install action; what was installed of this child before was rolled back by the caller."""

    child: ChildSa
    problem: str


@dataclass(frozen=True, slots=True)
class Acquire:
    """A packet matched a policy that has no SA. ``reqid`` names the child, the selectors are the packet's own."""

    reqid: int
    local: Selector | None = None
    remote: Selector | None = None


@dataclass(frozen=True, slots=True)
class Expire:
    """An SA reached a limit. ``spi`` and ``protocol`` as in the kernel; ``address`` is the SA's destination."""

    address: str
    protocol: int
    spi: int
    hard: bool


@dataclass(frozen=True, slots=True)
class MappingChanged:
    """ESP in UDP of an authenticated peer came from another address or port (its NAT made a new mapping)."""

    spi: int
    address: str
    port: int


@dataclass(frozen=True, slots=True)
class Vanished:
    """Somebody else deleted an SA. ``spi`` and ``protocol`` as in the kernel; ``address`` is the SA's destination."""

    address: str
    protocol: int
    spi: int


@dataclass(frozen=True, slots=True)
class Unanswered:
    """Packets have left through a Child SA for a while, and none came. ``spi`` is ours, at our ``address``."""

    address: str
    spi: int


KernelEvent = Union[InstallFailed, Acquire, Expire, MappingChanged, Vanished, Unanswered]
