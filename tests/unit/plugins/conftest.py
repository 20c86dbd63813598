# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make this checkout importable as ansible_collections.fleet.ipsec, unless it is already (ansible-test does that)."""

from __future__ import annotations

import importlib.util
import sys
import tempfile
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[3]


def _importable() -> bool:
    try:
        return importlib.util.find_spec("ansible_collections.fleet.ipsec") is not None
    except ModuleNotFoundError:
        return False


if not _importable():
    _place = tempfile.TemporaryDirectory(prefix="fleet-ipsec-collections-")
    _link = Path(_place.name) / "ansible_collections" / "fleet" / "ipsec"
    _link.parent.mkdir(parents=True)
    _link.symlink_to(CHECKOUT)
    sys.path.insert(0, _place.name)
