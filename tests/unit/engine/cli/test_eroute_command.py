# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``ipsec eroute``: lines from the machine's own kernel, and from dumps with SAs."""

from __future__ import annotations

import ipaddress
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from engine.classic import views
from engine.cli import eroute
from engine.errors import MissingError
from engine.kernel import neighbours
from engine.kernel.registry import REQID_FIRST, Child, Identities, Registry
from engine.kernel.values import OUT, KernelSelector, Policy, SaState, Template

MODULE_UTILS = Path(__file__).resolve().parents[4] / "plugins" / "module_utils"
POLICIES = """
ip xfrm policy add src 10.1.0.0/16 dst 10.9.0.0/24 dir out action block priority 100
ip xfrm policy add src 10.1.0.0/16 dst 10.8.0.0/24 proto tcp dport 443 dir out priority 200 \\
    tmpl src 192.0.2.1 dst 192.0.2.2 proto esp mode tunnel reqid 7
ip xfrm policy add src 2001:db8::/32 dst ::/0 dir out priority 300
ip xfrm policy add src 10.9.0.0/24 dst 10.1.0.0/16 dir in priority 100
"""


def in_namespace(command: str) -> subprocess.CompletedProcess[str]:
    script = f"set -e; {POLICIES}\n{sys.executable} -m engine.cli.ipsec {command}"
    environment = os.environ | {"PYTHONPATH": str(MODULE_UTILS)}
    words = ["unshare", "--net", "sh", "-c", script]
    return subprocess.run(words, capture_output=True, text=True, env=environment, check=False)


@pytest.fixture(scope="module")
def namespaces() -> None:
    done = subprocess.run(["unshare", "--net", "ip", "xfrm", "policy"], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"needs root and network namespaces: {done.stderr}")


@pytest.mark.usefixtures("namespaces")
def test_lines_of_the_kernel_in_its_order():
    done = in_namespace("eroute")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        "0          10.1.0.0/16        -> 10.9.0.0/24        => %drop\n"
        "0          10.1.0.0/16        -> 10.8.0.0/24:443    => %trap:6\n"
        "0          2001:db8::/32      -> ::/0               => %pass\n"
    )


@pytest.mark.usefixtures("namespaces")
def test_json_of_the_kernel():
    rows = json.loads(in_namespace("eroute --json").stdout)
    assert [(row["action"], row["priority"]) for row in rows] == [("drop", 100), ("trap", 200), ("pass", 300)]


def selector(source: str, destination: str) -> KernelSelector:
    one, other = ipaddress.ip_network(source), ipaddress.ip_network(destination)
    return KernelSelector(
        one.version, one.network_address.packed, one.prefixlen, other.network_address.packed, other.prefixlen
    )


_NEIGHBOURS = KernelSelector(6, bytes(16), 0, bytes(16), 0, 58, 135, 0xFFFF)


class Kernel:
    """One tunnel with its SA, as the kernel would dump them."""

    def dump_outbound_policies(self) -> list[Policy]:
        template = Template("192.0.2.1", "192.0.2.2", 0xC0FFEE00, 50, "tunnel", REQID_FIRST)
        return [Policy(selector("10.1.0.0/16", "10.9.0.0/24"), OUT, 1000, templates=(template,))]

    def dump_sas(self) -> list[SaState]:
        return [
            SaState(
                "192.0.2.1", "192.0.2.2", 0xC0FFEE00, 50, "tunnel", REQID_FIRST, 4, ("rfc4106(gcm(aes))",), None, 128,
                False, False, 8400, 100, 1, 1, 1, 0, 0, selector("0.0.0.0/0", "0.0.0.0/0"),
            )
        ]  # fmt: skip

    def close(self) -> None:
        pass


def test_sa_with_its_count_and_whose_it_is(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(views, "XfrmClient", Kernel)
    registry = Registry(str(tmp_path))
    registry.record(REQID_FIRST, Child("fleet", "hq-b1", "lan"))
    registry.close()
    assert eroute.main(["--verbose", "--runtime-dir", str(tmp_path)]) == 0
    assert capsys.readouterr().out == (
        "100        10.1.0.0/16        -> 10.9.0.0/24        => esp0xc0ffee00@192.0.2.2\n"
        "\tchild lan of tunnel hq-b1, priority 1000\n"
    )


@pytest.mark.parametrize(("remote", "shown"), [("b1.example", "(hq.example) (b1.example)"), (None, "(hq.example) ()")])
def test_identities_of_a_tunnel_stand_behind_its_names(monkeypatch, capsys, tmp_path, remote, shown):
    monkeypatch.setattr(views, "XfrmClient", Kernel)
    registry = Registry(str(tmp_path))
    registry.record(REQID_FIRST, Child("fleet", "hq-b1", "lan"))
    registry.identify("hq-b1", Identities("hq.example", remote))
    registry.close()
    assert eroute.main(["--verbose", "--runtime-dir", str(tmp_path)]) == 0
    line, whose = capsys.readouterr().out.splitlines()
    assert "(" not in line and whose == f"\tchild lan of tunnel hq-b1 {shown}, priority 1000"
    assert eroute.main(["--json", "--runtime-dir", str(tmp_path)]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["source_identity"], row["destination_identity"]) == ("hq.example", remote)


def test_shared_counts_and_neighbour_discovery_are_told(monkeypatch, capsys, tmp_path):
    class Two(Kernel):
        def dump_outbound_policies(self) -> list[Policy]:
            (one,) = super().dump_outbound_policies()
            other = one._replace(selector=selector("10.1.0.0/16", "10.8.0.0/24"))
            return [one, other, Policy(_NEIGHBOURS, OUT, neighbours.PRIORITY)]

    monkeypatch.setattr(views, "XfrmClient", Two)
    assert eroute.main(["--verbose", "--runtime-dir", str(tmp_path)]) == 0
    *others, _policy, neighbour = capsys.readouterr().out.splitlines()
    assert neighbour == f"\tof the tunnel manager, lets neighbour discovery pass, priority {neighbours.PRIORITY}"
    assert [line.split()[0] for line in others[::2]] == ["100", "100"]
    assert all(line.endswith(", priority 1000, packets of all eroutes to it") for line in others[1::2])


@pytest.mark.parametrize("terminal", [True, False])
def test_people_are_told_of_shared_counts_and_scripts_are_not(monkeypatch, capsys, tmp_path, terminal):
    class Two(Kernel):
        def dump_outbound_policies(self) -> list[Policy]:
            (one,) = super().dump_outbound_policies()
            return [one, one._replace(selector=selector("10.1.0.0/16", "10.8.0.0/24"))]

    monkeypatch.setattr(views, "XfrmClient", Two)
    monkeypatch.setattr("sys.stdout.isatty", lambda: terminal)
    assert eroute.main(["--runtime-dir", str(tmp_path)]) == 0
    told = capsys.readouterr()
    assert len(told.out.splitlines()) == 2
    line = "eroute: 2 eroutes show what SAs carried that they share; --verbose says which\n"
    assert told.err == (line if terminal else "")


def test_no_registry_is_no_error(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(views, "XfrmClient", Kernel)
    assert eroute.main(["--verbose", "--runtime-dir", str(tmp_path / "none")]) == 0
    assert "not of a tunnel of ours" in capsys.readouterr().out
    assert not (tmp_path / "none").exists()


def test_kernel_that_cannot_be_asked(monkeypatch, capsys):
    def refuse() -> None:
        raise MissingError("no permission to read", "run as root")

    monkeypatch.setattr(views, "XfrmClient", refuse)
    assert eroute.main([]) == 69
    assert capsys.readouterr().err == "eroute: no permission to read; run as root\n"


@pytest.mark.parametrize("words", [["extra"], ["--bogus"]])
def test_bad_words(words, capsys):
    assert eroute.main(words) == 64
    assert "unrecognized arguments" in capsys.readouterr().err


def test_help_succeeds(capsys):
    with pytest.raises(SystemExit) as caught:
        eroute.main(["--help"])
    assert caught.value.code == 0 and "%trap" in capsys.readouterr().out
