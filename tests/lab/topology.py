# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the lab looks like: three gateways, a host behind each, the internet between.

Pure data.  Addresses are from the documentation ranges (RFC 5737, RFC 3849), the
networks behind the gateways from the private ones (RFC 1918, RFC 4193).
"""

from __future__ import annotations

from dataclasses import dataclass

WIRE_PREFIX_V4 = 24
WIRE_PREFIX_V6 = 64
LAN_PREFIX_V4 = 24
LAN_PREFIX_V6 = 64


@dataclass(frozen=True)
class Gateway:
    """One gateway, the router it sees, and the host behind it."""

    name: str
    role: str  # "hub" or "spoke"
    address: str
    router: str
    address6: str
    router6: str
    network: str
    lan_address: str
    host_address: str
    network6: str
    lan_address6: str
    host_address6: str

    @property
    def identity(self) -> str:
        """The IKE identity (ID_FQDN)."""
        return f"{self.name}.lab.example"

    @property
    def networks(self) -> list[str]:
        """What the gateway protects, IPv4 first."""
        return [self.network, self.network6]


def _gateway(number: int, name: str, role: str, wire: str) -> Gateway:
    wire6 = f"2001:db8:{number}"
    lan, lan6 = f"10.{number}.0", f"fd00:10:{number}"
    return Gateway(
        name=name,
        role=role,
        address=f"{wire}.2",
        router=f"{wire}.1",
        address6=f"{wire6}::2",
        router6=f"{wire6}::1",
        network=f"{lan}.0/{LAN_PREFIX_V4}",
        lan_address=f"{lan}.1",
        host_address=f"{lan}.10",
        network6=f"{lan6}::/{LAN_PREFIX_V6}",
        lan_address6=f"{lan6}::1",
        host_address6=f"{lan6}::10",
    )


GATEWAYS: tuple[Gateway, ...] = (
    _gateway(1, "hub", "hub", "192.0.2"),
    _gateway(2, "branch1", "spoke", "198.51.100"),
    _gateway(3, "branch2", "spoke", "203.0.113"),
)


def gateway(name: str) -> Gateway:
    """The gateway of that name; :raises KeyError: when there is none."""
    for candidate in GATEWAYS:
        if candidate.name == name:
            return candidate
    raise KeyError(name)
