# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``ipsec eroute``: what happens to outgoing packets, in the classic lines and words; needs no tunnel manager."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from ..classic import proc_files
from ..classic.eroutes import Eroute
from ..classic.klips import format_eroute, read_eroutes
from ..classic.views import read_tables
from ..errors import KernelError, RefusedError
from ..kernel import neighbours
from ..manager.client import DEFAULT_RUNTIME_DIR
from ..release import said_by
from .common import (
    UNAVAILABLE,
    USAGE,
    Parser,
    UsageError,
    check_label,
    complain,
    guarded,
    program_of,
    say,
    show_json,
)
from .eroute_change import ACTIONS, change, first_of_change

_REFUSED = 1
_MOST_PROBLEMS = 10

_USAGE = """\
%(prog)s [--json] [--verbose] [--file FILE]
       %(prog)s --add|--addin|--replace|--replacein [--eraf inet|inet6] --src NETWORK --dst NETWORK
           [--transport-proto PROTO [--src-port PORT] [--dst-port PORT]] TARGET
       %(prog)s --del|--delin [--eraf inet|inet6] --src NETWORK --dst NETWORK [--transport-proto PROTO ...]
       %(prog)s --clear
TARGET: --said SAID, or --af inet|inet6 --edst ADDRESS --spi SPI --proto ah|esp|comp|tun"""
_EPILOG = """\
Without an action: list what happens to outgoing packets. Each line: packets sent, source, destination and the SAID of
the first SA that such packets go through (protocol, SPI in hexadecimal, where it ends), or
  %pass    they leave in clear
  %drop    they are dropped; a local program that sends gets EPERM
  %reject  they are dropped, and the sender of a forwarded packet is told by ICMP (needs nftables)
  %trap    the next one asks for an SA
  %hold    one has asked, and waits for its SA
A number behind a network's colon is a port, one behind the SAID's colon a transport protocol. Eroutes to the same SA
show its packets each; --verbose says where that is so, and without it a last line for people that there are such.

%pass, %drop, %reject and %trap stand before every tunnel, the most specific of them first; with --specific they stand
among the tunnels, and the most specific of all wins, as the classic table had it. Eroutes to an SA always do. The SA,
or the group that it names, must exist. %pass also lets in what comes back. All of it is gone after a reboot.

  ipsec eroute --add --src 10.1.0.0/16 --dst 10.9.0.0/24 --transport-proto tcp --dst-port smtp --said %pass
  ipsec eroute --replace --src 10.1.0.0/24 --dst 10.2.0.0/24 --said tun.113@192.0.2.2
  ipsec eroute --del --src 10.1.0.0/24 --dst 10.2.0.0/24

exit status: 0 done; nothing has changed with 1 (refused: it or its SA is there already, is not there, or is another's),
64 (wrong words) and 69 (no permission, no XFRM, no nftables).
More: man 8 ipsec_eroute, of the listing man 5 ipsec_eroute.
"""
_ABOUT_ACTIONS = {
    "add": "add an eroute; fails when there is one with these selectors",
    "addin": "the same for packets that come in",
    "replace": "add it, or replace the one that is there; packets that it held are sent",
    "replacein": "the same for packets that come in",
    "del": "delete the eroute of these packets",
    "delin": "the same for packets that come in",
    "clear": "delete all eroutes of the owner",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    return guarded(program_of("eroute", words), lambda: _unless_refused(words), USAGE, UNAVAILABLE)


def _unless_refused(words: list[str]) -> int:
    try:
        return _run(words)
    except (KernelError, RefusedError) as refusal:
        complain(f"{program_of('eroute', words)}: {refusal}")
        return _REFUSED


def _run(words: list[str]) -> int:
    given = parser().parse_args(words)
    check_label(given.label)
    program = program_of("eroute", words)
    action = next((name for name in ACTIONS if getattr(given, name)), None)
    if action:
        return change(action, given, program)
    # Whoever forgot --add must not take the listing for success.
    of_change = first_of_change(given)
    if of_change:
        raise UsageError(f"{of_change}: means nothing to the listing; begin with --add, --replace or --del")
    return _list(given, program)


def parser() -> Parser:
    """What reads the command's words."""
    built = Parser(
        prog="ipsec eroute",
        usage=_USAGE,
        description="List, add, replace and delete what happens to outgoing packets.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    actions = built.add_argument_group("actions").add_mutually_exclusive_group()
    for name, about in _ABOUT_ACTIONS.items():
        actions.add_argument(f"--{name}", action="store_true", help=about)
    actions.add_argument("--file", metavar="FILE", help="list the classic table (or ipsec look) in FILE; - for stdin")
    packets = built.add_argument_group("which packets")
    packets.add_argument("--eraf", metavar="FAMILY", help="inet or inet6, the family of both networks")
    packets.add_argument("--src", metavar="NETWORK", help="where they come from: ADDRESS/BITS, 0/0 for everywhere")
    packets.add_argument("--dst", metavar="NETWORK", help="where they go to")
    packets.add_argument("--transport-proto", metavar="PROTO", help="protocol, name or number (default: every one)")
    packets.add_argument("--src-port", metavar="PORT", help="port, number or name of a service (default: every one)")
    packets.add_argument("--dst-port", metavar="PORT", help="likewise")
    target = built.add_argument_group("what happens to them")
    target.add_argument("--said", metavar="SAID", help="SAID of the SA, or %%pass, %%drop, %%reject, %%trap")
    target.add_argument("--af", metavar="FAMILY", help="inet or inet6, the family of the SA")
    target.add_argument("--edst", metavar="ADDRESS", help="where the SA ends: an address or a name")
    target.add_argument("--spi", metavar="SPI", help="SPI of the SA: 0x and hexadecimal, or decimal")
    target.add_argument("--proto", metavar="PROTO", help="protocol of the SA: ah, esp, comp, tun")
    target.add_argument("--direction", metavar="WHICH", help="out, or both: also what comes back (default for %%pass)")
    target.add_argument("--count", action="store_true", help="fail when nftables cannot count the packets")
    order = target.add_mutually_exclusive_group()
    order.add_argument("--first", action="store_true", help="before every tunnel, also where a tunnel is within")
    order.add_argument("--specific", action="store_true", help="the most specific one wins, tunnels among them")
    built.add_argument("--owner", metavar="NAME", default="command", help="whose they are (default %(default)s)")
    built.add_argument("--label", metavar="TEXT", help="begin every message with it")
    built.add_argument("--debug", action="store_true", help="say on stderr what changed")
    built.add_argument("--json", action="store_true", help="print JSON instead of text")
    built.add_argument("--verbose", action="store_true", help="say below each line whose it is, and its priority")
    built.add_argument("--version", action="version", version=said_by("eroute"), help="say what this is")
    built.add_argument(
        "--runtime-dir",
        metavar="DIR",
        default=DEFAULT_RUNTIME_DIR,
        help="where the names of tunnels and owners are (default %(default)s)",
    )
    return built


def _list(given: argparse.Namespace, program: str) -> int:
    path = proc_files.path_of(given.file, proc_files.EROUTES)
    if path:
        return _list_file(path, given, program)
    table = read_tables(given.runtime_dir).eroutes
    if given.json:
        show_json([eroute.row() for eroute in table])
        return 0
    for eroute in table:
        say(format_eroute(eroute.line()))
        if given.verbose:
            say(f"\t{_whose(eroute)}, priority {eroute.priority}{_group(eroute)}")
    shared = sum(eroute.packets_shared for eroute in table)
    # The classic line has no room for it; scripts that read lines are not told.
    if shared and not given.verbose and sys.stdout.isatty():
        complain(f"{program}: {shared} eroutes show what SAs carried that they share; --verbose says which")
    return 0


def _list_file(path: str, given: argparse.Namespace, program: str) -> int:
    text = sys.stdin.buffer.read().decode(errors="replace") if path == "-" else proc_files.read_file("--file", path)
    lines, problems = read_eroutes(text)
    if given.json:
        show_json([proc_files.row_of(line) for line in lines])
    else:
        for line in lines:
            say(format_eroute(line))
    for problem in problems[:_MOST_PROBLEMS]:
        complain(f"{program}: {path}:{problem.number}: {problem.reason}: {problem.line}")
    if len(problems) > _MOST_PROBLEMS:
        complain(f"{program}: {len(problems) - _MOST_PROBLEMS} more lines cannot be read; is {path} such a table?")
    return _REFUSED if problems else 0


def _whose(eroute: Eroute) -> str:
    if eroute.tunnel:
        # As the classic pages have them, behind the line.
        ends = f" ({eroute.source_identity}) ({eroute.destination_identity or ''})" if eroute.source_identity else ""
        return f"child {eroute.child} of tunnel {eroute.tunnel}{ends}"
    if eroute.owner == neighbours.OWNER:
        return "of the tunnel manager, lets neighbour discovery pass"
    return f"set by {eroute.owner}" if eroute.owner else "not of a tunnel of ours"


def _group(eroute: Eroute) -> str:
    group = f", group {' '.join(eroute.sas)}" if len(eroute.sas) > 1 else ""
    return f"{group}, packets of all eroutes to it" if eroute.packets_shared else group


if __name__ == "__main__":
    raise SystemExit(main())
