# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The internet of the lab: one network namespace that routes between the gateways.

Each gateway has a link and a subnet of its own in it.  The router knows the
gateways' subnets and nothing else: what a gateway sends unprotected to a private
network is seen here, and goes nowhere.
"""

from __future__ import annotations

from .commands import ip_batch, run
from .places import LabError, Places
from .topology import WIRE_PREFIX_V4, WIRE_PREFIX_V6, Gateway

ROUTER_SETTINGS = (
    "net.ipv4.ip_forward=1",
    "net.ipv6.conf.all.forwarding=1",
    "net.ipv6.conf.default.accept_dad=0",
    "net.ipv4.conf.all.send_redirects=0",
)


def existing_namespaces() -> set[str]:
    """The names of the machine's network namespaces."""
    return {row.split()[0] for row in run(["ip", "netns", "list"]).splitlines() if row}


def make_namespace(places: Places, name: str) -> None:
    """Make a network namespace, recorded before it exists so that it is always removed.

    :raises LabError: when one of that name is there and not ours.
    """
    if name in existing_namespaces():
        raise LabError(f"network namespace {name} exists already; run: make lab-down, or: ip netns delete {name}")
    places.note_namespace(name)
    run(["ip", "netns", "add", name])
    ip_batch(["link set lo up"], name)


def make_internet(places: Places) -> None:
    """Make the router's namespace."""
    make_namespace(places, places.internet)
    run(["ip", "netns", "exec", places.internet, "sysctl", "-q", "-w", *ROUTER_SETTINGS])


def _router_end(gateway: Gateway) -> list[str]:
    return [
        f"addr add {gateway.router}/{WIRE_PREFIX_V4} dev {gateway.name}",
        f"addr add {gateway.router6}/{WIRE_PREFIX_V6} dev {gateway.name} nodad",
        f"link set {gateway.name} up",
    ]


def add_tap(places: Places, gateway: Gateway) -> None:
    """The router's end of a gateway that is a guest: a tap of the gateway's name."""
    ip_batch([f"tuntap add {gateway.name} mode tap vnet_hdr", *_router_end(gateway)], places.internet)


def add_veth(places: Places, gateway: Gateway, namespace: str) -> None:
    """The link of a gateway that is a namespace; its own end is called ``wire``."""
    ip_batch(
        [f"link add {gateway.name} type veth peer name wire netns {namespace}", *_router_end(gateway)],
        places.internet,
    )


def remove_namespaces(places: Places) -> None:
    """Delete the recorded namespaces; links and addresses go with them."""
    existing = existing_namespaces()
    for name in places.record()["namespaces"]:
        if name in existing:
            run(["ip", "netns", "delete", name])
