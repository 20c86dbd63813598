# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Groups with an SA made by IKE in them: the next generation takes its place, and no packet leaves outside of them."""

from __future__ import annotations

import contextlib
import errno
import multiprocessing
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from functools import partial

import pytest
from children import install_outbound, point_policies
from engine.child_sa import ChildSa
from engine.classic.groups import perform, plan_group, read_listing
from engine.errors import EngineError, KernelError
from engine.kernel.client import Operation, XfrmClient, add_sa, create_policy
from engine.kernel.policies import kernel_selectors, policies, priority
from engine.kernel.values import AH, ESP, OUT, Template
from engine.said import Said
from engine.selector import parse_selector
from esp_site import ETH_ALL, ETH_IP, OUTGOING, Site, exchange, install, mirrored, spec_for
from group_site import headers, real_sa
from manager_site import Manager, ping
from namespaces import Namespace

pytestmark = pytest.mark.usefixtures("esp")


SO_RCVBUFFORCE = 33
AH_AWAY, AH_BACK = 0x1999, 0x1998  # from A to B, and from B to A
A, B = "192.0.2.1", "192.0.2.2"


def authenticate(space: Namespace) -> None:
    """Two AH SAs, one each way, that no policy demands."""
    with space.entered():
        client = XfrmClient()
        client.do(add_sa(real_sa("ah", AH_AWAY, A, B, "transport")))
        client.do(add_sa(real_sa("ah", AH_BACK, B, A, "transport")))
        client.close()


def group(space: Namespace, directory: str, *members: Said) -> None:
    with space.entered():
        assert perform(directory, partial(plan_group, members)).changed


def groups(space: Namespace, directory: str) -> set[tuple[Said, ...]]:
    with space.entered():
        return {found.sas for found in read_listing(directory) if len(found.sas) > 1}


def both_ways(spec: ChildSa) -> set[tuple[Said, ...]]:
    """The groups, ESP in AH, of a generation as gateway A has it."""
    return {
        (Said(ESP, spec.spi_out, B), Said(AH, AH_AWAY, B)),
        (Said(ESP, spec.spi_in, A), Said(AH, AH_BACK, A)),
    }


@pytest.fixture
def grouped(sites: tuple[Site, Site], tmp_path) -> tuple[Site, Site]:
    """The first generation of a tunnel, each way in a group with AH, at both gateways."""
    spec = spec_for(generation=1)
    install(sites, spec)
    for site, name in zip(sites, "ab", strict=True):
        authenticate(site.space)
        for members in both_ways(spec):
            group(site.space, str(tmp_path / name), *members)
    return sites


def chains_on_the_wire(sites: tuple[Site, Site]) -> set[tuple[tuple[int, int], ...]]:
    return {tuple(headers(packet)) for site in sites for _kind, packet in site.frames()}


def chains_of(*generations: int) -> set[tuple[tuple[int, int], ...]]:
    specs = [spec_for(generation=number) for number in generations]
    return {((AH, AH_AWAY), (ESP, spec.spi_out)) for spec in specs} | {
        ((AH, AH_BACK), (ESP, spec.spi_in)) for spec in specs
    }


def test_the_next_generation_takes_its_predecessors_place(grouped: tuple[Site, Site], tmp_path) -> None:
    a, b = grouped
    old, new = spec_for(generation=1), spec_for(generation=2)
    exchange(grouped)
    assert chains_on_the_wire(grouped) == chains_of(1)
    steps = (
        lambda: b.gateway.install_inbound(mirrored(new)),
        lambda: a.gateway.install_inbound(new),
        lambda: install_outbound(a.gateway, new),
        lambda: install_outbound(b.gateway, mirrored(new)),
        lambda: a.gateway.remove_sas(old),
        lambda: b.gateway.remove_sas(mirrored(old)),
    )
    for step in steps:
        step()
        exchange(grouped, 10)  # every packet arrives
    assert chains_on_the_wire(grouped) == chains_of(1, 2)
    exchange(grouped)
    assert chains_on_the_wire(grouped) == chains_of(2)
    for site, name in zip(grouped, "ab", strict=True):
        assert groups(site.space, str(tmp_path / name)) == both_ways(new)


def test_packets_between_any_two_messages_go_through_the_group(grouped: tuple[Site, Site]) -> None:
    """Another process sends without pause over ten generations; not one packet is lost or lacks its AH."""
    a, b = grouped
    context = multiprocessing.get_context("fork")
    stop, sent = context.Event(), context.Value("i", 0)
    process = context.Process(target=send_until, args=(a, stop, sent))
    process.start()
    found: list[bytes] = []
    frames: list[tuple[int, bytes]] = []
    for generation in range(2, 12):
        old, new = spec_for(generation=generation - 1), spec_for(generation=generation)
        for gateway, spec in ((b.gateway, mirrored(new)), (a.gateway, new)):
            gateway.install_inbound(spec)
        install_outbound(a.gateway, new)
        install_outbound(b.gateway, mirrored(new))
        time.sleep(0.01)
        a.gateway.remove_sas(old)
        b.gateway.remove_sas(mirrored(old))
        found += b.received()
        frames += a.frames()
    deadline = time.monotonic() + 20
    while sent.value <= 100 and time.monotonic() < deadline:
        time.sleep(0.01)
        found += b.received()
        frames += a.frames()
    stop.set()
    process.join(10)
    time.sleep(0.1)
    found += b.received()
    frames += a.frames()
    assert len(found) == sent.value > 100
    seen = [tuple(headers(packet)) for _kind, packet in frames]
    assert len(seen) == sent.value
    assert set(seen) <= chains_of(*range(1, 12)) and ((AH, AH_AWAY), (ESP, new.spi_out)) in seen


def send_until(site: Site, stop: object, sent: object) -> None:
    while not stop.is_set():
        site.send("10.2.0.1", b"clear text")
        sent.value += 1
        time.sleep(0.001)


def test_a_generation_that_loses_gives_the_place_back(grouped: tuple[Site, Site], tmp_path) -> None:
    """Two rekeys cross each other: what the third generation took returns to the second."""
    a, b = grouped
    one, two, three = (spec_for(generation=number) for number in (1, 2, 3))
    for spec in (two, three):
        a.gateway.install_inbound(spec)
        b.gateway.install_inbound(mirrored(spec))
        install_outbound(a.gateway, spec)
        install_outbound(b.gateway, mirrored(spec))
    assert groups(a.space, str(tmp_path / "a")) == both_ways(three)
    point_policies(a.gateway, two)
    point_policies(b.gateway, mirrored(two))
    for spec in (one, three):
        a.gateway.remove_sas(spec)
        b.gateway.remove_sas(mirrored(spec))
    grouped[0].frames(), grouped[1].frames()
    exchange(grouped)
    assert chains_on_the_wire(grouped) == chains_of(2)
    assert groups(a.space, str(tmp_path / "a")) == both_ways(two)


def test_a_generation_without_successor_ends_the_group_and_nothing_leaves(grouped: tuple[Site, Site], tmp_path) -> None:
    a, _b = grouped
    spec = spec_for(generation=1)
    a.gateway.remove_sas(spec)
    assert groups(a.space, str(tmp_path / "a")) == set()
    with pytest.raises(BlockingIOError):
        # Refused or held, as the kernel likes; but never with AH alone, nor in clear.
        a.send("10.2.0.1", b"clear text")
        raise BlockingIOError
    assert chains_on_the_wire(grouped) == set()


def test_a_member_that_is_gone_stays_demanded(grouped: tuple[Site, Site]) -> None:
    """AH was deleted behind our back: the rekey must not let packets leave with ESP alone."""
    a, b = grouped
    a.space.run(f"ip xfrm state delete src {A} dst {B} proto ah spi {AH_AWAY}")
    new = spec_for(generation=2)
    b.gateway.install_inbound(mirrored(new))
    a.gateway.install_inbound(new)
    install_outbound(a.gateway, new)
    out = [p for p in a.gateway._client.dump_policies() if p.direction == OUT and p.reqid == new.reqid]
    assert [[(t.protocol, t.spi) for t in p.templates] for p in out] == [[(ESP, new.spi_out), (AH, AH_AWAY)]]
    try:
        a.send("10.2.0.1", b"clear text")
    except OSError as exc:
        assert exc.errno in (errno.ESRCH, errno.EAGAIN)
    assert chains_on_the_wire(grouped) == set()


class Refusing(XfrmClient):
    """A kernel that takes SAs, but refuses policies."""

    def batch(self, operations: Sequence[Operation]) -> list[EngineError | None]:
        if any("set the policy" in each.what for each in operations):
            return [KernelError(each.what, errno.ENOMEM, "out of memory") for each in operations]
        return super().batch(operations)


def test_a_rekey_that_fails_leaves_the_group_with_the_old_generation(grouped: tuple[Site, Site], tmp_path) -> None:
    a, _b = grouped
    old, new = spec_for(generation=1), spec_for(generation=2)
    a.gateway.install_inbound(new)
    with a.space.entered():
        a.gateway._client = Refusing()
    with pytest.raises(KernelError, match="out of memory"):
        install_outbound(a.gateway, new)
    assert groups(a.space, str(tmp_path / "a")) == both_ways(old)
    exchange(grouped)
    assert chains_on_the_wire(grouped) == chains_of(1)


def test_an_sa_that_stands_further_out_is_followed_too(sites: tuple[Site, Site], tmp_path) -> None:
    """A tunnel keyed by hand inside of the child that IKE keeps: its policy learns each new SPI."""
    a, b = sites
    old, new = (
        spec_for(generation=number, local_selectors=(parse_selector(A),), remote_selectors=(parse_selector(B),))
        for number in (1, 2)
    )
    install(sites, old)
    for site, other, name in ((a, b, "a"), (b, a, "b")):
        mine = old if site is a else mirrored(old)
        with site.space.entered():
            client = XfrmClient()
            client.do(add_sa(real_sa("esp", 0x1111, A, B, "tunnel", True)))
            client.do(add_sa(real_sa("esp", 0x1112, B, A, "tunnel", True)))
            template = Template(mine.local_address, mine.remote_address, 0, ESP, "tunnel", 77)
            (selector,) = kernel_selectors((parse_selector(site.addresses[0]),), (parse_selector(other.addresses[0]),))
            for policy in policies(selector, priority(selector), template):
                client.do(create_policy(policy))
            client.close()
        group(site.space, str(tmp_path / name), Said(ESP, 0x1111, B), Said(ESP, old.spi_out, B))
        group(site.space, str(tmp_path / name), Said(ESP, 0x1112, A), Said(ESP, old.spi_in, A))
    exchange(sites)
    assert {chain[0] for chain in chains_on_the_wire(sites)} == {(ESP, old.spi_out), (ESP, old.spi_in)}
    a.gateway.install_inbound(new)
    b.gateway.install_inbound(mirrored(new))
    install_outbound(a.gateway, new)
    install_outbound(b.gateway, mirrored(new))
    a.gateway.remove_sas(old)
    b.gateway.remove_sas(mirrored(old))
    exchange(sites)
    assert {chain[0] for chain in chains_on_the_wire(sites)} == {(ESP, new.spi_out), (ESP, new.spi_in)}
    assert groups(a.space, str(tmp_path / "a")) == {
        (Said(ESP, 0x1111, B), Said(ESP, new.spi_out, B)),
        (Said(ESP, 0x1112, A), Said(ESP, new.spi_in, A)),
    }


@pytest.fixture
def ears(managers: tuple[Manager, Manager]) -> Iterator[list[socket.socket]]:
    """What leaves each gateway."""
    made = []
    for manager, device in zip(managers, ("v0", "v1"), strict=True):
        with manager.space.entered():
            made.append(socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_ALL)))
        made[-1].bind((device, ETH_ALL))
        made[-1].setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 23)
        made[-1].setblocking(False)
    yield made
    for sock in made:
        sock.close()


def on_the_wire(ears: list[socket.socket]) -> list[tuple[tuple[int, int], ...]]:
    """IPsec headers of each IPv4 packet that left, IKE left out."""
    found = []
    for ear in ears:
        with contextlib.suppress(BlockingIOError):
            while True:
                packet, (_device, kind, direction, *_rest) = ear.recvfrom(4000)
                if (kind, direction) == (ETH_IP, OUTGOING) and packet[9] != socket.IPPROTO_UDP:
                    found.append(tuple(headers(packet)))
    return found


def test_groups_outlive_the_rekey_of_two_managers(managers: tuple[Manager, Manager], ears: list[socket.socket]) -> None:
    """IKE rekeys a child after 270 packets: those before, between and after all show AH and ESP, and none is lost."""
    a, b = managers
    child = {"name": "lan", "local": ["10.1.0.0/24"], "remote": ["10.2.0.0/24"], "lifetime_packets": 300}
    b.apply("present")
    a.apply("active", children=[child])
    a.established()
    first = group_children(managers)
    on_the_wire(ears)
    with a.space.entered():
        command = ["ping", "-n", "-q", "-c", "400", "-i", "0.02", "-W", "2", "10.2.0.1"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "400 received" in done.stdout
    chains = on_the_wire(ears)
    (sa,) = a.sas()
    now = {int(sa["spi_in"], 16), int(sa["spi_out"], 16)}
    assert not now & first
    assert len(chains) == 800 and {tuple(protocol for protocol, _spi in chain) for chain in chains} == {(AH, ESP)}
    assert {chain[-1][1] for chain in chains} == first | now
    for manager in managers:
        listed = groups(manager.space, str(manager.folder))
        assert {members[0].spi for members in listed} == now and {members[1].protocol for members in listed} == {AH}
    a.apply("absent")
    assert groups(a.space, str(a.folder)) == set(), "SAs that nothing follows end their groups"


def test_groups_outlive_a_manager_that_is_killed(managers: tuple[Manager, Manager], ears: list[socket.socket]) -> None:
    """The next one goes on with the same SAs in the same groups."""
    a, b = managers
    b.apply("present")
    a.apply("active")
    a.established()
    spis = group_children(managers)
    a.end(signal.SIGKILL)
    a.start()
    a.established()
    on_the_wire(ears)
    assert ping(a.space, "10.2.0.1") == 3
    assert {tuple(protocol for protocol, _spi in chain) for chain in on_the_wire(ears)} == {(AH, ESP)}
    assert {members[0].spi for members in groups(a.space, str(a.folder))} == spis


def group_children(managers: tuple[Manager, Manager]) -> set[int]:
    """Put the child's SAs into groups with AH at both gateways; returns their SPIs."""
    for manager in managers:
        authenticate(manager.space)
        (sa,) = manager.sas()
        away, back = (sa["spi_out"], sa["spi_in"]) if manager.number == 1 else (sa["spi_in"], sa["spi_out"])
        group(manager.space, str(manager.folder), Said(ESP, int(away, 16), B), Said(AH, AH_AWAY, B))
        group(manager.space, str(manager.folder), Said(ESP, int(back, 16), A), Said(AH, AH_BACK, A))
    return {int(away, 16), int(back, 16)}
