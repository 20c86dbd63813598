# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a peer shows in IKE_AUTH: held against one definition or many, and bounded in what that costs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ..errors import IKE, CertificateError, IkeError
from ..identity import Identity
from ..wire.v2.cert import CERT
from ..wire.v2.numbers import CertEncoding, NotifyType
from . import signatures
from .certificates import Certificate
from .public_keys import PublicKey
from .trust import MOST, Path, TrustStore

# Different keys that one signature is verified with, and different stores that vouch for one certificate. Definitions
# with other identities are not asked, so more than one is rare; nothing is dearer that a stranger can bring about.
MOST_KEYS = MOST_PATHS = 8
ACCEPTED = "RSA, ECDSA with SHA-2, or EdDSA (RFC 7427, RFC 8420)"


class Proof(NamedTuple):
    """What an AUTH payload says: the number of the method, and its data."""

    method: int
    data: bytes


def refused(story: str, reason: str) -> IkeError:
    """A peer that is not believed."""
    return IkeError(NotifyType.AUTHENTICATION_FAILED, story, IKE, reason=reason)


class Presented:
    """What a peer shows of itself in one message, whatever it proves by that; and what was found out about it.

    :ivar certificates: CERT payloads in their order, its own first.
    :ivar unix_time: seconds, for what is valid for a while only.
    :ivar verified: how many signatures were verified for it; ``followed``: how many paths.
    """

    __slots__ = ("_chain", "_paths", "_signed", "certificates", "followed", "identity", "unix_time", "verified")

    def __init__(self, identity: Identity, certificates: Sequence[CERT] = (), unix_time: float = 0.0) -> None:
        self.identity = identity
        self.certificates = tuple(certificates)
        self.unix_time = unix_time
        self.verified = self.followed = 0
        self._chain: tuple[Certificate, ...] | CertificateError | None = None
        self._paths: dict[tuple[TrustStore, tuple[Certificate, ...]], Path | CertificateError] = {}
        self._signed: dict[tuple[bytes, bytes, Proof], bool] = {}

    @property
    def chain(self) -> tuple[Certificate, ...]:
        """The peer's certificates, its own first; read once, however many definitions are held against them.

        :raises CertificateError: there is none, or one that cannot be read.
        """
        if self._chain is None:
            try:
                self._chain = _read_chain(self.certificates)
            except CertificateError as refusal:
                self._chain = refusal
        return _believed(self._chain)

    def signed(self, key: PublicKey, octets: bytes, proof: Proof) -> bool:
        """Whether a proof is a signature of these octets by this key; found out once for each.

        :raises IkeError: AUTHENTICATION_FAILED: no such signature is to be looked at, or no more of them.
        """
        which = key.info, octets, proof
        found = self._signed.get(which)
        if found is not None:
            return found
        try:
            scheme, signature = signatures.parse_signature(*proof)
        except signatures.Unacceptable as exc:
            raise refused(f"the peer signs {exc}; accepted are {ACCEPTED}", "signature_refused") from None
        if len(self._signed) >= MOST_KEYS:
            story = f"more than {MOST_KEYS} tunnels with keys of their own are defined for such a peer"
            raise refused(f"{story}; the first {MOST_KEYS} have others", "peer_not_authenticated")
        self.verified += 1
        found = self._signed[which] = signatures.verify(scheme, key, signature, octets)
        return found

    def path(self, store: TrustStore, chain: tuple[Certificate, ...]) -> Path:
        """The path from the peer's certificate to an authority of a store; found once for each store and certificate.

        :raises IkeError: there is none that may be trusted, or no more of them are looked for.
        """
        # By the certificates, too: to a definition another one may be known than the peer shows.
        found = self._paths.get((store, chain))
        if found is None:
            if len(self._paths) >= MOST_PATHS:
                story = f"more than {MOST_PATHS} tunnels with authorities of their own are defined for such a peer"
                raise refused(f"{story}; the first {MOST_PATHS} trust others", "peer_not_authenticated")
            self.followed += 1
            try:
                found = store.verify(chain, self.identity, self.unix_time)
            except CertificateError as refusal:
                found = refusal
            self._paths[store, chain] = found
        return _believed(found)


def _believed(found: tuple[Certificate, ...] | CertificateError) -> tuple[Certificate, ...]:
    """The certificates that were found out to be good; raises why they are not."""
    if isinstance(found, CertificateError):
        raise found
    return found


class Evidence(NamedTuple):
    """How a peer proves who it is.

    :ivar octets: what it has signed, as of :func:`.auth.signed_octets`.
    """

    presented: Presented
    octets: bytes
    proof: Proof

    def signed_by(self, key: PublicKey) -> bool:
        """Whether the proof is a signature by this key.

        :raises IkeError: as :meth:`Presented.signed`.
        """
        return self.presented.signed(key, self.octets, self.proof)


_BY_ADDRESS = (CertEncoding.HASH_URL_X509, CertEncoding.HASH_URL_BUNDLE)


def _read_chain(payloads: Sequence[CERT]) -> tuple[Certificate, ...]:
    """Certificates alone: what else a peer sends of its own accord, such as revocation lists, is passed over."""
    found = [payload.data for payload in payloads if payload.encoding == CertEncoding.X509_SIGNATURE]
    if not found and any(payload.encoding in _BY_ADDRESS for payload in payloads):
        story = "the peer sends the address of its certificate instead of it, and nothing is fetched for a stranger"
        raise CertificateError("certificate_missing", story, "have the peer send the certificate itself")
    if not found:
        remedy = "have the peer send its certificate (send_cert: always), or give it here as remote_certificate"
        raise CertificateError("certificate_missing", "the peer sends no certificate", remedy)
    # No more of them are parsed than a path may have; the store refuses one more.
    return tuple([Certificate.parse(octets) for octets in found[: MOST + 1]])
