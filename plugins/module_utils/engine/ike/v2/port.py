# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""IKEv2 as an endpoint sees it: each verb of the port, and who does it."""

from __future__ import annotations

from ..context import Context
from . import dispatch, handover, kernel_events, lifecycle, peer_certificates, proof, timers, tunnel
from .record_changes import RecordChanges
from .sa import EitherSa, IkeSa
from .snapshot import thaw
from .stop import retire, stop_children, stop_sa
from .supersede import awaited, settle
from .view import view


class Version2:
    """See :class:`..version.Version`."""

    number = 2

    receive = staticmethod(dispatch.incoming)
    refuse_newer = staticmethod(dispatch.refuse_newer)
    start = staticmethod(tunnel.start)
    rekey = staticmethod(tunnel.rekey)
    rekey_children = staticmethod(tunnel.rekey_children)
    reauthenticate = staticmethod(tunnel.reauthenticate)
    supersede = staticmethod(tunnel.supersede_all)
    supersede_children = staticmethod(tunnel.supersede_children)
    awaited = staticmethod(awaited)
    negotiates = staticmethod(tunnel.negotiates)
    redefine = staticmethod(tunnel.redefine)
    vet = staticmethod(peer_certificates.vet)
    stop = staticmethod(stop_sa)
    stop_children = staticmethod(stop_children)
    retire = staticmethod(retire)
    kernel_event = staticmethod(kernel_events.take)
    wake = staticmethod(timers.wake)
    deadline = staticmethod(timers.deadline)
    view = staticmethod(view)
    thaw = staticmethod(thaw)
    resumed = staticmethod(proof.doubt_after_absence)
    changed_records = RecordChanges

    @staticmethod
    def settle(context: Context, sa: EitherSa) -> None:
        """See :class:`..version.Version`."""
        settle(context, sa.connection.name)
        if isinstance(sa, IkeSa):
            lifecycle.end_retirement(sa)
            handover.settle(context, sa)
        dispatch.pump(context, sa)
