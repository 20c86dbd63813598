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
from .demands import Demand, check_demands
from .openssl import PathError, Store, require
from .path_errors import explain
from .periods import Periods
from .revocation import STRICT, Revocation
from .revocation_lists import RevocationList

MOST = 10  # certificates of a path, and of what a peer sends for it

Path = tuple[Certificate, ...]


class Terms(NamedTuple):
    """What a path that holds has to meet besides.

    :ivar through: the authority that it has to lead to, or through; None for any.
    """

    revocation: Revocation | None
    demands: tuple[Demand, ...]
    through: Certificate | None

    def check(self, path: Path, now: float) -> None:
        """:raises CertificateError: naming what it does not meet."""
        check_demands(path, self.demands)
        wanted = self.through
        if wanted and not any(
            one.subject.matches(wanted.subject) and one.key_octets == wanted.key_octets for one in path[1:]
        ):
            raise CertificateError(
                "certificate_other_authority",
                f"the path of the certificate of {path[0]} ends at {path[-1]} and does not lead through {wanted}",
                "have the peer's certificate issued by the authority of remote_ca, or correct remote_ca",
            )
        if self.revocation:
            self.revocation.check(path, now)


class _Valid(NamedTuple):
    """The authorities of a period in which none of them begins or ends.

    :ivar useless: those that are not valid in it, and why.
    """

    paths: Store
    useless: list[tuple[Certificate, CertificateError]]


class TrustStore:
    """Whom a tunnel trusts, made once when its credentials change; :meth:`of` makes one.

    :ivar authorities: what it trusts: who asks for certificates names these.
    """

    def __init__(self, authorities: Iterable[Certificate], helpers: Iterable[Certificate], terms: Terms) -> None:
        """:param helpers: certificates that are not trusted, but a path may lead through as if the peer sent them."""
        self.authorities = tuple(dict.fromkeys(authorities))
        self._helpers = tuple(helpers)
        self._terms = terms
        turns = [float(turn) for one in self.authorities for turn in (one.not_before, one.not_after + 1)]
        self._valid = Periods(turns, self._valid_at)

    @classmethod
    def of(
        cls,
        authorities: Iterable[Certificate],
        lists: Iterable[RevocationList] = (),
        revocation: str | None = None,
        demands: Sequence[Demand] = (),
        through: Certificate | None = None,
    ) -> TrustStore:
        """One that trusts authorities; an intermediate one ends a path where it is given, and only there.

        :param lists: revocation lists of these authorities, and of others between them and peers.
        :param revocation: :data:`.STRICT` or :data:`.RELAXED`; None is strict where there are lists.
        :param demands: what each path has to meet.
        :param through: the authority that each path has to lead to, or through.
        :raises MissingError: without the package that verifies paths.
        """
        require()
        given = tuple(authorities)
        trusted = tuple(one for one in given if one == through) or given
        known = tuple(lists)
        checked = Revocation(trusted, known, revocation or STRICT) if known or revocation == STRICT else None
        helpers = [one for one in given if one not in trusted and not one.self_issued]
        return cls(trusted, helpers, Terms(checked, tuple(demands), through))

    def verify(self, chain: Sequence[Certificate], identity: Identity, now: float) -> Path:
        """The path from a peer's certificate to an authority, both with it.

        :param chain: its own certificate first, then others in any order.
        :param identity: whom it has to prove.
        :param now: Unix seconds.
        :raises CertificateError: where it proves nothing here.
        """
        own, *others = _bounded(chain)
        now = int(now)
        checks.check_key(own)
        checks.check_signature(own)
        checks.check_holder(own)
        checks.check_identity(own, identity)
        checks.check_time(own, now)
        path = self._path(own, (*others, *self._helpers), now)
        _check_all(path, now)
        self._terms.check(path, now)
        return path

    def revoked(self, path: Path) -> CertificateError | None:
        """The revocation of a certificate of a path that was verified before, with older lists; None where none is.

        A list that became overdue since does not end what is up: it only keeps others from coming up.
        """
        return self._terms.revocation.revoked(path) if self._terms.revocation else None

    def _path(self, own: Certificate, others: Sequence[Certificate], now: float) -> Path:
        valid = self._valid.at(now)
        useful, useless = _sieve(others, lambda one: _check_between(one, now))
        try:
            octets = valid.paths.path(own.der, [certificate.der for certificate in useful])
        except PathError as refusal:
            raise explain(refusal, (own, *useful, *self.authorities), (*useless, *valid.useless)) from None
        known = {certificate.der: certificate for certificate in (*self.authorities, *useful, own)}
        return tuple(known[one] for one in octets)

    def _valid_at(self, now: float) -> _Valid:
        valid, useless = _sieve(self.authorities, lambda one: checks.check_time(one, now))
        return _Valid(Store.of_paths(certificate.der for certificate in valid), useless)


def _check_all(path: Path, now: float) -> None:
    """What is ours to check of each certificate of a path that holds."""
    if len(path) > MOST:
        raise _too_many(len(path))
    for certificate in path[:-1]:
        # What stands at the end is trusted because it was given, whoever signed it.
        checks.check_signature(certificate)
    for certificate in path[1:]:
        _check_between(certificate, now)


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
