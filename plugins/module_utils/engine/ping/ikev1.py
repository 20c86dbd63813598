# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The first message of IKEv1's two modes, and what the answers to it mean (RFC 2408, RFC 2409).

No more of IKEv1 than a probe needs: one SA payload out, and back the chosen transform, a notify or vendor IDs.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from itertools import product
from typing import Any

from ..errors import IkeError
from ..newer_python import zip
from ..wire.header import Header
from ..wire.reader import Reader

MAIN_MODE = 2
AGGRESSIVE_MODE = 4
INFORMATIONAL = 5
_ENCRYPTED = 0x01
_NO_COOKIE = bytes(8)

# Payload types (RFC 2408 section 3.1).
_SA, _PROPOSAL, _TRANSFORM, _KE, _ID, _NONCE, _NOTIFY, _VENDOR_ID = (
    1,
    2,
    3,
    4,
    5,
    10,
    11,
    13,
)
_DOI_IPSEC = 1
_SITUATION = 1
_KEY_IKE = 1
_GENERIC = struct.Struct("!BBH")
_ATTRIBUTE = struct.Struct("!HH")
_SHORT_FORM = 0x8000
_MODP2048 = 14
_MODP2048_OCTETS = 256

# Attribute number: (word, {value: name}) (RFC 2409 appendix A and the IANA registry "IPSEC Key Exchange").
_ATTRIBUTES: dict[int, tuple[str, dict[int, str]]] = {
    1: ("encryption", {1: "des", 2: "idea", 3: "blowfish", 4: "rc5", 5: "3des", 6: "cast", 7: "aes", 8: "camellia"}),
    2: ("hash", {1: "md5", 2: "sha1", 3: "tiger", 4: "sha256", 5: "sha384", 6: "sha512"}),
    3: ("authentication", {1: "psk", 2: "dss", 3: "rsa", 4: "rsa-encryption", 65001: "xauth-psk", 65005: "xauth-rsa"}),
    4: (
        "group",
        {1: "modp768", 2: "modp1024", 5: "modp1536", 14: "modp2048", 15: "modp3072", 16: "modp4096", 19: "ecp256",
         20: "ecp384", 21: "ecp521"},
    ),
    11: ("life_type", {1: "seconds", 2: "kilobytes"}),
    12: ("life", {}),
    14: ("key_length", {}),
}  # fmt: skip

# (encryption, key length in bits or 0, hash, group): strong ones first, then what only old gear wants.
_SUITES = (
    (7, 256, 4, 14), (7, 256, 2, 14), (7, 128, 2, 14), (7, 256, 2, 5), (7, 128, 2, 5),
    (7, 256, 2, 2), (7, 128, 2, 2), (5, 0, 2, 5), (5, 0, 2, 2), (5, 0, 1, 2),
)  # fmt: skip
_PSK, _RSA = 1, 3
_LIFE_SECONDS = 28800

# Notify messages (RFC 2408 section 3.14.1).
_NOTIFY_NAMES = (
    "INVALID-PAYLOAD-TYPE", "DOI-NOT-SUPPORTED", "SITUATION-NOT-SUPPORTED", "INVALID-COOKIE",
    "INVALID-MAJOR-VERSION", "INVALID-MINOR-VERSION", "INVALID-EXCHANGE-TYPE", "INVALID-FLAGS",
    "INVALID-MESSAGE-ID", "INVALID-PROTOCOL-ID", "INVALID-SPI", "INVALID-TRANSFORM-ID", "ATTRIBUTES-NOT-SUPPORTED",
    "NO-PROPOSAL-CHOSEN", "BAD-PROPOSAL-SYNTAX", "PAYLOAD-MALFORMED", "INVALID-KEY-INFORMATION",
    "INVALID-ID-INFORMATION", "INVALID-CERT-ENCODING", "INVALID-CERTIFICATE", "CERT-TYPE-UNSUPPORTED",
    "INVALID-CERT-AUTHORITY", "INVALID-HASH-INFORMATION", "AUTHENTICATION-FAILED", "INVALID-SIGNATURE",
    "ADDRESS-NOTIFICATION", "NOTIFY-SA-LIFETIME", "CERTIFICATE-UNAVAILABLE", "UNSUPPORTED-EXCHANGE-TYPE",
    "UNEQUAL-PAYLOAD-LENGTHS",
)  # fmt: skip
_NOTIFIES = dict(enumerate(_NOTIFY_NAMES, 1))

# Vendor IDs that we send: some peers show theirs only to those who show one.
_OUR_VENDOR_IDS = (
    bytes.fromhex("afcad71368a1f1c96b8696fc77570100"),  # RFC 3706 section 5.2
    bytes.fromhex("4a131c81070358455c5728f20e95452f"),  # RFC 3947 section 3.1
)


def main_mode_request(initiator: bytes, entropy: Callable[[int], bytes]) -> bytes:
    """The first message of Main Mode: one SA payload, two vendor IDs.

    :param initiator: initiator cookie, 8 octets, not zero.
    """
    return _message(
        initiator,
        MAIN_MODE,
        [(_SA, _offer(_SUITES, (_PSK, _RSA))), *((_VENDOR_ID, vid) for vid in _OUR_VENDOR_IDS)],
    )


def aggressive_mode_request(initiator: bytes, entropy: Callable[[int], bytes]) -> bytes:
    """The first message of Aggressive Mode: SA in one group, KE, Nonce, ID.

    :param initiator: initiator cookie, 8 octets, not zero.
    :param entropy: number of octets to random octets.
    """
    suites = [suite for suite in _SUITES if suite[3] == _MODP2048]
    # Who has nothing but a connection with a shared secret may not answer an offer that names more (Libreswan).
    # Group 14's prime begins with ones, so that a zero octet in front makes any number a valid public value.
    public = b"\x00" + entropy(_MODP2048_OCTETS - 1)
    identity = struct.pack("!BBH", 2, 17, 500) + b"ikeping"
    payloads = [
        (_SA, _offer(suites, (_PSK,))),
        (_KE, public),
        (_NONCE, entropy(20)),
        (_ID, identity),
    ]
    return _message(initiator, AGGRESSIVE_MODE, payloads)


def _message(initiator: bytes, exchange: int, payloads: list[tuple[int, bytes]]) -> bytes:
    following = [kind for kind, _body in payloads[1:]] + [0]
    chain = b"".join(_generic(after, body) for after, (_kind, body) in zip(following, payloads, strict=True))
    header = Header(initiator, _NO_COOKIE, payloads[0][0], 1, 0, exchange, 0, 0, 28 + len(chain))
    return header.encode() + chain


def _generic(following: int, body: bytes) -> bytes:
    return _GENERIC.pack(following, 0, _GENERIC.size + len(body)) + body


def _offer(suites: Iterable[tuple[int, int, int, int]], authentications: Iterable[int]) -> bytes:
    rows = list(product(suites, authentications))
    transforms = b""
    for number, (suite, authentication) in enumerate(rows, 1):
        body = bytes((number, _KEY_IKE, 0, 0)) + _attributes(suite, authentication)
        transforms += _generic(_TRANSFORM if number < len(rows) else 0, body)
    proposal = _generic(0, bytes((1, 1, 0, len(rows))) + transforms)
    return struct.pack("!II", _DOI_IPSEC, _SITUATION) + proposal


def _attributes(suite: tuple[int, int, int, int], authentication: int) -> bytes:
    encryption, bits, digest, group = suite
    pairs = [
        (1, encryption),
        (14, bits),
        (2, digest),
        (4, group),
        (3, authentication),
        (11, 1),
        (12, _LIFE_SECONDS),
    ]
    return b"".join(_ATTRIBUTE.pack(_SHORT_FORM | kind, value) for kind, value in pairs if kind != 14 or value)


def read_answer(datagram: bytes, header: Header) -> tuple[str, dict[str, Any]] | None:
    """What an IKEv1 message from a responder means: (what answered, details), or None when it is not an answer.

    :param header: of the datagram, parsed.
    """
    if header.exchange not in (MAIN_MODE, AGGRESSIVE_MODE, INFORMATIONAL) or header.flags & _ENCRYPTED:
        return None
    try:
        payloads = list(_payloads(header.next_payload, Reader(datagram, 28)))
        return _meaning(header, payloads)
    except IkeError:
        return None


def _payloads(kind: int, reader: Reader) -> Iterable[tuple[int, Reader]]:
    while kind:
        reader.budget.spend("payloads")
        following, _reserved, length = reader.unpack(_GENERIC)
        yield kind, reader.window(length - _GENERIC.size)
        kind = following


def _meaning(header: Header, payloads: list[tuple[int, Reader]]) -> tuple[str, dict[str, Any]] | None:
    details: dict[str, Any] = {"notifies": [], "vendor_ids": []}
    for kind, body in payloads:
        if kind == _SA:
            details["proposal"] = _chosen(body)
        elif kind == _NOTIFY:
            details["notifies"].append(_notify(body))
        elif kind == _VENDOR_ID:
            details["vendor_ids"].append(body.rest())
    if header.exchange == INFORMATIONAL:
        return (details["notifies"][0], details) if details["notifies"] else None
    # Without a responder cookie it is our own message come back.
    if "proposal" not in details or header.responder_spi == _NO_COOKIE:
        return None
    return "proposal chosen", details


def _notify(body: Reader) -> str:
    body.u32()
    _protocol, spi_size, number = body.u8(), body.u8(), body.u16()
    body.take(spi_size)
    return _NOTIFIES.get(number, f"NOTIFY-{number}")


def _chosen(body: Reader) -> str:
    body.take(8)  # domain of interpretation, situation
    _following, _reserved, length = body.unpack(_GENERIC)
    proposal = body.window(length - _GENERIC.size)
    _number, _protocol, spi_size, _count = (
        proposal.u8(),
        proposal.u8(),
        proposal.u8(),
        proposal.u8(),
    )
    proposal.take(spi_size)
    _following, _reserved, length = proposal.unpack(_GENERIC)
    transform = proposal.window(length - _GENERIC.size)
    transform.take(4)
    words: dict[str, str] = {}
    while transform.remaining:
        kind, value = transform.unpack(_ATTRIBUTE)
        if not kind & _SHORT_FORM:
            value = int.from_bytes(transform.take(value), "big")
        word, names = _ATTRIBUTES.get(kind & ~_SHORT_FORM, (f"attribute{kind & ~_SHORT_FORM}", {}))
        words[word] = names.get(value, str(value))
    cipher = words.get("encryption", "?") + words.get("key_length", "")
    return "-".join(
        [
            cipher,
            *(words.get(word, "?") for word in ("hash", "group", "authentication")),
        ]
    )
