# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the peer is, as an operator writes it."""

from __future__ import annotations

from typing import Any

import pytest
from engine.crypto.auth import Unknown
from engine.definition.build import connection_of
from engine.definition.difference import changes
from engine.definition.parsing import Definition, parse_definition, parse_stored
from engine.definition.peer import addresses_of
from engine.definition.schema import Problems

FIRST, SECOND = "192.0.2.9", "198.51.100.9"


def defined(remote: dict[str, Any], child: dict[str, Any] | None = None, **more: Any) -> Definition:
    return parse_definition({
        "name": "t", "local": {"address": "192.0.2.1"}, "remote": remote, "auth": {"secret": "a secret of some length"},
        "children": [{"name": "c", "local": ["10.1.0.0/16"], "remote": ["10.2.0.0/16"]} | (child or {})],
    } | more)  # fmt: skip


def problem(remote: dict[str, Any], **more: Any) -> tuple[str, str]:
    with pytest.raises(Problems) as caught:
        defined(remote, **more)
    return caught.value.field, caught.value.problem


def test_a_list_of_one_is_that_address():
    one, other = defined({"addresses": [FIRST]}), defined({"address": FIRST})
    assert one.document == other.document and not list(changes(one, other, frozenset()))


@pytest.mark.parametrize("remote", [{"addresses": [FIRST, SECOND]}, {"addresses": [FIRST, SECOND], "address": FIRST}])
def test_the_first_of_several_stands_for_them(remote):
    found = defined(remote)
    assert found.document["remote"]["address"] == found.document["remote"]["id"] == FIRST
    assert addresses_of(found.document) == [FIRST, SECOND]
    assert connection_of(found, Unknown(), {"c": 1}).remote_addresses == (FIRST, SECOND)


def test_what_is_stored_and_shown_can_be_defined_again():
    found = defined({"addresses": [FIRST, SECOND]})
    assert parse_stored(found.stored()).document == found.document
    assert parse_definition(found.stored()).document == found.document


def test_what_an_older_release_stored_has_one_address():
    stored = defined({"address": FIRST}).stored()
    del stored["remote"]["addresses"]
    assert addresses_of(parse_stored(stored).document) == [FIRST]


def test_nobody_knows_where_some_peers_are():
    assert addresses_of(defined({"id": "roaming.example.net"}).document) == []


@pytest.mark.parametrize(
    ("remote", "field", "what"),
    [
        ({"addresses": [FIRST, FIRST]}, "remote.addresses[1]", "listed twice"),
        ({"addresses": [FIRST, SECOND], "address": SECOND}, "remote.address", "not the first"),
        ({"addresses": [FIRST, "2001:db8::9"]}, "remote.addresses[1]", "not of the family"),
        ({"addresses": [FIRST, "192.0.2.1"]}, "remote.addresses[1]", "also local.address"),
        ({"addresses": [FIRST, "0.0.0.0"]}, "remote.addresses[1]", "not the address of a host"),
    ],
)
def test_what_is_wrong_is_named_where_it_stands(remote, field, what):
    named, told = problem(remote)
    assert named == field and what in told


def test_transport_mode_is_between_two_addresses():
    transport = {"mode": "transport", "local": ["192.0.2.1"], "remote": [FIRST]}
    assert problem({"addresses": [FIRST, SECOND]}, child=transport)[0] == "children[0].mode"


def test_an_interface_gets_no_route_that_holds_any_of_them():
    child = {"remote": ["10.2.0.0/16", "198.51.100.0/24"]}
    found = defined({"addresses": [FIRST, SECOND]}, child=child, interface={"name": "ipsec0"})
    assert found.document["interface"]["routes"] == ["10.2.0.0/16"]
