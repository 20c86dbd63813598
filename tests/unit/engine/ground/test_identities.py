# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Identities as text: key IDs of any octets, and the words of other programs, which are refused with ours."""

from __future__ import annotations

import pytest
from engine.definition.parsing import parse_definition, parse_stored
from engine.definition.schema import Problems
from engine.errors import InputError
from engine.foreign_identities import foreign
from engine.identity import ID_FQDN, ID_KEY_ID, Identity
from hypothesis import given
from hypothesis import strategies as st


@given(st.binary(min_size=1, max_size=64))
def test_a_key_id_of_any_octets_is_read_as_it_is_shown(octets: bytes) -> None:
    identity = Identity(ID_KEY_ID, octets)
    shown = str(identity)
    assert shown.isascii() and shown.isprintable() and " " not in shown
    assert Identity.parse(shown) == identity
    assert Identity.parse(f"keyid:#{octets.hex().upper()}") == identity
    assert foreign(shown) is None


@pytest.mark.parametrize(
    ("text", "octets"),
    [
        ("keyid:branch office 1", b"branch office 1"), ("keyid:#0a0b0c", b"\n\x0b\x0c"), ("keyid:a#b", b"a#b"),
        ("KEYID:*", b"*"), ("keyid:Zürich", "Zürich".encode()), ("keyid:#23", b"#"), ("keyid:C=DE", b"C=DE"),
    ],
)  # fmt: skip
def test_what_a_key_id_may_be(text: str, octets: bytes) -> None:
    assert Identity.parse(text) == Identity(ID_KEY_ID, octets)
    assert foreign(text) is None


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("C=DE, O=Example GmbH, CN=gw 1", "write dn:C=DE, O=Example GmbH, CN=gw 1"),
        ("branch office 1", "keyid:TEXT"),
        ("keyid:#hush", "keyid:#0a0b0c"),
        ("keyid:#", "keyid:#0a0b0c"),
        ("keyid:#abc", "keyid:#0a0b0c"),
        ("keyid:a\tb", "write keyid:# and hexadecimal digits"),
    ],
)
def test_what_is_none_is_refused_with_the_form_that_is_meant(text: str, remedy: str) -> None:
    with pytest.raises(InputError) as caught:
        Identity.parse(text)
    assert remedy in caught.value.remedy


FOREIGN = [
    ("%any", "leave it out"), ("%ANY4", "leave it out"), ("%any6", "leave it out"), ("*", "leave it out"),
    ("0.0.0.0", "leave it out"), ("::", "leave it out"), ("%fromcert", "write the identity itself"),
    ("%null", "write the identity itself"), ("%defaultroute", "write the identity itself"),
    ("@#0a0b0c", "write keyid:#0a0b0c"), ("@#0x0a0b0c", "write keyid:#0a0b0c"), ("@[branch 1]", "write keyid:branch 1"),
    ("@@ops@example.net", "write email:ops@example.net"), ("@~3000", "write dn:3000"),
    ("*.example.net", "name the peer"), ("*@example.net", "name the peer"), ("fqdn:*.example.net", "name the peer"),
    ("email:*@example.net", "name the peer"), ("@*.example.net", "name the peer"), ("@@*@example.net", "name the peer"),
    ("dn:C=DE, CN=*", "name the peer"), ("C=DE,CN=*", "name the peer"), ("C=*,CN=gw", "name the peer"),
    ("CN=gw", "write dn:CN=gw"), ("/C=DE/CN=gw", "write dn:/C=DE/CN=gw"), ("dns:gw.example", "write fqdn:gw.example"),
    ("rfc822:a@example", "write email:a@example"), ("asn1dn:CN=gw", "write dn:CN=gw"),
]  # fmt: skip


def raw(identity: str) -> dict:
    child = {"name": "lan", "local": ["10.1.0.0/16"], "remote": ["10.2.0.0/16"]}
    remote = {"address": "198.51.100.1", "id": identity}
    auth = {"secret": "made up, thirty-two characters.."}
    return {"name": "t", "local": {"address": "192.0.2.1"}, "remote": remote, "auth": auth, "children": [child]}


@pytest.mark.parametrize(("text", "remedy"), FOREIGN)
def test_words_of_other_programs_are_refused_with_ours(text: str, remedy: str) -> None:
    found = foreign(text)
    assert found is not None and found.remedy.startswith(remedy)
    with pytest.raises(Problems) as caught:
        parse_definition(raw(text))
    assert any(problem.field == "remote.id" for problem in caught.value.problems)


def test_what_is_stored_stays_as_it_is() -> None:
    # Two gateways of an older release may call themselves so.
    assert parse_stored(raw("@#0a0b0c")).document["remote"]["id"] == "@#0a0b0c"
    assert Identity.parse("@#0a0b0c").type == ID_FQDN


@pytest.mark.parametrize(
    "text",
    [
        "gw.example.net", "@gw.example.net", "ops@example.net", "192.0.2.1", "2001:db8::1", "dn:CN=*.example.net",
        "dn:C=DE, O=A*B, CN=gw", "dn:3000", "fqdn:%any", "x=y", "gw_1", "ipv4:192.0.2.1",
    ],
)  # fmt: skip
def test_ours_are_taken(text: str) -> None:
    assert foreign(text) is None


@given(st.text(max_size=40))
def test_any_text_is_one_of_ours_or_has_an_answer(text: str) -> None:
    found = foreign(text)
    assert found is None or (found.problem and found.remedy)
