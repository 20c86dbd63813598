# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Credentials of definitions: each method has a value, and the table's secret options are those that it holds."""

from __future__ import annotations

import base64
import time

import pytest
from engine.definition.authenticators import Authenticators
from engine.definition.credentials import METHODS, Preshared, credential_of, fingerprint, without_secrets
from engine.definition.difference import changes
from engine.definition.parsing import parse_definition
from engine.definition.schema import Problems
from engine.definition.table import OPTIONS
from engine.errors import InputError
from engine.secret import Secret

from tests.issued import DAY, authority
from tests.signing_keys import private_pem, public_pem

RAW = {
    "name": "t",
    "local": {"address": "192.0.2.1"},
    "remote": {"address": "192.0.2.2"},
    "auth": {"secret": "first of all, and long", "also_accept": ["the one before, and long"]},
    "children": [{"name": "lan", "local": ["10.1.0.0/16"], "remote": ["10.2.0.0/16"]}],
}


def test_every_method_of_the_table_has_a_credential() -> None:
    (method,) = [row for row in OPTIONS if row.path == "auth.method"]
    assert list(METHODS) == method.schema["enum"]


@pytest.mark.parametrize("method", METHODS)
def test_a_credential_holds_the_secret_options_of_its_method(method: str) -> None:
    rows = [row for row in OPTIONS if row.path.startswith("auth.") and method in row.only]
    assert METHODS[method].secrets == tuple(row.path.partition(".")[2] for row in rows if row.schema.get("writeOnly"))


def test_the_document_has_no_secret_and_the_credential_all() -> None:
    definition = parse_definition(RAW)
    assert definition.document["auth"] == {"method": "psk"}
    assert definition.credential == Preshared(Secret(b"first of all, and long"), (Secret(b"the one before, and long"),))
    assert definition.stored()["auth"] == {"method": "psk", **RAW["auth"], "secret_format": "text"}
    shown = {"method": "psk", "secret": "hidden", "also_accept": ["hidden"], "secret_format": "text"}
    assert definition.public()["auth"] == shown
    assert "first of all" not in repr(definition)


AUTHORITY = authority("ecdsa256")
FILES = {
    "/ca.pem": AUTHORITY.pem,
    "/crl.pem": AUTHORITY.revoke(),
    "/cert.pem": AUTHORITY.issue("here.example.net", "ed25519"),
    "/elsewhere.pem": AUTHORITY.issue("elsewhere.example.net", "ed25519"),
    "/over.pem": AUTHORITY.issue("here.example.net", "ed25519", start=-9 * DAY, end=-DAY),
    "/later.pem": AUTHORITY.issue("here.example.net", "ed25519", start=DAY),
    "/overdue.pem": AUTHORITY.revoke(end=-DAY / 2),
    "/other.pem": AUTHORITY.issue("there.example.net", "ed25519", 1),
    "/key.pem": private_pem("ed25519"),
    "/peer.pem": public_pem("ed25519", 1),
}
OF_METHOD = {
    "psk": {"secret": "first of all, and long"},
    "pubkey": {"certificate": "/cert.pem", "key": "/key.pem", "ca": ["/ca.pem"], "crl": ["/crl.pem"]},
    "raw": {"key": "/key.pem", "remote_key": "/peer.pem"},
}
HERE = {"local": {"address": "192.0.2.1", "id": "here.example.net"}}


def authenticators() -> Authenticators:
    """With the files above."""
    return Authenticators(lambda path, _field: FILES[path], time.time())


def certified(**changes: object) -> dict:
    """A definition with certificates."""
    return RAW | HERE | {"auth": {"method": "pubkey", **OF_METHOD["pubkey"], **changes}}


@pytest.mark.parametrize("method", METHODS)
def test_every_method_has_an_authenticator(method: str) -> None:
    definition = parse_definition(RAW | HERE | {"auth": {"method": method, **OF_METHOD[method]}})
    assert definition.credential.method == method
    made = authenticators().make(definition)
    assert made.defined and made.credential
    assert not definition.credential.warnings("t")
    again = parse_definition(definition.stored())
    assert again == definition and again.credential.revealed() == definition.credential.revealed()


def test_the_passphrase_of_a_key_is_a_secret() -> None:
    auth = {"method": "raw", **OF_METHOD["raw"], "passphrase": "open, please"}
    definition = parse_definition(RAW | {"auth": auth})
    assert definition.document["auth"] == {"method": "raw", **OF_METHOD["raw"]}
    assert definition.public()["auth"]["passphrase"] == "hidden" and definition.stored()["auth"] == auth
    assert "open, please" not in repr(definition)
    other = parse_definition(RAW | {"auth": {**auth, "passphrase": "another"}})
    assert [(change.path, change.impact) for change in changes(definition, other, frozenset())] == [
        ("auth.passphrase", "hot")
    ]


@pytest.mark.parametrize(
    ("auth", "field", "problem"),
    [
        ({"key": "/k"}, "auth.remote_key", "is missing"), ({"remote_key": "/k"}, "auth.key", "is missing"),
        ({"key": "k.pem", "remote_key": "/k"}, "auth.key", "is not an absolute path"),
        ({"key": "/k\n", "remote_key": "/a\nb"}, "auth.remote_key", "is not an absolute path"),
        ({"key": FILES["/key.pem"].decode(), "remote_key": "/k"}, "auth.key", "is the content of a file"),
        ({"key": "/k", "remote_key": FILES["/key.pem"].decode()}, "auth.remote_key", "has a private key in it"),
        ({"key": "/k", "remote_key": "/k", "passphrase": ""}, "auth.passphrase", "is empty"),
        ({"key": "/k", "remote_key": "/k", "secret": "hush"}, "auth.secret", "has no meaning with method: raw"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused_and_no_key_shown(auth: dict, field: str, problem: str) -> None:
    with pytest.raises(Problems, match=problem) as caught:
        parse_definition(RAW | {"auth": {"method": "raw", **auth}})
    assert caught.value.problems[0].field == field
    assert "hush" not in str(caught.value) and FILES["/key.pem"].decode()[40:70] not in str(caught.value)


@pytest.mark.parametrize("wrong", [
    lambda key: {"method": key}, lambda key: {"secret_format": [key]}, lambda key: {"epoch": {"a": [key]}},
    lambda key: {"method": "pubkey", "ca": key, "certificate": {"x": key}, "send_cert": key, "demands": [key]},
    lambda key: {"ppk": [{"id": key, "secret": "x"}]}, lambda key: {"ppk": [{"id": "a", "secret": "x", key: 1}]},
    lambda key: {key: "x"},
])  # fmt: skip
def test_a_private_key_in_any_wrong_place_is_not_shown(wrong) -> None:
    key = FILES["/key.pem"].decode()
    with pytest.raises(Problems) as caught:
        parse_definition(RAW | {"auth": wrong(key)})
    for problem in caught.value.problems:
        told = repr((str(caught.value), problem.field, problem.value, problem.problem, problem.remedy))
        assert key.splitlines()[1] not in told and "auth" in problem.field


@pytest.mark.parametrize("text", ["/etc/\ud800.pem", "-----BEGIN CERTIFICATE-----\udcff", f"/{'a/' * 2048}"])
def test_what_is_no_text_or_no_path_by_its_length_is_told_when_defined(text: str) -> None:
    with pytest.raises(Problems) as caught:
        parse_definition(certified(ca=[text]))
    assert [problem.field for problem in caught.value.problems] == ["auth.ca[0]"]
    assert len(str(caught.value)) < 300


def test_what_is_compared_and_what_is_left() -> None:
    auth = {"method": "psk", "secret": Secret(b"a"), "also_accept": [Secret(b"b")], "secret_format": "text"}
    credential = credential_of(auth, "auth", [])
    assert credential.option("secret") == Secret(b"a") and credential.option("method") is None
    assert without_secrets(auth) == {"method": "psk"} == without_secrets({})


KEY = bytes(range(0xF0, 0x100)) + b"sixteen and more"


@pytest.mark.parametrize(
    ("form", "written"),
    [
        ("hex", KEY.hex()), ("hex", f"0x{KEY.hex().upper()}"), ("hex", KEY.hex(":")), ("hex", KEY.hex("_", 4)),
        ("hex", f" {KEY.hex(' ')}\n"), ("base64", base64.b64encode(KEY).decode()),
        ("base64", f"0s{base64.b64encode(KEY).decode()}"), ("base64", f"{base64.encodebytes(KEY).decode()}\n"),
    ],
)  # fmt: skip
def test_a_key_may_be_any_octets(form: str, written: str) -> None:
    auth = {"secret": written, "also_accept": [written], "secret_format": form}
    definition = parse_definition(RAW | {"auth": auth})
    assert definition.credential == Preshared(Secret(KEY), (Secret(KEY),))
    assert definition.public()["auth"]["secret_format"] == form
    # What is stored is read as the same.
    again = parse_definition(definition.stored())
    assert again == definition and again.credential.revealed() == definition.credential.revealed()


def test_how_a_key_is_written_makes_no_difference() -> None:
    key = "first of all, and long"
    as_text, as_hex = (
        parse_definition(RAW | {"auth": auth})
        for auth in ({"secret": key}, {"secret": key.encode().hex(), "secret_format": "hex"})
    )
    assert as_text.credential == as_hex.credential
    assert not list(changes(as_text, as_hex, frozenset()))


def test_a_mark_before_base64_is_told_from_what_looks_like_it() -> None:
    octets = base64.b64decode("0sABCDEF")
    found = parse_definition(RAW | {"auth": {"secret": "0sABCDEF", "secret_format": "base64"}}).credential
    assert found == Preshared(Secret(octets))


@pytest.mark.parametrize(
    ("form", "written", "problem"),
    [
        ("hex", "0xhush", "is not hexadecimal"), ("hex", "abc", "is not hexadecimal"), ("hex", "0x", "is empty"),
        ("hex", "ｆｆ", "is not hexadecimal"), ("base64", "hush!", "is not base64"), ("base64", "0s", "is empty"),
        ("base64", "ABCDE", "is not base64"), ("base64", "ÄÄÄÄ", "is not base64"),
    ],
)  # fmt: skip
def test_a_key_that_is_not_written_so_is_refused_without_being_shown(form: str, written: str, problem: str) -> None:
    auth = {"secret": "f00f", "also_accept": [written], "secret_format": form}
    if form == "base64":
        auth["secret"] = "AAAA"
    with pytest.raises(Problems, match=problem) as caught:
        parse_definition(RAW | {"auth": auth})
    assert caught.value.problems[0].field == "auth.also_accept[0]"
    assert written not in str(caught.value)


DERIVED = {"secret": "n" * 43, "also_accept": ["o" * 43]}


def test_derived_keys_have_fingerprints_that_tell_them_apart() -> None:
    definition = parse_definition(RAW | {"auth": {**DERIVED, "epoch": 2}})
    assert definition.document["auth"] == {"method": "psk", "epoch": 2}
    assert definition.stored()["auth"] == {"method": "psk", "epoch": 2, **DERIVED, "secret_format": "text"}
    shown = definition.credential.fingerprints()
    assert shown == {
        "epoch": 2,
        "fingerprint": fingerprint(b"n" * 43),
        "also_accept": [fingerprint(b"o" * 43)],
    }
    assert len(shown["fingerprint"]) == 16 and shown["fingerprint"] != shown["also_accept"][0]


def test_keys_of_people_have_none() -> None:
    assert parse_definition(RAW).credential.fingerprints() is None
    assert parse_definition(RAW | {"auth": DERIVED}).credential.fingerprints() is None
    for secrets in ({"secret": "x" * 42}, {"secret": "x" * 43, "also_accept": ["short, and thought of"]}):
        with pytest.raises(Problems, match="auth.epoch: is for keys derived from a seed"):
            parse_definition(RAW | {"auth": {**secrets, "epoch": 1}})


@pytest.mark.parametrize(
    ("changed", "field", "problem"),
    [
        ({"ca": []}, "auth.ca", "is missing, and there is no remote_certificate"),
        ({"ca": [], "remote_certificate": "/other.pem"}, "auth.crl", "has no meaning without ca"),
        ({"ca": [], "crl": [], "remote_certificate": "/o", "demands": ["rsa-3072"]}, "auth.demands", "without ca"),
        ({"ca": [], "crl": [], "remote_certificate": "/o", "remote_ca": "/ca"}, "auth.remote_ca", "without ca"),
        ({"ca": [], "crl": [], "remote_certificate": "/o", "revocation": "strict"}, "auth.revocation", "without ca"),
        ({"demands": ["strong"]}, "auth.demands[0]", "is no demand"),
        ({"revocation": "lax"}, "auth.revocation", "is not one of the choices"),
        ({"send_cert": "ifasked"}, "auth.send_cert", "is not one of the choices"),
        ({"certificate": None}, "auth.certificate", "is missing"),
        ({"remote_key": "/peer.pem"}, "auth.remote_key", "has no meaning with method: pubkey"),
    ],
)  # fmt: skip
def test_what_of_certificates_cannot_be_meant(changed: dict, field: str, problem: str) -> None:
    with pytest.raises(Problems, match=problem) as caught:
        parse_definition(certified(**changed))
    assert field in [found.field for found in caught.value.problems]


@pytest.mark.parametrize(
    ("changed", "field", "problem"),
    [
        ({"key": "/peer.pem"}, "t.auth.key", "holds no private key"),
        ({"certificate": "/other.pem"}, "t.auth.key", "is not the key of the certificate"),
        ({"certificate": "/key.pem"}, "t.auth.certificate", "is a private key, where a certificate belongs"),
        ({"certificate": "/elsewhere.pem"}, "t.local.id", "does not prove here.example.net"),
        ({"certificate": "/over.pem"}, "t.auth.certificate", "expired at"),
        ({"certificate": "/later.pem"}, "t.auth.certificate", "is valid from"),
        ({"ca": ["/ca.pem", "/cert.pem"]}, "t.auth.ca[1]", "is not an authority's"),
        ({"ca": ["/crl.pem"]}, "t.auth.ca[0]", "is a revocation list"),
        ({"crl": ["/ca.pem"]}, "t.auth.crl[0]", "is a certificate, where a revocation list belongs"),
        ({"crl": ["/overdue.pem"]}, "t.auth.crl[0]", "is overdue since"),
        ({"remote_ca": "/key.pem"}, "t.auth.remote_ca", "is a private key"),
        ({"remote_certificate": "/over.pem"}, "t.auth.remote_certificate", "expired at"),
        ({"demands": ["rsa-77"]}, "t.auth.demands[0]", "is no demand"),
        ({"crl": [], "revocation": "strict"}, "t.auth.revocation", "no revocation list is given"),
        ({"remote_ca": "/cert.pem"}, "t.auth.remote_ca", "is not an authority's"),
        ({"remote_certificate": "/cert.pem"}, "t.auth.remote_certificate", "is for the key of t.auth.key"),
        ({"ca": [], "crl": [], "remote_certificate": "/cert.pem"}, "t.auth.remote_certificate", "is for the key of"),
        ({"remote_certificate": "/other.pem"}, "t.auth.remote_certificate", "does not prove 192.0.2.2"),
    ],
)  # fmt: skip
def test_what_files_hold_is_checked_before_anything_changes(changed: dict, field: str, problem: str) -> None:
    with pytest.raises(InputError, match=problem) as caught:
        authenticators().make(parse_definition(certified(**changed)), "t.")
    assert caught.value.field == field and caught.value.remedy


def test_an_overdue_list_is_taken_where_that_is_no_reason_to_refuse() -> None:
    authenticators().make(parse_definition(certified(crl=["/overdue.pem"], revocation="relaxed")))


def test_a_store_is_made_once_for_all_that_trust_the_same() -> None:
    maker = authenticators()
    first, second, third = (
        maker.make(parse_definition(certified(**more) | {"name": name}))
        for name, more in (("a", {}), ("b", {}), ("c", {"crl": []}))
    )
    assert first.peer.store is second.peer.store is not third.peer.store
    assert first.own.key is third.own.key


def test_what_was_defined_before_is_read_again_whatever_the_time() -> None:
    """The clock of a host may be behind when it boots; what has ended is refused when it is used."""
    later = Authenticators(lambda path, _field: FILES[path], None)
    for changed in ({"certificate": "/over.pem"}, {"certificate": "/later.pem"}, {"crl": ["/overdue.pem"]}):
        assert later.make(parse_definition(certified(**changed))).own.certificates
