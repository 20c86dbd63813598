# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One Child SA as a value: what IKE negotiated, or a definition asks for, and what the kernel gets."""

from __future__ import annotations

from dataclasses import field, replace
from typing import Protocol

from .newer_python import dataclass
from .secret import Secret
from .selector import Selector


class KernelAlgorithm(Protocol):
    """What the kernel has to know of an algorithm: the rows of the registry are such."""

    @property
    def name(self) -> str:
        """The word for it in proposals."""

    @property
    def kernel(self) -> str:
        """The kernel's name: ``rfc4106(gcm(aes))``, ``hmac(sha256)``."""

    @property
    def icv_bits(self) -> int:
        """Bits of the integrity check value that travel."""


class KernelCipher(KernelAlgorithm, Protocol):
    """What encrypts."""

    @property
    def aead(self) -> bool:
        """Whether it proves integrity, too."""


@dataclass(frozen=True, slots=True)
class Limits:
    """When the kernel reports (soft) or ends (hard) an SA; 0 means never.

    Octets, packets, seconds since the SA was added, and seconds since its first packet.
    """

    soft_bytes: int = 0
    hard_bytes: int = 0
    soft_packets: int = 0
    hard_packets: int = 0
    soft_seconds: int = 0
    hard_seconds: int = 0
    soft_use_seconds: int = 0
    hard_use_seconds: int = 0


@dataclass(frozen=True, slots=True)
class Copied:
    """What of the IP header inside a tunnel goes to the one outside of it (RFC 4301 section 5.1.2), and back.

    :ivar dscp_out: DSCP when a packet is sent; ``dscp_in``: back when one is received.
    :ivar df: the bit that forbids fragments; without it the outer packet may be in fragments.
    :ivar ecn: marks of congestion (RFC 6040).
    """

    dscp_out: bool = True
    dscp_in: bool = False
    df: bool = True
    ecn: bool = True


def _no_key() -> Secret:
    return Secret(b"")


@dataclass(frozen=True, slots=True)
class ChildSa:
    """One Child SA: a pair of SAs and the packets they protect.

    One without SPIs is a child that is down: its policies hold its place. It needs no algorithms nor keys.

    :ivar number: the engine's own number of it, unique while the engine lives; 0 for one that is down.
    :ivar reqid: request ID of the kernel, from :data:`kernel.registry.REQID_FIRST` to ``REQID_LAST``; all generations
        of a child share it.
    :ivar protocol: 50 (ESP) or 51 (AH).
    :ivar mode: ``tunnel`` or ``transport``; ``pass``, ``drop`` or ``hold`` of one that never has SAs.
    :ivar spi_in: SPI of the SA that receives; ``spi_out`` of the one that sends.
    :ivar local_selectors: what this side may send from; with ``remote_selectors`` in every combination.
    :ivar encryption: None for AH; ``integrity``: None with an AEAD.
    :ivar encryption_in: key octets, an AEAD's salt appended (RFC 4106 section 8.1).
    :ivar encapsulation: (local, remote) UDP ports for ESP in UDP (RFC 3948), or None.
    :ivar replay_window: packets; 0 for no replay protection.
    :ivar if_id: of the XFRM interface whose packets it protects, 0 for the packets of no such interface.
    :ivar defined: (local, remote) selectors of its definition where the peer narrowed them, else None: by these it
        ranks among the definitions.
    :ivar owner: of the tunnel, which whoever keeps the definitions fills in; IKE knows none.
    :ivar passes: (local, remote) selectors of packets that pass by it, in clear; filled in likewise.
    :ivar cpi_in: CPI of the IPComp SA inside of the one that receives (RFC 3173), 0 for none; ``cpi_out`` of the one
        that sends. There are both or none.
    :ivar priority: of its policies, 0 for one that follows from its selectors.
    :ivar offload: ``none``, or ``crypto``: by the network interface ``device`` (its index), which whoever knows the way
        to the peer fills in.
    """

    tunnel: str
    child: str
    number: int
    reqid: int
    local_address: str
    remote_address: str
    protocol: int
    mode: str
    spi_in: int
    spi_out: int
    local_selectors: tuple[Selector, ...]
    remote_selectors: tuple[Selector, ...]
    encryption: KernelCipher | None
    integrity: KernelAlgorithm | None
    encryption_in: Secret = field(default_factory=_no_key)
    encryption_out: Secret = field(default_factory=_no_key)
    integrity_in: Secret = field(default_factory=_no_key)
    integrity_out: Secret = field(default_factory=_no_key)
    encapsulation: tuple[int, int] | None = None
    esn: bool = False
    replay_window: int = 128
    lifetime: Limits = Limits()
    if_id: int = 0
    defined: tuple[tuple[Selector, ...], tuple[Selector, ...]] | None = None
    owner: str = ""
    passes: tuple[tuple[Selector, Selector], ...] = ()
    cpi_in: int = 0
    cpi_out: int = 0
    priority: int = 0
    copied: Copied = Copied()
    offload: str = "none"
    device: int = 0

    def without_sas(self) -> ChildSa:
        """The same child when it is down: its policies hold its place."""
        return replace(self, spi_in=0, spi_out=0, cpi_in=0, cpi_out=0)
