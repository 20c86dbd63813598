# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``ipsec eroute --add`` and the like, on the machine's own kernel in a namespace; and files listed."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from engine.kernel.registry import Manual, Registry
from engine.said import parse_said

MODULE_UTILS = Path(__file__).resolve().parents[4] / "plugins" / "module_utils"
DATA = Path(__file__).resolve().parents[1] / "classic" / "data"
NAMESPACE = f"fleet-eroute-words-{os.getpid()}"
INSIDE = ["ip", "netns", "exec", NAMESPACE]
ENDS = "--src 192.0.1.0/24 --dst 192.0.2.0/24"

Command = Callable[[str], subprocess.CompletedProcess[str]]

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")


def execute(words: list[str]) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(MODULE_UTILS)}
    return subprocess.run(words, capture_output=True, text=True, env=environment, check=False)


@pytest.fixture
def ipsec(tmp_path: Path) -> Iterator[Command]:
    """Run ``ipsec eroute`` with these words, in a namespace."""
    subprocess.run(["ip", "netns", "add", NAMESPACE], check=True)
    # Without any address at all a kernel lets a socket be bound to every one.
    subprocess.run([*INSIDE, "ip", "link", "set", "lo", "up"], check=True)

    def run(words: str) -> subprocess.CompletedProcess[str]:
        command = [*INSIDE, sys.executable, "-m", "engine.cli.ipsec", "eroute", *words.split()]
        return execute([*command, "--runtime-dir", str(tmp_path)])

    try:
        yield run
    finally:
        subprocess.run(["ip", "netns", "delete", NAMESPACE], check=True)


def kernel() -> str:
    return subprocess.run([*INSIDE, "ip", "xfrm", "policy"], capture_output=True, text=True, check=True).stdout


def succeed(done: subprocess.CompletedProcess[str]) -> str:
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def lines(ipsec: Command) -> list[str]:
    return [" ".join(line.split()) for line in succeed(ipsec("")).splitlines()]


@needs_root
@pytest.mark.parametrize("word", ["%pass", "%drop", "%trap", "%passthrough"])
def test_add_list_and_delete_in_the_words_of_classic_scripts(ipsec: Command, word: str) -> None:
    assert succeed(ipsec(f"--add --eraf inet {ENDS} --said {word}")) == ""
    shown = word.removesuffix("through")
    assert lines(ipsec) == [f"0 192.0.1.0/24 -> 192.0.2.0/24 => {shown}"]
    assert succeed(ipsec(f"--del --eraf inet {ENDS}")) == "" and lines(ipsec) == [] and kernel() == ""


@needs_root
def test_what_is_there_already_is_not_added_but_replaced(ipsec: Command) -> None:
    succeed(ipsec(f"--add {ENDS} --said %drop"))
    before = kernel()
    again = ipsec(f"--add {ENDS} --said %pass")
    assert again.returncode == 1 and kernel() == before
    assert again.stderr.startswith("eroute: add the eroute: there is one with these selectors already: 192.0.1.0/24 ->")
    assert again.stderr.rstrip().endswith("replace it with --replace")
    succeed(ipsec(f"--replace {ENDS} --said %pass"))
    succeed(ipsec(f"--replace {ENDS} --said %pass"))
    assert lines(ipsec) == ["0 192.0.1.0/24 -> 192.0.2.0/24 => %pass"]


@needs_root
def test_what_is_not_there_is_not_deleted(ipsec: Command) -> None:
    gone = ipsec(f"--del {ENDS}")
    assert (gone.returncode, gone.stdout) == (1, "")
    assert gone.stderr == "eroute: delete the eroute: ipsec eroute has made none for 192.0.1.0/24 -> 192.0.2.0/24\n"


@needs_root
def test_protocols_and_ports_by_name(ipsec: Command) -> None:
    succeed(ipsec(f"--add {ENDS} --transport-proto tcp --dst-port smtp --said %drop"))
    succeed(ipsec(f"--add {ENDS} --transport-proto 17 --src-port 0x35 --said %pass"))
    succeed(ipsec("--add --eraf inet6 --src 0/0 --dst 2001:db8::/32 --transport-proto ipv6-icmp --said %drop"))
    assert sorted(lines(ipsec)) == [
        "0 192.0.1.0/24 -> 192.0.2.0/24:25 => %drop:6",
        "0 192.0.1.0/24:53 -> 192.0.2.0/24 => %pass:17",
        "0 ::/0 -> 2001:db8::/32 => %drop:58",
    ]
    succeed(ipsec(f"--del {ENDS} --transport-proto 6 --dst-port 25"))
    assert len(lines(ipsec)) == 2


@needs_root
def test_both_forms_of_a_target_name_one_sa(ipsec: Command) -> None:
    reserve = "ip xfrm state allocspi src 192.0.2.1 dst 192.0.2.9 proto esp reqid 7 mode tunnel min 0x113 max 0x113"
    subprocess.run([*INSIDE, "sh", "-c", reserve], check=True, capture_output=True)
    succeed(ipsec(f"--add {ENDS} --said esp.113@192.0.2.9"))
    first = kernel()
    assert "spi 0x00000113 reqid 7 mode tunnel" in first
    succeed(ipsec(f"--replace {ENDS} --af inet --edst 192.0.2.9 --spi 0x113 --proto esp"))
    assert kernel() == first
    refused = ipsec("--addin --src 10.9.0.0/24 --dst 10.1.0.0/24 --said esp0x113@192.0.2.9")
    assert refused.returncode == 1 and "is no address of this host, so nothing comes in by it" in refused.stderr
    subprocess.run([*INSIDE, "ip", "address", "add", "192.0.2.9/32", "dev", "lo"], check=True)
    succeed(ipsec("--addin --src 10.9.0.0/24 --dst 10.1.0.0/24 --said esp0x113@192.0.2.9"))
    assert kernel().count("dir ") == 3
    succeed(ipsec("--replacein --src 10.9.0.0/24 --dst 10.1.0.0/24 --said %drop"))
    assert kernel().count("action block") == 2
    succeed(ipsec("--delin --src 10.9.0.0/24 --dst 10.1.0.0/24"))
    assert kernel() == first


@needs_root
@pytest.mark.skipif(not shutil.which("nft"), reason="nftables is not installed")
def test_eroutes_to_one_sa_keyed_by_hand_count_by_themselves(ipsec: Command, tmp_path: Path) -> None:
    probe = "import sys; sys.path[0] = sys.argv[1]; from engine.classic import shunt_rules; shunt_rules.require_ways()"
    if execute([*INSIDE, sys.executable, "-c", probe, str(MODULE_UTILS)]).returncode:
        pytest.skip("this kernel cannot count by SA")
    reserve = "ip xfrm state allocspi src 192.0.2.1 dst 192.0.2.9 proto esp reqid 7 mode tunnel min 0x113 max 0x113"
    subprocess.run([*INSIDE, "sh", "-c", reserve], check=True, capture_output=True)
    refused = ipsec(f"--add {ENDS} --said esp.113@192.0.2.9 --count")
    assert refused.returncode == 64 and "--count: its packets cannot be told from those of other SAs" in refused.stderr
    registry = Registry(str(tmp_path))
    with registry.changing():
        registry.put_manual(parse_said("esp.113@192.0.2.9"), Manual("command", 7, "192.0.2.1"))
    registry.close()
    succeed(ipsec(f"--add {ENDS} --said esp.113@192.0.2.9"))
    succeed(ipsec(f"--add {ENDS} --transport-proto tcp --said esp.113@192.0.2.9 --count"))
    table = execute([*INSIDE, "nft", "list", "table", "inet", "fleet_ipsec_shunts"]).stdout
    first, second = (line for line in table.splitlines() if "ipsec out reqid 7 counter name" in line)
    assert re.search("(l4proto|protocol) (6|tcp)", first) and not re.search("(l4proto|protocol) (6|tcp)", second)
    succeed(ipsec(f"--replace {ENDS} --said esp.113@192.0.2.9"))
    assert execute([*INSIDE, "nft", "list", "table", "inet", "fleet_ipsec_shunts"]).stdout == table
    # Reserved SPIs are no SAs yet, so that what leads to them is listed as what waits.
    assert {line.partition(" => ")[2] for line in lines(ipsec)} == {"%trap", "%trap:6"}
    succeed(ipsec("--clear"))
    assert execute([*INSIDE, "nft", "list", "tables"]).stdout == ""


@needs_root
def test_an_sa_in_transport_mode_is_for_its_own_ends(ipsec: Command) -> None:
    reserve = "ip xfrm state allocspi src 192.0.2.1 dst 192.0.2.9 proto esp reqid 7 mode transport min 0x115 max 0x115"
    subprocess.run([*INSIDE, "sh", "-c", reserve], check=True, capture_output=True)
    for words in (ENDS, "--src 192.0.2.1/32 --dst 10.9.0.0/24", "--src 192.0.2.9/32 --dst 192.0.2.1/32"):
        refused = ipsec(f"--add {words} --said esp.115@192.0.2.9")
        assert (refused.returncode, refused.stdout, kernel()) == (1, "", "")
        assert "esp.115@192.0.2.9" in refused.stderr and "from 192.0.2.1 to 192.0.2.9 alone" in refused.stderr
    succeed(ipsec("--add --src 192.0.2.0/29 --dst 192.0.2.9/32 --said esp.115@192.0.2.9"))
    assert "spi 0x00000115 reqid 7 mode transport" in kernel()


@needs_root
def test_clear_removes_what_the_command_made_only(ipsec: Command) -> None:
    foreign = "ip xfrm policy add src 10.7.0.0/16 dst 10.8.0.0/16 dir out action block"
    subprocess.run([*INSIDE, "sh", "-c", foreign], check=True)
    before = kernel()
    succeed(ipsec("--add --src 10.1.0.0/16 --dst 10.2.0.0/16 --said %drop --owner office"))
    succeed(ipsec(f"--add {ENDS} --said %pass"))
    succeed(ipsec("--clear"))
    assert lines(ipsec)[0].startswith("0 10.7.0.0/16") and len(lines(ipsec)) == 2
    other = ipsec("--del --src 10.1.0.0/16 --dst 10.2.0.0/16")
    assert other.returncode == 1 and "--owner: the eroute 10.1.0.0/16" in other.stderr and "'office'" in other.stderr
    succeed(ipsec("--clear --owner office"))
    assert kernel() == before
    succeed(ipsec("--clear"))


@needs_root
def test_json_debug_and_label(ipsec: Command) -> None:
    done = json.loads(succeed(ipsec(f"--add {ENDS} --said %trap --json")))
    assert done["changed"] and done["before"] == [] and done["after"][0].startswith("192.0.1.0/24 -> 192.0.2.0/24 => ")
    told = ipsec(f"--replace {ENDS} --said %drop --debug --label nightly")
    assert told.returncode == 0
    assert [line.split(" (")[0] for line in told.stderr.splitlines()] == [
        "eroute --label nightly: - 192.0.1.0/24 -> 192.0.2.0/24 => %trap",
        "eroute --label nightly: + 192.0.1.0/24 -> 192.0.2.0/24 => %drop",
    ]
    assert ipsec(f"--add {ENDS} --said %drop --label nightly").stderr.startswith(
        "eroute --label nightly: add the eroute"
    )
    assert "\tset by command, priority " in succeed(ipsec("--verbose"))


@needs_root
def test_a_shunt_that_would_take_a_tunnels_packets_has_to_say_so(ipsec: Command) -> None:
    template = "tmpl src 192.0.2.1 dst 192.0.2.9 proto esp mode tunnel reqid 7"
    tunnel = f"ip xfrm policy add src 192.0.1.0/25 dst 192.0.2.0/25 dir out priority 70000 {template}"
    subprocess.run([*INSIDE, "sh", "-c", tunnel], check=True)
    refused = ipsec(f"--add {ENDS} --said %pass")
    assert refused.returncode == 1 and "--first or --specific: before every tunnel it would take" in refused.stderr
    succeed(ipsec(f"--add {ENDS} --said %pass --specific"))
    assert [line.split("=> ")[1] for line in lines(ipsec)] == ["%trap", "%pass"]
    succeed(ipsec(f"--replace {ENDS} --said %pass --first"))
    assert [line.split("=> ")[1] for line in lines(ipsec)] == ["%pass", "%trap"]


@needs_root
@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ("--add", "--src: is missing"),
        (f"--add {ENDS}", "no target: give --said, or --af, --edst, --spi, --proto"),
        (f"--add {ENDS} --edst 192.0.2.9", "no target: give --said, or --af, --spi, --proto too"),
        (f"--add {ENDS} --said %pass --spi 0x113", "--spi: cannot stand beside --said"),
        (f"--add {ENDS} --said %hold", "--said: cannot be set"),
        (f"--add {ENDS} --said %trapsubnet", "--said: this kernel holds packets by their own addresses only"),
        (f"--add {ENDS} --said esp.99@192.0.2.9", "--said: SPIs below 0x100 are reserved"),
        (f"--add {ENDS} --af inet --edst 192.0.2.9 --spi 0x99 --proto esp", "--spi: SPIs below 0x100 are reserved"),
        (f"--add {ENDS} --af inet6 --edst 192.0.2.9 --spi 0x199 --proto esp", "has no inet6 address"),
        (f"--add {ENDS} --af inet --edst 192.0.2.9 --spi 0x199 --proto ipip", "is no protocol of an SA"),
        (f"--add {ENDS} --dst-port 25 --said %pass", "--dst-port: needs a protocol that has ports"),
        (f"--add {ENDS} --eraf inet6 --said %pass", "--src: is no IPv6 network"),
        (f"--add {ENDS} --eraf ipv4 --said %pass", "--eraf: is no address family"),
        (f"--addin {ENDS} --said %reject", "--addin: reject is for outgoing packets only"),
        (f"--add {ENDS} --direction in --said %drop", "--direction: in is written --addin"),
        (f"--add --del {ENDS}", "not allowed with argument --add"),
        (f"--del {ENDS} --first", "--first: means nothing to --del"),
        (f"--clear {ENDS}", "--src: means nothing to --clear"),
        ("--add --src fd00::/8 --dst fd01::/16 --said %passthrough4", "--said: is of another family than the networks"),
        ("--ad", "unrecognized arguments: --ad"),
        ("--said", "expected"),
    ],
)
def test_wrong_words_are_named_and_nothing_changes(ipsec: Command, words: str, problem: str) -> None:
    done = ipsec(words)
    assert done.returncode == 64 and done.stdout == "" and problem in done.stderr and done.stderr.count("\n") == 1
    assert kernel() == ""


@needs_root
@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (f"--add {ENDS} --said esp.199@192.0.2.9", "--said: the kernel has no such SA"),
        (f"--add {ENDS} --said tun.199@192.0.2.9", "--said: names no group"),
        (f"--addin {ENDS} --said esp.199@192.0.2.9", "--said: is for packets to 192.0.2.9, which is no address"),
    ],
)
def test_an_sa_that_this_host_has_not_is_no_wrong_word(ipsec: Command, words: str, problem: str) -> None:
    done = ipsec(words)
    assert done.returncode == 1 and done.stdout == "" and problem in done.stderr and done.stderr.count("\n") == 1
    assert kernel() == ""


@pytest.mark.parametrize("name", ["eroute_proc", "eroute_nocount", "eroute_look"])
def test_a_file_is_listed(name: str, tmp_path: Path) -> None:
    path = DATA / f"{name}.tsv"
    command = [sys.executable, "-m", "engine.cli.ipsec", "eroute", "--file", str(path)]
    written = succeed(execute(command)).splitlines()
    assert len(written) == len(path.read_text(encoding="utf-8").splitlines())
    copy = tmp_path / "copy"
    copy.write_text("\n".join(written), encoding="utf-8")
    assert succeed(execute([*command[:-1], str(copy)])).splitlines() == written
    rows = json.loads(succeed(execute([*command, "--json"])))
    assert len(rows) == len(written) and {"source", "said", "source_identity"} <= rows[0].keys()


def test_lines_of_a_file_that_cannot_be_read_are_named_and_the_others_listed(tmp_path: Path) -> None:
    path = tmp_path / "table"
    path.write_text("3 10.1.0.0/24 -> 10.2.0.0/24 => %trap\nnonsense\n", encoding="utf-8")
    done = execute([sys.executable, "-m", "engine.cli.ipsec", "eroute", "--file", str(path)])
    assert done.returncode == 1 and done.stdout.startswith("3          10.1.0.0/24 ")
    assert done.stderr == f"eroute: {path}:2: no ->: nonsense\n"
    told = subprocess.run(
        [sys.executable, "-m", "engine.cli.ipsec", "eroute", "--file", "-"],
        input=path.read_bytes(), capture_output=True, check=False, env=os.environ | {"PYTHONPATH": str(MODULE_UTILS)},
    )  # fmt: skip
    assert (told.returncode, told.stdout.decode()) == (1, done.stdout)
    missing = execute([sys.executable, "-m", "engine.cli.ipsec", "eroute", "--file", str(tmp_path / "none")])
    assert missing.returncode == 64 and "--file: No such file" in missing.stderr


def test_a_file_that_is_no_table_is_told_in_few_and_harmless_lines(tmp_path: Path) -> None:
    path = tmp_path / "binary"
    path.write_bytes(b"\x1b[2J\xff\x07\n" * 500 + b"x" * 100_000)
    done = execute([sys.executable, "-m", "engine.cli.ipsec", "eroute", "--file", str(path)])
    assert done.returncode == 1 and done.stdout == "" and len(done.stderr) < 5000
    assert "\x1b" not in done.stderr and "\x07" not in done.stderr
    assert done.stderr.endswith(f"eroute: 491 more lines cannot be read; is {path} such a table?\n")


@pytest.mark.parametrize(
    "words", [["--src", "10.1.0.0/16", "--dst", "10.2.0.0/16", "--said", "%drop"], ["--specific"], ["--label", ""]]
)
def test_a_forgotten_action_is_no_listing(words: list[str]) -> None:
    done = execute([sys.executable, "-m", "engine.cli.ipsec", "eroute", *words])
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (64, "", 1)
    assert done.stderr.startswith(f"eroute: {words[0]}: ") or "--label: is empty" in done.stderr


@pytest.mark.parametrize("word", ["--help", "--version"])
def test_help_and_version_say_what_this_is(word: str) -> None:
    text = succeed(execute([sys.executable, "-m", "engine.cli.ipsec", "eroute", word]))
    assert "eroute" in text and "%%" not in text
