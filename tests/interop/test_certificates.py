# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates with strongSwan and Libreswan: each kind of key, chains, from either side, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import NoEncryption, pkcs12

from tests.issued import Authority, authority, intermediate
from tests.signing_keys import key, private_pem

from . import libreswan
from .libreswan import Libreswan
from .ours import Manager, definition
from .proof import prove_esp
from .sites import LEFT, RIGHT, wait_until
from .strongswan import Peer, StrongSwan

NIGHTLY = pytest.mark.nightly
ENDS = pytest.mark.parametrize("ours_starts", [True, False], ids=["we start", "the peer starts"])


def here(folder: Path, issuer: Authority, kind: str, **auth: Any) -> dict[str, Any]:
    """Our end, with key number 0; what is trusted is the root."""
    file = folder / "key.pem"
    file.write_bytes(private_pem(kind, 0))
    chain = issuer.issue(LEFT.identity, kind, 0)
    if issuer is not authority(issuer.kind):
        chain += issuer.pem
    given = {"method": "pubkey", "certificate": chain.decode(), "key": str(file)}
    given["ca"] = [authority(issuer.kind).pem.decode()]
    return definition(LEFT, RIGHT, "") | {"auth": given | auth}


def at_strongswan(issuer: Authority, kind: str, certificate: bytes = b"", root: bytes = b"") -> Peer:
    """strongSwan's end, with key number 1."""
    files = {
        "private/own.pem": private_pem(kind, 1),
        "x509/own.pem": certificate or issuer.issue(RIGHT.identity, kind, 1),
        "x509ca/root.pem": root or authority(issuer.kind).pem,
    }
    if issuer is not authority(issuer.kind):
        files["x509ca/between.pem"] = issuer.pem
    return Peer(RIGHT, LEFT, "", ours=("auth = pubkey", "certs = own.pem"), theirs=("auth = pubkey",), files=files)


def proven(manager: Manager, tunnel: dict[str, Any], initiate: Callable[[], Any], ours_starts: bool) -> None:
    manager.bring_up(tunnel, initiate, ours_starts)
    prove_esp()


def refused(manager: Manager, reason: str) -> None:
    wait_until(reason, lambda: manager.wait("established", timeout=1).get("reason") == reason, 20)


@pytest.mark.parametrize(
    "kind",
    ["ecdsa256", *(pytest.param(k, marks=NIGHTLY) for k in ("rsa2048", "rsa3072", "ecdsa384", "ed25519", "ed448"))],
)
@ENDS
def test_strongswan(manager: Manager, charon: StrongSwan, tmp_path: Path, kind: str, ours_starts: bool) -> None:
    """Through an intermediate authority at both ends."""
    charon.load(at_strongswan(intermediate(kind), kind))
    proven(manager, here(tmp_path, intermediate(kind), kind), charon.initiate, ours_starts)


@NIGHTLY
@ENDS
def test_fragments(manager: Manager, charon: StrongSwan, tmp_path: Path, ours_starts: bool) -> None:
    issuer = intermediate("rsa3072")
    charon.load(at_strongswan(issuer, "rsa3072"))
    tunnel = here(tmp_path, issuer, "rsa3072") | {"ike": {"fragment_size": 600}}
    proven(manager, tunnel, charon.initiate, ours_starts)


@NIGHTLY
@ENDS
def test_certificates_that_are_known_beforehand(
    manager: Manager, charon: StrongSwan, tmp_path: Path, ours_starts: bool
) -> None:
    issuer = authority("ecdsa256")
    known = issuer.issue(RIGHT.identity, "ecdsa256", 1)
    charon.load(at_strongswan(issuer, "ecdsa256", known))
    tunnel = here(tmp_path, issuer, "ecdsa256", ca=[], remote_certificate=known.decode())
    proven(manager, tunnel, charon.initiate, ours_starts)


def test_a_wrong_authority_is_told_at_whichever_end_it_is_missing(
    manager: Manager, charon: StrongSwan, tmp_path: Path
) -> None:
    issuer, other = authority("ecdsa256"), authority("ecdsa256", 1)
    charon.load(at_strongswan(issuer, "ecdsa256", root=other.pem))
    manager.define(here(tmp_path, issuer, "ecdsa256"), "active")
    refused(manager, "authentication_failed")
    manager.define(here(tmp_path, issuer, "ecdsa256", ca=[other.pem.decode()]), "active")
    charon.load(at_strongswan(issuer, "ecdsa256"))
    refused(manager, "certificate_unknown_authority")


def test_a_revoked_certificate_is_refused(manager: Manager, charon: StrongSwan, tmp_path: Path) -> None:
    issuer = authority("ecdsa256")
    theirs = issuer.issue(RIGHT.identity, "ecdsa256", 1)
    charon.load(at_strongswan(issuer, "ecdsa256", theirs))
    manager.define(here(tmp_path, issuer, "ecdsa256", crl=[issuer.revoke(theirs).decode()]), "active")
    refused(manager, "certificate_revoked")


# Libreswan

PKCS1 = (
    "authby=rsasig",
    "leftcert=own",
    "leftsendcert=always",
    "sendca=issuer",
    "rightrsasigkey=%cert",
    "rightca=%any",
)
ECDSA = ("authby=ecdsa", "leftcert=own", "leftsendcert=always", "sendca=issuer", "rightca=%any")


def at_libreswan(pluto: Libreswan, kind: str) -> libreswan.Peer:
    """Its end, with key number 1 and the intermediate authority's certificate."""
    issuer = intermediate(kind)
    own, between, root = (
        x509.load_pem_x509_certificate(pem)
        for pem in (issuer.issue(RIGHT.identity, kind, 1), issuer.pem, authority(kind).pem)
    )
    pluto.trust("root", authority(kind).pem)
    archive = pkcs12.serialize_key_and_certificates(b"own", key(kind, 1), own, [between, root], NoEncryption())
    pluto.own(archive)
    return libreswan.Peer(RIGHT, LEFT, "", auth=PKCS1 if kind.startswith("rsa") else ECDSA)


@pytest.mark.parametrize(
    "kind", ["rsa3072", pytest.param("ecdsa256", marks=NIGHTLY), pytest.param("ecdsa384", marks=NIGHTLY)]
)
def test_libreswan(tmp_path: Path, manager: Manager, request: pytest.FixtureRequest, kind: str) -> None:
    """From either side, one after the other: a daemon of its own has the keys of each kind."""
    with libreswan.running(RIGHT, tmp_path / "libreswan") as pluto:
        pluto.load(at_libreswan(pluto, kind))
        tunnel = here(tmp_path, intermediate(kind), kind)
        try:
            proven(manager, tunnel, pluto.initiate, True)
            manager.call("tunnels.apply", definitions=[{"name": "peer"}], state="absent")
            wait_until("Libreswan to forget it", lambda: not pluto.established())
            proven(manager, tunnel, pluto.initiate, False)
        except AssertionError:
            print(pluto.log.read_text(encoding="utf-8", errors="replace")[-6000:])
            raise
