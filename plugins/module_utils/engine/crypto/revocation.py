# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether certificates of a path are revoked, by the lists that an operator gives (RFC 5280 section 6.3).

Each certificate is looked up by itself: OpenSSL's own check of a whole path wants a list for the authority at its end,
too, which nobody can have for one whose issuer is not given.

* ``strict``: each certificate below the authority that is trusted needs a list of its issuer, and one that is current.
* ``relaxed``: a certificate is refused where a list revokes it, be it overdue; where there is no list, none is revoked.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..errors import CertificateError
from . import moments
from .certificates import Certificate
from .openssl import NO_LIST, REVOKED, PathError, Store
from .periods import Periods
from .revocation_lists import RevocationList

STRICT, RELAXED = "strict", "relaxed"


class Revocation:
    """Lists, and what becomes of a certificate that they do not know."""

    def __init__(self, authorities: Iterable[Certificate], lists: Iterable[RevocationList], policy: str) -> None:
        """:param policy: :data:`STRICT` or :data:`RELAXED`."""
        self._lists = tuple(dict.fromkeys(lists))
        self._policy = policy
        trusted = [certificate.der for certificate in authorities]
        self._all = Store.of_revocation(trusted, [one.der for one in self._lists])
        turns = [turn for one in self._lists for turn in (one.this_update, one.next_update + 1)]
        self._current = Periods(
            turns, lambda now: Store.of_revocation(trusted, [one.der for one in self._lists if one.is_current(now)])
        )

    def check(self, path: Sequence[Certificate], now: float) -> None:
        """That no certificate of a path is revoked, and that it could be found out where the policy wants that.

        :raises CertificateError: ``certificate_revoked``; where the policy is strict ``crl_missing``, ``crl_overdue``,
            ``crl_not_yet_valid``, ``crl_unusable``.
        """
        for place, certificate in enumerate(path[:-1]):
            issuers = path[place + 1 :]
            refusal = _looked_up(self._current.at(now), certificate, issuers)
            if refusal is None:
                continue
            if refusal.code == REVOKED:
                raise _revoked(certificate)
            problem = self._problem(certificate, issuers, now)
            if self._policy == STRICT:
                raise problem

    def revoked(self, path: Sequence[Certificate]) -> CertificateError | None:
        """The revocation of a certificate of a path that was verified before; None where there is none."""
        for place, certificate in enumerate(path[:-1]):
            refusal = _looked_up(self._all, certificate, path[place + 1 :])
            if refusal is not None and refusal.code == REVOKED:
                return _revoked(certificate)
        return None

    def _problem(self, certificate: Certificate, issuers: Sequence[Certificate], now: float) -> CertificateError:
        """Why no current list knows a certificate.

        :raises CertificateError: where one that is not current revokes it.
        """
        own = [one for one in self._lists if one.issuer.matches(certificate.issuer)]
        refusal = _looked_up(self._all, certificate, issuers)
        if refusal is not None:
            if refusal.code == REVOKED:
                raise _revoked(certificate)
            return _missing(certificate) if refusal.code == NO_LIST or not own else _unusable(certificate, refusal.text)
        late = [one for one in own if not one.is_current(now)] or own
        return _out_of_time(max(late, key=lambda one: one.this_update), now)


def _looked_up(store: Store, certificate: Certificate, issuers: Sequence[Certificate]) -> PathError | None:
    """Why the lists of a store do not tell that a certificate is good; None where they do."""
    try:
        store.path(certificate.der, [issuer.der for issuer in issuers])
    except PathError as refusal:
        return refusal
    return None


def _revoked(certificate: Certificate) -> CertificateError:
    return CertificateError(
        "certificate_revoked",
        f"{certificate.issued_by} has revoked the certificate of {certificate} (serial number {certificate.serial:x})",
        "have another one issued; where it is a mistake, have the authority make a new list",
    )


def _missing(certificate: Certificate) -> CertificateError:
    return CertificateError(
        "crl_missing",
        f"no revocation list of {certificate.issued_by} is given, which issued the certificate of {certificate}",
        "add the list of that authority to crl, or set revocation: relaxed",
    )


def _unusable(certificate: Certificate, why: str) -> CertificateError:
    return CertificateError(
        "crl_unusable",
        f"the revocation list of {certificate.issued_by} does not tell about the certificate of {certificate}: {why}",
        "get the list anew from the authority, for all certificates and all reasons, or set revocation: relaxed",
    )


def _out_of_time(newest: RevocationList, now: float) -> CertificateError:
    """Of the newest list of an issuer that is not current."""
    if now < newest.this_update:
        made, clock = moments.text_of(newest.this_update), moments.text_of(now)
        return CertificateError(
            "crl_not_yet_valid",
            f"the revocation list of {newest} is of {made}, and the clock of this host says {clock}",
            "set the clock of this host (timedatectl tells it)",
        )
    return CertificateError(
        "crl_overdue",
        f"the revocation list of {newest} is overdue since {moments.text_of(newest.next_update)}",
        "get a newer one from the authority, or set revocation: relaxed until there is one",
    )
