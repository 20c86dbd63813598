# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ipsec.conf and ipsec.secrets into definitions, of strongSwan, Libreswan and FreeS/WAN."""

from __future__ import annotations

import pytest
from engine.convert import ipsec_options as options
from engine.convert.report import IGNORED, LOST, SKIPPED
from engine.errors import InputError
from samples import DATA, manager_takes, read, read_text, told

MINIMAL = """
config setup
\tuniqueids=yes
conn t
\tauthby=secret
\tkeyexchange=ikev2
\tleft=192.0.2.1
\tleftsubnet=10.1.0.0/16
\tright=192.0.2.9
\trightsubnet=10.2.0.0/16
\tauto=add
"""


def minimal(*lines: str, secrets: str = ': PSK "some key"', **wishes):
    text = MINIMAL + "".join(f"\t{line}\n" for line in lines)
    return read_text(text, "ipsec_conf", secrets, **wishes)


def only(conversion) -> dict:
    (tunnel,) = conversion.tunnels
    return manager_takes(tunnel).document


def named(conversion) -> dict:
    return {tunnel.name: manager_takes(tunnel) for tunnel in conversion.tunnels}


def test_a_hub_of_strongswan():
    found = read("strongswan.ipsec.conf", "strongswan.ipsec.secrets")
    tunnels = named(found)
    assert set(tunnels) == {"spoke1", "spoke2", "l2tp"}
    spoke1 = tunnels["spoke1"].document
    assert spoke1["local"] == {"address": "198.51.100.1", "id": "hub.example.net"}
    assert spoke1["ike"]["proposals"] == "aes256-sha256-modp2048"
    assert (spoke1["ike"]["lifetime"], spoke1["ike"]["dpd_delay"]) == (8 * 3600, 40)
    (child,) = spoke1["children"]
    assert (child["local"], child["remote"]) == (["10.0.0.0/16", "10.1.0.0/16"], ["10.11.0.0/16"])
    assert (child["start"], child["lifetime"], child["proposals"]) == ("trap", 50 * 60, "aes128gcm16-modp2048")
    assert tunnels["spoke1"].credential.secret.reveal() == b"first of all"
    assert tunnels["spoke2"].document["remote"]["address"] is None
    assert tunnels["spoke2"].document["remote"]["id"] == "dn:C=DE, O=Example Net, CN=spoke2"
    assert tunnels["spoke2"].credential.secret.reveal() == b"secret of spoke two"
    l2tp = tunnels["l2tp"].document["children"][0]
    assert (l2tp["mode"], l2tp["local"], l2tp["remote"]) == (
        "transport", ["192.0.2.0/32[17/1701]".replace("192.0.2.0", "198.51.100.1")], ["203.0.113.40/32[17]"]
    )  # fmt: skip
    assert tunnels["l2tp"].credential.secret.reveal() == b"l2tp it is"
    assert set(found.skipped) == {"certs", "lan-bypass", "lan-bypass/lan-bypass"}
    for option, severity, tunnel in (
        ("charondebug", IGNORED, ""),
        ("leftfirewall", LOST, "spoke1"),
        ("authby", SKIPPED, "certs"),
        ("type", SKIPPED, "lan-bypass/lan-bypass"),
        ("secret of kind EAP", IGNORED, ""),
        ("mobike", IGNORED, "spoke1"),
    ):
        assert (severity, tunnel) in told(found, option), (option, told(found, option))
    shown = repr(found) + "".join(map(str, found.notes))
    assert not any(word in shown for word in ("first of all", "spoke two", "l2tp it is", "wonderland", "opens it"))


def test_a_mesh_of_libreswan_from_either_end():
    west = named(read("libreswan.ipsec.conf", "libreswan.ipsec.secrets", local_addresses=["192.0.2.10"]))
    assert set(west) == {"mesh", "pfs-off"}
    mesh = west["mesh"].document
    assert mesh["local"] == {"address": "192.0.2.10", "id": "west.example.org"}
    assert [child["name"] for child in mesh["children"]] == ["mesh-1x1", "mesh-1x2", "mesh-2x1", "mesh-2x2"]
    assert [(child["local"], child["remote"]) for child in mesh["children"]][1] == (["10.3.0.0/16"], ["10.6.0.0/16"])
    assert mesh["ike"]["proposals"] == [
        "aes256gcm16-prfsha512-prfsha256-modp2048-ecp256", "aes256-sha1-modp1536"
    ]  # fmt: skip
    # perfect forward secrecy is on where nothing is said: with the groups of the IKE SA
    assert mesh["children"][0]["proposals"] == [
        "aes256gcm16-modp2048-ecp256-modp1536", "aes256-sha512-modp2048-ecp256-modp1536"
    ]  # fmt: skip
    assert (mesh["encapsulation"], mesh["children"][0]["start"]) == ("force", "trap")
    assert (mesh["children"][0]["lifetime"], mesh["ike"]["lifetime"]) == (7200, 6 * 3600)
    assert west["pfs-off"].document["children"][0]["proposals"] == "aes128-sha256"
    assert west["mesh"].credential.secret.reveal() == b"east and west"
    assert west["pfs-off"].credential.secret.reveal() == b"no pfs here"
    east = named(read("libreswan.ipsec.conf", "libreswan.ipsec.secrets", local_addresses=["192.0.2.20"]))["mesh"]
    assert east.document["local"] == {"address": "192.0.2.20", "id": "east.example.org"}
    assert east.document["children"][1]["local"] == ["10.5.0.0/16"]
    assert east.credential.secret == west["mesh"].credential.secret


def test_an_old_peer_is_told_and_can_become_ikev2():
    found = read("libreswan.ipsec.conf", "libreswan.ipsec.secrets")
    assert (SKIPPED, "oldpeer") in told(found, "ikev2")
    upgraded = named(read("libreswan.ipsec.conf", "libreswan.ipsec.secrets", upgrade=True))
    assert upgraded["oldpeer"].credential.secret.reveal() == b"for everybody else"


def test_a_tunnel_of_freeswan():
    found = read("freeswan.ipsec.conf")
    document = only(found)
    assert document["local"] == {"address": None, "id": "west.example"}
    assert document["remote"]["id"] == "east.example"
    assert document["children"][0]["proposals"] == "3des-sha1"
    assert (LOST, "net-net/net-net") in told(found, "esp")  # md5
    assert (IGNORED, "net-net") in told(found, "leftnexthop")
    assert (IGNORED, "net-net") in told(found, "conn")  # no version of IKE is given
    assert found.missing_secrets == ["net-net"]


def test_every_option_of_the_manual_pages_has_a_row():
    elsewhere = {
        "also", "authby", "keyexchange", "ikev2", "ike", "esp", "phase2alg", "pfs", "pfsgroup", "esn", "leftauth",
        "leftsubnet", "rightsubnet", "leftsubnets", "leftprotoport", "x-remark", "rightid",
        "sha2-truncbug", "sha2_truncbug", "sha256_96", "ah",
        "encap-dscp", "decap-dscp",
    }  # fmt: skip
    missing = []
    for name in (DATA / "ipsec_conf_options.txt").read_text(encoding="utf-8").split():
        of_end = name.startswith(("left", "right")) and all(
            name.removeprefix("left").removeprefix("right") in ends["local"] for ends in options.ENDS.values()
        )
        if name not in elsewhere and not of_end and name not in options.CONNECTION and name not in options.CHILD:
            missing.append(name)
    assert not missing
    setup = (DATA / "ipsec_setup_options.txt").read_text(encoding="utf-8").split()
    assert not [name for name in setup if name not in options.SETUP]


@pytest.mark.parametrize("char", ["\v", "\f", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029", "\r"])
def test_a_comment_ends_where_its_line_does(char):
    plain = minimal("auto=start")
    commented = minimal(f"# page one{char} leftsubnet=0.0.0.0/0", f"auto=start # old:{char}\tesp=null-sha1")
    assert commented.tunnels == plain.tunnels
    key = minimal(secrets=f'# {char} : PSK "an old one"\r\n: PSK "a key{char}b"\r\n').tunnels[0].credential
    assert key.secret.reveal() == f"a key{char}b".encode()


@pytest.mark.parametrize("before", ["", "conn %default\n", "config setup\n", "conn x\n\tauto=add\n"])
def test_a_section_whose_name_has_blanks_is_itself_and_hurts_none_before_it(before):
    quoted = minimal("auto=add\n" + before + 'conn "b c"\n\talso=t\n\tright=192.0.2.8\n\trightsubnet=10.3.0.0/16')
    assert {"t", "b_c"} <= set(named(quoted))
    bare = minimal("auto=add\n" + before + "conn b c\n\talso=t\n\tright=192.0.2.8\n\trightsubnet=10.3.0.0/16")
    assert set(named(bare)) == {"t"} and "b c" in bare.skipped and "t" not in bare.skipped


def test_of_one_network_beside_many_is_told():
    found = minimal('leftsubnets="10.5.0.0/16 10.6.0.0/16"')
    assert [child["local"] for child in only(found)["children"]] == [["10.5.0.0/16"], ["10.6.0.0/16"]]
    assert told(found, "leftsubnet") == [(LOST, "t/t")]


def test_a_key_for_all_of_a_network_is_told():
    found = minimal(secrets='192.0.2.0/24 : PSK "some key"')
    assert found.missing_secrets == ["t"] and "all of a network" in found.notes[0].instead


@pytest.mark.parametrize("option", ["ah", "rightsourceip", "leftupdown", "leftid", "auto", "ike", "esn", "pfs", "mark"])
def test_an_option_with_an_empty_value_has_its_default(option):
    plain, empty = minimal("rightid=@peer.example"), minimal("rightid=@peer.example", f"{option}=")
    assert empty.tunnels == plain.tunnels and empty.notes == plain.notes


@pytest.mark.parametrize(
    ("lines", "path", "value"),
    [
        (["ikelifetime=6h"], "ike.lifetime", 6 * 3600),
        (["dpddelay=15"], "ike.dpd_delay", 15),
        (["dpddelay=500ms"], "ike.dpd_delay", 1),
        (["ikelifetime=3600000ms"], "ike.lifetime", 3600),
        (["ikelifetime=90 minutes"], "ike.lifetime", 5400),
        (["retransmit-timeout=90s"], "ike.retransmit_timeout", 90),
        (["forceencaps=yes"], "encapsulation", "force"),
        (["encapsulation=auto"], "encapsulation", "auto"),
        (["leftid=@#7068 6f6e65".replace(" ", "")], "local.id", "keyid:phone"),
        (["rightid=@[group]"], "remote.id", "keyid:group"),
        (["rightid=@#0x0a0b0c"], "remote.id", "keyid:#0a0b0c"),
        (["rightid=keyid:#0a0b"], "remote.id", "keyid:#0a0b"),
        (["rightid=branch:7"], "remote.id", "keyid:branch:7"),
        (["rightid=@10.9.9.9"], "remote.id", "fqdn:10.9.9.9"),
        (["rightid=@2001:db8::1"], "remote.id", "fqdn:2001:db8::1"),
        (["rightid=@C=DE"], "remote.id", "fqdn:C=DE"),
        (["rightid=0.0.0.0"], "remote.id", "192.0.2.9"),
        (["rightid=@@ops@b1.example"], "remote.id", "email:ops@b1.example"),
        (['rightid="C=DE, O=A \\\\, B, CN=x"'.replace("\\\\", "\\")], "remote.id", "dn:C=DE, O=A \\, B, CN=x"),
        (["rightikeport=5500"], "remote.natt_port", 5500),
        (["rightikeport=5500"], "remote.port", 5500),
        (["right=vpn.example.net"], "remote.address", "vpn.example.net"),
        (["ike=aes_gcm_c_256-sha2_384;dh20"], "ike.proposals", "aes256gcm16-prfsha384-ecp384"),
        (["ike=aes256-sha2"], "ike.proposals", "aes256-sha256-x25519-ecp256-ecp384-ecp521-modp2048-modp3072-modp4096"),
    ],
)
def test_options_of_a_tunnel(lines, path, value):
    document = only(minimal(*lines))
    for key in path.split("."):
        document = document[key]
    assert document == value


@pytest.mark.parametrize(
    ("lines", "key", "value"),
    [
        (["auto=start"], "start", "auto"), (["auto=up"], "start", "auto"), (["auto=ondemand"], "start", "trap"),
        (["auto=route"], "start", "trap"), (["auto=keep"], "start", "manual"), (["auto=ignore"], "start", "manual"),
        (["keylife=20m"], "lifetime", 1200), (["ipsec-max-bytes=1G"], "lifetime_bytes", 1 << 30),
        (["lifepackets=7"], "lifetime_packets", 7), (["ipsec-max-packets=2^32"], "lifetime_packets", 1 << 32),
        (["ipsec-max-bytes=2^63"], "lifetime_bytes", 0), (["ipsec-max-bytes=2KiB"], "lifetime_bytes", 2048),
        (["replay-window=64"], "replay_window", 64),
        (["replay-window=0", "esp=aes128gcm16"], "proposals", "aes128gcm16-noesn"),
        (["leftprotoport=tcp/22"], "local", ["10.1.0.0/16[6/22]"]),
        (["leftprotoport=17/0"], "local", ["10.1.0.0/16[17]"]), (["leftprotoport=0/0"], "local", ["10.1.0.0/16"]),
        (["rightsubnet=10.2.0.1/16"], "remote", ["10.2.0.0/16"]),
        (["left-protoport=tcp/22"], "local", ["10.1.0.0/16[6/22]"]),
        (["leftsubnet=0/0"], "local", ["0.0.0.0/0"]), (["leftsubnet=10.1/16"], "local", ["10.1.0.0/16"]),
        (["rightsubnet=10/8"], "remote", ["10.0.0.0/8"]), (["leftprotoport=ipip"], "local", ["10.1.0.0/16[4]"]),
        (["esp=aes256-sha1;modp1536"], "proposals", "aes256-sha1-modp1536"),
        (["phase2alg=aes_gcm_c-256-null", "pfs=no"], "proposals", "aes256gcm16"),
        (["esp=aes-256-sha2-512"], "proposals", "aes256-sha512"),
        (["esp=aes128gcm16", "esn=yes"], "proposals", "aes128gcm16-esn"),
        (["phase2alg=aes_ccm_c-128,aes_ctr256-sha2_256", "pfs=no"], "proposals", ["aes128ccm16", "aes256ctr-sha256"]),
        (["esp=aes_ccm_a", "pfs=no"], "proposals", "aes256ccm8-aes128ccm8"),
        (["encap-dscp=no"], "dscp", "no"), (["decap-dscp=yes"], "dscp", "both"),
        (["encap-dscp=no", "decap-dscp=yes"], "dscp", "in"), (["nopmtudisc=yes"], "copy_df", False),
        (["nic-offload=yes"], "offload", "crypto"), (["priority=9"], "priority", 9),
        (["compress=yes"], "ipcomp", True), (["compress=no"], "ipcomp", False),
        (["ah=sha256"], "protocol", "ah"), (["ah=sha256-modp2048"], "proposals", "sha256-modp2048"),
        (["phase2=ah", "pfs=no"], "proposals", "sha256-sha384-sha512"),
        (["phase2=ah", "phase2alg=sha2_512", "pfs=no"], "proposals", "sha512"), (["phase2=esp"], "protocol", "esp"),
        (["phase2alg=aes128-sha2_256", "pfs=no", "sha2-truncbug=yes"], "proposals", "aes128-sha256_96"),
        (["esp=aes128gcm16", "pfs=yes", "ike=aes256-sha256-dh14"], "proposals", "aes128gcm16-modp2048"),
    ],
)  # fmt: skip
def test_options_of_its_child(lines, key, value):
    assert only(minimal(*lines))["children"][0][key] == value


@pytest.mark.parametrize(
    ("line", "severity"),
    [
        ("dpddelay=500ms", LOST), ("lifetime=1M", LOST),
        ("mark=7", SKIPPED), ("vti-shared=yes", LOST), ("leftupdown=/bin/x", LOST), ("rekey=no", LOST),
        ("rekey=yes", IGNORED), ("rightsourceip=%config", LOST), ("leftaddresspool=10.9.0.1-10.9.0.9", SKIPPED),
        ("right=vpn_1.example.net", SKIPPED), ("leftid=%fromcert", SKIPPED), ("phase2=comp", LOST),
        ("sha2-truncbug=maybe", LOST), ("no-such-option=1", LOST), ("x-remark=hello", IGNORED),
        ("leftauth=pubkey", SKIPPED), ("rightsubnet=vhost:%priv", SKIPPED), ("keyexchange=ikev1", SKIPPED),
        ("leftprotoport=tcp/%opaque", SKIPPED), ("ike=des-md5-modp768", SKIPPED), ("rightid=*@example.net", SKIPPED),
        ("rightid=@*.example.net", SKIPPED), ("rightid=@@*@example.net", SKIPPED), ('rightid="C=DE, CN=*"', SKIPPED),
        ("rightid=%null", SKIPPED), ("rightid=@#0a0", SKIPPED), ("right=%opportunisticgroup", SKIPPED),
        ("right=%group", SKIPPED), ("left=%eth0", SKIPPED), ("left=%defaultroute", SKIPPED),
    ],
)  # fmt: skip
def test_what_is_told(line, severity):
    found = minimal(line)
    notes = [got for got, _tunnel in told(found, line.partition("=")[0])]
    assert severity in notes, found.notes
    assert bool(found.tunnels) == (severity != SKIPPED)


@pytest.mark.parametrize(
    ("lines", "address", "identity"),
    [
        (["left=%defaultroute"], "192.0.2.7", "192.0.2.7"),
        (["left=%defaultroute", "leftid=@us.example"], None, "us.example"),
        (["left=%any"], "192.0.2.7", "192.0.2.7"),
    ],
)
def test_the_default_route_is_told_by_the_address_of_the_host(lines, address, identity):
    local = only(minimal(*lines, local_addresses=["192.0.2.7"]))["local"]
    assert (local["address"], local["id"]) == (address, identity)
    unknown = minimal(*lines)
    assert bool(unknown.tunnels) == (identity != address)
    assert identity != address or any("--local" in note.remedy for note in unknown.notes)


@pytest.mark.parametrize(
    ("proposal", "made"),
    [
        ("aes256-sha2;dh19;addke1=ecp384", "aes256-sha256-ecp256-ke1_ecp384"),
        ("aes256-sha2;dh19;addke1=dh20+ecp521;addke2=modp2048",
         "aes256-sha256-ecp256-ke1_ecp384-ke1_ecp521-ke2_modp2048"),
        ("aes256-sha2;dh19;addke1=dh20;addke2=dh21+none",
         ["aes256-sha256-ecp256-ke1_ecp384-ke2_ecp521", "aes256-sha256-ecp256-ke1_ecp384"]),
        ("aes256-sha2-ecp256-ke1_ecp384-ke1_none",
         ["aes256-sha256-ecp256-ke1_ecp384", "aes256-sha256-ecp256"]),
    ],
)  # fmt: skip
def test_additional_key_exchanges_of_both_programs(proposal, made):
    found = minimal(f"ike={proposal}")
    assert only(found)["ike"]["proposals"] == made
    assert not told(found, "ike")


@pytest.mark.parametrize(
    ("lines", "field"),
    [
        (["ike=aes256-sha2;dh19;addke1=dh20;addke3=dh21"], "ike.proposals"),
        (["replay-window=0", "esp=aes256-sha1-esn"], "children[0].replay_window"),
        ([f"leftsubnet={','.join(f'10.1.{n}.0/24' for n in range(0, 256, 2))},10.1.0.0/16",
          f"rightsubnet={','.join(f'10.2.{n}.0/24' for n in range(0, 256, 2))}"], "children[0]"),
    ],
)  # fmt: skip
def test_what_the_manager_would_refuse_is_skipped_with_its_reason(lines, field):
    found = minimal(*lines)
    assert not found.tunnels and (SKIPPED, "t") in told(found, field)


@pytest.mark.parametrize(
    ("ends", "local", "address"),
    [
        ((), ["192.0.2.9"], "192.0.2.9"),
        ((), ["192.0.2.1"], "192.0.2.1"),
        ((), [], "192.0.2.1"),
        ((), ["10.0.0.1"], "192.0.2.1"),
        (("right=%defaultroute", "rightid=us.example"), [], None),
    ],
)
def test_which_end_is_local(ends, local, address):
    found = minimal(*ends, local_addresses=local)
    assert only(found)["local"]["address"] == address
    told_so = any("neither end" in note.instead for note in found.notes)
    assert told_so == (local == ["10.0.0.1"])


@pytest.mark.parametrize("local", [["foo"], ["192.0.2.1", "192.0.2"], [""]])
def test_a_local_address_that_is_none_is_refused(local):
    with pytest.raises(InputError, match=rf"local_addresses\[{len(local) - 1}\]: is no address"):
        minimal(local_addresses=local)


def test_both_ends_local_is_told():
    found = minimal(local_addresses=["192.0.2.1", "192.0.2.9"])
    assert found.skipped == ["t"]


def test_sections_are_inherited_and_files_included(tmp_path):
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "b.conf").write_text("conn b\n\talso=base\n\tright=192.0.2.8\n\tauto=start\n")
    (tmp_path / "ipsec.conf").write_text(
        "conn base\n\tauthby=secret\n\tleft=192.0.2.1\n\tleftsubnet=10.1.0.0/16\n\trightsubnet=10.2.0.0/16\n"
        "\talso=deeper\nconn deeper\n\tikelifetime=2h\n\tleftsubnet=10.99.0.0/16\ninclude more/*.conf\n"
    )
    from engine.convert.files import Files
    from engine.convert.importing import Source, convert
    from engine.convert.report import Report

    report = Report()
    files = Files(report)
    path = str(tmp_path / "ipsec.conf")
    document = only(convert(Source(files.read(path), path), "auto", files, report))
    assert (document["name"], document["ike"]["lifetime"]) == ("b", 7200)
    assert document["children"][0]["local"] == ["10.1.0.0/16"]


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("\tleft=1.2.3.4\n", 1, "no section"),
        ("left=1.2.3.4\n", 1, "begins no section"),
    ],
)
def test_a_broken_file_is_refused_with_its_line(text, line, what):
    with pytest.raises(InputError, match=what) as caught:
        read_text(text, "ipsec_conf")
    assert str(caught.value).startswith(f"text:{line}: ")


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (': PSK "a # b"  # remark', b"a # b"),
        (": PSK 'single \" inside'", b'single " inside'),
        (": psk 0x61626364", b"abcd"),
        (": PSK 0sYWJjZA==", b"abcd"),
        (": PSK 0tabcd", b"abcd"),
        (': PSK "0x61626364"', b"0x61626364"),
        (': "the oldest form"', b"the oldest form"),
        ('192.0.2.1 192.0.2.9:\n  PSK\n  "over lines"', b"over lines"),
        ("2001:db8::1 192.0.2.9 : PSK plain", b"plain"),
        ('%any : PSK "a"\n192.0.2.9 : PSK "b"', b"b"),
        ('192.0.2.1 %any : PSK "mine"\n%any %any : PSK "all"', b"mine"),
        ('192.0.2.9 : PSK "first"\n192.0.2.9 : PSK "second"', b"second"),
    ],
)
def test_pre_shared_keys(text, key):
    (tunnel,) = minimal(secrets=text).tunnels
    assert tunnel.credential.secret.reveal() == key


@pytest.mark.parametrize(
    "text",
    [
        '192.0.2.77 : PSK "of somebody else"', '192.0.2.1 192.0.2.77 : PSK "x"', ": PSK two words", ": PSK 0xzz",
        ": PSK 0s!!!",
    ],
)  # fmt: skip
def test_keys_that_do_not_fit(text):
    assert minimal(secrets=text).missing_secrets == ["t"]


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("\talso=b\nconn b\n\talso=bad\n", 15, "circle"),
        ("\talso=nobody\n", 13, "not there"),
        ("\tleft 1.2.3.4\n", 13, "no option"),
        ("left=192.0.2.1\n", 13, "begins no section"),
        ("\talso=b\nconn b\n\tleft\n", 15, "no option"),
    ],
)
def test_what_cannot_be_read_loses_its_connection_alone(text, line, what):
    found = read_text(f"{MINIMAL}conn bad\n{text}", "ipsec_conf", ': PSK "some key"')
    assert [tunnel.name for tunnel in found.tunnels] == ["t"] and "bad" in found.skipped
    note = next(note for note in found.notes if note.tunnel == "bad")
    assert what in note.instead and note.line == line and note.remedy


@pytest.mark.parametrize(
    "text",
    [
        "top secret words", 'gw : PSK "never closed', "gw :", 'gw : PSK "closed"\n  "never', "192.0.2.9 top secret",
        '192.0.2.9 : PSK\n "never closed\n words more', ": neversaid", ": PSKnever", ': wordsPSK "never"',
    ],
)  # fmt: skip
def test_a_line_that_is_no_secret_loses_itself_alone_and_is_not_shown(text):
    found = minimal(secrets=f'{text}\n192.0.2.9 : PSK "good"')
    (tunnel,) = found.tunnels
    assert tunnel.credential.secret.reveal() == b"good"
    notes = [note for note in found.notes if note.file == "secrets"]
    assert [(note.severity, note.option, note.value) for note in notes] == [(LOST, "secret", "(secret)")]
    shown = "".join(map(str, found.notes))
    assert not any(word in shown for word in ("words", "never", "top"))
