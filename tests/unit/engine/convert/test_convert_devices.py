# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Route-based connections become route-based tunnels, or none: never a policy for everything."""

from __future__ import annotations

import pytest
from engine.convert.report import LOST, SKIPPED
from engine.manager.request_reader import read_wishes
from samples import manager_takes, read_text

# As cloud providers publish them: everything to everything, chosen by mark and VTI.
CLOUD = """
conn %default
\tauthby=secret
\tikev2=insist
\tauto=start
\tleftsubnet=0.0.0.0/0
\trightsubnet=0.0.0.0/0
\tvti-routing=no
conn cloud-1
\tleft=192.0.2.5
\tleftid=203.0.113.5
\tright=198.51.100.1
\tmark=5/0xffffffff
\tvti-interface=vti1
\tleftvti=169.254.10.2/30
conn cloud-2
\tleft=192.0.2.5
\tleftid=203.0.113.5
\tright=198.51.100.2
\tmark=6/0xffffffff
\tvti-interface=vti2
\tleftvti=169.254.11.2/30
"""

SWANCTL = """
connections {{
  t {{
    version = 2
    local_addrs = 192.0.2.1
    remote_addrs = 192.0.2.9
    {connection}
    local {{ auth = psk }}
    remote {{ auth = psk }}
    children {{
      a {{ local_ts = 0.0.0.0/0
           remote_ts = 0.0.0.0/0
           {a} }}
      b {{ local_ts = 10.1.0.0/16
           remote_ts = 10.2.0.0/16
           {b} }}
    }}
  }}
}}
secrets {{ ike {{ secret = "some key" }} }}
"""


def conn(text: str):
    return read_text(text, "ipsec_conf", ': PSK "some key, thirty-two characters"')


def one(*lines: str):
    return conn(CLOUD.split("conn cloud-2", maxsplit=1)[0].replace("\tmark=5/0xffffffff\n\tvti-interface=vti1\n", "")
                .replace("\tleftvti=169.254.10.2/30\n", "") + "".join(f"\t{line}\n" for line in lines))  # fmt: skip


def interfaces(found) -> list[dict]:
    return [manager_takes(tunnel).document["interface"] for tunnel in found.tunnels]


def skipped(found) -> str:
    return " ".join(f"{note.option} {note.instead} {note.remedy}" for note in found.notes if note.severity == SKIPPED)


def test_two_tunnels_of_a_cloud_stand_beside_each_other():
    found = conn(CLOUD)
    assert interfaces(found) == [
        {"name": f"vti{n}", "id": n + 4, "addresses": [f"169.254.1{n - 1}.2/30"], "routes": [], "mtu": 1500}
        for n in (1, 2)
    ]
    assert not skipped(found)
    definitions = [
        {**tunnel.document, "auth": {"secret": "some key, thirty-two characters"}} for tunnel in found.tunnels
    ]
    read_wishes({"definitions": definitions, "state": "active", "purge": False, "owner": ""}, {})


def test_a_network_behind_two_tunnels_is_routed_into_the_first():
    found = conn(
        CLOUD.replace("\trightsubnet=0.0.0.0/0\n", "\trightsubnet=172.20.0.0/16\n").replace("\tvti-routing=no\n", "")
    )
    assert [interface["routes"] for interface in interfaces(found)] == [["172.20.0.0/16"], []]
    (note,) = [note for note in found.notes if "is routed into the interface" in note.instead]
    assert (note.severity, note.tunnel) == ("lost", "cloud-2")
    definitions = [
        {**tunnel.document, "auth": {"secret": "some key, thirty-two characters"}} for tunnel in found.tunnels
    ]
    read_wishes({"definitions": definitions, "state": "active", "purge": False, "owner": ""}, {})


@pytest.mark.parametrize(
    ("lines", "interface"),
    [
        (["ipsec-interface=yes", "leftinterface-ip=169.254.10.2/30"], {"name": "ipsec1", "id": 1}),
        (["ipsec-interface=7"], {"name": "ipsec7", "id": 7}),
        (["ipsec-interface=0"], {"name": "ipsec0", "id": None}),
        (["vti-interface=vti9", "mark=-1/0xffffffff"], {"name": "vti9", "id": None}),
        (["vti-interface=vti9", "mark=%unique"], {"name": "vti9", "id": None}),
        (["vti-interface=vti9", "mark-in=0x10", "mark-out=0x10"], {"name": "vti9", "id": 16}),
        (["vti-interface=vti9", "mark_in=1", "mark_out=2"], {"name": "vti9", "id": None}),
    ],
)
def test_the_interface_of_a_conn(lines: list[str], interface: dict):
    (made,) = interfaces(one(*lines))
    assert {key: made[key] for key in interface} == interface
    assert made["routes"] == [] and made["addresses"] == (["169.254.10.2/30"] if len(lines[-1]) > 25 else [])


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["mark=5"], "chosen by a mark, and no interface is named"),
        (["mark=0x0/0xff"], "chosen by a mark, and no interface is named"),
        (["mark_out=0/0xff"], "chosen by a mark, and no interface is named"),
        (["leftvti=169.254.10.2/30"], "no interface is named"),
        (["installpolicy=no"], "another program makes its policies"),
        (["vti-interface=vti1", "installpolicy=no"], "another program makes its policies"),
        (["ipsec-interface=ipsec0"], "not the number of an interface"),
        (["vti-interface=an-interface-of-20", "mark=5"], "not a usable interface name"),
    ],
)
def test_a_conn_without_an_interface_is_no_policy_for_everything(lines: list[str], words: str):
    found = one(*lines)
    assert not found.tunnels and words in skipped(found)


def test_what_says_that_there_is_none_is_no_matter():
    lines = ["mark=0", "mark_in=0x00000000/0x0", "vti-interface=no", "ipsec-interface=no", "installpolicy=yes"]
    assert interfaces(one(*lines)) == [None]


def test_two_conns_never_share_an_interface_nor_an_id():
    found = conn(CLOUD.replace("vti2", "vti1"))
    assert [tunnel.name for tunnel in found.tunnels] == ["cloud-1"]
    assert "its interface vti1 is that of tunnel cloud-1" in skipped(found)
    # Ends that cannot be told apart would become children of one tunnel, which has one interface.
    found = conn(CLOUD.replace("198.51.100.2", "198.51.100.1"))
    assert [tunnel.name for tunnel in found.tunnels] == ["cloud-1"]
    assert "it has the ends of cloud-1, but another interface" in skipped(found)


def swanctl(connection: str = "", a: str = "", b: str = ""):
    return read_text(SWANCTL.format(connection=connection, a=a, b=b), "swanctl")


def children(found) -> list[str]:
    (tunnel,) = found.tunnels
    return [child["name"] for child in manager_takes(tunnel).document["children"]]


def test_an_interface_id_becomes_an_interface():
    found = swanctl("if_id_in = 42\n if_id_out = 42")
    assert interfaces(found) == [{"name": "ipsec42", "id": 42, "addresses": [], "routes": [], "mtu": 1500}]
    assert children(found) == ["a", "b"]
    assert any(note.severity == LOST and "called ipsec42 here" in note.instead for note in found.notes)
    assert interfaces(swanctl(a="if_id_out = 0x2a", b="if_id_in = 42")) == interfaces(swanctl(a="if_id_in = 42"))


@pytest.mark.parametrize(
    ("options", "left", "words"),
    [
        ({"a": "policies = no"}, ["b"], "another program makes its policies"),
        ({"a": "mark_in = 42\n mark_out = 42"}, ["b"], "chosen by a mark"),
        ({"a": "if_id_in = %unique\n if_id_out = %unique"}, ["b"], "chosen when it comes up"),
        ({"a": "if_id_in = 1\n if_id_out = 2"}, ["b"], "two interfaces"),
        ({"a": "if_id_in = 42"}, ["a"], "others have another, or none"),
        ({"a": "if_id_in = 0", "b": "if_id_in = 7"}, ["a"], "others have another, or none"),
    ],
)
def test_children_that_cannot_be_are_skipped(options: dict, left: list[str], words: str):
    found = swanctl(**options)
    assert children(found) == left and words in skipped(found)
