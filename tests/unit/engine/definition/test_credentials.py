# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Credentials of definitions: each method has a value, and the table's secret options are those that it holds."""

from __future__ import annotations

import base64

import pytest
from engine.definition.build import connection_of
from engine.definition.credentials import METHODS, Preshared, credential_of, fingerprint, without_secrets
from engine.definition.difference import changes
from engine.definition.parsing import parse_definition
from engine.definition.schema import Problems
from engine.definition.table import OPTIONS
from engine.secret import Secret

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


@pytest.mark.parametrize("method", METHODS)
def test_every_method_has_an_authenticator(method: str) -> None:
    definition = parse_definition(RAW)
    assert definition.credential.method == method
    assert connection_of(definition, {"lan": 1}).auth.defined


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
