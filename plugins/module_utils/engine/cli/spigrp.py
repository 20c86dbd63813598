# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``ipsec spigrp``: the groups of SAs, in the classic lines; needs no tunnel manager."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence

from ..kernel.client import XfrmClient
from ..kernel.eroutes import said_of
from ..kernel.klips import format_group
from ..kernel.registry import RegistryView
from ..kernel.values import SaState
from ..manager.client import DEFAULT_RUNTIME_DIR
from ..said import Said
from .common import UNAVAILABLE, USAGE, Parser, UsageError, guarded, say, show_json

_EPILOG = """\
Each line is one group: the SAIDs of its SAs, the innermost first. An SA in no group stands alone in its line.
SAs are grouped and ungrouped by the Ansible module ipsec_spigrp.

exit status: 0 done, 64 wrong words, 69 the kernel cannot be asked (no permission, no XFRM).
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    return guarded("spigrp", lambda: _run(words), USAGE, UNAVAILABLE)


def _run(words: list[str]) -> int:
    parser = Parser(
        prog="ipsec spigrp",
        description="List the groups of SAs in the kernel.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="print one JSON array of arrays instead of text")
    parser.add_argument("--version", action="version", version="spigrp of fleet.ipsec", help="say what this is")
    parser.add_argument(
        "--runtime-dir",
        metavar="DIR",
        default=DEFAULT_RUNTIME_DIR,
        help="where the registry of groups is (default %(default)s)",
    )
    given, others = parser.parse_known_args(words)
    if others:
        remedy = "group SAs with the module ipsec_spigrp, see ipsec spigrp --help"
        raise UsageError(f"{' '.join(others)}: this command only lists; {remedy}")
    client = XfrmClient()
    registry = RegistryView(given.runtime_dir)
    try:
        lines = groups(registry.groups(), client.dump_sas())
    finally:
        registry.close()
        client.close()
    if given.json:
        show_json([[str(said) for said in members] for members in lines])
        return 0
    for members in lines:
        say(format_group(members))
    return 0


def groups(known: Iterable[tuple[Said, ...]], sas: Iterable[SaState]) -> list[tuple[Said, ...]]:
    """Groups as they were made, then each SA that is in none; SPI reservations are no SAs."""
    lines = list(known)
    grouped = {said for members in lines for said in members}
    alone = {said_of(sa) for sa in sas if not sa.larval} - grouped
    return lines + [(said,) for said in sorted(alone, key=lambda said: (said.destination, said.protocol, said.spi))]


if __name__ == "__main__":
    raise SystemExit(main())
