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
from .public_keys import public_key_of
from .revocation import STRICT
from .revocation_lists import RevocationList


class Given(NamedTuple):
    """What an operator gives, each with the field that it stands in, such as ``auth.ca[0]``.

    :ivar own: our certificate first, then those between it and an authority; empty where we prove ourselves otherwise.
    :ivar key: the public half of our private key, an object of ``cryptography``.
    :ivar identity: who we are.
    :ivar revocation: :data:`.STRICT`, :data:`.RELAXED`, or None where nothing is said.
    :ivar auth: what the field of that begins with.
    """

    own: Sequence[tuple[str, Certificate]] = ()
    key: tuple[str, Any] | None = None
    identity: tuple[str, Identity] | None = None
    authorities: Sequence[tuple[str, Certificate]] = ()
    lists: Sequence[tuple[str, RevocationList]] = ()
    revocation: str | None = None
    auth: str = "auth"


def check_given(given: Given, now: float) -> None:
    """That it can work now: :func:`check_lasting` and :func:`check_times`, for what is being defined.

    :param now: Unix seconds.
    :raises InputError: naming the field.
    """
    check_lasting(given)
    check_times(given, now)


def check_lasting(given: Given) -> None:
    """That it can work at all: the key fits the certificate, authorities are such, nothing is too weak.

    For what was defined before and is read again, be the clock behind, or one of several authorities over since.

    :raises InputError: naming the field.
    """
    for field, certificate in given.own:
        with naming(field):
            checks.check_key(certificate)
    if given.own:
        _check_own(given)
    for field, authority in given.authorities:
        with naming(field):
            checks.check_authority(authority)
            checks.check_key(authority)
    for field, one in given.lists:
        _check_signature(field, one, given)
    if given.revocation == STRICT and not given.lists:
        remedy = "give one of each authority as crl, or leave it out"
        raise InputError(f"{given.auth}.revocation", STRICT, "no revocation list is given", remedy)


def check_times(given: Given, now: float) -> None:
    """That nothing is over or still to come.

    :param now: Unix seconds.
    :raises InputError: naming the field.
    """
    for field, certificate in given.own:
        with naming(field):
            checks.check_time(certificate, now)
    authorities = [authority for _field, authority in given.authorities]
    for field, authority in given.authorities:
        if not any(one.subject.matches(authority.subject) and _is_valid(one, now) for one in authorities):
            with naming(field):
                checks.check_time(authority, now)
    if (given.revocation or STRICT) == STRICT:
        for field, one in given.lists:
            _check_overdue(field, one, given, now)


@contextlib.contextmanager
def naming(field: str) -> Iterator[None]:
    """What a check says, as what is wrong with a field."""
    try:
        yield
    except CertificateError as problem:
        raise InputError(field, None, problem.story, problem.remedy) from None


def _check_own(given: Given) -> None:
    field, own = given.own[0]
    with naming(field):
        checks.check_signature(own)
        checks.check_holder(own)
    if given.key and public_key_of(given.key[1]).info != public_key_of(own.key).info:
        remedy = f"give the key that the certificate was made for, or the certificate of that key ({field})"
        raise InputError(given.key[0], None, f"is not the key of the certificate of {own}", remedy)
    if given.identity:
        with naming(given.identity[0]):
            checks.check_identity(own, given.identity[1])


def _is_valid(certificate: Certificate, now: float) -> bool:
    return certificate.not_before <= now <= certificate.not_after


def _check_overdue(field: str, one: RevocationList, given: Given, now: float) -> None:
    """Of a list that has no newer one beside it."""
    newer = any(other.issuer.matches(one.issuer) and other.is_current(now) for _field, other in given.lists)
    if not newer and now > one.next_update:
        story = f"the revocation list of {one} is overdue since {moments.text_of(one.next_update)}"
        raise InputError(field, None, story, "get a newer one from the authority, or set revocation: relaxed")


def _check_signature(field: str, one: RevocationList, given: Given) -> None:
    """Of a list whose authority is given, too."""
    issuers = [authority for _field, authority in given.authorities if authority.subject.matches(one.issuer)]
    if issuers and not any(_has_signed(authority, one) for authority in issuers):
        story = f"the revocation list of {one} is not signed by the key of that authority"
        raise InputError(field, None, story, "get it anew from the authority, or give the authority that has signed it")


def _has_signed(authority: Certificate, one: RevocationList) -> bool:
    try:
        found = library.x509.load_der_x509_crl(one.der)
        if isinstance(authority.key, (library.ed25519.Ed25519PublicKey, library.ed448.Ed448PublicKey)):
            # Of these older libraries verify no list.
            authority.key.verify(found.signature, found.tbs_certlist_bytes)
            return True
        return bool(found.is_signature_valid(authority.key))
    except (library.BadSignature, *library.UNREADABLE):
        return False
