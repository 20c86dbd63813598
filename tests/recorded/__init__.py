# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the engine returns in simulations that repeat themselves, recorded so that a change of its walls shows nothing.

Two endpoints with seeded entropy stand at the ends of a wire that loses, doubles, delays and translates; chance, seeded
as well, has them start, stop, rekey, redefine, die and go on. Of each simulation two digests are kept: that of
everything its endpoints returned, and that of what they had kept for another process, whose form may change alone.
"""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FILE = Path(__file__).with_name("digests.txt")  # of all simulations
