# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an optional feature is: one row, made of what a file beside this one holds.

The row says in which exchanges the feature speaks and listens, at which end, and what it keeps of an IKE SA. Handlers
of exchanges go through the rows and know no feature by name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any, Generic, NamedTuple, TypeVar

from ....crypto.keys import IkeKeys
from ....crypto.negotiation import Choice
from ....selector import Selector
from ....wire.v2.auth import AUTH
from ....wire.v2.message import encode_payloads
from ....wire.v2.payloads import Payloads
from ...connection import ChildConfig, Connection
from ...context import Context
from ...record_codec import Shape
from ..incoming import Incoming
from ..sa import BaseSa, EitherSa, Handshake, IkeSa, OpeningSa
from ..tasks import Kind

NOTHING = Payloads(())

# Whose handlers let the features speak themselves: what is said has its place among other payloads there.
OWN_ORDER = (Kind.INIT, Kind.AUTH)

V = TypeVar("V")
S_co = TypeVar("S_co", bound=EitherSa, covariant=True)


class Slot(Generic[V]):
    """What a feature keeps of an IKE SA, or of its handshake: a value that is replaced, never changed.

    :ivar empty: what there is before anything was put.
    :ivar shape: how its fields stand in the journal's record of the IKE SA, beside all others: so their names are
        unique; None for what is not kept.
    """

    def __init__(self, empty: V, shape: Shape | None = None) -> None:
        self.empty = empty
        self.shape = shape

    def of(self, holder: BaseSa | Handshake) -> V:
        """What was put last."""
        value: V
        for slot, value in holder.slots:
            if slot is self:
                return value
        return self.empty

    def put(self, holder: BaseSa | Handshake, value: V) -> None:
        """Put another value."""
        others = [pair for pair in holder.slots if pair[0] is not self]
        holder.slots = (*others, (self, value))


class Role(Enum):
    """The ends of an exchange."""

    __hash__ = object.__hash__  # as that of ``Kind``

    INITIATOR = "initiator"
    RESPONDER = "responder"


class Place(Enum):
    """Where in a message the payloads of a feature stand."""

    __hash__ = object.__hash__

    FIRST = "first"  # before all others
    BEHIND = "behind"  # behind what the exchange is about; in IKE_AUTH before the child
    IF_ROOM = "if_room"  # last, and left out where the answer to a stranger would be longer than its request


class Talk(Generic[S_co]):
    """What a feature is told when it speaks or listens.

    :ivar sa: being opened in the first exchanges; established when the responder of IKE_AUTH has heard it, and after.
    :ivar said: the payloads of the other end's message, none where we begin.
    """

    __slots__ = ("context", "said", "sa")

    def __init__(self, context: Context, sa: S_co, said: Payloads = NOTHING) -> None:
        self.context = context
        self.sa = sa
        self.said = said


class Sent(NamedTuple):
    """A message of ours as it went out.

    :ivar datagram: all of it, or its first fragment; ``chain``: its payloads in clear.
    """

    datagram: bytes
    chain: bytes


class Part(NamedTuple):
    """A feature's part in the exchanges of one kind, at one end.

    :ivar offer: its payloads in our message; a responder takes the request first.
    :ivar take: what it does about the other end's message; ``sealed``: about ours, once it is protected.
    """

    kind: Kind
    role: Role
    offer: Callable[[Talk[Any]], Sequence[Any]] | None = None
    take: Callable[[Talk[Any]], None] | None = None
    place: Place = Place.BEHIND
    sealed: Callable[[Talk[Any], Sent], None] | None = None


class Asked(NamedTuple):
    """What an end asks for in a child besides algorithms, as this host sees it."""

    mode: str
    local: tuple[Selector, ...]
    remote: tuple[Selector, ...]


class ChildTalk(NamedTuple):
    """What a feature is told when it is about a child.

    :ivar spi: ours, 4 octets. :ivar said: the payloads of the other end's message, none where we begin.
    """

    context: Context
    sa: EitherSa
    config: ChildConfig
    spi: bytes
    said: Payloads = NOTHING


class ChildPart(NamedTuple):
    """A feature's part in whatever message is about a child.

    :ivar offer: its payloads for a child of ours; ``read``: what the peer's payloads make of what it asks for.
    :ivar answered: what it does about the peer's answer, which is a good one.
    """

    offer: Callable[[ChildTalk], Sequence[Any]]
    read: Callable[[IkeSa, Payloads, Asked], Asked] | None = None
    answered: Callable[[ChildTalk], None] | None = None


class Claim(NamedTuple):
    """How a peer is to be proven, and what the IKE SA goes on with where it is.

    :ivar keys: with which both ends sign, and which the IKE SA has from then on; ``proof``: the peer's.
    :ivar kept: what features keep of it, by their slots.
    :ivar added: what was added to the keys, in words, which may be what is wrong where the proof does not hold.
    :ivar plain: the peer's other proof, without what was added; where that holds, ``reason`` is what is wrong.
    """

    keys: IkeKeys
    proof: AUTH | None
    kept: tuple[tuple[Slot[Any], Any], ...] = ()
    added: str = ""
    plain: tuple[IkeKeys, AUTH] | None = None
    reason: str = ""


Prove = Callable[[IkeKeys], bytes]


class Keying(NamedTuple):
    """A feature's part in the keys that both ends prove themselves with in IKE_AUTH.

    :ivar begin: initiator: with which keys it goes into IKE_AUTH.
    :ivar besides: initiator: payloads with proofs under other keys, of which it is given the way to make them.
    :ivar claim: both: the claim that the peer's message makes, for this definition. Raises IkeError.
    :ivar told: initiator: what a story of a refused IKE_AUTH says of it, empty where it had no part.
    """

    begin: Callable[[OpeningSa], IkeKeys]
    besides: Callable[[OpeningSa, Prove], Sequence[Any]]
    claim: Callable[[OpeningSa, Connection, Payloads, Claim], Claim]
    told: Callable[[OpeningSa], str]


class Feature(NamedTuple):
    """One optional feature.

    :ivar demand: what a stranger's first message is answered with, instead of being served: nothing, mostly. Asked
        first without, then with the room that it has for the answer (octets, negative where that is longer).
    :ivar agree: raises IkeError where the choice for a new IKE SA does not go with what the peer said beside it.
    :ivar accept: raises IkeError where the answer to our IKE_SA_INIT lacks what our definition demands.
    :ivar keying: its part in the keys of IKE_AUTH.
    :ivar signed: octets that both ends sign besides in IKE_AUTH; asked for with its Message ID.
    """

    name: str
    parts: tuple[Part, ...] = ()
    child: ChildPart | None = None
    demand: Callable[[Context, Incoming, int | None], Sequence[Any]] | None = None
    agree: Callable[[Choice, Payloads], None] | None = None
    accept: Callable[[Connection, Payloads], None] | None = None
    keying: Keying | None = None
    signed: Callable[[OpeningSa, int], bytes] | None = None
    slot: Slot[Any] | None = None


class Features:
    """The rows, composed.

    :ivar kinds: the exchanges in which any of them has a part that no handler looks after.
    """

    def __init__(self, rows: Sequence[Feature]) -> None:
        self.slots = tuple(row.slot for row in rows if row.slot is not None)
        parts = [part for row in rows for part in row.parts]
        self.kinds = frozenset(p.kind for p in parts if p.kind not in OWN_ORDER or p.sealed is not None)
        self._children = tuple(row.child for row in rows if row.child is not None)
        self._demands = tuple(row.demand for row in rows if row.demand is not None)
        self._agree = tuple(row.agree for row in rows if row.agree is not None)
        self._accept = tuple(row.accept for row in rows if row.accept is not None)
        self._keying = tuple(row.keying for row in rows if row.keying is not None)
        self._signed = tuple(row.signed for row in rows if row.signed is not None)
        self._offers: dict[tuple[Kind, Role, Place], list[Callable[[Talk[Any]], Sequence[Any]]]] = {}
        self._takes: dict[tuple[Kind, Role], list[Callable[[Talk[Any]], None]]] = {}
        self._sealed: dict[tuple[Kind, Role], list[Callable[[Talk[Any], Sent], None]]] = {}
        for part in parts:
            if part.offer is not None:
                self._offers.setdefault((part.kind, part.role, part.place), []).append(part.offer)
            if part.take is not None:
                self._takes.setdefault((part.kind, part.role), []).append(part.take)
            if part.sealed is not None:
                self._sealed.setdefault((part.kind, part.role), []).append(part.sealed)

    def offers(self, talk: Talk[Any], kind: Kind, role: Role, place: Place = Place.BEHIND) -> list[Any]:
        """What all of them say in our message."""
        payloads: list[Any] = []
        for offer in self._offers.get((kind, role, place), ()):
            payloads += offer(talk)
        return payloads

    def take(self, talk: Talk[Any], kind: Kind, role: Role) -> None:
        """Have all of them hear the other end's message."""
        for take in self._takes.get((kind, role), ()):
            take(talk)

    def sealed(self, talk: Talk[Any], kind: Kind, role: Role, datagram: bytes, payloads: Sequence[Any]) -> None:
        """Tell all of them that our message is protected."""
        for sealed in self._sealed.get((kind, role), ()):
            sealed(talk, Sent(datagram, encode_payloads(payloads)[1]))

    def agree(self, choice: Choice, said: Payloads) -> None:
        """Ask all of them about the choice for a new IKE SA.

        :raises IkeError: one of them has something against it.
        """
        for agree in self._agree:
            agree(choice, said)

    def accept(self, connection: Connection, said: Payloads) -> None:
        """Ask all of them about the answer to our IKE_SA_INIT.

        :raises IkeError: it lacks what the definition demands.
        """
        for accept in self._accept:
            accept(connection, said)

    def keys(self, sa: OpeningSa) -> IkeKeys:
        """The keys with which an initiator goes into IKE_AUTH."""
        keys = sa.protected.keys
        for part in self._keying:
            keys = part.begin(sa)
        return keys

    def besides(self, sa: OpeningSa, prove: Prove) -> list[Any]:
        """The initiator's proofs under other keys."""
        return [payload for part in self._keying for payload in part.besides(sa, prove)]

    def claim(self, sa: OpeningSa, connection: Connection, said: Payloads, proof: AUTH | None) -> Claim:
        """What the peer claims in IKE_AUTH, for this definition.

        :raises IkeError: it does not go with the definition.
        """
        claim = Claim(sa.protected.keys, proof)
        for part in self._keying:
            claim = part.claim(sa, connection, said, claim)
        return claim

    def told(self, sa: OpeningSa) -> str:
        """What all of them have to say where the peer refuses IKE_AUTH."""
        return "".join(part.told(sa) for part in self._keying)

    def signed(self, sa: OpeningSa, message_id: int) -> bytes:
        """What both ends sign besides in the IKE_AUTH exchange of that Message ID."""
        octets = b""
        for signed in self._signed:
            octets += signed(sa, message_id)
        return octets

    def demand(self, context: Context, got: Incoming, room: int | None = None) -> Sequence[Any]:
        """What a stranger's first message is answered with instead of being served; nothing where it is."""
        for demand in self._demands:
            payloads = demand(context, got, room)
            if payloads:
                return payloads
        return ()

    def child_offers(self, talk: ChildTalk) -> list[Any]:
        """What all of them say of a child."""
        return [payload for part in self._children for payload in part.offer(talk)]

    def child_answered(self, talk: ChildTalk) -> None:
        """Have all of them hear the answer to what we asked for."""
        for part in self._children:
            if part.answered is not None:
                part.answered(talk)

    def asked_child(
        self, sa: IkeSa, said: Payloads, local: tuple[Selector, ...], remote: tuple[Selector, ...]
    ) -> Asked:
        """What the peer asks for, or answers with; its selectors are those of our side and of its own."""
        asked = Asked("tunnel", local, remote)
        for part in self._children:
            if part.read is not None:
                asked = part.read(sa, said, asked)
        return asked
