# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The XML of ikedb: what is written is read back alike, what AIX writes is read, what cannot be is refused."""

from __future__ import annotations

import re
from xml.parsers import expat

import pytest
from engine.convert import ikedb, ikedb_write
from engine.convert.ikedb_dtd import DTD
from engine.convert.mirror import swapped
from engine.convert.report import Report
from engine.definition.parsing import parse_definition
from engine.errors import InputError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from samples import DATA, SECRET, documents, manager_takes, read, told

AIX = (DATA / "aix.xml").read_text(encoding="utf-8")


def back(text: str) -> ikedb.Conversion:
    return ikedb.convert([(text, "ikedb.xml")], Report())


def canonical(tunnel) -> dict:
    return parse_definition({**tunnel.document, "auth": {"secret": SECRET}}).document


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(documents())
def test_import_of_an_export_is_the_same(document):
    found = back(ikedb_write.write([document]))
    assert [canonical(tunnel) for tunnel in found.tunnels] == [document]
    assert not found.notes


def test_ah_goes_round_in_the_words_of_aix():
    lan = {"name": "lan", "local": ["10.1.0.0/16"], "remote": ["10.9.0.0/16"], "protocol": "ah", "lifetime": 1800}
    ends = {"local": {"address": "192.0.2.1"}, "remote": {"address": "192.0.2.9"}}
    raw = {"name": "t", **ends, "children": [lan | {"proposals": "sha256-sha1-modp2048"}]}
    document = parse_definition({**raw, "auth": {"secret": SECRET}}).document
    text = ikedb_write.write([document])
    assert re.search('<IPSecAHProtocol AH_Authentication="HMAC-SHA2-256" .*AH_KeyRefreshMinutes="30"', text)
    assert "IPSecESPProtocol" not in text
    assert [canonical(tunnel) for tunnel in back(text).tunnels] == [document]
    plain = back(re.sub(r"<\?fleet-ipsec.*?\?>", "", text)).tunnels[0].document["children"][0]
    assert (plain["protocol"], plain["proposals"]) == ("ah", ["sha256-modp2048", "sha1-modp2048"])


def test_every_kind_of_identity_goes_round():
    ends = [
        ({"address": "192.0.2.1"}, {"address": "192.0.2.9"}),
        ({"address": "2001:db8::1"}, {"address": "2001:db8::9"}),
        ({"id": "hq.example"}, {"address": "192.0.2.9", "id": "gw@b1.example"}),
        ({"id": "dn:C=DE, O=Fleet, CN=hq"}, {"id": "dn:CN=b1+UID=7, DC=net"}),
        ({"id": "keyid:hq"}, {"id": "ipv6:2001:db8::9"}),
    ]
    networks = ["10.1.0.0/16", "10.2.0.7", "10.3.0.5-10.3.0.9", "2001:db8:1::/48", "::1-::5", "10.0.0.0/8[tcp/443]"]
    for number, (local, remote) in enumerate(ends):
        six = [text for text in networks if ":" in text]
        four = [text for text in networks if ":" not in text]
        raw = {
            "name": f"t{number}", "local": local, "remote": remote, "auth": {"secret": SECRET},
            "children": [{"name": "four", "local": four, "remote": four}, {"name": "six", "local": six, "remote": six}],
        }  # fmt: skip
        alone = [{"name": f"c{n}", "local": [one], "remote": [one]} for n, one in enumerate(networks)]
        for children in (raw["children"], alone[:4], alone[4:]):
            document = parse_definition({**raw, "children": children}).document
            (tunnel,) = back(ikedb_write.write([document])).tunnels
            assert canonical(tunnel) == document


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(documents())
def test_a_tool_that_knows_the_grammar_alone_reads_the_same_elements(document):
    """Without our remarks, and with the DTD inside of the file, as a checking reader sees it."""
    text = ikedb_write.write([document])
    allowed = set(re.findall(r"<!ELEMENT (\w+)", DTD))
    attributes = {name: re.findall(r"\b\w+(?=\s+(?:CDATA|\())", rule) for name, rule in _attlists().items()}
    seen = []

    def start(tag: str, given_: dict) -> None:
        seen.append(tag)
        assert tag in allowed
        assert set(given_) <= set(attributes.get(tag, ())), tag

    parser = expat.ParserCreate()
    parser.StartElementHandler = start
    parser.Parse(text, True)
    assert "IKETunnel" in seen


def _attlists() -> dict[str, str]:
    entities = dict(re.findall(r"<!ENTITY % (\w+) [\"'](.*?)[\"']>", DTD, re.DOTALL))
    plain = re.sub(r"%(\w+);", lambda match: entities[match[1]], re.sub(r"<!ENTITY.*?[\"']>", "", DTD))
    return dict(re.findall(r"<!ATTLIST (\w+)(.*?)>", plain, re.DOTALL))


def test_the_grammar_is_a_dtd():
    parser = expat.ParserCreate()
    parser.Parse(
        f"<!DOCTYPE AIX_VPN [\n{re.sub('%(phase1|phase2|value|packets);', _expanded, DTD)}]>\n<AIX_VPN/>", True
    )


def _expanded(match: re.Match[str]) -> str:
    """Inside of a file parameter entities stand between declarations only (XML 1.0, 2.8)."""
    return dict(re.findall(r"<!ENTITY % (\w+) [\"'](.*?)[\"']>", DTD, re.DOTALL))[match[1]]


def test_what_an_aix_host_exports_becomes_a_tunnel():
    found = read("aix.xml")
    (tunnel,) = found.tunnels
    document = manager_takes(tunnel).document
    assert document["local"] == {"address": "192.0.2.1", "id": "dn:/C=US/O=Example/CN=aix"}
    assert document["remote"]["id"] == "gw@office.example"
    assert document["ike"]["proposals"] == ["aes256-sha256-modp2048", "3des-sha1-modp1024"]
    assert document["ike"]["lifetime"] == 480 * 60
    (child,) = document["children"]
    assert (child["name"], child["start"], child["mode"]) == ("P2_lan", "trap", "tunnel")
    assert (child["local"], child["remote"]) == (["10.1.0.0/16"], ["10.9.0.10-10.9.0.20[6/443]"])
    assert child["proposals"] == "aes128-sha256-modp2048"
    assert (child["lifetime"], child["lifetime_bytes"]) == (3600, 50000 * 1024)
    assert tunnel.credential.secret.reveal() == b"more than sixteen"
    assert "IPSecAHProtocol" in [note.option for note in found.notes]
    assert told(found, "IKE_KeyOverlap") == [("ignored", "P1_office")]
    assert all(note.line and note.file.endswith("aix.xml") for note in found.notes)
    assert "more than" not in repr(found) + "".join(map(str, found.notes))


def test_swapped_twice_is_the_same():
    @settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(documents())
    def swaps(document):
        try:
            once = swapped(document)
        except InputError:
            return
        assert parse_definition({**once, "auth": {"secret": SECRET}}).document == once
        assert swapped(once) == document

    swaps()


def test_a_swap_exchanges_both_phases():
    (tunnel,) = read("aix.xml").tunnels
    document = canonical(tunnel)
    turned = swapped(document)
    assert turned["local"] == {"address": "192.0.2.9", "id": "gw@office.example"}
    assert turned["remote"]["id"] == document["local"]["id"]
    assert turned["children"][0]["local"] == document["children"][0]["remote"]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"remote": {"port": 5000}}, "remote.port"),
        ({"local": {"address": None, "id": "us"}}, "local.address"),
    ],
)
def test_what_belongs_to_one_end_is_not_swapped(change, field):
    raw = {
        "name": "t", "local": {"address": "192.0.2.1"}, "remote": {"address": "192.0.2.9"},
        "auth": {"secret": SECRET}, "children": [{"name": "c", "local": ["10.1.0.0/16"], "remote": ["10.2.0.0/16"]}],
    }  # fmt: skip
    for side, values in change.items():
        raw[side] = {**raw[side], **values}
    with pytest.raises(InputError, match=field):
        swapped(parse_definition(raw).document)


GROUPED = AIX.replace(
    '<User_FQDN Value="gw@office.example"><IPV4_Address Value="192.0.2.9"/></User_FQDN></IKERemoteIdentity>',
    '<IKEGroupRef IKE_GroupName="branches"/></IKERemoteIdentity>',
).replace(
    "</AIX_VPN>",
    '<IKEGroup IKE_GroupName="branches"><FQDN Value="b1.example"><IPV4_Address Value="192.0.2.11"/></FQDN>'
    '<IPV4_Address Value="192.0.2.12"/></IKEGroup></AIX_VPN>',
)


def test_a_group_becomes_a_tunnel_for_each_member():
    text = re.sub(r"<IPV4_Address_Range [^>]*/>", '<IKEGroupRef IKE_GroupName="branches"/>', GROUPED)
    first, second = back(text).tunnels
    assert (first.name, second.name) == ("P1_office-1", "P1_office-2")
    assert first.document["remote"] == {"id": "b1.example", "address": "192.0.2.11"}
    assert first.document["groups"] == second.document["groups"] == ["branches"]
    assert first.document["children"][0]["remote"] == ["192.0.2.11"]
    assert second.document["children"][0]["remote"] == ["192.0.2.12"]


def test_a_swap_is_refused_where_the_peer_is_a_group():
    found = ikedb.convert([(GROUPED, "x.xml")], Report(), group_refused="leave it")
    assert not found.tunnels
    assert re.match(r"x\.xml:14: skipped: P1_office:.*group branches.*leave it", lost(found))


@pytest.mark.parametrize(
    ("old", "new", "line", "what"),
    [
        ('IKE_TunnelName="P1_office" IPSec', 'IKE_TunnelName="nobody" IPSec', 33, "names IKETunnel nobody"),
        ('IPSec_ProtectionRef="P2_policy"\n', 'IPSec_ProtectionRef="none"\n', 33, "names IPSecProtection none"),
        ('IPSec_ProposalRefs="strong weak"', 'IPSec_ProposalRefs="strong gone"', 30, "names IPSecProposal gone"),
        ('IKE_ProtectionRef="P1_policy"', 'IKE_ProtectionRef="P9"', 14, "names IKEProtection P9"),
    ],
)
def test_a_reference_to_nothing_loses_its_tunnel_alone(old, new, line, what):
    assert old in AIX
    found = back(beside(AIX.replace(old, new, 1)))
    assert [tunnel.name for tunnel in found.tunnels] == ["other"]
    assert what in lost(found) and lost(found).startswith("ikedb.xml:")
    del line


def beside(text: str) -> str:
    """The same with a tunnel more, in which all is well."""
    document = parse_definition({
        "name": "other", "local": {"address": "192.0.2.1"}, "remote": {"address": "192.0.2.77"},
        "auth": {"secret": SECRET}, "children": [{"name": "c", "local": ["10.1.0.0/16"], "remote": ["10.2.0.0/16"]}],
    }).document  # fmt: skip
    inner = ikedb_write.write([document])
    return text.replace("</AIX_VPN>", inner[inner.index('<AIX_VPN Version="2.0">') + 23 :])


def lost(found) -> str:
    """What is told of the first thing that was not made."""
    return str(next(note for note in found.notes if note.severity == "skipped"))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('IKE_Role="Both"', 'IKE_Role="Sometimes"'),
        ('IKE_XCHGMode="IKEv2"', 'IKE_XCHGMode="Quick"'),
        ('IKE_KeyOverlap="20"', 'IKE_KeyOverlap="200"'),
        ('IKE_Flags_UseCRL="No"', 'IKE_Flags_UseCRL="Perhaps"'),
        ('IKE_DHGroup="14"', 'IKE_DHGroup="big"'),
        ('IKE_KeyRefreshMinutes="480"', 'IKE_KeyRefreshMinutes="-1"'),
        ('ESP_KeyRefreshKB="50000"', 'ESP_KeyRefreshKB="many"'),
        ('ESP_EncapsulationMode="Tunnel"', 'ESP_EncapsulationMode="Bridge"'),
        ('Protocol="6" Port="443"', 'Protocol="6" Port="70000"'),
        ('Netmask="255.255.0.0"', 'Netmask="255.0.255.0"'),
        ('<IPV4_Subnet Value="10.1.0.0"', '<IPV4_Subnet Value="10.1.0.256"'),
        ('<IPV4_Address Value="192.0.2.1"', '<IPV6_Address Value="192.0.2.1"'),
        ('From_IPAddr="10.9.0.10"', 'From_IPAddr="10.9.0.99"'),
        ('Value="/C=US/O=Example/CN=aix"', 'Value="nonsense"'),
        ('IPSec_TunnelName="P2_lan"', ""),
    ],
)
def test_a_value_that_cannot_be_loses_its_tunnel_alone(old, new):
    assert old in AIX
    found = back(beside(AIX.replace(old, new, 1)))
    assert [tunnel.name for tunnel in found.tunnels] == ["other"]
    note = next(note for note in found.notes if note.severity == "skipped")
    assert note.file == "ikedb.xml" and note.line and note.remedy, note


TRANSFORM = '<IPSecESPProtocol ESP_Encryption="{}" ESP_Authentication="SHA2-256" ESP_EncapsulationMode="{}"/>'


@pytest.mark.parametrize(
    ("transforms", "mode", "notes"),
    [
        ([("ESP_AES_128", "Tunnel"), ("ESP_DES", "Transport")], "tunnel", []),
        ([("ESP_AES_128", "Transport"), ("ESP_AES_256", "Tunnel")], "tunnel", [("lost", "P1_office/P2_lan")]),
    ],
)
def test_the_mode_of_a_child_is_that_of_transforms_that_are_spoken(transforms, mode, notes):
    inner = "".join(TRANSFORM.format(*each) for each in transforms)
    text = re.sub(r"(<IPSecProposal [^>]*>).*?(</IPSecProposal>)", rf"\1{inner}\2", AIX, flags=re.DOTALL)
    found = back(text)
    assert found.tunnels[0].document["children"][0].get("mode", "tunnel") == mode
    assert told(found, "ESP_EncapsulationMode") == notes


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('Protocol="6" Port="443"', 'protocol="6" Port="443"'),
        ('Protocol="6" Port="443"', 'Protocol="6" StartPort="443"'),
        ("</IPSecLocalIdentity>", '<IPV4_Address Value="10.7.0.1"/></IPSecLocalIdentity>'),
        ("</IPSecTunnel>", '<IPSecLocalIdentity><IPV4_Address Value="10.7.0.1"/></IPSecLocalIdentity></IPSecTunnel>'),
        ("</IKELocalIdentity>", '<FQDN Value="second.example"/></IKELocalIdentity>'),
    ],
)  # fmt: skip
def test_what_would_be_passed_over_loses_its_tunnel(old, new):
    assert old in AIX
    found = back(beside(AIX.replace(old, new, 1)))
    assert [tunnel.name for tunnel in found.tunnels] == ["other"]


def test_an_element_in_the_wrong_place_is_told():
    found = back(AIX.replace("</IKETunnel>", '<IKEPresharedKey Value="x"/></IKETunnel>', 1))
    assert told(found, "IKEPresharedKey") == [("lost", "P1_office")]


def test_any_protocol_may_be_written_as_one_likes():
    for word in ("All", "ANY", "any", "0"):
        found = back(AIX.replace('Protocol="6" Port="443" EndPort="443"', f'Protocol="{word}" Port="0"'))
        assert len(found.tunnels) == 1, found.notes


def test_host_bits_of_a_subnet_are_cut_off_with_a_note():
    found = back(AIX.replace('Value="10.1.0.0" Netmask="255.255.0.0"', 'Value="10.1.0.2" Netmask="255.255.255.192"'))
    (tunnel,) = found.tunnels
    assert tunnel.document["children"][0]["local"] == ["10.1.0.0/26"]
    assert told(found, "Value") == [("ignored", "P1_office/P2_lan")]


def test_a_child_that_cannot_be_read_leaves_the_others():
    start = AIX.index("<IPSecTunnel")
    child = AIX[start : AIX.index("</IPSecTunnel>") + len("</IPSecTunnel>")]
    broken = child.replace('"P2_lan"', '"P2_other"').replace("10.9.0.10", "10.9.0.99")
    assert broken.count("P2_other") == 1 and "10.9.0.99" in broken
    found = back(AIX.replace(child, child + broken))
    assert [child["name"] for child in found.tunnels[0].document["children"]] == ["P2_lan"]
    assert found.skipped == ["P1_office/P2_other"]


def test_a_key_that_cannot_be_read_loses_itself_alone():
    found = back(re.sub(r"(<IKEPresharedKey [^>]*)>", r'\1><IPV4_Address Value="nonsense"/>', AIX, count=1))
    assert found.missing_secrets == ["P1_office"]
    assert "the key is not taken" in "".join(map(str, found.notes))


def test_main_mode_is_told_and_can_become_ikev2():
    text = AIX.replace('"IKEv2"', '"Main"')
    found = back(text)
    assert not found.tunnels
    assert told(found, "IKE_XCHGMode") == [("skipped", "P1_office")]
    report = Report()
    assert len(ikedb.convert([(text, "x")], report, upgrade=True).tunnels) == 1
    assert [note.severity for note in report.notes if note.option == "IKE_XCHGMode"] == ["lost"]


def test_of_two_tunnels_of_one_name_none_is_made():
    doubled = AIX.replace("</AIX_VPN>", AIX[AIX.index("<IKETunnel") : AIX.index("<IPSecProposal")] + "</AIX_VPN>")
    found = back(beside(doubled))
    assert [tunnel.name for tunnel in found.tunnels] == ["other"]
    assert "used twice" in lost(found)


def test_the_xml_counts_where_it_was_changed_after_the_export():
    document = parse_definition({
        "name": "t", "local": {"address": "192.0.2.1"}, "remote": {"address": "192.0.2.9"},
        "auth": {"secret": SECRET},
        "children": [{"name": "c", "local": ["10.1.0.0/16"], "remote": ["10.2.0.0/16"], "lifetime": 3601}],
    }).document  # fmt: skip
    text = ikedb_write.write([document])
    assert '"exact": 3601' in text
    found = back(text.replace('KeyRefreshMinutes="60"', 'KeyRefreshMinutes="30"'))
    assert found.tunnels[0].document["children"][0]["lifetime"] == 1800
    assert told(found, "lifetime") == [("lost", "t/c")]


def test_an_export_has_no_secrets():
    document = parse_definition({
        "name": "t", "local": {"address": "192.0.2.1"}, "remote": {"address": "192.0.2.9"},
        "auth": {"secret": SECRET},
        "children": [{"name": "c", "local": ["10.1.0.0/16"], "remote": ["10.2.0.0/16"]}],
    })  # fmt: skip
    for shown in (document.document, document.public(), document.stored()):
        text = ikedb_write.write([{**document.document, "auth": shown["auth"]}])
        assert SECRET not in text
        assert "hidden" not in text
        assert "auth" not in text.lower().replace("authentication", "")


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(documents(), st.sampled_from(["IKETunnel", "IPSecTunnel"]))
def test_elements_can_be_picked_by_type(document, tag):
    found = [block for block in ikedb_write.blocks([document]) if block.tag == tag]
    assert len(found) == (1 if tag == "IKETunnel" else len(document["children"]))
    assert all("<?" not in line for block in ikedb_write.plain(found) for line in block.lines)
