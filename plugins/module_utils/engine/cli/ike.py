# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``ike cmd=…``: start, list and end tunnels with the classic words, through the tunnel manager."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches
from typing import Any, NamedTuple

from ..errors import InputError
from ..identity import ID_IPV4_ADDR, ID_IPV6_ADDR, Identity
from ..manager.client import DEFAULT_CONTROL, Client
from .common import Parser, UsageError, complain, exclusive, guarded, parse_numbers, read_words, say, show_json
from .tunnels import long_form, short_form

_USAGE_ERROR = 2
_FAILURE = 1
_VERSION = "ike of fleet.ipsec"
_PHASES = {"1": 1, "2": 2}
_ROLES = {"i": "initiator", "r": "responder"}
_HELP = """\
usage: ike cmd=activate [phase=1|2] numlist=LIST | namelist=NAMES | ipaddr=LOCAL,REMOTE | remid=ID | autostart
       ike cmd=list     [phase=1|1+|2] [numlist=LIST] [db | role=i|r] [verbose]
       ike cmd=remove   [phase=1|2] [numlist=LIST | all] [db]
       ike cmd=log      [level=error|warning|info|debug]
       with any of them: --json (print the manager's answer), --control SOCKET, --help, --version

A tunnel has two phases: phase 1 is the IKE SA between two gateways, phase 2 the Child SAs under it that carry the
traffic. Tunnels are defined in a database (by the Ansible module ipsec_tunnel); the tunnel manager runs those that
were activated. LIST is numbers such as 1,3,5-7, as cmd=list shows them.

cmd=activate   starts tunnels and returns as soon as negotiation has begun; cmd=list tells what came of it.
               Without phase both phases are started; phase=1 only the IKE SA; phase=2 the Child SAs, and the IKE SA
               before if it is not up. numlist= takes the numbers of cmd=list db.
               namelist= names tunnels, ipaddr= the two addresses of a tunnel whose identities are addresses,
               remid= the peer's identity, autostart every tunnel defined to start by itself.
cmd=list       shows the tunnels that the manager runs; with db those in the database.
               phase=1 IKE SAs only; phase=1+ each followed by its Child SAs (the default); phase=2 each Child SA
               preceded by its IKE SA. role=i: started here, role=r: by the peer. verbose: everything known.
cmd=remove     ends running tunnels: those in numlist, or all of them; phase=2 keeps the IKE SA.
               With db it deletes their definitions, too, and then wants numlist or the word all.
cmd=log        shows or sets how much the manager logs.

exit status: 0 done, 1 the manager refused or is not there, 2 wrong words.
"""


class _Command(NamedTuple):
    """A value of ``cmd=``.

    :ivar words: word to whether it takes a value.
    :ivar groups: words of which one at most may be given.
    """

    run: Callable[[Client, dict[str, str], bool], None]
    words: dict[str, bool]
    groups: tuple[tuple[str, ...], ...] = ()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    return guarded("ike", lambda: _run(words), _USAGE_ERROR, _FAILURE)


def _run(arguments: list[str]) -> int:
    parser = Parser(prog="ike", usage="ike cmd=activate|list|remove|log ...", add_help=False)
    parser.add_argument("words", nargs="*")
    for option in ("--json", "--help", "-h", "--version"):
        parser.add_argument(option, action="store_true")
    parser.add_argument("--control", default=DEFAULT_CONTROL)
    given = parser.parse_intermixed_args(arguments)
    if given.help or given.h:
        sys.stdout.write(_HELP)
        return 0
    if given.version:
        say(_VERSION)
        return 0
    command, words = _command(given.words)
    with Client(given.control) as client:
        command.run(client, words, given.json)
    return 0


def _command(words: list[str]) -> tuple[_Command, dict[str, str]]:
    named = [word for word in words if word.startswith("cmd=")]
    if len(named) != 1:
        raise UsageError(f"say once what to do: {', '.join(f'cmd={name}' for name in COMMANDS)}; see ike --help")
    name = named[0].removeprefix("cmd=")
    if name not in COMMANDS:
        near = get_close_matches(name, COMMANDS, 1) or [" | ".join(COMMANDS)]
        raise InputError("cmd", name, "is no command", f"did you mean {near[0]}?")
    command = COMMANDS[name]
    found = read_words([word for word in words if word != named[0]], command.words)
    exclusive(found, *command.groups)
    return command, found


def _choice(words: dict[str, str], key: str, choices: dict[str, Any]) -> Any:
    if key not in words:
        return None
    if words[key] not in choices:
        raise InputError(key, words[key], "is not one of the choices", f"write {key}={'|'.join(choices)}")
    return choices[words[key]]


def _tunnels(client: Client, source: str, **params: Any) -> list[dict[str, Any]]:
    tunnels: list[dict[str, Any]] = client.call("tunnels.list", {"source": source, **params})["tunnels"]
    return tunnels


# cmd=list


def _list(client: Client, words: dict[str, str], as_json: bool) -> None:
    source = "database" if "db" in words else "manager"
    phase = _choice(words, "phase", {"1": "1", "1+": "1+", "2": "2"}) or "1+"
    role = _choice(words, "role", _ROLES)
    numbers = parse_numbers(words["numlist"]) if "numlist" in words else None
    # A filter by number shows dormant tunnels as well, which a listing of the manager leaves out.
    params = {"phase": phase, "verbose": "verbose" in words, "role": role, "numbers": numbers}
    tunnels = _tunnels(client, source, **{key: value for key, value in params.items() if value is not None})
    if numbers is not None and role is None:
        _all_found(numbers, tunnels, 2 if phase == "2" else 1, source)
    if as_json:
        show_json({"tunnels": tunnels})
    elif "verbose" in words:
        sys.stdout.write(long_form(tunnels, phase))
    else:
        sys.stdout.write(short_form(tunnels, phase, with_status=source == "manager"))


def _numbers_of(tunnel: dict[str, Any], phase: int) -> set[int]:
    return {tunnel["number"]} if phase == 1 else {child["number"] for child in tunnel["children"]}


def _all_found(numbers: Iterable[int], tunnels: Iterable[dict[str, Any]], phase: int, source: str) -> None:
    known = set().union(*(_numbers_of(tunnel, phase) for tunnel in tunnels))
    missing = [str(number) for number in numbers if number not in known]
    if missing:
        place, flag = ("database", " db") if source == "database" else ("tunnel manager", "")
        raise InputError(
            "numlist",
            ",".join(missing),
            f"is no number of a phase {phase} tunnel in the {place}",
            f"see ike cmd=list{flag}",
        )


# cmd=activate


def _activate(client: Client, words: dict[str, str], as_json: bool) -> None:
    phase = _choice(words, "phase", _PHASES)
    how = next((key for key in _CHOOSERS if key in words), None)
    if how is None:
        raise UsageError(f"say which tunnels: {', '.join(_CHOOSERS)}; see ike --help")
    if how == "autostart" and phase is not None:
        raise InputError("autostart", f"phase={phase}", "stands alone", "leave out phase")
    chosen = _CHOOSERS[how](_tunnels(client, "database"), words[how], phase)
    _apply(client, chosen, "active", phase, as_json)


def _by_number(
    tunnels: list[dict[str, Any]], text: str, phase: int | None, source: str = "database"
) -> list[dict[str, Any]]:
    numbers = parse_numbers(text)
    _all_found(numbers, tunnels, phase or 1, source)
    chosen = [tunnel for tunnel in tunnels if _numbers_of(tunnel, phase or 1) & set(numbers)]
    for tunnel in chosen:
        # The manager starts and stops the Child SAs of one IKE SA together.
        left = _numbers_of(tunnel, 2) - set(numbers) if phase == 2 else set()
        if left:
            rest = ",".join(map(str, sorted(left)))
            raise InputError(
                "numlist",
                text,
                f"names some of the Child SAs of {tunnel['name']} only",
                f"they go together: add {rest}",
            )
    return chosen


def _by_name(tunnels: list[dict[str, Any]], text: str, phase: int | None) -> list[dict[str, Any]]:
    known = {tunnel["name"]: tunnel for tunnel in tunnels}
    for name in text.split(","):
        if name not in known:
            near = get_close_matches(name, known, 1)
            raise InputError(
                "namelist", name, "is not defined", f"did you mean {near[0]}?" if near else "see ike cmd=list db"
            )
    return [known[name] for name in dict.fromkeys(text.split(","))]


def _by_addresses(tunnels: list[dict[str, Any]], text: str, phase: int | None) -> list[dict[str, Any]]:
    ends = text.split(",")
    if len(ends) != 2 or not all(_is_address(end) for end in ends):
        raise InputError("ipaddr", text, "is not two addresses", "write ipaddr=LOCAL,REMOTE")
    wanted = [Identity.parse(end) for end in ends]
    chosen = [
        tunnel
        for tunnel in tunnels
        if all(_identity(tunnel[side]["id"]) == end for side, end in zip(("local", "remote"), wanted, strict=True))
    ]
    if not chosen:
        raise InputError("ipaddr", text, "no tunnel is defined between these identities", "see ike cmd=list db")
    return chosen


def _is_address(text: str) -> bool:
    found = _identity(text)
    return found is not None and found.type in (ID_IPV4_ADDR, ID_IPV6_ADDR)


def _identity(text: str | None) -> Identity | None:
    try:
        return Identity.parse(text) if text else None
    except InputError:
        return None


def _by_remote_id(tunnels: list[dict[str, Any]], text: str, phase: int | None) -> list[dict[str, Any]]:
    wanted = Identity.parse(text, "remid")
    found = [(tunnel, _identity(tunnel["remote"]["id"])) for tunnel in tunnels]
    chosen = [tunnel for tunnel, identity in found if identity is not None and identity.matches(wanted)]
    if not chosen:
        raise InputError("remid", text, "no tunnel to this identity is defined", "see ike cmd=list db")
    return chosen


def _autostarting(tunnels: list[dict[str, Any]], text: str, phase: int | None) -> list[dict[str, Any]]:
    return [tunnel for tunnel in tunnels if any(child["start"] == "auto" for child in tunnel["children"])]


_CHOOSERS: dict[str, Callable[[list[dict[str, Any]], str, int | None], list[dict[str, Any]]]] = {
    "numlist": _by_number,
    "namelist": _by_name,
    "ipaddr": _by_addresses,
    "remid": _by_remote_id,
    "autostart": _autostarting,
}


# cmd=remove


def _remove(client: Client, words: dict[str, str], as_json: bool) -> None:
    phase = _choice(words, "phase", _PHASES)
    source = "database" if "db" in words else "manager"
    if "db" in words:
        if phase == 2:
            raise InputError(
                "phase", "2", "cannot be deleted from its definition here", "change its children with ipsec_tunnel"
            )
        if "numlist" not in words and "all" not in words:
            raise UsageError("this would delete every definition; name them with numlist=, or add the word all")
    tunnels = _tunnels(client, source)
    chosen = _by_number(tunnels, words["numlist"], phase, source) if "numlist" in words else tunnels
    if source == "database":
        _apply(client, chosen, "absent", None, as_json)
    else:
        _apply(client, chosen, "inactive", phase, as_json)


_DONE = {
    "started": "negotiation has begun",
    "stopped": "ended",
    "removed": "deleted",
}
_NOT_DONE = {"active": "is active already", "inactive": "was not active", "absent": "was not defined"}


def _apply(client: Client, chosen: list[dict[str, Any]], state: str, phase: int | None, as_json: bool) -> None:
    params = {"definitions": [{"name": tunnel["name"]} for tunnel in chosen], "state": state}
    if phase is not None:
        params["phase"] = phase
    answer = client.call("tunnels.apply", params) if chosen else {"changed": False, "tunnels": [], "warnings": []}
    if as_json:
        show_json(answer)
        return
    for row in answer["tunnels"]:
        say(f"tunnel {row['number']} ({row['name']}): {_DONE.get(row['action'], _NOT_DONE[state])}")
    for warning in answer.get("warnings", ()):
        complain(f"ike: warning: {warning}")
    if not chosen:
        say("no tunnels")


# cmd=log


def _log(client: Client, words: dict[str, str], as_json: bool) -> None:
    answer = client.call("log.level", dict(words))
    if as_json:
        show_json(answer)
    elif "level" in words:
        say(f"log level {answer['level']} (was {answer['before']})")
    else:
        say(f"log level {answer['level']}")


COMMANDS = {
    "activate": _Command(
        _activate,
        {"phase": True, "numlist": True, "namelist": True, "ipaddr": True, "remid": True, "autostart": False},
        (tuple(_CHOOSERS),),
    ),
    "list": _Command(
        _list, {"phase": True, "numlist": True, "db": False, "role": True, "verbose": False}, (("db", "role"),)
    ),
    "remove": _Command(_remove, {"phase": True, "numlist": True, "all": False, "db": False}, (("numlist", "all"),)),
    "log": _Command(_log, {"level": True}),
}

if __name__ == "__main__":
    raise SystemExit(main())
