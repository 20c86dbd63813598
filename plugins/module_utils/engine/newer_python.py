# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What newer Pythons can do, under its own names, for a gateway with Python 3.9.

When 3.9 is given up, the imports of this module go, and nothing else has to change.
"""

from __future__ import annotations

import builtins
import dataclasses
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Callable, TypeVar

T = TypeVar("T")

if TYPE_CHECKING or sys.version_info >= (3, 10):
    from dataclasses import dataclass
    from itertools import pairwise

    zip = builtins.zip
    bit_count = int.bit_count
else:

    def dataclass(slots: bool = False, **options: Any) -> Callable[[type[T]], type[T]]:
        """``dataclasses.dataclass``, always called with options; ``slots`` save memory from Python 3.10 on."""
        return dataclasses.dataclass(**options)

    def zip(*sources: Iterable[Any], strict: bool = False) -> Iterator[tuple[Any, ...]]:
        """The builtin ``zip``; ``strict`` sources must be of one length.

        :raises ValueError: where one of them is shorter.
        """
        return _strict_zip(sources) if strict else builtins.zip(*sources)

    def _strict_zip(sources: tuple[Iterable[Any], ...]) -> Iterator[tuple[Any, ...]]:
        end = object()
        iterators = [iter(source) for source in sources]
        while iterators:
            row = tuple([next(iterator, end) for iterator in iterators])
            ended = [value is end for value in row]
            if all(ended):
                return
            if any(ended):
                raise ValueError("zip() was given sources of different lengths")
            yield row

    def pairwise(source: Iterable[T]) -> Iterator[tuple[T, T]]:
        """Each value with the one after it."""
        values = list(source)
        return builtins.zip(values, values[1:])

    def bit_count(number: int) -> int:
        """How many bits of ``number`` are set."""
        return bin(number).count("1")


__all__ = ["bit_count", "dataclass", "pairwise", "zip"]
