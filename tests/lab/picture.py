# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo's closing picture: the topology, the tunnels, what was proven, how to look around."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.panel import Panel
from rich.table import Table

from .places import DEFAULT_DIRECTORY, Places
from .proof import Ping
from .topology import GATEWAYS
from .wire import Verdict


def topology() -> str:
    """The lab as a drawing."""

    hub, *branches = GATEWAYS
    stem = f"host {hub.host_address} ─ {hub.name} {hub.address} ═"
    one, two = (f"═ {gateway.name} {gateway.address:<12} ─ host {gateway.host_address}" for gateway in branches)
    legend = "[dim]─ a network behind a gateway   ═ the internet: ESP and IKE only[/]"
    return f"{stem}╦{one}\n{' ' * len(stem)}╚{two}\n\n{legend}"


def tunnels_table(listings: dict[str, list[dict]]) -> Table:
    """One row a Child SA, as its initiator sees it; fits 80 columns."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title, justify in (("tunnel", "left"), ("between", "left"), ("SPI", "left"), ("packets", "right")):
        table.add_column(title, justify=justify, no_wrap=True)
    for name, rows in listings.items():
        for tunnel in rows:
            if tunnel["role"] == "initiator":
                for sa in (sa for child in tunnel["children"] for sa in child["sas"]):
                    table.add_row(
                        f"{name} ═ {tunnel['remote']['id'].partition('.')[0]}",
                        "\n".join(f"{local} ⇄ {remote}" for local in sa["local"] for remote in sa["remote"]),
                        f"{sa['spi_out']} out\n{sa['spi_in']} in",
                        f"{sa['out']['packets']}\n{sa['in']['packets']}",
                    )
    return table


def _algorithms(listings: dict[str, list[dict]]) -> str:
    names = {
        " ".join(sa["algorithms"])
        for rows in listings.values()
        for tunnel in rows
        for child in tunnel["children"]
        for sa in child["sas"]
    }
    return ", ".join(sorted(names))


def _facts(listings: dict[str, list[dict]], pings: list[Ping], verdict: Verdict) -> list[str]:
    established = sum(row["phase1"] == "active" for rows in listings.values() for row in rows)
    times = sorted(ping.rtt for ping in pings if ping.rtt is not None)
    return [
        f"{established // 2} IKE SAs up at both ends, their secrets derived from one vaulted seed",
        f"{len(pings)} of {len(pings)} pings from host to host answered, median {times[len(times) // 2]:.1f} ms",
        f"{verdict.esp_packets} ESP packets ({_algorithms(listings)}), "
        f"each with the SPI of one of {len(verdict.esp)} SAs",
        f"{verdict.ike} IKE packets, and none with an inner address: nothing left in clear",
        "a second run of site.yml changed nothing",
    ]


def summary(
    console: Console, places: Places, listings: dict[str, list[dict]], pings: list[Ping], verdict: Verdict
) -> None:
    """Print the closing picture."""
    console.print()
    console.print(Panel(topology(), title="the fleet", expand=False, padding=(1, 1)))
    console.print(tunnels_table(listings))
    for fact in _facts(listings, pings, verdict):
        console.print(f"  [green]✔[/] {fact}")
    console.print()


def how_to_look(console: Console, places: Places) -> None:
    """Print how to look around in a lab that was kept."""
    ours = "" if str(places.root) == DEFAULT_DIRECTORY else f"LAB_DIR={places.root} "
    enter = f"ssh -F {places.ssh_config} hub"
    rows = (
        ("log in", enter),
        ("tunnels", f"{enter} ike cmd=list"),
        ("eroutes", f"{enter} ipsec eroute"),
        ("from host to host", f"ssh -F {places.ssh_config} branch1 lab-host ping 10.3.0.10"),
        ("the wire", f"ip netns exec {places.internet} tcpdump -ni any esp"),
        ("change the inventory", f"$EDITOR {places.inventory}/group_vars/all/fleet.yml"),
        ("run it", f"ANSIBLE_CONFIG={places.ansible_config} .venv/bin/ansible-playbook playbooks/site.yml --diff"),
        ("end it", f"{ours}make lab-down"),
    )
    table = Table(box=None, show_header=False, pad_edge=False)
    for what, how in rows:
        table.add_row(f"  {what}", f"[bold]{how}[/]")
    console.print("The lab keeps running. Look around:")
    console.print(table, soft_wrap=True)
