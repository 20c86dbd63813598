# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m tests.lab.demo [--keep]``: a fleet of three gateways comes up before your eyes, and is proven.

Every step that says "proven" can fail, and then the demo fails.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

from . import lab, picture, proof, prove, restart, wire
from .interruptions import leave_on_sigterm, undisturbed
from .places import LabError, Places
from .playbook import LOGS, run_playbook

HOST_PINGS = ("-e", '{"verify_ping_command": ["lab-host"]}')


class Show:
    """The progress of the demo: one line a step, with a spinner while it runs."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.began = time.monotonic()

    @contextmanager
    def step(self, title: str) -> Iterator[Step]:
        """One step; its line is printed when it ends."""
        step = Step(title, self.console)
        with self.console.status(f"{title} …") as status:
            step.status = status
            yield step
        self.console.print(
            f"[green]✔[/] {title}[dim]{step.outcome and ': '}{step.outcome}  {step.seconds:.0f} s[/]", soft_wrap=True
        )


class Step:
    """One running step."""

    def __init__(self, title: str, console: Console) -> None:
        self.title = title
        self.console = console
        self.status = None
        self.outcome = ""
        self.began = time.monotonic()

    @property
    def seconds(self) -> float:
        """How long it has run."""
        return time.monotonic() - self.began

    def doing(self, what: str) -> None:
        """Show what is being done right now."""
        if self.status is not None:
            self.status.update(f"{self.title} … [dim]{what[:48]}[/]")


def run(places: Places, show: Show) -> None:
    """All steps.

    :raises LabError: at the first that does not hold.
    """
    with show.step("Three gateways, a host behind each, the internet between") as step:
        lab.up(places, step.doing)
        step.outcome = places.record()["kind"]
    with show.step("Before: the hosts cannot reach each other") as step:
        prove.check_silence(places)
        step.outcome = "no ping is answered"
    with show.step("playbooks/site.yml over ssh") as step:
        recap = run_playbook(places, "site", "site", step.doing)
        step.outcome = f"{recap.tasks} tasks on {recap.hosts} hosts, {recap.changed} changed"
    wire.start_capture(places)
    with show.step("playbooks/verify.yml: every gateway proves its tunnels") as step:
        recap = run_playbook(places, "verify", "verify", step.doing, *HOST_PINGS)
        step.outcome = f"{recap.tasks} tasks on {recap.hosts} hosts"
    with show.step("After: every host reaches every other, IPv4 and IPv6") as step:
        pings = prove.check_pings(places)
        step.outcome = f"{len(pings)} pings answered"
    with show.step("The wire, judged by scapy: ESP of known SPIs and IKE, nothing else") as step:
        listings = proof.tunnels(places)
        verdict = prove.check_wire(places, pings, listings)
        step.outcome = f"{verdict.esp_packets} ESP packets of {len(verdict.esp)} SAs, {verdict.ike} IKE, 0 in clear"
    with show.step("playbooks/site.yml again") as step:
        recap = run_playbook(places, "site", "site-again", step.doing)
        if recap.changed:
            raise LabError(f"the second run changed {recap.changed} things; see {LOGS}/site-again.log")
        step.outcome = f"{recap.tasks} tasks, changed=0"
    with show.step("One manager restarted, one killed, under a ping through both") as step:
        step.outcome = restart.check_restart(places)
    picture.summary(show.console, places, listings, pings, verdict)


def main() -> int:
    """Run the demo; returns the exit status."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave the lab running")
    arguments = parser.parse_args()
    places = Places()
    console = Console(highlight=False)
    if places.root.exists():
        console.print(f"[red]✘[/] there is a lab in {places.root} already; end it with: make lab-down")
        return 1
    show = Show(console)
    kept = False
    leave_on_sigterm()  # the lab goes with us
    try:
        run(places, show)
        kept = arguments.keep
    except LabError as error:
        console.print(f"✘ {error}", markup=False, style="red")
        return 1
    except KeyboardInterrupt:
        console.print("interrupted")
        return 130
    finally:
        if not kept:
            with undisturbed():
                lab.down(places)
    seconds = time.monotonic() - show.began
    if kept:
        picture.how_to_look(console, places)
    else:
        console.print(
            f"All taken down again, nothing is left; {seconds:.0f} s. [bold]make demo KEEP=1[/] keeps it running."
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
