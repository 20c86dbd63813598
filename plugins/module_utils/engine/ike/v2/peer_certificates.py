# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a peer has proven itself by does not last: no IKE SA outlives the peer's certificates, nor their revocation.

Before they end both ends prove themselves anew, in an IKE SA beside the one that lives (``beside.py``): who has renewed
its certificate loses nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...crypto.certificate_life import DAY, first_to_end
from ...crypto.certificates import Certificate
from ...wire.v2.delete import Delete
from ...wire.v2.numbers import ProtocolId
from ..context import Context
from ..timers import NEVER
from . import lifecycle, reauthentication
from .exchange import last_word
from .sa import AUTHENTICATED, EitherSa, IkeSa

# Of the time that is left when an IKE SA is opened: a certificate that was not renewed in time is tried with again.
_SHARE = 0.1
_LEAST = 6.0  # seconds that there have to be for it


def due(context: Context, sa: IkeSa) -> float:
    """When an IKE SA whose peer has certificates is to be looked at for that."""
    return min(_ends(context, sa), _renewal(context, sa))


def _ends(context: Context, sa: IkeSa) -> float:
    """On the clock of the verbs; the host's own may have been set since."""
    return context.now + (sa.proven_until - context.unix_time)


def _renewal(context: Context, sa: IkeSa) -> float:
    """When this end is to begin anew; never where the other one has to, or there is no time for it."""
    end = _ends(context, sa)
    margin = min((end - sa.created) * _SHARE, DAY)
    if not sa.connection.starts or sa.outgoing or margin < _LEAST:
        return NEVER
    return max(end - margin, sa.reauth_after)


def look(context: Context, sa: IkeSa) -> bool:
    """Do what is due; whether the IKE SA has ended with it."""
    if context.unix_time >= sa.proven_until:
        last = first_to_end(_read(sa.proven_by))
        _close(context, sa, "certificate_expired", f"the certificate of {last}, which the peer needs, has expired")
        return True
    if context.now >= _renewal(context, sa):
        reauthentication.begin(context, sa)
    return False


def vet(context: Context, sa: EitherSa) -> None:
    """End it where a certificate of the peer is revoked by now."""
    if isinstance(sa, IkeSa) and sa.proven_by and sa.state in AUTHENTICATED:
        refusal = sa.connection.auth.revoked(_read(sa.proven_by))
        if refusal is not None:
            _close(context, sa, refusal.reason, refusal.story)


def _read(path: Sequence[bytes]) -> tuple[Certificate, ...]:
    return tuple([Certificate.parse(octets) for octets in path])


def _close(context: Context, sa: IkeSa, reason: str, story: str) -> None:
    if sa.alive:
        last_word(context, sa, Delete(ProtocolId.IKE, ()))
    lifecycle.end(context, sa, reason, story)
