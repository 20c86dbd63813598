# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every module of the collection says about itself."""

from __future__ import annotations


class ModuleDocFragment:
    """Attributes that all modules share."""

    DOCUMENTATION = r"""
requirements:
  - Python 3.9 or newer on the gateway
  - root
attributes:
  check_mode:
    description: Can run in check mode and say what would change, without changing it.
  diff_mode:
    description: Shows what changed, or would change in check mode.
  platform:
    description: Where it runs.
    platforms: Linux
    support: full
"""
