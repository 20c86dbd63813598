# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates and keys of an ipsec.conf: strongSwan's in files below ipsec.d, Libreswan's in its database."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path

import pytest
from engine.convert import ipsec_options as options
from engine.convert.files import Files
from engine.convert.importing import Source, Wishes, convert
from engine.convert.report import IGNORED, LOST, SKIPPED, Conversion, Report
from samples import manager_takes, told
from swanctl_folder import KIND, OURS, THEIRS, auth_of

from tests.issued import authority
from tests.signing_keys import key, private_pem, public_pem

CONN = """
conn t
\tkeyexchange=ikev2
\tleft=192.0.2.1
\tleftsubnet=10.1.0.0/16
\tright=192.0.2.9
\trightsubnet=10.2.0.0/16
"""
NAMED = ("leftcert=own.pem", f"leftid=@{OURS}", f"rightid=@{THEIRS}")
ROOT = "O=Fleet, CN=Root 0"
REAL_LIBRESWANS_FOLDERS = options.LIBRESWANS_FOLDERS


def usual() -> dict[str, bytes]:
    return {
        "ipsec.d/certs/own.pem": authority(KIND).issue(OURS),
        "ipsec.d/certs/peer.pem": authority(KIND).issue(THEIRS, which=1),
        "ipsec.d/certs/own.pub": public_pem(KIND),
        "ipsec.d/certs/peer.pub": public_pem(KIND, 1),
        "ipsec.d/cacerts/root.pem": authority(KIND).pem,
        "ipsec.d/private/own.key": private_pem(KIND),
    }


def converted(
    folder: Path,
    *lines: str,
    secrets: str = ": ECDSA own.key",
    files: Mapping[str, bytes | None] | None = None,
    rest: str = "",
) -> Conversion:
    for name, octets in {**usual(), **(files or {})}.items():
        if octets is not None:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(octets)
    text = CONN + "".join(f"\t{line}\n" for line in lines) + rest
    path = folder / "ipsec.conf"
    path.write_text(text, encoding="utf-8")
    report = Report()
    reader = Files(report)
    given = Source(secrets, str(folder / "ipsec.secrets"))
    return convert(Source(reader.read(str(path)), str(path)), "ipsec_conf", reader, report, given, Wishes())


def words(conversion: Conversion) -> str:
    return "; ".join(f"{note.instead} {note.remedy}" for note in conversion.notes)


@pytest.mark.parametrize(
    "method", ["", "authby=rsasig", "authby=pubkey", "authby=ecdsa", "leftauth=pubkey", "authby=rsasig|ecdsasig"]
)
def test_certificates_are_named_by_their_files(tmp_path, method):
    found = converted(tmp_path, *NAMED, method)
    folder = tmp_path / "ipsec.d"
    assert auth_of(found) == {
        "method": "pubkey", "certificate": f"{folder}/certs/own.pem", "key": f"{folder}/private/own.key",
        "ca": [f"{folder}/cacerts/root.pem"],
    }  # fmt: skip
    assert not found.notes


@pytest.mark.parametrize(
    "secrets", [': RSA own.key "hush hush"', f"@{OURS} : ECDSA own.key 'hush hush'", ": PKCS8 own.key 0saHVzaCBodXNo"]
)
def test_the_passphrase_of_an_encrypted_key_comes_along_and_is_not_shown(tmp_path, secrets):
    files = {"ipsec.d/private/own.key": private_pem(KIND, passphrase=b"hush hush")}
    found = converted(tmp_path, *NAMED, secrets=secrets, files=files)
    assert auth_of(found)["passphrase"] == "hush hush"
    assert "hush" not in repr(found) + "".join(map(str, found.notes))


@pytest.mark.parametrize(
    ("secrets", "option"),
    [
        (": RSA own.key %prompt", None), (": RSA", "secret of kind RSA"), (": RSA {", "secret of kind RSA"),
        (": RSA own.key hush hush", "secret of kind RSA"), (": P12 own.p12 hush", "secret of kind P12"),
        (": PIN %smartcard hush", "secret of kind PIN"), (": EAP hush", "secret of kind EAP"),
    ],
)  # fmt: skip
def test_other_secrets(tmp_path, secrets, option):
    found = converted(tmp_path, *NAMED, secrets=secrets)
    assert bool(found.tunnels) and "hush" not in words(found)
    assert [note.option for note in found.notes] == ([option] if option else [])


@pytest.mark.parametrize("given", [(), ("leftid=@other.example.net",), ("leftid=%fromcert",)])
def test_the_subject_stands_for_an_identity_that_the_certificate_does_not_have(tmp_path, given):
    found = converted(tmp_path, "leftcert=own.pem", f"rightid=@{THEIRS}", *given)
    assert manager_takes(found.tunnels[0]).document["local"]["id"] == f"dn:O=Fleet, CN={OURS}"


@pytest.mark.parametrize("given", [f'rightca="{ROOT}"', "rightca=%same"])
def test_the_authority_that_is_asked_for(tmp_path, given):
    files = {"ipsec.d/cacerts/other.pem": authority(KIND, 1).pem}
    root = f"{tmp_path}/ipsec.d/cacerts/root.pem"
    assert auth_of(converted(tmp_path, *NAMED, given, files=files))["ca"] == [root]
    assert len(auth_of(converted(tmp_path, *NAMED, "rightca=%any", files=files))["ca"]) == 2


@pytest.mark.parametrize(
    ("line", "name", "value"),
    [
        ("leftsendcert=never", "send_cert", "never"), ("leftsendcert=ifasked", "send_cert", "asked"),
        ("leftsendcert=yes", "send_cert", "always"), ("rightauth=ecdsa-384-sha384", "demands", ["ecdsa-384-sha384"]),
        ("rightsendcert=never", "send_cert", None), ("leftauth=ecdsa-sha384", "demands", None),
    ],
)  # fmt: skip
def test_other_options(tmp_path, line, name, value):
    assert auth_of(converted(tmp_path, *NAMED, line)).get(name) == value


@pytest.mark.parametrize(("said", "held"), [("", "relaxed"), ("yes", "strict"), ("ifuri", "relaxed")])
def test_revocation_lists_are_looked_into(tmp_path, said, held):
    setup = f"config setup\n\tstrictcrlpolicy={said}\n" if said else ""
    auth = auth_of(converted(tmp_path, *NAMED, files={"ipsec.d/crls/a": authority(KIND).revoke()}, rest=setup))
    assert (auth["crl"], auth["revocation"]) == ([f"{tmp_path}/ipsec.d/crls/a"], held)


def test_sections_of_authorities(tmp_path):
    (tmp_path / "more.pem").write_bytes(authority(KIND, 1).pem)
    (tmp_path / "crl").write_bytes(authority(KIND, 1).revoke())
    section = f"ca base\n\tcrluri2=file://{tmp_path}/crl\nca a\n\tcacert={tmp_path}/more.pem\n\talso=base\n\tauto=add\n"
    section += "\tcrluri=http://192.0.2.1/\n\tocspuri=http://192.0.2.1/\n\tnone=1\n"
    found = converted(tmp_path, *NAMED, rest=section)
    assert f"{tmp_path}/more.pem" in auth_of(found)["ca"] and auth_of(found)["crl"] == [f"{tmp_path}/crl"]
    for option, severity in (("crluri", LOST), ("ocspuri", LOST), ("none", LOST), ("auto", IGNORED)):
        assert told(found, option) == [(severity, "ca a")]


def test_keys_without_certificates(tmp_path):
    found = converted(tmp_path, "leftsigkey=own.pub", "rightsigkey=peer.pub", f"leftid=@{OURS}", f"rightid=@{THEIRS}")
    folder = f"{tmp_path}/ipsec.d"
    expected = {"method": "raw", "key": f"{folder}/private/own.key", "remote_key": f"{folder}/certs/peer.pub"}
    assert auth_of(found) == expected


def rsa_of_dns(which: int) -> str:
    """As RFC 3110 has it, and ipsec.conf since FreeS/WAN."""
    numbers = key("rsa2048", which).public_key().public_numbers()
    octets = b"\x03" + numbers.e.to_bytes(3, "big") + numbers.n.to_bytes(256, "big")
    return "0s" + base64.b64encode(octets).decode()


@pytest.mark.parametrize("prefix", ["", "dns:"])
def test_keys_that_are_written_out(tmp_path, prefix):
    files = {"ipsec.d/private/own.key": private_pem("rsa2048", 0)}
    keys = f"leftrsasigkey={prefix}{rsa_of_dns(0)}", f"rightrsasigkey={prefix}{rsa_of_dns(1)}"
    found = converted(tmp_path, *keys, f"leftid=@{OURS}", f"rightid=@{THEIRS}", files=files)
    assert auth_of(found)["remote_key"] == public_pem("rsa2048", 1).decode()
    assert manager_takes(found.tunnels[0]).document["auth"]["method"] == "raw"


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ((*NAMED, "leftcert=none.pem"), "none.pem No such file"),
        ((*NAMED, "leftcert=%smartcard:1"), "smartcard"),
        ((*NAMED, 'rightca="O=Nobody, CN=Nobody"'), "is not there"),
        ((*NAMED, "rightcertpolicy=1.2.3"), "no policy"),
        ((*NAMED, "rightsigkey=%dns"), "looked up in the DNS"),
        ((*NAMED, "rightsigkey=peer.pub"), "one end has a certificate"),
        ((*NAMED, "rightauth=eap-radius"), "only pre-shared keys, certificates"),
        ((*NAMED, "rightauth=psk"), "one end has a pre-shared key"),
        ((*NAMED, "leftauth=psk", "authby=pubkey"), "one end has a pre-shared key"),
        (("leftsigkey=own.pub", "rightsigkey=ssh:0sAAAA"), "OpenSSH"),
        (("leftsigkey=own.pub", "rightsigkey=0sAwEAAQ=="), "is no public key"),
        (("leftsigkey=own.pub", "rightsigkey=0x"), "is no public key"),
        (("leftsigkey=own.pub", "rightsigkey=0xzz"), "damaged"),
        (("leftsigkey=own.pub", "rightsigkey=0s!!"), "damaged"),
    ],
)
def test_what_cannot_be_used_loses_its_tunnel_and_says_why(tmp_path, lines, why):
    found = converted(tmp_path, *lines)
    assert "t" in found.skipped and not found.tunnels
    assert why in words(found)


# Libreswan

LIBRESWAN = ("ikev2=insist", f"leftid=@{OURS}", f"rightid=@{THEIRS}")


def test_keys_of_libreswans_database_are_exported_first(tmp_path, monkeypatch):
    monkeypatch.setattr(options, "LIBRESWANS_FOLDERS", folders_at(tmp_path / "none"))
    found = converted(tmp_path, *LIBRESWAN, "leftcert=own", "rightrsasigkey=%cert", "authby=rsa-sha2")
    assert found.skipped == ["t"]
    assert "pk12util -o NAME.p12 -n NAME" in words(found) and "ipsec import NAME.p12" in words(found)


def folders_at(place: Path) -> object:
    text = str(place)
    return REAL_LIBRESWANS_FOLDERS._replace(certificates=text, authorities=text, public_keys=text, private=(text,))


def test_what_was_exported_from_it_is_found_by_its_name(tmp_path, monkeypatch):
    place = tmp_path / "private"
    monkeypatch.setattr(options, "LIBRESWANS_FOLDERS", folders_at(place))
    place.mkdir()
    (place / "own.pem").write_bytes(authority(KIND).issue(OURS))
    (place / "own.key").write_bytes(private_pem(KIND))
    (place / "own-ca.pem").write_bytes(authority(KIND).pem)
    found = converted(tmp_path, *LIBRESWAN, "leftcert=own", "authby=ecdsa", f'rightca="{ROOT}"')
    expected = {"certificate": f"{place}/own.pem", "key": f"{place}/own.key", "ca": [f"{place}/own-ca.pem"]}
    assert auth_of(found) == {"method": "pubkey", **expected}
    assert not found.notes, found.notes


def test_a_key_without_a_certificate_does_not_come_out_of_it(tmp_path, monkeypatch):
    monkeypatch.setattr(options, "LIBRESWANS_FOLDERS", folders_at(tmp_path / "none"))
    keys = f"leftrsasigkey={rsa_of_dns(0)}", f"rightrsasigkey={rsa_of_dns(1)}"
    found = converted(tmp_path, *LIBRESWAN, *keys, "leftckaid=0a0b")
    assert found.skipped == ["t"] and "openssl genpkey" in words(found)
    assert (SKIPPED, "t") in [(note.severity, note.tunnel) for note in found.notes]
