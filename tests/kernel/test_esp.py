# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real ESP between two gateways in namespaces; needs a kernel that has it (test_in_guest.py brings one)."""

from __future__ import annotations

import errno
import os
import re
import socket
import struct
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from children import delete_policies, hold_place, install_outbound
from engine.child_sa import Limits
from engine.errors import EngineError, KernelError
from engine.kernel.bypass import bypass_policies, decapsulate_esp
from engine.kernel.events import AcquireEvent, ExpireEvent, MappingEvent
from engine.kernel.features import probe
from engine.kernel.gateway import Gateway
from engine.kernel.registry import Registry
from engine.secret import Secret
from engine.selector import parse_selector
from esp_site import ETH_IP, REQID, SUITES, Site, exchange, install, mirrored, spec_for
from namespaces import Namespace

pytestmark = pytest.mark.usefixtures("esp")


def spis_on_the_wire(sites: tuple[Site, Site]) -> set[int]:
    """SPIs of the ESP packets that left either gateway; anything else but ESP fails the test."""
    found = set()
    for kind, packet in sites[0].frames() + sites[1].frames():
        protocol, payload = (packet[9], packet[20:]) if kind == ETH_IP else (packet[6], packet[40:])
        assert b"clear text" not in packet
        if protocol == 17 and struct.unpack_from(">HH", payload)[1] == 4500:
            protocol, payload = 50, payload[8:]
        assert protocol == 50, f"IP protocol {protocol} left in clear"
        found.add(int.from_bytes(payload[:4], "big"))
    return found


@pytest.mark.parametrize(
    ("suite", "esn", "window"),
    [(suite, esn, 128) for suite in SUITES for esn in (False, True)]
    + [("aes256gcm", esn, window) for esn in (False, True) for window in (32, 4096)],
)
def test_tunnel(sites: tuple[Site, Site], suite: str, esn: bool, window: int) -> None:
    spec = spec_for(suite, esn=esn, replay_window=window)
    install(sites, spec)
    exchange(sites)
    assert spis_on_the_wire(sites) == {spec.spi_in, spec.spi_out}
    text = sites[0].space.run("ip xfrm state")
    assert f"replay_window {window}," in text or f"replay-window {window} " in text
    assert bool(re.search(r"flag .*\besn\b", text)) == esn
    inbound, outbound = sites[0].gateway.usage(spec)
    assert (inbound.packets, outbound.packets) == (5, 5) and inbound.use_time and not inbound.integrity_failed


def test_what_is_on_the_wire_is_the_negotiated_cipher(sites: tuple[Site, Site]) -> None:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    spec = spec_for("aes256gcm")
    install(sites, spec)
    sites[0].send("10.2.0.1", b"clear text of a test")
    ((_kind, packet),) = sites[0].frames()
    head, vector, sealed = packet[20:28], packet[28:36], packet[36:]
    key = spec.encryption_out.reveal()
    plain = AESGCM(key[:32]).decrypt(key[32:] + vector, sealed, head)
    assert plain[12:20] == bytes([10, 1, 0, 1, 10, 2, 0, 1]) and b"clear text of a test" in plain and plain[-1] == 4


@pytest.mark.parametrize(("inner", "outer"), [(4, 6), (6, 4), (6, 6)])
def test_families(sites: tuple[Site, Site], inner: int, outer: int) -> None:
    spec = spec_for()
    if outer == 6:
        spec = replace(spec, local_address="2001:db8::1", remote_address="2001:db8::2")
    if inner == 6:
        spec = replace(
            spec, local_selectors=(parse_selector("fd00:1::/64"),), remote_selectors=(parse_selector("fd00:2::/64"),)
        )
    install(sites, spec)
    exchange(sites, version=inner)
    assert spis_on_the_wire(sites) == {spec.spi_in, spec.spi_out}


def test_both_families_in_one_tunnel(sites: tuple[Site, Site]) -> None:
    spec = spec_for()
    spec = replace(
        spec,
        local_selectors=(*spec.local_selectors, parse_selector("fd00:1::/64")),
        remote_selectors=(*spec.remote_selectors, parse_selector("fd00:2::/64")),
    )
    install(sites, spec)
    exchange(sites, version=4)
    exchange(sites, version=6)
    assert spis_on_the_wire(sites) == {spec.spi_in, spec.spi_out}


@pytest.mark.parametrize("suite", ["aes256gcm", "aes256-sha256"])
def test_transport_mode(sites: tuple[Site, Site], suite: str) -> None:
    spec = spec_for(
        suite, mode="transport",
        local_selectors=(parse_selector("192.0.2.1"),), remote_selectors=(parse_selector("192.0.2.2"),),
    )  # fmt: skip
    install(sites, spec)
    assert "1 received" in sites[0].space.run("ping -c1 -W2 192.0.2.2")
    assert spis_on_the_wire(sites) == {spec.spi_in, spec.spi_out}
    assert "dir fwd" not in sites[0].space.run("ip xfrm policy")


def test_null_encryption_and_ah(sites: tuple[Site, Site]) -> None:
    spec = replace(spec_for("aes256-sha256"), protocol=51, encryption=None)
    install(sites, spec)
    exchange(sites)
    assert {packet[9] for _kind, packet in sites[0].frames()} == {51}


@pytest.fixture
def natt(sites: tuple[Site, Site]) -> Iterator[list[socket.socket]]:
    opened = []
    for site, address in zip(sites, ("192.0.2.1", "192.0.2.2"), strict=True):
        with site.space.entered():
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind((address, 4500))
        bypass_policies(sock)
        decapsulate_esp(sock)
        opened.append(sock)
    yield opened
    for sock in opened:
        sock.close()


def test_esp_in_udp(sites: tuple[Site, Site], natt: list[socket.socket]) -> None:
    spec = spec_for(encapsulation=(4500, 4500))
    install(sites, spec)
    exchange(sites)
    assert {packet[9] for _kind, packet in sites[0].frames()} == {17}
    assert "encap type espinudp sport 4500 dport 4500" in sites[0].space.run("ip xfrm state")
    natt[0].sendto(bytes(4) + b"IKE", ("192.0.2.2", 4500))
    natt[1].settimeout(2)
    assert natt[1].recv(100) == bytes(4) + b"IKE"


def test_a_moved_nat_mapping_is_told(sites: tuple[Site, Site], natt: list[socket.socket]) -> None:
    spec = spec_for(encapsulation=(4500, 4500))
    install(sites, spec)
    b = sites[1]
    moved = replace(mirrored(spec), encapsulation=(4999, 4500), spi_in=0)
    b.gateway.remove_sas(moved)
    install_outbound(b.gateway, moved)
    b.send("10.1.0.1", b"clear text")
    time.sleep(0.05)
    assert sites[0].gateway.events() == [MappingEvent(REQID, spec.spi_in, "192.0.2.2", 4999)]


def test_rekey_loses_nothing_and_shows_nothing(sites: tuple[Site, Site]) -> None:
    a, b = sites
    old, new = spec_for(generation=1), spec_for("chacha20poly1305", generation=2)
    install(sites, old)
    exchange(sites)
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
        exchange(sites, 20)
    used = spis_on_the_wire(sites)
    assert used == {old.spi_in, old.spi_out, new.spi_in, new.spi_out}
    exchange(sites)
    assert spis_on_the_wire(sites) == {new.spi_in, new.spi_out}
    assert a.gateway.usage(old) == (None, None)
    assert a.gateway.usage(new)[1].packets > 60


def test_rekey_without_pause(sites: tuple[Site, Site]) -> None:
    """Packets leave between any two netlink messages: not one is lost over twenty generations."""
    a, b = sites
    install(sites, spec_for(generation=1))
    sent = 0
    found: list[bytes] = []

    def burst() -> None:
        nonlocal sent
        for _unused in range(5):
            a.send("10.2.0.1", b"clear text %d" % sent)
            sent += 1

    for generation in range(2, 22):
        old, new = spec_for(generation=generation - 1), spec_for(generation=generation)
        burst()
        install(sites, new)
        burst()
        a.gateway.remove_sas(old)
        burst()
        b.gateway.remove_sas(mirrored(old))
        time.sleep(0.02)
        found += b.received()
    assert found == [b"clear text %d" % number for number in range(sent)]


def test_nothing_leaves_in_clear_when_the_sas_go(sites: tuple[Site, Site]) -> None:
    a, _b = sites
    spec = spec_for()
    install(sites, spec)
    exchange(sites)
    assert spis_on_the_wire(sites) == {spec.spi_in, spec.spi_out}
    a.gateway.remove_sas(spec)
    hold_place(a.gateway, spec)
    a.send("10.2.0.1", b"clear text")
    time.sleep(0.05)
    assert a.frames() == []
    (event,) = a.gateway.events()
    assert isinstance(event, AcquireEvent) and event.reqid == REQID
    renewed = spec_for(generation=2)
    install(sites, renewed)
    exchange(sites)
    assert spis_on_the_wire(sites) == {renewed.spi_in, renewed.spi_out}


def test_clear_packets_are_not_let_in(sites: tuple[Site, Site]) -> None:
    a, b = sites
    hold_place(b.gateway, mirrored(spec_for()))
    a.send("10.2.0.1", b"clear text")
    time.sleep(0.05)
    assert b.received() == []
    delete_policies(b.gateway, mirrored(spec_for()))
    a.send("10.2.0.1", b"clear text")
    time.sleep(0.05)
    assert b.received() == [b"clear text"]


def test_reserved_spi_becomes_the_sa(sites: tuple[Site, Site]) -> None:
    a, b = sites
    spi = a.gateway.reserve("192.0.2.1", "192.0.2.2", 50, "tunnel", REQID)
    spec = replace(spec_for(), spi_in=spi)
    install(sites, spec)
    exchange(sites)
    a.gateway.release("192.0.2.1", 50, spi)  # a live SA is not a reservation
    exchange(sites)
    assert a.space.run("ip xfrm state").count("proto esp") == 2
    assert set(a.gateway.usage_all()) == {("192.0.2.1", 50, spi), ("192.0.2.2", 50, spec.spi_out)}
    assert b.gateway.usage(mirrored(spec))[0].packets == 10


def test_an_spi_that_the_peer_gave_twice(sites: tuple[Site, Site]) -> None:
    a, _b = sites
    spec = spec_for()
    install(sites, spec)
    twin = replace(
        spec, reqid=REQID + 1, child="twin", spi_in=0xC0000009, remote_selectors=(parse_selector("10.9.0.0/24"),)
    )
    a.gateway.install_inbound(twin)
    before = a.space.run("ip xfrm policy")
    with pytest.raises(KernelError) as caught:
        install_outbound(a.gateway, twin)
    assert caught.value.errno == errno.EEXIST
    assert a.space.run("ip xfrm policy") == before and "c0000009" not in a.space.run("ip xfrm state")
    exchange(sites)


def test_a_foreign_policy_in_the_way_undoes_the_sas(sites: tuple[Site, Site]) -> None:
    a, _b = sites
    a.space.run("ip xfrm policy add src 10.1.0.0/24 dst 10.2.0.0/24 dir out action block")
    before = a.space.run("ip xfrm policy")
    a.gateway.install_inbound(spec_for())
    with pytest.raises(KernelError, match="another program has a policy"):
        install_outbound(a.gateway, spec_for())
    assert a.space.run("ip xfrm policy") == before and a.space.run("ip xfrm state") == ""


def test_a_failed_rekey_leaves_the_old_generation_at_work(sites: tuple[Site, Site]) -> None:
    a, _b = sites
    install(sites, spec_for())
    bad = replace(spec_for(generation=2), encryption_out=Secret(b"short"))
    a.gateway.install_inbound(bad)
    with pytest.raises(KernelError) as caught:
        install_outbound(a.gateway, bad)
    assert "short" not in str(caught.value) + repr(caught.value.__dict__) + repr(bad)
    exchange(sites)
    assert f"{bad.spi_in:x}" not in a.space.run("ip xfrm state")


def test_a_bad_inbound_leaves_nothing(sites: tuple[Site, Site]) -> None:
    gateway = sites[0].gateway
    spi = gateway.reserve("192.0.2.1", "192.0.2.2", 50, "tunnel", REQID)
    with pytest.raises(KernelError, match="cryptographic|key"):
        gateway.install_inbound(replace(spec_for(), spi_in=spi, encryption_in=Secret(b"short")))
    assert sites[0].space.run("ip xfrm state") == ""


def test_esn_without_a_window_is_refused(sites: tuple[Site, Site]) -> None:
    with pytest.raises(KernelError, match="ESN needs a replay window"):
        sites[0].gateway.install_inbound(spec_for(esn=True, replay_window=0))
    assert sites[0].space.run("ip xfrm state") == ""


def test_an_unknown_algorithm_names_itself(sites: tuple[Site, Site]) -> None:
    unknown = replace(spec_for().encryption, kernel="rfc4106(gcm(rot13))")
    with pytest.raises(EngineError, match="not found|unknown|No such"):
        sites[0].gateway.install_inbound(spec_for(encryption=unknown))
    assert sites[0].space.run("ip xfrm state") == ""


def test_limits(sites: tuple[Site, Site]) -> None:
    a, _b = sites
    spec = spec_for(lifetime=Limits(soft_packets=2, hard_packets=4))
    install(sites, spec)
    for _unused in range(3):
        a.send("10.2.0.1", b"clear text")
    assert a.gateway.events() == [ExpireEvent(REQID, "192.0.2.2", 50, spec.spi_out, False)]
    for _unused in range(3):
        try:
            a.send("10.2.0.1", b"clear text")
        except OSError:
            break  # the packet that hits the hard limit is refused
    assert ExpireEvent(REQID, "192.0.2.2", 50, spec.spi_out, True) in a.gateway.events()
    assert a.gateway.usage(spec)[1] is None
    a.gateway.remove_sas(spec)
    assert not [sa for sa in a.gateway._client.dump_sas() if not sa.larval]


def test_limit_in_seconds(sites: tuple[Site, Site]) -> None:
    # A guest that is late for the first finds both over, and tells of the last one alone.
    spec = spec_for(lifetime=Limits(soft_seconds=1, hard_seconds=4))
    sites[0].gateway.install_inbound(spec)
    time.sleep(4.6)
    assert sites[0].gateway.events() == [
        ExpireEvent(REQID, "192.0.2.1", 50, spec.spi_in, False),
        ExpireEvent(REQID, "192.0.2.1", 50, spec.spi_in, True),
    ]


def test_replays_are_counted(sites: tuple[Site, Site]) -> None:
    a, b = sites
    spec = spec_for()
    install(sites, spec)
    a.send("10.2.0.1", b"clear text")
    ((_kind, packet),) = a.frames()
    with a.space.entered(), socket.socket(socket.AF_INET, socket.SOCK_RAW, 50) as raw:
        raw.setsockopt(socket.IPPROTO_IP, socket.IP_HDRINCL, 1)
        bypass_policies(raw)
        raw.sendto(packet, ("192.0.2.2", 0))
        raw.sendto(packet[:-1] + bytes([packet[-1] ^ 1]), ("192.0.2.2", 0))
        forged = bytearray(packet)
        forged[24:28] = (99).to_bytes(4, "big")
        raw.sendto(bytes(forged), ("192.0.2.2", 0))
    time.sleep(0.05)
    inbound, _outbound = b.gateway.usage(mirrored(spec))
    assert b.received() == [b"clear text"]
    assert (inbound.replayed, inbound.integrity_failed) == (2, 1)


def test_cleanup_takes_ours_only(sites: tuple[Site, Site]) -> None:
    a, _b = sites
    a.space.run(
        "ip xfrm state add src 192.0.2.1 dst 192.0.2.9 proto esp spi 0x1234 reqid 9 mode tunnel"
        " aead 'rfc4106(gcm(aes))' 0x" + "ab" * 20 + " 128;"
        "ip xfrm policy add src 10.1.0.0/24 dst 10.77.0.0/24 dir out"
        " tmpl src 192.0.2.1 dst 192.0.2.9 proto esp reqid 9 mode tunnel"
    )
    before = a.space.run("ip xfrm state; ip xfrm policy")
    install(sites, spec_for())
    assert a.gateway.cleanup() == (2, 3)
    assert a.space.run("ip xfrm state; ip xfrm policy") == before


def test_probe_finds_all_and_leaves_nothing(sites: tuple[Site, Site]) -> None:
    client = sites[0].gateway._client
    assert all(feature.available for feature in probe(client))
    assert client.dump_sas() == []


def test_dumps_show_no_keys(sites: tuple[Site, Site]) -> None:
    spec = spec_for("aes256-sha256")
    install(sites, spec)
    client = sites[0].gateway._client
    text = repr(client.dump_sas()) + repr(spec)
    for secret in (spec.encryption_out, spec.integrity_in):
        assert secret.reveal().hex() not in text and repr(secret.reveal())[2:-1] not in text
    assert client.get_sa("192.0.2.2", spec.spi_out, 50).algorithms == ("cbc(aes)", "hmac(sha256)")


def test_needs_permission(space: Namespace, tmp_path) -> None:
    with space.entered():
        gateway = Gateway(Registry(str(tmp_path)))
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.setuid(65534)
            hold_place(gateway, spec_for())
        except EngineError as exc:
            code = 0 if "run as root" in str(exc) else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    gateway.close()
