# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""XML read with care: no entities, no file fetched, bounded in size and depth, and every element knows its line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import field
from xml.parsers import expat

from ..newer_python import dataclass
from .report import Entry, is_foreign, is_secret, refuse

MAX_DEPTH = 32
MAX_ELEMENTS = 500_000

_DECLARATION = re.compile(r"\A\s*(<\?xml\s[^>]*\?>)?")


@dataclass(slots=True)
class Element:
    """An element.

    :ivar attributes: in the order written; ``remarks`` are its processing instructions as (target, text, line).
    """

    tag: str
    file: str
    line: int
    attributes: dict[str, str] = field(default_factory=dict)
    children: list[Element] = field(default_factory=list)
    remarks: list[tuple[str, str, int]] = field(default_factory=list)

    def entry(self, attribute: str = "", secret: bool = False) -> Entry:
        """One of its attributes, or the element itself, as an option of the file."""
        value = self.attributes.get(attribute, "")
        return Entry(attribute or self.tag, value, self.file, self.line, secret or is_secret(attribute, value))

    def all(self, tag: str) -> Iterator[Element]:
        """Its children of that name."""
        return (child for child in self.children if child.tag == tag)

    def first(self, tag: str) -> Element | None:
        """The first of them."""
        return next(self.all(tag), None)


class _Reader:
    def __init__(self, file: str) -> None:
        self.file = file
        self.root: Element | None = None
        self.parser = expat.ParserCreate("utf-8")
        self.parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
        self.parser.StartDoctypeDeclHandler = self._doctype
        self.parser.EntityDeclHandler = self._entity
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._text
        self.parser.ProcessingInstructionHandler = self._remark
        self._open: list[Element] = []
        self._count = 0

    def _here(self, what: str) -> Entry:
        return Entry(what, "", self.file, self.parser.CurrentLineNumber)

    def _doctype(self, name: str, system: str | None, public: str | None, internal: int) -> None:
        # A reference to a DTD elsewhere is passed over, and never fetched.
        if internal:
            raise refuse(self._here("DOCTYPE"), "declares something inside of the file", "take the declarations out")

    def _entity(self, *_declaration: object) -> None:
        raise refuse(self._here("ENTITY"), "declares an entity", "write its text in its place")

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        self._count += 1
        # An empty attribute is as good as none.
        given = {name: value for name, value in attributes.items() if value.strip()}
        element = Element(tag, self.file, self.parser.CurrentLineNumber, given)
        if self._count > MAX_ELEMENTS or len(self._open) >= MAX_DEPTH:
            raise refuse(element.entry(), "is one element too many, or too deep", "divide the file")
        if self._open:
            self._open[-1].children.append(element)
        else:
            self.root = element
        self._open.append(element)

    def _end(self, tag: str) -> None:
        self._open.pop()

    def _text(self, text: str) -> None:
        if text.strip():
            raise refuse(self._here("text"), "stands between elements, where none belongs", "take it out")

    def _remark(self, target: str, text: str) -> None:
        if self._open:
            self._open[-1].remarks.append((target, text, self.parser.CurrentLineNumber))


def read(text: str, file: str) -> Element:
    """The outermost element.

    :raises InputError: it is no XML, or more than is read; naming file and line.
    """
    if is_foreign(text):
        # An attribute may be a name, a network or a key, and no line can be lost by itself.
        line = next(number for number, each in enumerate(text.split("\n"), 1) if is_foreign(each))
        raise refuse(Entry("XML", "", file, line), "is not UTF-8 text", "convert the file to UTF-8")
    reader = _Reader(file)
    # The text was decoded already, whatever encoding its first line names; the lines keep their numbers.
    bare = _DECLARATION.sub(lambda match: "\n" * match[0].count("\n"), text, count=1)
    try:
        reader.parser.Parse(bare.encode("utf-8", "replace"), True)
    except expat.ExpatError as exc:
        problem = expat.ErrorString(exc.code)
        raise refuse(Entry("XML", "", file, exc.lineno), f"is not well-formed ({problem})", "correct it") from None
    if reader.root is None:
        raise refuse(Entry("XML", "", file, 1), "has no element", "give a file of ikedb -g")
    return reader.root


def escaped(text: str) -> str:
    """The text as the value of an attribute in double quotes."""
    shown = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
    return "".join(char if char >= " " else f"&#{ord(char)};" for char in shown)
