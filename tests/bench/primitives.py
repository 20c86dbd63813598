# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What one side of an IKEv2 handshake costs in bare primitives, and through the engine's crypto floor.

The handshake is IKE_SA_INIT and IKE_AUTH with a shared secret, one Child SA, x25519, AES-256-GCM and
HMAC-SHA2-384. ``python3 tests/bench/primitives.py`` prints both figures; :func:`bare_ms` is what a
whole handshake is measured against.
"""

from __future__ import annotations

import hmac
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "plugins" / "module_utils"))

from engine.crypto.auth import NOTHING_ASKED, PresharedKey, signed_octets
from engine.crypto.entropy import SystemEntropy
from engine.crypto.evidence import Evidence, Presented, Proof
from engine.crypto.keys import child_keys, derive_ike
from engine.crypto.negotiation import (
    check_answer_esp,
    check_answer_ike,
    choose_esp,
    choose_ike,
    offer_esp,
    offer_ike,
)
from engine.crypto.proposals import esp_proposals, ike_proposals
from engine.crypto.sealer import Sealer
from engine.identity import Identity
from engine.secret import Secret
from engine.wire.v2.sa import SA

ROUNDS = 2000
HASH = "sha384"

_BASE_POINT = X25519PublicKey.from_public_bytes(b"\x09" + bytes(31))
_PEER = X25519PrivateKey.generate().exchange(_BASE_POINT)
_MESSAGE = os.urandom(280)  # about an IKE_SA_INIT request
_INNER = os.urandom(210)  # about the payloads inside IKE_AUTH
_HEAD = os.urandom(32)
_NONCE = os.urandom(32)
_SPI = os.urandom(8)
_ID_BODY = b"\x02\0\0\0gw.example.net"
_PSK = os.urandom(32)
_WHO = Identity.parse("gw.example.net")


def bare_ms(rounds: int = ROUNDS) -> float:
    """CPU milliseconds of the bare primitives of one side; initiator and responder do the same ones."""
    return _cpu_ms(_bare_side, rounds)


def floor_ms(rounds: int = ROUNDS) -> float:
    """CPU milliseconds of the same work through the crypto floor: key exchange, keys, AUTH, sealing."""
    return _cpu_ms(_FloorSide().run, rounds)


def negotiation_ms(rounds: int = ROUNDS) -> float:
    """CPU milliseconds of one side's share of negotiating both SAs: half of offer, choice and check."""
    return _cpu_ms(_negotiate, rounds) / 2


def _cpu_ms(work: Callable[[], object], rounds: int) -> float:
    """The least of five runs: the machine is shared, and noise only ever adds."""
    work()
    best = float("inf")
    for _unused in range(5):
        start = time.process_time_ns()
        for _unused in range(rounds // 5):
            work()
        best = min(best, time.process_time_ns() - start)
    return best / (rounds // 5) / 1e6


def _public_octets(private: X25519PrivateKey) -> bytes:
    # Before version 40 there is no raw form, and the product with the base point is the cheapest.
    return private.public_key().public_bytes_raw() if _HAS_RAW else private.exchange(_BASE_POINT)


_HAS_RAW = hasattr(X25519PublicKey, "public_bytes_raw")


def _bare_side() -> None:
    digest = hmac.digest
    private = X25519PrivateKey.generate()
    _public_octets(private)
    shared = private.exchange(X25519PublicKey.from_public_bytes(_PEER))
    nonces = _NONCE + _NONCE
    skeyseed = digest(nonces, shared, HASH)
    stream = block = b""
    for number in (b"\x01", b"\x02", b"\x03", b"\x04", b"\x05"):  # SK_d, 2 x 36 octets, 2 x SK_p: 216
        block = digest(skeyseed, block + nonces + _SPI + _SPI + number, HASH)
        stream += block
    sealing, opening = AESGCM(stream[48:80]), AESGCM(stream[84:116])
    for _end in ("ours", "the peer's"):
        octets = _MESSAGE + _NONCE + digest(stream[120:168], _ID_BODY, HASH)
        digest(digest(_PSK, b"Key Pad for IKEv2", HASH), octets, HASH)
    sealing.encrypt(_SPI + _SPI[:4], _INNER, _HEAD)
    opening.decrypt(_SPI + _SPI[:4], opening.encrypt(_SPI + _SPI[:4], _INNER, _HEAD), _HEAD)
    digest(stream[:48], digest(stream[:48], nonces + b"\x01", HASH) + nonces + b"\x02", HASH)


class _FloorSide:
    """The same through the engine; the message to open is made anew, as above."""

    def __init__(self) -> None:
        self.entropy = SystemEntropy()
        ike = ike_proposals("aes256gcm16-sha384-x25519")
        esp = esp_proposals("aes256gcm16")
        self.ike = choose_ike(ike, offer_ike(ike))
        self.esp = choose_esp(esp, offer_esp(esp, _SPI[:4], with_ke=False), with_ke=False)
        self.key = PresharedKey(Secret(_PSK))

    def run(self) -> None:
        prf = self.ike.prf
        exchange = self.entropy.key_exchange(31)
        shared = exchange.finish(_PEER)
        keys = derive_ike(self.ike, shared, _NONCE, _NONCE, _SPI, _SPI)
        outbound = Sealer(self.ike.encr, None, keys.ei, keys.ai)
        inbound = Sealer(self.ike.encr, None, keys.er, keys.ar)
        self.key.prove(prf, signed_octets(prf, _MESSAGE, _NONCE, keys.pi, _ID_BODY), NOTHING_ASKED)
        octets = signed_octets(prf, _MESSAGE, _NONCE, keys.pr, _ID_BODY)
        self.key.verify(prf, Evidence(Presented(_WHO), octets, Proof(2, _PSK)))
        outbound.seal(_HEAD, _INNER, self.entropy)
        inbound.open(_HEAD, inbound.seal(_HEAD, _INNER, self.entropy))
        child_keys(prf, keys.d, self.esp, _NONCE, _NONCE)


_IKE = ike_proposals("aes256gcm16-chacha20poly1305-prfsha384-prfsha512-x25519-ecp384")
_ESP = esp_proposals("modern")


def _negotiate() -> None:
    choice = choose_ike(_IKE, offer_ike(_IKE))
    check_answer_ike(_IKE, SA((choice.proposal,)))
    choice = choose_esp(_ESP, offer_esp(_ESP, _SPI[:4], with_ke=False), with_ke=False)
    check_answer_esp(_ESP, SA((choice.proposal,)), with_ke=False)


if __name__ == "__main__":
    bare, floor, negotiation = bare_ms(), floor_ms(), negotiation_ms()
    print(f"bare primitives of one side  {bare:.4f} ms")
    print(f"through the crypto floor     {floor:.4f} ms  (+{(floor / bare - 1) * 100:.0f} %)")
    print(f"negotiation of both SAs      {negotiation:.4f} ms")
