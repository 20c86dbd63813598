# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A mistake of a user with a secret, in every module that takes one or has such neighbours: nothing it tells has it."""

from __future__ import annotations

import gc
import json
from importlib import import_module
from typing import Any

import pytest
from ansible.module_utils import basic

try:
    from ansible.module_utils.testing import patch_module_args
except ImportError:  # of an older ansible-core
    patch_module_args = None

SECRET = "hush0hush1hush2hush3hush4hush5ab"
PRIVATE = f"-----BEGIN PRIVATE KEY-----\n{SECRET}\n-----END PRIVATE KEY-----\n"
HEX = "0x" + "c0ffee42" * 9
NOWHERE = "/nonexistent/none.sock"
SA = {"said": "esp.1001@192.0.2.1", "source": "192.0.2.2", "mode": "tunnel"}

TUNNELS: list[dict[str, Any]] = [
    {"auth": SECRET},
    {"auth": f"secret={SECRET}"},
    {"auth": f"secret={SECRET} method"},
    {"auth": [SECRET]},
    {"auth": [{"secret": SECRET}]},
    {"auth": {"secrt": SECRET}},
    {"auth": {SECRET: "secret"}},
    {"auth": {SECRET: None}},
    {"auth": {"method": SECRET}},
    {"auth": {"secret": [SECRET]}},
    {"auth": {"secret": {"vault": SECRET}}},
    {"auth": {"secret": SECRET, "accept": SECRET}},
    {"auth": {"secret": SECRET, "accept": {SECRET: SECRET}}},
    {"auth": {"secret": SECRET, "accept": [[SECRET]]}},
    {"auth": {"secret": SECRET, "accept": [{"secret": SECRET}]}},
    {"auth": {"secret": SECRET, "acept": [SECRET]}},
    {"auth": {"secret": SECRET, "secret_format": SECRET}},
    {"auth": {"secret": "no matter which", "ppk": SECRET}},
    {"auth": {"secret": "no matter which", "ppk": [SECRET]}},
    {"auth": {"secret": "no matter which", "ppk": {"id": "a", "secret": SECRET}}},
    {"auth": {"secret": "no matter which", "ppk": [[SECRET]]}},
    {"auth": {"secret": "no matter which", "ppk": [{"secret": SECRET}]}},
    {"auth": {"secret": "no matter which", "ppk": [{"id": "a", "secrt": SECRET}]}},
    {"auth": {"secret": "no matter which", "ppk": [{"id": {"a": SECRET}}]}},
    {"auth": {"secret": "no matter which", "ppk": [{"id": "a", "secret": SECRET, "required": SECRET}]}},
    {"auth": {"secret": "no matter which", "ppk": [{"id": "a", "secret": SECRET, "secret_format": SECRET}]}},
    {"auth": {"secret": "no matter which", "ppk": [{"id": "a", "secret": [SECRET]}]}},
    {"auth": {"method": "pubkey", "key": PRIVATE}},
    {"auth": {"method": "pubkey", "key": "/k.pem", "certificate": PRIVATE, "ca": [PRIVATE]}},
    {"auth": {"method": "pubkey", "key": "/k.pem", "certificate": "/c.pem", "ca": PRIVATE}},
    {"auth": {"method": "raw", "key": [PRIVATE], "remote_key": PRIVATE}},
    {"auth": {"method": "raw", "key": "/k.pem", "remote_key": "/r.pem", "passphrase": [SECRET]}},
    {"auth": {"method": PRIVATE, "remote_ca": PRIVATE, "demands": [PRIVATE]}},
    {"remote": {"id": PRIVATE}},
    {"ppk": [{"id": "a", "secret": SECRET}]},
    {"secret": SECRET},
    {"psk": {"secret": SECRET}},
    {SECRET: "psk"},
    {"local": {"secret": SECRET}},
    {"remote": SECRET},
    {"ike": {"secret": SECRET}},
    {"ike": [SECRET]},
    {"children": SECRET},
    {"children": [SECRET]},
    {"children": [[SECRET]]},
    {"children": [{"name": "lan", "secret": SECRET}]},
    {"children": {"lan": {"secret": SECRET}}},
    {"wait": SECRET},
    {"wait": {"secret": SECRET}},
]
SAS: list[dict[str, Any]] = [
    {"encryption": HEX},
    {"encryption": f"algorithm=aes key={HEX}"},
    {"encryption": f"key={HEX}"},
    {"encryption": [HEX]},
    {"encryption": {"algorithm": "aes-cbc", "kee": HEX}},
    {"encryption": {"algorithm": "aes-cbc", "key": [HEX]}},
    {"encryption": {"algorithm": "aes-cbc", "key": {"hex": HEX}}},
    {"encryption": {"algorithm": HEX}},
    {"encryption": {"algorithm": HEX, "key": HEX}},
    {"encryption": {"key": HEX}},
    {"encryption": {HEX: "key"}},
    {"encryption": {HEX: None}},
    {"encryption": {"algorithm": "aes-cbc", "key": HEX}, "integrity": HEX},
    {"integrity": {"algorithm": "sha256", "secret": HEX}},
    {"key": HEX},
    {"enckey": HEX},
    {HEX: "key"},
    {"lifetime": HEX},
    {"lifetime": {"key": HEX}},
]
CONTENTS = [
    {"contents": SECRET},
    {"content": [SECRET]},
    {"content": {"secret": SECRET}},
    {"content": f"secrets {{ ike {{ secrt = {SECRET} }} }}", "format": "swanctl"},
    {"content": f"secrets {{ ike {{ {SECRET} }} }}", "format": "swanctl"},
    {"content": f"secrets {{ ppk-a {{ id = a\n secret = {SECRET} }} }}", "format": "swanctl"},
    {"content": f"secrets {{ ppk-a {{ id = a\n secrt = {SECRET} }} }}", "format": "swanctl"},
    {"content": f": PPKS a {SECRET}", "format": "ipsec_conf"},
    {"content": f": PSK {SECRET}", "format": "ipsec_conf"},
    {"content": SECRET},
    {"content": "connections { }", "secret": SECRET},
    {"content": "connections { }", "secrets_src": [SECRET]},
    {"content": "connections { }", "secrets": {"ike": SECRET}},
]
NEIGHBOURS: list[tuple[str, dict[str, Any]]] = [
    (module, {**options, **wrong})
    for module, options in {
        "ipsec_sa_info": {},
        "ipsec_spigrp": {"said": ["esp.100@192.0.2.1", "ah.101@192.0.2.1"]},
        "ipsec_spigrp_info": {},
        "ipsec_eroute": {"source": "192.0.2.0/24"},
        "ipsec_eroute_facts": {},
        "ipsec_tunnel_info": {},
        "ikeping": {"hosts": ["192.0.2.1"]},
    }.items()
    for wrong in ({"enc_key": HEX}, {"key": HEX, "sekret": SECRET}, {"enckey": {"a": HEX}}, {"psk": [SECRET]})
]
NEIGHBOURS += [
    ("ipsec_spigrp", {"sas": [{"spi": 256, "key": SECRET}]}),
    ("ipsec_spigrp", {"sas": [f"esp.100@192.0.2.1 enckey={SECRET}"]}),
    ("ipsec_spigrp", {"positional": [f"inet 192.0.2.1 0x100 esp --authkey={SECRET}"]}),
    ("ipsec_sa_info", {"saids": [f"esp.100@192.0.2.1 key: {SECRET}"]}),
]


def cases() -> list[Any]:
    found: list[tuple[str, dict[str, Any]]] = []
    for each in TUNNELS:
        found.append(("ipsec_tunnel", {"name": "pair", **each}))
        found.append(("ipsec_tunnel", {"tunnels": [{"name": "a"}, {"name": "b", **each}]}))
    found += [("ipsec_tunnel", {"tunnels": each}) for each in (SECRET, [SECRET], [[SECRET]], {"a": {"secret": SECRET}})]
    for each in SAS:
        found.append(("ipsec_sa", {**SA, **each}))
        found.append(("ipsec_sa", {"sas": [SA, {**SA, **each}]}))
    found += [("ipsec_sa", {"sas": each}) for each in (HEX, [HEX], [[HEX]], {"key": HEX}, f"key={HEX}")]
    found += [("ipsec_definitions", each) for each in CONTENTS]
    found += NEIGHBOURS
    return [pytest.param(*each, id=f"{number}-{each[0]}") for number, each in enumerate(found)]


def run(monkeypatch: pytest.MonkeyPatch, module: str, arguments: dict[str, Any], check: bool) -> None:
    """Run a module in this process, for there are hundreds of cases."""
    arguments = {**arguments, "_ansible_check_mode": check, "_ansible_diff": True, "_ansible_remote_tmp": "/tmp"}
    main = import_module(f"ansible_collections.fleet.ipsec.plugins.modules.{module}").main
    monkeypatch.setattr(basic.syslog, "syslog", lambda _priority, line: print(line))
    monkeypatch.setattr(basic, "has_journal", False)
    try:
        with pytest.raises(SystemExit):
            if patch_module_args is None:
                monkeypatch.setattr(basic, "_ANSIBLE_ARGS", json.dumps({"ANSIBLE_MODULE_ARGS": arguments}).encode())
                main()
            else:
                with patch_module_args(arguments):
                    main()
    finally:
        gc.enable()  # which modules that are about to end do without


@pytest.mark.parametrize("check", [False, True], ids=["", "check"])
@pytest.mark.parametrize(("module", "arguments"), cases())
def test_it_is_not_shown(
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    module: str,
    arguments: dict[str, Any],
    check: bool,
) -> None:
    more = {"control_socket": NOWHERE} if module == "ipsec_tunnel" else {}
    run(monkeypatch, module, {**arguments, **more}, check)
    said = "".join(capfd.readouterr())
    for word in (SECRET, HEX, HEX[2:]):
        assert word not in said, said
    result = json.loads(said.strip().splitlines()[-1])
    assert result.get("failed") or module == "ipsec_definitions"


@pytest.mark.parametrize("name", ["colour", "identity", "auht", "local_id"])
def test_the_name_of_an_unknown_option_is_told(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], name: str
) -> None:
    run(monkeypatch, "ipsec_sa", {**SA, "encryption": {"algorithm": "aes256", name: "blue"}}, False)
    result = json.loads(capfd.readouterr().out.strip().splitlines()[-1])
    assert f"encryption.{name}" in result["msg"] and "algorithm" in result["msg"]
    assert result["invocation"]["module_args"] == {**SA, "encryption": {"algorithm": "aes256"}}


def test_an_option_of_another_name_is_shown(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    run(monkeypatch, "ipsec_spigrp", {"said": ["esp.100"]}, False)
    result = json.loads(capfd.readouterr().out.strip().splitlines()[-1])
    assert "got 'esp.100'" in result["msg"]
    assert result["invocation"]["module_args"] == {"said": ["esp.100"]}
