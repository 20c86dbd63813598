# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The context of one call: the time, the actions asked for so far, and the endpoint's services to its versions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from ..crypto.entropy import Entropy
from ..errors import IkeError
from .actions import Action, Path, Report
from .allowance import Allowances
from .connections import Connections
from .half_open import Cookies, HalfOpen, Refusals
from .incomplete import Incomplete
from .instances import ReqidSource
from .registry import Registry
from .sa import AnyChild, AnySa
from .settings import Settings

# (local address, remote address, IP protocol, reqid) -> SPI; raises KernelError.
SpiSource = Callable[[str, str, int, int], int]
LONGEST_STORY = 1000  # characters


class Services(Protocol):
    """What an endpoint lends to the versions that it speaks."""

    registry: Registry
    connections: Connections
    settings: Settings
    entropy: Entropy
    spis: SpiSource
    reqids: ReqidSource
    cookies: Cookies
    half_open: HalfOpen
    refusals: Refusals
    allowances: Allowances
    incomplete: Incomplete
    unix_at_zero: float


def _short(story: str) -> str:
    """A story as long as anybody reads; a peer may have chosen words in it."""
    return story if len(story) <= LONGEST_STORY else story[: LONGEST_STORY - 1] + "…"


class Context:
    """What every handler gets: it appends to ``actions`` and asks no clock, socket or kernel."""

    __slots__ = (
        "actions", "allowances", "connections", "cookies", "entropy", "half_open", "incomplete", "now", "refusals",
        "registry", "reqids", "settings", "spis", "touched", "unix_time",
    )  # fmt: skip

    def __init__(self, engine: Services, now: float) -> None:
        self.now = now
        self.unix_time = engine.unix_at_zero + now
        self.actions: list[Action] = []
        self.touched: dict[int, AnySa] = {}
        self.registry = engine.registry
        self.connections = engine.connections
        self.settings = engine.settings
        self.entropy = engine.entropy
        self.spis = engine.spis
        self.reqids = engine.reqids
        self.cookies = engine.cookies
        self.half_open = engine.half_open
        self.refusals = engine.refusals
        self.allowances = engine.allowances
        self.incomplete = engine.incomplete

    def touch(self, sa: AnySa) -> None:
        """Have its queue and its timers looked at when the call ends."""
        self.touched[sa.number] = sa

    def report(self, kind: str, sa: AnySa, child: AnyChild | None = None, /, **data: Any) -> None:
        """Tell the caller of an event (``events.KINDS``)."""
        if "story" in data:
            data["story"] = _short(data["story"])
        self.actions.append(Report(kind, sa.connection.name, sa.number, child.number if child else 0, data))

    def reject(self, path: Path, exc: IkeError) -> None:
        """Tell the caller of a message that was refused."""
        self._refuse("rejected", exc, path, 0, exc.tunnels)

    def turn_away(self, sa: AnySa, exc: IkeError) -> None:
        """Tell the caller of a peer that did not prove to be the one defined, whichever tunnel it means."""
        self._refuse("ike_failed", exc, sa.path, sa.number, exc.tunnels or self.connections.candidates(sa.path))

    def _refuse(self, kind: str, exc: IkeError, path: Path, ike: int, names: Sequence[str]) -> None:
        peer = f"{path.remote_address}/{path.remote_port}"
        data: dict[str, Any] = {"reason": exc.reason, "story": _short(exc.story), "peer": peer}
        if len(names) > 1:
            data["may_be"] = list(names)
        self.actions.append(Report(kind, names[0] if len(names) == 1 else "", ike, data=data))

    def back_off(self, reason: str, times: int, left: float = float("inf")) -> float:
        """How long to leave a peer alone that refused us, seconds; random, lest both ends meet again and again.

        :param times: how often in a row it has done so: each time it is left alone for twice as long, up to a limit.
        :param left: seconds until what it refused to renew ends: there has to be time for some more attempts.
        """
        settings = self.settings
        base = settings.busy_pause if reason == "peer_busy" else settings.refused_pause
        pause = min(base * 2.0 ** min(times - 1, 16), settings.longest_pause)
        return max(min(pause, left / 3), settings.shortest_pause) * (0.5 + self._fraction())

    def spread(self, lifetime: float) -> float:
        """When to begin a rekey, seconds after the start of a lifetime: some margin before its end, at random.

        The randomness keeps the two ends, and a fleet that started at one moment, from rekeying all at once.
        """
        return lifetime * (1.0 - self.settings.rekey_margin - self.settings.rekey_fuzz * self._fraction())

    def _fraction(self) -> float:
        return int.from_bytes(self.entropy.octets(2), "big") / 65536
