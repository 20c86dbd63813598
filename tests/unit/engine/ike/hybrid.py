# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two ends with additional key exchanges for everything, and a wire that loses what it is told to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from engine.crypto.proposals import esp_proposals, ike_proposals
from engine.crypto.registry import Kind as Transform
from engine.crypto.registry import by_name
from engine.wire.header import Header
from engine.wire.v2.numbers import ExchangeType, NotifyType

from .world import LATENCY, Host, World, child, pair

IKE = "aes256gcm16-prfsha384-x25519-ke1_ecp384-ke2_ecp521"
ESP = "aes256gcm16-x25519-ke1_ecp384"
ECP384, X25519 = 20, 31
INTERMEDIATE, AUTH = int(ExchangeType.IKE_INTERMEDIATE), int(ExchangeType.IKE_AUTH)
CREATE, FOLLOW_UP = int(ExchangeType.CREATE_CHILD_SA), int(ExchangeType.IKE_FOLLOWUP_KE)
ADDITIONAL = int(NotifyType.ADDITIONAL_KEY_EXCHANGE)
Asks = Callable[[World, Host], None]
needs_ml_kem = pytest.mark.skipif(
    by_name(Transform.KE, "mlkem768").lacking != "", reason="this cryptography has no ML-KEM"
)


class Wire:
    """What went over it; loses what it is told to."""

    def __init__(self, lost: Callable[[bytes], bool] = lambda _datagram: False) -> None:
        self.seen: list[bytes] = []
        self.lost = lost

    def __call__(self, _number: int, datagram: bytes) -> list[float]:
        self.seen.append(datagram)
        return [] if self.lost(datagram) else [LATENCY]

    def exchanges(self) -> list[int]:
        return [Header.parse(datagram).exchange for datagram in self.seen]


def hybrid(fate: Any = None, ike: str = IKE, esp: str = ESP, **more: Any) -> World:
    """Both ends with additional key exchanges for everything."""
    children = (replace(child(), proposals=esp_proposals(esp)),)
    return pair(fate or Wire(), proposals=ike_proposals(ike), children=children, **more)


def up(fate: Any = None, **more: Any) -> World:
    world = hybrid(fate, **more)
    world.east.start()
    world.run(5.0)
    world.check()
    return world


def rekey_child(world: World, host: Host) -> None:
    host.do(host.engine.rekey("t", world.now, ["lan"]))


def rekey_ike(world: World, host: Host) -> None:
    host.do(host.engine.rekey("t", world.now))


def asked(exchange: int) -> Callable[[bytes], bool]:
    """Whether a datagram is a request of that exchange."""

    def matches(datagram: bytes) -> bool:
        header = Header.parse(datagram)
        return header.exchange == exchange and not header.is_response

    return matches


EITHER = pytest.mark.parametrize("asks", [rekey_child, rekey_ike])
