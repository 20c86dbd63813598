# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SAs and policies as the kernel keeps them, as plain values (RFC 4301 section 4.4)."""

from __future__ import annotations

from typing import NamedTuple

from ..child_sa import Copied, Limits
from ..newer_python import dataclass
from ..said import Said
from ..secret import Secret

ESP, AH, IPCOMP = 50, 51, 108
PROTOCOL_NAMES = {ESP: "ESP", AH: "AH", IPCOMP: "IPComp"}

OUT, IN, FWD = "out", "in", "fwd"


class KernelSelector(NamedTuple):
    """Which packets: prefixes, one protocol, ports under a mask.

    :ivar family: IP version, 4 or 6.
    :ivar source: network address, 4 or 16 octets in network order, with ``source_prefix`` bits.
    :ivar protocol: IP protocol number, 0 for every protocol.
    :ivar source_port: compared under ``source_port_mask`` (0: every port); ICMP has its type here and its code in
        ``destination_port``.
    """

    family: int
    source: bytes
    source_prefix: int
    destination: bytes
    destination_prefix: int
    protocol: int = 0
    source_port: int = 0
    source_port_mask: int = 0
    destination_port: int = 0
    destination_port_mask: int = 0
    ifindex: int = 0


Place = tuple[KernelSelector, str, int]  # of a policy: selector, direction, interface


class Aead(NamedTuple):
    """Combined mode cipher: kernel name, key with the salt appended, bits of the ICV."""

    name: str
    key: Secret
    icv_bits: int


class Crypt(NamedTuple):
    """Cipher: kernel name and key."""

    name: str
    key: Secret


class Auth(NamedTuple):
    """Integrity algorithm: kernel name, key, bits of the ICV that travel."""

    name: str
    key: Secret
    trunc_bits: int


@dataclass(frozen=True, slots=True)
class Sa:
    """An SA to install.

    :ivar source: address text; ``destination`` likewise.
    :ivar encapsulation: (source, destination) UDP ports of ESP in UDP as they stand in the packets of this SA.
    :ivar replay_window: packets, 0 to 4096; with ESN at least 1 (RFC 4303 section 3.3.3).
    :ivar af_unspec: whether the inner packets may be of another family (tunnel mode).
    :ivar limits: when it expires.
    :ivar if_id: of the interface that its packets pass, 0 for none.
    :ivar copied: what of the header inside a tunnel goes to the one outside, and back.
    :ivar device: index of the network interface that is to encrypt, or decrypt where ``receives``; 0 for none.
    """

    source: str
    destination: str
    spi: int
    protocol: int
    mode: str
    reqid: int
    aead: Aead | None = None
    encryption: Crypt | None = None
    integrity: Auth | None = None
    compression: str | None = None
    encapsulation: tuple[int, int] | None = None
    replay_window: int = 0
    esn: bool = False
    af_unspec: bool = False
    limits: Limits = Limits()
    if_id: int = 0
    copied: Copied = Copied()
    device: int = 0
    receives: bool = False


@dataclass(frozen=True, slots=True)
class SaState:
    """An SA as dumped; keys are never read.

    :ivar algorithms: kernel names in the order AEAD, cipher, integrity, compression, as far as there are any.
    :ivar add_time: seconds since the epoch; ``use_time``, ``last_used``: 0 when never or not told.
    :ivar larval: an SPI reservation, or (SPI 0) a hold that waits for its SA.
    :ivar selector: the packets it is limited to; all-zero prefixes mean no limit.
    :ivar af_unspec: whether the inner packets may be of another family.
    :ivar if_id: of the interface that its packets pass, 0 for none.
    :ivar device: index of the network interface that does the cryptography, 0 where the processor does.
    """

    source: str
    destination: str
    spi: int
    protocol: int
    mode: str
    reqid: int
    family: int
    algorithms: tuple[str, ...]
    encapsulation: tuple[int, int] | None
    replay_window: int
    esn: bool
    larval: bool
    bytes: int
    packets: int
    add_time: int
    use_time: int
    last_used: int
    replayed: int
    integrity_failed: int
    selector: KernelSelector
    af_unspec: bool = False
    if_id: int = 0
    device: int = 0

    @property
    def hold(self) -> bool:
        """Whether this is a packet's place while its SA is being negotiated (%hold of old)."""
        return self.larval and self.spi == 0


def said_of(sa: SaState) -> Said:
    """The name of an SA."""
    return Said(sa.protocol, sa.spi, sa.destination)


class Template(NamedTuple):
    """What a policy demands of a packet: an SA of this kind. Address text; SPI and reqid 0 mean any.

    :ivar shared: whether several children of ours hand a selector over to each other just now, and the template lets
        in what any of them receives. The kernel keeps it as the share mode *unique*, which it makes no use of.
    """

    source: str
    destination: str
    spi: int
    protocol: int
    mode: str
    reqid: int
    optional: bool = False
    shared: bool = False


class Policy(NamedTuple):
    """A policy: packets and what happens to them.

    :ivar direction: ``out``, ``in`` or ``fwd``.
    :ivar priority: the lowest number wins.
    :ivar action: ``allow`` or ``block``.
    :ivar templates: first one applied first on output (innermost).
    :ivar index: the kernel's number of it; 0 when it is not installed yet.
    :ivar marked: whether it is tied to a mark and so seen by those packets only.
    :ivar if_id: of the interface whose packets alone see it, 0 for those of no such interface. One selector may have
        a policy for each.
    :ivar local_ok: the kernel's flag of that name, which does nothing but mark those of ours that let packets pass by a
        tunnel (:func:`policies.passes`): they have no request ID.
    """

    selector: KernelSelector
    direction: str
    priority: int
    action: str = "allow"
    templates: tuple[Template, ...] = ()
    index: int = 0  # type: ignore[assignment]  # the field hides tuple.index
    add_time: int = 0
    use_time: int = 0
    marked: bool = False
    if_id: int = 0
    local_ok: bool = False

    @property
    def reqid(self) -> int:
        """The request ID of the first template, which says whose the policy is; 0 without one.

        The others may be of SAs that were grouped with it.
        """
        return self.templates[0].reqid if self.templates else 0


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
