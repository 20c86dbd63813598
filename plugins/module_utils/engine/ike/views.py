# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""IKE SAs and their children as listings show them."""

from __future__ import annotations

from ..newer_python import dataclass
from .actions import Path
from .v2.sa import IkeSa


@dataclass(frozen=True, slots=True)
class ChildView:
    """A Child SA as listings show it. Times as given to the verbs."""

    number: int
    name: str
    state: str
    sa: object
    created: float
    rekey_at: float
    expires_at: float


@dataclass(frozen=True, slots=True)
class IkeView:
    """An IKE SA as listings show it.

    :ivar encryption: registry name, as those of ``integrity`` (empty with an AEAD), ``prf`` and ``key_exchange``;
        all are empty before they are agreed.
    :ivar retired: whether it and its children end with their lifetimes, without fresh keys.
    """

    number: int
    tunnel: str
    state: str
    initiator: bool
    path: Path
    local_id: str
    remote_id: str
    spi_i: bytes
    spi_r: bytes
    encryption: str
    integrity: str
    prf: str
    key_exchange: str
    nat: bool
    created: float
    rekey_at: float
    expires_at: float
    last_heard: float
    retired: bool
    children: tuple[ChildView, ...]

    @property
    def algorithms(self) -> tuple[str, ...]:
        """Those that are in use."""
        return tuple(filter(None, (self.encryption, self.integrity, self.prf, self.key_exchange)))


def view(sa: IkeSa) -> IkeView:
    """How an IKE SA and its children are now."""
    choice = sa.choice
    rows = (choice.encr, choice.integ, choice.prf, choice.ke) if choice else (None,) * 4
    return IkeView(
        sa.number, sa.connection.name, sa.state.value, sa.initiator, sa.path,
        str(sa.local_id or sa.connection.local_id), str(sa.remote_id or sa.connection.remote_id or ""),
        sa.spi_i, sa.spi_r,
        *(row.name if row else "" for row in rows),
        sa.nat, sa.created, sa.rekey_at, sa.expires_at, sa.last_heard, sa.retired,
        tuple(
            ChildView(c.number, c.config.name, c.state.value, c.sa, c.created, c.rekey_at, c.expires_at)
            for c in sa.children.values()
        ),
    )  # fmt: skip
