# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""swanctl.conf into definitions: what is carried over, what is told."""

from __future__ import annotations

import random

import pytest
import yaml
from engine.convert import algorithms, ikedb_write, keys, words, yaml_writer
from engine.convert import swanctl_options as options
from engine.convert.keys import SharedKey
from engine.convert.report import IGNORED, LOST, SKIPPED, Entry, Unfit
from engine.crypto.registry import Kind, by_name
from engine.definition.parsing import parse_definition
from engine.errors import InputError
from engine.secret import Secret
from samples import DATA, manager_takes, read, read_text, told

MINIMAL = """
connections {{
  t {{
    version = 2
    local_addrs = 192.0.2.1
    remote_addrs = 192.0.2.9
    {connection}
    local {{ auth = psk
             {local} }}
    remote {{ auth = psk }}
    children {{ c {{
      local_ts = 10.1.0.0/16
      remote_ts = 10.2.0.0/16
      {child}
    }} }}
  }}
}}
secrets {{ ike {{ secret = "some key" }} }}
"""


def minimal(connection: str = "", local: str = "", child: str = ""):
    return read_text(MINIMAL.format(connection=connection, local=local, child=child), "swanctl")


def only(conversion) -> dict:
    (tunnel,) = conversion.tunnels
    return manager_takes(tunnel).document


def test_the_name_of_an_end_stays_a_name_also_where_it_looks_like_an_address():
    assert only(minimal(local="id = @10.0.0.9"))["local"]["id"] == "fqdn:10.0.0.9"
    owned = read_text(
        MINIMAL.format(connection="", local="id = @10.0.0.9", child="")
        + 'secrets { ike-a { id = @10.0.0.9\n secret = "of the name" }\n ike-b { id = 10.0.0.9\n secret = other } }',
        "swanctl",
    )
    assert owned.tunnels[0].credential.secret.reveal() == b"of the name"


@pytest.mark.parametrize(
    "words", ["version 2", "version", "version 2 {\n a = 1\n }", "= 2", 'version "2"', "version : = x", ","]
)
def test_what_is_no_option_loses_its_own_section_alone(words):
    other = "connections {{ o {{ remote_addrs = 192.0.2.8\n {o}\n children {{ d {{ remote_ts = 10.4.0.0/16 }} }} }} }}"
    plain = MINIMAL.format(connection="", local="", child="") + "\n"
    found = read_text(plain + other.format(o=words), "swanctl")
    assert [tunnel.name for tunnel in found.tunnels] == ["t"] and "o" in found.skipped
    keys = plain.replace("secrets {", f"secrets {{ ike-x {{ secret = other\n {words}\n }}")
    found = read_text(keys.replace("local_addrs", "# local_addrs"), "swanctl")
    assert any("the key is not taken" in note.instead for note in found.notes)


def test_port_0_is_taken_at_its_word_and_told():
    found = minimal(child="local_ts = 10.1.0.0/16[udp/0]")
    assert only(found)["children"][0]["local"] == ["10.1.0.0/16[17/0]"]
    assert (LOST, "t/c") in told(found, "local_ts")
    assert not told(minimal(child="local_ts = 10.1.0.0/16[icmp/0]"), "local_ts")


def test_a_site_is_carried_over_with_a_report():
    found = read("site.swanctl.conf")
    office, phone = (manager_takes(tunnel) for tunnel in found.tunnels)
    assert office.document["local"] == {"address": "203.0.113.9", "id": "branch.example.net"}
    assert office.document["remote"] == {
        "address": "198.51.100.1", "addresses": [], "id": "office.example.net", "port": 4500, "natt_port": 4500
    }  # fmt: skip
    assert office.document["ike"] == {
        "version": 2, "proposals": ["aes256gcm16-prfsha384-ecp384", "aes256-sha256-modp2048"],
        "lifetime": 8 * 3600, "reauth": 0, "dpd_delay": 45, "retransmit_timeout": 60, "fragmentation": "auto",
        "fragment_size": 1280, "dscp": 0,
    }  # fmt: skip
    assert office.document["encapsulation"] == "force"
    lan, web, gre, shunt, voice = office.document["children"]
    assert lan["local"] == ["10.20.0.0/16"]  # host bits are cut off, as strongSwan does
    assert lan["remote"] == ["10.0.0.0/16", "10.1.0.0/16"]
    assert (lan["start"], lan["lifetime"], lan["lifetime_bytes"]) == ("auto", 55 * 60, 500 << 20)
    assert (lan["lifetime_packets"], lan["replay_window"]) == (1000000, 256)
    assert lan["proposals"] == ["aes256gcm16-ecp384", "aes256-sha256-modp2048"]
    assert (web["local"], web["remote"]) == (["10.20.0.0/16[6]"], ["192.0.2.80/32[6/443]"])
    assert (gre["mode"], gre["local"], gre["remote"]) == (
        "transport", ["203.0.113.9/32[47]"], ["198.51.100.1/32[47]"]
    )  # fmt: skip
    assert (shunt["mode"], shunt["start"]) == ("pass", "manual")
    # another connection between the same ends is another child
    assert (voice["name"], voice["start"]) == ("voice", "manual")
    assert office.credential.secret.reveal() == b'Tr0ub4dor "and" three # more words'
    assert phone.document["children"][0]["local"] == ["10.20.5.0/24[17/5060-5070]"]
    assert phone.credential.secret.reveal() == b"Correct Horse Battery"
    assert set(found.skipped) == {"roadwarriors", "old-router"}
    assert not found.missing_secrets
    for option, severity, tunnel in (
        ("include", LOST, ""),
        ("remote_addrs", LOST, "office"),
        ("start_action", LOST, "office/lan"),
        ("updown", LOST, "office/lan"),
        ("office-voice", LOST, "office-voice"),
        ("pools", SKIPPED, "roadwarriors"),
        ("version", SKIPPED, "old-router"),
        ("secrets.eap-alice", IGNORED, ""),
        ("fragmentation", LOST, "office"),
    ):
        assert (severity, tunnel) in told(found, option), (option, told(found, option))
    shown = repr(found) + "".join(map(str, found.notes))
    assert not any(word in shown for word in ("Tr0ub4dor", "wonderland", "opens-the-key", "Correct Horse"))


def test_every_note_names_file_line_option_and_what_happens_instead():
    found = read("site.swanctl.conf")
    lines = (DATA / "site.swanctl.conf").read_text(encoding="utf-8").splitlines()
    for note in found.notes:
        assert note.file.endswith("site.swanctl.conf")
        assert note.instead
        if "network" not in note.option and "." not in note.option:
            assert note.option in lines[note.line - 1], note


def test_every_option_of_the_manual_page_has_a_row():
    places = {
        "connections.<conn>.children.<child>.": [options.CHILD],
        "connections.<conn>.local<suffix>.": [ends["local"] for ends in options.ENDS.values()],
        "connections.<conn>.remote<suffix>.": [ends["remote"] for ends in options.ENDS.values()],
        "connections.<conn>.": list(options.CONNECTIONS.values()),
        "authorities.<name>.": [options.AUTHORITY],
    }
    elsewhere = {"version", "local", "remote", "children", "cert", "cacert", "sha256_96", "ah_proposals"}
    missing = []
    for line in (DATA / "swanctl_options.txt").read_text(encoding="utf-8").split():
        line = line.replace("<suffix>", "") if line.endswith("<suffix>") else line
        for place, tables in places.items():
            name = line.removeprefix(place)
            if name != line and "." not in name and name not in elsewhere:
                missing += [line for rows in tables if name not in rows]
    assert not missing


@pytest.mark.parametrize(
    ("option", "path", "value"),
    [
        ("rekey_time = 1d", "ike.lifetime", 86400),
        ("rekey_time = 90", "ike.lifetime", 90),
        ("reauth_time = 3h", "ike.reauth", 10800),
        ("reauth_time = 3h\nrekey_time = 2h", "ike.lifetime", 7200),
        ("reauth_time = 0", "ike.lifetime", 14400),
        ("dpd_delay = 0s", "ike.dpd_delay", 0),
        ("encap = yes", "encapsulation", "force"),
        ("dscp = 101110", "ike.dscp", 46),
        ("remote_port = 5500", "remote.natt_port", 5500),
        ("remote_port = 5500", "remote.port", 5500),
        ("remote_port = 500", "remote.port", 500),
        ("remote_addrs = VPN.example.net", "remote.address", "vpn.example.net"),
        ("proposals = aes128gcm16-prfsha256-x25519", "ike.proposals", "aes128gcm16-prfsha256-x25519"),
        ("proposals = aes128gcm16-aes256-sha256-curve25519", "ike.proposals",
         ["aes128gcm16-prfsha256-x25519", "aes256-sha256-x25519"]),
        ("proposals = aes256gcm16-prfsha384-x25519-ke1_ecp384-ke2_curve448", "ike.proposals",
         "aes256gcm16-prfsha384-x25519-ke1_ecp384"),
        ("proposals = default", "ike.proposals", "compat"),
        ("local_addrs = %any", "local.address", None),
    ],
)  # fmt: skip
def test_options_of_a_connection(option, path, value):
    local = "id = us.example" if "local_addrs" in option else ""
    document = only(minimal(option, local))
    for key in path.split("."):
        document = document[key]
    assert document == value


@pytest.mark.parametrize(
    ("option", "key", "value"),
    [
        ("mode = transport\nlocal_ts = dynamic\nremote_ts = dynamic", "mode", "transport"),
        ("start_action = start", "start", "auto"),
        ("start_action = trap", "start", "trap"),
        ("", "start", "manual"),
        ("rekey_time = 30m", "lifetime", 1800),
        ("rekey_bytes = 1g", "lifetime_bytes", 1 << 30),
        ("rekey_packets = 5", "lifetime_packets", 5),
        ("life_time = 20m", "lifetime", 1200),
        ("life_bytes = 1g", "lifetime_bytes", 1 << 30),
        ("life_packets = 700000", "lifetime_packets", 700000),
        ("rekey_time = 30m\nlife_time = 33m", "lifetime", 1800),
        ("rekey_time = 0\nlife_time = 33m", "lifetime", 1980),
        ("life_bytes = 1m\nrekey_bytes = 900k", "lifetime_bytes", 900 << 10),
        ("close_action = trap", "close_action", "trap"),
        ("close_action = none", "close_action", "none"),
        ("inactivity = 15m", "inactivity", 900),
        ("replay_window = 0\nesp_proposals = aes128gcm16-noesn", "replay_window", 0),
        ("local_ts = dynamic[udp/53]", "local", ["192.0.2.1/32[17/53]"]),
        ("remote_ts = 10.3.0.1-10.3.0.9", "remote", ["10.3.0.1-10.3.0.9"]),
        ("local_ts = fec1::/16[ipv6-icmp]\nremote_ts = fec2::/16", "local", ["fec1::/16[58]"]),
        ("esp_proposals = aes256gcm16-sha256-esn", "proposals", "aes256gcm16-esn"),
        ("esp_proposals = null-sha256", "proposals", "null-sha256"),
        ("esp_proposals = aes256ccm128-aes128ctr-sha1", "proposals", ["aes256ccm16", "aes128ctr-sha1"]),
        ("sha256_96 = yes\nesp_proposals = aes128-sha256", "proposals", "aes128-sha256_96"),
        ("ah_proposals = sha512-modp2048", "protocol", "ah"),
        ("ah_proposals = sha512-modp2048", "proposals", "sha512-modp2048"),
        ("ah_proposals = default", "proposals", "sha256-sha384-sha512"),
        ("ah_proposals = sha256\nesp_proposals = aes128gcm16", "protocol", "esp"),
        ("ipcomp = yes", "ipcomp", True),
        ("copy_df = no", "copy_df", False),
        ("copy_ecn = no", "copy_ecn", False),
        ("copy_dscp = yes", "dscp", "both"),
        ("priority = 77", "priority", 77),
        ("hw_offload = yes", "offload", "crypto"),
        ("hw_offload = auto", "offload", "none"),
        ("sha256_96 = no\nesp_proposals = aes128-sha256", "proposals", "aes128-sha256"),
    ],
)
def test_options_of_a_child(option, key, value):
    assert only(minimal(child=option))["children"][0][key] == value


@pytest.mark.parametrize(
    ("option", "severity"),
    [
        ("mobike = no", IGNORED), ("mobike = yes", LOST),
        ("unique = never", LOST), ("rekey_time = 0", LOST), ("rekey_time = soon", LOST), ("dscp = 46", LOST),
        ("version = 1", SKIPPED), ("vips = 0.0.0.0", SKIPPED),
        ("proposals = md5-des-modp768", SKIPPED), ("remote_addrs = vpn_1.example.net", SKIPPED), ("no_such = 1", LOST),
        ("local_addrs = vpn.example.net", SKIPPED),
        ("over_time = 1h", IGNORED), ("keyingtries = 0", IGNORED),
    ],
)  # fmt: skip
def test_what_is_told_of_a_connection(option, severity):
    found = minimal(option)
    assert (severity, "t") in told(found, option.split()[0])
    assert bool(found.tunnels) == (severity != SKIPPED)


@pytest.mark.parametrize(
    "empty",
    [
        {"connection": "pools =\nvips =\nproposals =\nppk_id =\nremote_port ="},
        {"local": "eap_id =\nid =\ncerts =\nxauth_id ="},
        {"child": "updown =\nah_proposals =\nrekey_time =\nstart_action =\nset_mark_in =\nlabel ="},
    ],
)
def test_an_option_with_an_empty_value_has_its_default(empty):
    plain, found = minimal(), minimal(**empty)
    assert found.tunnels == plain.tunnels and not found.notes


def test_an_empty_value_takes_what_was_inherited_back():
    text = "base { pools = office }\n" + MINIMAL.format(connection="pools =", local="", child="")
    assert read_text(text.replace("  t {", "  t : base {"), "swanctl").tunnels
    assert not read_text(text.replace("  t {", "  t : base {").replace("pools =\n", "\n"), "swanctl").tunnels


def test_what_a_lifetime_is_made_of_is_told():
    found = minimal(child="rekey_time = 0\nlife_time = 33m\nrekey_bytes = 1m\nlife_bytes = 2m")
    assert told(found, "rekey_time") == [(LOST, "t/c")] and told(found, "life_bytes") == [(IGNORED, "t/c")]
    assert not told(found, "life_time") and not told(found, "rekey_bytes")


def test_a_skipped_child_leaves_the_others():
    found = minimal(child="} d { mode = beet\n local_ts = 10.3.0.0/16")
    assert [child["name"] for child in only(found)["children"]] == ["c"]
    assert found.skipped == ["t/d"]


def test_two_ends_that_prove_themselves_differently_are_skipped():
    found = read_text("connections { t { remote_addrs = 192.0.2.9\n local { auth = psk } } }", "swanctl")
    assert (SKIPPED, "t") in told(found, "remote.auth")


def test_the_key_that_fits_best_is_taken():
    keys = """
    secrets {
      ike-any { secret = "for anybody" }
      ike-peer { id = 192.0.2.9
                 secret = "for the peer" }
      ike-both { id-1 = 192.0.2.1
                 id-2 = 192.0.2.9
                 secret = "for both" }
      ike-other { id-1 = 192.0.2.1
                  id-2 = 192.0.2.77
                  secret = "for another peer" }
    }"""
    text = MINIMAL.format(connection="", local="", child="").partition("secrets {")[0]
    assert read_text(text + keys, "swanctl").tunnels[0].credential.secret.reveal() == b"for both"
    without = keys.replace("id-2 = 192.0.2.9\n", "id-2 = 192.0.2.88\n")
    assert read_text(text + without, "swanctl").tunnels[0].credential.secret.reveal() == b"for the peer"


def test_the_keyring_chooses_as_a_look_at_every_key_would():
    dice = random.Random(7)
    ends = [(1, bytes([number])) for number in range(6)]
    place = Entry("secret", "", "f", 1)
    for _round in range(300):
        held = [
            SharedKey(place, tuple(dice.choice([*ends, None]) for _owner in range(dice.randrange(4))), Secret(b"x"))
            for _key in range(8)
        ]
        ours, theirs = ({dice.choice(ends[:3]), dice.choice(ends[:3])}, {dice.choice(ends[3:]), dice.choice(ends)})
        scored = [(keys._score(key.owners, ours, theirs), place) for place, key in enumerate(held)]
        score, last = max(scored)
        assert keys.Keyring(held).choose((ours, theirs)) is (held[last] if score else None)


@pytest.mark.parametrize(
    ("written", "form", "octets"),
    [
        ("0xff00ff", "hex", b"\xff\x00\xff"),
        ("0s/wD/", "base64", b"\xff\x00\xff"),
        ("0s/w", "base64", b"\xff"),
        ('"0x6d61"', "hex", b"ma"),
        ("plain", None, b"plain"),
    ],
)
def test_a_key_of_any_octets_is_carried_and_its_tunnel_says_how_it_is_written(written, form, octets):
    text = MINIMAL.format(connection="", local="", child="").replace('"some key"', written)
    found = read_text(text, "swanctl")
    (tunnel,) = found.tunnels
    assert tunnel.credential.secret.reveal() == octets
    assert manager_takes(tunnel).credential.secret.reveal() == octets
    assert tunnel.document["auth"].get("secret_format") == form
    # Whoever puts what the file has into a vault authenticates with the same key.
    (written_out,) = yaml.safe_load(yaml_writer.playable([tunnel.document]))["ipsec_tunnels"]
    vaulted = {**written_out["auth"], "secret": written.strip('"')}
    if len(written) % 4 == 2 or form != "base64":
        assert parse_definition({**written_out, "auth": vaulted}).credential.secret.reveal() == octets
    assert not found.notes and written not in repr(found)


def test_a_key_that_is_damaged_is_told():
    found = read_text(MINIMAL.format(connection="", local="", child="").replace('"some key"', "0xf00"), "swanctl")
    assert found.missing_secrets == ["t"] and told(found, "secret") == [(LOST, "")]
    assert "f00" not in "".join(map(str, found.notes))


def test_sections_take_on_what_others_have(tmp_path):
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "a.conf").write_text("connections { extra : connections.base { version = 2 } }")
    main = tmp_path / "swanctl.conf"
    main.write_text(
        "include conf.d/*.conf\n"
        "connections { base { local_addrs = 192.0.2.1 # ours\n remote_addrs = 192.0.2.9\n"
        " local { auth = psk } remote { auth = psk } children { c { local_ts = 10.1.0.0/16\n"
        " remote_ts = 10.2.0.0/16 } } }\n  second : connections.base, connections.extra { remote_addrs = 192.0.2.10\n"
        " children { c { remote_ts = 10.3.0.0/16 } } } }"
    )
    from engine.convert.files import Files
    from engine.convert.importing import Source, convert
    from engine.convert.report import Report

    report = Report()
    files = Files(report)
    found = convert(Source(files.read(str(main)), str(main)), "auto", files, report)
    # extra has the ends of base, so its child is made part of it
    assert {tunnel.document["remote"]["address"] for tunnel in found.tunnels} == {"192.0.2.9", "192.0.2.10"}


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("connections {\n a {\n", 2, "not closed"),
        ("}\n", 1, "not open"),
        ('connections { a { x = "never closed\n } }\n', 1, "not closed"),
        ("connections\nare nice\n", 1, "neither"),
        ('"quoted" = 1', 1, "where a name is expected"),
        ("include", 1, "neither"),
        ("{ }", 1, "not expected"),
        ("a {" * 40, 1, "deep"),
    ],
)
def test_a_broken_file_is_refused_with_its_line(text, line, what):
    with pytest.raises(InputError, match=what) as caught:
        read_text(text, "swanctl")
    assert str(caught.value).startswith(f"text:{line}: ")


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("t2 : nowhere { }", 1, "not there"),
        ("\nt2 : connections.t2 { }", 2, "refers to itself"),
        ("t2 { local : nowhere { } }", 1, "not there"),
        ("t2 { children : nowhere { } }", 1, "not there"),
        ("t2 : connections.t3 { }\nt3 : connections.t2 { }", 1, "refers to itself"),
        ("t2 : connections.t3 { }\nt3 { remote : gone { } }", 2, "not there"),
    ],
)
def test_what_refers_to_nothing_loses_its_connection_alone(text, line, what):
    whole = f"connections {{ {text}\n }}" + MINIMAL.format(connection="", local="", child="")
    found = read_text(whole, "swanctl")
    assert [tunnel.name for tunnel in found.tunnels] == ["t"] and "t2" in found.skipped
    note = next(note for note in found.notes if note.tunnel == "t2")
    assert what in note.instead and note.line == line and note.remedy


def test_of_children_that_claim_the_same_packets_the_first_is_made():
    text = """
    connections {
      base { local_addrs = 192.0.2.1
        local { auth = psk }
        remote { auth = psk }
        children { lan { local_ts = 10.1.0.0/16
            remote_ts = 10.2.0.0/16 } } }
      a : connections.base { remote_addrs = 192.0.2.9 }
      b : connections.base { remote_addrs = 192.0.2.10 }
      c : connections.base { remote_addrs = 192.0.2.11
        children { own { local_ts = 10.1.0.0/16
            remote_ts = 10.2.3.0/24 } } }
    }
    """
    found = read_text(text.replace("base { local_addrs", "base { remote_addrs = 192.0.2.8\n local_addrs"), "swanctl")
    made = [(tunnel.name, [child["name"] for child in tunnel.document["children"]]) for tunnel in found.tunnels]
    # What lies within another one is taken from that, and has its packets.
    assert made == [("base", ["lan"]), ("c", ["own"])]
    assert found.skipped == ["a/lan", "b/lan", "c/lan", "a", "b"]
    overlapping = [note for note in found.notes if "overlaps child lan of tunnel base" in note.instead]
    assert len(overlapping) == 3 and all(note.line and note.remedy for note in overlapping)


@pytest.mark.parametrize(
    ("wishes", "address"),
    [
        ({"local_addresses": ["192.0.2.7"]}, "192.0.2.7"),
        ({"local_addresses": ["2001:db8::7", "192.0.2.7"]}, "192.0.2.7"),
        ({"local_addresses": ["192.0.2.7", "192.0.2.8"]}, None),
        ({"towards": {"192.0.2.9": "10.0.0.5"}.get}, "10.0.0.5"),
        ({"towards": {"192.0.2.9": ""}.get}, None),
        ({}, None),
    ],
)
def test_an_end_that_nothing_is_said_of_has_the_address_of_the_host(wishes, address):
    text = MINIMAL.format(connection="", local="", child="").replace("local_addrs = 192.0.2.1", "local_addrs = %any")
    found = read_text(text, "swanctl", **wishes)
    if address is None:
        assert not found.tunnels and any("--local" in note.remedy for note in found.notes)
    else:
        assert only(found)["local"] == {"address": address, "id": address}
        assert told(found, "local_addrs") == [(LOST, "t")]
    # Whoever has a name needs no address.
    assert only(read_text(text.replace("auth = psk", "auth = psk\n id = us.example", 1), "swanctl", **wishes))


def test_a_quote_that_is_not_closed_shows_no_key():
    text = MINIMAL.format(connection='dpd_delay = "30s', local="", child="")
    found = read_text(text.replace('"some key" } }', '"hush hush\n } }'), "swanctl")
    (note,) = [note for note in found.notes if note.option == "dpd_delay"]
    assert note.value == "30s…" and "hush" not in "".join(map(str, found.notes))


def test_a_child_that_refers_to_nothing_leaves_the_others():
    found = minimal(child="} d : nowhere { ")
    assert [child["name"] for child in only(found)["children"]] == ["c"] and found.skipped == ["t/d"]


@pytest.mark.parametrize(("word", "value"), [("yes", "auto"), ("accept", "auto"), ("no", "never"), ("force", None)])
def test_fragmentation_is_agreed_with_the_peer_or_never_used(word, value):
    try:
        assert words.fragmentation(word, lambda *_told: None) == value
    except Unfit as unfit:
        assert value is None and "the default is taken" in str(unfit)


@pytest.mark.parametrize("lacking", [False, True])
def test_additional_key_exchanges_are_carried_where_the_library_has_them(monkeypatch, lacking):
    row = by_name(Kind.KE, "mlkem768")
    monkeypatch.setattr(row.primitive, "available", not lacking)
    notes = []
    read = algorithms.esp()
    found = read("aes256gcm16-x25519-ke1_mlkem768,aes128gcm16", lambda *told: notes.append(told[:2]))
    assert found == ["aes256gcm16-x25519" + ("" if lacking else "-ke1_mlkem768"), "aes128gcm16"]
    assert bool(notes) == lacking


@pytest.mark.parametrize("child", ["mode = transport", "remote_ts = dynamic", "remote_ts = dynamic[tcp/443]"])
def test_a_child_between_addresses_is_not_made_with_a_peer_that_has_a_name(child):
    found = minimal("remote_addrs = vpn.example.net", child=child)
    assert not found.tunnels and (SKIPPED, "t/c") in [(note.severity, note.tunnel) for note in found.notes]


def test_a_peer_with_a_name_goes_through_the_classic_file_and_back():
    document = only(minimal("remote_addrs = vpn.example.net"))
    text = ikedb_write.write([document])
    assert "vpn.example.net" in text
    (tunnel,) = read_text(text, "ikedb").tunnels
    assert tunnel.document["remote"]["address"] == "vpn.example.net"
