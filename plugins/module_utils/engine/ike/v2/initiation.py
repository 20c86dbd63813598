# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How an IKE SA of ours begins, and begins once more while its first answer is awaited; what any has of its keys."""

from __future__ import annotations

from ...crypto.keys import IkeKeys
from ...crypto.negotiation import Choice
from ...crypto.sealer import Sealer
from ...errors import IkeError
from ..actions import Path
from ..connection import Connection
from ..context import Context
from .sa import Handshake, OpeningSa, Protection, State
from .tasks import Init

NONCE_OCTETS = 32
MAX_RESTARTS = 4  # cookies, groups and rekeyed cookie secrets; more is a peer playing games


def new_initiator(context: Context, connection: Connection, path: Path) -> OpeningSa:
    """A new IKE SA that we initiate; its IKE_SA_INIT is queued."""
    sa = OpeningSa(
        context.registry.number(), connection, True, State.START, path, context.entropy.octets(8), bytes(8),
        context.now, Handshake(nonce_i=context.entropy.octets(NONCE_OCTETS), wanted=connection.auto_children),
    )  # fmt: skip
    context.registry.add(sa)
    sa.queue.append(Init())
    context.touch(sa)
    context.report("ike_connecting", sa, role="initiator")
    return sa


def restart(sa: OpeningSa) -> Handshake:
    """Have the first request sent once more, in another form.

    :raises IkeError: it was often enough.
    """
    handshake = sa.handshake
    handshake.restarts += 1
    if handshake.restarts > MAX_RESTARTS:
        raise IkeError(0, f"the peer had the negotiation restarted more than {MAX_RESTARTS} times")
    sa.queue.insert(0, Init())
    return handshake


def protect(choice: Choice, keys: IkeKeys, initiator: bool) -> Protection:
    """What protects messages under these keys.

    :param initiator: whether we are the original initiator, with whose keys it sends.
    """
    if choice.prf is None or choice.encr is None:
        raise ValueError("an IKE SA without a PRF or a cipher")
    from_initiator = Sealer(choice.encr, choice.integ, keys.ei, keys.ai)
    from_responder = Sealer(choice.encr, choice.integ, keys.er, keys.ar)
    if initiator:
        return Protection(choice, choice.prf, keys, from_initiator, from_responder)
    return Protection(choice, choice.prf, keys, from_responder, from_initiator)
