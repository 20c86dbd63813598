# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Authentication by signature (RFC 7296 section 2.15, RFC 7427): our key, and how the peer's is known.

The two are independent of each other: whatever our key is certified by, the peer's may be a raw public key, that of a
certificate which is known beforehand, or one that an authority vouches for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from ..errors import IkeError
from ..newer_python import dataclass
from ..wire.v2.cert import CERT, CERTREQ
from ..wire.v2.numbers import CertEncoding
from . import signatures
from .auth import Asked, Statement, Verified
from .certificate_checks import check_time
from .certificate_life import Ending
from .certificates import Certificate
from .evidence import Evidence, Proof, refused
from .private_keys import PrivateKey
from .public_keys import PublicKey, public_key_of
from .registry import PseudorandomFunction
from .trust import Path, TrustStore

ALWAYS, ASKED, NEVER = "always", "asked", "never"


class PeerKey(Protocol):
    """How the peer's key is known.

    :ivar requests: what asks for a certificate of it.
    """

    @property
    def requests(self) -> tuple[CERTREQ, ...]:
        """See above."""

    def key(self, evidence: Evidence) -> PublicKey:
        """The key that the peer has to have signed with.

        :raises IkeError: there is none, or it is not to be believed.
        """

    def vouch(self, evidence: Evidence) -> Path:
        """The certificates by which the key is that of the peer, whose signature was verified with it.

        :raises IkeError: it is not, or not now.
        """

    def revoked(self, path: Path) -> IkeError | None:
        """Why certificates that vouched for it do so no more; None where nothing is known against them."""


@dataclass(frozen=True, slots=True)
class KnownKey:
    """A raw public key, which is known beforehand."""

    public: PublicKey

    @property
    def requests(self) -> tuple[CERTREQ, ...]:
        """Nothing: whatever the peer sends, it has to be this key."""
        return ()

    def key(self, evidence: Evidence) -> PublicKey:
        return self.public

    def vouch(self, evidence: Evidence) -> Path:
        return ()

    def revoked(self, path: Path) -> None:
        return None


@dataclass(frozen=True, slots=True)
class KnownCertificate:
    """A certificate that is known beforehand; it needs no authority, and proves its holder by being given for it."""

    certificate: Certificate
    public: PublicKey

    @property
    def requests(self) -> tuple[CERTREQ, ...]:
        return ()

    def key(self, evidence: Evidence) -> PublicKey:
        return self.public

    def vouch(self, evidence: Evidence) -> Path:
        check_time(self.certificate, evidence.presented.unix_time)
        return (self.certificate,)

    def revoked(self, path: Path) -> None:
        return None


@dataclass(frozen=True, slots=True)
class Vouched:
    """A certificate that the peer sends, or one that is known beforehand, for which an authority vouches.

    :ivar known: None where the peer sends it.
    """

    store: TrustStore
    requests: tuple[CERTREQ, ...]
    known: Certificate | None = None

    @classmethod
    def by(cls, store: TrustStore, known: Certificate | None = None) -> Vouched:
        """By the authorities of a store, whose certificates are asked for (RFC 7296 section 3.7)."""
        digests = b"".join([authority.key_digest for authority in store.authorities])
        return cls(store, (CERTREQ(CertEncoding.X509_SIGNATURE, digests),), known)

    def revoked(self, path: Path) -> IkeError | None:
        return self.store.revoked(path)

    def key(self, evidence: Evidence) -> PublicKey:
        return public_key_of((self.known or evidence.presented.chain[0]).key)

    def vouch(self, evidence: Evidence) -> Path:
        if self.known is None:
            return evidence.presented.path(self.store, evidence.presented.chain)
        between = evidence.presented.chain if evidence.presented.certificates else ()
        return evidence.presented.path(self.store, (self.known, *(one for one in between if one != self.known)))


class Own(NamedTuple):
    """What we prove ourselves with.

    :ivar certificates: CERT payloads, that of the key first; ``send``: when they are sent, :data:`ALWAYS`,
        :data:`ASKED` or :data:`NEVER`.
    """

    key: PrivateKey
    certificates: tuple[CERT, ...] = ()
    send: str = ASKED

    def shown(self, asked: Asked) -> tuple[CERT, ...]:
        """The certificates for a peer."""
        wanted = self.send == ALWAYS or any(payload.encoding in asked.encodings for payload in self.certificates)
        return self.certificates if wanted and self.send != NEVER else ()


def own_raw_key(key: PrivateKey) -> Own:
    """A key without any certificate: sent to who asks for raw public keys (RFC 7670 section 3)."""
    return Own(key, (CERT(CertEncoding.RAW_PUBLIC_KEY, key.public.info),))


def own_certificates(key: PrivateKey, chain: Sequence[Certificate], send: str) -> Own:
    """A key with its certificate, and those between it and the authority."""
    return Own(key, tuple([CERT(CertEncoding.X509_SIGNATURE, one.der) for one in chain if not one.self_issued]), send)


@dataclass(frozen=True, slots=True)
class Signature:
    """A key of ours that signs, and a peer that signs.

    :ivar endings: of certificates and revocation lists that are given.
    """

    own: Own
    peer: PeerKey
    defined: str
    credential: str
    endings: tuple[Ending, ...] = ()

    @property
    def requests(self) -> tuple[CERTREQ, ...]:
        return self.peer.requests

    @property
    def hashes(self) -> tuple[int, ...]:
        return signatures.HASHES

    def prove(self, prf: PseudorandomFunction, octets: bytes, asked: Asked) -> Statement:
        key = self.own.key
        scheme = signatures.choose(key.public, asked.hashes)
        if scheme is None:
            raise refused(_not_taken(key.public, asked), "signature_not_taken")
        data = signatures.sign(scheme, key.reveal(), octets)
        return Statement(Proof(scheme.method, data), self.own.shown(asked))

    def takes(self, method: int) -> bool:
        # A method that nobody should use any more is refused by name.
        return method in signatures.METHODS or method in signatures.REFUSED_METHODS

    def verify(self, prf: PseudorandomFunction, evidence: Evidence) -> Verified | None:
        if not evidence.signed_by(self.peer.key(evidence)):
            return None
        return Verified(self, self.peer.vouch(evidence))

    def revoked(self, path: Sequence[Certificate]) -> IkeError | None:
        return self.peer.revoked(tuple(path))


def _not_taken(key: PublicKey, asked: Asked) -> str:
    if not asked.hashes:
        return f"the peer takes no signatures of RFC 7427, without which {key} signs with SHA-1 or not at all"
    names = {signatures.SHA2_256: "SHA2-256", signatures.SHA2_384: "SHA2-384", signatures.SHA2_512: "SHA2-512"}
    told = ", ".join(names.get(number, "none, as EdDSA has it") for number in sorted(asked.hashes))
    return f"the peer takes no signature of {key}: the hashes that it takes are {told}"
