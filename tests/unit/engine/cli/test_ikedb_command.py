# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``ikedb`` against a real manager: the database out and in, conversion, and that no secret ever comes out."""

from __future__ import annotations

import contextlib
import io
import json
import socket
import stat
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from engine.cli import files, ikedb
from engine.manager.store import Store

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "manager"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "convert"))

from manager_lab import SECRET, Process, definition
from swanctl_folder import KIND, converted

from tests.signing_keys import private_pem

DATA = Path(__file__).resolve().parents[1] / "convert" / "data"
DMZ = {"name": "dmz", "local": ["10.1.0.0/16[tcp/443]"], "remote": ["10.8.0.0/16"], "start": "trap"}
OTHER = definition("hq-b2", 12)


@pytest.fixture(scope="module")
def process(tmp_path_factory) -> Iterator[Process]:
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _unused in range(2)]
        for probe in probes:
            probe.bind(("127.0.0.4", 0))
        ports = [probe.getsockname()[1] for probe in probes]
    manager = Process(tmp_path_factory.mktemp("manager"), "127.0.0.4", *ports)
    manager.start()
    yield manager
    assert "internal error" not in manager.log.read_text()
    manager.stop()


class Gateway:
    """The command beside its manager."""

    def __init__(self, process: Process, capsys) -> None:
        self.process = process
        self._capsys = capsys

    def run(self, *words: str, stdin: str = "", status: int = 0) -> str:
        """Run the command; returns what it printed, and keeps what it complained of."""
        sys.stdin = io.TextIOWrapper(io.BytesIO(stdin.encode()), encoding="utf-8")
        try:
            got = ikedb.main([*words, "--control", self.process.control])
        finally:
            sys.stdin = sys.__stdin__
        out, self.err = self._capsys.readouterr()
        assert got == status, out + self.err
        assert SECRET not in out + self.err
        return out

    def names(self) -> list[str]:
        return [row["name"] for row in self.process.call("tunnels.list", source="database")["tunnels"]]

    def documents(self) -> dict[str, dict]:
        rows = self.process.call("tunnels.list", source="database", verbose=True)["tunnels"]
        return {row["name"]: row["definition"] for row in rows}


@pytest.fixture
def gateway(process, capsys) -> Iterator[Gateway]:
    """With two tunnels, one of which has a child that waits for traffic."""
    process.call("tunnels.apply", purge=True)
    first = definition()
    first["children"].append(DMZ)
    process.apply(first, OTHER)
    yield Gateway(process, capsys)


def test_out_and_in_again_changes_nothing(gateway, tmp_path):
    before = gateway.documents()
    xml = gateway.run("-g")
    assert '<IKETunnel IKE_TunnelName="hq-b1"' in xml
    gateway.run("-x", "yes")
    assert gateway.names() == []
    secrets = tmp_path / "ipsec.secrets"
    secrets.write_text(f': PSK "{SECRET}"\n')
    (tmp_path / "db.xml").write_text(xml)
    assert "created" in gateway.run("-p", "-k", str(secrets), str(tmp_path / "db.xml"))
    assert gateway.documents() == before
    assert "as it was" in gateway.run("-pF", str(tmp_path / "db.xml"))


def test_an_existing_name_is_refused_without_force_and_nothing_is_changed(gateway):
    xml = gateway.run("-g").replace('KeyRefreshMinutes="60"', 'KeyRefreshMinutes="30"')
    before = gateway.documents()
    gateway.run("-p", stdin=xml.replace("hq-b2", "new"), status=64)
    assert "hq-b1" in gateway.err and "-F" in gateway.err
    assert gateway.documents() == before
    out = gateway.run("-p", "-F", stdin=xml)
    assert "changed" in out
    changed = gateway.documents()["hq-b1"]
    assert changed["children"][0]["lifetime"] == 1800
    assert changed["auth"]["secret"] == "hidden"


def test_an_import_without_a_key_keeps_the_key_that_is_there(gateway, process):
    xml = gateway.run("-g", "-t", "IKETunnel", "-n", "hq-b1")
    assert "IPSecTunnel" not in xml
    whole = gateway.run("-g").replace('IPSec_Flags_OnDemand="Yes"', 'IPSec_Flags_OnDemand="No"')
    gateway.run("-pF", stdin=whole)
    assert gateway.documents()["hq-b1"]["children"][1]["start"] == "manual"
    process.stop()
    rows = Store(str(process.root / "definitions.sqlite"))
    stored = rows.load()["hq-b1"].definition
    rows.close()
    process.start()
    assert stored.credential.secret.reveal() == SECRET.encode()


def test_a_new_tunnel_without_a_key_is_refused(gateway):
    xml = gateway.run("-g").replace("hq-b2", "hq-b7")
    before = gateway.documents()
    gateway.run("-p", "-F", stdin=xml, status=1)
    assert "no pre-shared key for hq-b7" in gateway.err
    assert gateway.documents() == before


def test_a_key_in_the_xml_is_taken_and_never_comes_out(gateway):
    xml = (
        gateway.run("-g")
        .replace("hq-b2", "hq-b7")
        .replace("203.0.0.14", "203.0.0.99")
        .replace("10.9.12.0", "10.9.77.0")
    )
    key = "a key that stands in the XML itself"
    held = f'<IKEPresharedKey Format="ASCII" Value="{key}"><FQDN Value="b12.example.net"/></IKEPresharedKey>'
    xml = xml.replace("</AIX_VPN>", f"{held}</AIX_VPN>")
    out = gateway.run("-pF", stdin=xml)
    assert "(hq-b7): created" in out
    for words in (["-g"], ["-gr"], ["-g", "--yaml"], ["-g", "--json"]):
        assert key not in gateway.run(*words) + gateway.err


def test_swapped_for_the_peer(gateway, process):
    xml = gateway.run("-g")
    before = gateway.documents()["hq-b1"]
    gateway.run("-x", "yes")
    gateway.run("-p", "-s", stdin=xml.replace("</AIX_VPN>", f'<IKEPresharedKey Value="{"k" * 32}"/></AIX_VPN>'))
    after = gateway.documents()["hq-b1"]
    assert after["local"] == {key: before["remote"][key] for key in ("address", "id")}
    assert after["remote"]["id"] == before["local"]["id"]
    assert after["children"][1]["remote"] == before["children"][1]["local"]


def test_a_dangling_reference_is_told_and_leaves_its_tunnel_as_it_was(gateway):
    xml = gateway.run("-g").replace('IKE_TunnelName="hq-b2" IPSec', 'IKE_TunnelName="gone" IPSec')
    before = gateway.documents()
    gateway.run("-pF", stdin=xml)
    assert "names IKETunnel gone" in gateway.err
    assert gateway.documents() == before


def test_check_tells_and_changes_nothing(gateway):
    xml = gateway.run("-g").replace('KeyRefreshMinutes="60"', 'KeyRefreshMinutes="30"')
    before = gateway.documents()
    assert "would be changed" in gateway.run("-pF", "--check", stdin=xml)
    assert "would be removed" in gateway.run("-x", "yes", "--dry-run")
    assert "would be removed" in gateway.run("-d", "-t", "IKETunnel", "-n", "hq-b1", "--check")
    assert gateway.documents() == before


def test_delete_a_tunnel_and_a_phase_2_tunnel(gateway):
    gateway.run("-d", "-t", "IPSecTunnel", "-n", "hq-b1:dmz")
    assert [child["name"] for child in gateway.documents()["hq-b1"]["children"]] == ["lan"]
    gateway.run("-d", "-t", "IPSecTunnel", "-n", "lan", status=64)
    assert "several" in gateway.err
    gateway.run("-d", "-t", "IKETunnel", "-n", "hq-b2")
    assert gateway.names() == ["hq-b1"]
    gateway.run("-d", "-t", "IKETunnel", "-n", "hq-b2", status=64)
    gateway.run("-d", "-t", "IKEProtection", "-n", "hq-b1", status=64)


def test_written_files_are_for_root_alone(gateway, tmp_path):
    path = tmp_path / "out.xml"
    gateway.run("-g", "-f", str(path))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert SECRET not in path.read_text()
    gateway.run("-g", "-f", str(path), status=1)
    path.chmod(0o644)
    gateway.run("-g", "-F", "--yaml", "-f", str(path))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text().startswith("---\n")
    assert not [left for left in tmp_path.iterdir() if left != path]


def test_raw_has_aix_words_alone(gateway):
    assert "<?fleet" in gateway.run("-g")
    assert "fleet-ipsec" not in gateway.run("-g", "-r").replace("fleet.ipsec", "")


def test_convert_an_ipsec_conf_into_the_database(gateway):
    conf, secrets = str(DATA / "libreswan.ipsec.conf"), str(DATA / "libreswan.ipsec.secrets")
    gateway.run("-x", "yes")
    out = gateway.run("-c", "-l", conf, "-k", secrets, "--local", "192.0.2.20")
    assert "(mesh): created" in out
    assert gateway.documents()["mesh"]["local"]["id"] == "east.example.org"
    assert "oldpeer" in gateway.err and "skipped" in gateway.err
    assert "east and west" not in gateway.err
    gateway.run("-c", "-l", conf, "-k", secrets, "--local", "192.0.2.20", status=64)


def test_convert_a_swanctl_conf_into_a_file(gateway, tmp_path):
    path = tmp_path / "out.xml"
    gateway.run("-c", "--swanctl", str(DATA / "site.swanctl.conf"), "-f", str(path))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert 'IKE_TunnelName="office"' in path.read_text()
    assert "Tr0ub4dor" not in path.read_text() + gateway.err
    assert gateway.names() == ["hq-b1", "hq-b2"]


def test_xml_tells_that_it_lacks_keys_and_certificates(gateway, tmp_path):
    converted(tmp_path)
    conf = str(tmp_path / "swanctl.conf")
    gateway.run("-c", "--swanctl", conf, "-f", str(tmp_path / "out.xml"))
    assert "the XML lacks keys and certificates" in gateway.err
    assert f"{tmp_path}/private/own.key" in gateway.run("-c", "--swanctl", conf, "--yaml")
    assert "lacks keys" not in gateway.err


def test_certificates_of_a_swanctl_conf_go_into_the_database_and_out_as_variables(gateway, tmp_path):
    secret = "secrets { private-own { file = own.key\n secret = hush } }"
    converted(tmp_path, rest=secret, files={"private/own.key": private_pem(KIND, passphrase=b"hush")})
    assert "(t): created" in gateway.run("-c", "--swanctl", str(tmp_path / "swanctl.conf"))
    assert gateway.documents()["t"]["auth"]["key"] == f"{tmp_path}/private/own.key"
    out = gateway.run("-g", "--yaml")
    assert "passphrase: \"{{ ipsec_tunnel_secrets['t'] }}\"" in out and "hush" not in out


def test_the_report_for_machines(gateway):
    out = gateway.run("-c", "--swanctl", str(DATA / "site.swanctl.conf"), "--json", "--yaml")
    answer = json.loads(out)
    assert answer["format"] == "swanctl"
    assert "old-router" in answer["unconverted"]
    assert {"severity", "file", "line", "option", "value", "instead", "remedy", "tunnel"} == set(answer["report"][0])
    assert "Tr0ub4dor" not in out


def test_own_addresses_are_those_that_can_be_bound():
    text = "left=127.0.0.1\nright=203.0.113.77\nleftsubnet=127.0.0.0/8\nx=::1\ny=10.1.2.300"
    assert files.own_addresses(text) == ["127.0.0.1", "::1"]


def test_what_is_no_address_is_neither_looked_up_nor_long_thought_about(monkeypatch):
    tried = []
    monkeypatch.setattr(files, "_is_own", tried.append)
    began = time.monotonic()
    assert files.own_addresses("at 10:30 on 1.2.3.400 or 12:34:56, " + "a:" * 100_000 + "g 192.0.2.7\n") == []
    assert tried == ["192.0.2.7"] and time.monotonic() - began < 2


def test_the_grammar_and_the_help_need_no_manager(capsys):
    assert ikedb.main(["-o"]) == 0
    assert "<!ELEMENT IKETunnel" in capsys.readouterr().out
    assert ikedb.main(["--help"]) == 0
    assert "usage: ikedb" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "what"),
    [
        ([], "say once what to do"),
        (["-p", "-g"], "say once what to do"),
        (["-g", "-s"], "-s does not go with -g"),
        (["-x"], "ikedb -x yes"),
        (["-x", "no"], "ikedb -x yes"),
        (["-d"], "say what to delete"),
        (["-g", "-n", "a"], "-n needs -t"),
        (["-g", "-t", "Nothing"], "use one of"),
        (["-g", "-t", "IKEPresharedKey"], "never given out"),
        (["-g", "-i", "a", "-y", "FQDN"], "never given out"),
        (["-p", "-e", "entities"], "name all XML files"),
        (["-R", "LDAP", "-p"], "not kept in LDAP"),
        (["-c", "-l", "a", "--swanctl", "b"], "--swanctl"),
        (["--nonsense"], "--nonsense"),
    ],
)
def test_wrong_words(words, what, capsys):
    assert ikedb.main(words) == 64
    out, err = capsys.readouterr()
    assert what in err
    assert not out and err.count("\n") == 1


@pytest.mark.parametrize(
    "words", [["-p", "/nowhere.xml"], ["-c", "-l", "/nowhere.xml"], ["-c", "-l", "/dev/null", "-k", "/nowhere.xml"]]
)
def test_a_file_that_cannot_be_read_is_no_wrong_word(words, capsys):
    assert ikedb.main(words) == 1
    assert "No such file or directory (got '/nowhere.xml')" in capsys.readouterr().err


def test_without_a_manager(capsys, tmp_path):
    assert ikedb.main(["-g", "--control", str(tmp_path / "none")]) == 1
    assert "is not running" in capsys.readouterr().err


def test_every_kind_of_identity_goes_through_the_database(gateway, process):
    process.call("tunnels.apply", purge=True)
    ends = ["hq.example", "ops@hq.example", "dn:C=DE, O=Fleet, CN=hq", "keyid:hq", "192.0.2.1", "2001:db8::1"]
    networks = ["10.{}.0.0/16", "10.{}.0.7", "10.{}.0.10-10.{}.0.20", "10.{}.0.0/24[udp/53]"]
    for number, identity in enumerate(ends):
        process.apply({
            "name": f"t{number}",
            "local": {"id": identity},
            "remote": {"address": f"203.0.113.{number + 10}", "id": ends[number - 1]},
            "auth": {"secret": SECRET},
            "children": [
                {"name": f"c{position}", "local": [text.replace("{}", f"{number * 10 + position}")],
                 "remote": [text.replace("{}", f"{number * 10 + position + 100}")]}
                for position, text in enumerate(networks)
            ],
        })  # fmt: skip
    before = gateway.documents()
    xml = gateway.run("-g")
    gateway.run("-x", "yes")
    gateway.run("-p", stdin=xml.replace("</AIX_VPN>", f'<IKEPresharedKey Value="{"k" * 32}"/></AIX_VPN>'))
    assert gateway.documents() == before
    assert not any(line for line in gateway.err.splitlines() if "lost" in line.split(": ")[1:2])
