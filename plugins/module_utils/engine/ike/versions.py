# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The versions of IKE that an endpoint speaks: the one place that knows them all."""

from __future__ import annotations

from typing import Any

from .v2.port import Version2
from .version import Version


def all_versions() -> list[Version[Any, Any]]:
    """Every version there is."""
    return [Version2()]
