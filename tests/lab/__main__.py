# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``python3 -m tests.lab``: up, down, status, prove, restart, tutorial, silence, exec HOST COMMAND…."""

from __future__ import annotations

import argparse
import shlex
import sys

from . import lab, prove, restart, tutorial
from .interruptions import leave_on_sigterm
from .places import LabError, Places
from .topology import GATEWAYS


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python3 -m tests.lab", description="Three gateways and a host behind each.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("up", help="bring the lab up")
    verbs.add_parser("down", help="end it, leaving nothing behind")
    verbs.add_parser("status", help="say what runs")
    verbs.add_parser("prove", help="ping from host to host and judge what is on the wire")
    verbs.add_parser("restart", help="restart and kill managers under a ping: nothing may be lost")
    verbs.add_parser("tutorial", help="type every command of docs/getting-started.md")
    verbs.add_parser("silence", help="prove that without tunnels no host reaches another")
    execute = verbs.add_parser("exec", help="run a command on a gateway")
    execute.add_argument("host", choices=[gateway.name for gateway in GATEWAYS])
    execute.add_argument("command", nargs=argparse.REMAINDER)
    return parser.parse_args()


def _status(places: Places) -> int:
    gateways = lab.status(places)
    if not gateways:
        print(f"no lab in {places.root}")
        return 1
    for name, runs in gateways.items():
        print(f"{name}: {'up' if runs else 'ended'}")
    print(f"look around: ssh -F {places.ssh_config} hub")
    print(f"ansible:     ANSIBLE_CONFIG={places.ansible_config} ansible vpn_gateways -m ansible.builtin.ping")
    return 0 if all(gateways.values()) else 1


def main() -> int:
    """Run one verb; returns the exit status."""
    arguments = _arguments()
    leave_on_sigterm()  # half of a lab goes with us
    places = Places()
    if arguments.verb == "status":
        return _status(places)
    if arguments.verb == "prove":
        print(prove.prove(places))
        return 0
    if arguments.verb == "restart":
        print(restart.check_restart(places))
        return 0
    if arguments.verb == "tutorial":
        print(tutorial.follow(places, lambda line: print(f"$ {line}", flush=True)))
        return 0
    if arguments.verb == "silence":
        prove.check_silence(places)
        return 0
    if arguments.verb == "exec":
        return lab.execute(places, arguments.host, [shlex.join(arguments.command)])
    if arguments.verb == "down":
        lab.down(places)
        return 0
    lab.up(places, lambda line: print(line, flush=True))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except LabError as error:
        sys.exit(f"lab: {error}")
