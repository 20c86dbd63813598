# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The syntax of swanctl.conf (strongswan.conf(5)): sections, settings, references and includes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import field
from itertools import chain
from typing import NamedTuple

from ..newer_python import dataclass
from .files import Files
from .report import Entry, Refused, is_secret, refuse

MAX_DEPTH = 32
MAX_INHERITED = 50_000

_NAME = re.compile(r'[^#{}:,="\s]+')
_WORD = re.compile(r'[^#}"\r\n\t ]+')
_PATTERN = re.compile(r'(?:\\["#} ]|[^"#}\s\\]|\\)+')
_BEFORE_PATTERN = re.compile(r"[\t ]+(?=[^\s=])")
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}


@dataclass(slots=True)
class Section:
    """A section with what stands in it.

    :ivar settings: options by name; ``sections`` likewise.
    :ivar references: sections whose contents it takes on, as dotted names.
    :ivar damage: what in it cannot be read, or why it cannot take on what it refers to.
    """

    place: Entry
    settings: dict[str, Entry] = field(default_factory=dict)
    sections: dict[str, Section] = field(default_factory=dict)
    references: list[Entry] = field(default_factory=list)
    damage: Refused | None = None


class _Token(NamedTuple):
    kind: str  # name, value, quoted, {, }, :, ",", include, newline
    text: str
    line: int


def read(text: str, file: str, files: Files) -> Section:
    """The whole configuration as one section.

    :raises InputError: naming file and line.
    """
    root = Section(Entry("configuration", "", file, 1))
    _read_into(root, text, file, files)
    return root


def _read_into(root: Section, text: str, file: str, files: Files) -> None:
    stack = [root]
    tokens = _tokens(text, file)
    for token in tokens:
        if token.kind == "newline":
            continue
        # Behind a stray equals sign a secret may stand.
        where = Entry(_HIDDEN.get(token.kind, token.text), "", file, token.line)
        if token.kind == "}":
            if len(stack) == 1:
                raise refuse(where, "closes a section that is not open", "take the brace out")
            stack.pop()
        elif token.kind == "include":
            for path, inner in files.included(Entry("include", token.text, file, token.line)):
                _read_into(stack[-1], inner, path, files)
        elif token.kind == "name":
            _setting_or_section(token, tokens, stack, file)
        else:
            problem = "stands where a name is expected" if token.kind == "quoted" else "is not expected here"
            _damage(stack, refuse(where, problem, "write NAME = VALUE, or NAME { … }"))
    if len(stack) > 1:
        # Within secrets a word before a brace may be one.
        hidden = Entry(stack[1].place.option, "", file, stack[-1].place.line)
        raise refuse(hidden if _holds_secrets(stack) else stack[-1].place, "is not closed", "add a closing brace")


def _setting_or_section(name: _Token, tokens: Iterator[_Token], stack: list[Section], file: str) -> None:
    place = Entry(name.text, "", file, name.line)
    references: list[Entry] = []
    expected: tuple[str, ...] = ("value", "{", ":", "newline")
    for token in tokens:
        if token.kind not in expected:
            break
        if token.kind == "value":
            entry = Entry(name.text, token.text, file, name.line, is_secret(name.text, token.text))
            stack[-1].settings[name.text] = entry
            return
        if token.kind == "{":
            if len(stack) > MAX_DEPTH:
                raise refuse(place, f"is more than {MAX_DEPTH} sections deep", "nest less")
            section = stack[-1].sections.setdefault(name.text, Section(place))
            section.references += references
            stack.append(section)
            return
        if token.kind == "name":
            references.append(Entry(f"{name.text} :", token.text, file, token.line, _holds_secrets(stack)))
        expected = _AFTER[token.kind]
    else:
        token = _Token("newline", "", name.line)
    # It may be a secret without its name.
    word = Entry("a word", "", file, name.line)
    _damage(stack, refuse(word, "is neither a setting nor a section", "write NAME = VALUE, or NAME { … }"))
    _pass_over(chain((token,), tokens), stack, place)


def _damage(stack: list[Section], refused: Refused) -> None:
    """What cannot be read loses the section that it stands in, unless that is all connections, or all secrets."""
    if len(stack) < 3:
        raise refused
    stack[-1].damage = stack[-1].damage or refused


def _pass_over(tokens: Iterator[_Token], stack: list[Section], place: Entry) -> None:
    """Go on behind the line that cannot be read, or where a section begins or ends in it."""
    for token in tokens:
        if token.kind == "}":
            stack.pop()
        elif token.kind == "{":
            stack.append(Section(place))
        if token.kind in ("}", "{", "newline"):
            return


def _holds_secrets(stack: list[Section]) -> bool:
    """Whether what stands here is of the section of secrets."""
    return len(stack) > 1 and stack[1].place.option == "secrets"


# Whose text may be a secret.
_HIDDEN = {"value": "a value", "quoted": "text in quotes"}
# What may follow in the head of a section.
_AFTER: dict[str, tuple[str, ...]] = {":": ("name", "newline"), ",": ("name", "newline"), "name": (",", "{", "newline")}
_AFTER["newline"] = ("{", "name", "newline")


def _tokens(text: str, file: str) -> Iterator[_Token]:
    position, line = 0, 1
    while position < len(text):
        char = text[position]
        if char == "\n":
            yield _Token("newline", "", line)
            position, line = position + 1, line + 1
        elif char.isspace():
            position += 1
        elif char == "#":
            end = text.find("\n", position)
            position = len(text) if end < 0 else end
        elif char in "{}:,":
            yield _Token(char, char, line)
            position += 1
        elif char == "=":
            began = line
            value, position, line = _value(text, position + 1, line, file)
            yield _Token("value", value, began)
        elif char == '"':
            began = line
            word, position, line = _quoted(text, position + 1, line, file)
            yield _Token("quoted", word, began)
        else:
            match = _NAME.match(text, position)
            word = match[0] if match else char
            position += len(word)
            pattern = _BEFORE_PATTERN.match(text, position) if word == "include" else None
            if pattern is not None:
                word, position = _include(text, pattern.end(), line, file)
                yield _Token("include", word, line)
            else:
                yield _Token("name", word, line)


def _value(text: str, position: int, line: int, file: str) -> tuple[str, int, int]:
    """What follows an equals sign: words and quoted texts, to the end of the line, a comment or a brace."""
    parts: list[str] = []
    while position < len(text) and text[position] not in "\n#}":
        if text[position] == '"':
            part, position, line = _quoted(text, position + 1, line, file)
            parts.append(part)
        elif match := _WORD.match(text, position):
            parts.append(match[0])
            position = match.end()
        else:
            position += 1
    return " ".join(parts), position, line


def _quoted(text: str, position: int, line: int, file: str) -> tuple[str, int, int]:
    began = line
    found: list[str] = []
    while position < len(text):
        char = text[position]
        if char == '"':
            return "".join(found), position + 1, line
        if char == "\\" and position + 1 < len(text):
            position += 1
            char = text[position]
            # A backslash before the end of a line joins the lines.
            found.append("" if char == "\n" else _ESCAPES.get(char, char))
        else:
            found.append(char)
        line += char == "\n"
        position += 1
    raise refuse(Entry("text in quotes", "", file, began), "is not closed", 'add a closing "')


def _include(text: str, position: int, line: int, file: str) -> tuple[str, int]:
    if text[position] == '"':
        pattern, position, _line = _quoted(text, position + 1, line, file)
        return pattern, position
    match = _PATTERN.match(text, position)
    if match is None:
        raise refuse(Entry("include", "", file, line), "names no file", "write include FILE")
    return re.sub(r'\\(["#} ])', r"\1", match[0]), match.end()


def resolve(root: Section) -> set[str]:
    """Give every section what those it refers to have; its own counts more, then the first named.

    A section that refers to nothing, or in a circle, has its :attr:`Section.damage` then.

    :returns: names of the outermost sections that others refer to.
    :raises InputError: more than :data:`MAX_INHERITED` settings are inherited in all.
    """
    inheritance = _Inheritance(root)
    inheritance.resolve(root, ())
    return inheritance.used


class _Inheritance:
    def __init__(self, root: Section) -> None:
        self._root = root
        self._left = MAX_INHERITED
        self.used: set[str] = set()

    def resolve(self, section: Section, opened: tuple[int, ...]) -> None:
        if section.damage is not None:
            raise section.damage
        if id(section) in opened or len(opened) > MAX_DEPTH * 2:
            raise refuse(section.place, "refers to itself, or to others too deeply", "take the circle out")
        opened = (*opened, id(section))
        for reference in section.references:
            source = self._find(reference)
            self.resolve(source, opened)
            self._inherit(section, source, reference)
        section.references = []
        for inner in list(section.sections.values()):
            try:
                self.resolve(inner, opened)
            except Refused as refused:
                if self._left < 0:
                    raise
                inner.damage = refused

    def _find(self, reference: Entry) -> Section:
        section = self._root
        self.used.add(reference.value.partition(".")[0])
        for name in reference.value.split("."):
            if name not in section.sections:
                remedy = "write its full name, such as connections.base"
                raise refuse(reference, "refers to a section that is not there", remedy)
            section = section.sections[name]
        return section

    def _inherit(self, section: Section, source: Section, reference: Entry) -> None:
        self._left -= len(source.settings) + 1
        if self._left < 0:
            raise refuse(reference, f"more than {MAX_INHERITED} settings are inherited in all", "refer to less")
        for name, entry in source.settings.items():
            section.settings.setdefault(name, entry)
        for name, inner in source.sections.items():
            own = section.sections.setdefault(name, Section(inner.place))
            own.damage = own.damage or inner.damage
            self._inherit(own, inner, reference)
