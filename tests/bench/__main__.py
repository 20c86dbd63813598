# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``make bench`` measures; ``make bench PROFILE=1`` shows where the time of a handshake goes.

``python -m tests.bench handshakes``, ``definitions`` or ``profile`` does one part.
Nothing here passes or fails by a time: whoever wants a verdict reads the table.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

from . import ROOT, charon, definitions, handshakes, managers, profiling
from .results import Figure, table, write

DEBIAN_PYTHON = "/usr/bin/python3"
KIBI = 1024

# Measured once on a machine of the same kind as the project's, with charon's kernel faked.
DOCUMENTED = handshakes.Handshakes(0.98, 0.86, 12.8 * KIBI, 12.8 * KIBI)


def main() -> int:
    """Run what was asked for; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Measure, and print figures.")
    parser.add_argument("what", nargs="*", help="handshakes, definitions or profile (default: the first two)")
    parser.add_argument("--strongswan", default="/", metavar="DIR", help="where its packages were unpacked to")
    options = parser.parse_args()
    wanted = options.what or (["profile"] if os.environ.get("PROFILE") else ["handshakes", "definitions"])
    unknown = set(wanted) - {"handshakes", "definitions", "profile"}
    if unknown:
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}")
    pythons, notes = _pythons()
    if "profile" in wanted:
        for title, python in pythons.items():
            print(f"{title}\n{profiling.profile(python)}")
    figures: list[Figure] = []
    if "handshakes" in wanted:
        figures += _handshakes(pythons, str(Path(options.strongswan).resolve()), notes)
    if "definitions" in wanted:
        figures += _definitions(pythons, notes)
    if figures:
        print(table(figures))
        for note in notes:
            print(f"* {note}")
        write(ROOT / "build" / "bench.json", figures, notes)
    return 0


def _handshakes(pythons: dict[str, str], tree: str, notes: list[str]) -> list[Figure]:
    theirs, reference = DOCUMENTED, "charon, documented, not measured here"
    lack = charon.missing(tree)
    if lack:
        notes.append(f"charon was not measured here: it {lack}")
    else:
        _progress("charon")
        theirs, reference = charon.handshakes(tree), "charon 5.9, measured in this run"
        notes.append(
            "charon keeps its SAs in user space (kernel-libipsec) and has one definition for all; our kernel is a"
            " stand-in that counts, and each tunnel has its definition"
        )
    figures = []
    for title, python in pythons.items():
        _progress(f"handshakes, {title}")
        ours = handshakes.handshakes(python)
        primitives = float(_output(python, "from tests.bench.primitives import bare_ms; print(bare_ms())"))
        figures += [
            Figure(f"handshake, initiator, {title}", "ms CPU", ours.initiator_ms, theirs.initiator_ms, reference),
            Figure(f"handshake, responder, {title}", "ms CPU", ours.responder_ms, theirs.responder_ms, reference),
            Figure(f"  of it the bare primitives, {title}", "ms CPU", primitives),
            Figure(
                f"memory a tunnel, initiator, {title}",
                "KiB",
                ours.initiator_octets / KIBI,
                theirs.initiator_octets / KIBI,
                reference,
            ),
            Figure(
                f"memory a tunnel, responder, {title}",
                "KiB",
                ours.responder_octets / KIBI,
                theirs.responder_octets / KIBI,
                reference,
            ),
        ]
    title, python = next(iter(pythons.items()))
    _progress("handshakes, all peers at one address")
    behind = handshakes.handshakes(python, managers.one_address)
    name = f"handshake, responder, all peers at one address, {title}"
    return [*figures, Figure(name, "ms CPU", behind.responder_ms, theirs.responder_ms, reference)]


def _definitions(pythons: dict[str, str], notes: list[str]) -> list[Figure]:
    lack = definitions.missing()
    if lack:
        notes.append(f"definitions in one task were not measured: this {lack}")
        return []
    count = definitions.TUNNELS
    notes.append(f"{count} plain calls: a loop of {definitions.PLAIN} x ansible.builtin.ping, scaled up")
    figures = []
    for title, python in pythons.items():
        _progress(f"definitions, {title}")
        tasks = definitions.tasks(python)
        plain, reference = tasks.plain * count, f"{count} x one plain module call"
        figures += [
            Figure(f"{count} definitions, first task, {title}", "s", tasks.first, plain, reference),
            Figure(f"{count} definitions, unchanged task, {title}", "s", tasks.unchanged, plain, reference),
        ]
    return figures


def _pythons() -> tuple[dict[str, str], list[str]]:
    """The interpreters to measure, by a title that tells them apart; and what is left out."""
    found, notes = {}, []
    for python in dict.fromkeys((sys.executable, shutil.which(DEBIAN_PYTHON) or "")):
        if python:
            try:
                found[_title(python)] = python
            except subprocess.CalledProcessError:
                notes.append(f"{python} was left out: it has no cryptography")
    return found, notes


def _title(python: str) -> str:
    parts = "platform.python_version(), '+ cryptography', cryptography.__version__"
    return "Python " + _output(python, f"import platform, cryptography; print({parts})")


def _output(python: str, program: str) -> str:
    done = subprocess.run([python, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _progress(what: str) -> None:
    print(f"bench: {what}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except RuntimeError as error:
        sys.exit(f"bench: {error}")
