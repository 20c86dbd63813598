# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The AUTH payload with a shared secret (RFC 7296 section 2.15)."""

from __future__ import annotations

import hmac
from collections.abc import Iterable

from ..secret import Secret
from .registry import PseudorandomFunction

_KEY_PAD = b"Key Pad for IKEv2"


def signed_octets(
    prf_row: PseudorandomFunction, message: bytes, peer_nonce: bytes, sk_p: Secret, id_body: bytes
) -> bytes:
    """What an end authenticates, whatever the method (``<InitiatorSignedOctets>`` or the responder's).

    :param message: the end's own first message, from the first octet of the header to the last of the
        message as it was sent, without any non-ESP marker.
    :param peer_nonce: data of the other end's Nonce payload.
    :param sk_p: SK_pi for the initiator's octets, SK_pr for the responder's.
    :param id_body: the end's IDi or IDr payload without its generic header.
    """
    return b"%b%b%b" % (message, peer_nonce, prf_row.primitive.digest(sk_p.reveal(), id_body))


def psk_auth(
    prf_row: PseudorandomFunction, secret: Secret, message: bytes, peer_nonce: bytes, sk_p: Secret, id_body: bytes
) -> bytes:
    """Data of the AUTH payload, method 2; parameters as for :func:`signed_octets`."""
    function = prf_row.primitive
    octets = signed_octets(prf_row, message, peer_nonce, sk_p, id_body)
    return function.digest(function.digest(secret.reveal(), _KEY_PAD), octets)


def psk_verify(
    prf_row: PseudorandomFunction,
    secrets: Iterable[Secret],
    message: bytes,
    peer_nonce: bytes,
    sk_p: Secret,
    id_body: bytes,
    received: bytes,
) -> bool:
    """Whether ``received``, data of the peer's AUTH payload, proves one of ``secrets``.

    Takes as long whichever of them it is; the other parameters are the peer's, as for :func:`signed_octets`.
    """
    function = prf_row.primitive
    octets = signed_octets(prf_row, message, peer_nonce, sk_p, id_body)
    proven = False
    for secret in secrets:
        expected = function.digest(function.digest(secret.reveal(), _KEY_PAD), octets)
        proven |= hmac.compare_digest(expected, received)
    return proven
