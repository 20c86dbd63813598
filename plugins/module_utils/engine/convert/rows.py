# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows of mapping tables: where an option of another program goes, or what is told when it goes nowhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any, NamedTuple, Union

from .report import IGNORED, LOST, SKIPPED, Entry, Report, Unfit, is_foreign

Tell = Callable[[str, str, str], None]  # severity, instead, remedy
Reader = Callable[[str, Tell], Any]


class Carried(NamedTuple):
    """An option that has a place in the definition.

    :ivar path: of the option in the definition, or of several between blanks; ``{side}`` is local or remote.
    :ivar read: from the text to the value; None leaves the option out. Raises :class:`Unfit`.
    """

    path: str
    read: Reader


class Left(NamedTuple):
    """An option that has none.

    :ivar harmless: values with which leaving it out changes nothing.
    :ivar silent: values that say what holds here anyway, of which nothing is told.
    """

    severity: str
    instead: str
    remedy: str = ""
    harmless: tuple[str, ...] = ()
    silent: tuple[str, ...] = ()


Row = Union[Carried, Left]
Rows = Mapping[str, Row]


class Part:
    """A tunnel or child that is being put together from options.

    :param label: what notes call it.
    """

    def __init__(self, label: str, place: Entry, report: Report) -> None:
        self.label = label
        self.place = place
        self.document: dict[str, Any] = {}
        self.skipped = False
        self._report = report

    def tell(self, entry: Entry, severity: str, instead: str, remedy: str = "") -> None:
        """Note something; SKIPPED also ends the hope for this part."""
        self.skipped |= severity == SKIPPED
        self._report.tell(entry, severity, instead, remedy, self.label)

    def take(self, rows: Rows, key: str, entry: Entry, side: str = "") -> None:
        """Do with an option what its row says.

        :param key: the option's name in the table.
        """
        row = rows.get(key)
        if isinstance(row, Carried) and is_foreign(entry.value):
            self.tell(entry, SKIPPED, "is not UTF-8 text", "convert the file to UTF-8, if that is what the peer has")
        elif row is None:
            near = get_close_matches(key, rows, 1)
            remedy = f"did you mean {near[0]}?" if near else "look up what it does, and whether you need it"
            self.tell(entry, LOST, "is not an option that this converter knows", remedy)
        elif isinstance(row, Carried):
            self._carry(row, entry, side)
        elif entry.value.lower() not in row.silent:
            harmless = entry.value.lower() in row.harmless
            self.tell(entry, IGNORED if harmless else row.severity, row.instead, "" if harmless else row.remedy)

    def _carry(self, row: Carried, entry: Entry, side: str) -> None:
        def tell(severity: str, instead: str, remedy: str) -> None:
            self.tell(entry, severity, instead, remedy)

        try:
            value = row.read(entry.value, tell)
        except Unfit as unfit:
            self.tell(entry, unfit.severity, unfit.instead, unfit.remedy)
        else:
            for path in row.path.format(side=side).split() if value is not None else ():
                put(self.document, path, value)


def put(document: dict[str, Any], path: str, value: Any) -> None:
    """Set the option at a dotted path."""
    *outer, last = path.split(".")
    for key in outer:
        document = document.setdefault(key, {})
    document[last] = value
