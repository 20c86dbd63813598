# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""NIST's Public Key Interoperability Test Suite (2011) through our paths, with revocation strict, and our identities.

Every end certificate of it is tried. Where we do otherwise than the suite says, ``OTHERWISE`` tells why; each is a
refusal of what it lets pass, never the reverse.
"""

from __future__ import annotations

import re
from pathlib import Path

import cryptography_vectors
import pytest
from engine.crypto.certificates import Certificate
from engine.crypto.revocation_lists import RevocationList
from engine.crypto.trust import TrustStore
from engine.errors import CertificateError

FOLDER = Path(cryptography_vectors.__file__).parent / "x509" / "PKITS_data"
NOW = 1_600_000_000  # 2020: nearly all of it is valid from 2010 to 2030


def read(folder, parse):
    """The parsed content of each file by its name, and the reasons of those that are refused at once."""
    found, refused = {}, {}
    for file in sorted((FOLDER / folder).iterdir()):
        try:
            found[file.stem] = parse(file.read_bytes())
        except CertificateError as error:
            refused[file.stem] = error.reason
    return found, refused


CERTIFICATES, UNREADABLE = read("certs", Certificate.parse)
LISTS, UNREADABLE_LISTS = read("crls", RevocationList.parse)
ROOT = CERTIFICATES["TrustAnchorRootCertificate"]
ENDS = [name[:-2] for name in CERTIFICATES if name.endswith("EE")]
AUTHORITIES = {one.subject.key: [] for one in CERTIFICATES.values()}
for _name, _one in CERTIFICATES.items():
    if not _name.endswith("EE") and _one != ROOT:
        AUTHORITIES[_one.subject.key].append(_one)
LISTS_OF = {one.issuer.key: [] for one in LISTS.values()}
for _list in LISTS.values():
    LISTS_OF[_list.issuer.key].append(_list)

# What a refusal is for, by the names of the certificates, which begin with Invalid.
REASONS = {
    "certificate_untrusted": (
        r"CASignature|EESignature|UnknownCriticalCertificateExtension|.*nameConstraints|.*pathLenConstraint|.*Policy.*"
    ),
    "certificate_unknown_authority": "NameChaining.*",
    "certificate_expired": ".*notAfterDate",
    "certificate_not_yet_valid": ".*notBeforeDate",
    "certificate_weak": "DSASignature",
    "certificate_wrong_use": ".*keyCertSignFalse|cAFalse|MissingbasicConstraints|BasicSelfIssuedCRLSigningKey",
    "certificate_revoked": (
        "Revoked(CA|EE)|NegativeSerialNumber|LongSerialNumber|BasicSelfIssuedOldWithNew|distributionPoint|deltaCRL|"
        "onlySomeReasons|IDPwithindirectCRL|cRLIssuer"
    ),
    "crl_overdue": ".*CRLnextUpdate|deltaCRL",
    "crl_missing": (
        "MissingCRL|WrongCRL|BadCRLIssuerName|SeparateCertificateandCRLKeys|deltaCRLIndicatorNoBase|"
        "onlySomeReasons|cRLIssuer|IDPwithindirectCRL"
    ),
    "crl_unusable": (
        "BadCRLSignature|UnknownCRL.*|.*cRLSignFalse|distributionPoint|onlyContains.*|onlySomeReasons|cRLIssuer|"
        "BasicSelfIssued.*"
    ),
}

_POLICIES = "an authority demands policies: pyOpenSSL cannot say which are welcome, so none is"
_OTHER_KEY = (
    "its list is signed by another key than the certificate: authorities sign their lists by their own key here"
)
OTHERWISE = {
    **dict.fromkeys(
        [
            "ValidPolicyMappingTest1", "ValidPolicyMappingTest3", "ValidPolicyMappingTest5",
            "ValidPolicyMappingTest6", "ValidPolicyMappingTest9", "ValidPolicyMappingTest11",
            "ValidPolicyMappingTest12", "ValidPolicyMappingTest13", "ValidPolicyMappingTest14",
            "ValidSelfIssuedinhibitAnyPolicyTest7", "ValidSelfIssuedinhibitAnyPolicyTest9",
            "ValidSelfIssuedinhibitPolicyMappingTest7", "ValidinhibitAnyPolicyTest2",
            "ValidinhibitPolicyMappingTest2", "ValidinhibitPolicyMappingTest4", "ValidrequireExplicitPolicyTest4",
        ],
        ("certificate_untrusted", _POLICIES),
    ),
    **dict.fromkeys(
        ["ValidBasicSelfIssuedCRLSigningKeyTest6", "ValidBasicSelfIssuedNewWithOldTest4", "ValidcRLIssuerTest28",
         "ValidcRLIssuerTest29"],
        ("crl_unusable", _OTHER_KEY),
    ),
    **dict.fromkeys(
        ["ValidSeparateCertificateandCRLKeysTest19", "ValidIDPwithindirectCRLTest24", "ValidIDPwithindirectCRLTest25",
         "ValidcRLIssuerTest30", "ValidcRLIssuerTest33"],
        ("crl_missing", _OTHER_KEY),
    ),
    "ValidDNnameConstraintsTest19": (
        "crl_unusable",
        "a self-issued authority between others is looked up as a peer's would be, which name constraints do not spare",
    ),
    "ValidDSASignaturesTest4": ("certificate_weak", "IKE has no DSA signatures any more (RFC 8247 section 3.2)"),
}  # fmt: skip

# Whether those hold that are neither Valid nor Invalid depends on the policies that are asked for: none are here.
WITHOUT_POLICIES = {
    "AllCertificatesNoPoliciesTest2", "CPSPointerQualifierTest20", "DifferentPoliciesTest3",
    "UserNoticeQualifierTest15", "UserNoticeQualifierTest16", "UserNoticeQualifierTest17", "UserNoticeQualifierTest19",
}  # fmt: skip


def candidates(end):
    """The certificates of authorities that a path from an end may lead through, as a peer would send them."""
    found, todo = [], [end]
    while todo:
        further = [one for one in AUTHORITIES.get(todo.pop(0).issuer.key, ()) if one not in found]
        found += further
        todo += further
    return found


def outcome(name):
    """The reason of a refusal; empty where there is none."""
    end = CERTIFICATES[f"{name}EE"]
    others = candidates(end)
    issuers = {one.issuer.key for one in (end, *others)}
    lists = [one for key in issuers for one in LISTS_OF.get(key, ())]
    try:
        TrustStore.of([ROOT], lists).verify([end, *others], end.identities[0], NOW)
    except CertificateError as error:
        return error.reason
    return ""


def test_what_cannot_be_read_of_it_is_dsa():
    assert UNREADABLE == {
        "DSAParametersInheritedCACert": "certificate_unreadable",
        "ValidDSAParameterInheritanceTest5EE": "certificate_unreadable",
    }
    assert dict.fromkeys(["DSACACRL", "DSAParametersInheritedCACRL"], "certificate_weak") == UNREADABLE_LISTS
    assert len(ENDS) == 222


@pytest.mark.parametrize("name", [name for name in ENDS if name.startswith("Valid") and name not in OTHERWISE])
def test_what_is_valid_is_taken(name):
    assert outcome(name) == ""


@pytest.mark.parametrize("name", [name for name in ENDS if name.startswith("Invalid")])
def test_what_is_invalid_is_refused_for_what_it_is(name):
    reason = outcome(name)
    assert re.fullmatch(REASONS[reason], re.sub(r"^Invalid|Test\d+$", "", name)), reason


@pytest.mark.parametrize("name", sorted(OTHERWISE))
def test_what_we_do_otherwise_is_refused(name):
    reason, why = OTHERWISE[name]
    assert outcome(name) == reason, why


@pytest.mark.parametrize("name", [name for name in ENDS if not name.startswith(("Valid", "Invalid"))])
def test_policies_that_nobody_asks_for(name):
    assert outcome(name) == ("" if name in WITHOUT_POLICIES else "certificate_untrusted")
