# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Post-quantum preshared keys of strongSwan and Libreswan into definitions, and out as YAML."""

from __future__ import annotations

import pytest
import yaml
from engine.convert import yaml_writer
from engine.convert.report import LOST, SKIPPED
from samples import manager_takes, read_text, told

SWANCTL = """
connections {{
  t {{
    version = 2
    local_addrs = 192.0.2.1
    remote_addrs = 192.0.2.9
    {connection}
    local {{ auth = psk }}
    remote {{ auth = psk }}
    children {{ c {{
      local_ts = 10.1.0.0/16
      remote_ts = 10.2.0.0/16
    }} }}
  }}
}}
secrets {{
  ike {{ secret = "some key" }}
  {secrets}
}}
"""
IPSEC_CONF = """
conn t
    ikev2=insist
    authby=secret
    left=192.0.2.1
    right=192.0.2.9
    leftsubnet=10.1.0.0/16
    rightsubnet=10.2.0.0/16
    {connection}
"""
KEY = "a post-quantum key of the tests."
TWO = """ppk-1 { id = fleet-1
                 secret = "a post-quantum key of the tests." }
         ppk-2 { id = fleet-2
                 id-b = fleet-b
                 secret = 0x000102 }"""


def swanctl(connection: str, secrets: str = TWO):
    return read_text(SWANCTL.format(connection=connection, secrets=secrets), "swanctl")


def ipsec_conf(connection: str, secrets: str = f': PPKS "fleet-1" "{KEY}"'):
    return read_text(IPSEC_CONF.format(connection=connection), "ipsec_conf", f': PSK "some key"\n{secrets}')


@pytest.mark.parametrize(
    ("connection", "name", "octets", "required"),
    [
        ("ppk_id = fleet-1", "fleet-1", KEY.encode(), False),
        ("ppk_id = fleet-1\n ppk_required = yes", "fleet-1", KEY.encode(), True),
        ("ppk_id = fleet-b\n ppk_required = no", "fleet-b", bytes(range(3)), False),
    ],
)
def test_strongswan_names_one(connection, name, octets, required):
    found = swanctl(connection)
    (ppk,) = manager_takes(found.tunnels[0]).ppks
    assert (ppk.id, ppk.secret.reveal(), ppk.required) == (name, octets, required)
    assert not found.notes


@pytest.mark.parametrize(
    ("connection", "secrets", "required"),
    [
        ("ppk=insist", f': PPKS "fleet-1" "{KEY}"', True),
        ("ppk=yes", f': PPKS "fleet-1" "{KEY}"', False),
        ("ppk=permit", f'192.0.2.1 192.0.2.9 : PPKS fleet-1 "{KEY}"', False),
        ("ppk=insist\n    ppk-ids=fleet-1", f': PPKS "fleet-2" other\n: PPKS "fleet-1" "{KEY}"', True),
    ],
)
def test_libreswan_has_one_for_the_ends(connection, secrets, required):
    found = ipsec_conf(connection, secrets)
    (ppk,) = manager_takes(found.tunnels[0]).ppks
    assert (ppk.id, ppk.secret.reveal(), ppk.required) == ("fleet-1", KEY.encode(), required)
    assert not told(found, "ppk")


@pytest.mark.parametrize("found", [swanctl(""), ipsec_conf("ppk=no"), ipsec_conf("ppk=never"), ipsec_conf("")])
def test_who_asks_for_none_gets_none(found):
    assert manager_takes(found.tunnels[0]).ppks == ()
    assert "ppk" not in found.tunnels[0].document["auth"]


@pytest.mark.parametrize(
    ("found", "severity"),
    [
        (swanctl("ppk_required = yes", ""), SKIPPED),
        (ipsec_conf("ppk=insist", ""), SKIPPED),
        (ipsec_conf("ppk=yes", ""), LOST),
        (swanctl("ppk_id = fleet-9\n ppk_required = yes"), LOST),
    ],
)
def test_what_is_missing_is_told(found, severity):
    assert (severity, "t") in told(found, "ppk")
    assert bool(found.tunnels) == (severity != SKIPPED)


def test_a_pattern_names_none():
    assert (LOST, "t") in told(swanctl("ppk_id = *.example"), "ppk_id")


def test_a_key_of_authentication_is_no_post_quantum_one():
    found = swanctl("ppk_id = fleet-1")
    assert found.tunnels[0].credential.secret.reveal() == b"some key"


def test_the_yaml_refers_to_a_vault():
    found = swanctl("ppk_id = fleet-2\n ppk_required = yes")
    text = yaml_writer.playable([tunnel.document for tunnel in found.tunnels])
    (written,) = yaml.safe_load(text)["ipsec_tunnels"]
    assert written["auth"]["ppk"] == [
        {"id": "fleet-2", "secret_format": "hex", "secret": '{{ ipsec_tunnel_ppks["fleet-2"] }}'}
    ]
    assert "000102" not in text
    public = manager_takes(found.tunnels[0]).public()
    assert "hidden" not in yaml_writer.playable([public])
