# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the classic command lines share: how they fail, and ``key=value`` words."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, NoReturn

from ..errors import EngineError, InputError, a_few

# sysexits.h, beyond what counts lost packets.
USAGE = 64
UNAVAILABLE = 69
INTERRUPTED = 130

# A SAID is none, though its SPI looks like the beginning of a key.
_KEY = re.compile(r"\b(?:0[xXsS][^\s,@'\"]{11,}|[0-9a-fA-F]{24,})")
_UNKNOWN = "unrecognized arguments: "
_SUPERFLUOUS = re.compile(r"(?<=ignored explicit argument ).*", re.DOTALL)


def guarded(name: str, work: Callable[[], int], usage: int, failure: int) -> int:
    """Run ``work`` and turn what goes wrong into one line on stderr and an exit status.

    :param usage: the status for wrong words; ``failure``: for everything else that is not a success.
    """
    try:
        status = work()
        sys.stdout.flush()
        return status
    except (InputError, UsageError) as error:
        complain(f"{name}: {without_keys(str(error))}")
        return usage
    except EngineError as error:
        complain(f"{name}: {error}")
        return failure
    except BrokenPipeError:
        # Whoever read our output has seen enough; keep the interpreter from complaining when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return INTERRUPTED


def program_of(name: str, words: Sequence[str]) -> str:
    """What the messages of a classic command begin with: they repeat its label, so that scripts tell runs apart."""
    for number, word in enumerate(words):
        option, equals, text = word.partition("=")
        if option == "--label":
            label = [text] if equals else words[number + 1 :][:1]
            return " ".join([name, *(["--label", *label] if label else [])])
    return name


def check_label(label: str | None) -> None:
    """Refuse a label that says nothing.

    :raises UsageError: it is empty.
    """
    if label == "":
        raise UsageError("--label: is empty; give a text, or leave it out")


class UsageError(EngineError):
    """Words that do not make a command line."""


class Parser(argparse.ArgumentParser):
    """Parser of dashed options that raises what is wrong, so that each command has its own exit status."""

    def error(self, message: str) -> NoReturn:
        """Raise instead of exiting.

        :raises UsageError: always.
        """
        if message.startswith(_UNKNOWN):
            message = _UNKNOWN + _without_values(message[len(_UNKNOWN) :].split())
        raise UsageError(f"{_SUPERFLUOUS.sub('…', message)}; see {self.prog} --help")


def without_keys(text: str) -> str:
    """A message about words of the command line, where a key may stand in any place."""
    return _KEY.sub("(a key)", text)


def _without_values(words: Iterable[str]) -> str:
    """Unknown words, without what may be a secret: behind an equals sign, or behind an option that is misspelt."""
    shown, behind = [], False
    for word in words:
        name, equals, _value = word.partition("=")
        behind = behind or word.startswith("-")
        shown.append(f"{name}=…" if equals else word if word.startswith("-") or not behind else "…")
    return " ".join(shown)


def say(text: str) -> None:
    """Write a line to stdout."""
    sys.stdout.write(f"{text}\n")


def complain(text: str) -> None:
    """Write a line to stderr."""
    sys.stderr.write(f"{text}\n")


def show_json(value: Any) -> None:
    """Print plain data for machines."""
    say(json.dumps(value, indent=2, ensure_ascii=False))


def read_words(words: Sequence[str], known: Mapping[str, bool]) -> dict[str, str]:
    """Read ``key=value`` words and bare flags, in any order.

    :param known: word to whether it takes a value.
    :returns: the words given, flags with an empty value.
    :raises InputError: an unknown word, one given twice, one without a value it needs or with one it does not take.
    """
    found: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if key not in known:
            raise InputError(key or "=", None, "is not a word of this command", nearest(key, known))
        if key in found:
            raise InputError(key, word, "is given twice", "give it once")
        if known[key] != bool(equals and value):
            problem = "needs a value" if known[key] else "takes no value"
            raise InputError(key, None, problem, f"write {key}=VALUE" if known[key] else f"write {key} alone")
        found[key] = value
    return found


def nearest(word: str, known: Sequence[str] | Mapping[str, Any]) -> str:
    """The remedy for an unknown word: the nearest known one, or all of them."""
    near = get_close_matches(word, list(known), 1)
    return f"did you mean {near[0]}?" if near else f"known are: {a_few(known)}"


def exclusive(found: Mapping[str, str], *groups: Sequence[str]) -> None:
    """Refuse words that exclude each other: at most one of each group may be given.

    :raises InputError: naming both.
    """
    for group in groups:
        given = [key for key in group if key in found]
        if len(given) > 1:
            # A bare flag has nothing to show.
            value = found[given[1]] or None
            raise InputError(given[1], value, f"cannot stand beside {given[0]}", "leave out one of both")


_LONGEST = 100_000


def parse_numbers(text: str, field: str = "numlist") -> list[int]:
    """Read numbers and ranges such as ``1,3,5-7``, each number once, in the order given.

    :raises InputError: naming ``field``.
    """
    numbers: dict[int, None] = {}
    for item in text.split(","):
        low, dash, high = item.partition("-")
        if not _number(low) or (dash and not _number(high)):
            raise InputError(field, text, f"{item!r} is not a number or range", "write numbers such as 1,3,5-7")
        first, last = int(low), int(high or low)
        if not 1 <= first <= last:
            raise InputError(
                field, text, f"{item!r} runs backwards or begins at 0", "write the lower number first, from 1"
            )
        if last - first >= _LONGEST:
            raise InputError(field, text, f"{item!r} is too long", f"a range has at most {_LONGEST} numbers")
        numbers.update(dict.fromkeys(range(first, last + 1)))
    return list(numbers)


def write_numbers(numbers: Iterable[int]) -> str:
    """Numbers as :func:`parse_numbers` reads them, in ascending order; of very many just the first."""
    ranges: list[list[int]] = []
    for number in sorted(numbers):
        if ranges and number <= ranges[-1][-1] + 1:
            ranges[-1] = [ranges[-1][0], number]
        else:
            ranges.append([number])
    return a_few(("-".join(map(str, each)) for each in ranges), ",")


def _number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 10
