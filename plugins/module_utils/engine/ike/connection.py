# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an operator defined, in the engine's own terms: one peer, how to authenticate, which children."""

from __future__ import annotations

from ..child_sa import Copied
from ..crypto.auth import Authenticator
from ..crypto.ppk import Ppk
from ..crypto.proposals import EspProposal, IkeProposal
from ..identity import Identity
from ..identity_pattern import IdentityPattern
from ..newer_python import dataclass
from ..selector import Selector

IP_PROTOCOLS = {2: 51, 3: 50}  # IKEv2 protocol ID -> IP protocol: AH, ESP
REPLACE, KEEP, NEVER = "replace", "keep", "never"  # what becomes of two IKE SAs of one identity
PROTOCOL_IDS = {number: protocol for protocol, number in IP_PROTOCOLS.items()}


@dataclass(frozen=True, slots=True)
class ChildConfig:
    """One child (phase 2) of a connection.

    :ivar reqid: kernel request ID, from our reserved range.
    :ivar start: ``auto`` (negotiate with the IKE SA), ``trap`` (at the first packet) or ``manual``.
    :ivar mode: ``tunnel`` or ``transport``.
    :ivar lifetime: seconds until a rekey has to be complete.
    :ivar lifetime_bytes: octets, 0 for no limit; ``lifetime_packets`` likewise.
    :ivar ipcomp: whether packets are compressed first, where the peer takes that (RFC 7296 section 2.22).
    :ivar priority: of its policies in the kernel, 0 for one that follows from its selectors.
    :ivar copied: what of the header inside a tunnel goes to the one outside, and back.
    :ivar offload: ``none``, or ``crypto`` where the device of the way to the peer is to encrypt.
    :ivar if_id: kernel interface whose packets it protects, 0 for none; handed on to its Child SAs.
    """

    name: str
    reqid: int
    local: tuple[Selector, ...]
    remote: tuple[Selector, ...]
    proposals: tuple[EspProposal, ...]
    mode: str = "tunnel"
    start: str = "auto"
    lifetime: float = 3600.0
    lifetime_bytes: int = 0
    lifetime_packets: int = 0
    replay_window: int = 128
    if_id: int = 0
    ipcomp: bool = False
    priority: int = 0
    copied: Copied = Copied()
    offload: str = "none"

    @property
    def protocol(self) -> int:
        """The IP protocol of its SAs: 50 (ESP) or 51 (AH); all proposals of a child are of one."""
        return IP_PROTOCOLS[self.proposals[0].protocol]


@dataclass(frozen=True, slots=True)
class Connection:
    """One peer (phase 1).

    :ivar version: IKE version, 2 (1 comes with the IKEv1 floor).
    :ivar local_address: address text, or None for any of this host's.
    :ivar remote_address: address text, or None when the peer's address is not known (it always initiates).
    :ivar other_addresses: of the peer, in order of preference after that one; it may come from each of them.
    :ivar remote_port: where the peer's IKE listens; ``remote_natt_port`` for ESP in UDP. Where
        both are one, IKE begins behind the non-ESP marker.
    :ivar auth: how both ends authenticate.
    :ivar remote_id: None accepts any identity that authenticates.
    :ivar answers: whether the peer may start it; if not, its requests find no such tunnel.
    :ivar lifetime: seconds until the IKE SA has to be rekeyed.
    :ivar reauth: seconds until both ends prove themselves anew, 0 for never.
    :ivar dpd_delay: seconds of silence before a liveness check, 0 for none (RFC 7296 section 2.4).
    :ivar retransmit_timeout: seconds for which a request is repeated before the peer counts as unreachable.
    :ivar starts: whether this end may begin an IKE SA of its own accord.
    :ivar fragment_size: octets of the packets that a protected message is divided into where it is larger, IP header
        included; 0 never divides, nor takes what the peer divides (RFC 7383).
    :ivar dscp: of the packets that carry IKE, 0 to 63.
    :ivar encapsulation: ``auto`` (when a NAT is found) or ``force`` (always UDP).
    :ivar pattern: where it is for many peers, the identities that these may have; ``remote_id`` is None then.
    :ivar networks: where those peers may come from; none for anywhere.
    :ivar max_instances: how many of them may be there at once.
    :ivar unique: what becomes of the IKE SA of an identity that comes once more, from another address: :data:`REPLACE`
        it, :data:`KEEP` it and refuse the other one, :data:`NEVER` mind.
    :ivar definition: of an instance, the name of the definition that it is of; empty for others.
    :ivar ppks: post-quantum preshared keys (RFC 8784); as initiator the first one is used.
    :ivar ppk_required: whether there is no IKE SA without one of them.
    """

    name: str
    local_id: Identity
    auth: Authenticator
    proposals: tuple[IkeProposal, ...]
    children: tuple[ChildConfig, ...]
    local_address: str | None = None
    remote_address: str | None = None
    other_addresses: tuple[str, ...] = ()
    remote_port: int = 500
    remote_natt_port: int = 4500
    remote_id: Identity | None = None
    version: int = 2
    lifetime: float = 14400.0
    reauth: float = 0.0
    dpd_delay: float = 30.0
    encapsulation: str = "auto"
    answers: bool = True
    retransmit_timeout: float = 60.0
    starts: bool = True
    fragment_size: int = 1280
    ppks: tuple[Ppk, ...] = ()
    ppk_required: bool = False
    dscp: int = 0
    pattern: IdentityPattern | None = None
    networks: tuple[Selector, ...] = ()
    max_instances: int = 0
    unique: str = REPLACE
    definition: str = ""

    @property
    def remote_addresses(self) -> tuple[str, ...]:
        """All addresses of the peer, in order of preference; none where they are not known."""
        return () if self.remote_address is None else (self.remote_address, *self.other_addresses)

    @property
    def auto_children(self) -> tuple[ChildConfig, ...]:
        """The children that come with the IKE SA."""
        return tuple(child for child in self.children if child.start == "auto")
