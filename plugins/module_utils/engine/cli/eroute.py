# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``ipsec eroute``: what happens to outgoing packets, in the classic lines; needs no tunnel manager."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from ..kernel.eroutes import Eroute
from ..kernel.klips import format_eroute
from ..kernel.views import read_tables
from ..manager.client import DEFAULT_RUNTIME_DIR
from .common import UNAVAILABLE, USAGE, Parser, guarded, say, show_json

_EPILOG = """\
Each line: packets sent, source, destination and what happens to such packets: the SAID of the first SA that they
go through (protocol, SPI in hexadecimal, where it ends), or %pass, %drop, %trap (an SA is negotiated first), %hold
(that is going on). A number behind a network's colon is a port, one behind the SAID's colon a transport protocol.

exit status: 0 done, 64 wrong words, 69 the kernel cannot be asked (no permission, no XFRM).
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    return guarded("eroute", lambda: _run(words), USAGE, UNAVAILABLE)


def _run(words: list[str]) -> int:
    parser = Parser(
        prog="ipsec eroute",
        description="List the kernel's outgoing IPsec policies.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="print one JSON array instead of text")
    parser.add_argument("--verbose", action="store_true", help="say below each line whose it is, and its priority")
    parser.add_argument("--version", action="version", version="eroute of fleet.ipsec", help="say what this is")
    parser.add_argument(
        "--runtime-dir",
        metavar="DIR",
        default=DEFAULT_RUNTIME_DIR,
        help="where the tunnel manager keeps names of tunnels (default %(default)s)",
    )
    given = parser.parse_args(words)
    table = read_tables(given.runtime_dir).eroutes
    if given.json:
        show_json([eroute.row() for eroute in table])
        return 0
    for eroute in table:
        say(format_eroute(eroute.line()))
        if given.verbose:
            say(f"\t{_whose(eroute)}, priority {eroute.priority}{_group(eroute)}")
    return 0


def _whose(eroute: Eroute) -> str:
    return f"child {eroute.child} of tunnel {eroute.tunnel}" if eroute.tunnel else "not of a tunnel of ours"


def _group(eroute: Eroute) -> str:
    members: Any = eroute.sas
    return f", group {' '.join(members)}" if len(members) > 1 else ""


if __name__ == "__main__":
    raise SystemExit(main())
