# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module ipsec_definitions: what it returns of each kind of file, and that keys stay where they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.issued import authority
from tests.signing_keys import private_pem

from ..running import run_module
from .conftest import Pair

DATA = Path(__file__).parents[2] / "engine" / "convert" / "data"


def convert(name: str, **arguments: Any) -> dict[str, Any]:
    return run_module("ipsec_definitions", {"src": str(DATA / name), **arguments})


def named(result: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {tunnel["name"]: tunnel for tunnel in result["tunnels"]}


@pytest.mark.parametrize(
    ("name", "format", "tunnels", "lacking"),
    [
        ("site.swanctl.conf", "swanctl", ["office", "phone"], []),
        ("strongswan.ipsec.conf", "ipsec_conf", ["spoke1", "spoke2", "l2tp"], ["spoke1", "spoke2", "l2tp"]),
        ("libreswan.ipsec.conf", "ipsec_conf", ["mesh", "pfs-off"], ["mesh", "pfs-off"]),
        ("aix.xml", "ikedb", ["P1_office"], []),
    ],
)
def test_each_format_is_known_by_looking(name: str, format: str, tunnels: list[str], lacking: list[str]) -> None:
    result = convert(name)
    assert result["format"] == format
    assert not result["changed"]
    # Ansible itself reads this key, and would show the task as one that was not run.
    assert "skipped" not in result
    assert list(named(result)) == tunnels
    assert result["missing_secrets"] == lacking
    shown = [{**tunnel["auth"], "secret_format": None} for tunnel in result["tunnels"]]
    assert all(auth == {"method": "psk", "secret": None, "secret_format": None} for auth in shown)
    assert {row["severity"] for row in result["report"]} <= {"ignored", "lost", "skipped"}
    assert yaml.safe_load(result["yaml"])["ipsec_tunnels"][0]["name"] == tunnels[0]
    assert f'IKE_TunnelName="{tunnels[0]}"' in result["ikedb_xml"]
    again = run_module("ipsec_definitions", {"content": result["ikedb_xml"], "format": "ikedb"})
    assert list(named(again)) == tunnels
    assert not again["report"] or lacking


def test_keys_are_told_only_to_tasks_that_are_not_logged() -> None:
    given = {"secrets_src": str(DATA / "libreswan.ipsec.secrets"), "local_addresses": ["192.0.2.20"]}
    plain = convert("libreswan.ipsec.conf", **given)
    assert plain["missing_secrets"] == []
    assert "east and west" not in json.dumps(plain)
    refused = convert("libreswan.ipsec.conf", include_secrets=True, **given)
    assert refused["failed"]
    assert "no_log: true" in refused["msg"]
    told = convert("libreswan.ipsec.conf", include_secrets=True, _ansible_no_log=True, **given)
    assert named(told)["mesh"]["auth"]["secret"] == "east and west"
    assert named(told)["mesh"]["local"]["id"] == "east.example.org"
    assert "east and west" not in told["yaml"] + told["ikedb_xml"]


CERTIFIED = """
connections { t { remote_addrs = 192.0.2.9
  local { certs = own.pem }
  remote { id = there.example.net }
  children { c { local_ts = 10.1.0.0/16
                 remote_ts = 10.2.0.0/16 } } } }
secrets { private-own { file = own.key
                        secret = "hush hush" } }
"""


def test_private_keys_are_named_and_their_passphrases_not_told(tmp_path: Path) -> None:
    files = {
        "swanctl.conf": CERTIFIED.encode(),
        "x509/own.pem": authority("ecdsa256").issue("here.example.net"),
        "x509ca/root.pem": authority("ecdsa256").pem,
        "private/own.key": private_pem("ecdsa256", passphrase=b"hush hush"),
    }
    for name, octets in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(octets)
    src = str(tmp_path / "swanctl.conf")
    plain = run_module("ipsec_definitions", {"src": src})
    auth = named(plain)["t"]["auth"]
    assert (auth["method"], auth["key"], auth["passphrase"]) == ("pubkey", f"{tmp_path}/private/own.key", None)
    assert "secret" not in auth and "hush" not in json.dumps(plain) and not plain["missing_secrets"]
    told = run_module("ipsec_definitions", {"src": src, "include_secrets": True, "_ansible_no_log": True})
    assert named(told)["t"]["auth"]["passphrase"] == "hush hush"


def test_a_local_address_that_is_none_is_refused() -> None:
    refused = convert("libreswan.ipsec.conf", local_addresses=["192.0.2.20", "foo"])
    assert refused["failed"] and "local_addresses[1]: is no address" in refused["msg"]


def test_a_text_of_its_own_is_never_shown() -> None:
    text = (DATA / "site.swanctl.conf").read_text(encoding="utf-8")
    result = run_module("ipsec_definitions", {"content": text})
    assert list(named(result)) == ["office", "phone"]
    assert "Tr0ub4dor" not in json.dumps(result)
    assert [row["instead"] for row in result["report"] if row["option"] == "include"] == [
        "the included files were not read"
    ]


def test_ikev1_is_skipped_or_upgraded() -> None:
    assert "oldpeer" in convert("libreswan.ipsec.conf")["unconverted"]
    assert "oldpeer" in named(convert("libreswan.ipsec.conf", upgrade_ikev1=True))


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        ({"src": "/nowhere/swanctl.conf"}, "src"),
        ({"content": "nothing that anybody knows"}, "format"),
        ({"content": "version 2\n\tnonsense\nconn a\n"}, "content:2"),
        ({"content": "<AIX_VPN>&x;</AIX_VPN>"}, "content:1"),
        ({"content": "conn a\n", "secrets_src": "/nowhere"}, "secrets_src"),
        ({}, "src, content"),
    ],
)
def test_bad_input_gives_one_clear_message(arguments: dict[str, Any], what: str) -> None:
    result = run_module("ipsec_definitions", arguments)
    assert result["failed"]
    assert what in result["msg"]


def test_what_it_returns_is_what_ipsec_tunnel_takes(managers: Pair) -> None:
    manager = managers[0]
    given = {"secrets_src": str(DATA / "strongswan.ipsec.secrets"), "include_secrets": True, "_ansible_no_log": True}
    tunnels = convert("strongswan.ipsec.conf", **given)["tunnels"]
    arguments = {"tunnels": tunnels, "control_socket": manager.control}
    assert run_module("ipsec_tunnel", arguments, check=True)["changed"]
    assert run_module("ipsec_tunnel", arguments)["changed"]
    assert not run_module("ipsec_tunnel", arguments)["changed"]
