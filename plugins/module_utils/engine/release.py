# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which release this is, as commands and the manager say."""

from __future__ import annotations

import os

VERSION = "0.2.0"
_SHOWN = 12  # digits of a digest, which tell releases of one gateway apart


def _digest(path: str) -> str:
    """The name of the folder among the releases of a gateway that holds the engine; empty where it runs elsewhere."""
    releases, name = os.path.split(os.path.dirname(os.path.dirname(os.path.realpath(path))))
    return name if os.path.basename(releases) == "releases" else ""


# Of what runs here: by the time that anybody asks, "current" may be another release.
DIGEST = _digest(__file__)


def said_by(command: str) -> str:
    """What ``--version`` of a command says."""
    return f"{command} of fleet.ipsec {VERSION}" + (f", release {DIGEST[:_SHOWN]}" if DIGEST else "")
