# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Yes or no as Ansible reads it, for values that no argument spec has converted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.module_utils.parsing.convert_bool import boolean

from .problems import Problems


def flag(what: str, key: str, given: Mapping[str, Any], problems: Problems) -> bool:
    """The value of a key that is true or false, false when it is left out; anything else is noted as a problem.

    :param what: whose key it is, in words.
    """
    value = given.get(key)
    if value is None:
        return False
    try:
        return bool(boolean(value))
    except TypeError:
        problems.add(f"{what}: {key} is neither true nor false (got {value!r})", "write true or false", value, given)
        return False
