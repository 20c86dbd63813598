# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows to be put into the database."""

from __future__ import annotations

from engine.definition.parsing import parse_definition
from engine.manager.store import Put
from manager_lab import definition


def put(name: str, number: int = 1, wanted: str = "present", **changes: object) -> Put:
    return Put("fleet", wanted, parse_definition(definition(name, number) | changes))
