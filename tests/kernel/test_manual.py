# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SAs keyed by hand in a kernel that has ESP, AH and IPComp; ``ip xfrm`` is the judge of what the kernel has."""

from __future__ import annotations

import errno
import io
import json
import re
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest
from engine.classic import groups
from engine.classic.manual import Plan, carry_out, perform, plan_absent, plan_present, preview, with_purge
from engine.classic.manual_show import show_sa
from engine.classic.manual_words import read_said, read_wish
from engine.classic.transforms import CIPHERS, HASHES
from engine.cli import spi, spigrp
from engine.errors import EngineError, InputError, KernelError, MissingError
from engine.kernel.client import Operation, XfrmClient
from engine.kernel.gateway import Gateway
from engine.kernel.registry import Child, Registry
from namespaces import Namespace

pytestmark = pytest.mark.usefixtures("esp")

A, B = "192.0.2.1", "192.0.2.2"
ESP = "esp.115@192.0.2.2"
KEY = "0x" + "5a" * 32
OTHER_KEY = "0x" + "a5" * 32
AES = {"algorithm": "aes256", "key": KEY}
SHA = {"algorithm": "sha256", "key": KEY}
PLAIN = {"said": ESP, "source": A, "encryption": AES, "integrity": SHA}


class Host:
    """A namespace and its registry."""

    def __init__(self, space: Namespace, directory: str) -> None:
        self.space, self.directory = space, directory

    def _go(self, way: Callable[..., Plan], words: tuple[dict[str, Any], ...], owner: str, purge: bool) -> Plan:
        wishes = [read_wish(each, f"sas[{number}].") for number, each in enumerate(words)]

        def decide(seen: Any) -> Plan:
            plan = plan_present(wishes, owner, [f"sas[{number}].said" for number in range(len(words))], seen)
            return with_purge(plan, owner, seen) if purge else plan

        with self.space.entered():
            return way(self.directory, [wish.said for wish in wishes], decide)

    def make(self, *words: dict[str, Any], owner: str = "tests", purge: bool = False) -> Plan:
        return self._go(perform, words, owner, purge)

    def foresee(self, *words: dict[str, Any], owner: str = "tests", purge: bool = False) -> Plan:
        return self._go(preview, words, owner, purge)

    def delete(self, *names: str, owner: str = "tests") -> Plan:
        saids = [read_said(name) for name in names]
        with self.space.entered():
            return perform(self.directory, saids, partial(plan_absent, saids, owner, list(names)))

    def states(self) -> str:
        """``ip xfrm state`` without what changes by itself, keys included."""
        return self.space.run("ip xfrm state")

    def command(self, *words: str) -> int:
        with self.space.entered():
            return spi.main(["--runtime-dir", self.directory, *words])


def actions(plan: Plan) -> list[str]:
    return [step.action for step in plan.steps]


@pytest.fixture
def host(space: Namespace, tmp_path) -> Host:
    return Host(space, str(tmp_path / "run"))


def test_an_sa_is_made_as_described_and_only_once(host: Host) -> None:
    words = PLAIN | {
        "mode": "tunnel",
        "replay_window": 64,
        "encapsulation": {"source_port": 4500, "destination_port": 4511},
        "reqid": 77,
        "lifetime": {
            "soft_bytes": 1000, "hard_bytes": 2000, "soft_packets": 10, "hard_packets": 20,
            "soft_seconds": 300, "hard_seconds": 400, "soft_use_seconds": 30, "hard_use_seconds": 40,
        },
    }  # fmt: skip
    assert actions(host.make(words)) == ["created"]
    text = re.sub(r"\s+", " ", host.space.run("ip -s xfrm state"))
    for part in (
        f"src {A} dst {B} proto esp spi 0x00000115(277) reqid 77", "mode tunnel",
        "auth-trunc hmac(sha256) 0x" + "5a" * 32,
        "enc cbc(aes) 0x" + "5a" * 32, "encap type espinudp sport 4500 dport 4511",
        "limit: soft 1000(bytes), hard 2000(bytes) limit: soft 10(packets), hard 20(packets) "
        "expire add: soft 300(sec), hard 400(sec) expire use: soft 30(sec), hard 40(sec)",
    ):  # fmt: skip
        assert part in text, text
    assert "replay_window 64" in text or "replay-window 64" in text
    before = host.states()
    assert actions(host.make(words)) == ["none"] and not host.make(words).changed
    assert host.states() == before


def both_kinds() -> list[tuple[str, dict[str, Any]]]:
    found = []
    for cipher in CIPHERS.values():
        octets = cipher.key_octets[-1] if cipher.name != "des" else 8
        words: dict[str, Any] = {
            "encryption": {"algorithm": cipher.name, "key": "0x" + "3c" * octets if octets else None}
        }
        if not cipher.icv_bits:
            words["integrity"] = SHA
        found.append((cipher.name, words))
    for hash_ in HASHES.values():
        words = {"algorithm": hash_.name, "key": "0x" + "3c" * hash_.key_octets}
        found.append((hash_.name, {"encryption": {"algorithm": "null"}, "integrity": words}))
    return found


ALWAYS = {"aes256gcm16", "chacha20poly1305", "aes256", "aes128", "null", "sha256", "sha384", "sha512"}


def test_every_algorithm_is_the_kernels_or_is_told_to_be_missing(host: Host) -> None:
    """One after the other in one namespace, since to make one is dear on a guest kernel."""
    for name, words in both_kinds():
        wish = {"said": ESP, "source": A, **words}
        try:
            assert actions(host.make(wish)) == ["created"], name
        except EngineError as exc:
            assert name not in ALWAYS, exc
            assert isinstance(exc, (MissingError, KernelError)), exc
            continue
        assert actions(host.make(wish)) == ["none"], name
        with host.space.entered():
            client = XfrmClient()
            (held,) = client.read_sas()
            client.close()
        assert show_sa(read_said(ESP), held.sa, None)["encryption"] == {"algorithm": shown_name(name)}
        assert (held.sa.aead is not None) == bool(name in CIPHERS and CIPHERS[name].icv_bits), name
        host.delete(ESP)


def shown_name(name: str) -> str:
    """What a cipher of no fixed strength reads back as; a hash is tried with the null cipher."""
    return {"aes": "aes256"}.get(name, name) if name in CIPHERS else "null"


@pytest.mark.parametrize("said", ["ah.115@192.0.2.2", "ah:115@2001:db8::2"])
@pytest.mark.parametrize("mode", ["transport", "tunnel"])
def test_ah(host: Host, said: str, mode: str) -> None:
    source = A if "." in said[:3] else "2001:db8::1"
    words = {"said": said, "source": source, "integrity": SHA, "mode": mode}
    assert actions(host.make(words)) == ["created"] and actions(host.make(words)) == ["none"]
    assert "proto ah spi 0x00000115" in host.states() and f"mode {mode}" in host.states()
    assert ("align4" in host.states()) == (source == A)


def test_ipcomp_and_the_state_that_the_kernel_adds_to_it(host: Host, capsys) -> None:
    words = {"said": "comp.115@192.0.2.2", "source": A, "mode": "tunnel", "compression": "deflate"}
    assert actions(host.make(words)) == ["created"] and actions(host.make(words)) == ["none"]
    assert "proto 4 spi" in host.states() or "proto ipencap spi" in host.states()
    host.command()
    assert re.sub(r"addtime\(\d+,0,0\)", "", capsys.readouterr().out) == (
        "comp0x115@192.0.2.2 COMP_DEFLATE: dir=out src=192.0.2.1 life(c,s,h)= natencap=none natsport=0 natdport=0 "
        "mode=tunnel\n"
    )
    assert actions(host.delete("comp.115@192.0.2.2")) == ["deleted"] and host.states() == ""


def test_limits_and_ports_change_in_a_living_sa(host: Host) -> None:
    udp = {"source_port": 4500, "destination_port": 4500}
    host.make(PLAIN | {"encapsulation": udp})
    host.space.run("ping -c1 -W1 127.0.0.1 >/dev/null")
    added = add_time(host)
    time.sleep(1.1)
    plan = host.make(PLAIN | {"encapsulation": udp | {"destination_port": 4999}, "lifetime": {"hard_packets": 9}})
    (step,) = plan.steps
    assert (step.action, step.impact, set(step.fields)) == ("updated", "hot", {"encapsulation", "lifetime"})
    assert "dport 4999" in host.states() and "hard 9(packets)" in host.space.run("ip -s xfrm state")
    assert add_time(host) == added, "it is the same SA still"
    assert actions(
        host.make(PLAIN | {"encapsulation": udp | {"destination_port": 4999}, "lifetime": {"hard_packets": 9}})
    ) == ["none"]


def add_time(host: Host) -> int:
    with host.space.entered():
        client = XfrmClient()
        (state,) = client.dump_sas()
        client.close()
    return state.add_time


@pytest.mark.parametrize(
    ("change", "fields"),
    [
        ({"mode": "tunnel"}, {"mode"}),
        ({"reqid": 99}, {"reqid"}),
        ({"source": "192.0.2.77"}, {"source"}),
        ({"encryption": {"algorithm": "aes256", "key": OTHER_KEY}}, {"encryption.key"}),
        ({"integrity": {"algorithm": "sha256", "key": OTHER_KEY}}, {"integrity.key"}),
        ({"integrity": {"algorithm": "sha384", "key": "0x" + "5a" * 48}}, {"integrity.algorithm", "integrity.key"}),
        ({"replay_window": 128}, {"replay_window"}),
        ({"encapsulation": {}, "replay_window": 32}, {"replay_window"}),
        ({"encapsulation": {"source_port": 4500}}, {"encapsulation"}),
    ],
)
def test_what_the_kernel_cannot_change_makes_the_sa_anew(host: Host, change: dict[str, Any], fields: set[str]) -> None:
    host.make(PLAIN)
    foreseen = host.foresee(PLAIN | change)
    (step,) = host.make(PLAIN | change).steps
    assert (step.action, step.impact, set(step.fields)) == ("recreated", "re-create", fields)
    assert (foreseen.steps[0].before, foreseen.steps[0].after) == (
        step.before,
        step.after,
    ) and step.before != step.after
    assert "5a5a" not in repr(step) + json.dumps([step.before, step.after]) and "a5a5" not in repr(step)
    assert actions(host.make(PLAIN | change)) == ["none"]


def test_mode_and_reqid_stay_when_they_are_not_named(host: Host) -> None:
    host.make(PLAIN | {"mode": "tunnel", "reqid": 99})
    assert actions(host.make(PLAIN)) == ["none"] and "mode tunnel" in host.states() and "reqid 99" in host.states()


def test_each_new_sa_gets_a_request_id_of_its_own_and_keeps_it(host: Host) -> None:
    host.make(PLAIN, PLAIN | {"said": "esp.116@192.0.2.2"})
    first = reqids(host)
    assert len(set(first.values())) == 2 and all(0x66400000 <= reqid < 0x66800000 for reqid in first.values())
    host.space.run(f"ip xfrm state delete src {A} dst {B} proto esp spi 0x115")
    assert actions(host.make(PLAIN)) == ["created"] and reqids(host) == first


def reqids(host: Host) -> dict[int, int]:
    with host.space.entered():
        client = XfrmClient()
        found = {sa.spi: sa.reqid for sa in client.dump_sas()}
        client.close()
    return found


def test_what_is_not_ours_is_left_alone(host: Host) -> None:
    registry = Registry(host.directory)
    registry.record(0x66000001, Child("ansible", "hq", "lan"))
    registry.close()
    foreign = "enc 'cbc(aes)' 0x" + "11" * 16 + " auth-trunc 'hmac(sha256)' 0x" + "11" * 32 + " 128"
    for number, reqid in (("0x115", "0x66000001"), ("0x116", "9")):
        host.space.run(
            f"ip xfrm state add src {A} dst {B} proto esp spi {number} reqid {reqid} mode transport {foreign}"
        )
    host.space.run(f"ip xfrm state allocspi src {A} dst {B} proto esp reqid 9 mode tunnel min 0x117 max 0x117")
    before = host.states()
    for said, problem in (
        (ESP, r"is of tunnel hq \(child lan\)"),
        ("esp.116@192.0.2.2", "is of another program"),
        ("esp.117@192.0.2.2", "is of another program, which has reserved its SPI"),
    ):
        with pytest.raises(InputError, match=f"sas.0..said: {problem}"):
            host.make(PLAIN | {"said": said})
        with pytest.raises(InputError, match=problem):
            host.delete(said)
    host.command("--clear")
    assert host.states() == before


def test_owners_leave_each_others_alone(host: Host) -> None:
    host.make(PLAIN)
    before = host.states()
    for attempt in (lambda: host.make(PLAIN | {"mode": "tunnel"}, owner="you"), lambda: host.delete(ESP, owner="you")):
        with pytest.raises(InputError, match="belongs to owner tests.*; act as owner tests"):
            attempt()
    host.make(PLAIN | {"said": "esp.116@192.0.2.2"}, owner="you")
    assert actions(host.make(owner="you", purge=True)) == ["deleted"]
    assert host.states() == before


def test_purge_deletes_what_is_not_named(host: Host) -> None:
    host.make(PLAIN, PLAIN | {"said": "esp.116@192.0.2.2"}, {"said": "tun.116@192.0.2.2", "source": A})
    plan = host.make(PLAIN, purge=True)
    assert [(str(step.said), step.action) for step in plan.steps] == [
        (ESP, "none"), ("esp.116@192.0.2.2", "deleted"), ("tun.116@192.0.2.2", "deleted"),
    ]  # fmt: skip
    assert not host.make(PLAIN, purge=True).changed
    assert host.states().count("proto esp") == 1


class Failing(XfrmClient):
    """A kernel that refuses to make one SA."""

    def batch(self, operations: Sequence[Operation]) -> list[EngineError | None]:
        outcomes: list[EngineError | None] = []
        for each in operations:
            refused = each.what == "add the ESP SA 0x117 to 192.0.2.2"
            outcomes += [KernelError(each.what, errno.ENOMEM, "out of memory")] if refused else super().batch([each])
        return outcomes


def test_all_or_nothing(host: Host) -> None:
    """One in the middle is refused by the kernel: what came before is as it was, what came after is gone."""
    host.make(PLAIN)
    before = host.states()
    words = [
        PLAIN | {"encryption": {"algorithm": "aes256", "key": OTHER_KEY}},
        PLAIN | {"said": "esp.117@192.0.2.2"},
        PLAIN | {"said": "esp.118@192.0.2.2"},
    ]
    wishes = [read_wish(each) for each in words]
    with host.space.entered():
        client, registry = Failing(), Registry(host.directory)
        with pytest.raises(KernelError, match="out of memory"):
            carry_out(
                client, registry, [wish.said for wish in wishes], partial(plan_present, wishes, "tests", ["said"] * 3)
            )
        client.close()
        assert [str(said) for said in registry.manual_sas()] == [ESP]
        registry.close()
    assert host.states() == before


def test_absent_twice_changes_once(host: Host) -> None:
    host.make(PLAIN)
    assert actions(host.delete(ESP)) == ["deleted"] and host.states() == ""
    assert actions(host.delete(ESP)) == ["none"]


def test_an_sa_that_expired_is_made_again(host: Host) -> None:
    host.make(PLAIN | {"lifetime": {"hard_seconds": 1}})
    time.sleep(2.2)
    assert host.states() == ""
    assert actions(host.delete(ESP)) == ["none"]
    assert actions(host.make(PLAIN)) == ["created"]


def test_a_tun_lives_in_the_registry_alone(host: Host, capsys) -> None:
    words = {"said": "tun.115@192.0.2.2", "source": A}
    assert actions(host.make(words)) == ["created"] and host.states() == ""
    assert actions(host.make(words)) == ["none"]
    assert actions(host.make(words | {"source": "192.0.2.9"})) == ["recreated"]
    host.command()
    assert capsys.readouterr().out == (
        "tun0x115@192.0.2.2 IPIP: dir=out src=192.0.2.9 life(c,s,h)= natencap=none natsport=0 natdport=0\n"
    )
    assert actions(host.delete("tun.115@192.0.2.2")) == ["deleted"]


# The command


CLASSIC = ("--af", "inet", "--edst", B, "--spi", "0x115", "--proto")


def test_the_classic_words_make_list_and_delete(host: Host, capsys, tmp_path) -> None:
    for name, octets in (("enckey", 32), ("authkey", 32)):
        (tmp_path / name).write_text("0x" + "42" * octets + "\n")
    files = ("--enckey-file", str(tmp_path / "enckey"), "--authkey-file", str(tmp_path / "authkey"))
    esp = (*CLASSIC, "esp", "--src", A, "--esp", "aes-sha2-256-128", *files, "--replay_window", "64",
           "--life", "soft-addtime=100,hard-addtime=200", "--life", "hard-packets=5")  # fmt: skip
    assert host.command(*esp) == 0
    assert capsys.readouterr() == ("", "")
    assert host.command(*CLASSIC, "tun", "--src", A, "--dst", B, "--ip4") == 0
    assert host.command(*CLASSIC, "comp", "--src", A, "--comp", "deflate") == 0
    before = host.states()
    assert host.command(*esp) == 0 and host.states() == before
    capsys.readouterr()
    assert host.command() == 0
    shown = re.sub(r"addtime\(\d+", "addtime(0", capsys.readouterr().out).replace("addtime(0,0,0)", "")
    assert shown.splitlines() == [
        "tun0x115@192.0.2.2 IPIP: dir=out src=192.0.2.1 life(c,s,h)= natencap=none natsport=0 natdport=0",
        "esp0x115@192.0.2.2 ESP_AES_HMAC_SHA2_256: dir=out src=192.0.2.1 iv_bits=128bits ooowin=64 alen=256 aklen=256 "
        "eklen=256 life(c,s,h)=addtime(0,100,200)packets(0,0,5) natencap=none natsport=0 natdport=0 mode=transport",
        "comp0x115@192.0.2.2 COMP_DEFLATE: dir=out src=192.0.2.1 life(c,s,h)= natencap=none natsport=0 natdport=0 "
        "mode=transport",
    ]  # fmt: skip
    assert host.command("--said", "esp.115@192.0.2.2", "--del") == 0
    assert "proto esp" not in host.states()
    capsys.readouterr()
    assert host.command("--said", "esp.115@192.0.2.2", "--del") == 1
    assert capsys.readouterr().err == "spi: esp.115@192.0.2.2: no such SA was keyed by hand; see ipsec spi\n"
    assert host.command("--clear") == 0 and host.states() == ""
    assert host.command() == 0 and capsys.readouterr().out == ""


def test_keys_come_from_stdin_line_by_line(host: Host, monkeypatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("0x" + "11" * 32 + "\n0x" + "22" * 32 + "\n"))
    assert (
        host.command(
            *CLASSIC, "esp", "--src", A, "--esp", "aes256-sha2-256-128", "--enckey-file", "-", "--authkey-file", "-"
        )
        == 0
    )
    assert "enc cbc(aes) 0x" + "11" * 32 in host.states() and "0x" + "22" * 32 in host.states()


def test_keys_in_argv_are_warned_of(host: Host, capsys) -> None:
    words = ("--esp", "aes256-sha2-256-128", "--enckey", KEY, "--authkey", KEY)
    assert host.command("--label", "nightly", *CLASSIC, "esp", "--src", A, *words) == 0
    err = capsys.readouterr().err
    assert err.startswith("spi --label nightly: --enckey and --authkey: every user of this host can see a key")
    assert "5a5a" not in err


def test_a_classic_script_from_spi_to_group(host: Host, capsys) -> None:
    """tun and esp as KLIPS had them: esp becomes the tunnel when it is grouped behind tun."""
    keys = ("--enckey", "0x" + "40" * 16, "--authkey", "0x" + "87" * 20)
    assert host.command(*CLASSIC, "esp", "--src", A, "--esp", "aes128-sha1-96", *keys) == 0
    assert host.command(*CLASSIC, "tun", "--src", A, "--dst", B, "--ip4") == 0
    with host.space.entered():
        positional = [word for proto in ("tun", "esp") for word in ("inet", B, "0x115", proto)]
        assert spigrp.main(["--runtime-dir", host.directory, *positional]) == 0
        assert "esp.115@192.0.2.2 was made anew in tunnel mode, for tun.115@192.0.2.2" in capsys.readouterr().err
    assert "mode tunnel" in host.states() and "0x" + "40" * 16 in host.states()
    assert host.command(*CLASSIC, "esp", "--src", A, "--esp", "aes128-sha1-96", *keys) == 0, "mode is not named"
    assert "mode tunnel" in host.states()
    capsys.readouterr()
    with host.space.entered():
        spigrp.main(["--runtime-dir", host.directory])
    assert capsys.readouterr().out == "tun0x115@192.0.2.2 esp0x115@192.0.2.2\n"


def group(host: Host, *names: str) -> groups.Plan:
    with host.space.entered():
        return groups.perform(host.directory, partial(groups.plan_group, tuple(read_said(name) for name in names)))


def test_an_sa_in_use_is_not_made_anew_for_a_tun(host: Host) -> None:
    """A policy leads to it: its packets would be lost."""
    host.make(PLAIN | {"reqid": 99})
    host.space.run(f"ip xfrm policy add src {A}/32 dst {B}/32 dir out tmpl proto esp reqid 99 mode transport")
    before = host.states()
    with pytest.raises(InputError, match="is in transport mode, and a live SA cannot change it"):
        group(host, "tun.113@192.0.2.2", ESP)
    assert host.states() == before


def test_a_tun_from_elsewhere_is_refused(host: Host) -> None:
    host.make(PLAIN | {"mode": "tunnel"}, {"said": "tun.113@192.0.2.2", "source": "192.0.2.9"})
    with pytest.raises(InputError, match=r"sas.0.: goes from 192.0.2.9, but .* esp.115@.*, from 192.0.2.1"):
        group(host, "tun.113@192.0.2.2", ESP)
    host.make({"said": "tun.113@192.0.2.2", "source": A})
    assert group(host, "tun.113@192.0.2.2", ESP).changed


def test_what_a_group_needs_cannot_change_in_it(host: Host) -> None:
    host.make(PLAIN | {"mode": "tunnel"})
    group(host, "tun.113@192.0.2.2", ESP)
    before = host.states()
    for change in ({"mode": "transport"}, {"reqid": 99}, {"source": "192.0.2.77"}):
        with pytest.raises(InputError, match="is in the group tun.113@192.0.2.2 esp.115@192.0.2.2.*; ungroup it first"):
            host.make(PLAIN | change)
    assert host.states() == before
    assert actions(host.make(PLAIN | {"integrity": {"algorithm": "sha256", "key": OTHER_KEY}})) == ["recreated"]
    assert group(host, "tun.113@192.0.2.2", ESP).changed is False


@pytest.mark.parametrize("name", ["tun.113@192.0.2.2", ESP, "ah.116@192.0.2.2"])
def test_deleting_a_member_ends_the_group_and_lets_nothing_out(host: Host, name: str) -> None:
    tun = {"said": "tun.113@192.0.2.2", "source": A}
    host.make(tun, PLAIN | {"mode": "tunnel", "reqid": 99}, {"said": "ah.116@192.0.2.2", "source": A, "integrity": SHA})
    host.space.run(
        "ip xfrm policy add src 10.1.0.0/24 dst 10.2.0.0/24 dir out"
        f" tmpl src {A} dst {B} proto esp reqid 99 mode tunnel"
    )
    group(host, "tun.113@192.0.2.2", ESP, "ah.116@192.0.2.2")
    policies = host.space.run("ip xfrm policy")
    plan = host.delete(name)
    assert [len(members) for members in plan.dissolved] == [3]
    assert "policies go on demanding all of it" in plan.warnings[0]
    assert host.space.run("ip xfrm policy") == policies and "proto ah" in policies
    with host.space.entered():
        assert all(len(found.sas) == 1 for found in groups.read_listing(host.directory))


def test_a_manager_that_clears_up_leaves_sas_keyed_by_hand(host: Host) -> None:
    host.make(PLAIN)
    before = host.states()
    with host.space.entered():
        gateway = Gateway(Registry(host.directory))
        assert gateway.cleanup() == (0, 0)
        gateway.close()
    assert host.states() == before
