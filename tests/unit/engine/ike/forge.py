# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Messages that no well-behaved engine sends: made by hand, or sealed with the keys of a living one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from engine.crypto.negotiation import offer_ike
from engine.crypto.proposals import ike_proposals
from engine.ike.actions import Action, Path, Report, Send
from engine.ike.v2.features import nat
from engine.ike.v2.sa import EitherSa, IkeSa, OpeningSa
from engine.wire.header import INITIATOR, RESPONSE, Header
from engine.wire.v2.ke import KE
from engine.wire.v2.message import Message, encode_message, encode_payloads, encode_sealed
from engine.wire.v2.nonce import Nonce
from engine.wire.v2.numbers import ExchangeType
from engine.wire.v2.payloads import Payloads
from engine.wire.v2.sa import SA

from tests.seeded_entropy import SeededEntropy

from .world import CLASSIC, EAST, WEST, Host, World

TO_WEST = Path(WEST, 500, EAST, 500)
TO_EAST = Path(EAST, 500, WEST, 500)
ENTROPY = SeededEntropy(4711)
INIT, AUTH = int(ExchangeType.IKE_SA_INIT), int(ExchangeType.IKE_AUTH)
CREATE, INFORMATIONAL = int(ExchangeType.CREATE_CHILD_SA), int(ExchangeType.INFORMATIONAL)
OFFER = SA(offer_ike(ike_proposals(CLASSIC)))
X25519 = ENTROPY.key_exchange(31).public


class Raw:
    """A payload of whatever type with whatever body."""

    def __init__(self, kind: int, body: bytes, critical: bool = False) -> None:
        self.TYPE = kind
        self.body = body
        self.critical = critical

    def encode(self) -> bytes:
        return self.body


def opening(path: Path = TO_WEST, spi: bytes = b"", nonce: bytes = b"") -> list[Any]:
    """The payloads of a faultless IKE_SA_INIT request that comes along ``path``."""
    back = Path(path.remote_address, path.remote_port, path.local_address, path.local_port)
    return [
        OFFER,
        KE(31, X25519),
        Nonce(nonce or ENTROPY.octets(32)),
        *nat.notifies(spi or bytes(8), bytes(8), back, "auto"),
    ]


def init_request(payloads: Sequence[Any] | None = None, spi: bytes = b"", **header: Any) -> bytes:
    """An IKE_SA_INIT request; fields of the header may be replaced."""
    spi = spi or ENTROPY.octets(8)
    octets = encode_message(spi, bytes(8), INIT, INITIATOR, 0, opening(spi=spi) if payloads is None else payloads)
    return with_header(octets, **header)


def with_header(octets: bytes, **changes: Any) -> bytes:
    """The same message with other fields in its header."""
    return Header.parse(octets)._replace(**changes).encode() + octets[28:]


def sealed(
    sa: EitherSa,
    exchange: int,
    message_id: int,
    payloads: Sequence[Any],
    response: bool = False,
    flags: int | None = None,
    chain: tuple[int, bytes] | None = None,
) -> bytes:
    """A protected message as the end that owns ``sa`` would send it; ``chain`` stands for the payloads."""
    if flags is None:
        flags = (INITIATOR if sa.initiator else 0) | (RESPONSE if response else 0)
    return encode_sealed(
        sa.spi_i, sa.spi_r, exchange, flags, message_id, *(encode_payloads(payloads) if chain is None else chain),
        sa.protection.seal.sealed_length, lambda head, plain: sa.protection.seal.seal(head, plain, ENTROPY),
    )  # fmt: skip


def other_end(sa: OpeningSa) -> OpeningSa:
    """An IKE SA that a stranger opened, as that one has it."""
    theirs = replace(sa, initiator=True)
    theirs.protection = sa.protection._replace(seal=sa.protection.open, open=sa.protection.seal)
    return theirs


def ike_sa(host: Host, state: str = "established") -> IkeSa:
    """The only IKE SA of a host in a state."""
    (found,) = [sa for sa in host.engine.registry.by_spi.values() if sa.state.value == state]
    return found


def sends(actions: Sequence[Action]) -> list[bytes]:
    return [action.datagram for action in actions if isinstance(action, Send)]


def stories(actions: Sequence[Action]) -> list[str]:
    return [a.data["story"] for a in actions if isinstance(a, Report) and a.kind in ("rejected", "ike_failed")]


def notified(datagram: bytes) -> list[int]:
    """Types of the notifies in an unprotected message."""
    return [payload.type for payload in Message.parse(datagram).payloads if hasattr(payload, "type")]


def opened(sa: EitherSa, datagram: bytes) -> Payloads:
    """The payloads of a protected message that the owner of ``sa`` received."""
    from engine.wire.v2.message import parse_payloads

    message = Message.parse(datagram)
    return Payloads(
        parse_payloads(
            message.sealed.inner_next_payload, sa.protection.open.open(message.sealed_head, message.sealed.body)
        )
    )


def hand(world: World, host: Host, datagram: bytes, path: Path | None = None) -> list[Action]:
    """Give a datagram to a host and have it do what it asks; what it sends is returned, not put on the wire."""
    path = path or (TO_WEST if host is world.west else TO_EAST)
    actions = host.engine.receive(datagram, path, world.now)
    host.do([action for action in actions if not isinstance(action, Send)])
    return actions
