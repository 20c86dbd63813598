# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Alternatives: a tag in an object decides what else it has."""

from __future__ import annotations

from typing import Any

import pytest
from engine.definition.options import DEFINITION, tree
from engine.definition.schema import conform
from engine.definition.table import Option

TEXT = {"type": "string"}
ROWS = (
    Option("auth", {"type": "object", "tag": "method", "writeOnly": True}, "", "0.1.0", "How."),
    Option("auth.method", {**TEXT, "enum": ["psk", "cert"], "default": "psk"}, "re-establish", "0.1.0", "Which."),
    Option("auth.secret", TEXT, "hot", "0.1.0", "Key.", required=True, only=("psk",)),
    Option("auth.extra", {"type": "array", "items": TEXT, "default": []}, "hot", "0.1.0", "Keys.", only=("psk",)),
    Option("auth.file", TEXT, "hot", "0.1.0", "Path.", required=True, only=("cert",)),
    Option("auth.note", {**TEXT, "default": "-"}, "none", "0.1.0", "For all."),
)


def checked(auth: Any) -> tuple[Any, list[str]]:
    problems: list[Any] = []
    found = conform({"auth": auth}, tree(ROWS), "", problems, {})
    return found["auth"], [str(problem) for problem in problems]


@pytest.mark.parametrize(
    ("auth", "canonical"),
    [
        ({"secret": "x"}, {"method": "psk", "secret": "x", "extra": [], "note": "-"}),
        ({"method": None, "secret": "x"}, {"method": "psk", "secret": "x", "extra": [], "note": "-"}),
        ({"method": "psk", "secret": "x", "file": None}, {"method": "psk", "secret": "x", "extra": [], "note": "-"}),
        ({"method": "cert", "file": "f", "note": "n"}, {"method": "cert", "file": "f", "note": "n"}),
    ],
)
def test_the_tag_decides_what_there_is(auth, canonical):
    assert checked(auth) == (canonical, [])


@pytest.mark.parametrize(
    ("auth", "told"),
    [
        ({}, ["auth.secret: is missing"]),
        ({"method": "cert"}, ["auth.file: is missing"]),
        ({"method": "cert", "file": "f", "secret": "SECRET"}, ["auth.secret: has no meaning with method: cert"]),
        ({"file": "f"}, ["auth.secret: is missing", "auth.file: has no meaning with method: psk"]),
        # Which of the others belong to it nobody knows then.
        ({"method": "smoke", "file": "f"}, ["auth.method: is not one of the choices"]),
        ({"method": ["psk"], "secret": "SECRET"}, ["auth.method: is not of type string"]),
        ({"method": "cert", "file": "f", "fiel": "g"}, ["auth.fiel: is not a known option"]),
    ],
)
def test_what_belongs_to_another_is_refused_with_the_remedy(auth, told):
    _found, problems = checked(auth)
    assert len(problems) == len(told) and "SECRET" not in "".join(problems)
    assert all(problem.startswith(line) for problem, line in zip(problems, told)), problems
    for problem in problems:
        assert "has no meaning" not in problem or "leave it out, or write method: " in problem


def test_how_tunnels_authenticate_is_such_an_object():
    auth = DEFINITION["properties"]["auth"]
    assert auth["tag"] == "method" and auth["properties"]["secret"]["only"] == ["psk"]
