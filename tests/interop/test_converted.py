# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Definitions converted from the peers' own configuration files carry traffic with those very peers."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import NoEncryption, pkcs12

from tests.issued import authority, intermediate
from tests.signing_keys import key, private_pem

from . import libreswan, strongswan
from .ours import ENGINE, PYTHON, Manager
from .proof import prove_esp
from .sites import LEFT, RIGHT, Site, wait_until

SECRET = "a key that both programs read from their own files"


def ikedb(manager: Manager, *words: str) -> str:
    """Run the command at our site; returns what it printed."""
    command = [PYTHON, "-m", "engine.cli.ikedb", *words, "--control", str(manager.control)]
    return manager.site.run("env", f"PYTHONPATH={ENGINE}", *command)


def imported(manager: Manager, file: Path) -> str:
    """Take a key out of a PKCS#12 file at our site; returns what was printed."""
    return manager.site.run("env", f"PYTHONPATH={ENGINE}", PYTHON, "-m", "engine.cli.ipsec", "import", str(file))


def start(manager: Manager, child: str) -> None:
    """Start the one child, which the peers' files leave to be started by hand, and wait for it."""
    manager.call("tunnels.apply", definitions=[{"name": "peer", "only_children": [child]}], state="active")
    row = manager.wait("established")
    assert row["reached"], row


@pytest.mark.parametrize(
    ("ike", "esp"),
    [
        pytest.param("aes256gcm16-prfsha384-x25519", "aes256gcm16-x25519", marks=pytest.mark.nightly),
        pytest.param(
            "aes128-sha256-modp2048,aes256-sha512-ecp384",
            "aes128-sha256-modp2048-noesn,aes256-sha512",
            marks=pytest.mark.nightly,
        ),
        ("default", "default"),
    ],
)
def test_strongswans_own_file_for_its_peer(
    manager: Manager, charon: strongswan.StrongSwan, tmp_path: Path, ike: str, esp: str
) -> None:
    """Its file becomes XML, the XML with both sides swapped our definition."""
    charon.load(strongswan.Peer(RIGHT, LEFT, SECRET, ike=ike, esp=esp))
    xml, secrets = tmp_path / "peer.xml", tmp_path / "ipsec.secrets"
    ikedb(manager, "-c", "--swanctl", str(charon.folder / "swanctl.conf"), "-f", str(xml))
    assert SECRET not in xml.read_text(encoding="utf-8")
    secrets.write_text(f'{LEFT.identity} : PSK "{SECRET}"\n', encoding="utf-8")
    assert "created" in ikedb(manager, "-p", "-s", "-k", str(secrets), str(xml))
    start(manager, "net")
    wait_until("strongSwan's Child SA", charon.established)
    prove_esp()
    charon.swanctl("--rekey", "--child", "net")
    prove_esp()


def test_libreswans_own_file_at_the_other_end(manager: Manager, pluto: libreswan.Libreswan) -> None:
    """The same file serves both ends: which one this is tells its address."""
    pluto.load(libreswan.Peer(RIGHT, LEFT, SECRET))
    conf, secrets = str(pluto.folder / "peer.conf"), str(pluto.folder / "ipsec.secrets")
    assert "(peer): created" in ikedb(manager, "-c", "-l", conf, "-k", secrets)
    start(manager, "peer")
    wait_until("Libreswan's Child SA", pluto.established)
    prove_esp()


KIND = "ecdsa256"


def certified(local: Site, remote: Site, which: int, method: str = "ecdsa-256-sha256") -> strongswan.Peer:
    """An end of two that trust the same root, each with a certificate from an authority below it.

    :param method: what it demands of the other.
    """
    issuer = intermediate(KIND)
    files = {
        "private/whatever.key": private_pem(KIND, which),
        "x509/own.pem": issuer.issue(local.identity, KIND, which),
        "x509ca/between.pem": issuer.pem,
        "x509ca/root.pem": authority(KIND).pem,
        "x509crl/root.pem": authority(KIND).revoke(),
    }
    ours, theirs = ("auth = pubkey", "certs = own.pem"), (f"auth = {method}", "cacerts = root.pem")
    return strongswan.Peer(local, remote, "", ours=ours, theirs=theirs, files=files, extra=("send_cert = always",))


@pytest.mark.nightly
def test_certificates_of_a_strongswan_go_on_where_it_was(
    charon: strongswan.StrongSwan, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Two of them have a tunnel; then ours takes the place of one, with what that one had on its disk."""
    charon.load(certified(RIGHT, LEFT, 1))
    with strongswan.running(LEFT, tmp_path / "before") as before:
        before.load(certified(LEFT, RIGHT, 0))
        done = before.initiate()
        assert done.returncode == 0, done.stdout + done.stderr
        wait_until("strongSwan's Child SA", charon.established)
    wait_until("strongSwan to forget it", lambda: not charon.established())
    manager = request.getfixturevalue("manager")
    assert "(peer): created" in ikedb(manager, "-c", "--swanctl", str(tmp_path / "before" / "swanctl.conf"))
    start(manager, "net")
    wait_until("strongSwan's Child SA", charon.established)
    prove_esp()


@pytest.mark.nightly
def test_keys_of_a_libreswans_database_go_on_where_it_was(
    charon: strongswan.StrongSwan, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """What its own program writes of a key is taken, and then its own file names it."""
    charon.load(certified(RIGHT, LEFT, 1, "pubkey"))
    issuer = intermediate(KIND)
    own, between, root = (
        x509.load_pem_x509_certificate(pem)
        for pem in (issuer.issue(LEFT.identity, KIND, 0), issuer.pem, authority(KIND).pem)
    )
    with libreswan.running(LEFT, tmp_path / "before") as before:
        before.trust("root", authority(KIND).pem)
        before.own(pkcs12.serialize_key_and_certificates(b"own", key(KIND, 0), own, [between, root], NoEncryption()))
        auth = ("authby=ecdsa", "leftcert=own", "leftsendcert=always", "sendca=issuer", "rightca=%any")
        before.load(libreswan.Peer(LEFT, RIGHT, "", auth=auth))
        done = before.initiate()
        assert done.returncode == 0, done.stdout + done.stderr
        wait_until("strongSwan's Child SA", charon.established)
    wait_until("strongSwan to forget it", lambda: not charon.established())
    manager = request.getfixturevalue("manager")
    archive, conf = tmp_path / "own.p12", str(before.folder / "peer.conf")
    command = ["pk12util", "-o", str(archive), "-n", "own", "-d", f"sql:{before.folder}", "-W", "", "-K", ""]
    subprocess.run(command, check=True)
    assert "own-ca.pem: written" in imported(manager, archive)
    assert "(peer): created" in ikedb(manager, "-c", "-l", conf, "-k", str(before.folder / "ipsec.secrets"))
    start(manager, "peer")
    wait_until("strongSwan's Child SA", charon.established)
    prove_esp()
