# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``ipsec spi``: the listing in the shape of the classic table, and words that make no command."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pytest
from engine.child_sa import Limits
from engine.classic import manual, transaction
from engine.classic import spi as table
from engine.cli import spi
from engine.cli.ipsec import main as ipsec
from engine.errors import MissingError
from engine.kernel.installed import Installed
from engine.kernel.registry import Manual, Registry
from engine.kernel.values import Aead, Auth, Crypt, KernelSelector, Sa, SaState
from engine.said import parse_said
from engine.secret import Secret

SAMPLES = Path(__file__).parents[1] / "classic" / "data" / "spi_proc.tsv"
ANY = KernelSelector(4, bytes(4), 0, bytes(4), 0)
NOW = 1_000_000
SHA1 = Auth("hmac(sha1)", Secret(bytes(20)), 96)


def installed(said: str, source: str = "192.0.2.1", packets: int = 0, received: int = 0, **fields: object) -> Installed:
    name = parse_said(said)
    sa = Sa(source, name.destination, name.spi, name.protocol, "tunnel", 7, **fields)
    state = SaState(
        source, name.destination, name.spi, name.protocol, "tunnel", 7, 4, ("x",), sa.encapsulation, sa.replay_window,
        False, False, packets * 100, packets, NOW - 60, NOW - 50 if packets else 0, 0, 3 if received else 0,
        2 if received else 0, ANY,
    )  # fmt: skip
    return Installed(sa, state, 0 if received else packets, received, 0xF if received else 0)


SAS = [
    installed("esp.1000@192.0.2.2", packets=8, encryption=Crypt("cbc(aes)", Secret(bytes(16))), integrity=SHA1),
    installed(
        "esp.1001@192.0.2.1", "192.0.2.2", 4, received=4, encryption=Crypt("cbc(des3_ede)", Secret(bytes(24))),
        integrity=Auth("hmac(md5)", Secret(bytes(16)), 96), replay_window=64, encapsulation=(4500, 4501),
        limits=Limits(soft_bytes=1, hard_bytes=2, hard_seconds=99, soft_use_seconds=7),
    ),
    installed("esp:1002@2001:db8::2", "2001:db8::1", aead=Aead("rfc4106(gcm(aes))", Secret(bytes(36)), 128)),
    installed("ah.1003@192.0.2.2", integrity=Auth("hmac(sha256)", Secret(bytes(32)), 128)),
    installed("comp.1004@192.0.2.2", compression="deflate"),
    installed("tun.c0000201@192.0.2.2"),  # the kernel's own, beside IPComp
]  # fmt: skip


class Kernel:
    def read_sas(self) -> list[Installed]:
        return SAS

    def close(self) -> None:
        pass


@pytest.fixture
def runtime(monkeypatch, tmp_path) -> str:
    monkeypatch.setattr(table, "XfrmClient", Kernel)
    monkeypatch.setattr(spi, "is_local", lambda address: address == "192.0.2.1")
    monkeypatch.setattr(spi.time, "time", lambda: NOW)
    registry = Registry(str(tmp_path))
    with registry.changing():
        registry.put_manual(parse_said("tun.1000@192.0.2.2"), Manual("tests", 0, "192.0.2.1"))
        registry.put_manual(parse_said("ah.1003@192.0.2.2"), Manual("tests", 7, "192.0.2.1"))
        registry.put_manual(parse_said("comp.1004@192.0.2.2"), Manual("tests", 8, "192.0.2.1"))  # another's by now
    registry.close()
    return str(tmp_path)


LISTING = """\
esp0x1001@192.0.2.1 ESP_3DES_HMAC_MD5: dir=in  src=192.0.2.2 iv_bits=64bits ooowin=64 ooo_errs=3 seq=4 bit=0xf \
alen=128 aklen=128 auth_errs=2 eklen=192 life(c,s,h)=bytes(400,1,2)addtime(60,0,99)usetime(50,7,0)packets(4,0,0) \
idle=50 natencap=nonesp natsport=4500 natdport=4501 mode=tunnel
tun0x1000@192.0.2.2 IPIP: dir=out src=192.0.2.1 life(c,s,h)= natencap=none natsport=0 natdport=0
esp0x1000@192.0.2.2 ESP_AES_HMAC_SHA1: dir=out src=192.0.2.1 iv_bits=128bits seq=8 alen=160 aklen=160 eklen=128 \
life(c,s,h)=bytes(800,0,0)addtime(60,0,0)usetime(50,0,0)packets(8,0,0) idle=50 natencap=none \
natsport=0 natdport=0 mode=tunnel
ah0x1003@192.0.2.2 AH_HMAC_SHA2_256: dir=out src=192.0.2.1 alen=256 aklen=256 life(c,s,h)=addtime(60,0,0) \
natencap=none natsport=0 natdport=0 mode=tunnel
comp0x1004@192.0.2.2 COMP_DEFLATE: dir=out src=192.0.2.1 life(c,s,h)=addtime(60,0,0) natencap=none \
natsport=0 natdport=0 mode=tunnel
esp0x1002@2001:db8::2 ESP_AES_GCM: dir=out src=2001:db8::1 iv_bits=64bits eklen=288 life(c,s,h)=addtime(60,0,0) \
natencap=none natsport=0 natdport=0 mode=tunnel
"""


def test_the_listing_is_that_of_the_classic_table(runtime, capsys):
    assert ipsec(["spi", "--runtime-dir", runtime]) == 0
    assert capsys.readouterr() == (LISTING, "")


def test_every_word_of_it_stands_in_a_real_table_in_the_same_order(runtime, capsys):
    real = [line.split("\t")[0] for line in SAMPLES.read_text().splitlines() if not line.startswith("#")]
    after = {(a, b) for line in real for place, a in enumerate(keys(line)) for b in keys(line)[place + 1 :]}
    ipsec(["spi", "--runtime-dir", runtime])
    known = {key for pair in after for key in pair}
    for line in capsys.readouterr().out.splitlines():
        assert re.match(r"\S+ [A-Z0-9_]+: dir=(in |out) src=", line)
        # The samples show no SA with errors.
        words = [key for key in keys(line) if key not in ("ooo_errs", "auth_errs")]
        # KLIPS knew no mode of an SA, so it stands behind all that a reader of such tables knows.
        assert "IPIP" in line or words.pop() == "mode"
        assert set(words) <= known
        assert all((b, a) not in after for place, a in enumerate(words) for b in words[place + 1 :])


def keys(line: str) -> list[str]:
    return re.findall(r"(\S+?)=", line)


def test_json_tells_the_same_without_keys(runtime, capsys):
    assert spi.main(["--json", "--runtime-dir", runtime]) == 0
    found = {each["said"]: each for each in json.loads(capsys.readouterr().out)}
    assert len(found) == 6
    assert found["esp.1001@192.0.2.1"] | {"line": ""} == {
        "said": "esp.1001@192.0.2.1", "source": "192.0.2.2", "mode": "tunnel", "reqid": 7,
        "encryption": {"algorithm": "3des"}, "integrity": {"algorithm": "md5"}, "replay_window": 64,
        "encapsulation": {"source_port": 4500, "destination_port": 4501},
        "lifetime": {"soft_bytes": 1, "hard_bytes": 2, "hard_seconds": 99, "soft_use_seconds": 7},
        "one_family": True, "bytes": 400, "packets": 4, "sequence": 4, "direction": "in", "owner": None, "line": "",
    }  # fmt: skip
    owners = {said: each["owner"] for said, each in found.items() if each["owner"]}
    assert owners == {"tun.1000@192.0.2.2": "tests", "ah.1003@192.0.2.2": "tests"}


COMMANDS = SAMPLES.with_name("klips_commands.tsv").read_text()
VALUES = {
    "$eastip": "192.1.2.23", "$westip": "192.1.2.45", "$inspi": "0x1000583", "$outspi": "0x1000584", "$lifetime": "",
    "$enckey1": "0x" + "40" * 24, "$enckey2": "0x" + "40" * 24, "$authkey1": "0x" + "87" * 16,
    "$authkey2": "0x" + "87" * 16, "$key": "0x" + "40" * 24,
}  # fmt: skip
# What they say that no kernel of today has.
GONE = ("--saref",)


def real_commands() -> list[str]:
    lines = [line.split("\t")[0] for line in COMMANDS.splitlines() if line.startswith("ipsec spi ")]
    return sorted({line for line in lines if not any(word in line for word in GONE)})


@pytest.mark.parametrize("line", real_commands())
def test_command_lines_of_real_scripts_are_understood(runtime, monkeypatch, capsys, line):
    """Each comes as far as the kernel, or is told what of it is gone; keys of the right length stand for variables."""
    asked: list[object] = []

    def perform(_directory: str, saids: object, _decide: object) -> manual.Plan:
        asked.append(saids)
        return manual.Plan(())

    monkeypatch.setattr(spi, "perform", perform)
    for name, value in VALUES.items():
        line = line.replace(name, value)
    bits = 64 if " des-" in line else 128 if "aes" in line or "twofish" in line else 192
    line = line.replace("$enckey", "0x" + "40" * (bits // 8))
    line = line.replace("$authkey", "0x" + "87" * (20 if "sha1" in line else 16))
    status = spi.main([*line.split()[2:], "--runtime-dir", runtime])
    if "--natt nonike" in line:
        assert status == 1 and "--natt: is no encapsulation of this kernel" in capsys.readouterr().err
    else:
        assert status == 0 and len(asked) == 1, capsys.readouterr().err


def test_there_are_real_command_lines():
    assert len(real_commands()) > 30


SA = ["--said", "esp.115@192.0.2.2"]
FULL = [*SA, "--src", "192.0.2.1", "--esp", "aes128-sha1-96"]
KEYS = ["--enckey", "0x" + "5a" * 16, "--authkey", "0x" + "5a" * 20]


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--bogus"], "unrecognized arguments: --bogus"),
        (["--enckye", "0x" + "5a" * 16, *SA], "unrecognized arguments: --enckye …;"),
        (["--enckye", "TOPSECRET", "more", *SA], "unrecognized arguments: --enckye … …;"),
        (["--enckye=TOPSECRET", *SA], "unrecognized arguments: --enckye=…;"),
        (["enckey=TOPSECRET", *SA], "unrecognized arguments: enckey=…;"),
        (["--json=TOPSECRET", *SA], "ignored explicit argument …;"),
        ([*SA, "--src", "192.0.2.1", "--esp", "0x" + "5a" * 16], "--esp: is no cipher known here (got '(a key)')"),
        ([*FULL, "--enckey-file", "TOPSECRET"], "--enckey-file: No such file or directory; name a file"),
        ([*FULL, "--enckey-file", "0x" + "5a" * 16], "--enckey-file: No such file or directory; name a file"),
        (["--label"], "--label: expected one argument"),
        (["--src", "192.0.2.1"], "--src: cannot stand beside a list; name the SA with --said, or with --af"),
        (["--clear", "--del"], "--del: cannot stand beside --clear"),
        ([*SA, "--clear"], "--said: cannot stand beside --clear"),
        ([*SA, "--del", "--src", "192.0.2.1"], "--src: cannot stand beside --del"),
        ([*SA, "--af", "inet"], "--af: cannot stand beside --said"),
        (["--af", "inet", "--edst", "192.0.2.2"], "--af, --edst without --spi, --proto"),
        (["--af", "ipv4", "--edst", "192.0.2.2", "--spi", "0x115", "--proto", "esp", "--del"], "is no address family"),
        (["--af", "inet", "--edst", "192.0.2.2", "--spi", "0x115", "--proto", "ESP", "--del"], "is no protocol"),
        (["--af", "inet", "--edst", "192.0.2.2", "--spi", "0xff", "--proto", "esp", "--del"], "SPIs below 0x100"),
        (SA, "esp.115@192.0.2.2: does not say what it does; give one of --ah, --esp"),
        ([*FULL, "--ah", "md5-96"], "--ah and --esp exclude each other"),
        ([*SA, "--src", "192.0.2.1", "--ah", "md5-96"], "--ah: does not fit esp.115@192.0.2.2"),
        (["--said", "tun.115@192.0.2.2", "--src", "192.0.2.1", "--ip6"], "--ip6: does not fit tun.115@192.0.2.2"),
        (["--said", "tun.115@192.0.2.2", "--src", "192.0.2.1", "--ip4", *KEYS], "--enckey: --ip4 takes no key"),
        (["--said", "tun.115@192.0.2.2", "--src", "192.0.2.1", "--dst", "192.0.2.9", "--ip4"], "is not where tun.115@"),
        (["--said", "ah.115@192.0.2.2", "--src", "192.0.2.1", "--ah", "md5-96", *KEYS], "--ah does not encrypt"),
        ([*SA, "--src", "192.0.2.1", "--esp", "3des", *KEYS], "--authkey: --esp 3des names no hash"),
        ([*SA, "--esp", "aes128-sha1-96", *KEYS], "--src: is needed"),
        ([*FULL, "--enckey", "5a5a5a"], "--enckey: is no key (got '(a key)')"),
        ([*FULL, "--enckey", "0x5a5a5a"], "--enckey: has 24 bits, which aes128 does not take"),
        ([*FULL, *KEYS[:2]], "--authkey: sha1 needs a key"),
        ([*FULL, *KEYS, "--enckey-file", "-"], "--enckey: cannot stand beside --enckey-file"),
        ([*FULL, "--enckey-file", "/nonexistent"], "--enckey-file: No such file or directory"),
        ([*FULL, "--enckey-file", "/dev/null"], "--enckey-file: has no key in its line"),
        (["--said", "comp.115@192.0.2.2", "--src", "192.0.2.1", "--comp", "lzs"], "--comp: is no compression"),
        (["--label", ""], "--label: is empty"),
        ([*FULL, *KEYS, "--replay_window", "many"], "--replay_window: is no number"),
        ([*FULL, *KEYS, "--replay_window", "5000"], "--replay_window: is out of range"),
        ([*FULL, *KEYS, "--life", "soft-allocations=3"], "counts what this kernel does not"),
        ([*FULL, *KEYS, "--life", "bytes=3"], "--life: is no limit (got 'bytes=3')"),
        ([*FULL, *KEYS, "--life", "soft-bytes=3,soft-bytes=4"], "is given twice"),
        ([*FULL, *KEYS, "--life", "soft-bytes=9,hard-bytes=8"], "--life: comes after the hard limit"),
        ([*FULL, *KEYS, "--natt", "nonike"], "--natt: is no encapsulation of this kernel"),
        ([*FULL, *KEYS, "--sport", "4500"], "need --natt nonesp"),
        ([*FULL, *KEYS, "--natt", "nonesp", "--sport", "70000"], "--sport: is out of range"),
        ([*FULL, *KEYS, "--natt", "nonesp", "--dport", "0"], "--dport: is out of range"),
        ([*FULL, *KEYS, "--mode", "beet"], "--mode: is no mode"),
        ([*SA, "--src", "host.invalid", "--esp", "aes128-sha1-96", *KEYS], "has no inet address"),
    ],
)  # fmt: skip
def test_wrong_words_are_named_and_exit_1(runtime, monkeypatch, capsys, words, problem):
    def nothing(*_arguments: object) -> None:
        raise AssertionError("nothing may be tried with these words")

    monkeypatch.setattr(transaction, "XfrmClient", nothing)
    monkeypatch.setattr("sys.stdin", io.StringIO("0x5a\n"))
    assert spi.main([*words, "--runtime-dir", runtime]) == 1
    out, err = capsys.readouterr()
    lines = [line for line in err.splitlines() if "every user of this host can see" not in line]
    assert out == "" and problem in lines[-1] and len(lines) == 1, err
    assert "5a5a" not in err


def test_the_label_begins_every_message(runtime, capsys):
    assert spi.main(["--label", "nightly", *SA]) == 1
    assert capsys.readouterr().err.startswith("spi --label nightly: esp.115@192.0.2.2: does not say")


@pytest.mark.parametrize(("word", "text"), [("--help", "exit status: 0 done"), ("--version", "spi of fleet.ipsec")])
def test_help_and_version(capsys, word, text):
    with pytest.raises(SystemExit) as caught:
        spi.main([word])
    assert caught.value.code == 0 and text in capsys.readouterr().out


def test_without_xfrm_it_says_so(monkeypatch, capsys):
    def missing() -> None:
        raise MissingError("this kernel has no IPsec (XFRM) interface", "load it: modprobe xfrm_user")

    monkeypatch.setattr(table, "XfrmClient", missing)
    assert spi.main([]) == 1
    assert capsys.readouterr().err == "spi: this kernel has no IPsec (XFRM) interface; load it: modprobe xfrm_user\n"
