# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What one message of somebody who is not authenticated costs, by what is defined: CPU time, and functions called.

The endpoint alone, without sockets: what is measured is what a datagram makes the engine do. Counts of calls do not
depend on the machine.
"""

from __future__ import annotations

import itertools
import statistics
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path as File
from typing import Any

sys.path.insert(0, str(File(__file__).resolve().parents[2] / "plugins" / "module_utils"))

from engine.crypto.auth import PresharedKey
from engine.crypto.entropy import SystemEntropy
from engine.crypto.groups import modp_prime
from engine.crypto.negotiation import offer_ike
from engine.crypto.proposals import IkeProposal, ike_proposals
from engine.identity import Identity
from engine.ike.actions import Path, Send
from engine.ike.connection import Connection
from engine.ike.endpoint import Endpoint
from engine.ike.v2.sa import OpeningSa
from engine.secret import Secret
from engine.wire.header import INITIATOR
from engine.wire.v2.auth import AUTH
from engine.wire.v2.ident import IDi
from engine.wire.v2.ke import KE
from engine.wire.v2.message import encode_message, encode_payloads, encode_sealed
from engine.wire.v2.nonce import Nonce
from engine.wire.v2.notify import Notify
from engine.wire.v2.numbers import AuthMethod, ExchangeType, NotifyType, PayloadType
from engine.wire.v2.sa import SA, Proposal, Transform

from .results import Figure

DEFINITIONS = (1, 1_000, 5_000)
MESSAGES = 9  # measured, for each figure
FAILURES = 4_000
_PEERS = [f"198.51.{number // 250}.{number % 250 + 1}" for number in range(10_000)]
CLASSIC = ike_proposals("aes256gcm16-chacha20poly1305-prfsha384-prfsha512-x25519-ecp384")
_ENTROPY = SystemEntropy()
_HERE = Identity.parse("here.example")

Proposals = tuple[IkeProposal, ...]


def figures() -> list[Figure]:
    """All of it."""
    found = []
    for count in DEFINITIONS:
        for title, defined in (("alike", [CLASSIC] * count), ("no two alike", _different(count))):
            engine = _engine(defined)
            for octets in (_fits_nothing(12), _fits_nothing(50)):
                name = f"first message of {len(octets)} octets that fits nothing, {count} definitions, {title}"
                found += _cost(name, _opening(engine, octets))
        found += _cost(f"wrong secret for an identity that {count} definitions have", _wrong_secret(count))
    for group, bits in ((16, 4096), (18, 8192)):
        proposals = ike_proposals(f"aes256gcm16-sha384-modp{bits}")
        value = KE(group, (modp_prime(bits) - 1).to_bytes(bits // 8, "big"))
        refused = _init([SA(offer_ike(proposals)), value, Nonce(bytes(32))])
        found += _cost(f"key exchange value p-1, {bits} bits", _opening(_engine([proposals]), refused))
    return [*found, *_kept()]


# What is defined


def _different(count: int) -> list[Proposals]:
    """No two of them alike: orders of the key exchange groups."""
    groups = ["x25519", "ecp256", "ecp384", "ecp521", "modp2048", "modp3072", "modp4096"]
    orders = itertools.islice(itertools.permutations(groups), count)
    return [ike_proposals(f"aes256gcm16-prfsha384-{'-'.join(order)}") for order in orders]


def _engine(defined: list[Proposals], same_peer: bool = False) -> Endpoint:
    """An endpoint with one definition for each of these, all for peers that may come from anywhere."""
    engine = Endpoint(_ENTROPY, lambda *_more: 1)
    for number, proposals in enumerate(defined):
        peer = Identity.parse("peer.example" if same_peer else f"peer{number}.example")
        secret = PresharedKey(Secret(b"the secret of %d" % number))
        engine.define(Connection(f"t{number}", _HERE, secret, proposals, (), remote_id=peer))
    return engine


# What strangers send


def _fits_nothing(proposals: int) -> bytes:
    """Eight transforms a proposal, of numbers that nobody has but one: each proposal differs in one respect."""
    transforms = tuple(
        Transform(1 + number % 4, 1000 + number, 256 if number % 4 == 0 else None) for number in range(8)
    )
    offer = SA(tuple(Proposal(number, 1, b"", transforms) for number in range(1, proposals + 1)))
    return _init([offer, KE(31, bytes(32)), Nonce(bytes(32))])


def _init(payloads: list[Any], spi: bytes = b"") -> bytes:
    return encode_message(spi or _ENTROPY.octets(8), bytes(8), ExchangeType.IKE_SA_INIT, INITIATOR, 0, payloads)


def _opening(engine: Endpoint, octets: bytes) -> Iterator[Callable[[], Any]]:
    """The same message from ever other addresses, as if forged."""
    for number, peer in enumerate(itertools.cycle(_PEERS)):
        path = Path("192.0.2.1", 500, peer, 500)
        yield partial(engine.receive, octets, path, 1000.0 + number)


def _wrong_secret(count: int) -> Iterator[Callable[[], Any]]:
    """IKE_AUTH of somebody who names the identity that all definitions are for, and has none of the secrets."""
    engine = _engine([CLASSIC] * count, same_peer=True)
    for number in itertools.count():
        path = Path("192.0.2.1", 500, _PEERS[number % len(_PEERS)], 500)
        now = 1000.0 + 2 * number
        engine.tick(now)
        octets = _failing_auth(engine, path, now)
        yield partial(engine.receive, octets, path, now)


def _failing_auth(engine: Endpoint, path: Path, now: float) -> bytes:
    """Go as far as having keys, with a cookie if need be, and seal an IKE_AUTH with them; empty if it gets nowhere."""
    exchange, spi = _ENTROPY.key_exchange(31), _ENTROPY.octets(8)
    payloads: list[Any] = [SA(offer_ike(CLASSIC)), KE(31, exchange.public), Nonce(bytes(32))]
    answer = _answer(engine, _init(payloads, spi), path, now)
    if answer and answer[16] == PayloadType.NOTIFY:
        answer = _answer(engine, _init([Notify(NotifyType.COOKIE, answer[-36:]), *payloads], spi), path, now)
    if not answer:
        return b""
    sa = engine.registry.by_spi[answer[8:16]]
    return _sealed(sa, [IDi(Identity.parse("peer.example")), AUTH(int(AuthMethod.SHARED_KEY), bytes(48))])


def _answer(engine: Endpoint, octets: bytes, path: Path, now: float) -> bytes:
    sent = [action.datagram for action in engine.receive(octets, path, now) if isinstance(action, Send)]
    return sent[0] if sent else b""


def _sealed(sa: OpeningSa, payloads: list[Any]) -> bytes:
    if sa.protection is None:
        raise RuntimeError("this IKE SA has no keys")
    own = sa.protection.open
    return encode_sealed(
        sa.spi_i, sa.spi_r, ExchangeType.IKE_AUTH, INITIATOR, 1, *encode_payloads(payloads),
        own.sealed_length, lambda head, plain: own.seal(head, plain, _ENTROPY),
    )  # fmt: skip


# What it costs


def _cost(name: str, messages: Iterator[Callable[[], Any]]) -> list[Figure]:
    """Median CPU time of one message, and the functions called for one."""
    next(messages)()
    calls = _calls(next(messages))
    taken = []
    for message in itertools.islice(messages, MESSAGES):
        began = time.process_time_ns()
        message()
        taken.append(time.process_time_ns() - began)
    return [Figure(name, "ms CPU", statistics.median(taken) / 1e6), Figure("  … functions called", "number", calls)]


def _calls(function: Callable[[], Any]) -> int:
    count = 0

    def note(_frame: Any, event: str, _what: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(note)
    try:
        function()
    finally:
        sys.setprofile(None)
    return count


def _kept() -> list[Figure]:
    """What is kept of failed authentications from one address, as many as it likes within their time."""
    engine = _engine([CLASSIC])
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for number in range(FAILURES):
        path = Path("192.0.2.1", 500, _PEERS[0], 1024 + number)
        octets = _failing_auth(engine, path, 1000.0)
        if octets:
            engine.receive(octets, path, 1000.0)
    engine.changes()
    kept = len(engine.registry.by_spi)
    octets_each = (tracemalloc.get_traced_memory()[0] - before) / max(kept, 1)
    tracemalloc.stop()
    name = f"{FAILURES} failed authentications of one address in 30 s"
    return [
        Figure(f"{name}: kept", "number", kept),
        Figure("  … counted as half-open", "number", engine.half_open.total, better="higher"),
        Figure("  … memory of each", "KiB", octets_each / 1024),
    ]
