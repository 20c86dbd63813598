# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""IKE SAs of this version as :mod:`..views` has them."""

from __future__ import annotations

from collections.abc import Iterator

from ..views import Asked, ChildStage, ChildView, IkeView, Stage
from . import message_size
from .child import Child, ChildState
from .sa import IkeSa, State
from .tasks import DeleteAtPeer, NewChild, RekeyChild, Task

STAGES = {
    State.START: Stage.OPENING,
    State.INIT_SENT: Stage.OPENING,
    State.INIT_ANSWERED: Stage.OPENING,
    State.INTERMEDIATE: Stage.OPENING,
    State.AUTH_SENT: Stage.OPENING,
    State.ESTABLISHED: Stage.ESTABLISHED,
    State.REKEYED: Stage.ENDING,
    State.DELETING: Stage.ENDING,
    State.REFUSED: Stage.OVER,
    State.GONE: Stage.OVER,
}
CHILD_STAGES = {
    ChildState.INSTALLED: ChildStage.SENDING,
    ChildState.ANSWERED: ChildStage.RECEIVING,
    ChildState.REKEYING: ChildStage.SENDING,
    ChildState.REKEYED: ChildStage.RELIEVED,
    ChildState.DELETING: ChildStage.ENDING,
    ChildState.GONE: ChildStage.OVER,
}
_NOTHING = ("", "", "", "")


def view(sa: IkeSa) -> IkeView:
    """How an IKE SA and its children are now."""
    begun = sa.initiator and sa.handshake is not None
    return IkeView(
        sa.number, sa.connection.name, sa.state.value, STAGES[sa.state], sa.initiator, sa.path,
        sa.local_id or sa.connection.local_id, sa.remote_id or sa.connection.remote_id, sa.remote_id,
        sa.spi_i, sa.spi_r,
        *_algorithms(sa),
        sa.nat, sa.created, sa.rekey_at, sa.expires_at, sa.last_heard,
        begun, sa.alive and not sa.closing, sa.retired,
        sa.refusal,
        _asked(sa),
        tuple(_coming(sa)), tuple(_reserved(sa)),
        tuple([_child_view(child) for child in sa.children.values()]),
    )  # fmt: skip


def _asked(sa: IkeSa) -> Asked | None:
    request = sa.request
    if request is None:
        return None
    return Asked(request.task.kind.label, request.tries, message_size.size(request), message_size.hint(sa, request))


def _child_view(child: Child) -> ChildView:
    return ChildView(
        child.number, child.config.name, child.state.value, CHILD_STAGES[child.state], child.sa,
        child.created, child.rekey_at, child.expires_at,
        child.refusal,
    )  # fmt: skip


def _algorithms(sa: IkeSa) -> tuple[str, str, str, str]:
    choice = sa.choice
    if choice is None:
        return _NOTHING
    encr, integ, prf = [row.name if row else "" for row in (choice.encr, choice.integ, choice.prf)]
    return encr, integ, prf, choice.key_exchanges


def _coming(sa: IkeSa) -> Iterator[str]:
    for task in sa.tasks:
        if isinstance(task, NewChild):
            yield task.config.name
    if sa.handshake is not None and sa.initiator:
        yield from [config.name for config in sa.handshake.wanted]


def _reserved(sa: IkeSa) -> Iterator[int]:
    tasks: list[Task | None] = [sa.request.task if sa.request else None, sa.handshake.first if sa.handshake else None]
    for task in tasks:
        if isinstance(task, (NewChild, RekeyChild, DeleteAtPeer)) and task.spi:
            yield int.from_bytes(task.spi, "big")
