# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``ipsec spigrp``: list, make and dissolve groups of SAs, in the classic words; needs no tunnel manager."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial

from ..kernel.groups import perform, plan_group, plan_ungroup, read_listing, show
from ..kernel.klips import format_group
from ..kernel.positional import parse_positional
from ..manager.client import DEFAULT_RUNTIME_DIR
from ..said import Said, parse_said
from .common import Parser, UsageError, complain, guarded, say, show_json

_FAILED = 1  # whatever it was: the classic command has no other status

_DESCRIPTION = """\
Without SAs: list the groups. With two to four: make them a group. With one: ungroup the whole group it is in.
"""
_EPILOG = """\
An SA is either four words - inet or inet6, destination, SPI (0x113), protocol (ah, esp, comp, tun) - or, after --said,
one: esp.113@192.0.2.1, tun:130@2001:db8::1. SAs stand in the order in which they are applied to an outgoing packet, the
innermost first. The policies that led to the first one then demand them all. All but tun must exist; tun is the tunnel
mode of the SA after it and needs no SA of its own.

  ipsec spigrp inet gw2 0x113 tun inet gw2 0x115 esp inet gw2 0x116 ah
  ipsec spigrp --said tun.113@192.0.2.2 esp.115@192.0.2.2 ah.116@192.0.2.2
  ipsec spigrp --said esp.115@192.0.2.2

Each line of the listing is one group. An SA in no group stands alone in its line.

exit status: 0 done, 1 not done, and nothing changed.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    return guarded(_program(words), lambda: _run(words), _FAILED, _FAILED)


def _program(words: Sequence[str]) -> str:
    """What messages begin with: they all repeat the label, so that scripts tell their runs apart."""
    label = words[words.index("--label") + 1 :][:1] if "--label" in words else []
    return " ".join(["spigrp", *(["--label", *label] if label else [])])


def _run(words: list[str]) -> int:
    parser = Parser(
        prog="ipsec spigrp",
        usage="%(prog)s [options] [FAMILY DESTINATION SPI PROTOCOL]{0,4}\n"
        "       %(prog)s [options] --said SAID [SAID]{0,3}",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("words", nargs="*", help=argparse.SUPPRESS)
    parser.add_argument("--said", nargs="+", metavar="SAID", help="the SAs, one word each")
    parser.add_argument("--label", metavar="TEXT", help="begin every message with it")
    parser.add_argument("--debug", action="store_true", help="say on stderr what changed, groups and policies")
    parser.add_argument("--json", action="store_true", help="list one JSON array of arrays instead of text")
    parser.add_argument("--version", action="version", version="spigrp of fleet.ipsec", help="say what this is")
    parser.add_argument(
        "--runtime-dir",
        metavar="DIR",
        default=DEFAULT_RUNTIME_DIR,
        help="where the registry of groups is (default %(default)s)",
    )
    given = parser.parse_args(words)
    members = _members(given)
    if not members:
        return _list(given, _program(words))
    return _change(members, given, _program(words))


def _members(given: argparse.Namespace) -> tuple[Said, ...]:
    if given.said and given.words:
        raise UsageError(f"{' '.join(given.words)}: cannot stand beside --said; write every SA in the same form")
    if given.said:
        return tuple(parse_said(text, "--said") for text in given.said)
    if any("@" in word for word in given.words):
        raise UsageError(f"{' '.join(given.words)}: SAs in one word come after --said")
    return parse_positional(given.words) if given.words else ()


def _list(given: argparse.Namespace, program: str) -> int:
    groups = read_listing(given.runtime_dir)
    if given.json:
        show_json([[str(said) for said in group.sas] for group in groups])
    else:
        for group in groups:
            say(format_group(group.sas))
    for group in groups:
        if group.missing:
            gone = " and ".join(map(str, group.missing))
            complain(f"{program}: {gone} of the group {group.sas[0]} is gone; ungroup it")
    return 0


def _change(members: tuple[Said, ...], given: argparse.Namespace, program: str) -> int:
    decide = plan_ungroup if len(members) == 1 else plan_group
    plan = perform(given.runtime_dir, partial(decide, members, name="SA"))
    if given.debug:
        for sign, text in zip("-+", show(plan, members), strict=True):
            for line in text.splitlines():
                complain(f"{program}: {sign} {line}")
    for warning in plan.warnings:
        complain(f"{program}: {warning}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
