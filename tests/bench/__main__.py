# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``make bench`` measures; ``make bench PROFILE=1`` shows where the time of a handshake goes.

``python -m tests.bench tables`` or another name of :data:`PARTS`, or ``profile``, does one part.
Nothing here passes or fails by a time: whoever wants a verdict reads the table.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from . import ROOT, charon, definitions, handshakes, ikepings, managers, profiling, strangers, tables
from .handshakes import Handshakes
from .results import Figure, table, write
from .rounds import interleaved

DEBIAN_PYTHON = "/usr/bin/python3"
KIBI = 1024
ROUNDS = 3
FEW, MANY = 1_000, 10_000

# Measured once on a machine of the same kind as the project's, with charon's kernel faked.
DOCUMENTED = Handshakes(0.98, 0.86, 12.8 * KIBI, 12.8 * KIBI)


@dataclass(frozen=True, slots=True)
class Place:
    """What there is to measure with: interpreters by title, the first one the default; strongSwan's folder; remarks."""

    pythons: dict[str, str]
    strongswan: str
    notes: list[str] = field(default_factory=list)

    @property
    def python(self) -> str:
        """The default interpreter."""
        return next(iter(self.pythons.values()))

    def lacks(self, what: str, lack: str) -> bool:
        """Note why ``what`` is not measured, if there is a reason."""
        if lack:
            self.notes.append(f"{what}: not measured here, this {lack}")
        return bool(lack)


def main() -> int:
    """Run what was asked for; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Measure, and print figures.")
    names = f"{', '.join(PARTS)} or profile"
    parser.add_argument("what", nargs="*", metavar="PART", help=f"{names} (default: all but the last)")
    parser.add_argument("--strongswan", default="/", metavar="DIR", help="where its packages were unpacked to")
    options = parser.parse_args()
    wanted = options.what or (["profile"] if os.environ.get("PROFILE") else list(PARTS))
    unknown = set(wanted) - {*PARTS, "profile"}
    if unknown:
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}; there are {names}")
    pythons, notes = _pythons()
    place = Place(pythons, str(Path(options.strongswan).resolve()), notes)
    if "profile" in wanted:
        for title, python in place.pythons.items():
            print(f"{title}\n{profiling.profile(python)}")
    figures = [figure for name, part in PARTS.items() if name in wanted for figure in part(place)]
    if figures:
        print(table(figures))
        for note in place.notes:
            print(f"* {note}")
        write(ROOT / "build" / "bench.json", figures, place.notes)
    return 0


def _handshakes(place: Place) -> list[Figure]:
    contenders: dict[str, Callable[[], Handshakes]] = {}
    lack = charon.missing(place.strongswan)
    if not place.lacks("charon's handshakes", lack):
        contenders["charon"] = lambda: charon.handshakes(place.strongswan)
        place.notes.append(
            "charon keeps its SAs in user space (kernel-libipsec) and has one definition for all; our kernel is a"
            " stand-in that counts, and each tunnel has its definition"
        )
    for title, python in place.pythons.items():
        contenders[title] = lambda python=python: handshakes.handshakes(python)  # type: ignore[misc]
    contenders["one address"] = lambda: handshakes.handshakes(place.python, managers.one_address)
    _progress("handshakes")
    taken = {name: handshakes.median(runs) for name, runs in interleaved(ROUNDS, contenders).items()}
    theirs = taken.get("charon", DOCUMENTED)
    reference = "charon, documented, not measured here" if lack else "charon 5.9, measured in this run"
    found = []
    for title, python in place.pythons.items():
        ours = taken[title]
        bare = float(_output(python, "from tests.bench.primitives import bare_ms; print(bare_ms())"))
        for side in ("initiator", "responder"):
            name = f"handshake, {side}, {title}"
            found.append(Figure(name, "ms CPU", *_pair(ours, theirs, f"{side}_ms"), reference))
        found.append(Figure(f"  of it the bare primitives, {title}", "ms CPU", bare))
        for side in ("initiator", "responder"):
            octets = _pair(ours, theirs, f"{side}_octets")
            name = f"memory of an established tunnel, {side}, {title}"
            found.append(Figure(name, "KiB", octets[0] / KIBI, octets[1] / KIBI, reference))
    behind = _pair(taken["one address"], theirs, "responder_ms")
    return [*found, Figure("handshake, responder, all peers at one address", "ms CPU", *behind, reference)]


def _pair(ours: Handshakes, theirs: Handshakes, name: str) -> tuple[float, float]:
    return getattr(ours, name), getattr(theirs, name)


def _tables(place: Place) -> list[Figure]:
    if place.lacks("the kernel's tables", tables.missing()):
        return []
    _progress("the kernel's tables")
    return tables.figures(place.notes)


def _ikeping(place: Place) -> list[Figure]:
    if place.lacks("ikeping", ikepings.missing()):
        return []
    _progress("ikeping")
    return ikepings.figures()


def _definitions(place: Place) -> list[Figure]:
    if place.lacks("definitions in one task", definitions.missing()):
        return []
    found = []
    for title, python in place.pythons.items():
        _progress(f"definitions in one task, {title}")
        rounds = [definitions.tasks(python, FEW) for _round in range(ROUNDS)]
        found += _tasks(FEW, definitions.Tasks(*map(statistics.median, zip(*rounds, strict=True))), title)
    _progress(f"{MANY} definitions in one task")
    title = next(iter(place.pythons))
    found += _tasks(MANY, definitions.tasks(place.python, MANY), title)
    place.notes.append(
        f"plain module calls: a loop of {definitions.PLAIN} x ansible.builtin.ping, scaled up;"
        f" {MANY} definitions in one task: a single round"
    )
    return found


def _tasks(count: int, tasks: definitions.Tasks, title: str) -> list[Figure]:
    reference = f"{count} x one plain module call"
    return [
        Figure(f"{count} definitions, first task, {title}", "s", tasks.first, tasks.plain * count, reference),
        Figure(f"{count} definitions, unchanged task, {title}", "s", tasks.unchanged, tasks.plain * count, reference),
    ]


def _loading(place: Place) -> list[Figure]:
    found = []
    theirs_there = not place.lacks("swanctl --load-all", charon.missing(place.strongswan))
    for count, rounds in ((FEW, ROUNDS), (MANY, 1)):
        _progress(f"{count} definitions handed to the manager")
        contenders = {"ours": lambda count=count: definitions.applying(place.python, count)}
        if theirs_there:
            contenders["theirs"] = lambda count=count: charon.loading(place.strongswan, count)
        runs = interleaved(rounds, contenders)
        for position, name in enumerate(("first", "once more")):
            ours, theirs = (
                statistics.median(run[position] for run in runs[side]) if side in runs else None
                for side in ("ours", "theirs")
            )
            what = f"{count} definitions handed to the manager, {name}"
            found.append(Figure(what, "s", ours or 0.0, theirs, "swanctl --load-all" if theirs else ""))
    seconds, kibioctets = definitions.starting(place.python, MANY)
    return [
        *found,
        Figure(f"manager starts with {MANY} definitions", "s", seconds),
        Figure("memory of a definition, no tunnel up", "KiB", kibioctets),
    ]


def _strangers(_place: Place) -> list[Figure]:
    _progress("what one message of a stranger costs")
    return strangers.figures()


# In the order of the table.
PARTS: dict[str, Callable[[Place], list[Figure]]] = {
    "tables": _tables,
    "ikeping": _ikeping,
    "definitions": _definitions,
    "loading": _loading,
    "handshakes": _handshakes,
    "strangers": _strangers,
}


def _pythons() -> tuple[dict[str, str], list[str]]:
    """The interpreters to measure, by a title that tells them apart; and remarks on what is left out."""
    found: dict[str, str] = {}
    notes: list[str] = []
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
