# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Post-quantum preshared keys as an operator writes them: checked, shown without their secrets, compared."""

from __future__ import annotations

from typing import Any

import pytest
from engine.crypto.auth import Unknown
from engine.definition import ppks
from engine.definition.build import connection_of
from engine.definition.difference import changes, worst
from engine.definition.parsing import parse_definition, parse_stored
from engine.definition.schema import Problems

SECRET = "thirty-two octets, or a few more of them"


def defined(*ppk: dict[str, Any]) -> Any:
    return parse_definition({
        "name": "t", "local": {"address": "192.0.2.1"}, "remote": {"address": "192.0.2.9"},
        "auth": {"secret": "a secret of some length", "ppk": list(ppk)},
        "children": [{"name": "c", "local": ["10.1.0.0/16"], "remote": ["10.2.0.0/16"]}],
    })  # fmt: skip


def test_it_goes_into_the_protocol():
    found = defined({"id": " one ", "secret": SECRET, "required": False}, {"id": "two", "secret": "0x00ff"})
    connection = connection_of(found, Unknown(), {"c": 1})
    assert [ppk.name for ppk in connection.ppks] == [b"one", b"two"] and connection.ppk_required
    assert not connection_of(
        defined({"id": "one", "secret": SECRET, "required": False}), Unknown(), {"c": 1}
    ).ppk_required
    assert connection_of(defined(), Unknown(), {"c": 1}).ppks == ()


@pytest.mark.parametrize(("form", "written"), [("hex", "00ff" * 16), ("base64", "AP8=")])
def test_octets_are_written_in_other_ways(form: str, written: str):
    (ppk,) = defined({"id": "one", "secret": written, "secret_format": form}).ppks
    assert ppk.secret.reveal()[:2] == b"\x00\xff"


def test_what_is_shown_has_no_secret_and_what_is_stored_has_it():
    found = defined({"id": "one", "secret": SECRET})
    assert SECRET not in repr(found) + str(found.public()) + str(found.document)
    assert found.public()["auth"]["ppk"] == [
        {"id": "one", "secret_format": "text", "required": True, "secret": "hidden"}
    ]
    assert parse_stored(found.stored()) == found
    assert "ppk" not in defined().stored()["auth"], "what an older release wrote stays as it is"


@pytest.mark.parametrize(
    ("ppk", "field"),
    [
        ([{"secret": SECRET}], "auth.ppk[0].id"),
        ([{"id": "one"}], "auth.ppk[0].secret"),
        ([{"id": "one", "secret": ""}], "auth.ppk[0].secret"),
        ([{"id": "", "secret": SECRET}], "auth.ppk[0].id"),
        ([{"id": "x" * 256, "secret": SECRET}], "auth.ppk[0].id"),
        ([{"id": "a\nb", "secret": SECRET}], "auth.ppk[0].id"),
        ([{"id": "one", "secret": SECRET, "secret_format": "hex"}], "auth.ppk[0].secret"),
        ([{"id": "one", "secret": SECRET, "require": True}], "auth.ppk[0].require"),
        ([{"id": "one", "secret": SECRET, "required": "yes"}], "auth.ppk[0].required"),
        ([{"id": "one", "secret": SECRET}, {"id": "one", "secret": SECRET}], "auth.ppk[1].id"),
        (["one", SECRET], "auth.ppk[0]"),
    ],
)
def test_a_mistake_is_told_without_the_secret(ppk: Any, field: str):
    with pytest.raises(Problems) as caught:
        defined(*ppk)
    assert caught.value.field == field and SECRET not in str(caught.value)


def test_a_short_one_is_unwise():
    assert "auth.ppk[0].secret is shorter than 32" in defined({"id": "one", "secret": "x" * 31}).warnings()[0]
    assert not defined({"id": "one", "secret": "x" * 32}).warnings()


@pytest.mark.parametrize(
    ("after", "impact"),
    [
        ({"id": "one", "secret": SECRET}, "none"),
        ({"id": "one", "secret": SECRET.encode().hex(), "secret_format": "hex"}, "none"),
        ({"id": "one", "secret": SECRET + "!"}, "hot"),
        ({"id": "two", "secret": SECRET}, "hot"),
        ({"id": "one", "secret": SECRET, "required": False}, "hot"),
        (None, "hot"),
    ],
)
def test_a_change_touches_nothing_that_runs(after: Any, impact: str):
    before, after = defined({"id": "one", "secret": SECRET}), defined(*([after] if after else []))
    assert worst(changes(before, after, frozenset({"c"}))) == impact


MUST, MAY = {"id": "one", "secret": SECRET}, {"id": "one", "secret": SECRET, "required": False}
OTHER_MAY = {"id": "two", "secret": SECRET, "required": False}
WRONG = {"id": "one", "secret": SECRET + "!", "required": False}


@pytest.mark.parametrize(
    ("ours", "theirs", "come_together"),
    [
        ([], [], True), ([MAY], [], True), ([MUST], [], False), ([MUST], [MAY], True), ([MAY], [WRONG], False),
        ([MAY], [OTHER_MAY], True), ([MUST], [OTHER_MAY], False), ([MUST], [MAY, OTHER_MAY], True),
        ([MUST], [OTHER_MAY, MAY], False), ([MUST, OTHER_MAY], [OTHER_MAY, MUST], True),
    ],
)  # fmt: skip
def test_ends_with_different_keys(ours: Any, theirs: Any, come_together: bool):
    assert ppks.meet(defined(*ours).ppks, defined(*theirs).ppks) is come_together
    assert ppks.meet(defined(*theirs).ppks, defined(*ours).ppks) is come_together
