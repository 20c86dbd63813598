# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine's public face, as far as simulations need it: what moves in the engine is followed here alone."""

from __future__ import annotations

from engine.child_sa import ChildSa
from engine.crypto.auth import PresharedKey
from engine.crypto.proposals import esp_proposals, ike_proposals
from engine.errors import InputError, KernelError
from engine.identity import Identity
from engine.ike.actions import (
    Acquire,
    Action,
    Expire,
    InstallFailed,
    InstallInbound,
    InstallOutbound,
    KernelEvent,
    MappingChanged,
    Path,
    ReleaseSpi,
    RemoveSas,
    Report,
    Send,
    Unanswered,
    Vanished,
)
from engine.ike.connection import ChildConfig, Connection
from engine.ike.endpoint import Endpoint
from engine.ike.settings import Settings
from engine.secret import Secret
from engine.selector import Selector, parse_selector

from tests.seeded_entropy import SeededEntropy

__all__ = [
    "Acquire",
    "Action",
    "ChildConfig",
    "ChildSa",
    "Connection",
    "Endpoint",
    "Expire",
    "Identity",
    "InputError",
    "InstallFailed",
    "InstallInbound",
    "InstallOutbound",
    "KernelError",
    "KernelEvent",
    "MappingChanged",
    "Path",
    "PresharedKey",
    "ReleaseSpi",
    "RemoveSas",
    "Report",
    "Secret",
    "SeededEntropy",
    "Selector",
    "Send",
    "Settings",
    "Unanswered",
    "Vanished",
    "esp_proposals",
    "ike_proposals",
    "parse_selector",
]
