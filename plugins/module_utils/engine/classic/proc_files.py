# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of a classic kernel (KLIPS), where there are any, as what the tables of this one are."""

from __future__ import annotations

import os
from typing import Any

from ..errors import InputError
from .klips import ErouteLine

EROUTES = "/proc/net/ipsec_eroute"
GROUPS = "/proc/net/ipsec_spigrp"


def path_of(given: str | None, classic: str) -> str | None:
    """The file to read: the one given, else the classic one where it is, else None."""
    return given or (classic if os.path.exists(classic) else None)


def read_file(field: str, path: str) -> str:
    """The text of a classic table.

    :raises InputError: naming ``field``.
    """
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.read()
    except OSError as exc:
        raise InputError(
            field, path, exc.strerror or "cannot be read", "name a readable file, or leave it out"
        ) from exc


def row_of(line: ErouteLine) -> dict[str, Any]:
    """A line of a classic table as a dictionary, as :meth:`Eroute.row` has it, and with both identities."""
    magic = line.target.startswith("%")
    return {
        "packets": line.packets,
        "packets_shared": False,
        "source": str(line.source),
        "source_ports": [line.source_port, line.source_port],
        "destination": str(line.destination),
        "destination_ports": [line.destination_port, line.destination_port],
        "protocol": line.protocol,
        "said": line.target,
        "sas": [] if magic else list(line.group),
        "action": _action(line.target) if magic else "ipsec",
        "priority": None,
        "reqid": None,
        "owner": None,
        "tunnel": None,
        "child": None,
        "if_id": None,
        "source_identity": line.source_identity,
        "destination_identity": line.destination_identity,
    }


def _action(target: str) -> str:
    if target.startswith("%unk-"):
        return "unknown"
    if target.startswith("%passthrough"):
        return "pass"
    return "trap" if target == "%trapsubnet" else target[1:]
