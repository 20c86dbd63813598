# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A definition for many peers as its operator writes it: what it needs, what goes with it, what becomes of it."""

from __future__ import annotations

from typing import Any

import pytest
from engine.crypto.auth import Unknown
from engine.definition.build import connection_of
from engine.definition.difference import changes, worst
from engine.definition.parsing import Definition, parse_definition, parse_stored
from engine.definition.schema import Problems
from engine.selector import parse_selector

PATTERN = "*.branch.example.net"
CERTIFIED = {"method": "pubkey", "certificate": "/etc/c.pem", "key": "/etc/k.pem", "ca": ["/etc/ca.pem"]}


def defined(remote: dict[str, Any], child: dict[str, Any] | None = None, **more: Any) -> Definition:
    document = {
        "name": "branches",
        "local": {"address": "203.0.113.1", "id": "hub.example.net"},
        "remote": {"id": PATTERN} | remote,
        "auth": CERTIFIED,
        "children": [{"name": "lan", "local": ["10.8.0.0/16"], "remote": ["10.9.0.0/16"]} | (child or {})],
    }
    return parse_definition(document | more)


@pytest.mark.parametrize("text", [PATTERN, "any", "ANY", "*@example.net", "dn:O=Example, CN=*"])
def test_a_pattern_makes_it_one_for_many(text: str) -> None:
    found = defined({"id": text})
    connection = connection_of(found, Unknown(), {"lan": 1})
    assert found.pattern is not None and connection.pattern == found.pattern and connection.remote_id is None
    assert not connection.starts and connection.answers and found.document["role"] == "responder"
    assert (connection.max_instances, connection.unique, connection.networks) == (256, "replace", ())
    assert parse_stored(found.stored()).document == found.document


def test_its_options_come_to_the_protocol() -> None:
    networks = ["198.51.100.0/24", "203.0.113.5-203.0.113.9", "192.0.2.7"]
    found = defined({"addresses": networks, "max_instances": 7, "unique": "keep"})
    connection = connection_of(found, Unknown(), {"lan": 1})
    assert connection.networks == tuple(map(parse_selector, networks)) and connection.remote_address is None
    assert (connection.max_instances, connection.unique) == (7, "keep")
    assert worst(changes(found, defined({"max_instances": 8}), frozenset())) == "hot"


@pytest.mark.parametrize(
    ("change", "field", "problem", "remedy"),
    [
        ({"auth": {"secret": "x" * 32}}, "remote.id", "stands for many peers", "method: pubkey"),
        (
            {"auth": {"method": "raw", "key": "/k", "remote_key": "/p"}},
            "remote.id",
            "stands for many peers",
            "method: pubkey",
        ),
        (
            {"auth": {**CERTIFIED, "ca": [], "remote_certificate": "/p.pem"}},
            "remote.id",
            "no authority that vouches",
            "ca",
        ),
        ({"auth": {**CERTIFIED, "remote_certificate": "/p.pem"}}, "auth.remote_certificate", "of one peer", "leave"),
        ({"remote": {"address": "192.0.2.9"}}, "remote.address", "of one peer", "remote.addresses"),
        ({"remote": {"max_instances": 0}}, "remote.max_instances", "too small", "1"),
        ({"remote": {"max_instances": 100000}}, "remote.max_instances", "too large", "10000"),
        ({"remote": {"unique": "no"}}, "remote.unique", "is not one of the choices", "replace"),
        ({"remote": {"addresses": ["10.0.0.0/8[tcp]"]}}, "remote.addresses[0]", "a protocol or a port", "alone"),
        ({"remote": {"addresses": ["here"]}}, "remote.addresses[0]", "is a host name", "networks"),
        ({"remote": {"addresses": ["192.0.2.9-192.0.2.1"]}}, "remote.addresses[0]", "runs backwards", "lower"),
        ({"remote": {"id": "b*.example.net"}}, "remote.id", "is a pattern", "whole parts"),
        ({"remote": {"id": "%any"}}, "remote.id", "stands for anybody elsewhere", ""),
        ({"interface": {"name": "ipsec0"}}, "interface", "leads to one peer", "leave it out"),
        ({"child": {"start": "trap"}}, "children[0].start", "they alone start it", "leave it out"),
        ({"child": {"close_action": "start"}}, "children[0].close_action", "they alone start it", "leave it out"),
        (
            {"child": {"mode": "transport", "local": ["203.0.113.1"], "remote": ["192.0.2.9"]}},
            "children[0].mode",
            "",
            "",
        ),
        ({"role": "initiator"}, "role", "cannot start", ""),
    ],
)
def test_what_does_not_go_with_it_is_named(change: dict[str, Any], field: str, problem: str, remedy: str) -> None:
    remote, child = change.pop("remote", {}), change.pop("child", None)
    with pytest.raises(Problems) as caught:
        defined(remote, child, **change)
    (found,) = [each for each in caught.value.problems if each.field == field]
    assert problem in found.problem and remedy in found.remedy


@pytest.mark.parametrize("option", [{"max_instances": 3}, {"unique": "never"}])
def test_its_options_are_for_it_alone(option: dict[str, Any]) -> None:
    with pytest.raises(Problems) as caught:
        defined({"id": "b1.branch.example.net", **option})
    (name,) = option
    assert caught.value.field.startswith(f"remote.{name}")


def test_a_network_is_nobodys_address() -> None:
    with pytest.raises(Problems) as caught:
        defined({"id": "b1.branch.example.net", "addresses": ["192.0.2.9", "198.51.100.0/24"]})
    assert caught.value.field == "remote.addresses[1]" and "definitions for many peers" in caught.value.remedy


def test_what_a_release_without_patterns_stored_names_one_peer() -> None:
    """Nobody is let in by an upgrade."""
    stored = defined({"id": "b1.branch.example.net"}, auth={"secret": "x" * 32}).stored()
    for text in ("any", PATTERN):
        stored["remote"]["id"] = text
        found = parse_stored(stored)
        assert found.pattern is None
        assert connection_of(found, Unknown(), {"lan": 1}).remote_id is not None


def test_anybody_is_let_in_with_a_warning() -> None:
    assert "lets in every certificate" in " ".join(defined({"id": "any"}).warnings())
    assert not defined({"id": "any"}, auth={**CERTIFIED, "remote_ca": "/one.pem"}).warnings()
    assert not defined({}).warnings()
