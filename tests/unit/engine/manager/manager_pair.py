# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two managers as processes with a tunnel between them, and what each tells of it."""

from __future__ import annotations

from manager_lab import Process, ends


def established(left: Process, right: Process, **changes: object) -> tuple[dict, dict]:
    ours, theirs = ends(left, right, **changes)
    right.apply(theirs)
    left.apply(ours, state="active")
    assert left.wait("to-right")["reached"]
    assert right.wait("to-left")["reached"]
    return ours, theirs


def tunnel(manager: Process) -> dict:
    (found,) = manager.call("tunnels.list", verbose=True)["tunnels"]
    return found


def spis(manager: Process) -> list[tuple[str, str]]:
    return [(sa["spi_in"], sa["spi_out"]) for child in tunnel(manager)["children"] for sa in child["sas"]]
