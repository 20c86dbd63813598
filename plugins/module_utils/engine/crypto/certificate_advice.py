# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with certificates that an operator gives: told when a tunnel is defined, before anything changes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from ..errors import CertificateError, InputError
from ..identity import Identity
from . import certificate_checks as checks
from . import library, moments
from .certificates import Certificate
from .revocation import STRICT
from .revocation_lists import RevocationList


class Given(NamedTuple):
    """What an operator gives, each with the field that it stands in, such as ``auth.ca[0]``.

    :ivar own: our certificate first, then those between it and an authority; empty where we prove ourselves otherwise.
    :ivar key: the public half of our private key, an object of ``cryptography``.
    :ivar identity: who we are.
    :ivar revocation: :data:`.STRICT`, :data:`.RELAXED`, or None where nothing is said.
    """

    own: Sequence[tuple[str, Certificate]] = ()
    key: tuple[str, Any] | None = None
    identity: tuple[str, Identity] | None = None
    authorities: Sequence[tuple[str, Certificate]] = ()
    lists: Sequence[tuple[str, RevocationList]] = ()
    revocation: str | None = None


def check_given(given: Given, now: float) -> None:
    """That it can work: the key fits the certificate, authorities are such, nothing is over or too weak.

    :param now: Unix seconds.
    :raises InputError: naming the field.
    """
    for field, certificate in given.own:
        with _naming(field):
            checks.check_key(certificate)
            checks.check_time(certificate, now)
    if given.own:
        _check_own(given)
    for field, authority in given.authorities:
        _check_authority(field, authority, [one for _field, one in given.authorities], now)
    for field, one in given.lists:
        _check_list(field, one, given, now)
    if given.revocation == STRICT and not given.lists:
        raise InputError(
            "auth.revocation",
            STRICT,
            "no revocation list is given",
            "give one of each authority as crl, or leave it out",
        )


@contextlib.contextmanager
def _naming(field: str) -> Iterator[None]:
    """What a check says, as what is wrong with a field."""
    try:
        yield
    except CertificateError as problem:
        raise InputError(field, None, problem.story, problem.remedy) from None


def _check_own(given: Given) -> None:
    field, own = given.own[0]
    with _naming(field):
        checks.check_signature(own)
        checks.check_holder(own)
    if given.key and _public_octets(given.key[1]) != _public_octets(own.key):
        remedy = f"give the key that the certificate was made for, or the certificate of that key ({field})"
        raise InputError(given.key[0], None, f"is not the key of the certificate of {own}", remedy)
    if given.identity:
        with _naming(given.identity[0]):
            checks.check_identity(own, given.identity[1])


def _public_octets(key: Any) -> bytes:
    """A public key in a form in which equal ones are equal."""
    octets: bytes = key.public_bytes(library.Encoding.DER, library.PublicFormat.SubjectPublicKeyInfo)
    return octets


def _check_authority(field: str, authority: Certificate, all_given: Sequence[Certificate], now: float) -> None:
    with _naming(field):
        checks.check_authority(authority)
        checks.check_key(authority)
        if not any(one.subject.matches(authority.subject) and _is_valid(one, now) for one in all_given):
            checks.check_time(authority, now)


def _is_valid(certificate: Certificate, now: float) -> bool:
    return certificate.not_before <= now <= certificate.not_after


def _check_list(field: str, one: RevocationList, given: Given, now: float) -> None:
    newer = any(other.issuer.matches(one.issuer) and other.is_current(now) for _field, other in given.lists)
    if (given.revocation or STRICT) == STRICT and not newer and now > one.next_update:
        story = f"the revocation list of {one} is overdue since {moments.text_of(one.next_update)}"
        raise InputError(field, None, story, "get a newer one from the authority, or set revocation: relaxed")
    issuers = [authority for _field, authority in given.authorities if authority.subject.matches(one.issuer)]
    if issuers and not any(_has_signed(authority, one) for authority in issuers):
        story = f"the revocation list of {one} is not signed by the key of that authority"
        raise InputError(field, None, story, "get it anew from the authority, or give the authority that has signed it")


def _has_signed(authority: Certificate, one: RevocationList) -> bool:
    try:
        return bool(library.x509.load_der_x509_crl(one.der).is_signature_valid(authority.key))
    except library.UNREADABLE:
        return False
