# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Is this datagram an answer to that request, and what does it say?"""

from __future__ import annotations

from typing import Any, NamedTuple

from ..errors import IkeError
from ..wire.header import Header
from . import ikev1, ikev2
from .echo import DRAFT_ECHO_REPLY, HEADER_SIZE, LAYOUTS, parse_echo
from .probes import Cookies
from .vendors import vendor_name

ECHO_REPLY = "echo reply"
PROPOSAL = "proposal chosen"
_VERSIONS = {1: ikev1.read_answer, 2: ikev2.read_answer}


class Answer(NamedTuple):
    """A well-formed answer that carries our cookie.

    :ivar by: what answered: ``echo reply``, ``proposal chosen``, or the name of a notify such as ``COOKIE``.
    :ivar details: plain values: ``notifies`` (names), ``vendor_ids`` ({hex, name} each), and where they apply
        ``proposal`` (the algorithms the peer chose) and ``group_wanted`` (key exchange method number).
    """

    by: str
    details: dict[str, Any]


def read_answer(datagram: bytes, cookies: Cookies, exchange: int) -> Answer | None:
    """What ``datagram`` answers to the request made of ``cookies``, or None when it does not answer it.

    :param datagram: as received, without the non-ESP marker; any octets at all.
    :param exchange: exchange type of our echo request; its reply is one more, or 31 from Openswan's listener.
    """
    echo = parse_echo(datagram, frozenset((exchange + 1, DRAFT_ECHO_REPLY)))
    if echo is not None and (echo.initiator, echo.responder) == (
        cookies.responder,
        cookies.initiator,
    ):
        return Answer(ECHO_REPLY, {})
    try:
        header = Header.parse(datagram)
    except IkeError:
        return None
    if header.initiator_spi != cookies.initiator or header.major not in _VERSIONS:
        return None
    # IKEv1 gives an Informational exchange an ID of its own; in IKEv2 it is always the request's.
    if header.major == 2 and header.message_id not in (
        0,
        int.from_bytes(cookies.message_id, "big"),
    ):
        return None
    meaning = _VERSIONS[header.major](datagram, header)
    if meaning is None:
        return None
    by, details = meaning
    details["vendor_ids"] = [{"hex": octets.hex(), "name": vendor_name(octets)} for octets in details["vendor_ids"]]
    return Answer(by, {key: value for key, value in details.items() if value})


def keys(datagram: bytes) -> tuple[bytes, bytes]:
    """The two places where our initiator cookie can be: in IKE where we put it, in an echo reply swapped."""
    return datagram[:8], datagram[8:16]


def describe(datagram: bytes) -> dict[str, Any]:
    """The header's fields for people: cookies and message ID in hexadecimal, numbers as numbers.

    :param datagram: an ISAKMP or IKE message of at least 28 octets, in any echo layout.
    """
    word = datagram[16:20]
    # Only a swapped word has the version 1.0 where the exchange type belongs.
    swapped = next(
        (row for row in LAYOUTS if row.exchange_at == 1 and word[2:] == row.word[2:] and not word[0]),
        None,
    )
    version, exchange = (word[2], word[1]) if swapped and word[1] != 0x10 else (word[1], word[2])
    return {
        "initiator_cookie": datagram[:8].hex(),
        "responder_cookie": datagram[8:16].hex(),
        "next_payload": word[0],
        "version": f"{version >> 4}.{version & 0x0F}",
        "exchange": exchange,
        "flags": word[3],
        "message_id": datagram[20:24].hex(),
        "length": int.from_bytes(datagram[24:HEADER_SIZE], "big"),
        "octets": len(datagram),
    }
