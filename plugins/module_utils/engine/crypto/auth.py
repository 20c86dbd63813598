# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Authentication: an authenticator proves who we are and verifies who the peer is (RFC 7296 section 2.15).

No exchange knows by what method. A pre-shared key is one; a method that is to be added is one more class here.
"""

from __future__ import annotations

import hmac
from typing import Any, ClassVar, NamedTuple, Protocol

from ..newer_python import dataclass
from ..secret import Secret
from ..wire.v2.numbers import AuthMethod
from .registry import PseudorandomFunction

_KEY_PAD = b"Key Pad for IKEv2"


class Proof(NamedTuple):
    """What an AUTH payload says: the number of the method, and its data."""

    method: int
    data: bytes


class Authenticator(Protocol):
    """How the two ends of a tunnel authenticate.

    :ivar defined: what it is, in stories: "defined here is …"; ``credential``: what a peer without it got wrong.
    :ivar requests: payloads that ask the peer for what it needs to verify, such as which authorities it trusts.
    """

    @property
    def defined(self) -> str:
        """See above."""

    @property
    def credential(self) -> str:
        """See above."""

    @property
    def requests(self) -> tuple[Any, ...]:
        """See above."""

    def prove(self, prf: PseudorandomFunction, octets: bytes) -> Proof:
        """Our proof; ``octets`` as of :func:`signed_octets`, for our end."""

    def takes(self, method: int) -> bool:
        """Whether a proof of that method may be verified at all."""

    def verify(self, prf: PseudorandomFunction, octets: bytes, proof: Proof) -> Authenticator | None:
        """What to prove ourselves with in this exchange, where the peer's proof holds; None where it does not.

        :param octets: as of :func:`signed_octets`, for the peer's end.
        """


def signed_octets(prf: PseudorandomFunction, message: bytes, peer_nonce: bytes, sk_p: Secret, id_body: bytes) -> bytes:
    """What an end authenticates, whatever the method (``<InitiatorSignedOctets>`` or the responder's).

    :param message: the end's own first message, from the first octet of the header to the last of the
        message as it was sent, without any non-ESP marker.
    :param peer_nonce: data of the other end's Nonce payload.
    :param sk_p: SK_pi for the initiator's octets, SK_pr for the responder's.
    :param id_body: the end's IDi or IDr payload without its generic header.
    """
    return b"%b%b%b" % (message, peer_nonce, prf.primitive.digest(sk_p.reveal(), id_body))


@dataclass(frozen=True, slots=True)
class PresharedKey:
    """A key that both ends have (method 2).

    :ivar secret: the key we prove, unless the peer proved one of the others.
    :ivar also_accept: keys accepted from the peer besides, while a rotation is under way.
    """

    secret: Secret
    also_accept: tuple[Secret, ...] = ()

    defined: ClassVar[str] = "a pre-shared key"
    credential: ClassVar[str] = "secret"
    requests: ClassVar[tuple[Any, ...]] = ()

    def prove(self, prf: PseudorandomFunction, octets: bytes) -> Proof:
        return Proof(AuthMethod.SHARED_KEY, _with(self.secret, prf, octets))

    def takes(self, method: int) -> bool:
        return method == AuthMethod.SHARED_KEY

    def verify(self, prf: PseudorandomFunction, octets: bytes, proof: Proof) -> PresharedKey | None:
        for secret in (self.secret, *self.also_accept):
            if hmac.compare_digest(_with(secret, prf, octets), proof.data):
                return PresharedKey(secret)
        return None


def _with(secret: Secret, prf: PseudorandomFunction, octets: bytes) -> bytes:
    digest = prf.primitive.digest
    return digest(digest(secret.reveal(), _KEY_PAD), octets)


class Unknown:
    """Of a tunnel that is defined no more, while its IKE SA is closed: it proves nothing and believes nobody."""

    defined = "nothing any more"
    credential = "proof"
    requests: tuple[Any, ...] = ()

    def prove(self, prf: PseudorandomFunction, octets: bytes) -> Proof:
        raise ValueError("a tunnel that is defined no more authenticates nobody")

    def takes(self, method: int) -> bool:
        return False

    def verify(self, prf: PseudorandomFunction, octets: bytes, proof: Proof) -> None:
        return None
