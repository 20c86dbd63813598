# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Definitions for many peers by their patterns of identities: found for one identity without looking at the others."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator

from ..identity import Identity
from ..identity_pattern import IdentityPattern, Parts, Shape, parts_of
from .connection import Connection

_Entry = tuple[Hashable, Parts]


class PatternIndex:
    """The definitions by which parts their patterns fix, then by what these parts are.

    Work grows with the different shapes of patterns, of which a host has few, however many definitions it has.
    """

    def __init__(self) -> None:
        self._by_shape: dict[Shape, dict[_Entry, dict[str, Connection]]] = {}

    def __bool__(self) -> bool:
        return bool(self._by_shape)

    def put(self, pattern: IdentityPattern, keys: Iterable[Hashable], connection: Connection) -> None:
        """Enter a definition, to be found by any of these keys and an identity that the pattern stands for."""
        entries = self._by_shape.setdefault(pattern.shape, {})
        for key in keys:
            entries.setdefault((key, pattern.shape.of(pattern.parts)), {})[connection.name] = connection

    def remove(self, pattern: IdentityPattern, keys: Iterable[Hashable], name: str) -> None:
        """Forget it."""
        entries = self._by_shape[pattern.shape]
        for key in keys:
            entry = key, pattern.shape.of(pattern.parts)
            del entries[entry][name]
            if not entries[entry]:
                del entries[entry]
        if not entries:
            del self._by_shape[pattern.shape]

    def fitting(self, identity: Identity, keys: Iterable[Hashable]) -> Iterator[Connection]:
        """The definitions of any of these keys that an identity fits; those that fix most of it come first."""
        parts = parts_of(identity) or ()
        keys = list(keys)
        fit = [shape for shape in self._by_shape if (shape.type, shape.parts) in ((identity.type, len(parts)), (0, 0))]
        for shape in sorted(fit, key=lambda one: len(one.places), reverse=True):
            for key in keys:
                for connection in self._by_shape[shape].get((key, shape.of(parts)), {}).values():
                    if connection.pattern is not None and connection.pattern.matches(identity):
                        yield connection
