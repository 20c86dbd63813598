# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Packets that ask for a child that is not up: how often they are heard, and what waits for its SA meanwhile."""

from __future__ import annotations

from ..errors import EngineError
from ..ike.endpoint import Endpoint
from ..kernel.gateway import Gateway
from .log import Log

# A sender without patience or an acquire storm must not get around the back-off.
_QUIET_SECONDS = 1.0


class PacketRequests:
    """What packets asked for, by tunnel and child."""

    def __init__(self, endpoint: Endpoint, gateway: Gateway, log: Log) -> None:
        self._endpoint = endpoint
        self._gateway = gateway
        self._log = log
        self._heard: dict[str, float] = {}
        self._open: set[tuple[str, str]] = set()

    def hear(self, name: str, child: str, now: float) -> bool:
        """Whether this request counts; of one tunnel, at most one in a second does."""
        if now - self._heard.get(name, now - _QUIET_SECONDS) < _QUIET_SECONDS:
            return False
        self._heard[name] = now
        self._open.add((name, child))
        return True

    def forget(self, name: str) -> None:
        """The tunnel is no more; the next request of one of its name counts."""
        self._heard.pop(name, None)

    def decided(self, name: str, child: str) -> None:
        """What packets asked for is decided; others that no Child SA takes may ask now."""
        if (name, child) not in self._open:
            return
        self._open.discard((name, child))
        living = self._endpoint.child_sas(name)
        for sa in [sa for sa in living if sa.child == child and sa.defined is not None][:1]:
            ends = sa.local_address, sa.remote_address
            try:
                self._gateway.forget_hold(*ends, sa.protocol, sa.mode, sa.reqid)
            except EngineError as exc:
                self._log.debug(f"what waits for an SA stays until it expires: {exc}", tunnel=name)
