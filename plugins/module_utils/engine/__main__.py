# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``python3 -m engine manager | call | methods``."""

from __future__ import annotations

import sys

from .manager.command import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
