# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Policies, SPI reservations, events and ownership on the machine's own kernel; ``ip xfrm`` judges the rows."""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import pytest
from children import delete_policies, hold_place
from engine.child_sa import ChildSa
from engine.crypto.registry import Kind, by_name
from engine.errors import EngineError, KernelError
from engine.kernel.bypass import bypass_policies
from engine.kernel.client import Operation, XfrmClient, create_policy, set_policy
from engine.kernel.events import AcquireEvent, ExpireEvent
from engine.kernel.features import probe
from engine.kernel.gateway import Gateway
from engine.kernel.policies import network_text, priority
from engine.kernel.registry import REQID_FIRST, Child, Registry
from engine.kernel.values import ESP, KernelSelector, Policy
from engine.selector import parse_selector
from namespaces import Namespace

REQID = REQID_FIRST + 7
SPEC = ChildSa(
    "hq-branch", "lan", 0, REQID, "192.0.2.1", "192.0.2.2", ESP, "tunnel", 0, 0,
    (parse_selector("10.1.0.0/24"),), (parse_selector("10.2.0.0/24"),), None, None, owner="tests",
)  # fmt: skip
FOREIGN = "ip xfrm policy add src 10.1.0.0/24 dst 10.2.0.0/24 dir out tmpl proto esp reqid 9 mode transport"


@pytest.fixture
def gateway(space: Namespace, tmp_path) -> Iterator[Gateway]:
    with space.entered():
        made = Gateway(Registry(str(tmp_path)))
    yield made
    made.close()


@pytest.fixture
def host(space: Namespace) -> Namespace:
    """The namespace with an address in 10.1.0.0/24 and a way out that leads nowhere."""
    space.run(
        "ip link add v0 type veth peer name v1; ip addr add 10.1.0.1/24 dev v0; ip link set v0 up;"
        "ip link set v1 up; ip route add default dev v0;"
        "ip neigh add 10.2.0.9 lladdr 02:00:00:00:00:09 dev v0"
    )
    return space


def send(space: Namespace, address: str = "10.2.0.9", port: int = 4321) -> None:
    with space.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.sendto(b"x", (address, port))


def test_trap_installs_the_triple_as_iproute2_reads_it(space: Namespace, gateway: Gateway) -> None:
    hold_place(gateway, SPEC)
    text = " ".join(space.run("ip xfrm policy").split())
    rank = priority(KernelSelector(4, b"", 24, b"", 24))
    for piece in (
        f"src 10.1.0.0/24 dst 10.2.0.0/24 dir out priority {rank} ptype main tmpl src 192.0.2.1 dst 192.0.2.2 "
        f"proto esp reqid {REQID} mode tunnel",
        f"src 10.2.0.0/24 dst 10.1.0.0/24 dir in priority {rank} ptype main tmpl src 192.0.2.2 dst 192.0.2.1 "
        f"proto esp reqid {REQID} mode tunnel",
        f"src 10.2.0.0/24 dst 10.1.0.0/24 dir fwd priority {rank} ptype main tmpl src 192.0.2.2 dst 192.0.2.1 "
        f"proto esp reqid {REQID} mode tunnel",
    ):
        assert piece in text
    assert text.count("dir ") == 3


def test_ports_and_protocol_as_iproute2_reads_them(space: Namespace, gateway: Gateway) -> None:
    hold_place(gateway, replace(SPEC, mode="transport", remote_selectors=(parse_selector("10.2.0.0/24[tcp/443]"),)))
    text = space.run("ip xfrm policy")
    assert "src 10.1.0.0/24 dst 10.2.0.0/24 proto tcp dport 443 \n" in text
    assert "src 10.2.0.0/24 dst 10.1.0.0/24 proto tcp sport 443 \n" in text
    assert "dir fwd" not in text


def test_icmp_type_keeps_its_place_in_both_directions(space: Namespace, gateway: Gateway) -> None:
    hold_place(gateway, replace(SPEC, local_selectors=(parse_selector("10.1.0.0/24[icmp/2048-2303]"),)))  # echo request
    text = space.run("ip xfrm policy")
    assert text.count("proto icmp type 8 ") == 3


def test_trapping_twice_changes_nothing(space: Namespace, gateway: Gateway) -> None:
    hold_place(gateway, SPEC)
    before = space.run("ip -s xfrm policy")
    hold_place(gateway, SPEC)
    assert space.run("ip -s xfrm policy") == before


def test_remove_policies_takes_ours_only(space: Namespace, gateway: Gateway) -> None:
    space.run("ip xfrm policy add src 10.1.0.0/24 dst 10.3.0.0/24 dir out action block")
    hold_place(gateway, SPEC)
    delete_policies(gateway, SPEC)
    delete_policies(gateway, SPEC)
    left = space.run("ip xfrm policy")
    assert "dst 10.3.0.0/24" in left and left.count("dir ") == 1


def test_a_foreign_policy_is_never_replaced_nor_removed(space: Namespace, gateway: Gateway) -> None:
    space.run(FOREIGN)
    before = space.run("ip -s xfrm policy")
    with pytest.raises(KernelError, match="another program has a policy") as caught:
        hold_place(gateway, SPEC)
    assert caught.value.errno == errno.EEXIST
    delete_policies(gateway, SPEC)
    assert space.run("ip -s xfrm policy") == before


def test_selectors_of_another_tunnel_of_ours_are_handed_over(space: Namespace, gateway: Gateway) -> None:
    hold_place(gateway, SPEC)
    rival = replace(SPEC, reqid=REQID + 1, tunnel="rival", remote_address="192.0.2.3")
    hold_place(gateway, rival)
    held = gateway._client.dump_policies()
    assert [policy.reqid for policy in held] == [rival.reqid] * 3
    assert {policy.templates[0].destination for policy in held if policy.direction == "out"} == {"192.0.2.3"}
    assert delete_policies(gateway, SPEC) == 3 and space.run("ip xfrm policy") == ""


WIDE = replace(
    SPEC, reqid=REQID + 1, tunnel="hub", child="all", remote_address="192.0.2.3",
    remote_selectors=(parse_selector("0.0.0.0/0"),),
)  # fmt: skip


def outbound(gateway: Gateway) -> dict[str, int]:
    """The request ID of each outbound policy by where its packets go, the first that the kernel tries first."""
    held = sorted(gateway._client.dump_outbound_policies(), key=lambda policy: policy.priority)
    return {network_text(p.selector.destination, p.selector.destination_prefix): p.reqid for p in held}


def test_a_part_of_a_wide_tunnel_stands_behind_a_narrow_one(space: Namespace, gateway: Gateway) -> None:
    halves = tuple(map(parse_selector, ("10.2.0.0/25", "10.2.0.128/25")))
    hold_place(gateway, WIDE)
    hold_place(gateway, replace(WIDE, remote_selectors=halves, defined=(WIDE.local_selectors, WIDE.remote_selectors)))
    hold_place(gateway, SPEC)
    assert list(outbound(gateway).values()) == [SPEC.reqid, WIDE.reqid, WIDE.reqid, WIDE.reqid]
    assert list(outbound(gateway))[-1] == "0.0.0.0/0"


class Refusing(XfrmClient):
    """Refuses one policy operation, the ``turn``-th; everything else is real."""

    turn = -1

    def batch(self, operations: Sequence[Operation]) -> list[EngineError | None]:
        outcomes: list[EngineError | None] = []
        for operation in operations:
            refused = self.turn == 0
            self.turn -= 1
            problem = KernelError(operation.what, errno.ENOBUFS, "no room")
            outcomes += [problem] if refused else super().batch([operation])
        return outcomes


@pytest.mark.parametrize("turn", range(6))
@pytest.mark.parametrize("start", ["empty", "trapped"])
def test_policies_that_fail_midway_are_rolled_back(space: Namespace, gateway: Gateway, turn: int, start: str) -> None:
    both = replace(SPEC, remote_selectors=(*SPEC.remote_selectors, parse_selector("10.5.0.0/16")))
    if start == "trapped":
        hold_place(gateway, both)
    before = listed(space)
    changed = replace(both, remote_address="192.0.2.77")
    with space.entered():
        gateway._client.close()
        gateway._client = Refusing()
    gateway._client.turn = turn
    with pytest.raises(KernelError, match="no room"):
        hold_place(gateway, changed)
    gateway._client.turn = -1
    assert listed(space) == before


def listed(space: Namespace) -> list[str]:
    """The policies in an order that replacing one does not change."""
    return sorted(("\n" + space.run("ip xfrm policy")).rstrip().split("\nsrc "))


def test_reserve_and_release(space: Namespace, gateway: Gateway) -> None:
    spi = gateway.reserve("192.0.2.1", "192.0.2.2", 50, "tunnel", REQID)
    text = space.run("ip xfrm state")
    assert f"spi 0x{spi:08x} reqid {REQID}" in text and "src 192.0.2.2 dst 192.0.2.1" in text
    assert 0xC0000000 <= spi <= 0xCFFFFFFF
    gateway.release("192.0.2.1", 50, spi)
    gateway.release("192.0.2.1", 50, spi)
    assert space.run("ip xfrm state") == ""


def test_reserve_ipv6(space: Namespace, gateway: Gateway) -> None:
    spi = gateway.reserve("2001:db8::1", "2001:db8::2", 50, "transport", REQID)
    assert f"spi 0x{spi:08x}" in space.run("ip xfrm state") and "dst 2001:db8::1" in space.run("ip xfrm state")


def test_foreign_reservations_stay(space: Namespace, gateway: Gateway) -> None:
    space.run("ip xfrm state allocspi src 192.0.2.2 dst 192.0.2.1 proto esp reqid 9 mode tunnel min 4096 max 4096")
    gateway.release("192.0.2.1", 50, 4096)
    gateway.remove_sas(replace(SPEC, spi_in=4096))
    assert "spi 0x00001000" in space.run("ip xfrm state")


def test_an_inbound_spi_of_another_is_refused(space: Namespace, gateway: Gateway) -> None:
    space.run("ip xfrm state allocspi src 192.0.2.2 dst 192.0.2.1 proto esp reqid 9 mode tunnel min 4096 max 4096")
    with pytest.raises(KernelError, match="another SA has this SPI"):
        gateway.install_inbound(replace(SPEC, spi_in=4096, encryption=by_name(Kind.ENCR, "aes256")))
    assert "reqid 9" in space.run("ip xfrm state")


def test_spis_used_up(space: Namespace, gateway: Gateway) -> None:
    # Out of several SPIs the kernel draws at random, as often as there are SPIs, and may miss a free one.
    arguments = ("192.0.2.2", "192.0.2.1", 50, "tunnel", REQID, 4096, 4096)
    assert gateway._client.reserve_spi(*arguments) == 4096
    with pytest.raises(KernelError) as caught:
        gateway._client.reserve_spi(*arguments)
    assert caught.value.errno == errno.ENOENT


def test_acquire_names_the_child_and_the_packet(host: Namespace, gateway: Gateway) -> None:
    hold_place(gateway, SPEC)
    send(host, port=4321)
    send(host, port=4322)
    (event,) = gateway.events()
    assert isinstance(event, AcquireEvent)
    assert (event.reqid, event.source, event.destination, event.protocol) == (REQID, "192.0.2.1", "192.0.2.2", 50)
    assert str(event.local).startswith("10.1.0.1/32[17/") and str(event.remote) == "10.2.0.9/32[17/4321]"
    assert gateway.events() == []


def test_foreign_acquires_are_not_ours(host: Namespace, gateway: Gateway) -> None:
    host.run("ip xfrm policy add src 10.1.0.0/24 dst 10.2.0.0/24 dir out "
             "tmpl src 192.0.2.1 dst 192.0.2.2 proto esp reqid 9 mode tunnel")  # fmt: skip
    send(host)
    assert "reqid 9" in host.run("ip xfrm state")
    assert gateway.events() == []


def test_expiry_of_a_reservation_is_told(space: Namespace, gateway: Gateway) -> None:
    space.run("echo 1 > /proc/sys/net/core/xfrm_acq_expires")
    spi = gateway.reserve("192.0.2.1", "192.0.2.2", 50, "tunnel", REQID)
    found = wait_for(gateway, lambda events: any(isinstance(event, ExpireEvent) for event in events))
    assert found == [ExpireEvent(REQID, "192.0.2.1", 50, spi, True)]


def wait_for(gateway: Gateway, enough: Callable[[list], bool], seconds: float = 5) -> list:
    found: list = []
    end = time.monotonic() + seconds
    while not enough(found) and time.monotonic() < end:
        found += gateway.events()
        time.sleep(0.02)
    return found


def test_an_acquire_storm_is_survived(host: Namespace, gateway: Gateway) -> None:
    host.run("echo 1 > /proc/sys/net/core/xfrm_acq_expires")
    gateway._events._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    for number in range(100):
        remote = (parse_selector(f"10.2.0.{number}"),)
        hold_place(gateway, replace(SPEC, reqid=REQID_FIRST + number, child=str(number), remote_selectors=remote))
        send(host, f"10.2.0.{number}")
    seen = {event.reqid for event in gateway.events() if isinstance(event, AcquireEvent)}
    assert 0 < len(seen) < 100 and gateway._events.lost > 0
    time.sleep(1.2)  # till the kernel gives up on the acquires that nobody heard
    gateway.events()
    send(host, "10.2.0.99")
    assert REQID_FIRST + 99 in {event.reqid for event in gateway.events() if isinstance(event, AcquireEvent)}


@pytest.mark.parametrize("first", ["wide", "narrow"])
def test_the_most_specific_selector_wins_whatever_the_order(host: Namespace, gateway: Gateway, first: str) -> None:
    def policy(prefix: int, action: str) -> Policy:
        mask = (0xFFFFFFFF << (32 - prefix)) & 0xFFFFFFFF
        remote = (mask & 0x0A020009).to_bytes(4, "big")
        selector = KernelSelector(4, bytes([10, 1, 0, 0]), 24, remote, prefix)
        return Policy(selector, "out", priority(selector), action)

    wide, narrow = policy(24, "block"), policy(32, "allow")
    for each in (wide, narrow) if first == "wide" else (narrow, wide):
        gateway._client.do(set_policy(each))
    send(host, "10.2.0.9")
    with pytest.raises(PermissionError):
        send(host, "10.2.0.8")


def test_ports_win_among_equal_prefixes_only(host: Namespace, gateway: Gateway) -> None:
    def policy(prefix: int, action: str, *transport: int) -> Policy:
        selector = KernelSelector(4, bytes([10, 1, 0, 0]), 24, bytes([10, 2, 0, 0]), prefix, *transport)
        return Policy(selector, "out", priority(selector), action)

    gateway._client.do(set_policy(policy(23, "allow", 17, 0, 0, 99, 0xFFFF)))
    gateway._client.do(set_policy(policy(24, "block")))
    with pytest.raises(PermissionError):
        send(host, port=99)
    gateway._client.do(set_policy(policy(24, "allow", 17, 0, 0, 99, 0xFFFF)))
    send(host, port=99)
    with pytest.raises(PermissionError):
        send(host, port=98)


def test_ike_passes_by_policies(host: Namespace, gateway: Gateway) -> None:
    host.run("ip xfrm policy add src 0.0.0.0/0 dst 0.0.0.0/0 dir out action block")
    with host.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        with pytest.raises(PermissionError):
            sock.sendto(b"x", ("10.2.0.9", 500))
        bypass_policies(sock)
        sock.sendto(b"x", ("10.2.0.9", 500))
    with host.entered(), socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        bypass_policies(sock)
        assert gateway._client.dump_policies()[0].action == "block"
        assert len(gateway._client.dump_policies()) == 1  # those of sockets are not listed


def test_cleanup_takes_what_the_registry_knows_and_nobody_keeps(space: Namespace, gateway: Gateway) -> None:
    space.run(FOREIGN.replace("10.2.", "10.4."))
    space.run("ip xfrm state allocspi src 192.0.2.2 dst 192.0.2.1 proto esp reqid 9 mode tunnel min 4096 max 4096")
    hold_place(gateway, SPEC)
    gateway.reserve("192.0.2.1", "192.0.2.2", 50, "tunnel", REQID)
    kept = replace(SPEC, reqid=REQID + 1, tunnel="kept", remote_selectors=(parse_selector("10.6.0.0/24"),))
    hold_place(gateway, kept)
    unknown = replace(SPEC, reqid=REQID + 2, tunnel="x", remote_selectors=(parse_selector("10.7.0.0/24"),))
    assert not any(gateway._client.batch([create_policy(policy) for policy in gateway.policies_of(unknown)]))
    assert gateway.cleanup(frozenset({REQID + 1})) == (1, 3)
    left = space.run("ip xfrm policy")
    assert [left.count(f"10.{n}.0.0/24 ") for n in (2, 4, 6, 7)] == [0, 1, 3, 3]
    assert "spi 0x00001000" in space.run("ip xfrm state")


def test_cleanup_after_a_restart(space: Namespace, gateway: Gateway, tmp_path) -> None:
    hold_place(gateway, SPEC)
    with space.entered():
        later = Gateway(Registry(str(tmp_path)))
    assert later.cleanup() == (0, 3)
    assert space.run("ip xfrm policy") == ""
    later.close()


def test_dump_of_ten_thousand(space: Namespace, gateway: Gateway) -> None:
    operations = []
    for number in range(10_000):
        selector = KernelSelector(4, bytes([10, 1, 0, 0]), 24, (0x0B000000 + number * 256).to_bytes(4, "big"), 24)
        operations.append(set_policy(Policy(selector, "out", priority(selector))))
    assert not any(gateway._client.batch(operations))
    begin = time.perf_counter()
    found = gateway._client.dump_policies()
    assert time.perf_counter() - begin < 2
    assert len({policy.selector for policy in found}) == 10_000


def test_policies_are_found_in_one_go_each_in_its_place(space: Namespace, gateway: Gateway) -> None:
    places = [
        (KernelSelector(4, bytes([10, 1, 0, 0]), 24, (0x0B000000 + number * 256).to_bytes(4, "big"), 24), "out", 0)
        for number in range(200)
    ]
    even = [set_policy(Policy(place[0], "out", 7 + number)) for number, place in enumerate(places) if number % 2 == 0]
    assert not any(gateway._client.batch(even))
    found = gateway._client.get_policies(places)
    assert [policy and policy.priority for policy in found] == [n + 7 if n % 2 == 0 else None for n in range(200)]
    assert all(policy is None or policy.selector == place[0] for policy, place in zip(found, places, strict=True))


def test_what_goes_out_is_listed_alone(space: Namespace, gateway: Gateway) -> None:
    hold_place(gateway, SPEC)
    every, outbound = gateway._client.dump_policies(), gateway._client.dump_outbound_policies()
    assert len(every) == 3
    assert outbound == [policy for policy in every if policy.direction == "out"]


def test_probe_leaves_nothing(space: Namespace, gateway: Gateway) -> None:
    features = probe(gateway._client)
    assert [feature.name for feature in features][:2] == ["ESP for IPv4", "ESP for IPv6"]
    assert all(feature.available or ("modprobe" in feature.remedy and feature.problem) for feature in features)
    assert space.run("ip xfrm state") == ""


def test_registry_names_survive(tmp_path) -> None:
    registry = Registry(str(tmp_path))
    reqid = registry.allocate("tests", "a", "lan")
    assert registry.allocate("tests", "a", "lan") == reqid != registry.allocate("tests", "a", "dmz")
    again = Registry(str(tmp_path))
    assert again.names(reqid) == Child("tests", "a", "lan") and again.allocate("tests", "a", "lan") == reqid
    assert (tmp_path / "kernel.sqlite").stat().st_mode & 0o777 == 0o600
