# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates and keys of strongSwan's folders: found as it finds them, and refused one tunnel at a time."""

from __future__ import annotations

import os

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from engine.convert import files as reading
from engine.convert import ikedb_write, yaml_writer
from engine.convert.files import Files
from engine.convert.importing import Source, Wishes, convert
from engine.convert.report import IGNORED, LOST, Report
from engine.definition.parsing import parse_definition
from engine.errors import EngineError
from engine.manager.request_reader import read_wishes
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import manager_takes, read_text, told
from swanctl_folder import CONF, KIND, OURS, THEIRS, auth_of, converted, usual

from tests.issued import DAY, authority, intermediate
from tests.signing_keys import private_pem

NAMED = f"id = {THEIRS}\n "


def test_certificates_are_named_by_their_files(tmp_path):
    found = converted(tmp_path)
    assert auth_of(found) == {
        "method": "pubkey", "certificate": f"{tmp_path}/x509/own.pem", "key": f"{tmp_path}/private/own.key",
        "ca": [f"{tmp_path}/x509ca/root.pem"],
    }  # fmt: skip
    document = manager_takes(found.tunnels[0]).document
    assert (document["local"]["id"], document["remote"]["id"]) == (OURS, THEIRS)
    assert not found.notes and not found.missing_secrets


@pytest.mark.parametrize("folder", ["private", "ecdsa", "pkcs8"])
@pytest.mark.parametrize("traditional", [True, False])
def test_the_private_key_is_the_one_that_fits_whatever_its_file_is_called(tmp_path, folder, traditional):
    files = {"private/own.key": private_pem(KIND, 7), f"{folder}/x": private_pem(KIND, traditional=traditional)}
    assert auth_of(converted(tmp_path, files=files))["key"] == f"{tmp_path}/{folder}/x"


@pytest.mark.parametrize("written", ["hush hush", '"hush hush"', "0x687573682068757368", "0saHVzaCBodXNo"])
def test_the_passphrase_of_an_encrypted_key_comes_along_and_is_not_shown(tmp_path, written):
    secret = f"secrets {{ private-own {{ file = own.key\n secret = {written} }} }}"
    files = {"private/own.key": private_pem(KIND, passphrase=b"hush hush")}
    found = converted(tmp_path, files=files, rest=secret)
    assert auth_of(found)["passphrase"] == "hush hush"
    assert "hush" not in repr(found) + "".join(map(str, found.notes))
    (played,) = yaml.safe_load(yaml_writer.playable([found.tunnels[0].document]))["ipsec_tunnels"]
    assert played["auth"]["passphrase"] == "{{ ipsec_tunnel_secrets['t'] }}" and "secret" not in played["auth"]
    assert parse_definition({**played, "auth": {**played["auth"], "passphrase": "x"}})


def test_variables_for_a_key_without_a_passphrase_name_no_secret(tmp_path):
    (played,) = yaml.safe_load(yaml_writer.playable([converted(tmp_path).tunnels[0].document]))["ipsec_tunnels"]
    assert played["auth"] == auth_of(converted(tmp_path))


def test_a_passphrase_for_a_key_that_has_none_is_left_out(tmp_path):
    secret = "secrets { private-own { file = own.key\n secret = hush } }"
    assert "passphrase" not in auth_of(converted(tmp_path, rest=secret))


@pytest.mark.parametrize("secret", ["hush", "0xff00ff"])
def test_a_passphrase_that_does_not_open_the_key_loses_the_tunnel(tmp_path, secret):
    rest = f"secrets {{ private-own {{ file = own.key\n secret = {secret} }} }}"
    files = {"private/own.key": private_pem(KIND, passphrase=b"something else")}
    found = converted(tmp_path, files=files, rest=rest)
    assert found.skipped == ["t"] and secret not in "".join(map(str, found.notes))
    assert "does not decrypt" in found.notes[-1].instead


def test_who_the_ends_are_tell_their_certificates_where_nothing_else_does(tmp_path):
    found = converted(tmp_path, local="certs = own.pem", remote="certs = peer.pem")
    document = manager_takes(found.tunnels[0]).document
    assert document["local"]["id"] == f"dn:O=Fleet, CN={OURS}"
    assert document["remote"]["id"] == f"dn:O=Fleet, CN={THEIRS}"
    assert "ca" not in auth_of(found) and auth_of(found)["remote_certificate"] == f"{tmp_path}/x509/peer.pem"


def test_a_certificate_that_is_not_named_is_the_one_that_has_the_identity(tmp_path):
    assert auth_of(converted(tmp_path, local=f"id = {OURS}"))["certificate"] == f"{tmp_path}/x509/own.pem"


def test_certificates_in_between_stand_behind_ours(tmp_path):
    issuer = intermediate(KIND)
    files = {"x509/own.pem": issuer.issue(OURS), "x509ca/between.pem": issuer.pem}
    found = converted(tmp_path, files=files)
    auth = auth_of(found)
    assert auth["certificate"] == (files["x509/own.pem"] + issuer.pem).decode()
    assert auth["ca"] == [f"{tmp_path}/x509ca/root.pem"]
    assert (LOST, "t") in [(note.severity, note.tunnel) for note in found.notes]
    together = {"x509/own.pem": files["x509/own.pem"] + issuer.pem, "x509ca/between.pem": None}
    assert auth_of(converted(tmp_path / "b", files=together))["certificate"] == f"{tmp_path}/b/x509/own.pem"


def test_of_a_file_with_several_authorities_the_first_counts(tmp_path):
    """As there: what stands behind it was never trusted."""
    roots = {"x509ca/root.pem": authority(KIND).pem + authority(KIND, 1).pem}
    for remote in (NAMED, NAMED + "cacerts = root.pem"):
        assert auth_of(converted(tmp_path, remote=remote, files=roots))["ca"] == [authority(KIND).pem.decode()]


def test_a_peer_without_an_identity_is_told(tmp_path):
    found = converted(tmp_path, remote="")
    assert found.tunnels and "its address has to be in it" in found.notes[0].instead


@pytest.mark.parametrize(
    ("identity", "held"),
    [
        ("*@example.net", "email:*@example.net"), ('"O=Fleet, CN=*"', "dn:O=Fleet, CN=*"),
        ("*.example.net", "*.example.net"), ("@*.example.net", "*.example.net"), ("%any", "any"), ("", "any"),
    ],
)  # fmt: skip
def test_a_pattern_of_peers_stays_one(tmp_path, identity, held):
    nowhere = "remote_addrs = %any"
    found = converted(tmp_path, remote=f"id = {identity}" if identity else "", connection=nowhere)
    assert "IKETunnel" in ikedb_write.write(map(ikedb_write.canonical, [found.tunnels[0].document]))
    remote = manager_takes(found.tunnels[0]).document["remote"]
    assert remote["id"].removeprefix("email:") == held.removeprefix("email:") and not remote.get("address")
    assert ((LOST, "t") in told(found, "id")) == ("*." in identity)


def test_peers_of_a_pattern_come_from_where_the_file_says(tmp_path):
    remote = manager_takes(converted(tmp_path, remote='id = "O=Fleet, CN=*"').tunnels[0]).document["remote"]
    assert remote["addresses"] == ["192.0.2.9"] and remote["address"] is None


@pytest.mark.parametrize("identity", ["b*.example.net", "*", "keyid:*"])
def test_other_patterns_are_refused_or_no_patterns(tmp_path, identity):
    found = converted(tmp_path, remote=f"id = {identity}")
    assert bool(found.tunnels) == (identity != "b*.example.net")


def test_variables_have_certificates_that_are_written_out(tmp_path):
    issuer = intermediate(KIND)
    found = converted(tmp_path, files={"x509/own.pem": issuer.issue(OURS), "x509ca/between.pem": issuer.pem})
    (played,) = yaml.safe_load(yaml_writer.playable([found.tunnels[0].document]))["ipsec_tunnels"]
    assert played["auth"] == auth_of(found)


def test_authorities_are_those_that_are_named(tmp_path):
    other = {"x509ca/other.pem": authority(KIND, 1).pem, "x509ca/damaged.pem": b"no certificate"}
    every = auth_of(converted(tmp_path, files=other))["ca"]
    assert every == [f"{tmp_path}/x509ca/other.pem", f"{tmp_path}/x509ca/root.pem"]
    named = converted(tmp_path, remote=f"id = {THEIRS}\n cacerts = root.pem", files=other)
    assert auth_of(named)["ca"] == [f"{tmp_path}/x509ca/root.pem"]
    (tmp_path / "elsewhere.pem").write_bytes(authority(KIND, 2).pem)
    further = f"authorities {{ a {{ file = {tmp_path}/elsewhere.pem }} }}"
    assert f"{tmp_path}/elsewhere.pem" in auth_of(converted(tmp_path, rest=further))["ca"]
    section = f"id = {THEIRS}\n cacert-a {{ file = {tmp_path}/elsewhere.pem }}"
    assert auth_of(converted(tmp_path, remote=section))["ca"] == [f"{tmp_path}/elsewhere.pem"]


def test_the_name_of_an_authority_counts_from_its_folder_wherever_one_is(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    (tmp_path / "here/root.pem").write_bytes(authority(KIND, 2).pem)
    monkeypatch.chdir(tmp_path / "here")
    found = converted(tmp_path, rest="authorities { a { cacert = root.pem } }")
    assert auth_of(found)["ca"] == [f"{tmp_path}/x509ca/root.pem"]


@pytest.mark.parametrize(("said", "held"), [("", "relaxed"), ("revocation = strict", "strict"),
                                            ("revocation = ifuri", "relaxed")])  # fmt: skip
def test_revocation_lists_that_are_there_are_looked_into(tmp_path, said, held):
    lists = {"x509crl/a.pem": authority(KIND).revoke(), "x509crl/b.pem": authority(KIND, 1).revoke(),
             "x509crl/c": b"none"}  # fmt: skip
    auth = auth_of(converted(tmp_path, remote=f"id = {THEIRS}\n {said}", files=lists))
    assert (auth["crl"], auth["revocation"]) == ([f"{tmp_path}/x509crl/a.pem"], held)


@pytest.mark.parametrize(("octets", "why"), [(b"none", "is not a revocation list"), (b"0" * (2 << 20), "1 MiB")])
def test_a_file_that_is_no_revocation_list_is_told(tmp_path, octets, why):
    found = converted(tmp_path, files={"x509crl/a": octets})
    (note,) = found.notes
    assert note.severity == LOST and "it is not looked into" in note.instead and why in note.instead
    assert "crl" not in auth_of(found)


def test_a_list_that_the_file_names_is_looked_into_and_one_that_has_to_be_fetched_is_told(tmp_path):
    (tmp_path / "crl.pem").write_bytes(authority(KIND).revoke())
    uris = f"file://{tmp_path}/crl.pem, http://192.0.2.1/crl.pem"
    found = converted(tmp_path, rest=f"authorities {{ a {{ cacert = root.pem\n crl_uris = {uris} }} }}")
    assert auth_of(found)["crl"] == [f"{tmp_path}/crl.pem"]
    assert told(found, "crl_uris") == [(LOST, "authority a")]


@pytest.mark.parametrize(
    ("auth", "demands"),
    [
        ("pubkey", None), ("rsa", ["rsa"]), ("rsa-3072-sha384", ["rsa-3072-sha384"]), ("rsa-1024", ["rsa"]),
        ("rsa-3072-ecdsa-384-sha512-sha384", ["rsa-3072-sha384", "ecdsa-384-sha384"]), ("ed25519", ["ed25519"]),
        ("pubkey-sha384", ["rsa-sha384", "ecdsa-sha384", "ed25519", "ed448"]), ("any", None),
        ("ecdsa-256-ike:pubkey-sha512", ["ecdsa-256"]), ("rsa/pss-sha256", ["rsa-sha256"]),
    ],
)  # fmt: skip
def test_demands_on_keys_and_hashes(tmp_path, auth, demands):
    found = converted(tmp_path, remote=f"id = {THEIRS}\n auth = {auth}")
    assert auth_of(found).get("demands") == demands
    assert ((LOST, "t") in told(found, "auth")) == ("ike:" in auth)


@pytest.mark.parametrize(("said", "held"), [("ifasked", "asked"), ("never", "never"), ("always", "always")])
def test_whether_ours_is_sent(tmp_path, said, held):
    assert auth_of(converted(tmp_path, connection=f"send_cert = {said}"))["send_cert"] == held


def test_keys_without_certificates(tmp_path):
    found = converted(tmp_path, f"id = {OURS}\n pubkeys = own.pub", f"id = {THEIRS}\n pubkeys = peer.pub")
    assert auth_of(found) == {
        "method": "raw", "key": f"{tmp_path}/private/own.key", "remote_key": f"{tmp_path}/pubkey/peer.pub"
    }  # fmt: skip


def der(pem: bytes) -> bytes:
    return x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"files": {"x509/own.pem": None}}, "own.pem No such file"),
        ({"files": {"x509/own.pem": b"\xff" * 99}}, "own.pem is not a certificate"),
        ({"files": {"private/own.key": None}}, "no private key of"),
        ({"files": {"private/own.key": private_pem(KIND, 7)}}, "no private key of"),
        ({"files": {"private/own.key": private_pem(KIND, passphrase=b"secret")}}, "is encrypted, and there is no"),
        ({"files": {"private/own.key": b"\x30\x00"}}, "holds no private key"),
        ({"files": {"x509ca/root.pem": None}}, "there is no authority"),
        ({"files": {"x509/own.pem": authority(KIND).issue(OURS, end=-DAY / 2)}}, "expired"),
        ({"local": "certs = own.pem\n id = other.example.net"}, "does not prove"),
        ({"local": "id = other.example.net"}, "no certificate is named"),
        ({"local": "auth = pubkey\n cert1 { handle = 02\n module = tpm }"}, "it is in a token"),
        ({"local": f"id = {OURS}\n pubkeys = own.pub"}, "one end has a certificate"),
        ({"remote": NAMED + "pubkeys = peer.pub"}, "one end has a certificate"),
        ({"local": f"id = {OURS}", "remote": NAMED + "pubkeys = peer.pub"}, "which private key"),
        ({"local": f"id = {OURS}\n pubkeys = peer.pub", "remote": NAMED + "pubkeys = own.pub"}, "no private key"),
        ({"local": f"id = {OURS}\n pubkeys = own.pub", "remote": NAMED + "pubkeys = own.pub"}, "that of"),
        ({"remote": NAMED + "pubkeys = none.pub"}, "one end has"),
        ({"local": "pubkeys = own.pub", "remote": NAMED + "pubkeys = none.pub"}, "none.pub No such file"),
        ({"remote": NAMED + "revocation = strict"}, "there are none"),
        ({"remote": NAMED + "cert_policy = 1.2.3"}, "no policy"),
        ({"remote": NAMED + "ca_id = C=DE"}, "not chosen by its identity"),
        ({"remote": NAMED + "cacerts = none.pem"}, "none.pem No such file"),
        ({"remote": NAMED + "certs = none.pem"}, "none.pem No such file"),
        ({"remote": NAMED + "auth = eap-tls"}, "only pre-shared keys, certificates"),
        ({"remote": NAMED + "auth = psk"}, "one end has a pre-shared key"),
    ],
)
def test_what_cannot_be_used_loses_its_tunnel_and_says_why(tmp_path, given, why):
    found = converted(tmp_path, **given)
    assert found.skipped == ["t"] and not found.tunnels
    assert why in "; ".join(note.instead for note in found.notes), found.notes


def test_certificates_in_der_are_read(tmp_path):
    files = {name: der(octets) for name, octets in usual().items() if name.startswith("x509")}
    assert auth_of(converted(tmp_path, files=files))["method"] == "pubkey"


def test_an_authority_that_is_over_is_left_out(tmp_path):
    old = authority(KIND, 3)
    over = old._builder(old.name, old.key.public_key(), old, -9 * DAY, -DAY).sign(old.key, hashes.SHA256())
    files = {"x509ca/over.pem": over.public_bytes(Encoding.PEM)}
    found = converted(tmp_path, files=files)
    assert auth_of(found)["ca"] == [f"{tmp_path}/x509ca/root.pem"]
    assert found.notes[0].severity == IGNORED and "is not trusted" in found.notes[0].instead


@pytest.mark.parametrize(
    ("rest", "option", "severity"),
    [
        ("secrets { pkcs12-a { file = a.p12\n secret = hush } }", "secrets.pkcs12-a", LOST),
        ("secrets { token-a { handle = 02\n pin = hush } }", "secrets.token-a", LOST),
        ("secrets { eap-a { id = a\n secret = hush } }", "secrets.eap-a", IGNORED),
        ("secrets { private-a { secret = hush } }", "secret", LOST),
        ("secrets { rsa-a { file = a } }", "secrets.rsa-a", LOST),
        ("authorities { a { cacert = root.pem\n ocsp_uris = http://192.0.2.1 } }", "ocsp_uris", LOST),
        ("authorities { a { handle = 02 } }", "handle", LOST),
    ],
)
def test_what_is_not_taken_over_is_told(tmp_path, rest, option, severity):
    found = converted(tmp_path, rest=rest)
    assert severity in [each for each, _tunnel in told(found, option)]
    assert len(found.tunnels) == 1 and "hush" not in "".join(map(str, found.notes))


def test_a_text_without_a_place_has_no_files(tmp_path):
    found = read_text(CONF.format(local="certs = own.pem", remote="", connection="", rest=""), "swanctl")
    assert found.skipped == ["t"]
    assert any("was not read" in note.instead for note in found.notes), found.notes


def test_a_pipe_in_place_of_a_file_is_not_waited_for(tmp_path):
    for name in ("x509", "x509ca", "private"):
        (tmp_path / name).mkdir()
        os.mkfifo(tmp_path / name / "pipe")
    assert auth_of(converted(tmp_path))
    found = converted(tmp_path, local="certs = pipe")
    assert any("is no plain file" in note.instead for note in found.notes)


def test_too_much_in_the_folders_loses_the_tunnels_that_need_it(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "MAX_CREDENTIAL_OCTETS", 1500)
    found = converted(tmp_path, files={"private/0": b"0" * 4000})
    assert found.skipped == ["t"]
    assert any("of credentials" in note.instead for note in found.notes), found.notes


def test_other_tunnels_stay(tmp_path):
    text = "connections { good { remote_addrs = 192.0.2.7\n local { id = a.example.net\n auth = psk }\n"
    text += "remote { auth = psk }\n children { c { remote_ts = 10.9.0.0/16\n local_ts = 10.8.0.0/16 } } } }\n"
    found = converted(tmp_path, files={"private/own.key": None}, rest=text)
    assert [tunnel.name for tunnel in found.tunnels] == ["good"] and found.skipped == ["t"]


JUNK = st.text(st.sampled_from("{}=:,#\"'\\ \t\n%@/.-0x1aé\udcff"), max_size=9)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("swanctl")
    converted(place, rest="secrets { private-own { file = own.key\n secret = hush } }")
    return place


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_damage_anywhere_gives_a_report_or_one_clear_error(folder, data):
    text = (folder / "swanctl.conf").read_text()
    end = text.index("secrets {")
    for _turn in range(data.draw(st.integers(1, 3))):
        start, length = data.draw(st.integers(0, end)), data.draw(st.integers(0, 20))
        junk = data.draw(JUNK)
        text = text[:start] + junk + text[min(start + length, end) :]
        end += len(junk) - (min(start + length, end) - start)
    report = Report()
    try:
        found = convert(Source(text, str(folder / "swanctl.conf")), "swanctl", Files(report), report, None, Wishes())
    except EngineError as error:
        assert "hush" not in str(error)
    else:
        assert "hush" not in repr(found) + "".join(map(str, found.notes))
        definitions = [tunnel.complete() for tunnel in found.tunnels if tunnel.credential is not None]
        read_wishes({"definitions": definitions, "state": "active", "purge": False, "owner": ""}, {})


def test_names_that_are_no_utf_8_lose_their_tunnel(tmp_path):
    converted(tmp_path)
    path = tmp_path / "swanctl.conf"
    path.write_bytes(path.read_bytes().replace(b"own.pem", b"own\xff.pem"))
    report = Report()
    reader = Files(report)
    found = convert(Source(reader.read(str(path)), str(path)), "swanctl", reader, report, None, Wishes())
    assert found.skipped == ["t"] and "is not UTF-8 text" in found.notes[0].instead
    name = os.fsencode(tmp_path) + b"/private/\xff.key"
    (tmp_path / "private/own.key").rename(os.fsdecode(name))
    found = converted(tmp_path, files={"private/own.key": None})
    assert found.skipped == ["t"] and found.notes
