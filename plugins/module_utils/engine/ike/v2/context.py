# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The context of one call: the time, the actions asked for so far, and the engine's services to the handlers."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from ...crypto.entropy import Entropy
from ..actions import Action, Path, Report
from ..connection import Connection
from ..connections import Connections
from ..settings import Settings
from .allowance import Allowances

if TYPE_CHECKING:
    from collections.abc import Callable

    from .sa import Child, IkeSa

    SpiSource = Callable[[str, str, int, int], int]

LONGEST_STORY = 1000  # characters


class Registry:
    """All IKE SAs of the engine, by our SPI and by tunnel.

    Those that strangers opened stand apart until their peer is authenticated: there may be thousands of them, which
    nobody who looks at a tunnel is to go through, and the tunnel is only a guess.
    """

    def __init__(self) -> None:
        self.by_spi: dict[bytes, IkeSa] = {}
        self.by_tunnel: dict[str, list[IkeSa]] = {}
        self.openings: dict[tuple[str, int, bytes], IkeSa] = {}
        self.by_child_spi: dict[tuple[str, int], tuple[IkeSa, Child]] = {}
        self.superseded: set[str] = set()  # tunnels that may have superseded children
        self._by_inbound_spi: dict[int, tuple[IkeSa, Child]] = {}
        self._by_outbound_spi: dict[tuple[str, int], tuple[IkeSa, Child]] = {}
        self._half_open: dict[str, dict[int, IkeSa]] = {}
        self._numbers = 0

    def number(self) -> int:
        """A number never used before, for an IKE SA or a child."""
        self._numbers += 1
        return self._numbers

    def add(self, sa: IkeSa) -> None:
        """Enter a new IKE SA."""
        self.by_spi[sa.local_spi] = sa
        self.by_tunnel.setdefault(sa.connection.name, []).append(sa)

    def resume(self, sa: IkeSa) -> None:
        """Enter an IKE SA that another process had, with its children; new numbers come after theirs."""
        self.add(sa)
        for child in sa.children.values():
            self.enter_child(sa, child)
            if child.superseded:
                self.superseded.add(sa.connection.name)
        self._numbers = max(self._numbers, sa.number, *sa.children)

    def rename(self, sa: IkeSa, connection: Connection) -> None:
        """The tunnel of an IKE SA goes by another name now."""
        if sa.connection.name in self.superseded:
            self.superseded.add(connection.name)
        self._leave_tunnel(sa)
        sa.connection = connection
        self.by_tunnel.setdefault(connection.name, []).append(sa)

    def enter_child(self, sa: IkeSa, child: Child) -> None:
        """The child is one of this IKE SA."""
        both = sa, child
        self.by_child_spi[child.sa.local_address, child.sa.spi_in] = both
        self._by_inbound_spi[child.sa.spi_in] = both
        self._by_outbound_spi[child.sa.remote_address, child.sa.spi_out] = both

    def forget_child(self, child: Child) -> None:
        """The child is nobody's any more."""
        self.by_child_spi.pop((child.sa.local_address, child.sa.spi_in), None)
        # At each address of ours the kernel chooses for itself, too.
        if self._by_inbound_spi.get(child.sa.spi_in, (None, None))[1] is child:
            del self._by_inbound_spi[child.sa.spi_in]
        outbound = child.sa.remote_address, child.sa.spi_out
        # Peers choose these, and two behind one NAT may have chosen the same one.
        if self._by_outbound_spi.get(outbound, (None, None))[1] is child:
            del self._by_outbound_spi[outbound]

    def owner(self, destination: str, spi: int) -> tuple[IkeSa, Child] | None:
        """The child that has this SA, in either direction."""
        return self.by_child_spi.get((destination, spi)) or self._by_outbound_spi.get((destination, spi))

    def receiving(self, spi: int) -> tuple[IkeSa, Child] | None:
        """The child that receives under this SPI, at whatever address of ours."""
        return self._by_inbound_spi.get(spi)

    def open(self, sa: IkeSa, path: Path, datagram: bytes) -> None:
        """Enter an IKE SA that a stranger opened.

        Until :meth:`close` it is known which IKE_SA_INIT request did: it may be sent again.
        """
        self.by_spi[sa.local_spi] = sa
        self._half_open.setdefault(sa.connection.name, {})[sa.number] = sa
        sa.opening = _opening(path, datagram)
        self.openings[sa.opening] = sa

    def admit(self, sa: IkeSa, connection: Connection) -> None:
        """The peer is authenticated, and it turned out to which tunnel it belongs."""
        self._leave_tunnel(sa)
        sa.connection = connection
        self.by_tunnel.setdefault(connection.name, []).append(sa)

    def turn_away(self, sa: IkeSa) -> None:
        """The peer failed to authenticate: no tunnel has to do with it."""
        self._leave_tunnel(sa)

    def opened_by(self, path: Path, datagram: bytes) -> IkeSa | None:
        """The IKE SA that this very IKE_SA_INIT request opened.

        Other octets under the same SPI open another one: whoever forged a cookie or a group to be tried
        instead must not lock the initiator out (RFC 7296 section 2.1).
        """
        return self.openings.get(_opening(path, datagram)) if self.openings else None

    def close(self, sa: IkeSa) -> None:
        """The first exchange of this IKE SA is over."""
        if sa.opening is not None:
            self.openings.pop(sa.opening, None)
            sa.opening = None

    def remove(self, sa: IkeSa) -> None:
        """Forget an IKE SA."""
        self.close(sa)
        self.by_spi.pop(sa.local_spi, None)
        self._leave_tunnel(sa)

    def of_tunnel(self, name: str) -> list[IkeSa]:
        """A copy of the list of IKE SAs of a tunnel: those that we began, and those whose peer is authenticated."""
        return list(self.by_tunnel.get(name, ()))

    def half_open(self, name: str) -> list[IkeSa]:
        """Those that strangers opened and that are going to be of this tunnel, as far as can be told."""
        return list(self._half_open.get(name, {}).values())

    def strangers(self) -> list[IkeSa]:
        """All that are half-open."""
        return [sa for sas in self._half_open.values() for sa in sas.values()]

    def _leave_tunnel(self, sa: IkeSa) -> None:
        name = sa.connection.name
        if self._half_open.get(name, {}).pop(sa.number, None) is not None:
            if not self._half_open[name]:
                del self._half_open[name]
            return
        sas = self.by_tunnel.get(name, [])
        if sa in sas:
            sas.remove(sa)
        if not sas:
            self.by_tunnel.pop(name, None)
            self.superseded.discard(name)


def _short(story: str) -> str:
    """A story as long as anybody reads; a peer may have chosen words in it."""
    return story if len(story) <= LONGEST_STORY else story[: LONGEST_STORY - 1] + "…"


def _opening(path: Path, datagram: bytes) -> tuple[str, int, bytes]:
    return path.remote_address, path.remote_port, hashlib.sha256(datagram).digest()


class Context:
    """What every handler gets: it appends to ``actions`` and asks no clock, socket or kernel."""

    __slots__ = (
        "actions", "allowances", "connections", "cookies", "entropy", "half_open", "now", "refusals", "registry",
        "settings", "spis", "touched",
    )  # fmt: skip

    def __init__(self, engine: Any, now: float) -> None:
        self.now = now
        self.actions: list[Action] = []
        self.touched: dict[int, IkeSa] = {}
        self.registry: Registry = engine.registry
        self.connections: Connections = engine.connections
        self.settings: Settings = engine.settings
        self.entropy: Entropy = engine.entropy
        self.spis: SpiSource = engine.spis
        self.cookies = engine.cookies
        self.half_open = engine.half_open
        self.refusals = engine.refusals
        self.allowances: Allowances = engine.allowances

    def touch(self, sa: IkeSa) -> None:
        """Have its queue and its timers looked at when the call ends."""
        self.touched[sa.number] = sa

    def report(self, kind: str, sa: IkeSa, child: Child | None = None, /, **data: Any) -> None:
        """Tell the caller of an event (``events.KINDS``)."""
        if "story" in data:
            data["story"] = _short(data["story"])
        self.actions.append(Report(kind, sa.connection.name, sa.number, child.number if child else 0, data))

    def reject(self, path: Path, reason: str, story: str, tunnel: str = "") -> None:
        """Tell the caller of a message that was refused."""
        peer = f"{path.remote_address}/{path.remote_port}"
        data = {"reason": reason, "story": _short(story), "peer": peer}
        self.actions.append(Report("rejected", tunnel, data=data))

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
