# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an IKEv2 probe says and what an IKEv2 answer to it means (RFC 7296 section 1.2, 2.5, 2.6, 2.7)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from ..crypto.registry import Kind, by_name, by_transform
from ..errors import IkeError
from ..wire.header import INITIATOR, Header
from ..wire.v2.ke import KE
from ..wire.v2.message import Message, Payloads, encode_message
from ..wire.v2.nonce import Nonce
from ..wire.v2.notify import Notify
from ..wire.v2.numbers import ExchangeType, NotifyType, ProtocolId, TransformType
from ..wire.v2.sa import SA, Proposal, Transform
from ..wire.v2.vendor import VendorID

NO_SPI = bytes(8)
FUTURE_MAJOR = 3
_VERSION_AT = 17
_VERSION_VENDOR_ID = b"ikeping"
_NONCE_OCTETS = 32
_X25519_OCTETS = 32

# Everything a peer may want, strongest first: the probe asks whether somebody is there, not whether he is up to date.
_GROUPS = [
    "x25519",
    "ecp256",
    "ecp384",
    "ecp521",
    "modp2048",
    "modp3072",
    "modp4096",
    "modp1536",
    "modp1024",
]
_OFFER: tuple[tuple[tuple[Kind, list[str]], ...], ...] = (
    (
        (Kind.ENCR, ["aes256gcm16", "aes128gcm16", "chacha20poly1305"]),
        (Kind.PRF, ["sha512", "sha384", "sha256"]),
        (Kind.KE, _GROUPS),
    ),
    (
        (Kind.ENCR, ["aes256", "aes192", "aes128", "3des"]),
        (Kind.PRF, ["sha256", "sha384", "sha512", "sha1"]),
        (Kind.INTEG, ["sha256", "sha384", "sha512", "sha1"]),
        (Kind.KE, _GROUPS),
    ),
)


def version_request(initiator: bytes) -> bytes:
    """A message of a major version that does not exist: an IKEv2 daemon says so and keeps no state.

    :param initiator: initiator SPI, 8 octets, not zero.
    """
    # A vendor ID makes it no shorter than the answer: who never sends strangers more than they sent answers, too.
    vendor_id = VendorID(_VERSION_VENDOR_ID)
    message = encode_message(initiator, NO_SPI, ExchangeType.IKE_SA_INIT, INITIATOR, 0, (vendor_id,))
    return message[:_VERSION_AT] + bytes((FUTURE_MAJOR << 4,)) + message[_VERSION_AT + 1 :]


def init_request(initiator: bytes, entropy: Callable[[int], bytes]) -> bytes:
    """A complete IKE_SA_INIT request that asks for nothing unusual.

    :param initiator: initiator SPI, 8 octets, not zero.
    :param entropy: number of octets to random octets.
    """
    # Each 32 octets are a valid Curve25519 public value (RFC 7748 section 5); nobody is going to need the private one.
    payloads = (
        _offer(),
        KE(_number(Kind.KE, "x25519"), entropy(_X25519_OCTETS)),
        Nonce(entropy(_NONCE_OCTETS)),
    )
    return encode_message(initiator, NO_SPI, ExchangeType.IKE_SA_INIT, INITIATOR, 0, payloads)


def _number(kind: Kind, name: str) -> int:
    row = by_name(kind, name)
    if row is None:
        raise LookupError(f"the registry of algorithms has no {kind.name} {name}")
    return row.transform_id


def _transforms(kind: Kind, names: list[str]) -> Iterator[Transform]:
    for name in names:
        row = by_name(kind, name)
        yield Transform(kind, _number(kind, name), row.key_length if row else None)


def _offer() -> SA:
    proposals = []
    for number, kinds in enumerate(_OFFER, 1):
        transforms = tuple(transform for kind, names in kinds for transform in _transforms(kind, names))
        proposals.append(Proposal(number, ProtocolId.IKE, b"", transforms))
    return SA(tuple(proposals))


def read_answer(datagram: bytes, header: Header) -> tuple[str, dict[str, Any]] | None:
    """What an IKEv2 response means: (what answered, details), or None when it is not a well-formed answer.

    :param header: of the datagram, parsed.
    """
    wanted = (ExchangeType.IKE_SA_INIT, ExchangeType.INFORMATIONAL)
    if not header.is_response or header.from_initiator or header.exchange not in wanted:
        return None
    try:
        payloads = Payloads(Message.parse(datagram).payloads)
    except IkeError:
        return None
    details = _details(payloads)
    if SA in payloads:
        return "proposal chosen", details
    notify = payloads.error() or next(iter(payloads.all(Notify)), None)
    if notify is None:
        return None
    return notify_name(notify.type), details


def _details(payloads: Payloads) -> dict[str, Any]:
    details: dict[str, Any] = {"notifies": [notify_name(notify.type) for notify in payloads.all(Notify)]}
    sa = payloads.one(SA)
    if sa is not None:
        details["proposal"] = "-".join(_transform_name(transform) for transform in sa.proposals[0].transforms)
    wanted = payloads.notify(NotifyType.INVALID_KE_PAYLOAD)
    if wanted is not None:
        details["group_wanted"] = int.from_bytes(wanted.data, "big")
    details["vendor_ids"] = [vendor.data for vendor in payloads.all(VendorID)]
    return details


def notify_name(number: int) -> str:
    """The registered name of a notify type, or ``NOTIFY_number``."""
    try:
        return NotifyType(number).name
    except ValueError:
        return f"NOTIFY_{number}"


def _transform_name(transform: Transform) -> str:
    row = by_transform(transform.type, transform.id, transform.key_length)
    if row is not None:
        return f"prf{row.name}" if row.kind == Kind.PRF else row.name
    kinds = {kind.value: kind.name.lower() for kind in TransformType}
    name = f"{kinds.get(transform.type, f'type{transform.type}_')}{transform.id}"
    return name if transform.key_length is None else f"{name}_{transform.key_length}"
