# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is asked of a peer: a class for each kind of request, with what the handler of its answer needs.

The one that replaces an IKE SA stands beside that, in ``sa.py``.
"""

from __future__ import annotations

from enum import Enum
from typing import Any, ClassVar, Generic, TypeVar, Union

from ...crypto.exchange import KeyExchange
from ...newer_python import dataclass
from ...secret import Secret
from ...selector import Selector
from ..connection import ChildConfig
from .child import Child


class Kind(Enum):
    """What a request is for, ours or the peer's; finer than exchange types, which carry several purposes.

    :ivar label: how people read it.
    """

    __hash__ = object.__hash__  # rows are looked up by them all the time, and that of Enum is a function of Python's

    INIT = "IKE_SA_INIT"
    INTERMEDIATE = "IKE_INTERMEDIATE"
    AUTH = "IKE_AUTH"
    NEW_CHILD = "CREATE_CHILD_SA (new child)"
    REKEY_CHILD = "CREATE_CHILD_SA (rekey child)"
    REKEY_IKE = "CREATE_CHILD_SA (rekey IKE SA)"
    DELETE_CHILD = "INFORMATIONAL (delete child)"
    DELETE_IKE = "INFORMATIONAL (delete IKE SA)"
    INFORM = "INFORMATIONAL"
    FOLLOW_UP = "IKE_FOLLOWUP_KE"

    def __init__(self, label: str) -> None:
        self.label = label


class Task:
    """One request of ours: queued, then outstanding.

    :cvar kind: what it is for.
    :ivar not_before: when it may begin.
    """

    __slots__ = ()

    kind: ClassVar[Kind]
    not_before: float = 0.0


T = TypeVar("T", bound=Task)
T_co = TypeVar("T_co", bound=Task, covariant=True)


@dataclass(slots=True, eq=False)
class Request(Generic[T_co]):
    """Our outstanding request (window size 1, RFC 7296 section 2.3), in one datagram or in fragments."""

    message_id: int
    datagrams: tuple[bytes, ...]
    task: T_co
    tries: int
    deadline: float


@dataclass(slots=True, eq=False)
class Steps:
    """How far the additional key exchanges of a request have come (``follow_up.py``).

    :ivar answer: payloads of the answer that they follow on; ``secrets``: of the key exchanges that are over.
    :ivar link: what the next one has to name.
    """

    answer: tuple[Any, ...]
    secrets: tuple[Secret, ...]
    link: bytes


# The handshake


@dataclass(slots=True, eq=False)
class Init(Task):
    """Ask for an IKE SA."""

    kind = Kind.INIT


@dataclass(slots=True, eq=False)
class Intermediate(Task):
    """One more key exchange of the handshake."""

    kind = Kind.INTERMEDIATE

    exchange: KeyExchange


@dataclass(slots=True, eq=False)
class Auth(Task):
    """Prove who we are."""

    kind = Kind.AUTH


# Children


@dataclass(slots=True, eq=False)
class NewChild(Task):
    """Ask for a child.

    :ivar config: what it is to be.
    :ivar spi: ours; ``nonce`` and ``exchange``: of the request; ``group``: the key exchange group the peer insisted on.
    :ivar rung: which of the offers for a child it makes (``fallback.py``); ``times``: how often it was put off.
    :ivar restarts: how often it was asked anew for the peer's group.
    :ivar packet: (local, remote) of the packet that a further child is for, where there is one that does not take it.
    :ivar closed: SPIs that the peer closed while this was out: its answer may have been about one of them.
    :ivar steps: of additional key exchanges, when the first answer is here.
    """

    kind = Kind.NEW_CHILD

    config: ChildConfig
    spi: bytes = b""
    nonce: bytes = b""
    exchange: KeyExchange | None = None
    reason: str = ""
    not_before: float = 0.0
    closed: tuple[bytes, ...] = ()
    group: int = 0
    rung: int = 0
    times: int = 0
    restarts: int = 0
    packet: tuple[Selector, Selector] | None = None
    steps: Steps | None = None

    @property
    def terms(self) -> ChildConfig:
        """What it asks for."""
        return self.config

    def with_group(self, group: int) -> NewChild:
        """The same once more, with the key exchange group that the peer wants."""
        again = NewChild(self.config, reason=self.reason, group=group, rung=self.rung, packet=self.packet)
        again.times, again.restarts = self.times, self.restarts + 1
        return again

    def with_offer(self, rung: int) -> NewChild:
        """The same once more, with another offer."""
        return NewChild(self.config, reason=self.reason, rung=rung, times=self.times, packet=self.packet)


@dataclass(slots=True, eq=False)
class RekeyChild(Task):
    """Ask for a successor of a child.

    :ivar child: the one being replaced, *current* in a collision; what the answer creates is *mine*.
    :ivar theirs: the one that the peer's simultaneous rekey created.
    :ivar config: the definition that it asked for; None before it began.

    The others are those of :class:`NewChild`.
    """

    kind = Kind.REKEY_CHILD

    child: Child
    config: ChildConfig | None = None
    theirs: Child | None = None
    spi: bytes = b""
    nonce: bytes = b""
    exchange: KeyExchange | None = None
    closed: tuple[bytes, ...] = ()
    group: int = 0
    rung: int = 0
    restarts: int = 0
    steps: Steps | None = None

    @property
    def terms(self) -> ChildConfig:
        """What it asks for."""
        return self.config if self.config is not None else self.child.terms

    def with_group(self, group: int) -> RekeyChild:
        """The same once more, with the key exchange group that the peer wants."""
        return RekeyChild(self.child, self.config, group=group, rung=self.rung, restarts=self.restarts + 1)

    def with_offer(self, rung: int) -> RekeyChild:
        """The same once more, with another offer."""
        return RekeyChild(self.child, self.config, rung=rung)


@dataclass(slots=True, eq=False)
class DeleteChild(Task):
    """Close a child of ours."""

    kind = Kind.DELETE_CHILD

    child: Child
    reason: str = ""
    not_before: float = 0.0


@dataclass(slots=True, eq=False)
class DeleteAtPeer(Task):
    """Have a child closed that the peer alone has.

    :ivar config: what it is of; ``spi``: under which it sends to us.
    """

    kind = Kind.DELETE_CHILD

    config: ChildConfig
    spi: bytes
    reason: str = ""


# The IKE SA


@dataclass(slots=True, eq=False)
class DeleteIke(Task):
    """Close the IKE SA."""

    kind = Kind.DELETE_IKE

    reason: str = ""


@dataclass(slots=True, eq=False)
class Inform(Task):
    """Ask whether the peer is there; the reason tells what its answer proves besides."""

    kind = Kind.INFORM

    reason: str = ""


ChildTask = Union[NewChild, RekeyChild]  # what comes to a child
