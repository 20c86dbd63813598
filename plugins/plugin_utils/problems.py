# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with a plan, all of it at once, each with the line of the inventory to change."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

Origin: Any
try:
    from ansible._internal._datatag import _tags
except ImportError:  # ansible-core 2.18 keeps the position on the value itself
    Origin = None
else:
    Origin = _tags.Origin

_SHOWN = 20


class PlanError(ValueError):
    """The inventory makes no fleet; ``str()`` is one problem a line.

    :ivar problems: every problem, in words.
    """

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        more = [f"and {len(problems) - _SHOWN} more"] if len(problems) > _SHOWN else []
        super().__init__("\n".join([*problems[:_SHOWN], *more]))


class Problems:
    """Collects problems until there is a point in stopping."""

    def __init__(self) -> None:
        self._found: list[str] = []

    def add(self, problem: str, remedy: str, *values: Any) -> None:
        """Note one.

        :param problem: what is wrong, naming the hosts.
        :param remedy: the variable to change, and how.
        :param values: the offending values as the inventory gave them, to say in which lines they stand.
        """
        places = ", ".join(dict.fromkeys(place for place in map(position, values) if place))
        self._found.append(f"{problem}; {remedy}{f' ({places})' if places else ''}")

    def add_found(self, error: PlanError) -> None:
        """Note what was found elsewhere, each once."""
        self._found += [problem for problem in error.problems if problem not in self._found]

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._found)

    @property
    def found(self) -> list[str]:
        """Each in words."""
        return list(self._found)

    def stop_if_any(self) -> None:
        """Raise what was found.

        :raises PlanError: if there was anything.
        """
        if self._found:
            raise PlanError(self._found)


def position(value: Any) -> str:
    """Where the inventory gave a value, as ``FILE:LINE``; "" when that is not known."""
    if Origin is not None:
        origin = Origin.get_tag(value)
        if origin is None or not origin.path:
            return ""
        return f"{origin.path}:{origin.line_num}" if origin.line_num else str(origin.path)
    path, line, _column = getattr(value, "ansible_pos", None) or ("", 0, 0)
    return f"{path}:{line}" if path else ""


def unknown_keys(given: Iterable[Any], known: Iterable[str]) -> list[tuple[Any, str]]:
    """Each key that is not known, with the remedy."""
    names = sorted(known)
    found = []
    for key in given:
        if key not in names:
            near = difflib.get_close_matches(str(key), names, 1)
            found.append((key, f"did you mean {near[0]}?" if near else f"known are: {', '.join(names)}"))
    return found
