# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""IKE SAs of this version as :mod:`..views` has them."""

from __future__ import annotations

from collections.abc import Iterator

from ...crypto.negotiation import Choice
from ..views import Asked, ChildStage, ChildView, IkeView, Stage
from . import message_size, reauthentication
from .child import Child, ChildState
from .features import ipcomp, ppk
from .sa import EitherSa, OpeningSa, State
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


def view(sa: EitherSa) -> IkeView:
    """How an IKE SA and its children are now."""
    connection = sa.connection
    asked, coming, reserved = _asked(sa), tuple(_coming(sa)), tuple(_reserved(sa))
    if isinstance(sa, OpeningSa):
        return IkeView(
            sa.number, connection.name, sa.state.value, STAGES[sa.state], sa.initiator, sa.path,
            connection.local_id, connection.remote_id, None,
            sa.spi_i, sa.spi_r,
            *_algorithms(sa.handshake.choice), "",
            sa.nat, sa.created, 0.0, 0.0, sa.expires_at, sa.last_heard,
            sa.initiator, False, False,
            None,
            asked, coming, reserved,
            (),
        )  # fmt: skip
    return IkeView(
        sa.number, connection.name, sa.state.value, STAGES[sa.state], sa.initiator, sa.path,
        sa.local_id, sa.remote_id, sa.remote_id,
        sa.spi_i, sa.spi_r,
        *_algorithms(sa.protection.choice), ppk.USED.of(sa).ppk,
        sa.nat, sa.created, sa.rekey_at, reauthentication.ends(sa), sa.expires_at, sa.last_heard,
        False, sa.alive and not sa.closing, sa.retired,
        sa.refusal,
        asked, coming, reserved,
        tuple([_child_view(child) for child in sa.children.values()]),
    )  # fmt: skip


def _asked(sa: EitherSa) -> Asked | None:
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


def _algorithms(choice: Choice | None) -> tuple[str, str, str, str]:
    if choice is None:
        return _NOTHING
    encr, integ, prf = [row.name if row else "" for row in (choice.encr, choice.integ, choice.prf)]
    return encr, integ, prf, choice.key_exchanges


def _coming(sa: EitherSa) -> Iterator[str]:
    for task in sa.tasks:
        if isinstance(task, NewChild):
            yield task.config.name
    if isinstance(sa, OpeningSa) and sa.initiator:
        yield from [config.name for config in sa.handshake.wanted]


def _reserved(sa: EitherSa) -> Iterator[int]:
    tasks: list[Task | None] = [sa.request.task if sa.request else None]
    if isinstance(sa, OpeningSa):
        tasks.append(sa.handshake.first)
    for task in tasks:
        if isinstance(task, (NewChild, RekeyChild, DeleteAtPeer)) and task.spi:
            yield int.from_bytes(task.spi, "big")
    for _spi, cpi, _theirs in ipcomp.RESERVED.of(sa).ipcomp:
        yield cpi
