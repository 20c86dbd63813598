# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looking payloads up by what they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

from ...errors import IkeError
from ..budget import INVALID_SYNTAX
from .cert import CERT, CERTREQ
from .delete import Delete
from .notify import Notify
from .unknown import Unknown
from .vendor import VendorID

_MANY = (Notify, CERT, CERTREQ, Delete, VendorID, Unknown)

P = TypeVar("P")


class Payloads:
    """The payloads of one message, indexed once; every look-up is then O(1).

    :param payloads: the values in order.
    :raises IkeError: INVALID_SYNTAX when one that may occur once is there again.
    """

    __slots__ = ("_by_class", "_notifies", "values")

    def __init__(self, payloads: Iterable[Any]) -> None:
        self.values = tuple(payloads)
        by_class: dict[type, list[Any]] = {}
        notifies: dict[int, list[Notify]] = {}
        for payload in self.values:
            kind = type(payload)
            if kind is Notify:
                notifies.setdefault(payload.type, []).append(payload)
            same = by_class.setdefault(kind, [])
            if same and kind not in _MANY:
                raise IkeError(INVALID_SYNTAX, f"more than one {kind.__name__} payload")
            same.append(payload)
        self._by_class = by_class
        self._notifies = notifies

    def __iter__(self) -> Iterator[Any]:
        return iter(self.values)

    def __len__(self) -> int:
        return len(self.values)

    def __contains__(self, kind: type) -> bool:
        return kind in self._by_class

    def one(self, kind: type[P]) -> P | None:
        """The first payload of this class, None when there is none."""
        found: list[P] | None = self._by_class.get(kind)
        return found[0] if found else None

    def need(self, kind: type[P]) -> P:
        """The first payload of this class.

        :raises IkeError: INVALID_SYNTAX when there is none.
        """
        found: list[P] | None = self._by_class.get(kind)
        if not found:
            raise IkeError(INVALID_SYNTAX, f"the {kind.__name__} payload is missing")
        return found[0]

    def lacking(self, kinds: Iterable[type]) -> type | None:
        """The first of these classes of which there is no payload; None where there is one of each."""
        for kind in kinds:
            if kind not in self._by_class:
                return kind
        return None

    def all(self, kind: type[P]) -> tuple[P, ...]:
        """All payloads of this class, in order."""
        return tuple(self._by_class.get(kind, ()))

    def notify(self, number: int) -> Notify | None:
        """The first notify of this type, None when there is none."""
        found = self._notifies.get(number)
        return found[0] if found else None

    def notifies(self, number: int) -> tuple[Notify, ...]:
        """All notifies of this type, in order."""
        return tuple(self._notifies.get(number, ()))

    def need_notify(self, number: int) -> Notify:
        """The first notify of this type.

        :raises IkeError: INVALID_SYNTAX when there is none.
        """
        return _there(self.notify(number))

    def need_error(self) -> Notify:
        """The first notify that reports an error.

        :raises IkeError: INVALID_SYNTAX when there is none.
        """
        return _there(self.error())

    def error(self) -> Notify | None:
        """The first notify that reports an error, None when there is none."""
        for found in self._notifies.values():
            if found[0].is_error:
                return found[0]
        return None


def _there(notify: Notify | None) -> Notify:
    if notify is None:
        raise IkeError(INVALID_SYNTAX, "the notify is missing")
    return notify
