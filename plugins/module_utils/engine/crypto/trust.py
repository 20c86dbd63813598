# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Trust in certificates: paths from a peer's to an authority that an operator gave (RFC 5280, RFC 4945).

Signatures, basic and name constraints, policies and revocation lists are OpenSSL's; ours are, on every certificate of
the path, time, keys, algorithms, usages, and whom it proves. What one verification costs is bounded by the count and
the octets of certificates: each has its signature verified at most once a path.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from ..errors import CertificateError
from ..identity import Identity
from . import certificate_checks as checks
from .certificates import Certificate
from .openssl import PathError, Store
from .path_errors import explain

MOST = 10  # certificates of a path, and of what a peer sends for it

Path = tuple[Certificate, ...]


class _Period(NamedTuple):
    """What is valid from one second up to another, in which none of it begins or ends.

    :ivar useless: authorities that are not valid in it, and why.
    """

    start: float
    end: float
    paths: Store
    useless: tuple[tuple[Certificate, CertificateError], ...]


class TrustStore:
    """Whom a tunnel trusts, made once when its credentials change; :meth:`of` makes one."""

    def __init__(self, authorities: tuple[Certificate, ...]) -> None:
        self._authorities = authorities
        self._known = {certificate.der: certificate for certificate in authorities}
        self._period: _Period | None = None

    @classmethod
    def of(cls, authorities: Iterable[Certificate]) -> TrustStore:
        """One that trusts authorities; an intermediate one ends a path where it is given, and only there.

        :raises MissingError: without the package that verifies paths.
        """
        store = cls(tuple(dict.fromkeys(authorities)))
        store._at(0.0)
        return store

    @property
    def authorities(self) -> tuple[Certificate, ...]:
        """What it trusts."""
        return self._authorities

    def verify(self, chain: Sequence[Certificate], identity: Identity, now: float) -> Path:
        """The path from a peer's certificate to an authority, both with it.

        :param chain: its own certificate first, then others in any order.
        :param identity: whom it has to prove.
        :param now: Unix seconds.
        :raises CertificateError: where it proves nothing here.
        """
        own, *others = _bounded(chain)
        checks.check_key(own)
        checks.check_signature(own)
        checks.check_holder(own)
        checks.check_identity(own, identity)
        checks.check_time(own, now)
        period = self._at(now)
        useful, useless = _sieve(others, lambda one: _check_between(one, now))
        try:
            octets = period.paths.path(own.der, [certificate.der for certificate in useful])
        except PathError as refusal:
            raise explain(refusal, (own, *useful, *self._authorities), (*useless, *period.useless)) from None
        known = {**self._known, **{certificate.der: certificate for certificate in (*useful, own)}}
        path = tuple(known[one] for one in octets)
        self._check(path, now)
        return path

    def _check(self, path: Path, now: float) -> None:
        """What is ours to check of each certificate of a path that holds."""
        if len(path) > MOST:
            raise _too_many(len(path))
        for certificate in path[:-1]:
            # What stands at the end is trusted because it was given, whoever signed it.
            checks.check_signature(certificate)
        for certificate in path[1:]:
            _check_between(certificate, now)

    def _at(self, now: float) -> _Period:
        """The period that a moment is in; made anew where an authority began or ended since."""
        if self._period is None or not self._period.start <= now < self._period.end:
            self._period = self._made(now)
        return self._period

    def _made(self, now: float) -> _Period:
        turns = [float(t) for one in self._authorities for t in (one.not_before, one.not_after + 1)]
        valid, useless = _sieve(self._authorities, lambda one: checks.check_time(one, now))
        return _Period(
            max((turn for turn in turns if turn <= now), default=float("-inf")),
            min((turn for turn in turns if turn > now), default=float("inf")),
            Store.of_paths(certificate.der for certificate in valid),
            tuple(useless),
        )


def ends(path: Path) -> Certificate:
    """The certificate of a path that is the first to expire, and the path with it."""
    return min(path, key=lambda certificate: certificate.not_after)


def _bounded(chain: Sequence[Certificate]) -> list[Certificate]:
    """The certificates, each once."""
    if not chain:
        raise CertificateError(
            "certificate_missing",
            "the peer sends no certificate",
            "have the peer send its certificate, or give it here as remote_certificate",
        )
    if len(chain) > MOST:
        raise _too_many(len(chain))
    return list(dict.fromkeys(chain))


def _too_many(count: int) -> CertificateError:
    return CertificateError(
        "certificate_untrusted",
        f"the peer's path has {count} certificates, and {MOST} are the most",
        "have the peer send its own certificate and those between it and the authority, no others",
    )


_Refused = list[tuple[Certificate, CertificateError]]


def _sieve(
    certificates: Iterable[Certificate], check: Callable[[Certificate], None]
) -> tuple[list[Certificate], _Refused]:
    """Those that a check lets pass, and the others with what is wrong with them."""
    useful: list[Certificate] = []
    useless: _Refused = []
    for certificate in certificates:
        try:
            check(certificate)
        except CertificateError as problem:
            useless.append((certificate, problem))
        else:
            useful.append(certificate)
    return useful, useless


def _check_between(certificate: Certificate, now: float) -> None:
    """Of a certificate that a path leads through or ends at."""
    checks.check_key(certificate)
    checks.check_authority(certificate)
    checks.check_time(certificate, now)
