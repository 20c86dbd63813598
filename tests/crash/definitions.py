# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tunnel between two managers that are killed, in variants: what differs between them has to be made anew."""

from __future__ import annotations

from typing import Any

SECRET = "a secret of two managers that are killed"
VARIANTS = 8
_IKE = (
    ["aes256gcm16-sha384-x25519", "aes128gcm16-sha256-ecp256"],
    ["aes128gcm16-sha256-ecp256", "aes256gcm16-sha384-x25519"],
)
_ESP = (["aes256gcm16-x25519", "aes128gcm16-x25519"], ["aes128gcm16-x25519", "aes256gcm16-x25519"])


def definition(us: int, variant: int) -> dict[str, Any]:
    """The tunnel as end 1 or 2 has it; what is different about a variant has to be rekeyed, or be another child."""
    them = 3 - us
    networks = range(1 + (variant >> 2 & 1))  # the first one stays
    child = {
        "name": "lan",
        "local": [f"10.{us}.{number}.0/24" for number in networks],
        "remote": [f"10.{them}.{number}.0/24" for number in networks],
        "lifetime": 600,
        "proposals": _ESP[variant & 1],
    }
    return {
        "name": "t",
        "local": {"address": f"192.0.2.{us}"},
        "remote": {"address": f"192.0.2.{them}"},
        "auth": {"secret": SECRET},
        "ike": {"proposals": _IKE[variant >> 1 & 1], "lifetime": 1200, "retransmit_timeout": 600},
        "children": [child],
    }
