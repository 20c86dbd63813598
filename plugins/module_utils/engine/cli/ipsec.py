# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``ipsec COMMAND …``: the classic commands by their names."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NamedTuple

from ..release import said_by
from .common import USAGE, complain, nearest, say


class _Command(NamedTuple):
    """A file of this folder with a ``main``, and one line about it."""

    file: str
    about: str


COMMANDS = {
    "eroute": _Command("eroute", "list, add and delete what happens to outgoing packets"),
    "spi": _Command("spi", "list SAs, and key SAs by hand"),
    "spigrp": _Command("spigrp", "list, make and dissolve groups of SAs"),
    "ikeping": _Command("ikeping", "ask whether the IKE daemons of other hosts are alive"),
    "import": _Command("import_keys", "take a private key and its certificates out of a PKCS#12 file"),
}


# What else the classic ipsec had, and what does it here.
_ELSEWHERE = {
    "look": "ipsec eroute --verbose shows what happens to packets, ipsec spi every SA",
    "auto": "ike starts, lists and ends tunnels",
    "whack": "ike starts, lists and ends tunnels",
    "tncfg": "packets need no ipsec0 to be protected; a tunnel with an interface of its own has the option interface",
    "manual": "ipsec eroute sets shunts, ipsec spi keys SAs by hand, ipsec spigrp groups them; see man ipsec",
    "pf_key": "ip xfrm monitor shows what the kernel asks for and what it is told",
    "barf": "ike cmd=list verbose tells why a tunnel is down, ipsec eroute --verbose and ipsec spi what the kernel has",
    "setup": "the service fleet-ipsec-manager runs the tunnels: systemctl status fleet-ipsec-manager",
    "klipsdebug": "ike cmd=log level=debug has the tunnel manager tell more",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command named first; returns its exit status."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    if words[:1] == ["help"] and words[1:]:
        # Of a command its own help, whatever it says of one that is not there.
        words = [words[1], "--help"]
    if not words or words[0] in ("--help", "-h", "help"):
        tell = say if words else complain
        tell(_help())
        return 0 if words else USAGE
    if words[0] in ("--version", "version"):
        say(said_by("ipsec"))
        return 0
    command = COMMANDS.get(words[0])
    if command is None and words[0] in _ELSEWHERE:
        complain(f"ipsec: {words[0]!r} is no command here; {_ELSEWHERE[words[0]]}")
        return USAGE
    if command is None:
        complain(f"ipsec: {words[0]!r} is no command; {nearest(words[0], COMMANDS)}")
        return USAGE
    # Each command needs a floor of its own; importing all of them would take longer than most of them run.
    status: int = import_module(f".{command.file}", __package__).main(words[1:])
    return status


def _help() -> str:
    lines = [f"  {name:<10}{command.about}" for name, command in COMMANDS.items()]
    return "\n".join(
        [
            "usage: ipsec COMMAND ...",
            "",
            *lines,
            "",
            "ipsec COMMAND --help and man ipsec_COMMAND tell more. Tunnels are started and listed by ike (man ike).",
        ]
    )


if __name__ == "__main__":
    raise SystemExit(main())
