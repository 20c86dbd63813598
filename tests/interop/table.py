# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of docs/interop.md: what passed with which peer, by the names of the tests and of their files."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from . import libreswan, strongswan

# The fixture by which a test gets its peer, and what tells the peer's name and version.
PEERS: Mapping[str, list[str]] = {
    "charon": [strongswan.SWANCTL, "--version"],
    "newer_charon": [*strongswan.within(strongswan.NEWER), strongswan.SWANCTL, "--version"],
    "pluto": [libreswan.DAEMON, "--version"],
}
HEAD = """\
# Interoperability

Made by `make test-interop`: every test with a real peer, by what its name says. A number tells how many variants of it
passed (who starts, which algorithms, which kind of key); an empty cell was not tried with that peer. Packets pass
through the SAs of both ends in each of them, but where a refusal is what is tested. `make days` runs the same peers,
and OpenIKED, for three simulated days.
"""


class Outcomes:
    """What became of each test with a peer; a plugin for pytest.

    :param path: where the table goes when the tests are over.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._passed: dict[tuple[str, str, str], int] = {}
        self._others: dict[tuple[str, str, str], str] = {}
        self._places: dict[str, tuple[str, str, str]] = {}

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Learn which peer each test is with."""
        for item in session.items:
            peer = next((name for name in PEERS if name in getattr(item, "fixturenames", ())), None)
            if peer is not None:
                self._places[item.nodeid] = (str(item.path), item.originalname, peer)  # type: ignore[attr-defined]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count what passed; keep why another did not."""
        place = self._places.get(report.nodeid)
        if place is None:
            return
        if report.failed:
            self._others[place] = "**failed**"
        elif report.skipped:
            self._others.setdefault(place, f"not run: {_why(report)}")
        elif report.when == "call":
            self._passed[place] = self._passed.get(place, 0) + 1

    def pytest_sessionfinish(self) -> None:
        """Write the table."""
        self._path.write_text(self._text(), encoding="utf-8")

    def _text(self) -> str:
        tried = {peer for _file, _test, peer in self._places.values()}
        peers = [peer for peer in PEERS if peer in tried]
        lines = [HEAD]
        for file in dict.fromkeys(file for file, _test, _peer in self._places.values()):
            lines += [
                f"## {_title(file)}\n",
                "| | " + " | ".join(map(_version, peers)) + " |",
                "|---" * (len(peers) + 1) + "|",
            ]
            for test in dict.fromkeys(test for of, test, _peer in self._places.values() if of == file):
                cells = [self._cell((file, test, peer)) for peer in peers]
                lines.append(f"| {test.removeprefix('test_').replace('_', ' ')} | {' | '.join(cells)} |")
            lines.append("")
        return "\n".join(lines)

    def _cell(self, place: tuple[str, str, str]) -> str:
        passed = self._passed.get(place, 0)
        return self._others.get(place) or ("" if not passed else "passed" if passed == 1 else f"passed ({passed})")


def _why(report: pytest.TestReport) -> str:
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return reason.removeprefix("Skipped: ")


def _title(file: str) -> str:
    """The first sentence of a test file's docstring."""
    text = ast.get_docstring(ast.parse(Path(file).read_text(encoding="utf-8"))) or Path(file).stem
    return text.splitlines()[0].removesuffix(".")


def _version(peer: str) -> str:
    done = subprocess.run(PEERS[peer], capture_output=True, text=True, check=False)
    found = re.search(r"(strongSwan|Libreswan)\D*([\d.]+\w*)", done.stdout + done.stderr)
    return f"{found[1]} {found[2]}" if found else peer
