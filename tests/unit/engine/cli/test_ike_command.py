# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``ike cmd=…``: words, what the manager is asked, what is printed, exit status."""

from __future__ import annotations

import json

import pytest
from engine.cli import ike
from engine.cli.choose import numbers_of
from engine.errors import MissingError
from engine.manager.client import RpcError
from engine.manager.methods import check_params
from engine.newer_python import zip

CHILD = {"role": "", "mode": "tunnel", "start": "auto", "refresh": True, "pfs": True}


def child(number: int, name: str, local: str, remote: str, state: str = "dormant", **more):
    return CHILD | {"number": number, "name": name, "local": [local], "remote": [remote], "state": state} | more


def tunnel(number: int, name: str, local: str, remote: str, phase1: str, children: list, **more):
    return {
        "number": number,
        "name": name,
        "owner": "",
        "state": phase1,
        "phase1": phase1,
        "role": "initiator" if phase1 == "active" else "",
        "refresh": True,
        "rekey_overlap": [10, 20],
        "groups": [],
        "local": {"address": "192.0.2.1", "id": local},
        "remote": {"address": "192.0.2.9", "id": remote},
        "reason": "",
        "story": "",
        "remedy": "",
        "children": children,
    } | more


DATABASE = [
    tunnel(1, "hq-b1", "hq.example", "b1.example", "dormant", [
        child(1, "lan", "10.1.0.0/16", "10.9.0.0/24"),
        child(2, "dmz", "10.2.0.0/16[6/443]", "10.9.1.0/24", start="manual"),
    ]),
    tunnel(2, "hq-b2", "192.0.2.1", "192.0.2.9", "dormant", [child(3, "lan", "10.1.0.0/16", "10.7.0.0/24")]),
    tunnel(3, "hq-b3", "hq.example", "ops@b3.example", "dormant", [
        child(4, "lan", "::/0", "2001:db8::1/128", start="trap"),
        child(5, "host", "10.4.0.1/32", "10.5.0.1/32", start="manual"),
        child(6, "span", "10.1.0.0/16", "10.6.0.5-10.6.0.9[6/443]", start="manual"),
    ], groups=["branches", "mail"]),
    tunnel(7, "hq-b4", "hq.example", "dn:C=DE, CN=b4", "dormant", [], groups=["branches"]),
]  # fmt: skip
# The manager numbers otherwise than the database.
MANAGER = [
    tunnel(4, "hq-b2", "192.0.2.1", "192.0.2.9", "negotiating", [
        child(7, "lan", "10.1.0.0/16", "10.7.0.0/24", "expired"),
    ]),
    tunnel(5, "hq-b1", "hq.example", "b1.example", "active", [
        child(8, "lan", "10.1.0.0/16", "10.9.0.0/24", "active", established_seconds=3541.2, last_traffic_seconds=None),
        child(9, "dmz", "10.2.0.0/16[6/443]", "10.9.1.0/24", "trapped"),
    ], established_seconds=180000, last_traffic_seconds=4.4),
]  # fmt: skip


class Manager:
    """Stands for the manager's socket: keeps what was asked, answers from the tables, checks as the real one does."""

    asked: list[tuple[str, dict]]
    action = "started"
    standing = {"state": "active", "reason": "", "story": "", "remedy": ""}
    refusal = {"story": "", "remedy": ""}
    error: Exception | None = None

    def __init__(self, path: str) -> None:
        Manager.asked = []

    def __enter__(self):
        return self

    def __exit__(self, *_exc: object) -> None:
        pass

    def call(self, method: str, params: dict | None = None, timeout: float = 30.0):
        check_params(method, params or {})
        Manager.asked.append((method, params or {}))
        if Manager.error is not None:
            raise Manager.error
        if method == "tunnels.list":
            rows = DATABASE if params["source"] == "database" else MANAGER
            if "numbers" in params:
                phase = 2 if params.get("phase") == "2" else 1
                rows = [row for row in rows if set(params["numbers"]) & numbers_of(row, phase)]
            return {"tunnels": rows}
        if method == "log.level":
            return {"level": params.get("level", "info"), "before": "info"}
        if method == "tunnels.rekey":
            told = {"manager_number": 11, "reached": not Manager.refusal["story"]} | Manager.refusal
            return {"reached": told["reached"], "tunnels": [{"name": name} | told for name in params["names"]]}
        rows = [
            {"name": row["name"], "number": 7, "manager_number": 11, "action": Manager.action} | Manager.standing
            for row in params["definitions"]
        ]
        return {"changed": True, "tunnels": rows, "warnings": []}


@pytest.fixture(autouse=True)
def manager(monkeypatch):
    monkeypatch.setattr(ike, "Client", Manager)
    monkeypatch.setattr(Manager, "error", None)
    monkeypatch.setattr(Manager, "action", "started")
    monkeypatch.setattr(Manager, "standing", Manager.standing)
    monkeypatch.setattr(Manager, "refusal", Manager.refusal)


def applied(method: str = "tunnels.apply") -> dict:
    ((_method, params),) = [call for call in Manager.asked if call[0] == method]
    return params


def chosen() -> list[str]:
    """Names as ``TUNNEL`` or ``TUNNEL/CHILD,CHILD``."""
    return [
        "/".join([definition["name"], *([",".join(only)] if (only := definition.get("only_children")) else [])])
        for definition in applied()["definitions"]
    ]


def test_short_list_of_the_manager(capsys):
    assert ike.main(["cmd=list"]) == 0
    assert capsys.readouterr().out == (
        "Phase  Tun Id  Status       Local Id            Remote Id    Up      Last Packet\n"
        "1      4       Negotiating  192.0.2.1           192.0.2.9\n"
        "2      7       Expired      10.1.0.0/16         10.7.0.0/24\n"
        "1      5       Active       hq.example          b1.example   2d02h   4s\n"
        "2      8       Active       10.1.0.0/16         10.9.0.0/24  59m01s\n"
        "2      9       Dormant      10.2.0.0/16[6/443]  10.9.1.0/24\n"
    )
    assert Manager.asked == [("tunnels.list", {"source": "manager", "phase": "1+", "verbose": False})]


def test_who_asks_for_a_tunnel_that_is_not_defined_is_named_beside_the_list(capsys, monkeypatch):
    peer = {
        "address": "198.51.100.7",
        "times": 12,
        "last_seconds": 5.2,
        "story": "no such tunnel",
        "remedy": "define it",
    }
    others = [peer | {"address": f"198.51.100.{number}", "times": 1} for number in range(10, 16)]
    answer = {"tunnels": [], "unknown_peers": [peer, *others]}
    monkeypatch.setattr(Manager, "call", lambda self, method, params: answer)
    assert ike.main(["cmd=list"]) == 0
    shown = capsys.readouterr()
    assert shown.out == "no tunnels\n" and shown.err.splitlines()[:2] == [
        "ike: 198.51.100.7 asks for a tunnel that is not defined here (12 times, the last time 5s ago): no such tunnel",
        "ike: 198.51.100.10 asks for a tunnel that is not defined here (once, the last time 5s ago): no such tunnel",
    ]
    assert shown.err.splitlines()[5:] == ["ike: remedy: define it (2 more: --json)"]
    assert ike.main(["cmd=list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == answer
    for words in (["role=r"], ["db"]):
        assert ike.main(["cmd=list", *words]) == 0 and not capsys.readouterr().err


def test_short_list_of_the_database_has_no_status(capsys):
    assert ike.main(["cmd=list", "db", "phase=1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["Phase", "Tun", "Id", "Local", "Id", "Remote", "Id"]
    assert [line.split()[:2] for line in lines[1:]] == [["1", "1"], ["1", "2"], ["1", "3"], ["1", "7"]]


def test_phase_2_follows_its_phase_1_each_time(capsys):
    assert ike.main(["phase=2", "cmd=list"]) == 0
    rows = [line.split()[:2] for line in capsys.readouterr().out.splitlines()[1:]]
    assert rows == [["1", "4"], ["2", "7"], ["1", "5"], ["2", "8"], ["1", "5"], ["2", "9"]]


@pytest.mark.parametrize(("letter", "role"), [("i", "initiator"), ("r", "responder")])
def test_role(letter, role):
    assert ike.main(["cmd=list", f"role={letter}"]) == 0
    assert Manager.asked[0][1]["role"] == role


def test_list_by_numbers(capsys):
    assert ike.main(["cmd=list", "numlist=4-5"]) == 0
    assert Manager.asked[0][1]["numbers"] == [4, 5]
    assert ike.main(["cmd=list", "numlist=4,9"]) == 64
    assert "numlist: is no number of a phase 1 tunnel in the tunnel manager (got '9')" in capsys.readouterr().err
    assert ike.main(["cmd=list", "numlist=4-90000"]) == 64
    assert "(got '6-90000'); see" in capsys.readouterr().err


def test_verbose_list_shows_every_field(capsys, monkeypatch):
    sa = {
        "local": "192.0.2.1/500", "remote": "192.0.2.9/500", "algorithms": ["aes256gcm16", "sha384", "x25519"],
        "encryption": "aes256gcm16", "integrity": "", "prf": "sha384", "key_exchange": "x25519",
        "initiator_spi": "0102030405060708", "responder_spi": "1112131415161718", "expires_in": 14000,
    }  # fmt: skip
    child_sa = {
        "protocol": "esp", "encryption": "aes256", "integrity": "sha256",
        "algorithms": ["aes256", "sha256"], "spi_in": "0xc0000001", "spi_out": "0xc0000002",
        "expires_in": 3000, "encapsulation": [4500, 4500], "in": {"bytes": 84, "packets": 1}, "out": None,
    }  # fmt: skip
    definition = {
        "ike": {"version": 2, "proposals": "modern", "lifetime": 14400},
        "auth": {"method": "psk", "secret": "hidden"},
        "children": [{"name": "lan", "proposals": ["aes256gcm16"], "lifetime": 3600, "lifetime_bytes": 2048}],
    }
    lan = child(1, "lan", "10.1.0.0/16[6/443]", "10.9.0.5-10.9.0.9", "active", role="initiator", sas=[child_sa])
    row = tunnel(1, "hq-b1", "ops@hq.example", "2001:db8::1", "active", [lan], ike_sas=[sa], definition=definition)
    monkeypatch.setattr(Manager, "call", lambda self, method, params: {"tunnels": [row]})
    assert ike.main(["cmd=list", "verbose"]) == 0
    out = capsys.readouterr().out
    shown = [tuple(part.strip() for part in line.split(":", 1)) for line in out.splitlines() if line]
    for field in (
        ("Phase 1 Tunnel ID", "1"), ("Local ID Type", "User@FQDN"), ("Remote ID Type", "IPv6_Address"),
        ("Mode", "IKEv2"),
        ("Local Address", "192.0.2.1/500"), ("Role", "Initiator"), ("Algorithms", "aes256gcm16, sha384, x25519"),
        ("Auth Alg", "Preshared Key"), ("Key Lifetime", "14400"), ("Key Rem Lifetime", "14000"), ("Status", "Active"),
        ("Phase 2 Tunnel ID", "1"), ("Local ID Type", "IPv4_Subnet"), ("Local ID", "10.1.0.0"),
        ("Local Subnet Mask", "255.255.0.0"), ("Local Port", "443 - 443"), ("Local Protocol", "6"),
        ("Remote ID Type", "IPv4_Address_Range"), ("Remote ID", "10.9.0.5-10.9.0.9"), ("Remote Port", "any - any"),
        ("Remote Protocol", "all"), ("SPI In", "0xc0000001"), ("Traffic In", "84 bytes, 1 packets"),
        ("SA Lifetime", "3600"), ("SA Rem Lifetime", "3000"), ("SA Lifesize", "2"), ("Assoc P1 Tunnel", "1"),
        ("Encap Mode", "ESP_tunnel in UDP"), ("Encryption Alg", "aes256gcm16"), ("Hash Alg", "sha384"),
        ("Integrity Alg", "with Encryption Alg"), ("Key Exchange", "x25519"), ("Key Lifesize", "no limit"),
        ("Key Rem Lifesize", "no limit"), ("Key Refresh Overlap", "10 - 20"), ("Tunnel Lifetime", "no limit"),
        ("Tunnel Lifesize", "no limit"), ("Tun Rem Lifetime", "no limit"), ("Tun Rem Lifesize", "no limit"),
        ("Refreshed", "Yes"), ("Encryption Alg", "aes256"), ("Auth Alg", "sha256"), ("AH Transform", "N/A"),
        ("PFS", "Yes"), ("SA Rem Lifesize", "1"), ("Security Policy", "modern"), ("Security Policy", "aes256gcm16"),
    ):  # fmt: skip
        assert field in shown, field
    assert "Traffic Out" not in out and "Reason" not in out and "hidden" not in out


def test_verbose_list_of_the_database_has_nothing_of_what_runs(capsys, monkeypatch):
    """A tunnel that is defined and up: its listing is of its definition alone."""
    definition = {
        "ike": {"version": 2, "proposals": "modern", "lifetime": 14400},
        "auth": {"method": "psk"},
        "children": [{"name": "lan", "proposals": ["aes256gcm16"], "lifetime": 3600, "lifetime_bytes": 0}],
    }
    sa = {"local": "192.0.2.77/4500", "initiator_spi": "0x5e1f", "expires_in": 7, "algorithms": ["running"]}
    lan = child(1, "lan", "10.1.0.0/16", "10.9.0.0/24", "active", role="initiator", sas=[sa | {"spi_in": "0x5e1f"}])
    row = tunnel(1, "hq-b1", "a", "b", "active", [lan], ike_sas=[sa], definition=definition, story="is up")
    monkeypatch.setattr(Manager, "call", lambda self, method, params: {"tunnels": [row]})
    assert ike.main(["cmd=list", "db", "verbose"]) == 0
    out = capsys.readouterr().out
    for field in ("Key Lifetime", "SA Lifetime", "Security Policy", "PFS", "Start", "Encap Mode", "Auth Alg"):
        assert f"{field}:" in out
    assert f"{'Local Address:':<22}192.0.2.1\n" in out
    for live in ("Active", "0x5e1f", "192.0.2.77", "running", "SPI", "Role", "Rem ", "Status", "Reason", "Refreshed"):
        assert live not in out


@pytest.mark.parametrize(
    ("state", "reason", "statuses", "told"),
    [
        ("down", "authentication_failed", ["Negotiating", "Negotiating", "Dormant"], ["\tthe secrets differ"]),
        ("degraded", "no_proposal_chosen", ["Negotiating", "Negotiating", "Dormant"], ["\tthe secrets differ"]),
        ("negotiating", "authentication_failed", ["Dormant", "Dormant", "Dormant"], ["\tthe secrets differ"]),
        ("dormant", "waiting_for_traffic", ["Dormant", "Dormant", "Dormant"], []),
        ("down", "waiting_for_peer", ["Dormant", "Dormant", "Dormant"], []),
    ],
)
def test_what_fails_and_is_tried_again_is_negotiating_with_its_reason(
    state, reason, statuses, told, capsys, monkeypatch
):
    lan, trap = child(1, "lan", "a", "b"), child(2, "voice", "a", "b", "trapped", start="trap")
    row = tunnel(1, "hq-b1", "a", "b", "dormant", [lan, trap], reason=reason, story="the secrets differ")
    monkeypatch.setattr(Manager, "call", lambda self, method, params: {"tunnels": [row | {"state": state}]})
    assert ike.main(["cmd=list"]) == 0
    _head, first, *rest = capsys.readouterr().out.splitlines()
    assert rest[: len(told)] == told
    assert [line.split()[2] for line in (first, *rest[len(told) :])] == statuses


def test_verbose_list_tells_what_gets_no_fresh_keys(capsys, monkeypatch):
    lan = child(1, "lan", "10.1.0.0/16", "10.9.0.0/24", "active", refresh=False, sas=[{"expires_in": 77}])
    definition = {
        "ike": {"version": 2, "proposals": "modern", "lifetime": 1},
        "auth": {"method": "psk"},
        "children": [],
    }
    row = tunnel(1, "hq-b1", "a", "b", "expired", [lan], refresh=False, ike_sas=[], definition=definition)
    monkeypatch.setattr(Manager, "call", lambda self, method, params: {"tunnels": [row]})
    assert ike.main(["cmd=list", "verbose"]) == 0
    blocks = capsys.readouterr().out.split("\n\n")
    for block, status in zip(blocks, ("Expired", "Active"), strict=True):
        lines = block.splitlines()
        assert f"{'Refreshed:':<22}No" in lines and f"{'Tun Rem Lifetime:':<22}77" in lines
        assert f"{'Status:':<22}{status}" in lines


def test_verbose_list_says_why_a_tunnel_is_down(capsys, monkeypatch):
    definition = {
        "ike": {"version": 2, "proposals": "modern", "lifetime": 1},
        "auth": {"method": "psk"},
        "children": [],
    }
    row = tunnel(
        1, "hq-b1", "a", "b", "dormant", [], ike_sas=[], definition=definition, story="no answer", remedy="look there"
    )
    monkeypatch.setattr(Manager, "call", lambda self, method, params: {"tunnels": [row]})
    assert ike.main(["cmd=list", "verbose"]) == 0
    out = capsys.readouterr().out
    assert "Reason:               no answer\nRemedy:               look there\n" in out


@pytest.mark.parametrize("words", [["cmd=list"], ["cmd=list", "verbose"]])
def test_nothing_to_list_is_said(words, capsys, monkeypatch):
    monkeypatch.setattr(Manager, "call", lambda self, method, params: {"tunnels": []})
    assert ike.main(words) == 0
    assert capsys.readouterr().out == "no tunnels\n"


def test_json_is_the_answer(capsys):
    assert ike.main(["cmd=list", "--json", "db"]) == 0
    assert json.loads(capsys.readouterr().out) == {"tunnels": DATABASE}


@pytest.mark.parametrize(
    ("words", "meant", "phase"),
    [
        (["numlist=1,3"], ["hq-b1", "hq-b3"], None),
        (["numlist=1-2", "phase=1"], ["hq-b1", "hq-b2"], 1),
        (["numlist=1-3", "phase=2"], ["hq-b1/lan,dmz", "hq-b2/lan"], 2),
        (["numlist=2,5", "phase=2"], ["hq-b1/dmz", "hq-b3/host"], 2),
        (["phase=1", "namelist=hq-b3,hq-b1"], ["hq-b3", "hq-b1"], 1),
        (["phase=2", "namelist=dmz,hq-b2/lan,hq-b1/lan"], ["hq-b1/dmz,lan", "hq-b2/lan"], 2),
        (["phase=2", "namelist=hq-b3"], ["hq-b3/lan,host,span"], 2),
        (["ipaddr=192.0.2.1,192.0.2.9"], ["hq-b2"], None),
        (["phase=2", "ipaddr=192.0.2.1,192.0.2.9"], ["hq-b2/lan"], 2),
        (["phase=2", "ipaddr=10.4.0.1,10.5.0.1"], ["hq-b3/host"], 2),
        (["remid=B1.example"], ["hq-b1"], None),
        (["remid=ops@b3.example", "phase=1"], ["hq-b3"], 1),
        (["remid=CN=b4,C=DE", "phase=1"], [], 1),
        (["remid=C=DE,CN=b4", "phase=1"], ["hq-b4"], 1),
        (["remid=dn:C=DE, CN=b4"], ["hq-b4"], None),
        (["remid=192.0.2.9"], ["hq-b2"], None),
        (["remid=branches"], ["hq-b3", "hq-b4"], None),
        (["remid=mail", "phase=2"], ["hq-b3/lan,host,span"], 2),
        (["remid=10.5.0.1", "phase=2"], ["hq-b3/host"], 2),
        (["remid=10.5.0.1"], ["hq-b3/host"], None),
        (["remid=10.9.0.0,255.255.255.0", "phase=2"], ["hq-b1/lan"], 2),
        (["remid=10.9.1.0/24", "phase=2"], ["hq-b1/dmz"], 2),
        (["remid=10.6.0.5,10.6.0.9", "phase=2"], ["hq-b3/span"], 2),
        (["remid=2001:db8::1,ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "phase=2"], ["hq-b3/lan"], 2),
        (["remid=b1.example", "phase=2"], ["hq-b1/lan,dmz"], 2),
        (["autostart"], ["hq-b1", "hq-b2"], None),
    ],
)
def test_activate_chooses_from_the_database(words, meant, phase, capsys, monkeypatch):
    monkeypatch.setattr(Manager, "standing", Manager.standing | {"state": "negotiating"})
    status = ike.main(["cmd=activate", *words])
    assert Manager.asked[0] == ("tunnels.list", {"source": "database"})
    if not meant:
        assert status == 64 and "no tunnel to this identity" in capsys.readouterr().err
        return
    assert status == 0 and chosen() == meant
    # What starts by itself is started; the children beside it are left to their own start.
    assert applied()["state"] == ("enabled" if words == ["autostart"] else "active")
    assert applied().get("phase") == phase
    assert capsys.readouterr().out.count(": negotiation has begun\n") == len(meant)


def test_autostart_says_of_a_tunnel_that_is_up_that_it_is(capsys):
    """A packet or the peer has started it; from now on this side keeps it up."""
    assert ike.main(["cmd=activate", "autostart"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"tunnel 11 ({name}): is active already, and is kept up from now on" for name in ("hq-b1", "hq-b2")
    ]


def test_activate_says_the_number_that_the_manager_gave(capsys):
    assert ike.main(["cmd=activate", "phase=2", "numlist=1,2,3"]) == 0
    assert capsys.readouterr().out == (
        "tunnel 11 (hq-b1) phase 2 lan,dmz: negotiation has begun\n"
        "tunnel 11 (hq-b2) phase 2 lan: negotiation has begun\n"
    )


DOWN = {"state": "down", "reason": "no_answer", "story": "the peer is silent", "remedy": "look there"}


@pytest.mark.parametrize(
    ("standing", "told"),
    [
        ({}, "is active already"),
        ({"state": "negotiating"}, "is wanted already, and negotiating"),
        (DOWN, "is wanted already, and down: the peer is silent (no_answer)"),
    ],
)
def test_activate_what_is_there_already(standing, told, capsys, monkeypatch):
    monkeypatch.setattr(Manager, "action", "none")
    monkeypatch.setattr(Manager, "standing", Manager.standing | standing)
    assert ike.main(["cmd=activate", "numlist=2"]) == 0
    assert capsys.readouterr().out == f"tunnel 11 (hq-b2): {told}\n"


def test_remove_all_of_the_manager(capsys, monkeypatch):
    monkeypatch.setattr(Manager, "action", "stopped")
    assert ike.main(["cmd=remove"]) == 0
    assert chosen() == ["hq-b2", "hq-b1"] and applied()["state"] == "inactive"
    assert capsys.readouterr().out == "tunnel 4 (hq-b2): ended\ntunnel 5 (hq-b1): ended\n"


@pytest.mark.parametrize(
    ("words", "meant", "phase"),
    [
        (["numlist=4"], ["hq-b2"], None),
        (["numlist=4-5", "phase=1"], ["hq-b2", "hq-b1"], 1),
        (["phase=2", "numlist=7"], ["hq-b2/lan"], 2),
        (["phase=2", "numlist=9,7"], ["hq-b2/lan", "hq-b1/dmz"], 2),
        (["phase=1"], ["hq-b2", "hq-b1"], 1),
        (["phase=2"], ["hq-b2", "hq-b1"], 2),
        (["all"], ["hq-b2", "hq-b1"], None),
        (["phase=2", "all"], ["hq-b2", "hq-b1"], 2),
    ],
)
def test_remove_chooses_from_the_manager(words, meant, phase):
    assert ike.main(["cmd=remove", *words]) == 0
    assert (chosen(), applied()["state"], applied().get("phase")) == (meant, "inactive", phase)


@pytest.mark.parametrize(
    ("words", "meant", "phase"),
    [
        (["numlist=1-3"], ["hq-b1", "hq-b2", "hq-b3"], None),
        (["numlist=1", "phase=1"], ["hq-b1"], None),
        ([], ["hq-b1", "hq-b2", "hq-b3", "hq-b4"], None),
        (["all"], ["hq-b1", "hq-b2", "hq-b3", "hq-b4"], None),
        (["phase=2"], ["hq-b1", "hq-b2", "hq-b3", "hq-b4"], 2),
        (["phase=2", "numlist=2,3"], ["hq-b1/dmz", "hq-b2/lan"], 2),
    ],
)
def test_remove_from_the_database(words, meant, phase, capsys, monkeypatch):
    monkeypatch.setattr(Manager, "action", "removed")
    assert ike.main(["cmd=remove", "db", *words]) == 0
    assert (chosen(), applied()["state"], applied().get("phase")) == (meant, "absent", phase)
    assert capsys.readouterr().out.count(": deleted\n") == len(meant)


@pytest.mark.parametrize(
    ("words", "told", "meant"),
    [
        (["numlist=3"], ["phase 1 tunnel 3: not in the tunnel manager"], None),
        (["numlist=8", "phase=1"], ["phase 1 tunnel 8: not in the tunnel manager"], None),
        (["numlist=1,7", "phase=2"], ["phase 2 tunnel 1: not in the tunnel manager"], ["hq-b2/lan"]),
        (["numlist=9", "db"], ["phase 1 tunnel 9: not in the database"], None),
        (["numlist=8,60-90000"], ["phase 1 tunnels 8,60-90000: not in the tunnel manager"], None),
    ],
)
def test_removing_what_is_not_there_is_no_error(words, told, meant, capsys):
    assert ike.main(["cmd=remove", *words]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines == told or (meant and lines[: len(told)] == told)
    assert [call[0] for call in Manager.asked] == ["tunnels.list", *(["tunnels.apply"] if meant else [])]
    assert meant is None or chosen() == meant


@pytest.mark.parametrize(
    ("words", "action", "told"),
    [
        (["cmd=activate", "numlist=2"], "started", "tunnel 11 (hq-b2): negotiation would begin"),
        (["cmd=remove", "numlist=4"], "stopped", "tunnel 4 (hq-b2): would be ended"),
        (["cmd=remove", "db", "phase=2", "numlist=3"], "changed", "tunnel 2 (hq-b2) phase 2 lan: would be deleted"),
    ],
)
def test_check_asks_for_a_plan_alone(words, action, told, capsys, monkeypatch):
    monkeypatch.setattr(Manager, "action", action)
    assert ike.main([*words, "--check"]) == 0
    assert capsys.readouterr().out == f"{told}\n"
    assert [call[0] for call in Manager.asked] == ["tunnels.list", "tunnels.plan"]


def test_words_stand_in_any_order():
    for words in (["phase=2", "numlist=3", "cmd=activate"], ["numlist=3", "cmd=activate", "phase=2"]):
        assert ike.main(words) == 0 and chosen() == ["hq-b2/lan"]


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["numlist=5"], {"names": ["hq-b1"], "only_children": []}),
        (["numlist=5", "phase=1"], {"names": ["hq-b1"], "phase": 1}),
        (["numlist=8", "phase=2"], {"names": ["hq-b1"], "phase": 2, "only_children": [("hq-b1", "lan")]}),
        (["namelist=hq-b1"], {"names": ["hq-b1"]}),
        (["namelist=hq-b1/dmz", "phase=2"], {"phase": 2, "only_children": [("hq-b1", "dmz")]}),
        (["all"], {"names": ["hq-b1"]}),
        (["numlist=5", "reauth"], {"reauthenticate": True, "check": False}),
        (["numlist=5", "--check"], {"check": True, "timeout": 30.0}),
    ],
)
def test_rekey_chooses_from_the_manager(words, meant):
    assert ike.main(["cmd=rekey", *words]) == 0
    asked = applied("tunnels.rekey")
    asked["only_children"] = [(each["name"], *each["children"]) for each in asked["only_children"]]
    assert {key: asked[key] for key in meant} == meant
    assert "phase=1" in words or "phase=2" in words or "phase" not in asked


def test_rekey_says_what_came_of_it(capsys, monkeypatch):
    assert ike.main(["cmd=rekey", "numlist=5"]) == 0
    assert ike.main(["cmd=rekey", "numlist=5", "phase=1", "--check"]) == 0
    assert capsys.readouterr().out == (
        "tunnel 11 (hq-b1): has fresh keys\ntunnel 11 (hq-b1) phase 1: would get fresh keys\n"
    )
    monkeypatch.setattr(Manager, "refusal", {"story": "the peer refused", "remedy": "ask it why"})
    assert ike.main(["cmd=rekey", "numlist=5"]) == 1
    assert capsys.readouterr() == ("", "ike: tunnel 11 (hq-b1): no fresh keys: the peer refused; ask it why\n")
    assert ike.main(["cmd=rekey", "numlist=5", "--json"]) == 1
    assert '"reached": false' in capsys.readouterr().out


@pytest.mark.parametrize(("words", "name"), [
    (["namelist=hq-b3"], "hq-b3"), (["namelist=hq-b1,hq-b3"], "hq-b3"), (["namelist=span", "phase=2"], "span"),
])  # fmt: skip
def test_what_is_defined_and_not_up_is_no_wrong_word(words, name, capsys):
    assert ike.main(["cmd=rekey", *words]) == 1
    assert capsys.readouterr().err == f"ike: namelist: {name} is not up; see ike cmd=list\n"


def test_log_level(capsys):
    assert ike.main(["cmd=log"]) == 0
    assert ike.main(["cmd=log", "level=debug"]) == 0
    assert capsys.readouterr().out == "log level info\nlog level debug (was info)\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "say once what to do"),
        (["list"], "say once what to do"),
        (["cmd=list", "cmd=list"], "say once what to do"),
        (["cmd=lst"], "did you mean list?"),
        (["cmd=list", "fase=1"], "did you mean phase?"),
        (["cmd=list", "phase=3"], "phase=1|1+|2"),
        (["cmd=list", "phase="], "phase: needs a value"),
        (["cmd=list", "verbose=1"], "verbose: takes no value; write verbose alone"),
        (["cmd=list", "psk=TOPSECRET"], "psk: is not a word of this command; known are"),
        (["cmd=list", "--psk", "TOPSECRET"], "unrecognized arguments: --psk …;"),
        (["cmd=list", "db", "role=i"], "role: cannot stand beside db"),
        (["cmd=remove", "all", "numlist=1"], "all: cannot stand beside numlist; leave out"),
        (["cmd=start"], "cmd: is no command (got 'start'); known are: activate, list, remove, rekey, log"),
        (["cmd=list", "role=x"], "role=i|r"),
        (["cmd=list", "phase=1", "phase=1"], "phase: is given twice"),
        (["cmd=list", "--bogus"], "--bogus"),
        (["cmd=activate"], "say which tunnels"),
        (["cmd=activate", "phase=1"], "say which tunnels"),
        (["cmd=activate", "numlist=5-3"], "'5-3' runs backwards"),
        (["cmd=activate", "numlist=a"], "'a' is not a number"),
        (["cmd=activate", "numlist=1,,2"], "'' is not a number"),
        (["cmd=activate", "numlist=0"], "begins at 0"),
        (["cmd=activate", "numlist=1-999999999"], "at most"),
        (["cmd=activate", "numlist=5"], "no number of a phase 1 tunnel in the database (got '5')"),
        (["cmd=activate", "phase=2", "numlist=1,7"], "no number of a phase 2 tunnel in the database (got '7')"),
        (["cmd=activate", "numlist=3-1-2"], "is not a number"),
        (["cmd=activate", "numlist=-3"], "is not a number"),
        (["cmd=activate", "numlist=99999999999"], "is not a number"),
        (["cmd=activate", "numlist=1", "namelist=hq-b1"], "namelist: cannot stand beside numlist"),
        (["cmd=activate", "numlist=1", "remid=b1.example"], "remid: cannot stand beside numlist"),
        (["cmd=activate", "remid=b1.example", "ipaddr=192.0.2.1,192.0.2.9"], "ipaddr: cannot stand beside remid"),
        (["cmd=activate", "phase=1+", "numlist=1"], "phase=1|2"),
        (["cmd=activate", "numlist=1", "autostart"], "autostart: cannot stand beside numlist"),
        (["cmd=activate", "phase=1", "autostart"], "autostart: stands alone"),
        (["cmd=activate", "namelist=hq-b1"], "needs the phase"),
        (["cmd=activate", "phase=1", "namelist=hq-b9"], "did you mean hq-b"),
        (["cmd=activate", "phase=1", "namelist=hq-b1,"], "is not defined (got '')"),
        (["cmd=activate", "phase=1", "namelist=dmz"], "is not defined"),
        (["cmd=activate", "phase=2", "namelist=lan"], "of 3 phase 1 tunnels (got 'lan'); write hq-b1/lan"),
        (["cmd=activate", "phase=2", "namelist=hq-b1/lam"], "did you mean hq-b1/lan?"),
        (["cmd=activate", "phase=2", "namelist=hq-b4"], "tunnel hq-b4 has no phase 2 tunnel"),
        (["cmd=activate", "phase=2", "remid=hq-b4"], "no tunnel to this identity"),
        (["cmd=activate", "ipaddr=192.0.2.1"], "is not two addresses"),
        (["cmd=activate", "ipaddr=hq.example,b1.example"], "is not two addresses"),
        (["cmd=activate", "ipaddr=192.0.2.1,192.0.2.8"], "no tunnel is defined between"),
        (["cmd=activate", "ipaddr=192.0.2.1,192.0.2.9,192.0.2.10"], "is not two addresses"),
        (["cmd=activate", "ipaddr=192.0.2.1,"], "is not two addresses"),
        (["cmd=activate", "remid=nobody.example"], "no tunnel to this identity"),
        (["cmd=activate", "remid=10.9.0.0,255.255.0.0"], "no tunnel to this identity"),
        (["cmd=activate", "remid=10.9.0.9,10.9.0.1"], "no tunnel to this identity"),
        (["cmd=activate", "remid=10.5.0.1", "phase=1"], "no tunnel to this identity"),
        (["cmd=activate", "remid="], "remid: needs a value"),
        (["cmd=activate", "db"], "not a word of this command"),
        (["cmd=remove", "all", "numlist=1"], "all: cannot stand beside numlist"),
        (["cmd=remove", "numlist=5-3"], "'5-3' runs backwards"),
        (["cmd=remove", "phase=1+"], "phase=1|2"),
        (["cmd=remove", "namelist=hq-b1"], "not a word of this command"),
        (["cmd=list", "--check"], "--check goes with"),
        (["cmd=log", "--check"], "--check goes with"),
        (["cmd=rekey"], "say which tunnels: numlist, namelist, all"),
        (["cmd=rekey", "all", "numlist=5"], "all: cannot stand beside numlist"),
        (["cmd=rekey", "numlist=1"], "no number of a phase 1 tunnel in the tunnel manager (got '1')"),
        (["cmd=rekey", "phase=2", "numlist=1"], "no number of a phase 2 tunnel in the tunnel manager (got '1')"),
        (["cmd=rekey", "namelist=hq-b9"], "did you mean hq-b"),
        (["cmd=rekey", "numlist=5", "phase=1", "reauth"], "reauth: has all of a tunnel made anew"),
        (["cmd=log", "level=loud"], "level=error|warning|info|debug"),
        (["cmd=log", "numlist=1"], "not a word of this command"),
    ],
)
def test_bad_words_change_nothing(words, message, capsys):
    Manager.asked = []
    assert ike.main(words) == 64
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.startswith("ike: ")
    assert message in captured.err and len(captured.err.splitlines()) == 1
    assert not [call for call in Manager.asked if call[0] != "tunnels.list"]


@pytest.mark.parametrize(
    "error", [MissingError("the tunnel manager is not running", "start it"), RpcError(-32000, "the kernel refused")]
)
def test_refusals_of_the_manager_are_one_line(error, capsys, monkeypatch):
    monkeypatch.setattr(Manager, "error", error)
    assert ike.main(["cmd=list"]) == 1
    assert capsys.readouterr().err == f"ike: {error}\n"


def test_help_and_version(capsys):
    assert ike.main(["--help"]) == 0 and ike.main(["--version"]) == 0
    out = capsys.readouterr().out
    assert all(f"cmd={name}" in out for name in ike.COMMANDS)
    assert all(word in out for command in ike.COMMANDS.values() for word in command.words)
