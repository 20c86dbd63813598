# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A folder of strongSwan's with keys and certificates, for tests of their conversion."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.convert.files import Files
from engine.convert.importing import Source, Wishes, convert
from engine.convert.report import Conversion, Report

from tests.issued import authority
from tests.signing_keys import private_pem, public_pem

OURS, THEIRS = "here.example.net", "there.example.net"
KIND = "ecdsa256"
CONF = """
connections {{
  t {{
    version = 2
    local_addrs = 192.0.2.1
    remote_addrs = 192.0.2.9
    {connection}
    local {{ {local} }}
    remote {{ {remote} }}
    children {{ c {{ local_ts = 10.1.0.0/16
                     remote_ts = 10.2.0.0/16 }} }}
  }}
}}
{rest}
"""


def usual() -> dict[str, bytes]:
    """The files of an end with number 0, and of what it knows of the peer, number 1."""
    return {
        "x509/own.pem": authority(KIND).issue(OURS),
        "x509/peer.pem": authority(KIND).issue(THEIRS, which=1),
        "x509ca/root.pem": authority(KIND).pem,
        "private/own.key": private_pem(KIND),
        "pubkey/own.pub": public_pem(KIND),
        "pubkey/peer.pub": public_pem(KIND, 1),
    }


def converted(
    folder: Path,
    local: str = f"certs = own.pem\n id = {OURS}",
    remote: str = f"id = {THEIRS}",
    files: Mapping[str, bytes | None] | None = None,
    **more: str,
) -> Conversion:
    """Write a configuration with its files, and convert it.

    :param files: besides the usual ones, or None in place of one of these that is not there.
    """
    text = CONF.format(local=local, remote=remote, connection=more.get("connection", ""), rest=more.get("rest", ""))
    for name, octets in {**usual(), **(files or {})}.items():
        if octets is not None:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(octets)
    path = folder / "swanctl.conf"
    path.write_text(text, encoding="utf-8")
    report = Report()
    reader = Files(report)
    return convert(Source(reader.read(str(path)), str(path)), "swanctl", reader, report, None, Wishes())


def auth_of(conversion: Conversion) -> dict[str, Any]:
    """``auth`` of the one tunnel, with its secrets."""
    (tunnel,) = conversion.tunnels
    found: dict[str, Any] = tunnel.complete()["auth"]
    return found
