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
from engine.definition.peer import addresses_of, names_of, places_of
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


# By name


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("vpn.example.net", "vpn.example.net"),
        (" VPN.Example.NET. ", "vpn.example.net"),
        ("gateway", "gateway"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("4.example", "4.example"),
        ("a" * 63 + ".example", "a" * 63 + ".example"),
    ],
)
def test_a_host_name_is_the_definition_and_stays_one(given, name):
    found = defined({"address": given})
    assert found.document["remote"]["address"] == found.document["remote"]["id"] == name
    assert (places_of(found.document), names_of(found.document), addresses_of(found.document)) == ([name], [name], [])
    assert not list(changes(found, defined({"address": name}), frozenset()))
    assert parse_stored(found.stored()).document == found.document


@pytest.mark.parametrize(
    "given",
    [
        "203.0.113.900", "203.0.113", "-vpn.example.net", "vpn-.example.net", "vpn..example.net", ".example.net", "",
        "bücher.example", "vpn_1.example.net", "vpn.example.net/500", "a" * 64 + ".example", ".".join(["a" * 50] * 6),
        "vpn.example.net:500", "%any", "10.0.0.0/8",
    ],
)  # fmt: skip
def test_what_is_neither_an_address_nor_a_name_is_refused(given):
    named, told = problem({"address": given, "id": "there.example.net"})
    assert named == "remote.address" and told == "is neither an IP address nor a host name"


def test_our_own_address_is_no_name():
    with pytest.raises(Problems) as caught:
        defined({"address": FIRST}, local={"address": "here.example.net"})
    assert caught.value.field == "local.address"


def test_names_and_addresses_stand_beside_each_other():
    found = defined({"addresses": ["vpn.example.net", SECOND], "id": "there.example.net"})
    assert connection_of(found, Unknown(), {"c": 1}).remote_addresses == (SECOND,)


def test_a_peer_that_nobody_knows_the_address_of_is_let_in_from_nowhere():
    found = defined({"address": "vpn.example.net"})
    connection = connection_of(found, Unknown(), {"c": 1}, 0, ())
    assert connection.remote_addresses == () and not connection.answers
    assert connection_of(found, Unknown(), {"c": 1}, 0, (SECOND,)).answers


@pytest.mark.parametrize("child", [{"mode": "transport"}, {"mode": "transport", "remote": [FIRST]}])
def test_transport_mode_needs_the_address_itself(child):
    child = {"local": ["192.0.2.1"], "remote": None} | child
    assert problem({"address": "vpn.example.net"}, child=child)[0].startswith("children[0].")


def test_many_peers_are_not_looked_up():
    remote = {"id": "*.branch.example.net", "addresses": ["203.0.113.0/24", "branch.example.net"]}
    auth = {"method": "pubkey", "certificate": "/etc/c.pem", "key": "/etc/k.pem", "ca": ["/etc/ca.pem"]}
    assert problem(remote, auth=auth) == ("remote.addresses[1]", "is a host name, and many peers are not looked up")
