# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The IKEv2 state machine as data.

``REQUESTS`` says what a request of the peer does in each state, ``ANSWERS`` what its answer to
ours does, ``PURPOSES`` how our own requests begin and what becomes of them when they fail.
A pair that is not listed is refused. The diagrams in docs/ are drawn from these rows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from ...wire.v2.auth import AUTH
from ...wire.v2.delete import Delete
from ...wire.v2.ident import IDi, IDr
from ...wire.v2.ke import KE
from ...wire.v2.nonce import Nonce
from ...wire.v2.numbers import ExchangeType, NotifyType, ProtocolId
from ...wire.v2.payloads import Payloads
from ...wire.v2.sa import SA
from ...wire.v2.ts import TSi, TSr
from ..context import Context
from . import auth, follow_up, inform, init, new_child, rekey_child, rekey_ike
from .features import cookies, intermediate
from .incoming import Incoming
from .sa import IkeSa, OpeningSa, RekeyIke, State
from .tasks import (
    Auth,
    DeleteAtPeer,
    DeleteChild,
    DeleteIke,
    Inform,
    Init,
    Intermediate,
    Kind,
    NewChild,
    RekeyChild,
    T,
    Task,
)
from .tasks import Request as Outstanding

ERRORS = -1  # stands for every notify type below 16384


class Request(NamedTuple):
    """The peer asks: in ``state`` a request of ``kind`` with at least ``required`` goes to ``handler``."""

    state: State
    kind: Kind
    required: tuple[type, ...]
    handler: Callable[..., Any]
    next: State
    story: str


class Answer(NamedTuple):
    """The peer answers ours. ``notify`` selects the row when present; None is the plain answer, looked at last."""

    state: State
    task: type[Task]
    notify: int | None
    required: tuple[type, ...]
    handler: Callable[..., None]
    next: State
    story: str


class Purpose(NamedTuple):
    """Our own request: the states it may begin in, the exchange's handlers, the state it leads to (None: stays).

    :ivar begin: its payloads, None where it is not needed any more.
    """

    task: type[Task]
    exchange: int
    states: tuple[State, ...]
    begin: Callable[..., list[Any] | None]
    failed: Callable[..., None] | None
    next: State | None
    story: str


# Rows are made by these, which have type checkers see that handlers are for such tasks and IKE SAs.


def _request(
    state: State,
    kind: Kind,
    required: tuple[type, ...],
    handler: Callable[[Context, IkeSa, Incoming], list[Any] | None],
    after: State,
    story: str,
) -> Request:
    return Request(state, kind, required, handler, after, story)


def _answer(
    state: State,
    task: type[T],
    notify: int | None,
    required: tuple[type, ...],
    handler: Callable[[Context, IkeSa, Incoming, Outstanding[T]], None],
    after: State,
    story: str,
) -> Answer:
    return Answer(state, task, notify, required, handler, after, story)


def _first_answer(
    state: State,
    task: type[T],
    notify: int | None,
    required: tuple[type, ...],
    handler: Callable[[Context, OpeningSa, Incoming, Outstanding[T]], None],
    after: State,
    story: str,
) -> Answer:
    return Answer(state, task, notify, required, handler, after, story)


def _purpose(
    task: type[T],
    exchange: int,
    states: tuple[State, ...],
    begin: Callable[[Context, IkeSa, T], list[Any] | None],
    failed: Callable[[Context, IkeSa, T, str, str], None] | None,
    after: State | None,
    story: str,
) -> Purpose:
    return Purpose(task, exchange, states, begin, failed, after, story)


def _first_purpose(
    task: type[T],
    exchange: int,
    states: tuple[State, ...],
    begin: Callable[[Context, OpeningSa, T], list[Any]],
    after: State,
    story: str,
) -> Purpose:
    return Purpose(task, exchange, states, begin, None, after, story)


S, K = State, Kind
NEW = (SA, Nonce, TSi, TSr)  # what makes a child
UP = (S.ESTABLISHED,)
INIT, MORE, AUTHENTICATE = ExchangeType.IKE_SA_INIT, ExchangeType.IKE_INTERMEDIATE, ExchangeType.IKE_AUTH
CREATE, FOLLOW_UP, INFORM = ExchangeType.CREATE_CHILD_SA, ExchangeType.IKE_FOLLOWUP_KE, ExchangeType.INFORMATIONAL

REQUESTS = (
    Request(S.START, K.INIT, (SA, KE, Nonce), init.respond, S.INIT_ANSWERED, "the peer asks for an IKE SA"),
    Request(
        S.INTERMEDIATE,
        K.INTERMEDIATE,
        (KE,),
        intermediate.respond,
        S.INTERMEDIATE,
        "one more key exchange; after the last one it is as without them",
    ),
    Request(S.INIT_ANSWERED, K.AUTH, (IDi,), auth.respond, S.ESTABLISHED, "the peer proves who it is"),
    _request(S.ESTABLISHED, K.NEW_CHILD, NEW, new_child.respond, S.ESTABLISHED, "the peer wants a child"),
    _request(S.ESTABLISHED, K.REKEY_CHILD, NEW, rekey_child.respond, S.ESTABLISHED, "the peer rekeys a child"),
    _request(
        S.ESTABLISHED, K.REKEY_IKE, (SA, Nonce, KE), rekey_ike.respond, S.ESTABLISHED, "the peer rekeys the IKE SA"
    ),
    _request(S.ESTABLISHED, K.DELETE_CHILD, (Delete,), inform.respond_close, S.ESTABLISHED, "the peer closes a child"),
    _request(S.ESTABLISHED, K.DELETE_IKE, (Delete,), inform.respond_end, S.GONE, "the peer closes the IKE SA"),
    _request(S.ESTABLISHED, K.INFORM, (), inform.respond, S.ESTABLISHED, "the peer checks whether we live"),
    _request(S.ESTABLISHED, K.FOLLOW_UP, (KE,), follow_up.respond, S.ESTABLISHED, "the peer's next key exchange"),
    _request(S.REKEYED, K.NEW_CHILD, (), new_child.respond_busy, S.REKEYED, "too late: this IKE SA is replaced"),
    _request(S.REKEYED, K.REKEY_CHILD, (), new_child.respond_busy, S.REKEYED, "too late: this IKE SA is replaced"),
    _request(S.REKEYED, K.REKEY_IKE, (), new_child.respond_busy, S.REKEYED, "too late: this IKE SA is replaced"),
    _request(S.REKEYED, K.FOLLOW_UP, (), new_child.respond_busy, S.REKEYED, "too late: this IKE SA is replaced"),
    _request(S.REKEYED, K.DELETE_CHILD, (Delete,), inform.respond_close, S.REKEYED, "nothing left to close here"),
    _request(S.REKEYED, K.DELETE_IKE, (Delete,), inform.respond_end, S.GONE, "the peer closes the replaced one"),
    _request(S.REKEYED, K.INFORM, (), inform.respond, S.REKEYED, "the peer checks whether we live"),
    _request(S.DELETING, K.NEW_CHILD, (), new_child.respond_busy, S.DELETING, "too late: we are closing it"),
    _request(S.DELETING, K.REKEY_CHILD, (), new_child.respond_busy, S.DELETING, "too late: we are closing it"),
    _request(S.DELETING, K.REKEY_IKE, (), new_child.respond_busy, S.DELETING, "too late: we are closing it"),
    _request(S.DELETING, K.FOLLOW_UP, (), new_child.respond_busy, S.DELETING, "too late: we are closing it"),
    _request(S.DELETING, K.DELETE_CHILD, (Delete,), inform.respond_close, S.DELETING, "both close at once"),
    _request(S.DELETING, K.DELETE_IKE, (Delete,), inform.respond_end, S.GONE, "both close at once"),
    _request(S.DELETING, K.INFORM, (), inform.respond, S.DELETING, "the peer checks whether we live"),
)

COOKIE, INVALID_KE = int(NotifyType.COOKIE), int(NotifyType.INVALID_KE_PAYLOAD)

ANSWERS = (
    _first_answer(S.INIT_SENT, Init, COOKIE, (), cookies.demanded, S.INIT_SENT, "the peer wants its cookie back"),
    _first_answer(S.INIT_SENT, Init, INVALID_KE, (), init.with_group, S.INIT_SENT, "the peer wants another group"),
    _first_answer(S.INIT_SENT, Init, ERRORS, (), init.refused, S.INIT_SENT, "it refuses; noted, not believed yet"),
    _first_answer(S.INIT_SENT, Init, None, (SA, KE, Nonce), init.answered, S.INIT_SENT, "keys are agreed"),
    _first_answer(S.INIT_SENT, Intermediate, ERRORS, (), intermediate.refused, S.GONE, "the peer refuses us"),
    _first_answer(S.INIT_SENT, Intermediate, None, (KE,), intermediate.answered, S.INIT_SENT, "one more key exchange"),
    _first_answer(S.AUTH_SENT, Auth, None, (IDr, AUTH), auth.answered, S.ESTABLISHED, "the peer proves who it is"),
    _first_answer(S.AUTH_SENT, Auth, ERRORS, (), auth.refused, S.GONE, "the peer refuses us"),
    _answer(S.ESTABLISHED, NewChild, ERRORS, (), new_child.refused, S.ESTABLISHED, "the peer refuses the child"),
    _answer(S.ESTABLISHED, NewChild, None, NEW, new_child.answered, S.ESTABLISHED, "one more child"),
    _answer(S.ESTABLISHED, RekeyChild, ERRORS, (), rekey_child.refused, S.ESTABLISHED, "the peer refuses the rekey"),
    _answer(S.ESTABLISHED, RekeyChild, None, NEW, rekey_child.answered, S.ESTABLISHED, "child rekeyed"),
    _answer(S.ESTABLISHED, RekeyIke, ERRORS, (), rekey_ike.refused, S.ESTABLISHED, "the peer refuses the rekey"),
    _answer(S.ESTABLISHED, RekeyIke, None, (SA, Nonce, KE), rekey_ike.answered, S.REKEYED, "IKE SA rekeyed"),
    _answer(S.ESTABLISHED, DeleteChild, None, (), inform.child_deleted, S.ESTABLISHED, "the peer closed it too"),
    _answer(S.ESTABLISHED, DeleteAtPeer, None, (), inform.told, S.ESTABLISHED, "the peer closed it"),
    _answer(S.ESTABLISHED, Inform, None, (), inform.alive, S.ESTABLISHED, "the peer lives"),
    _answer(S.REKEYED, RekeyIke, ERRORS, (), rekey_ike.refused, S.REKEYED, "the peer's own rekey won"),
    _answer(S.REKEYED, RekeyIke, None, (SA, Nonce, KE), rekey_ike.answered, S.REKEYED, "both rekeyed the IKE SA"),
    _answer(S.REKEYED, Inform, None, (), inform.alive, S.REKEYED, "the peer lives"),
    _answer(S.DELETING, DeleteIke, None, (), inform.ike_deleted, S.GONE, "the peer closed it too"),
)

PURPOSES: dict[type[Task], Purpose] = {
    row.task: row
    for row in (
        _first_purpose(Init, INIT, (S.START, S.INIT_SENT), init.begin, S.INIT_SENT, "ask for an IKE SA"),
        _first_purpose(Intermediate, MORE, (S.INIT_SENT,), intermediate.begin, S.INIT_SENT, "one more key exchange"),
        _first_purpose(Auth, AUTHENTICATE, (S.INIT_SENT,), auth.begin, S.AUTH_SENT, "prove who we are"),
        _purpose(NewChild, CREATE, UP, new_child.begin, new_child.failed, None, "ask for a child"),
        _purpose(RekeyChild, CREATE, UP, rekey_child.begin, rekey_child.failed, None, "rekey a child"),
        _purpose(RekeyIke, CREATE, UP, rekey_ike.begin, rekey_ike.failed, None, "rekey the IKE SA"),
        _purpose(DeleteChild, INFORM, UP, inform.begin_delete_child, inform.close_failed, None, "close a child"),
        _purpose(
            DeleteAtPeer,
            INFORM,
            UP,
            inform.begin_delete_at_peer,
            inform.failed,
            None,
            "close a child that the peer alone has",
        ),
        _purpose(DeleteIke, INFORM, (S.ESTABLISHED, S.REKEYED), inform.begin_delete_ike, None, S.DELETING, "close it"),
        _purpose(Inform, INFORM, UP, inform.begin_liveness, inform.failed, None, "does the peer live?"),
    )
}
# How one of these goes on that has the first answer of several, of a child as well.
NEXT_STEP = _purpose(RekeyIke, FOLLOW_UP, UP, follow_up.begin, None, None, "go on with the next key exchange")

_REQUESTS = {(row.state, row.kind): row for row in REQUESTS}
_ANSWERS: dict[tuple[State, type[Task]], list[Answer]] = {}
for _row in ANSWERS:
    _ANSWERS.setdefault((_row.state, _row.task), []).append(_row)

_BY_EXCHANGE: dict[int, Kind] = {
    ExchangeType.IKE_SA_INIT: K.INIT,
    ExchangeType.IKE_INTERMEDIATE: K.INTERMEDIATE,
    ExchangeType.IKE_AUTH: K.AUTH,
    ExchangeType.IKE_FOLLOWUP_KE: K.FOLLOW_UP,
}


def request_kind(exchange: int, payloads: Payloads) -> Kind | None:
    """What a request of the peer is for; None for an exchange we do not know."""
    if exchange in _BY_EXCHANGE:
        return _BY_EXCHANGE[exchange]
    if exchange == ExchangeType.CREATE_CHILD_SA:
        if payloads.notify(NotifyType.REKEY_SA) is not None:
            return K.REKEY_CHILD
        return K.REKEY_IKE if payloads.one(TSi) is None and payloads.one(TSr) is None else K.NEW_CHILD
    if exchange == ExchangeType.INFORMATIONAL:
        deletes = payloads.all(Delete)
        if any(delete.protocol == ProtocolId.IKE for delete in deletes):
            return K.DELETE_IKE
        return K.DELETE_CHILD if deletes else K.INFORM
    return None


def purpose_of(task: Task) -> Purpose:
    """The row for a request of ours, at the point where it is."""
    if isinstance(task, (NewChild, RekeyChild, RekeyIke)) and task.steps is not None:
        return NEXT_STEP
    return PURPOSES[type(task)]


def request_row(state: State, kind: Kind) -> Request | None:
    """The row for a request of the peer; None: refused."""
    return _REQUESTS.get((state, kind))


def answer_row(state: State, task: Task, payloads: Payloads) -> Answer | None:
    """The row for an answer of the peer; None: refused."""
    failed = payloads.error() is not None
    for row in _ANSWERS.get((state, type(task)), ()):
        if row.notify is None:
            if payloads.lacking(row.required) is None:
                return row
        elif failed if row.notify == ERRORS else payloads.notify(row.notify) is not None:
            return row
    return None
