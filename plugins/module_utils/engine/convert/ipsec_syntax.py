# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The syntax of ipsec.conf and ipsec.secrets, as FreeS/WAN had it and its heirs still do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import field

from ..newer_python import dataclass
from .files import Files
from .report import LOST, Entry, Refused, Report, is_secret, refuse

MAX_LINES = 500_000
MAX_ALSO = 64  # levels
MAX_INHERITED = 2_000_000  # options that sections take from others, in all
DEFAULT = "%default"

_OF_AN_END = re.compile(r"^(left|right)-(?=[a-z])")  # Libreswan reads left-subnet as leftsubnet
_SETTING = re.compile(r"([A-Za-z0-9_.-]+)\s*=\s*(.*)", re.DOTALL)


@dataclass(slots=True)
class Section:
    """``config setup``, ``conn NAME`` or ``ca NAME``.

    :ivar also: names of sections whose options it takes on.
    :ivar damage: the first of its lines that cannot be read.
    """

    kind: str
    name: str
    place: Entry
    options: dict[str, Entry] = field(default_factory=dict)
    also: list[Entry] = field(default_factory=list)
    damage: Refused | None = None


@dataclass(slots=True)
class Configuration:
    """All sections, in order; the parts of one that is written in several places are together."""

    sections: dict[tuple[str, str], Section] = field(default_factory=dict)

    def of(self, kind: str) -> dict[str, Section]:
        """The sections of a kind by name."""
        return {name: section for (found, name), section in self.sections.items() if found == kind}


def read(text: str, file: str, files: Files) -> Configuration:
    """The configuration with its includes.

    :raises InputError: naming file and line.
    """
    found = Configuration()
    _read_into(found, text, file, files)
    return found


def _read_into(found: Configuration, text: str, file: str, files: Files) -> None:
    section: Section | None = None
    for number, line in _lines(text, file):
        if line[0].isspace():
            try:
                _option(section, line.strip(), Entry("line", "", file, number, secret=True))
            except Refused as refused:
                _damage(section, refused)
            continue
        words = line.split()
        where = Entry(words[0], " ".join(words[1:]), file, number)
        if words[0] == "include" and len(words) > 1:
            for path, inner in files.included(Entry("include", _unquoted(where.value), file, number)):
                _read_into(found, inner, path, files)
            section = None
        elif words[0] in ("config", "conn", "ca") and len(words) > 1:
            name = _unquoted(where.value)
            section = found.sections.setdefault((words[0], name), Section(words[0], name, where))
            if name == where.value and len(words) > 2:
                _damage(section, refuse(where, "is more than one word", "put a name with blanks into quotes"))
        elif words[0] == "version" or (words[0] == "config" and len(words) == 1):
            section = None
        else:
            remedy = "write conn NAME, config setup or include FILE, and indent what belongs to it"
            # Somebody may have taken an ipsec.secrets for it.
            _damage(section, refuse(Entry("line", "", file, number, secret=True), "begins no section", remedy))


def _damage(section: Section | None, refused: Refused) -> None:
    """What cannot be read loses the section that it stands in; where it stands in none, this may be another file."""
    if section is None:
        raise refused
    section.damage = section.damage or refused


def _lines(text: str, file: str) -> Iterator[tuple[int, str]]:
    """(number, line without its comment) of each line that says something."""
    # No other character ends a line, or what follows it in a comment would be read as options.
    for number, raw in enumerate(text.split("\n"), 1):
        if number > MAX_LINES:
            raise refuse(Entry("file", "", file, number), f"has more than {MAX_LINES} lines", "give less")
        line = _without_comment(raw)
        if line.strip():
            yield number, line


def _without_comment(line: str) -> str:
    """The line without a comment; within quotes a # is text."""
    if "#" not in line:
        return line.rstrip()
    quoted = False
    for position, char in enumerate(line):
        if char == '"':
            quoted = not quoted
        elif char == "#" and not quoted and (position == 0 or line[position - 1].isspace()):
            return line[:position].rstrip()
    return line.rstrip()


def _option(section: Section | None, line: str, place: Entry) -> None:
    match = _SETTING.fullmatch(line)
    if match is None:
        raise refuse(place, "is no option", "write OPTION=VALUE")
    if section is None:
        raise refuse(place, "belongs to no section", "write it, indented, under conn NAME or config setup")
    option = _OF_AN_END.sub(r"\1", match[1].lower())
    value = _unquoted(match[2].strip())
    entry = Entry(match[1], value, place.file, place.line, is_secret(option, value))
    if option == "also":
        section.also.append(entry)
    else:
        section.options[option] = entry


def _unquoted(text: str) -> str:
    if len(text) > 1 and text[0] == text[-1] == '"':
        return text[1:-1].replace('\\"', '"')
    return text


def inherited(connections: dict[str, Section], report: Report) -> dict[str, dict[str, Entry]]:
    """The options of each connection with those of its ``also`` sections and of ``%default``.

    Without those that cannot be read, of which is told: a line in them is no option, ``also`` names nothing, or goes in
    a circle.

    :raises InputError: ``%default`` cannot be read, or more is taken from others in all than is read.
    """
    budget = [MAX_INHERITED]
    default = connections.get(DEFAULT)
    basis = _options(default, connections, (), budget) if default else {}
    found = {}
    for name, section in connections.items():
        if not name.startswith("%"):
            try:
                found[name] = _options(section, connections, (), budget)
            except Refused as refused:
                if budget[0] < 0:
                    raise
                report.tell(*refused.told(), tunnel=name)
                continue
            budget[0] -= len(basis)
            if budget[0] < 0:
                problem = f"more than {MAX_INHERITED} options are taken from others in all"
                raise refuse(section.place, problem, "say less in conn %default")
            for option, entry in basis.items():
                found[name].setdefault(option, entry)
    return found


def _options(
    section: Section, connections: dict[str, Section], opened: tuple[str, ...], budget: list[int]
) -> dict[str, Entry]:
    if section.damage is not None:
        raise section.damage
    options = dict(section.options)
    for also in section.also:
        if also.value not in connections:
            raise refuse(also, "names a section that is not there", "write the name of a conn section")
        if also.value in (*opened, section.name) or len(opened) > MAX_ALSO:
            raise refuse(also, "goes in a circle, or too deep", "take one also= out")
        more = _options(connections[also.value], connections, (*opened, section.name), budget)
        budget[0] -= len(more) + 1
        if budget[0] < 0:
            raise refuse(also, f"more than {MAX_INHERITED} options are taken from others in all", "use fewer also=")
        for option, entry in more.items():
            options.setdefault(option, entry)
    return options


# ipsec.secrets

_TOKEN = re.compile(r'"[^"]*"|\'[^\']*\'|\{|\}|[^\s{}"\']+')


@dataclass(slots=True)
class SecretLine:
    """One secret: whom it is for, its kind, and the words that follow, quotes included."""

    owners: list[str]
    kind: str
    words: list[str]
    place: Entry


def read_secrets(text: str, file: str, files: Files, report: Report) -> Iterator[SecretLine]:
    """The secrets of a file and those that it includes; a line that is none is told of, never what stands there.

    :raises InputError: naming file and line.
    """
    for number, tokens in _statements(text, file, report):
        place = Entry("secret", "", file, number, secret=True)
        if tokens[0] == "include":
            include = Entry("include", _plain(" ".join(tokens[1:])), file, number)
            for path, inner in files.included(include):
                yield from read_secrets(inner, path, files, report)
            continue
        colon = next((position for position, word in enumerate(tokens) if word == ":"), None)
        if colon is None or colon + 1 == len(tokens):
            remedy = 'write it such as: @ours.example @theirs.example : PSK "secret"'
            report.tell(place, LOST, "is no secret, and none is taken from it", remedy)
            continue
        owners = [_plain(token) for token in tokens[:colon]]
        kind, words = tokens[colon + 1], tokens[colon + 2 :]
        if kind[0] in "\"'":
            kind, words = "PSK", tokens[colon + 1 :]  # FreeS/WAN: without a word it is a shared key
        yield SecretLine(owners, kind.upper(), words, place)


def _statements(text: str, file: str, report: Report) -> Iterator[tuple[int, list[str]]]:
    """(line number, tokens): indented lines go on with the statement before them.

    A statement with a line that cannot be read is left out, and told of.
    """
    began = 0
    tokens: list[str] | None = []
    for number, line in _lines(text, file):
        if not line[0].isspace() and line[0] != "}":
            if tokens:
                yield began, tokens
            tokens = []
        place = Entry("secret", "", file, number, secret=True)
        if not tokens:
            began = number
        try:
            more = _secret_tokens(line, place)
        except Refused as refused:
            report.tell(place, LOST, f"the key is not taken, it {refused.problem}", refused.remedy)
            tokens = None
        tokens = None if tokens is None else tokens + more
    if tokens:
        yield began, tokens


def _secret_tokens(line: str, place: Entry) -> list[str]:
    rest = _TOKEN.sub("", line)
    if '"' in rest or "'" in rest:
        raise refuse(place, "has a quote that is not closed", "close it on the same line")
    tokens: list[str] = []
    for word in _TOKEN.findall(line):
        # A colon may stand at the end of the last owner.
        if len(word) > 1 and word.endswith(":") and word[0] not in "\"'" and not _is_address(word):
            tokens += [word[:-1], ":"]
        else:
            tokens.append(word)
    return tokens


def _is_address(token: str) -> bool:
    return re.fullmatch(r"[0-9a-fA-F:]+", token) is not None and token.count(":") > 1


def _plain(token: str) -> str:
    return token[1:-1] if len(token) > 1 and token[0] in "\"'" and token[-1] == token[0] else token
