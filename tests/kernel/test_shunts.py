# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shunts, with packets: a host, the gateway that forwards for it, and a host beyond, in namespaces."""

from __future__ import annotations

import errno
import os
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable

import pytest
from engine.classic import shunt_rules, shunts
from engine.classic.shunt import number_of
from engine.classic.views import read_tables
from engine.errors import InputError, KernelError, MissingError, RefusedError
from engine.kernel import nftables
from engine.kernel.client import XfrmClient
from engine.kernel.events import AcquireEvent
from engine.kernel.gateway import Gateway
from engine.kernel.neighbours import let_neighbours_pass
from engine.kernel.registry import REQID_FIRST, Child, Registry
from namespaces import Namespace
from shunt_host import MODULE_UTILS, Host, XfrmEventsIn, ipsec, send, wish

# What packets may meet beside ours, and must still be there afterwards.
FOREIGN_RULES = "table inet other { chain c { type filter hook forward priority 0; counter accept; }; }"


@pytest.fixture
def rules(space: Namespace) -> None:
    """Skips where this kernel cannot take the rules."""
    with space.entered():
        try:
            shunt_rules.require()
        except MissingError as exc:
            pytest.skip(str(exc))


def errors_of(space: Namespace, family: int, work: Callable[[], object]) -> list[tuple[int, int]]:
    """(type, code) of the ICMP errors that reach a host while ``work`` is done."""
    protocol = socket.IPPROTO_ICMP if family == 4 else socket.IPPROTO_ICMPV6
    kind = socket.AF_INET if family == 4 else socket.AF_INET6
    found = []
    with space.entered(), socket.socket(kind, socket.SOCK_RAW, protocol) as sock:
        work()
        sock.settimeout(0.5)
        while True:
            try:
                data = sock.recv(2048)
            except TimeoutError:
                return [each for each in found if each[0] == (3 if family == 4 else 1)]
            head = (data[0] & 15) * 4 if family == 4 else 0
            found.append(struct.unpack_from("BB", data, head))


# %drop


def test_drop_refuses_local_programs_and_swallows_what_is_forwarded(site: Host) -> None:
    assert "1 received" in site.ping("10.2.0.10")
    site.present(wish("10.1.0.0/24", "10.2.0.0/24", "%drop"))
    before = site.blocked()
    with site.gateway.entered(), pytest.raises(PermissionError) as caught:
        send("10.2.0.10", source="10.1.0.1")
    assert caught.value.errno == errno.EPERM and site.blocked() == before + 1
    assert errors_of(site.near, 4, lambda: send("10.2.0.10")) == []
    assert "0 received" in site.ping("10.2.0.10") and site.blocked() == before + 3
    # The other way, and everything else, is not concerned.
    assert "1 received" in site.ping("10.2.0.10", space=site.gateway)
    assert [line.split(" ", 1)[1] for line in site.lines()] == ["10.1.0.0/24 -> 10.2.0.0/24 => %drop"]
    site.absent(wish("10.1.0.0/24", "10.2.0.0/24", "%drop"))
    assert "1 received" in site.ping("10.2.0.10") and site.lines() == []


def test_drop_of_what_arrives(site: Host) -> None:
    site.present(wish("10.2.0.0/24", "10.1.0.0/24", "%drop", direction="in"))
    assert "0 received" in site.ping("10.2.0.10")  # the answer is dropped
    assert site.blocked() == 0 and site.lines() == []  # no eroute: these are outgoing ones
    site.present(purge=True)
    assert "1 received" in site.ping("10.2.0.10")


def test_drop_everything_lets_neighbours_find_each_other(site: Host) -> None:
    site.reach("fd00:2::10")
    with site.gateway.entered():
        let_neighbours_pass(XfrmClient())
    site.present(wish("::/0", "::/0", "%drop"))
    site.near.run("ip -6 neigh flush all")
    site.gateway.run("ip -6 neigh flush all")
    before = site.blocked()
    assert "0 received" in site.ping("fd00:2::10")
    assert site.blocked() > before  # the packet itself came as far as the policy
    assert "REACHABLE" in site.near.run("ip -6 neigh show fd00:1::1")


# %pass


def tunnel_over_everything(site: Host) -> None:
    """Policies as of a tunnel that is down: nothing gets through, and nothing in clear gets in."""
    template = "tmpl src 10.2.0.1 dst 10.2.0.10 proto esp reqid 77 mode tunnel"
    back = "tmpl src 10.2.0.10 dst 10.2.0.1 proto esp reqid 77 mode tunnel"
    site.gateway.run(
        f"ip xfrm policy add src 10.1.0.0/16 dst 10.2.0.0/16 dir out priority 70000 {template};"
        f"ip xfrm policy add src 10.2.0.0/16 dst 10.1.0.0/16 dir in priority 70000 {back};"
        f"ip xfrm policy add src 10.2.0.0/16 dst 10.1.0.0/16 dir fwd priority 70000 {back}"
    )


def test_pass_goes_by_the_tunnel_and_its_answer_comes_back(site: Host) -> None:
    tunnel_over_everything(site)
    assert "0 received" in site.ping("10.2.0.10")
    site.present(wish("10.1.0.10", "10.2.0.10", "%pass"))
    assert "1 received" in site.ping("10.2.0.10")
    (line, tunnel) = site.lines()
    assert line.endswith("10.1.0.10/32 -> 10.2.0.10/32 => %pass") and tunnel.endswith("=> %trap")
    site.present(wish("10.1.0.10", "10.2.0.10", "%pass", direction="out"))
    assert "0 received" in site.ping("10.2.0.10")  # the answer came in clear


def test_among_shunts_the_most_specific_one_wins(site: Host) -> None:
    site.far.run("ip addr add 10.2.0.11/24 dev eth0")
    site.present(
        wish("10.1.0.0/16", "0/0", "%drop"),
        wish("10.1.0.10", "10.2.0.10", "%pass"),
        wish("10.1.0.10", "10.2.0.10", "%drop", "udp", "4001"),
    )
    assert "1 received" in site.ping("10.2.0.10") and "0 received" in site.ping("10.2.0.11")
    with site.far.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as heard:
        heard.bind(("10.2.0.10", 4001))
        heard.settimeout(0.5)
        with site.near.entered():
            send("10.2.0.10", 4001)
        with pytest.raises(TimeoutError):
            heard.recv(10)


def test_a_specific_one_leaves_more_specific_tunnels_alone(site: Host) -> None:
    tunnel_over_everything(site)
    with pytest.raises(InputError, match="before every tunnel it would take all packets of the policy out 10.1.0.0/16"):
        site.present(wish("10.0.0.0/8", "0/0", "%pass"))
    assert all("%pass" not in line for line in site.lines())
    site.present(wish("10.0.0.0/8", "0/0", "%pass", first=False))
    assert "0 received" in site.ping("10.2.0.10")
    assert [line.split("=> ")[1] for line in site.lines()] == ["%trap", "%pass"]
    site.present(wish("10.0.0.0/8", "0/0", "%pass", first=True))
    assert "1 received" in site.ping("10.2.0.10", space=site.near)


# %reject


@pytest.mark.usefixtures("rules")
@pytest.mark.parametrize(
    ("family", "target", "source", "destination", "answer"),
    [
        (4, "10.2.0.10", "10.1.0.0/24", "10.2.0.0/24", (3, 13)),
        (6, "fd00:2::10", "fd00:1::/64", "fd00:2::/64", (1, 1)),
        # The gateway's own address is in what is rejected: its ICMP must get out all the same.
        (4, "10.2.0.10", "10.1.0.0/24", "0/0", (3, 13)),
        (4, "10.2.0.10", "0/0", "0/0", (3, 13)),
        (6, "fd00:2::10", "fd00:1::/64", "::/0", (1, 1)),
    ],
)
def test_reject_tells_the_sender_of_a_forwarded_packet(
    site: Host, family: int, target: str, source: str, destination: str, answer: tuple[int, int]
) -> None:
    site.reach(target)
    site.present(wish(source, destination, "%reject"))
    assert errors_of(site.near, family, lambda: send(target)) == [answer]
    assert errors_of(site.near, family, lambda: (send(target), send(target))) == [answer, answer]
    (line,) = site.lines()
    assert line.startswith("3 ") and line.endswith("=> %reject")


@pytest.mark.usefixtures("rules")
def test_reject_of_a_connection_ends_it_at_once(site: Host) -> None:
    site.present(wish("10.1.0.0/24", "10.2.0.0/24", "%reject", "tcp"))
    began = time.monotonic()
    with site.near.entered(), pytest.raises(OSError, match="No route to host") as caught:
        socket.create_connection(("10.2.0.10", 4000), timeout=5)
    assert caught.value.errno == errno.EHOSTUNREACH and time.monotonic() - began < 1
    with site.gateway.entered(), pytest.raises(PermissionError):
        socket.create_connection(("10.2.0.10", 4000), timeout=5, source_address=("10.1.0.1", 0))
    assert "1 received" in site.ping("10.2.0.10")


@pytest.mark.usefixtures("rules")
def test_reject_leaves_packets_for_the_gateway_itself_and_other_shunts_alone(site: Host) -> None:
    site.present(wish("10.1.0.0/24", "10.2.0.0/24", "%reject"), wish("10.1.0.10", "10.2.0.10", "%pass"))
    assert "1 received" in site.ping("10.2.0.10")
    with site.gateway.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as heard:
        heard.bind(("10.2.0.1", 4000))
        heard.settimeout(1)
        with site.near.entered():
            send("10.2.0.1")
        assert heard.recv(10) == b"x"


@pytest.mark.usefixtures("rules")
def test_reject_without_its_rules_drops_and_the_next_run_brings_them_back(site: Host) -> None:
    rejecting = wish("10.1.0.0/24", "10.2.0.0/24", "%reject")
    site.present(rejecting)
    assert not site.present(rejecting).changed
    site.gateway.run("nft flush ruleset")
    assert errors_of(site.near, 4, lambda: send("10.2.0.10")) == [] and "0 received" in site.ping("10.2.0.10")
    assert site.present(rejecting).changed
    assert errors_of(site.near, 4, lambda: send("10.2.0.10")) == [(3, 13)]


@pytest.mark.usefixtures("rules")
def test_two_rejects_share_what_lets_their_icmp_out(site: Host) -> None:
    wide, narrow = wish("10.1.0.0/24", "0/0", "%reject"), wish("10.1.0.0/24", "10.0.0.0/8", "%reject")
    site.present(wide, narrow)
    assert site.gateway.run("ip xfrm policy").count("type 3 code 13") == 1
    site.absent(wide)
    assert errors_of(site.near, 4, lambda: send("10.2.0.10")) == [(3, 13)]
    site.absent(narrow)
    assert site.gateway.run("ip xfrm policy") == "" and site.gateway.run("nft list ruleset") == ""


@pytest.mark.usefixtures("rules")
def test_rules_of_others_are_left_alone(site: Host) -> None:
    site.gateway.run(f"nft '{FOREIGN_RULES}'")
    before = site.gateway.run("nft list ruleset")
    site.present(wish("10.1.0.0/24", "10.2.0.0/24", "%reject"), wish("10.1.0.0/24", "10.3.0.0/24", "%pass"))
    assert before in site.gateway.run("nft list ruleset")
    site.present(purge=True)
    assert site.gateway.run("nft list ruleset") == before


def test_without_nft_reject_is_refused_before_anything_changes(site: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nftables.shutil, "which", lambda *_words, **_more: None)
    with pytest.raises(MissingError, match="nft is not installed; install nftables"):
        site.present(wish("10.1.0.0/24", "10.2.0.0/24", "%drop"), wish("10.1.0.0/24", "10.3.0.0/24", "%reject"))
    with pytest.raises(MissingError, match="nft is not installed"):
        site.present(wish("10.1.0.0/24", "10.2.0.0/24", "%drop", counted=True))
    assert site.gateway.run("ip xfrm policy") == "" and site.lines() == []
    # All others work without it, and are not counted.
    site.present(wish("10.1.0.0/24", "10.2.0.0/24", "%drop"))
    assert "0 received" in site.ping("10.2.0.10") and site.lines() == ["0 10.1.0.0/24 -> 10.2.0.0/24 => %drop"]


# Counts


@pytest.mark.usefixtures("rules")
def test_packets_are_counted_where_there_are_any(site: Host) -> None:
    tunnel_over_everything(site)
    site.present(
        wish("10.1.0.10", "10.2.0.10", "%pass"),
        wish("10.1.0.10", "10.2.0.11", "%drop"),
        wish("10.1.0.10", "10.2.0.12", "%trap"),
        wish("10.1.0.1", "10.2.0.10", "%pass"),
        wish("10.1.0.0/24", "0/0", "%pass", first=False),
    )
    with XfrmEventsIn(site.gateway):
        for target, times in (("10.2.0.10", 3), ("10.2.0.11", 2), ("10.2.0.12", 1), ("10.2.0.13", 1)):
            with site.near.entered():
                for _unused in range(times):
                    send(target)
        with site.gateway.entered():
            send("10.2.0.10", source="10.1.0.1")
    counts = {(e.source, e.destination): e.packets for e in site.table() if e.action != "hold"}
    assert counts == {
        ("10.1.0.10/32", "10.2.0.10/32"): 3,
        ("10.1.0.10/32", "10.2.0.11/32"): 2,
        ("10.1.0.10/32", "10.2.0.12/32"): 1,
        ("10.1.0.1/32", "10.2.0.10/32"): 1,
        ("10.1.0.0/16", "10.2.0.0/16"): 0,
        ("10.1.0.0/24", "0.0.0.0/0"): 0,
    }


@pytest.mark.usefixtures("rules")
def test_counters_go_on_while_other_shunts_come_and_go(site: Host) -> None:
    site.present(wish("10.1.0.0/24", "10.2.0.0/24", "%drop"))
    with site.near.entered():
        send("10.2.0.10")
    site.present(wish("10.1.0.0/24", "10.3.0.0/24", "%reject"))
    assert [e.packets for e in site.table() if e.action == "drop"] == [1]
    site.absent(wish("10.1.0.0/24", "10.3.0.0/24", "%reject"))
    assert [e.packets for e in site.table()] == [1]
    site.absent(wish("10.1.0.0/24", "10.2.0.0/24", "%drop"))
    site.present(wish("10.1.0.0/24", "10.2.0.0/24", "%drop"))
    assert [e.packets for e in site.table()] == [0]


# %trap and %hold


def test_trap_asks_for_an_sa_and_the_packet_becomes_a_hold(site: Host) -> None:
    site.present(wish("10.1.0.0/24", "10.2.0.0/24", "%trap"))
    assert [line.split(" ", 1)[1] for line in site.lines()] == ["10.1.0.0/24 -> 10.2.0.0/24 => %trap"]
    with XfrmEventsIn(site.gateway) as events:
        with site.near.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind(("10.1.0.10", 5000))
            sock.sendto(b"x", ("10.2.0.10", 4000))
        (event,) = events.read()
    assert isinstance(event, AcquireEvent) and number_of(policy_of(site)) == event.reqid - 1
    assert (str(event.local), str(event.remote)) == ("10.1.0.10/32[17/5000]", "10.2.0.10/32[17/4000]")
    assert [(e.action, e.owner) for e in site.table()] == [("hold", "tests"), ("trap", "tests")]
    hold, trap = site.lines()
    assert hold == "0 10.1.0.10/32:5000 -> 10.2.0.10/32:4000 => %hold:17"
    assert trap.endswith("10.1.0.0/24 -> 10.2.0.0/24 => %trap")


def policy_of(site: Host):
    with site.gateway.entered():
        (policy,) = XfrmClient().dump_policies()
    return policy


# Whole or not at all, and only what is ours


@pytest.mark.usefixtures("rules")
@pytest.mark.parametrize("turn", range(4))
def test_a_policy_that_fails_midway_leaves_all_as_it_was(site: Host, monkeypatch, turn: int) -> None:
    site.present(wish("10.1.0.0/24", "10.2.0.0/24", "%drop"), wish("10.1.0.0/24", "10.5.0.0/24", "%pass"))
    before = everything(site)
    real = XfrmClient.batch

    def refusing(self: XfrmClient, operations):
        monkeypatch.setattr(XfrmClient, "batch", real)
        problem = KernelError("x", errno.ENOBUFS, "no room")
        return [problem if n == turn else real(self, [each])[0] for n, each in enumerate(operations)]

    monkeypatch.setattr(XfrmClient, "batch", refusing)
    with pytest.raises(KernelError, match="no room"):
        site.present(
            wish("10.1.0.0/24", "10.2.0.0/24", "%reject"),
            wish("10.1.0.0/24", "10.4.0.0/24", "%pass"),
            purge=True,
        )
    assert everything(site) == before


@pytest.mark.usefixtures("rules")
def test_rules_that_fail_leave_no_policy(site: Host, monkeypatch) -> None:
    def refuse(*_words: object) -> None:
        raise KernelError("set the rules of nftables", errno.EINVAL, "no room")

    monkeypatch.setattr(shunt_rules, "apply", refuse)
    with pytest.raises(KernelError, match="no room"):
        site.present(wish("10.1.0.0/24", "10.2.0.0/24", "%reject"))
    monkeypatch.undo()
    assert everything(site) == ([], "", [])


def everything(site: Host) -> tuple[list[str], str, list[str]]:
    policies = sorted(("\n" + site.gateway.run("ip xfrm policy")).rstrip().split("\nsrc "))
    with site.gateway.entered():
        table = [f"{e.owner} {e.said} {e.source} {e.destination}" for e in read_tables(site.runtime).eroutes]
    return [each for each in policies if each], site.gateway.run("nft list ruleset"), table


def test_policies_of_others_are_neither_replaced_nor_removed(site: Host) -> None:
    site.gateway.run("ip xfrm policy add src 10.1.0.0/24 dst 10.2.0.0/24 dir out action block")
    before = site.gateway.run("ip -s xfrm policy")
    with pytest.raises(KernelError, match="another program has a policy") as caught:
        site.present(wish("10.1.0.0/24", "10.2.0.0/24", "%pass"))
    assert caught.value.errno == errno.EEXIST
    assert not site.absent(wish("10.1.0.0/24", "10.2.0.0/24", "%pass")).changed
    site.present(wish("10.1.0.0/24", "10.3.0.0/24", "%pass"))
    site.present(purge=True)
    assert site.gateway.run("ip -s xfrm policy") == before


def test_owners_keep_to_their_own(site: Host) -> None:
    ours, theirs = wish("10.1.0.0/24", "10.2.0.0/24", "%drop"), wish("10.1.0.0/24", "10.3.0.0/24", "%drop", owner="b")
    site.present(ours)
    site.present(theirs, owner="b")
    with pytest.raises(InputError, match="belongs to 'tests'"):
        site.present(ours._replace(shunt=ours.shunt._replace(owner="b")), owner="b")
    with pytest.raises(InputError, match="belongs to 'tests'"):
        site.absent(ours, owner="b")
    site.present(purge=True, owner="b")
    assert [(e.owner, e.destination) for e in site.table()] == [("tests", "10.2.0.0/24")]


def test_shunts_stay_when_the_manager_cleans_up_behind_itself(site: Host) -> None:
    site.present(wish("10.1.0.0/24", "10.2.0.0/24", "%trap"), wish("10.1.0.0/24", "10.3.0.0/24", "%drop"))
    before = site.gateway.run("ip -s xfrm policy")
    with site.gateway.entered():
        registry = Registry(site.runtime)
        registry.record(REQID_FIRST, Child("fleet", "hq", "lan"))
        gateway = Gateway(registry)
        gateway.cleanup()
        gateway.close()
    assert site.gateway.run("ip -s xfrm policy") == before
    assert Registry(site.runtime).allocate("fleet", "hq", "other") == REQID_FIRST + 1


def test_what_the_kernel_lost_is_set_again(site: Host) -> None:
    passing = wish("10.1.0.0/24", "10.2.0.0/24", "%pass")
    site.present(passing)
    assert not site.present(passing).changed
    site.gateway.run("ip xfrm policy delete src 10.2.0.0/24 dst 10.1.0.0/24 dir fwd")
    plan = site.present(passing)
    assert plan.changed and [change.before == change.after for change in plan.changes] == [True]
    assert "fwd 10.2.0.0/24 -> 10.1.0.0/24: missing" in shunts.show(plan)[0]
    assert not site.present(passing).changed


class Killed(BaseException):
    """What ends a run without a chance to put anything back."""


@pytest.mark.parametrize("then", ["again", "delete"])
def test_what_a_killed_run_left_can_be_set_and_removed(site: Host, monkeypatch, then: str) -> None:
    real = XfrmClient.batch

    def kill(self: XfrmClient, operations) -> None:
        real(self, operations)
        raise Killed

    monkeypatch.setattr(XfrmClient, "batch", kill)
    passing = wish("10.1.0.0/24", "10.2.0.0/24", "%pass", counted=False)
    with pytest.raises(Killed):
        site.present(passing)
    monkeypatch.undo()
    assert site.gateway.run("ip xfrm policy").count("dir ") == 3 and [e.owner for e in site.table()] == [None]
    if then == "again":
        assert site.present(passing).changed and [e.owner for e in site.table()] == ["tests"]
        assert not site.present(passing).changed
    plan = site.absent(passing)
    assert plan.changed and shunts.show(plan)[0] and site.gateway.run("ip xfrm policy") == ""


def test_runs_at_once_do_not_get_into_each_other_s_way(site: Host) -> None:
    environment = os.environ | {"PYTHONPATH": str(MODULE_UTILS)}
    words = [sys.executable, "-m", "engine.cli.ipsec", "eroute", "--add", "--runtime-dir", site.runtime, "--src", "0/0"]
    with site.gateway.entered():
        runs = [
            subprocess.Popen([*words, "--dst", f"10.{n}.0.0/16", "--said", "%drop"], env=environment)
            for n in range(20, 26)
        ]
        assert [run.wait(60) for run in runs] == [0] * 6
    assert sorted(e.destination for e in site.table()) == [f"10.{n}.0.0/16" for n in range(20, 26)]
    same = [wish("0/0", f"10.{n}.0.0/16", "%drop", owner="command") for n in range(20, 26)]
    assert not site.present(*same, owner="command").changed


def test_thousands_at_once(site: Host) -> None:
    many = [wish("10.1.0.0/16", f"10.{n >> 8}.{n & 255}.0/24", "%drop", counted=False) for n in range(512, 3512)]
    began = time.monotonic()
    assert len(site.present(*many).changes) == 3000
    assert not site.present(*many).changed
    assert len(site.present(*many[:1], purge=True).changes) == 2999
    assert time.monotonic() - began < 20 and len(site.lines()) == 1


# Eroutes to SAs


OUTWARD, INWARD = "src 10.2.0.1 dst 10.2.0.10", "src 10.2.0.10 dst 10.2.0.1"


def reserve(space: Namespace, spi: int, mode: str = "tunnel", proto: str = "esp", ends: str = OUTWARD) -> None:
    space.run(f"ip xfrm state allocspi {ends} proto {proto} reqid 7 mode {mode} min {spi} max {spi}")


def test_an_eroute_to_an_sa_demands_it(site: Host) -> None:
    reserve(site.gateway, 0x115)
    reserve(site.gateway, 0x116, ends=INWARD)
    site.present(
        wish("10.1.0.0/24", "10.9.0.0/24", "esp.115@10.2.0.10"),
        wish("10.9.0.0/24", "10.8.0.0/24", "esp.116@10.2.0.1", direction="in"),
    )
    text = " ".join(site.gateway.run("ip xfrm policy").split())
    for piece in (
        f"dst 10.9.0.0/24 dir out priority 92288 ptype main tmpl {OUTWARD} proto esp spi 0x00000115 reqid 7 mode",
        f"dst 10.8.0.0/24 dir in priority 92288 ptype main tmpl {INWARD} proto esp reqid 7 mode tunnel",
        f"dst 10.8.0.0/24 dir fwd priority 92288 ptype main tmpl {INWARD} proto esp reqid 7 mode tunnel",
    ):
        assert piece in text
    assert text.count("dir ") == 3


@pytest.mark.parametrize(
    ("target", "problem"),
    [
        ("esp.999@10.2.0.10", "said: the kernel has no such SA"),
        ("tun.115@10.2.0.10", "said: names no group"),
        ("esp.99@10.2.0.10", "SPIs below 0x100 are reserved"),
    ],
)
def test_an_eroute_to_what_is_no_sa_is_refused(site: Host, target: str, problem: str) -> None:
    reserve(site.gateway, 0x115)
    with pytest.raises(InputError, match=problem):
        site.present(wish("10.1.0.0/24", "10.9.0.0/24", target))
    assert site.gateway.run("ip xfrm policy") == ""


def test_nothing_comes_in_by_an_sa_that_ends_elsewhere(site: Host) -> None:
    reserve(site.gateway, 0x115)
    reserve(site.gateway, 0x116, ends=INWARD)
    with pytest.raises(RefusedError, match="packets to 10.2.0.10, which is no address of this host"):
        site.present(wish("10.9.0.0/24", "10.8.0.0/24", "esp.115@10.2.0.10", direction="in"))
    ours = wish("10.9.0.0/24", "10.8.0.0/24", "esp.116@10.2.0.1", direction="in")
    site.present(ours)
    # An address that moves to another gateway for a while takes no eroute with it.
    site.gateway.run("ip addr del 10.2.0.1/24 dev wan")
    assert not site.present(ours).changed


def test_an_eroute_to_a_group_demands_all_of_it(site: Host) -> None:
    reserve(site.gateway, 0x115)
    reserve(site.gateway, 0x116, "transport", "ah")
    site.present(wish("10.1.0.0/24", "10.9.0.0/24", "esp.115@10.2.0.10"))
    group = ("tun.113@10.2.0.10", "esp.115@10.2.0.10", "ah.116@10.2.0.10")
    ipsec(site.gateway, site.runtime, "spigrp", "--said", *group)
    assert "proto ah spi 0x00000116" in site.gateway.run("ip xfrm policy")
    # The group took the policy that led to its first SA with it: that is what this eroute means by now.
    assert not site.present(wish("10.1.0.0/24", "10.9.0.0/24", "esp.115@10.2.0.10")).changed
    site.present(wish("10.3.0.0/24", "10.9.0.0/24", "tun.113@10.2.0.10"))
    assert site.gateway.run("ip xfrm policy").count("proto ah spi 0x00000116") == 2
    with pytest.raises(InputError, match="is inside the group tun.113@10.2.0.10"):
        site.present(wish("10.4.0.0/24", "10.9.0.0/24", "ah.116@10.2.0.10"))


def test_a_host_without_permission_is_told_so(site: Host) -> None:
    words = ["setpriv", "--bounding-set", "-all", "--inh-caps", "-all", sys.executable, "-m", "engine.cli.ipsec"]
    words += ["eroute", "--add", "--src", "10.1.0.0/24", "--dst", "10.2.0.0/24", "--said", "%drop"]
    environment = os.environ | {"PYTHONPATH": str(MODULE_UTILS)}
    with site.gateway.entered():
        done = subprocess.run(
            [*words, "--runtime-dir", site.runtime], capture_output=True, text=True, env=environment, check=False
        )
    assert done.returncode == 69 and "run as root" in done.stderr
    assert site.gateway.run("ip xfrm policy") == ""
