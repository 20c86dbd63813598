# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables of nftables that are ours, by ``nft``, which is called here alone. What it does, it does in one step."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from typing import Any

from ..errors import KernelError, MissingError

# The rules of role gateway for networks that are never reached in clear, and those of shunts.
GUARD, SHUNTS = "fleet_ipsec", "fleet_ipsec_shunts"
# Made and deleted in one step, to see what the kernel takes.
PROBE = "fleet_ipsec_probe"
_SECONDS = 30


def read_guard() -> str:
    """The table of role ``gateway`` without its counts, in the words of nft; empty when there is none."""
    try:
        done = _nft(["--stateless", "list", "table", "inet", GUARD], "")
    except MissingError:
        return ""
    return done.stdout if done.returncode == 0 else ""


def load(path: str) -> None:
    """Carry out a file of nft, in one step.

    :raises KernelError: the kernel refused, and nothing changed. MissingError: no nft.
    """
    done = _nft(["--file", path], "")
    if done.returncode:
        raise KernelError(f"load {path}", errno.EINVAL, _first_line(done.stderr))


def apply(script: str, operation: str) -> None:
    """Carry out what nft reads, in one step.

    :param operation: what that is for, in words.
    :raises KernelError: the kernel refused, and nothing changed. MissingError: no nft.
    """
    done = _nft(["-f", "-"], script)
    if done.returncode:
        raise KernelError(operation, errno.EINVAL, _first_line(done.stderr))


def list_table(table: str) -> list[dict[str, Any]] | None:
    """What a table of the family inet has, as nft tells it in JSON; None where there is none, or no nftables."""
    return _list(["table", "inet", table])


def list_counters(table: str) -> list[dict[str, Any]]:
    """The counters of a table in the same way; empty where there are none."""
    return _list(["counters", "table", "inet", table]) or []


def own_tables() -> list[str]:
    """The tables of ours that stand, by name; none where nftables is not to be had."""
    standing = {entry["table"]["name"] for entry in _list(["tables", "inet"]) or [] if "table" in entry}
    return [table for table in (GUARD, SHUNTS, PROBE) if table in standing]


def _list(what: Sequence[str]) -> list[dict[str, Any]] | None:
    try:
        done = _nft(["-j", "list", *what], "")
    except MissingError:
        return None
    return json.loads(done.stdout)["nftables"] if done.returncode == 0 else None


def drop_tables(tables: Iterable[str]) -> None:
    """Delete tables of ours, in one step.

    :raises KernelError: the kernel refused. MissingError: no nft.
    """
    # Adding each first lets the removal succeed also where it is gone by now.
    text = "".join(f"add table inet {table}\ndelete table inet {table}\n" for table in tables)
    apply(text, "delete the tables of nftables")


def _nft(words: Sequence[str], text: str) -> subprocess.CompletedProcess[str]:
    command = shutil.which("nft", path=os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"]))
    if command is None:
        raise MissingError("nft is not installed", "install nftables: apt-get install nftables")
    environment = {**os.environ, "LC_ALL": "C"}
    try:
        # No module is at hand here whose run_command could be called.
        return subprocess.run(  # pylint: disable=ansible-bad-function
            [command, *words], input=text, capture_output=True, text=True, check=False, timeout=_SECONDS,
            env=environment,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise MissingError(f"nft does not run: {exc}", "see whether another firewall program holds it up") from None


def _first_line(text: str) -> str:
    return next((line for line in text.splitlines() if line.strip()), "no reason given")
