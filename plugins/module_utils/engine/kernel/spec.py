# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tunnel manager hands to the kernel floor: one Child SA as plain values."""

from __future__ import annotations

from ..newer_python import dataclass
from ..secret import Secret
from ..selector import Selector


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
class ChildSpec:
    """One Child SA: a pair of SAs and the packets they protect.

    A trap needs only the fields without a default; an SA also needs SPIs, algorithms and keys.

    :ivar reqid: request ID, from :data:`registry.REQID_FIRST` to ``REQID_LAST``; all generations of a child share it.
    :ivar local_selectors: what this side may send from; with ``remote_selectors`` in every combination.
    :ivar protocol: 50 (ESP) or 51 (AH).
    :ivar mode: ``tunnel`` or ``transport``.
    :ivar spi_in: SPI of the SA that receives; ``spi_out`` of the one that sends.
    :ivar encryption: kernel name of the cipher (``rfc4106(gcm(aes))``, ``cbc(aes)``), empty for AH.
    :ivar aead_icv_bits: length of the ICV of an AEAD in bits, 0 when ``encryption`` is not an AEAD.
    :ivar integrity: kernel name of the integrity algorithm (``hmac(sha256)``), empty with an AEAD.
    :ivar integrity_bits: bits of the integrity check value that travel.
    :ivar encryption_in: key octets, an AEAD's salt appended (RFC 4106 section 8.1).
    :ivar encapsulation: (local, remote) UDP ports for ESP in UDP (RFC 3948), or None.
    :ivar replay_window: packets; 0 for no replay protection.
    :ivar if_id: of the XFRM interface whose packets it protects, 0 for the packets of no such interface.
    :ivar defined: (local, remote) selectors that the peer narrowed to these, by which they rank among the definitions;
        None where it did not.
    :ivar passes: (local, remote) selectors of packets that pass by it, in clear.
    """

    reqid: int
    owner: str
    tunnel: str
    child: str
    local_address: str
    remote_address: str
    local_selectors: tuple[Selector, ...]
    remote_selectors: tuple[Selector, ...]
    protocol: int = 50
    mode: str = "tunnel"
    spi_in: int = 0
    spi_out: int = 0
    encryption: str = ""
    aead_icv_bits: int = 0
    integrity: str = ""
    integrity_bits: int = 0
    encryption_in: Secret | None = None
    encryption_out: Secret | None = None
    integrity_in: Secret | None = None
    integrity_out: Secret | None = None
    encapsulation: tuple[int, int] | None = None
    esn: bool = False
    replay_window: int = 128
    limits: Limits = Limits()
    if_id: int = 0
    defined: tuple[tuple[Selector, ...], tuple[Selector, ...]] | None = None
    passes: tuple[tuple[Selector, Selector], ...] = ()


@dataclass(frozen=True, slots=True)
class Usage:
    """What an SA carried so far.

    :ivar add_time: seconds since the epoch; ``use_time``: of the first packet, 0 for none yet; ``last_used``: of the
        latest packet where the kernel tells, else 0.
    :ivar integrity_failed: packets whose ICV was wrong; ``replayed``: packets refused by the replay window.
    """

    bytes: int = 0
    packets: int = 0
    add_time: int = 0
    use_time: int = 0
    last_used: int = 0
    integrity_failed: int = 0
    replayed: int = 0
