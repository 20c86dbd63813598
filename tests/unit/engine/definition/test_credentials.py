# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Credentials of definitions: each method has a value, and the table's secret options are those that it holds."""

from __future__ import annotations

import pytest
from engine.definition.build import connection_of
from engine.definition.credentials import METHODS, Preshared, credential_of, without_secrets
from engine.definition.parsing import parse_definition
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
    assert definition.stored()["auth"] == {"method": "psk", **RAW["auth"]}
    assert definition.public()["auth"] == {"method": "psk", "secret": "hidden", "also_accept": ["hidden"]}
    assert "first of all" not in repr(definition)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_has_an_authenticator(method: str) -> None:
    definition = parse_definition(RAW)
    assert definition.credential.method == method
    assert connection_of(definition, {"lan": 1}).auth.defined


def test_what_is_compared_and_what_is_left() -> None:
    auth = {"method": "psk", "secret": Secret(b"a"), "also_accept": [Secret(b"b")]}
    credential = credential_of(auth)
    assert credential.option("secret") == Secret(b"a") and credential.option("method") is None
    assert without_secrets(auth) == {"method": "psk"} == without_secrets({})
