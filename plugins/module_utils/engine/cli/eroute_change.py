# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The part of ``ipsec eroute`` that changes something: words into a decision, and the decision carried out."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial

from ..classic.eroute_words import (
    Words,
    build,
    check_family,
    check_owner,
    check_spi,
    read_direction,
    read_selector,
    read_target,
)
from ..classic.positional import parse_positional
from ..classic.shunt_plan import Plan, plan_add, plan_clear, plan_delete, plan_present
from ..classic.shunt_snapshot import Seen
from ..classic.shunt_wish import Wish
from ..classic.shunts import perform, show
from ..kernel.values import IN
from .common import UsageError, complain, show_json

INBOUND = ("addin", "replacein", "delin")
SETTING = ("add", "addin", "replace", "replacein")
REMOVING = ("del", "delin")
ACTIONS = (*SETTING, *REMOVING, "clear")

_OPTIONS = {
    "source": "--src",
    "destination": "--dst",
    "protocol": "--transport-proto",
    "source_port": "--src-port",
    "destination_port": "--dst-port",
    "family": "--eraf",
    "precedence": "--first or --specific",
}
# argparse's names of the options that say which packets, and those that say where to.
_PACKETS = {"eraf": "--eraf", "src": "--src", "dst": "--dst", "transport_proto": "--transport-proto",
            "src_port": "--src-port", "dst_port": "--dst-port"}  # fmt: skip
_TARGET = {"af": "--af", "edst": "--edst", "spi": "--spi", "proto": "--proto"}
_KIND = {"said": "--said", "first": "--first", "specific": "--specific", "direction": "--direction", "count": "--count"}

Decide = Callable[[Seen], Plan]


def option(field: str) -> str:
    """What a field is called on the command line."""
    return _OPTIONS.get(field, f"--{field}")


def change(action: str, given: argparse.Namespace, program: str) -> int:
    """Carry out ``--add`` and the like; returns the exit status.

    :raises EngineError: it cannot be done, and nothing changed.
    """
    owner = check_owner(given.owner, "--owner")
    plan = perform(given.runtime_dir, _decision(action, given, owner))
    before, after = show(plan)
    if given.debug:
        for sign, text in (("-", before), ("+", after)):
            for line in text.splitlines():
                complain(f"{program}: {sign} {line}")
    for warning in plan.warnings:
        complain(f"{program}: {warning}")
    if given.json:
        show_json({"changed": plan.changed, "before": before.splitlines(), "after": after.splitlines()})
    return 0


def _decision(action: str, given: argparse.Namespace, owner: str) -> Decide:
    if action == "clear":
        _refuse(given, action, _PACKETS | _TARGET | _KIND)
        return partial(plan_clear, owner=owner)
    words = Words(given.src, given.dst, given.transport_proto, given.src_port, given.dst_port, given.eraf)
    selector = read_selector(words, option)
    if action in REMOVING:
        # Scripts for the classic tool name the target here too; it says nothing that the packets do not.
        _refuse(given, action, {name: text for name, text in _KIND.items() if name != "said"})
        line = f"{given.src} -> {given.dst}"
        return partial(plan_delete, key=(selector, action in INBOUND), line=line, owner=owner)
    target = _target(given)
    check_family(given.said, selector, "--said")
    direction = _direction(action, target[0], given)
    first = True if given.first else False if given.specific else None
    wish = Wish(build(selector, target, direction, owner), option, first, True if given.count else None)
    if action in ("add", "addin"):
        return partial(plan_add, wish=wish, owner=owner)
    return partial(plan_present, wishes=[wish], owner=owner)


def _direction(action: str, kind: str, given: argparse.Namespace) -> str:
    if action in INBOUND:
        if given.direction is not None:
            raise UsageError(f"--direction: means nothing to --{action}")
        return read_direction(IN, kind, f"--{action}")
    if given.direction == IN:
        raise UsageError(f"--direction: {IN} is written --{action}in")
    return read_direction(given.direction, kind, "--direction")


def _target(given: argparse.Namespace) -> tuple[str, str]:
    """(action, SAID) of either form."""
    named = [text for name, text in _TARGET.items() if getattr(given, name) is not None]
    if given.said is not None:
        if named:
            raise UsageError(f"{named[0]}: cannot stand beside --said; name the SA in one way")
        return read_target(given.said, "--said")
    if len(named) < len(_TARGET):
        missing = [text for text in _TARGET.values() if text not in named]
        raise UsageError(f"no target: give --said, or {', '.join(missing)}{' too' if named else ''}")
    (said,) = parse_positional((given.af, given.edst, given.spi, given.proto), "--af --edst --spi --proto")
    return check_spi(said, "--spi")


def first_of_change(given: argparse.Namespace) -> str | None:
    """The first option that says something about a change, None where there is none."""
    return _first(given, _PACKETS | _TARGET | _KIND)


def _refuse(given: argparse.Namespace, action: str, names: dict[str, str]) -> None:
    text = _first(given, names)
    if text:
        raise UsageError(f"{text}: means nothing to --{action}")


def _first(given: argparse.Namespace, names: dict[str, str]) -> str | None:
    return next((text for name, text in names.items() if getattr(given, name) not in (None, False)), None)
