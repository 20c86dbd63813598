# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files made to hurt: entities, bombs, circles, damage; one clear message each, in bounded time."""

from __future__ import annotations

import os
import re

import pytest
from engine.convert import files as reading
from engine.convert import ipsec_options, swanctl_options
from engine.convert.files import Files
from engine.convert.importing import FORMATS, Source, convert, detect
from engine.convert.report import Conversion, Report, is_secret
from engine.definition.table import PSK
from engine.errors import EngineError, InputError
from engine.manager.request_reader import read_wishes
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import DATA, SECRET, read_text

XML = '<AIX_VPN Version="2.0">{}</AIX_VPN>'


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ('<!DOCTYPE a [<!ENTITY x "y">]>\n<AIX_VPN/>', 1, "declares something inside"),
        ('\n<!DOCTYPE a [\n<!ELEMENT a ANY>]>\n<AIX_VPN/>', 2, "declares something inside"),
        ('<?xml version="1.0"?>\n<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><b a="&x;"/>', 2, "declares"),
        ('<!DOCTYPE a [<!ENTITY % x SYSTEM "http://192.0.2.1/x.dtd"> %x;]>\n<AIX_VPN/>', 1, "declares"),
        ("<AIX_VPN>\n&undefined;\n</AIX_VPN>", 2, "not well-formed"),
        ("<AIX_VPN>\n<IKETunnel>\n</AIX_VPN>", 3, "not well-formed"),
        ("<AIX_VPN>\nhello</AIX_VPN>", 2, "stands between elements"),
        ("<other/>", 1, "is not the element of ikedb"),
        ("", 1, "not well-formed"),
        ("<a>" * 40, 1, "too deep"),
    ],
)  # fmt: skip
def test_xml_made_to_hurt(text, line, what):
    with pytest.raises(InputError, match=what) as caught:
        read_text(text, "ikedb")
    assert str(caught.value).startswith(f"text:{line}: ")


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ('\n<IKETunnel IKE_TunnelName="a"/>', "has no IKE_ProtectionRef"),
        ("\n<IKEProtection/>", "has no IKE_ProtectionName"),
        ('\n<IPSecTunnel IPSec_TunnelName="p"/>', "has no IKE_TunnelName"),
        ('\n<IPSecTunnel IPSec_TunnelName="p" IKE_TunnelName="gone"/>', "names IKETunnel gone"),
    ],
)
def test_xml_that_lacks_something_loses_what_lacks_it(text, what):
    (note,) = read_text(XML.format(text), "ikedb").notes
    assert what in note.instead and note.line == 2


def test_an_external_dtd_is_neither_fetched_nor_an_error(tmp_path):
    text = f'<?xml version="1.0"?>\n<!DOCTYPE AIX_VPN SYSTEM "{tmp_path}/none.dtd">\n' + XML.format("")
    assert not read_text(text, "ikedb").tunnels


def test_a_billion_laughs_end_at_once(ends):
    inner = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 20))
    with ends(), pytest.raises(InputError, match="DOCTYPE"):
        read_text(f'<!DOCTYPE a [<!ENTITY l0 "ha">{inner}]><AIX_VPN a="&l19;"/>', "ikedb")


def _chain(length: int, link: str, end: str) -> str:
    return "".join(link.format(n=n, m=n + 1) for n in range(length)) + end


@pytest.mark.parametrize(
    ("format", "text"),
    [
        ("swanctl", _chain(40, "s{n} {{ a : s{m} {{ }} b : s{m} {{ }} }}\n", "s40 { x = 1 }")),
        ("ipsec_conf", _chain(60, "conn c{n}\n\talso=c{m}\n\talso=c{m}\n", "conn c60\n\tmark=1\n")),
        ("ipsec_conf", "conn %default\n" + _chain(2000, "\tx-{n}=1\n", "") + _chain(2000, "conn c{n}\n\tmark=1\n", "")),
    ],
)  # fmt: skip
def test_inheritance_made_to_explode_is_refused_in_time(format, text, ends):
    with ends(), pytest.raises(InputError):
        read_text(text, format)


@pytest.mark.parametrize(
    ("format", "text"),
    [
        ("swanctl", _chain(5000, "connections {{ s{n} : connections.s{m} {{ }} }}\n", "connections { s5000 { } }")),
        ("ipsec_conf", _chain(5000, "conn c{n}\n\talso=c{m}\n", "conn c5000\n\tmark=1\n")),
    ],
)
def test_inheritance_that_goes_too_deep_loses_what_does_so_in_time(format, text, ends):
    with ends():
        found = read_text(text, format)
    assert "too deep" in found.notes[0].instead and len(found.skipped) > 4000


def test_includes_that_go_in_circles_or_too_far(tmp_path):
    for name, text in (("a.conf", "include b.conf\n"), ("b.conf", "include a.conf\n")):
        (tmp_path / name).write_text(text)
    path = str(tmp_path / "a.conf")
    for format in ("swanctl", "ipsec_conf"):
        report = Report()
        files = Files(report)
        with pytest.raises(InputError, match="being read already"):
            convert(Source(files.read(path), path), format, files, report)
    for number in range(30):
        (tmp_path / f"d{number}").write_text(f"include d{number + 1}\n")
    report = Report()
    files = Files(report)
    with pytest.raises(InputError, match="includes deep"):
        convert(Source(files.read(str(tmp_path / "d0")), str(tmp_path / "d0")), "swanctl", files, report)


def test_a_file_that_is_too_large_or_no_text(tmp_path, monkeypatch):
    files = Files(Report())
    (tmp_path / "nul").write_bytes(b"conn a\n\tb=\0\n")
    with pytest.raises(InputError, match="nul:2: .*NUL"):
        files.read(str(tmp_path / "nul"))
    monkeypatch.setattr(reading, "MAX_OCTETS", 1000)
    (tmp_path / "large").write_text("#" * 2000)
    with pytest.raises(InputError, match="larger"):
        Files(Report()).read(str(tmp_path / "large"))
    with pytest.raises(InputError, match="No such file"):
        files.read(str(tmp_path / "none"))
    with pytest.raises(InputError, match="directory"):
        files.read(str(tmp_path))


KEY = "hushhushhush"  # in the place of every key of the samples


def hushed(name: str) -> str:
    """A sample file whose keys are all the same, to be looked for."""
    text = (DATA / name).read_text(encoding="utf-8")
    if name.endswith(".secrets"):
        return re.sub(r'(?<=PSK ).*|"[^"\n]*"', f'"{KEY}"', text)
    return re.sub(r'(secret = |<IKEPresharedKey[^>]*Value=)("[^"]*"|\S+)', rf'\1"{KEY}"', text)


SECRETS = [hushed(f"{program}.ipsec.secrets") for program in ("strongswan", "libreswan")]
SAMPLES = {
    "ikedb": [hushed("aix.xml").replace('Format="Hex"', "")],
    "swanctl": [hushed("site.swanctl.conf")],
    "ipsec_conf": [hushed(f"{program}.ipsec.conf") for program in ("strongswan", "libreswan", "freeswan")],
}
JUNK = st.text(st.sampled_from("{}=:,#\"'\\ \t\n%@[]<>&;!?/-0x1aconn"), max_size=12)
# What a value may be by a slip, or in another program.
WORDS = st.sampled_from([
    "", "0", "-1", "1", "²", "٣", "9" * 30, "yes", "no", "%any", "%any4", "%config", "%fromcert", "%group", "*",
    "*.example.net", "@#0a0b", "@#", "@[", "@@", "@~00", "keyid:#", "keyid:#00ff", "C=DE, CN=gw", "C=DE, CN=*", "CN=",
    "dn:", "0.0.0.0", "0/0", "10/8", "10.0.0.0/33", "10.0.0.1-10.0.0.0", "::/0", "fe80::1%eth0", "::1", "a.example",
    "dynamic[tcp/0]", "10.0.0.0/8[/]", "aes", "aes256-", "-", "aes256-sha2;dh14;addke1=none", "ke1_none", "1d", "5x",
    "trap|start", "transport", "pass", "reqid", "0x", "0s", "0xzz", "0s=", "7/0xff", "%unique", "vti0", "x" * 300,
    "\u202e", "a\u0000b", "ä ö", "{", "a,b,,c", "tcp/%any", "17/1701", "hold", "restart", "unlimited", "0.5h",
])  # fmt: skip


def shown(found: Conversion) -> str:
    return repr(found) + "".join(map(str, found.notes)) + repr([note.shown() for note in found.notes])


def told_or_refused(text: str, format: str, secrets: str | None = None) -> None:
    """The one or the other, and the key of the samples in neither."""
    try:
        found = read_text(text, format, secrets)
    except EngineError as error:
        assert str(error) and KEY not in str(error)
    else:
        assert isinstance(found, Conversion)
        assert KEY not in shown(found)
        # The manager takes all that was made.
        definitions = [{**tunnel.document, "auth": {"secret": SECRET}} for tunnel in found.tunnels]
        read_wishes({"definitions": definitions, "state": "active", "purge": False, "owner": ""}, {})


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(FORMATS), st.data())
def test_damage_anywhere_gives_a_report_or_one_clear_error(format, data):
    text = data.draw(st.sampled_from(SAMPLES[format]))
    # Not within the words that say that a key follows.
    guarded = [range(match.start(), match.end()) for match in re.finditer(rf'(secret =|Value=) ?"{KEY}', text)]
    for _turn in range(data.draw(st.integers(1, 3))):
        start, length = data.draw(st.integers(0, len(text))), data.draw(st.integers(0, 40))
        if not any(set(range(start, start + length + 1)) & set(words) for words in guarded):
            junk = data.draw(JUNK)
            text = text[:start] + junk + text[start + length :]
            moved = len(junk) - length
            guarded = [range(w.start + moved, w.stop + moved) if w.start >= start else w for w in guarded]
    told_or_refused(text, format)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_damage_in_the_secrets_shows_none(data):
    secrets = data.draw(st.sampled_from(SECRETS))
    for _turn in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(secrets)))
        secrets = secrets[:start] + data.draw(JUNK) + secrets[start + data.draw(st.integers(0, 40)) :]
    told_or_refused(SAMPLES["ipsec_conf"][0], "ipsec_conf", secrets)


_VALUE = {
    "ikedb": re.compile(r'(?<==")[^"\n]*(?=")'),
    "swanctl": re.compile(r"(?<= = ).*"),
    "ipsec_conf": re.compile(r"(?<==).*"),
}


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(FORMATS), st.data())
def test_any_option_may_have_any_value(format, data):
    text = data.draw(st.sampled_from(SAMPLES[format]))
    for _turn in range(data.draw(st.integers(1, 3))):
        values = [match for match in _VALUE[format].finditer(text) if KEY not in match[0]]
        value = data.draw(st.sampled_from(values))
        text = text[: value.start()] + data.draw(WORDS) + text[value.end() :]
    told_or_refused(text, format)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(("swanctl", "ipsec_conf")), st.data())
def test_any_option_there_is_may_stand_in_a_tunnel(format, data):
    if format == "swanctl":
        places = (
            (swanctl_options.CONNECTIONS[PSK], "encap = yes"),
            (swanctl_options.ENDS[PSK]["local"], "local { id = branch.example.net"),
            (swanctl_options.CHILD, "remote_ts = 10.0.0.0/16, 10.1.0.0/16"),
        )
        rows, place = places[data.draw(st.integers(0, 2))]
        written = f'{place}\n {data.draw(st.sampled_from(sorted(rows)))} = "{data.draw(WORDS)}"\n'
    else:
        ends = [f"{side}{name}" for side in ("left", "right") for name in ipsec_options.ENDS[PSK]["local"]]
        names = sorted({*ipsec_options.CONNECTION, *ipsec_options.CHILD, *ends})
        place = "conn spoke1\n"
        written = f"{place}\t{data.draw(st.sampled_from(names))}={data.draw(WORDS)}\n"
    text = SAMPLES[format][0]
    assert place in text
    told_or_refused(text.replace(place, written, 1), format, SECRETS[0] if format == "ipsec_conf" else None)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(FORMATS), st.text(max_size=200), st.text(max_size=100))
def test_any_text_gives_a_report_or_one_clear_error(format, text, secrets):
    try:
        read_text(text, format, secrets)
    except EngineError as error:
        assert str(error)


def test_a_remark_cannot_smuggle_in_anything_else():
    text = (DATA / "aix.xml").read_text()
    for remark in (
        '{"option": "auth.secret", "here": null, "exact": "smuggled"}',
        '{"option": "children", "here": null, "exact": []}',
        '{"option": "local", "here": null, "exact": "text"}',
        '{"option": "role.x", "here": null, "exact": 1}',
        '{"option": "name", "here": "P1_office", "exact": "other"}',
        "[" * 5000,
        "{}",
    ):
        found = read_text(text.replace("<IKELocalIdentity>", f"<?fleet-ipsec {remark}?><IKELocalIdentity>", 1), "ikedb")
        (tunnel,) = found.tunnels
        assert tunnel.name == "P1_office"
        assert tunnel.document["auth"] == {"method": "psk", "secret_format": "hex"}
        assert "remark" in [note.option for note in found.notes]


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(
    "text",
    [
        '@a @b : PSK "hush hush"', ': PSK "hush hush"', 'conn a\n\t"hush hush"\n', 'conn a\n\tpsk="hush hush"\n',
        'connections { a { psk = "hush hush" } }', 'connections { a { local { secret = "hush hush" } } }',
        'secrets { ike { secret = "hush hush } }', 'secrets { eap { secret = "hush hush" } }',
        '<AIX_VPN><IKEPresharedKey Format="Hex" Value="hush hush"/></AIX_VPN>',
        '<AIX_VPN><IKEPresharedKey Value="hush hush"><FQDN/></IKEPresharedKey></AIX_VPN>',
        '<AIX_VPN><IKEPresharedKey>hush hush</IKEPresharedKey></AIX_VPN>', '<AIX_VPN>hush hush</AIX_VPN>',
        '<AIX_VPN><IKEPresharedKey Valeu="hush hush"/></AIX_VPN>', '<AIX_VPN><IKEPresharedKey Value=hush /></AIX_VPN>',
        '<AIX_VPN><IKEPresharedKye Value="hush hush"/></AIX_VPN>', '<AIX_VPN hush="x"/>',
        '<AIX_VPN><IKEPresharedKey><IPV4_Address Value="hush hush"/></IKEPresharedKey></AIX_VPN>',
        '<AIX_VPN><IKEPresharedKey Format="hush hush" Value="x"/></AIX_VPN>', ": hush", ": PSKhush", ": hush PSK",
        ": PSK hush hush", ': PKS "hush hush"', '"hush hush"', '@a @b PSK "hush hush"',
        ': PSK "hush\n', ': PSK\n"hush hush"\n',
        '@a : "hush hush" PSK', "conn a\n\thush hush\n", "hush hush",
        'conn a\n\tsecrt="hush hush"\n', 'conn a\n\tleftsecret="hush hush"\n',
        'secrets { ike { "hush hush" } }', "secrets { ike { hush } }", "secrets { ike { secret { hush } } }",
        "secrets { hush }", "connections { a { = hush } }", "secrets { ike { = hush } }",
        "secrets { ike { secrt = hush hush } }", "secrets { ike { secret : hush { } } }",
        "secrets { ike { hush = secret } }",
        "secrets { ike { secret = hush", "secrets { secret = hush }",
        "secrets = hush", "secrets { psk { id = a }\nhush }",
        "connections { a { secrets { hush } } }", "secrets { ike { hush {",
        "secrets { ike-hush { } }", "secrets { hush { } }", "secrets { ike-1 = hush }",
        "secrets { hush = a }", "secrets { ike-1 { secret hush } }", 'secrets { ike-1 { "hush" } }',
        *(f"conn a\n\t{option}=hush\n" for option in (
            "presharedkey", "preshared", "sharedkey", "pass", "pwd", "key", "leftkey", "credential", "pre-shared-key",
            "authby", "leftauth", "rightauth", "auth", "preshardkey",
        )),
        "connections { a { local { auth = hush } children { b { } } } }",
        '<AIX_VPN><IKETunnel IKE_TunnelName="a" IKE_PresharedKey="hush"/></AIX_VPN>',
        '<AIX_VPN><IKEProtection IKE_ProtectionName="p" IKE_PresharedKey="hush"><IKETransform IKE_DHGroup="14"'
        ' IKE_AuthenticationMethod="hush"/></IKEProtection><IKETunnel IKE_TunnelName="a" IKE_ProtectionRef="p">'
        '<IKELocalIdentity><FQDN Value="a"/></IKELocalIdentity><IKERemoteIdentity><FQDN Value="b"/></IKERemoteIdentity>'
        "</IKETunnel></AIX_VPN>",
    ],
)  # fmt: skip
def test_a_key_in_the_wrong_place_is_not_shown(format, text):
    try:
        found = read_text(text, format)
    except EngineError as error:
        assert "hush" not in str(error)
    else:
        assert "hush" not in "".join(map(str, found.notes)) + repr(found)


def test_what_is_no_secret_is_shown():
    ends = {f"left{end}" for ends in ipsec_options.ENDS.values() for end in (*ends["local"], *ends["remote"])}
    known = {*ipsec_options.CONNECTION, *ipsec_options.CHILD, *ipsec_options.SETUP, *swanctl_options.CHILD, *ends}
    for kind, tables in swanctl_options.ENDS.items():
        known |= {*swanctl_options.CONNECTIONS[kind], *tables["local"], *tables["remote"]}
    assert {option for option in known if is_secret(option)} == {"secretsfile", "leftsendcert"}
    for method in ("secret|rsasig", "eap-mschapv2", "ike:ecdsa-sha512", "RSA_Signatures", "rsa-2048-sha256", "never"):
        assert not is_secret("authby", method)


@pytest.mark.parametrize(
    "text", ["\n" * 200_000, "\n" * 50_000 + "a" + "\n" * 50_000, "a" + " " * 200_000, "a:" * 50_000]
)
def test_a_format_is_told_in_time_that_grows_with_the_text(text, ends):
    # Ten times the text, for time that grows with its square to be out of question.
    with ends(), pytest.raises(InputError, match="none of the known formats"):
        detect(Source(text * 10, "text"))


def test_networks_times_networks_are_not_multiplied_without_end():
    ours, theirs = (" ".join(f"{side}.{n}.0.0/16" for n in range(101)) for side in (10, 11))
    conn = f"conn a\n left=192.0.2.1\n right=192.0.2.2\n leftsubnets={ours}\n rightsubnets={theirs}\n"
    found = read_text(conn + " authby=secret\n", "ipsec_conf")
    assert not found.tunnels
    assert any("more than 256 pairs of networks" in note.instead for note in found.notes)


def test_an_include_neither_walks_the_file_system_nor_waits_for_a_pipe(tmp_path, calls):
    os.mkfifo(tmp_path / "pipe")
    assert calls(_include_what_hurts, tmp_path) < 20_000


def _include_what_hurts(tmp_path):
    for pattern, problem in (("/*/*/*/*/*/*/none", "wildcards in more than 3"), ("pip?", "")):
        path = tmp_path / "main.conf"
        path.write_text(f"include {pattern}\n")
        report = Report()
        files = Files(report)
        try:
            convert(Source(files.read(str(path)), str(path)), "ipsec_conf", files, report)
        except InputError as error:
            assert problem and problem in str(error)
        else:
            assert not problem and "no such file" in str(report.notes[0])


def test_more_children_than_an_ike_sa_takes_are_told():
    many = "\n".join(
        f"c{n} {{ local_ts = 10.1.{n // 256}.{n % 256}/32\n remote_ts = 10.2.0.0/16 }}" for n in range(257)
    )
    ends = "local_addrs = 192.0.2.1\n remote_addrs = 192.0.2.2\n local { auth = psk }\n remote { auth = psk }\n"
    found = read_text(f"connections {{ a {{ {ends} children {{ {many} }} }} }}\n", "swanctl")
    assert not found.tunnels
    assert any("is more than an IKE SA can have" in note.instead for note in found.notes), found.notes
