# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Groups of SAs as the result of a task."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ansible_collections.fleet.ipsec.plugins.module_utils.engine.classic.groups import Group
from ansible_collections.fleet.ipsec.plugins.module_utils.engine.classic.klips import (
    format_group,
    group_lines,
    sa_lines,
)


def listed(groups: Sequence[Group]) -> dict[str, Any]:
    """Groups in values and in either form of the classic listing."""
    members_of_all = [group.sas for group in groups]
    return {
        "groups": [
            {
                "said": str(group.sas[0]),
                "sas": [str(said) for said in group.sas],
                "missing": [str(said) for said in group.missing],
                "direction": group.direction,
                "line": format_group(group.sas),
            }
            for group in groups
        ],
        "lines": group_lines(members_of_all),
        "lines_per_sa": sa_lines(members_of_all),
    }
