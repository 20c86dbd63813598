# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""IKE SAs and their children as whoever is above the protocol sees them, whatever their version."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from ..child_sa import ChildSa
from ..identity import Identity
from ..newer_python import dataclass
from .actions import Path


class Stage(Enum):
    """How far an IKE SA is."""

    OPENING = "opening"  # being negotiated
    ESTABLISHED = "established"
    ENDING = "ending"  # another one took its place, or its end is announced
    OVER = "over"  # it only repeats its last answer, or is gone


class ChildStage(Enum):
    """How far a Child SA is."""

    RECEIVING = "receiving"  # the SA that sends is still to come
    SENDING = "sending"  # carries packets both ways
    RELIEVED = "relieved"  # another one sends for it
    ENDING = "ending"  # its end is announced
    OVER = "over"


class Refusal(NamedTuple):
    """What the peer said when it last refused fresh keys, and how often in a row it has done so.

    :ivar reason: key of the closed list of reasons.
    """

    reason: str
    story: str
    times: int = 1

    @property
    def serious(self) -> bool:
        """Whether people should know: both ends rekeying at once makes either busy for a moment."""
        return self.reason != "peer_busy" or self.times > 1


class Asked(NamedTuple):
    """Our request that has no answer yet: what it is and how large, in words, and how often it was sent.

    :ivar hint: what may keep it from arriving because of its size; empty where nothing does.
    """

    what: str
    tries: int
    size: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True)
class ChildView:
    """A Child SA. Times as given to the verbs.

    :ivar state: in the words of its version; ``stage``: in those of all versions.
    :ivar refusal: why it got no fresh keys the last time.
    """

    number: int
    name: str
    state: str
    stage: ChildStage
    sa: ChildSa
    created: float
    rekey_at: float
    expires_at: float
    refusal: Refusal | None


@dataclass(frozen=True, slots=True)
class IkeView:
    """An IKE SA.

    :ivar state: in the words of its version; ``stage``: in those of all versions.
    :ivar local: our identity, ``remote``: the peer's, as they are proven or else as they are defined.
    :ivar peer: the identity that the peer has proven, None before it has.
    :ivar encryption: registry name, as those of ``integrity`` (empty with an AEAD), ``prf`` and ``key_exchange``;
        all are empty before they are agreed.
    :ivar ppk: name of the post-quantum preshared key that is mixed in, empty for none.
    :ivar reauth_at: until when both ends are to have proven themselves anew, 0 for never.
    :ivar begun: whether we began it, and its first exchanges are not over.
    :ivar lasting: whether it is up and not about to be closed.
    :ivar retired: whether it and its children end with their lifetimes, without fresh keys.
    :ivar refusal: why it got no fresh keys the last time.
    :ivar asked: our request that has no answer yet.
    :ivar coming: names of the children that we ask for, or are going to.
    :ivar reserved: SPIs of ours, and CPIs, that are kept for them.
    """

    number: int
    tunnel: str
    state: str
    stage: Stage
    initiator: bool
    path: Path
    local: Identity
    remote: Identity | None
    peer: Identity | None
    spi_i: bytes
    spi_r: bytes
    encryption: str
    integrity: str
    prf: str
    key_exchange: str
    ppk: str
    nat: bool
    created: float
    rekey_at: float
    reauth_at: float
    expires_at: float
    last_heard: float
    begun: bool
    lasting: bool
    retired: bool
    refusal: Refusal | None
    asked: Asked | None
    coming: tuple[str, ...]
    reserved: tuple[int, ...]
    children: tuple[ChildView, ...]

    @property
    def algorithms(self) -> tuple[str, ...]:
        """Those that are in use."""
        return tuple(filter(None, (self.encryption, self.integrity, self.prf, self.key_exchange)))

    @property
    def local_id(self) -> str:
        """Our identity as text."""
        return str(self.local)

    @property
    def remote_id(self) -> str:
        """The peer's identity as text, empty where nobody has said it."""
        return "" if self.remote is None else str(self.remote)


class Counts(NamedTuple):
    """How many SAs there are.

    :ivar ike: IKE SAs, in whatever state; ``up``: those of tunnels that are established.
    """

    ike: int
    up: int
    children: int
