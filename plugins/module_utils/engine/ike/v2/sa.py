# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The state of one IKE SA, being opened or established: plain data, no behaviour beyond bookkeeping."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import field
from enum import Enum
from typing import Any, NamedTuple, Union

from ...crypto.auth import NOTHING_ASKED, Asked
from ...crypto.exchange import KeyExchange
from ...crypto.keys import IkeKeys
from ...crypto.negotiation import Choice
from ...crypto.proposals import EspProposal, IkeProposal
from ...crypto.registry import KeyExchangeMethod, PseudorandomFunction
from ...crypto.sealer import Sealer
from ...identity import Identity
from ...newer_python import dataclass
from ...secret import Secret
from ...selector import Selector
from ..actions import Path
from ..connection import ChildConfig, Connection
from ..context import Context
from ..views import Refusal
from .child import Child
from .tasks import ChildTask, DeleteIke, Kind, NewChild, Request, Steps, Task


class State(Enum):
    """States of an IKE SA."""

    __hash__ = object.__hash__  # rows are looked up by them all the time, and that of Enum is a function of Python's

    START = "start"  # nothing sent or received yet
    INIT_SENT = "init_sent"  # initiator: IKE_SA_INIT is out
    INIT_ANSWERED = "init_answered"  # responder: keys exist, the peer is not authenticated
    INTERMEDIATE = "intermediate"  # responder: likewise, and more key exchanges come first
    AUTH_SENT = "auth_sent"  # initiator: IKE_AUTH is out
    ESTABLISHED = "established"
    REKEYED = "rekeyed"  # another IKE SA took over, waits for its Delete
    DELETING = "deleting"  # our Delete is out
    REFUSED = "refused"  # responder: authentication failed, only repeats its answer
    GONE = "gone"


# What strangers may bring about.
HALF_OPEN = (State.INIT_ANSWERED, State.INTERMEDIATE)
# Where both ends know each other: requests are answered, and what they do lasts.
AUTHENTICATED = (State.ESTABLISHED, State.REKEYED, State.DELETING)


class Making(ABC):
    """What the peer asked for, and which key exchanges are over; it is made when none is left.

    :ivar choice: what was agreed on; ``nonces``: the peer's and ours; ``spi``: ours of what is to be made.
    :ivar secrets: of the key exchanges that are over, the first one included.
    :ivar link: by which the peer names it; ``expires``: when it is given up.
    """

    __slots__ = ("choice", "expires", "link", "nonces", "secrets", "spi")

    def __init__(self, choice: Choice, nonces: tuple[bytes, bytes], spi: bytes, secrets: tuple[Secret, ...]) -> None:
        self.choice = choice
        self.nonces = nonces
        self.spi = spi
        self.secrets = secrets
        self.link = b""
        self.expires = 0.0

    @property
    def left(self) -> tuple[KeyExchangeMethod, ...]:
        """The methods still to come."""
        return self.choice.more[max(0, len(self.secrets) - 1) :]

    @abstractmethod
    def check(self, context: Context, sa: IkeSa) -> None:
        """Look whether it may be made yet.

        :raises IkeError: it is not to be made any more.
        """

    @abstractmethod
    def make(self, context: Context, sa: IkeSa) -> None:
        """Make it."""

    @abstractmethod
    def give_up(self, context: Context, sa: IkeSa) -> None:
        """Give back what is reserved for it."""

    @abstractmethod
    def holds(self, task: Task) -> bool:
        """Whether a task of ours waits for it."""


@dataclass(slots=True, eq=False)
class RekeyIke(Task):
    """Ask for an IKE SA in the place of this one.

    :ivar their_sa: the one that the peer's simultaneous rekey created; the IKE SA itself is *current* then, what the
        answer creates *mine*.
    :ivar offered: what was sent, whatever is defined by now.

    The others are those of :class:`.tasks.NewChild`.
    """

    kind = Kind.REKEY_IKE

    their_sa: IkeSa | None = None
    spi: bytes = b""
    nonce: bytes = b""
    exchange: KeyExchange | None = None
    offered: tuple[IkeProposal, ...] = ()
    group: int = 0
    restarts: int = 0
    steps: Steps | None = None

    def with_group(self, group: int) -> RekeyIke:
        """The same once more, with the key exchange group that the peer wants."""
        return RekeyIke(group=group, restarts=self.restarts + 1)


Creating = Union[ChildTask, RekeyIke]  # what CREATE_CHILD_SA is for


@dataclass(slots=True, eq=False)
class Partial:
    """What has come of a message of the peer in fragments (RFC 7383) so far.

    :ivar head: what all of its fragments have in common: exchange type, flags and Message ID; ``total``: how many.
    :ivar expires: when it is dropped.
    :ivar first: type of the first payload; ``datagram``: the first fragment as it came.
    :ivar chunks: by number of the fragment, its share of the payloads; ``octets``: of all of them.
    """

    head: tuple[int, int, int]
    total: int
    expires: float
    first: int = 0
    datagram: bytes = b""
    octets: int = 0
    chunks: dict[int, bytes] = field(default_factory=dict, repr=False)


@dataclass(slots=True, eq=False)
class Handshake:
    """What only the first two exchanges need; dropped once the IKE SA is established.

    :ivar choice: what was agreed on.
    :ivar sent: our IKE_SA_INIT message, octets as sent (signed by AUTH); ``received``: the peer's.
    :ivar offered: the proposals sent, which the definition may not have any more when the answer comes.
    :ivar wanted: the children to come with it; ``first``: the one that goes along with IKE_AUTH, and what that offers.
    :ivar slots: as those of the IKE SA.
    :ivar setback: the last unauthenticated refusal: (reason, story); reported if nothing better comes.
    :ivar asked: what the peer said in IKE_SA_INIT of what it can verify.
    """

    nonce_i: bytes = b""
    nonce_r: bytes = b""
    exchange: KeyExchange | None = None
    choice: Choice | None = None
    sent: bytes = b""
    received: bytes = b""
    group: int = 0
    restarts: int = 0
    offered: tuple[IkeProposal, ...] = ()
    wanted: tuple[ChildConfig, ...] = ()
    first: NewChild | None = None
    first_offer: tuple[EspProposal, ...] = ()
    slots: tuple[tuple[Any, Any], ...] = ()
    setback: tuple[str, str] | None = None
    asked: Asked = NOTHING_ASKED


class Protection(NamedTuple):
    """What protects the messages of an IKE SA: what was agreed on, the keys, and the sealers made of both.

    :ivar seal: for what we send; ``open``: for the peer's messages.
    """

    choice: Choice
    prf: PseudorandomFunction
    keys: IkeKeys
    seal: Sealer
    open: Sealer


@dataclass(slots=True, eq=False)
class BaseSa:
    """What an IKE SA has whether it is being opened or established.

    :ivar number: unique while the engine lives.
    :ivar initiator: whether we were its original initiator (the I flag of our messages).
    :ivar next_id: Message ID of our next request; ``expected_id`` of the peer's next request.
    :ivar answered_digest: SHA-256 of the peer's last request, or of its first fragment; ``answer``: the datagrams of
        ours to it, repeated on a retransmission; ``answer_to``: its Message ID, -1 before the first;
        ``answered_under``: what opened it, where that is known.
    :ivar nat: whether ESP travels in UDP.
    :ivar slots: what the optional features keep, each under a slot of its own (``features/feature.py``).
    :ivar opening: under which key the registry has it while the peer may repeat its IKE_SA_INIT request.
    :ivar packets: by child, the packet (its local and remote selector) for which it is going to be asked.
    :ivar replaces: the living IKE SA from which this one takes over when its children are there (``beside.py``).
    :ivar partials: what has come in fragments of the peer's request (False) and of its answer (True) so far.
    :ivar wake: when its next deadline is due, as entered in the timer heap.
    """

    number: int
    connection: Connection
    initiator: bool
    state: State
    path: Path
    spi_i: bytes
    spi_r: bytes
    created: float
    next_id: int = field(default=0, init=False)
    expected_id: int = field(default=0, init=False)
    request: Request[Task] | None = field(default=None, init=False)
    answered_digest: bytes = field(default=b"", init=False)
    answer: tuple[bytes, ...] = field(default=(), init=False)
    answer_to: int = field(default=-1, init=False)
    answered_under: Sealer | None = field(default=None, init=False)
    queue: list[Task] = field(default_factory=list, init=False)
    nat: bool = field(default=False, init=False)
    opening: tuple[str, int, bytes] | None = field(default=None, init=False)
    packets: dict[str, tuple[Selector, Selector]] | None = field(default=None, init=False)
    last_heard: float = field(default=0.0, init=False)
    expires_at: float = field(default=0.0, init=False)
    replaces: IkeSa | None = field(default=None, init=False)
    slots: tuple[tuple[Any, Any], ...] = field(default=(), init=False)
    partials: dict[bool, Partial] = field(default_factory=dict, init=False)
    wake: float = field(default=0.0, init=False)

    @property
    def local_spi(self) -> bytes:
        """The SPI that the peer's messages to us carry as ours, 8 octets."""
        return self.spi_i if self.initiator else self.spi_r

    @property
    def tasks(self) -> list[Task]:
        """What is asked of the peer, or is going to be."""
        return [*self.queue, self.request.task] if self.request is not None else self.queue

    @property
    def gone(self) -> bool:
        """Whether it is over and forgotten."""
        return self.state is State.GONE

    @property
    def version(self) -> int:
        """The version of IKE that it speaks."""
        return 2


@dataclass(slots=True, eq=False)
class OpeningSa(BaseSa):
    """An IKE SA that is being opened.

    :ivar protection: what protects its messages, when IKE_SA_INIT is over.
    :ivar became: the established one that it has become.
    """

    handshake: Handshake
    protection: Protection | None = field(default=None, init=False)
    became: IkeSa | None = field(default=None, init=False)

    @property
    def protected(self) -> Protection:
        """What protects its messages.

        :raises ValueError: IKE_SA_INIT is not over.
        """
        if self.protection is None:
            raise ValueError("nothing has been agreed on in this IKE SA")
        return self.protection

    @property
    def children(self) -> Mapping[int, Child]:
        """It has none."""
        return _NO_CHILDREN

    @property
    def alive(self) -> bool:
        """Whether new exchanges may be started on it."""
        return False


@dataclass(slots=True, eq=False)
class IkeSa(BaseSa):
    """An established IKE SA: both ends know each other.

    :ivar lowest_nonce: the lower nonce of the exchange that created it (RFC 7296 section 2.8.1).
    :ivar replaced_by: the IKE SA that took over; ``claims``: the one that this may take over while a collision
        is open.
    :ivar retired: an operator took it down while its children stay in use: nothing in it gets fresh keys any more,
        and it ends with the last child.
    :ivar refusal: why it got no fresh keys the last time.
    :ivar unfit: names of the children that the peer refused in its IKE_AUTH, or while it takes over.
    :ivar settle_at: when to look whether another IKE SA of the tunnel is one too many, 0 for never.
    :ivar superseded: its definition has changed since in what an IKE SA cannot change; see supersede.py.
    :ivar making: what the peer asked for and goes on with.
    :ivar authenticated: when both ends proved themselves, where that ends one day (``reauthentication.py``), 0 else;
        ``reauth_after``: before which they are not asked to again.
    :ivar proven_by: certificates (DER) that the peer has proven itself by, its own first; ``proven_until``: when the
        first of them ends, Unix seconds.
    """

    protection: Protection
    local_id: Identity
    remote_id: Identity
    lowest_nonce: bytes = b""
    children: dict[int, Child] = field(default_factory=dict)
    rekey_at: float = 0.0
    replaced_by: IkeSa | None = None
    claims: IkeSa | None = None
    retired: bool = False
    refusal: Refusal | None = None
    unfit: tuple[str, ...] = ()
    settle_at: float = 0.0
    superseded: bool = False
    making: Making | None = None
    authenticated: float = 0.0
    reauth_after: float = 0.0
    proven_by: tuple[bytes, ...] = ()
    proven_until: float = float("inf")

    @property
    def closing(self) -> bool:
        """Whether its Delete is only waiting for its turn."""
        return any(isinstance(task, DeleteIke) for task in self.queue)

    @property
    def outgoing(self) -> bool:
        """Whether it is there for its children alone, and ends with them."""
        return self.retired or self.superseded

    @property
    def makes_children(self) -> bool:
        """Whether it makes new ones: who begins no IKE SA has no other one for them, however its definition changed."""
        return not (self.retired or (self.superseded and self.connection.starts))

    @property
    def alive(self) -> bool:
        """Whether new exchanges may be started on it."""
        return self.state is State.ESTABLISHED


EitherSa = Union[OpeningSa, IkeSa]
_NO_CHILDREN: Mapping[int, Child] = {}
