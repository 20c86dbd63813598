# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole IKEv2 messages: the chain of payloads behind the header (RFC 7296 section 3.2)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from struct import Struct
from typing import Any

from ...errors import IkeError
from ...newer_python import dataclass
from .. import header as ike_header
from ..budget import INVALID_SYNTAX, Budget
from ..header import Header
from ..reader import Reader
from .auth import AUTH
from .cert import CERT, CERTREQ
from .config import CP
from .delete import Delete
from .eap import EAP
from .ident import IDi, IDr
from .ke import KE
from .nonce import Nonce
from .notify import Notify
from .numbers import NotifyType, PayloadType
from .payloads import Payloads
from .sa import SA
from .sealed import FRAGMENT_HEAD, Sealed, SealedFragment
from .ts import TSi, TSr
from .unknown import Unknown
from .vendor import VendorID

__all__ = [
    "Budget",
    "Message",
    "Payloads",
    "encode_message",
    "encode_payloads",
    "encode_sealed",
    "encode_sealed_fragment",
    "parse_payloads",
]

# A payload's value, one of the classes below.
Payload = Any

_MAJOR = 2
_CRITICAL = 0x80
_LARGEST = 0xFFFF
_NO_SPI = bytes(8)
_HEAD = Struct("!BBH")

_PLAIN: dict[int, Any] = {
    int(kind.TYPE): kind
    for kind in (SA, KE, IDi, IDr, CERT, CERTREQ, AUTH, Nonce, Notify, Delete, VendorID, TSi, TSr, CP, EAP)
}
_SEALED = {int(kind.TYPE): kind for kind in (Sealed, SealedFragment)}


def parse_payloads(first: int, data: bytes | Reader) -> tuple[Payload, ...]:
    """Read a chain of payloads, such as the plaintext of an encrypted payload.

    :param first: type of the first payload, 0 when there is none.
    :param data: all octets of the chain, consumed exactly.
    :returns: one value for each payload in order; unknown types become :class:`Unknown`.
    :raises IkeError: INVALID_SYNTAX, also for an encrypted payload among them;
        UNSUPPORTED_CRITICAL_PAYLOAD, with the type (1 octet) as data.
    """
    payloads = _parse_chain(first, data if isinstance(data, Reader) else Reader(data))
    if payloads and payloads[-1].TYPE in _SEALED:
        raise IkeError(INVALID_SYNTAX, "an encrypted payload where none can be")
    return payloads


def _parse_chain(first: int, reader: Reader) -> tuple[Payload, ...]:
    payloads: list[Payload] = []
    kind, spend = first, reader.budget.spend
    while kind:
        spend("payloads")
        following, flags, length = reader.unpack(_HEAD)
        body = reader.window(length - _HEAD.size)
        plain = _PLAIN.get(kind)
        if plain is not None:
            payloads.append(plain.parse(body))
            body.finish()
        elif kind in _SEALED:
            payloads.append(_SEALED[kind].parse(following, body))
            break  # its next payload field is about what is inside: no other payload can follow
        else:
            payloads.append(_parse_unknown(kind, flags, body))
        kind = following
    reader.finish()
    return tuple(payloads)


def _parse_unknown(kind: int, flags: int, body: Reader) -> Unknown:
    if flags & _CRITICAL:
        raise IkeError(
            NotifyType.UNSUPPORTED_CRITICAL_PAYLOAD, f"a critical payload of unknown type {kind}", data=bytes((kind,))
        )
    return Unknown(kind, False, body.rest())


@dataclass(frozen=True, slots=True)
class Message:
    """One IKEv2 message as it came.

    :ivar payloads: in order; an encrypted payload is the last one and still closed.
    :ivar sealed_head: octets from the header up to and including the head of the encrypted payload (with the
        fragment's numbers): with an AEAD the associated data (RFC 5282 section 5.1, RFC 7383 section 2.5); empty
        without an encrypted payload.
    """

    header: Header
    payloads: tuple[Payload, ...]
    sealed_head: bytes = b""

    @classmethod
    def parse(cls, datagram: bytes | memoryview) -> Message:
        """Read a whole message (no non-ESP marker in front).

        :raises IkeError: notify 0 when it is not to be answered (no header, no initiator SPI, older version);
            INVALID_MAJOR_VERSION for a newer one; otherwise as :func:`parse_payloads`.
        """
        octets = bytes(datagram)
        return cls.read(Header.parse(octets), octets)

    @classmethod
    def read(cls, header: Header, octets: bytes) -> Message:
        """As :meth:`parse`, of a message whose header was read before.

        :raises IkeError: as :meth:`parse`.
        """
        if header.major != _MAJOR:
            notify = NotifyType.INVALID_MAJOR_VERSION if header.major > _MAJOR else 0
            raise IkeError(notify, f"a message of major version {header.major}, not {_MAJOR}")
        if header.initiator_spi == _NO_SPI:
            raise IkeError(0, "a message without an initiator SPI")
        payloads = _parse_chain(header.next_payload, Reader(octets, ike_header.SIZE))
        last = payloads[-1] if payloads else None
        if not isinstance(last, (Sealed, SealedFragment)):
            return cls(header, payloads)
        if isinstance(last, SealedFragment) and len(payloads) > 1:
            raise IkeError(INVALID_SYNTAX, "plain payloads beside an encrypted fragment")
        return cls(header, payloads, octets[: len(octets) - len(last.body)])

    @property
    def sealed(self) -> Sealed | SealedFragment | None:
        """The encrypted payload, None when all payloads are plain."""
        return self.payloads[-1] if self.sealed_head else None


def encode_payloads(payloads: Iterable[Payload]) -> tuple[int, bytes]:
    """Chain payloads.

    :returns: type of the first one (0 without any) and the octets of the chain.
    :raises ValueError: for a payload of more than 65535 octets.
    """
    following = 0
    parts: list[bytes] = []
    for payload in reversed(tuple(payloads)):
        body = payload.encode()
        parts += (body, _head(following, _CRITICAL if getattr(payload, "critical", False) else 0, len(body)))
        following = int(payload.TYPE)
    parts.reverse()
    return following, b"".join(parts)


def _head(following: int, flags: int, body_size: int) -> bytes:
    length = body_size + _HEAD.size
    if length > _LARGEST:
        raise ValueError(f"a payload of {length} octets; its length field ends at {_LARGEST}")
    return _HEAD.pack(following, flags, length)


def encode_message(
    initiator_spi: bytes, responder_spi: bytes, exchange: int, flags: int, message_id: int, payloads: Sequence[Payload]
) -> bytes:
    """A message whose payloads all go unprotected.

    :param initiator_spi: 8 octets.
    :param responder_spi: 8 octets, zero when it is not known yet.
    :param flags: :data:`~..header.INITIATOR`, :data:`~..header.RESPONSE` or both or none.
    :returns: the datagram.
    """
    first, chain = encode_payloads(payloads)
    length = ike_header.SIZE + len(chain)
    return Header(initiator_spi, responder_spi, first, _MAJOR, 0, exchange, flags, message_id, length).encode() + chain


Lengths = Callable[[int], int]
Seal = Callable[[bytes, bytes], bytes]


def encode_sealed(
    initiator_spi: bytes,
    responder_spi: bytes,
    exchange: int,
    flags: int,
    message_id: int,
    first: int,
    chain: bytes,
    sealed_length: Lengths,
    seal: Seal,
) -> bytes:
    """A message whose payloads all travel in one encrypted payload; parameters as :func:`encode_message`.

    :param first: type of the first payload; ``chain``: all of them, see :func:`encode_payloads`.
    :param sealed_length: octets of plaintext to octets of what ``seal`` makes of them.
    :param seal: called once with the head (see ``Message.sealed_head``) and the plaintext without padding;
        returns initialization vector, ciphertext and integrity check value.
    :returns: the datagram.
    """
    outline = Header(initiator_spi, responder_spi, PayloadType.SK, _MAJOR, 0, exchange, flags, message_id, 0)
    return _encode_closed(outline, first, b"", chain, sealed_length, seal)


def encode_sealed_fragment(
    initiator_spi: bytes,
    responder_spi: bytes,
    exchange: int,
    flags: int,
    message_id: int,
    first: int,
    number: int,
    total: int,
    chunk: bytes,
    sealed_length: Lengths,
    seal: Seal,
) -> bytes:
    """One fragment of a protected message (RFC 7383 section 2.5); parameters as :func:`encode_sealed`.

    :param first: type of the first payload of the whole message; only fragment 1 carries it.
    :param number: which fragment it is, 1 to ``total``.
    :param chunk: this fragment's share of the chain of payloads, see :func:`encode_payloads`.
    """
    outline = Header(initiator_spi, responder_spi, PayloadType.SKF, _MAJOR, 0, exchange, flags, message_id, 0)
    numbers = FRAGMENT_HEAD.pack(number, total)
    return _encode_closed(outline, first if number == 1 else 0, numbers, chunk, sealed_length, seal)


def _encode_closed(
    outline: Header, inner: int, numbers: bytes, plain: bytes, sealed_length: Lengths, seal: Seal
) -> bytes:
    """The datagram of ``outline`` (its length is set here) around one encrypted payload.

    :param inner: the encrypted payload's next payload field.
    :param numbers: what stands between its generic header and the initialization vector.
    """
    size = sealed_length(len(plain))
    payload_head = _head(inner, 0, len(numbers) + size) + numbers
    header = outline._replace(length=ike_header.SIZE + len(payload_head) + size)
    head = header.encode() + payload_head
    body = seal(head, plain)
    if len(body) != size:
        # The length is part of what was sealed: a message that says another one is refused everywhere.
        raise ValueError(f"sealing made {len(body)} octets, not the {size} announced")
    return head + body
