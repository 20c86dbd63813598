# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""IKE fragmentation (RFC 7383): a protected message too large for one packet goes, and comes, in several datagrams.

Each fragment is sealed by itself, so what is put together was sent by the peer, and nobody else can add to it. What
is kept of a message that is not whole is bounded in octets and in time: the peer sends all of it again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ....errors import IkeError
from ....newer_python import dataclass
from ....wire.header import SIZE as HEADER_OCTETS
from ....wire.header import Header
from ....wire.v2.message import Message, encode_payloads, encode_sealed, encode_sealed_fragment
from ....wire.v2.notify import Notify
from ....wire.v2.numbers import NotifyType
from ....wire.v2.sealed import FRAGMENT_HEAD, SealedFragment
from ...actions import Path
from ...context import Context
from ...incomplete import STRANGERS
from ...record_codec import PLAIN, Shape
from ..sa import EitherSa, IkeSa, OpeningSa, Partial
from ..tasks import Kind
from .feature import Feature, Part, Role, Slot, Talk

SUPPORTED = Notify(NotifyType.IKEV2_FRAGMENTATION_SUPPORTED)

LIFETIME = 30.0  # seconds for which a message may be incomplete
MOST_FRAGMENTS = 128
# Octets of payloads that are kept of a message. A stranger has agreed on keys by then, and may be anybody all the same;
# a peer may leave behind as many IKE SAs that are replaced as it likes, in which there is no more to say than that.
MOST_OCTETS = 65_535
MOST_OCTETS_OF_STRANGERS = 16_384

_PAYLOAD_HEAD = 4
_UDP_HEAD = 8
_MARKER = 4  # RFC 3948 section 2.2, between the ports of NAT traversal
_IP_HEAD = {False: 20, True: 40}


class Whole(NamedTuple):
    """What a message holds, and the datagram by which a repetition of it is known: the first one.

    :ivar first: type of the first payload, 0 for none; ``chain``: the octets of all of them.
    """

    first: int
    chain: bytes
    datagram: bytes


# What both ends say of it in IKE_SA_INIT


@dataclass(frozen=True, slots=True)
class Agreed:
    """Whether both ends take messages in fragments."""

    fragmentation: bool = False


YES = Agreed(True)
AGREED: Slot[Agreed] = Slot(Agreed(), Shape(Agreed, {"fragmentation": PLAIN}))


def _ask(talk: Talk[OpeningSa]) -> Sequence[Notify]:
    return [SUPPORTED] if talk.sa.connection.fragment_size else []


def _take(talk: Talk[OpeningSa]) -> None:
    """The other end has spoken."""
    if talk.sa.connection.fragment_size and talk.said.notify(SUPPORTED.type) is not None:
        AGREED.put(talk.sa, YES)


def _answer(talk: Talk[OpeningSa]) -> Sequence[Notify]:
    """Yes to who can do it, too."""
    return [SUPPORTED] if agreed(talk.sa) else []


def agreed(sa: EitherSa) -> bool:
    """Whether messages may be in fragments, either way."""
    return AGREED.of(sa).fragmentation


FEATURE = Feature(
    "fragmentation",
    (
        Part(Kind.INIT, Role.INITIATOR, offer=_ask, take=_take),
        Part(Kind.INIT, Role.RESPONDER, offer=_answer, take=_take),
    ),
    slot=AGREED,
)


# What we send


def seal_message(
    context: Context, sa: EitherSa, exchange: int, flags: int, message_id: int, payloads: Sequence[Any]
) -> tuple[bytes, ...]:
    """A protected message as the datagrams that it travels in, one where it fits (RFC 7383 section 2.5)."""
    if sa.protection is None:
        raise ValueError("an IKE SA without keys cannot protect a message")
    sealer, entropy = sa.protection.seal, context.entropy

    def seal(head: bytes, plaintext: bytes) -> bytes:
        return sealer.seal(head, plaintext, entropy)

    first, chain = encode_payloads(payloads)
    outline = sa.spi_i, sa.spi_r, exchange, flags, message_id
    room = _room(sa)
    if HEADER_OCTETS + _PAYLOAD_HEAD + sealer.sealed_length(len(chain)) <= room or not agreed(sa):
        return (encode_sealed(*outline, first, chain, sealer.sealed_length, seal),)
    share = _share(sealer.sealed_length, room)
    chunks = [chain[at : at + share] for at in range(0, len(chain), share)]
    return tuple(
        encode_sealed_fragment(*outline, first, number, len(chunks), chunk, sealer.sealed_length, seal)
        for number, chunk in enumerate(chunks, 1)
    )


def _room(sa: EitherSa) -> int:
    """Octets of an IKE message that a packet of the tunnel's size has room for."""
    return sa.connection.fragment_size - around(sa.path)


def around(path: Path) -> int:
    """Octets of a packet that are not of the IKE message in it."""
    return _IP_HEAD[":" in path.remote_address] + _UDP_HEAD + (_MARKER if path.natt else 0)


def _share(sealed_length: Callable[[int], int], room: int) -> int:
    """Octets of payloads that a fragment has room for."""
    body = room - HEADER_OCTETS - _PAYLOAD_HEAD - FRAGMENT_HEAD.size
    share = body - sealed_length(0)
    while sealed_length(share + 1) <= body:
        share += 1
    return share


# What comes


def take(context: Context, sa: EitherSa, header: Header, message: Message, datagram: bytes) -> Whole | None:
    """Open a fragment of the message that is awaited; the message, when it was the last one that lacked.

    :raises IkeError: with notify 0: it is forged, not agreed upon, or more than is kept.
    """
    sealed = message.sealed
    if not isinstance(sealed, SealedFragment) or not agreed(sa) or sa.protection is None:
        raise IkeError(0, "a fragment, where none is agreed upon")
    if sealed.total > MOST_FRAGMENTS:
        raise IkeError(0, f"a message in {sealed.total} fragments, not {MOST_FRAGMENTS} at most")
    partial = sa.partials.get(header.is_response)
    head = header.exchange, header.flags, header.message_id
    if partial is not None and partial.head == head and _is_old(partial, sealed):
        return None
    chunk = sa.protection.open.open(message.sealed_head, sealed.body)
    context.touch(sa)
    if partial is None or partial.head[2] != header.message_id or sealed.total > partial.total:
        # With more fragments than before it is the whole message once more, in smaller ones (section 2.6.1).
        drop(context, sa, header.is_response)
        partial = sa.partials[header.is_response] = Partial(head, sealed.total, context.now + LIFETIME)
    elif partial.head != head:
        raise IkeError(0, "a fragment of another exchange under the same Message ID")
    _keep(context, sa, header.is_response, partial, sealed, chunk, datagram)
    if len(partial.chunks) < partial.total:
        return None
    drop(context, sa, header.is_response)
    chain = b"".join(partial.chunks[number] for number in range(1, partial.total + 1))
    return Whole(partial.first, chain, partial.datagram)


def _is_old(partial: Partial, sealed: SealedFragment) -> bool:
    """Whether there is no use for it: it is there already, or of a division that was given up."""
    return sealed.total < partial.total or (sealed.total == partial.total and sealed.number in partial.chunks)


def _keep(
    context: Context,
    sa: EitherSa,
    is_response: bool,
    partial: Partial,
    sealed: SealedFragment,
    chunk: bytes,
    datagram: bytes,
) -> None:
    most = MOST_OCTETS if sa.alive else MOST_OCTETS_OF_STRANGERS
    if partial.octets + len(chunk) > most:
        drop(context, sa, is_response)
        raise IkeError(0, f"a message in fragments has more than {most} octets")
    partial.chunks[sealed.number] = chunk
    partial.octets += len(chunk)
    if sealed.number == 1:
        partial.first, partial.datagram = sealed.inner_next_payload, datagram
    share = sa.connection.name if isinstance(sa, IkeSa) else STRANGERS
    held = partial.octets + len(partial.datagram)
    context.incomplete.keep(share, (sa.number, is_response), held, lambda: sa.partials.pop(is_response, None))


def repeats(sa: EitherSa, message: Message) -> bool:
    """Whether this is the first fragment of a request that was answered, in whatever division: of all of them, that is
    the one to which the answer is repeated (section 2.6.1).

    :raises IkeError: with notify 0: it is forged.
    """
    sealed = message.sealed
    opener = sa.answered_under or (sa.protection.open if sa.protection is not None else None)
    if not isinstance(sealed, SealedFragment) or sealed.number > 1 or not agreed(sa) or opener is None:
        return False
    opener.open(message.sealed_head, sealed.body)
    return True


# What never becomes whole


def expires(sa: EitherSa) -> float:
    """When something of this IKE SA is to be dropped; infinity for never."""
    return min((partial.expires for partial in sa.partials.values()), default=float("inf"))


def drop_expired(context: Context, sa: EitherSa) -> None:
    """Drop what has been incomplete for too long."""
    for is_response, partial in list(sa.partials.items()):
        if partial.expires <= context.now:
            drop(context, sa, is_response)


def drop(context: Context, sa: EitherSa, is_response: bool) -> None:
    """Nothing is kept any more of the message that was awaited."""
    sa.partials.pop(is_response, None)
    context.incomplete.leave((sa.number, is_response))
