# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Answers ISAKMP echo requests; pure, so that every owner of an IKE socket can call it."""

from __future__ import annotations

from .echo import REQUESTS, parse_echo


def answer(datagram: bytes, exchanges: frozenset[int] = REQUESTS) -> bytes | None:
    """The reply to an echo request, 28 octets in the requester's own layout, or None for anything else.

    Never answers a reply, a short datagram or another exchange, and never sends more than it got:
    two responders cannot keep each other busy and nobody gains by a forged source address.

    :param datagram: an ISAKMP message without the non-ESP marker (RFC 3948 section 2.2).
    :param exchanges: the exchange types that ask for an echo; the reply carries the type plus one.
    """
    request = parse_echo(datagram, exchanges)
    # A request has a non-zero initiator cookie: without one the answer could not be told apart.
    if request is None or not any(request.initiator):
        return None
    return request.reply().encode()
