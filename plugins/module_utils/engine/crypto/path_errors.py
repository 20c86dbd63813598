# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What OpenSSL's refusals of a path mean to an operator."""

from __future__ import annotations

from collections.abc import Iterable

from ..errors import CertificateError
from .certificates import Certificate
from .openssl import PathError

# X509_V_ERR_…: no issuer is found, or the path ends at a certificate that nobody here trusts.
_NO_ISSUER = frozenset({2, 20, 21, 27})
_SELF_SIGNED = frozenset({18, 19})
_BAD_SIGNATURE = 7
# What OpenSSL says of every path that demands policies, since pyOpenSSL cannot tell it which ones are welcome.
_NO_POLICY = 43

_ADD_AUTHORITY = "add the authority to ca of this tunnel, or have the peer send the certificates between it and its own"


def explain(
    refusal: PathError, path: Iterable[Certificate], useless: Iterable[tuple[Certificate, CertificateError]]
) -> CertificateError:
    """The reason and the story of a refusal.

    :param path: the certificates that a path could have had; the first is the peer's own.
    :param useless: certificates that had no part in it, and why: where the issuer is one of them, that is the reason.
    """
    known = {certificate.der: certificate for certificate in path}
    at = known.get(refusal.certificate) or next(iter(known.values()))
    if refusal.code in _NO_ISSUER:
        for certificate, problem in useless:
            if certificate.subject.matches(at.issuer):
                return problem
        story = f"the certificate of {at} was issued by {at.issued_by}, which is no authority given here"
        return CertificateError("certificate_unknown_authority", story, _ADD_AUTHORITY)
    if refusal.code in _SELF_SIGNED:
        story = f"the certificate of {at} is signed by itself and not an authority given here"
        return CertificateError("certificate_unknown_authority", story, _ADD_AUTHORITY)
    if refusal.code == _BAD_SIGNATURE:
        story = f"the certificate of {at} names {at.issued_by} as its issuer, but another key has signed it"
        return CertificateError(
            "certificate_untrusted", story, "compare the authority's certificates at the two ends: one was made anew"
        )
    if refusal.code == _NO_POLICY:
        story = f"an authority of the path of {at} demands policies (requireExplicitPolicy): none is known here"
        return CertificateError(
            "certificate_untrusted", story, "have the certificate issued by an authority without policy constraints"
        )
    return CertificateError(
        "certificate_untrusted",
        f"the certificate of {at} cannot be trusted: {refusal.text}",
        "have the certificates of the path issued by the rules of RFC 5280",
    )
