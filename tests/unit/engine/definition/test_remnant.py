# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Of a stored definition that this release cannot read, all that it can is known."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from engine.definition.parsing import parse_definition
from engine.definition.remnant import read_stored, remnant
from hypothesis import given, settings
from hypothesis import strategies as st

SECRET = "a key of the tests, long enough for all"
RAW = {
    "name": "t",
    "local": {"address": "203.0.113.1", "id": "here.example.net"},
    "remote": {"address": "203.0.113.9", "id": "there.example.net"},
    "auth": {"secret": SECRET},
    "ike": {"proposals": "compat", "dpd_delay": 40},
    "children": [
        {"name": "lan", "local": ["10.1.0.0/16", "10.3.0.0/16"], "remote": ["10.2.0.0/16"], "lifetime": 2000},
        {"name": "voice", "local": ["10.4.0.0/16"], "remote": ["10.5.0.0/16"], "start": "trap"},
    ],
}
WHOLE = parse_definition(RAW)
STORED = WHOLE.stored()


def spoilt(path: str, value: Any) -> dict[str, Any]:
    raw = copy.deepcopy(STORED)
    place: Any = raw
    *outer, last = path.split(".")
    for key in outer:
        place = place[int(key) if key.isdigit() else key]
    place[int(last) if last.isdigit() else last] = value
    return raw


def test_what_can_be_read_is_read_as_ever():
    found = read_stored("t", json.dumps(STORED))
    assert found.problem == "" and found.definition == WHOLE


@pytest.mark.parametrize(
    ("path", "value", "problem", "lost"),
    [
        ("color", "red", "color is not a known option", {}),
        ("ike.color", "red", "ike.color is not a known option", {}),
        ("ike.ppk", SECRET, "ike.ppk is not a known option", {}),
        ("ike.a.b[1]c", "red", "ike.a is not a known option", {}),
        ("ike.dpd_delay", "soon", "ike.dpd_delay is not a duration", {"ike": {"dpd_delay": 30}}),
        ("ike.proposals", "mlkem4096", "ike.proposals", {"ike": {"proposals": "modern"}}),
        ("ike", "red", "ike is not of type object", {"ike": {"dpd_delay": 30, "proposals": "modern"}}),
        ("auth.method", "smoke", "auth.method is not one of the choices", {}),
        ("auth", SECRET, "auth is not of type object", {}),
        ("remote.address", "no where", "remote.address is neither an IP address", {"role": "responder"}),
        ("local", None, "local.id is missing", {"local": {"address": None, "id": "local.unreadable"}}),
        ("groups", [["x"]], "groups[0] is not of type string", {"groups": []}),
    ],
)  # fmt: skip
def test_one_value_that_cannot_be_read_costs_that_value(path, value, problem, lost):
    raw = copy.deepcopy(STORED)
    if path == "ike.a.b[1]c":
        raw["ike"]["a"] = {"b": [1]}
        raw["ike"]["x.y[3]"] = 1
    else:
        raw = spoilt(path, value)
    found = read_stored("t", json.dumps(raw))
    assert problem in found.problem and SECRET not in found.problem
    document = found.definition.document
    for section, expected in lost.items():
        if isinstance(expected, dict):
            assert {key: document[section][key] for key in expected} == expected
        else:
            assert document[section] == expected
    assert found.definition.selectors == WHOLE.selectors and document["children"] == WHOLE.document["children"]
    assert document["interface"] is None and found.definition.name == document["name"] == "t"
    assert found.definition.credential.secret.reveal().decode() != SECRET


@pytest.mark.parametrize(
    ("path", "value", "left"),
    [
        ("children.0.local", ["10.1.0.0/16", "red"], {"lan": ["10.1.0.0/16"], "voice": ["10.4.0.0/16"]}),
        ("children.0.local", ["red", "10.3.0.0/16", "blue", 7], {"lan": ["10.3.0.0/16"], "voice": ["10.4.0.0/16"]}),
        ("children.0.local", ["red"], {"voice": ["10.4.0.0/16"]}),
        ("children.0.remote", None, {"voice": ["10.4.0.0/16"]}),
        ("children.0.name", {}, {"voice": ["10.4.0.0/16"]}),
        ("children.0", "red", {"voice": ["10.4.0.0/16"]}),
        ("children.1.name", "lan", {"lan": ["10.1.0.0/16", "10.3.0.0/16"]}),
        ("children.0.proposals", "mlkem4096", {"lan": ["10.1.0.0/16", "10.3.0.0/16"], "voice": ["10.4.0.0/16"]}),
        ("children", {}, {}),
        ("children", None, {}),
    ],
)  # fmt: skip
def test_networks_that_cannot_be_read_cost_those_networks(path, value, left):
    found = read_stored("t", json.dumps(spoilt(path, value)))
    assert found.problem
    assert {child["name"]: child["local"] for child in found.definition.document["children"]} == left


def test_where_the_interface_is_not_known_no_child_is():
    raw = copy.deepcopy(STORED) | {"interface": {"name": "ipsec0", "mtu": "big", "id": 7}}
    assert remnant("t", raw).document["interface"]["id"] == 7 and len(remnant("t", raw).document["children"]) == 2
    raw["interface"]["name"] = "no name of any interface"
    assert remnant("t", raw).document["children"] == []  # 0.0.0.0/0 without the interface would hold everything


@pytest.mark.parametrize("text", ["", "red", "{", b"\xff\xfe", "[]", "7", '"x"', "null", "[" * 100_000, "{}"])
def test_what_is_no_definition_at_all_leaves_a_name(text):
    found = read_stored("t", text)
    assert found.problem and found.definition.name == "t" and found.definition.document["children"] == []


def test_a_definition_of_another_name_is_not_taken():
    found = read_stored("other", json.dumps(STORED))
    assert "another tunnel, t" in found.problem and found.definition.name == "other"


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=8)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)),
    max_leaves=8,
)
PATHS = st.sampled_from(
    [*STORED, *(f"{key}.{inner}" for key in ("local", "remote", "ike", "auth") for inner in STORED[key]),
     *(f"children.0.{key}" for key in STORED["children"][0]), "children.1", "interface"]
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(PATHS, JSON), min_size=1, max_size=4))
def test_nothing_that_is_stored_can_stop_the_manager(changes):
    raw: Any = copy.deepcopy(STORED)
    for path, value in sorted(changes, key=lambda change: change[0], reverse=True):
        place = raw
        *outer, last = path.split(".")
        try:
            for key in outer:
                place = place[int(key) if key.isdigit() else key]
            place[int(last) if isinstance(place, list) else last] = value
        except (LookupError, TypeError, ValueError):
            continue
    found = read_stored("t", json.dumps(raw))
    assert found.definition.name == "t"
    given_children = raw["children"] if isinstance(raw["children"], list) else []
    names = [child.get("name") for child in given_children if isinstance(child, dict)]
    assert all(child["name"] in names for child in found.definition.document["children"])
