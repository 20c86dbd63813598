# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A peer by its host name: looked up beside the loop, whenever a tunnel is begun and when the peer has gone."""

from __future__ import annotations

import select
import socket
import threading

import pytest
from engine.kernel.events import AcquireEvent
from engine.manager import resolver
from engine.manager.listing import listing, look
from engine.manager.peer_names import PATIENCE, REFRESH
from engine.manager.resolver import SystemResolver, look_up
from engine.selector import parse_selector
from runtime_world import World, change, lan, outbound

NAME, FIRST, SECOND = "vpn.example.net", "10.0.0.2", "10.0.0.3"
BY_NAME = {"remote": {"address": NAME, "id": "right.example.net"}}
LIST = {"source": "database", "phase": "1+", "verbose": False}


@pytest.fixture
def named(two_ways: World) -> World:
    """The left end is going to know the right one by name."""
    return two_ways


def answered(world: World, seconds: float = 0.0) -> None:
    """The name service answers, and time passes."""
    for runtime in (world.left, world.right):
        runtime.tunnels.look_up()
    world.run(seconds)


def test_a_name_is_looked_up_and_used(named):
    named.names.known[NAME] = [FIRST]
    named.define(named.left, **BY_NAME)
    named.run()
    assert named.state(named.left) == "negotiating" and set(named.names.asked) == {NAME}
    answered(named, 1)
    assert named.state(named.left) == "active" and named.in_use(named.left) == FIRST


def test_all_addresses_of_a_name_are_tried_in_order(named):
    named.wire.at.pop(FIRST)
    named.names.known[NAME] = ["2001:db8::2", FIRST, SECOND]
    named.define(named.left, **BY_NAME)
    named.run()
    answered(named, 9)
    assert named.in_use(named.left) == SECOND, "and none of another family than local.address"


def test_a_name_that_is_none_is_a_reason_with_a_remedy_and_tried_again(named):
    named.define(named.left, **BY_NAME)
    named.run()
    answered(named)
    how = named.left.tunnels.condition("t")
    assert (how.state, how.reason, how.story) == ("down", "name_not_found", f"{NAME}: Name or service not known")
    assert f"getent ahosts {NAME}" in how.remedy
    named.names.known[NAME] = [FIRST]
    named.run(3)
    answered(named, 1)
    assert named.state(named.left) == "active" and named.left.tunnels.condition("t").reason == ""


def test_nothing_leaves_in_clear_while_a_name_is_not_known(named):
    named.define(named.left, **BY_NAME)
    named.run()
    answered(named)
    assert list(outbound(named.left).values()) == [0]
    named.names.known[NAME] = [FIRST]
    named.run(3)
    answered(named, 1)
    assert list(outbound(named.left).values()) not in ([], [0])


def test_a_name_service_that_hangs_is_told_and_holds_nothing_up(named):
    named.names.hangs = True
    named.define(named.left, **BY_NAME)
    named.run(PATIENCE - 1)
    assert named.state(named.left) == "negotiating"
    named.run(2)
    how = named.left.tunnels.condition("t")
    assert how.reason == "name_not_found" and "has not answered" in how.story


def test_what_is_known_goes_on_when_the_name_service_hangs(named):
    named.names.known[NAME] = [FIRST]
    named.define(named.left, **BY_NAME)
    named.run()
    answered(named, 1)
    named.names.hangs = True
    named.right.tunnels._act(named.right.endpoint.stop("t", named.now))
    named.run(2)
    assert named.state(named.left) != "active"
    named.run(PATIENCE + 1)
    assert named.state(named.left) == "active"


def test_addresses_beside_names_are_tried_when_a_name_is_none(named):
    both = {"addresses": [NAME, FIRST], "id": "right.example.net"}
    named.define(named.left, remote=both)
    named.run()
    answered(named, 1)
    assert named.state(named.left) == "active" and named.in_use(named.left) == FIRST


def test_a_peer_that_has_gone_is_looked_up_again(named):
    named.names.known[NAME] = [FIRST]
    named.define(named.left, **BY_NAME)
    named.run()
    answered(named, 1)
    named.names.known[NAME] = [SECOND]
    named.wire.at.pop(FIRST)
    named.run(95)
    answered(named, 5)
    answered(named, 5)
    assert named.state(named.left) == "active" and named.in_use(named.left) == SECOND


@pytest.mark.parametrize(("known", "state"), [([FIRST, SECOND], "active"), (["10.0.0.4"], "dormant")])
def test_a_peer_is_let_in_from_where_its_name_leads(named, known, state):
    named.names.known[NAME] = known
    named.define(named.left, "present", **BY_NAME, role="responder")
    named.run()
    answered(named)
    change(named.right, role="initiator", local={"address": SECOND, "id": "right.example.net"})
    named.right.tunnels.retry.want("t", named.now)
    named.run(2)
    assert named.state(named.left) == state


def test_a_peer_whose_name_nobody_knows_yet_is_let_in_from_nowhere(named):
    named.define(named.left, "present", **BY_NAME, role="responder")
    named.run()
    answered(named)
    change(named.right, role="initiator", local={"address": FIRST, "id": "right.example.net"})
    named.right.tunnels.retry.want("t", named.now)
    named.run(1)
    assert named.state(named.left) == "dormant"
    named.names.known[NAME] = [FIRST]
    named.run(REFRESH)
    answered(named, REFRESH)
    assert named.state(named.left) == "active", "it is looked up again, without anybody asking"


def test_a_packet_starts_a_trap_once_the_name_is_known(named):
    named.define(named.left, "present", **BY_NAME, child={"start": "trap"})
    named.run()
    answered(named)
    named.names.known[NAME] = [FIRST]
    (reqid,) = {reqid for reqid, _unused in named.left.host.gateway.policies.values()}
    packet = [parse_selector(text) for text in ("10.1.0.5", "10.2.0.7")]
    named.left.host.gateway.push(AcquireEvent(reqid, "10.0.0.1", "0.0.0.0", 50, *packet))
    named.left.kernel()
    assert named.state(named.left) == "dormant", "as long as it is looked up"
    answered(named, 1)
    assert named.state(named.left) == "active"


def test_what_waits_for_a_name_means_the_definition_of_then(named):
    named.names.hangs = True
    named.define(named.left, **BY_NAME)
    named.run()
    change(named.left, children=lan(named.left, name="other"))
    named.names.hangs, named.names.known[NAME] = False, [FIRST]
    named.run()
    answered(named, 1)
    assert list(named.left.tunnels.condition("t").up) == ["other"]


def test_a_tunnel_that_goes_waits_for_nothing(named):
    named.names.hangs = True
    named.define(named.left, **BY_NAME)
    named.run()
    named.left.end()
    named.names.hangs, named.names.known[NAME] = False, [FIRST]
    answered(named, 1)
    assert named.left.quiet and named.left.tunnels.names.of("t") == ()


def test_what_a_name_stands_for_is_listed(named):
    named.names.known[NAME] = [FIRST, SECOND]
    named.define(named.left, **BY_NAME)
    named.run()
    answered(named, 1)
    tunnels = named.left.tunnels
    (entry,) = listing(tunnels, [look(tunnels, tunnels.rows["t"])], {}, {}, LIST, named.now, named.left.traffic)
    assert entry["remote"] == {
        "address": NAME,
        "addresses": [NAME],
        "in_use": FIRST,
        "resolved": {NAME: [FIRST, SECOND]},
        "id": "right.example.net",
    }


# The name service of this host


def test_the_name_service_of_this_host_is_asked_beside_the_loop():
    asking = SystemResolver()
    asking.ask("localhost")
    assert _wait(asking) == [look_up("localhost")]
    assert "127.0.0.1" in look_up("localhost").addresses


def test_a_lookup_that_hangs_holds_up_nobody(monkeypatch):
    gate = threading.Event()
    monkeypatch.setattr(resolver.socket, "getaddrinfo", lambda name, *_rest, **_words: _slow(name, gate))
    asking = SystemResolver()
    for number in range(resolver.MOST + 2):
        asking.ask(f"slow{number}.example.net")
    asking.ask("slow0.example.net")
    assert asking.answers() == []
    gate.set()
    found: list[str] = []
    while len(found) < resolver.MOST + 2:
        found += [answer.name for answer in _wait(asking)]
    assert sorted(found) == sorted(f"slow{number}.example.net" for number in range(resolver.MOST + 2))


def test_threads_of_lookups_do_not_keep_the_process_from_ending(monkeypatch):
    gate = threading.Event()
    seen: list[bool] = []

    def notes(name, *_rest, **_words):
        seen.append(threading.current_thread().daemon)
        return _slow(name, gate)

    monkeypatch.setattr(resolver.socket, "getaddrinfo", notes)
    gate.set()
    asking = SystemResolver()
    asking.ask("vpn.example.net")
    _wait(asking)
    assert seen == [True]


@pytest.mark.parametrize(
    ("trouble", "problem"),
    [
        (socket.gaierror(-2, "Name or service not known"), "Name or service not known"),
        (UnicodeError("label too long"), "is no name that can be looked up"),
    ],
)
def test_what_the_name_service_says_is_told(monkeypatch, trouble, problem):
    def fails(*_rest, **_words):
        raise trouble

    monkeypatch.setattr(resolver.socket, "getaddrinfo", fails)
    assert look_up("vpn.example.net") == ("vpn.example.net", (), problem)


def test_what_is_no_address_of_a_host_is_left_out(monkeypatch):
    rows = [(socket.AF_INET, socket.SOCK_DGRAM, 17, "", (address, 0)) for address in ("0.0.0.0", "224.0.0.1")]
    monkeypatch.setattr(resolver.socket, "getaddrinfo", lambda *_rest, **_words: rows)
    assert look_up("blocked.example.net").problem == "it has no address of a host"


def _slow(name: str, gate: threading.Event) -> list[object]:
    gate.wait(30)
    return [(socket.AF_INET, socket.SOCK_DGRAM, 17, "", ("10.0.0.2", 0))]


def _wait(asking: SystemResolver) -> list[resolver.Answer]:
    assert select.select([asking], [], [], 30)[0]
    return asking.answers()
