# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Authentication: an authenticator proves who we are and verifies who the peer is (RFC 7296 section 2.15).

No exchange knows by what method. A pre-shared key is one, signatures are in :mod:`.signature_auth`; a method that is to
be added is one more class.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Sequence
from typing import ClassVar, NamedTuple, Protocol

from ..errors import IkeError
from ..newer_python import dataclass
from ..secret import Secret
from ..wire.v2.cert import CERT, CERTREQ
from ..wire.v2.numbers import AuthMethod
from .certificate_life import Ending
from .certificates import Certificate
from .evidence import Evidence, Proof, refused
from .registry import PseudorandomFunction
from .signatures import HASHES

_KEY_PAD = b"Key Pad for IKEv2"


class Asked(NamedTuple):
    """What the other end said of what it can verify.

    :ivar hashes: numbers in its SIGNATURE_HASH_ALGORITHMS (RFC 7427 section 4); none where it sent no such notify.
    :ivar encodings: of certificates that it requests (RFC 7296 section 3.7).
    """

    hashes: frozenset[int] = frozenset()
    encodings: frozenset[int] = frozenset()

    def requesting(self, requests: Iterable[CERTREQ]) -> Asked:
        """The same with what more of its payloads request."""
        more = {request.encoding for request in requests}
        return self._replace(encodings=self.encodings | more) if more else self


NOTHING_ASKED = Asked()


class Statement(NamedTuple):
    """How an end proves who it is: the proof, and what the other end needs to verify it."""

    proof: Proof
    certificates: tuple[CERT, ...] = ()


class Verified(NamedTuple):
    """A peer's proof that holds.

    :ivar answering: what to prove ourselves with in this exchange.
    :ivar path: the certificates that the peer proved itself by, its own first; none where it was by anything else.
    """

    answering: Authenticator
    path: tuple[Certificate, ...] = ()


class Authenticator(Protocol):
    """How the two ends of a tunnel authenticate.

    :ivar defined: what it is, in stories: "defined here is …"; ``credential``: what a peer without it got wrong.
    :ivar requests: payloads that ask the peer for what it needs to verify, such as which authorities it trusts.
    :ivar hashes: numbers of the hash algorithms of which it takes signatures, none where it takes no signatures.
    :ivar endings: what of it ends some day.
    """

    @property
    def defined(self) -> str:
        """See above."""

    @property
    def credential(self) -> str:
        """See above."""

    @property
    def requests(self) -> tuple[CERTREQ, ...]:
        """See above."""

    @property
    def hashes(self) -> tuple[int, ...]:
        """See above."""

    @property
    def endings(self) -> tuple[Ending, ...]:
        """See above."""

    def prove(self, prf: PseudorandomFunction, octets: bytes, asked: Asked) -> Statement:
        """Our proof; ``octets`` as of :func:`signed_octets`, for our end.

        :raises IkeError: there is none that the other end can verify.
        """

    def takes(self, method: int) -> bool:
        """Whether a proof of that method may be verified at all."""

    def verify(self, prf: PseudorandomFunction, evidence: Evidence) -> Verified | None:
        """What comes of the peer's proof where it holds; None where it does not.

        :raises IkeError: it does not, with a reason of its own.
        """

    def revoked(self, path: Sequence[Certificate]) -> IkeError | None:
        """Why a path that a peer has proven itself by is good no more; None where nothing is known against it."""


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
    requests: ClassVar[tuple[CERTREQ, ...]] = ()
    hashes: ClassVar[tuple[int, ...]] = ()
    endings: ClassVar[tuple[Ending, ...]] = ()

    def prove(self, prf: PseudorandomFunction, octets: bytes, asked: Asked) -> Statement:
        return Statement(Proof(AuthMethod.SHARED_KEY, _with(self.secret, prf, octets)))

    def takes(self, method: int) -> bool:
        return method == AuthMethod.SHARED_KEY

    def verify(self, prf: PseudorandomFunction, evidence: Evidence) -> Verified | None:
        for secret in (self.secret, *self.also_accept):
            if hmac.compare_digest(_with(secret, prf, evidence.octets), evidence.proof.data):
                return Verified(PresharedKey(secret))
        return None

    def revoked(self, path: Sequence[Certificate]) -> None:
        return None


def _with(secret: Secret, prf: PseudorandomFunction, octets: bytes) -> bytes:
    digest = prf.primitive.digest
    return digest(digest(secret.reveal(), _KEY_PAD), octets)


@dataclass(frozen=True, slots=True)
class Unusable:
    """Of a tunnel whose key or certificates cannot be used: it proves nothing and believes nobody.

    :ivar story: what is wrong with them.
    """

    story: str

    defined: ClassVar[str] = "a key that cannot be used"
    credential: ClassVar[str] = "proof"
    requests: ClassVar[tuple[CERTREQ, ...]] = ()
    hashes: ClassVar[tuple[int, ...]] = HASHES
    endings: ClassVar[tuple[Ending, ...]] = ()

    def prove(self, prf: PseudorandomFunction, octets: bytes, asked: Asked) -> Statement:
        raise refused(self.story, "credentials_unusable")

    def takes(self, method: int) -> bool:
        return True

    def verify(self, prf: PseudorandomFunction, evidence: Evidence) -> Verified | None:
        raise refused(self.story, "credentials_unusable")

    def revoked(self, path: Sequence[Certificate]) -> None:
        return None


class Unknown:
    """Of a tunnel that is defined no more, while its IKE SA is closed: it proves nothing and believes nobody."""

    defined = "nothing any more"
    credential = "proof"
    requests: tuple[CERTREQ, ...] = ()
    hashes: tuple[int, ...] = ()
    endings: tuple[Ending, ...] = ()

    def prove(self, prf: PseudorandomFunction, octets: bytes, asked: Asked) -> Statement:
        raise ValueError("a tunnel that is defined no more authenticates nobody")

    def takes(self, method: int) -> bool:
        return False

    def verify(self, prf: PseudorandomFunction, evidence: Evidence) -> None:
        return None

    def revoked(self, path: Sequence[Certificate]) -> None:
        return None
