# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one seam to the ``OpenSSL`` package (pyOpenSSL): paths of certificates, verified by the OpenSSL library.

Nothing else in the engine imports it, and it is imported when the first path is verified: who has pre-shared keys needs
no such package. No callback goes into the library, since the manager's memory is not executable.

Versions differ: revocation lists are taken as pyOpenSSL's own type before 24, as ``cryptography``'s from then on; what
an error tells stands in its first argument before 23.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from typing import Any

from ..errors import MissingError
from . import library

REMEDY = "install python3-openssl 20 or newer (Debian: apt install python3-openssl)"

# Flags of a store (x509_vfy.h), which never change. Times are checked by us: a store takes a time once and for ever.
_CRL_CHECK, _POLICY_CHECK, _OTHER_LISTS, _DELTAS, _PARTIAL_CHAIN, _NO_CHECK_TIME = (
    0x4, 0x80, 0x1000, 0x2000, 0x80000, 0x200000,
)  # fmt: skip
_PATH = _PARTIAL_CHAIN | _NO_CHECK_TIME | _POLICY_CHECK
_REVOCATION = _PARTIAL_CHAIN | _NO_CHECK_TIME | _CRL_CHECK | _OTHER_LISTS | _DELTAS

REVOKED, NO_LIST = 23, 3  # X509_V_ERR_…, those that others ask for


class PathError(Exception):
    """Why OpenSSL refuses a path.

    :ivar code: its number (X509_V_ERR_…).
    :ivar text: its words.
    :ivar certificate: octets of the certificate that it is about; empty where it tells none.
    """

    def __init__(self, code: int, text: str, certificate: bytes) -> None:
        super().__init__(text)
        self.code = code
        self.text = text
        self.certificate = certificate


def require() -> None:
    """Make sure that the package is there.

    :raises MissingError: naming the package to install.
    """
    _crypto()


def _crypto() -> Any:
    crypto, problem = _import()
    if problem:
        raise MissingError(f"certificates need the Python package OpenSSL, which cannot be used ({problem})", REMEDY)
    return crypto


@functools.lru_cache(maxsize=1)
def _import() -> tuple[Any, str]:
    """Its module ``crypto``, or why that cannot be had."""
    try:
        from OpenSSL import crypto
    # A version that is too old or too new for the cryptography beside it lacks what it takes from there.
    except (ImportError, AttributeError) as problem:
        return None, str(problem)
    if not hasattr(crypto.X509StoreContext, "get_verified_chain"):
        return None, "it is older than 20"
    return crypto, ""


class Store:
    """Certificates that are trusted, and revocation lists; whoever is in it ends a path.

    Times do not count in it: it holds what is valid, and who uses it checks the path.
    """

    def __init__(self, authorities: Iterable[bytes], lists: Iterable[bytes], flags: int) -> None:
        crypto = _crypto()
        self._store = crypto.X509Store()
        self._store.set_flags(flags)
        for authority in authorities:
            self._store.add_cert(_certificate(authority))
        for octets in lists:
            self._store.add_crl(_list(octets))

    @classmethod
    def of_paths(cls, authorities: Iterable[bytes]) -> Store:
        """One that verifies paths: signatures, basic and name constraints, policies; no revocation.

        :param authorities: certificates, octets of DER.
        :raises MissingError: without the package.
        """
        return cls(authorities, (), _PATH)

    @classmethod
    def of_revocation(cls, authorities: Iterable[bytes], lists: Iterable[bytes]) -> Store:
        """One that looks up the first certificate of a path in the revocation list of its issuer.

        :param lists: octets of DER.
        :raises MissingError: without the package.
        """
        return cls(authorities, lists, _REVOCATION)

    def path(self, certificate: bytes, others: Sequence[bytes]) -> tuple[bytes, ...]:
        """The path from a certificate to one that is trusted, both with it.

        :param others: certificates that it may lead through, in any order.
        :raises PathError: where there is none.
        """
        crypto = _crypto()
        try:
            first, *rest = [_certificate(octets) for octets in (certificate, *others)]
            found = crypto.X509StoreContext(self._store, first, rest).get_verified_chain()
        except crypto.X509StoreContextError as refusal:
            raise _path_error(refusal) from None
        except crypto.Error:
            raise PathError(0, "a certificate cannot be read", certificate) from None
        return tuple(_octets(one) for one in found)


# To read one takes OpenSSL 3.0 longer than to verify a signature, and those between peers and authorities come again.
@functools.lru_cache(maxsize=64)
def _certificate(octets: bytes) -> Any:
    crypto = _crypto()
    return crypto.load_certificate(crypto.FILETYPE_ASN1, octets)


def _octets(certificate: Any) -> bytes:
    crypto = _crypto()
    octets: bytes = crypto.dump_certificate(crypto.FILETYPE_ASN1, certificate)
    return octets


def _list(octets: bytes) -> Any:
    """A revocation list as this version takes it."""
    crypto = _crypto()
    if hasattr(crypto, "load_crl"):
        return crypto.load_crl(crypto.FILETYPE_ASN1, octets)
    return library.x509.load_der_x509_crl(octets)


def _path_error(refusal: Any) -> PathError:
    code, _depth, text = getattr(refusal, "errors", None) or refusal.args[0]
    try:
        certificate = _octets(refusal.certificate)
    except _crypto().Error:
        certificate = b""  # what is wrong is the path as a whole
    return PathError(code, text, certificate)
