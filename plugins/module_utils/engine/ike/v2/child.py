# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Child SA within its IKE SA: plain data."""

from __future__ import annotations

from enum import Enum

from ...child_sa import ChildSa
from ...newer_python import dataclass
from ..connection import ChildConfig
from ..views import Refusal


class ChildState(Enum):
    """States of a Child SA."""

    INSTALLED = "installed"
    ANSWERED = "answered"  # we answered the peer's rekey: receiving only, until the old SA is deleted
    REKEYING = "rekeying"  # our rekey is out, still in use
    REKEYED = "rekeyed"  # its successor carries the traffic, waits for its Delete
    DELETING = "deleting"  # our Delete is out
    GONE = "gone"


SENDING = (ChildState.INSTALLED, ChildState.REKEYING)  # through these our packets leave
_set = object.__setattr__
_NOT_KEPT = ("chosen_until", "kept_until")  # what is in no record


@dataclass(slots=True, eq=False)
class Child:
    """One Child SA within its IKE SA.

    :ivar lowest_nonce: the lower nonce of the exchange that created it (RFC 7296 section 2.8.1).
    :ivar started: whether our request created it.
    :ivar successor: the child that the peer's rekey created and that takes over when this one goes.
    :ivar refusal: why it got no fresh keys the last time.
    :ivar proof_at: made at the peer's wish beside older ones, which carry our packets until it is proven that the peer
        has our answer: before that it cannot receive on this one. When to ask it for a proof; 0 where there is no need.
    :ivar superseded: made of a definition that has changed since; see supersede.py.
    :ivar before: the definition before it changed last; that of a superseded one, None where it is ``config``.
    :ivar group: transform ID of the key exchange of its own that it was made with, 0 for none.
    :ivar chosen_until: when the peer closes it, how long that may be because it does not know yet that we have closed
        others for it; ``kept_until``: how long it goes on then (crossed.py). Neither is in its record.
    :ivar changed: whether any of this was set since its record was given, which sets it back (``record_changes.py``).
    """

    number: int
    config: ChildConfig
    sa: ChildSa
    state: ChildState
    created: float
    rekey_at: float
    expires_at: float
    lowest_nonce: bytes = b""
    started: bool = False
    successor: Child | None = None
    refusal: Refusal | None = None
    proof_at: float = 0.0
    superseded: bool = False
    before: ChildConfig | None = None
    group: int = 0
    chosen_until: float = 0.0
    kept_until: float = 0.0
    changed: bool = True

    @property
    def terms(self) -> ChildConfig:
        """What a rekey of it asks for and takes: its definition, or, where that changed, the one that it is of."""
        return self.before if self.superseded and self.before is not None else self.config

    def __setattr__(self, name: str, value: object) -> None:
        # Here, where nobody who changes anything can forget it.
        _set(self, name, value)
        if name not in _NOT_KEPT:
            _set(self, "changed", name != "changed" or value)
