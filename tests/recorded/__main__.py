# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``python3 -m tests.recorded record|compare|show``: record what the engine returns, and compare it with what it did.

``record`` writes the digests of all simulations to a file, ``compare`` makes them again, says which differ and returns
1 if any does. A difference is found by ``show SEED`` in the tree of before and in that of now: ``diff`` tells where
they part. With ``--engine FOLDER`` it is another tree's engine that is asked, by the simulations of this one.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from . import FILE, ROOT
from .digests import Digests

HERE = ROOT / "plugins" / "module_utils"
SEEDS = 1000
SHOWN = 20


def main() -> int:
    """Do what the command line says; the exit status."""
    parser = argparse.ArgumentParser(prog="python3 -m tests.recorded", description=__doc__)
    parser.add_argument(
        "--engine", type=Path, default=HERE, help="the folder that holds the engine, default %(default)s"
    )
    commands = parser.add_subparsers(dest="command", required=True)
    record = commands.add_parser("record", help="write the digests of all simulations")
    record.add_argument("file", type=Path, nargs="?", default=FILE)
    record.add_argument("--seeds", type=int, default=SEEDS, help="how many, default %(default)s")
    compare = commands.add_parser("compare", help="make them again, and say which differ")
    compare.add_argument("file", type=Path, nargs="?", default=FILE)
    show = commands.add_parser("show", help="print everything that happens in one simulation")
    show.add_argument("seed", type=int)
    show.add_argument("--records", action="store_true", help="what was kept for another process, instead of the verbs")
    arguments = parser.parse_args()
    sys.path.insert(0, str(arguments.engine))
    if arguments.command == "record":
        return _record(arguments.file, arguments.seeds)
    if arguments.command == "compare":
        return _compare(arguments.file)
    return _show(arguments.seed, arguments.records)


def _record(file: Path, seeds: int) -> int:
    Digests.made(range(seeds)).write(file)
    return 0


def _compare(file: Path) -> int:
    before = Digests.read(file)
    differences = before.differences(Digests.made(before.seeds))
    for line in differences[:SHOWN]:
        print(line)
    print(f"{len(differences)} of {len(before.seeds)} simulations differ")
    return 1 if differences else 0


def _show(seed: int, records: bool) -> int:
    from .simulation import simulate

    trace = simulate(seed)
    print("\n".join(trace.records if records else trace.lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
