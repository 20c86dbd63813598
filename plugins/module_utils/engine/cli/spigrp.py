# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``ipsec spigrp``: list, make and dissolve groups of SAs, in the classic words; needs no tunnel manager."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial

from ..classic.group_snapshot import Members, Snapshot
from ..classic.groups import Group, Plan, perform, plan_group, plan_ungroup, read_file, read_listing, show
from ..classic.klips import group_lines, sa_lines
from ..classic.positional import FAMILIES, check_count, parse_named, parse_positional
from ..errors import InputError
from ..kernel.addresses import is_local
from ..kernel.sa_chains import TUN
from ..manager.client import DEFAULT_RUNTIME_DIR
from ..newer_python import zip
from ..release import said_by
from ..said import Said
from .common import Parser, UsageError, check_label, complain, guarded, program_of, say, show_json

_FAILED = 1  # whatever it was: the classic command has no other status

_MOST_PROBLEMS = 10

_DESCRIPTION = """\
Without SAs: list the groups. With two to four: make them a group. With one: ungroup the whole group it is in.
"""
_EPILOG = """\
An SA is either four words - inet or inet6, destination, SPI (0x113), protocol (ah, esp, comp, tun) - or, after --said,
one: esp.113@192.0.2.1, tun:130@2001:db8::1. A destination may be a name. SAs stand in the order in which they are
applied to an outgoing packet, the innermost first. The policies that led to the first one then demand them all. All
but tun must exist; tun is the tunnel mode of the SA after it and needs no SA of its own.

  ipsec spigrp inet gw2 0x113 tun inet gw2 0x115 esp inet gw2 0x116 ah
  ipsec spigrp --said tun.113@192.0.2.2 esp.115@192.0.2.2 ah.116@192.0.2.2
  ipsec spigrp --said esp.115@192.0.2.2

Each line of the listing is one group. An SA in no group stands alone in its line.

exit status: 0 done, 1 not done, and nothing changed; or a table had lines that could not be read.
More: man 8 ipsec_spigrp, of the listing man 5 ipsec_spigrp.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    return guarded(program_of("spigrp", words), lambda: _run(words), _FAILED, _FAILED)


def parser() -> Parser:
    """What reads the command's words."""
    built = Parser(
        prog="ipsec spigrp",
        usage="%(prog)s [options] [FAMILY DESTINATION SPI PROTOCOL]{0,4}\n"
        "       %(prog)s [options] --said SAID [SAID]{0,3}",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    built.add_argument("words", nargs="*", help=argparse.SUPPRESS)
    built.add_argument("--said", nargs="+", metavar="SAID", help="the SAs, one word each")
    built.add_argument("--label", metavar="TEXT", help="begin every message with it")
    built.add_argument("--debug", action="store_true", help="say on stderr what changed, groups and policies")
    built.add_argument("--each-sa", action="store_true", help="list a line for each SA: it and those outside of it")
    built.add_argument(
        "--file", metavar="FILE", help="list a classic table, such as /proc/net/ipsec_spigrp; - for stdin"
    )
    built.add_argument("--json", action="store_true", help="list one JSON array of arrays instead of text")
    built.add_argument("--version", action="version", version=said_by("spigrp"), help="say what this is")
    built.add_argument(
        "--runtime-dir",
        metavar="DIR",
        default=DEFAULT_RUNTIME_DIR,
        help="where the registry of groups is (default %(default)s)",
    )
    return built


def _run(words: list[str]) -> int:
    given = parser().parse_args(words)
    check_label(given.label)
    members = _members(given)
    if not members:
        return _list(given, program_of("spigrp", words))
    for option in ("each_sa", "file", "json"):
        if getattr(given, option):
            raise UsageError(f"--{option.replace('_', '-')}: is for the listing, which takes no SAs")
    return _change(members, given, program_of("spigrp", words))


def _members(given: argparse.Namespace) -> tuple[Said, ...]:
    positional = [*given.words, *(word for word in given.said or () if word in FAMILIES)]
    if given.said and positional:
        raise UsageError(f"{' '.join(positional)}: cannot stand beside --said; write every SA in the same form")
    if given.said:
        check_count(len(given.said), "--said")
        return tuple(parse_named(text, "--said") for text in given.said)
    if any("@" in word for word in given.words):
        raise UsageError(f"{' '.join(given.words)}: SAs in one word come after --said")
    return parse_positional(given.words) if given.words else ()


def _list(given: argparse.Namespace, program: str) -> int:
    if given.file is not None:
        return _list_file(given, program)
    groups = read_listing(given.runtime_dir)
    _print(groups, given)
    for group in groups:
        if group.missing:
            gone = " and ".join(map(str, group.missing))
            complain(f"{program}: {gone} of the group {group.sas[0]} is gone; ungroup it")
    return 0


def _list_file(given: argparse.Namespace, program: str) -> int:
    try:
        if given.file == "-":
            text = sys.stdin.read()
        else:
            with open(given.file, encoding="utf-8") as stream:
                text = stream.read()
    except (OSError, UnicodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "is no text"
        raise InputError("--file", given.file, str(reason), "name a table such as /proc/net/ipsec_spigrp") from None
    groups, problems = read_file(text, is_local)
    _print(groups, given)
    for problem in problems[:_MOST_PROBLEMS]:
        complain(f"{program}: line {problem.number}: {problem.reason}")
    if len(problems) > _MOST_PROBLEMS:
        complain(
            f"{program}: {len(problems) - _MOST_PROBLEMS} more lines cannot be read; is {given.file} such a table?"
        )
    return _FAILED if problems else 0


def _print(groups: Sequence[Group], given: argparse.Namespace) -> None:
    if given.json:
        show_json([[str(said) for said in group.sas] for group in groups])
        return
    lines = sa_lines if given.each_sa else group_lines
    for line in lines(group.sas for group in groups):
        say(line)


def _change(members: tuple[Said, ...], given: argparse.Namespace, program: str) -> int:
    decide = _ungroup if len(members) == 1 else plan_group
    try:
        plan = perform(given.runtime_dir, partial(decide, members, name="SA"))
    except InputError as error:
        # Which of the SAs it is, its name tells.
        raise InputError(error.field.partition("[")[0], error.value, error.problem, error.remedy) from None
    if given.debug:
        for sign, text in zip("-+", show(plan, members), strict=True):
            for line in text.splitlines():
                complain(f"{program}: {sign} {line}")
    for said in plan.remade:
        complain(f"{program}: {said} was made anew in tunnel mode, for {members[members.index(said) - 1]}")
    for said in plan.restored:
        complain(f"{program}: {said} is in transport mode again, as it was before it stood behind tun")
    for warning in plan.warnings:
        complain(f"{program}: {warning}")
    return 0


def _ungroup(members: Members, seen: Snapshot, name: str) -> Plan:
    """As :func:`plan_ungroup`; a ``tun`` that is nowhere known is a slip of the name, as with any other SA.

    :raises InputError: also for that.
    """
    (said,) = members
    if said.protocol == TUN and not seen.group_of(said) and said not in seen.noted:
        raise InputError(name, str(said), "no such tun was made, and no group has it", "see ipsec spigrp")
    return plan_ungroup(members, seen, name)


if __name__ == "__main__":
    raise SystemExit(main())
