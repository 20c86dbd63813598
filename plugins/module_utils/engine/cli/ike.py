# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``ike cmd=…``: start, list and end tunnels with the classic words, through the tunnel manager."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from ..errors import InputError, MissingError
from ..manager.client import DEFAULT_CONTROL, Client
from ..manager.log import PRIORITIES
from ..release import said_by
from .choose import CHOOSERS, Chosen, Entry, by_name, unknown_numbers, with_numbers
from .common import (
    USAGE,
    Parser,
    UsageError,
    complain,
    exclusive,
    guarded,
    nearest,
    parse_numbers,
    read_words,
    say,
    show_json,
    write_numbers,
)
from .tunnels import long_form, long_form_of_definitions, short_form, span

_FAILURE = 1
_UNKNOWN_SHOWN = 5
_PHASES = {"1": 1, "2": 2}
_ROLES = {"i": "initiator", "r": "responder"}
_SHOWN = {"1": "1", "1+": "1+", "2": "2"}
_LEVELS = {name: name for name in PRIORITIES}
_PLACES = {"database": ("database", " db"), "manager": ("tunnel manager", "")}
_HELP = """\
usage: ike cmd=activate [phase=1|2] numlist=LIST | namelist=NAMES | ipaddr=LOCAL,REMOTE | remid=ID | autostart
       ike cmd=list     [phase=1|1+|2] [numlist=LIST] [db | role=i|r] [verbose]
       ike cmd=remove   [phase=1|2] [numlist=LIST | all] [db]
       ike cmd=rekey    [phase=1|2] numlist=LIST | namelist=NAMES | all [reauth]
       ike cmd=log      [level=error|warning|info|debug]
       with any of them:            --json (print the manager's answer), --control SOCKET, --help, --version
       with activate, remove and rekey: --check (say what would be done, and do nothing)

A tunnel has two phases. Phase 1 is the secured connection between two gateways (the IKE SA) over which they agree on
keys; phase 2 are the tunnels under it that carry the traffic (Child SAs), each for some networks, protocols or ports.
What may run is defined in a database (by the Ansible module ipsec_tunnel, or by ikedb); the tunnel manager runs what
was activated here or asked for by a peer. The words may stand in any order.

Database and manager count apart, and phase 1 and phase 2 do, too: "cmd=list db" shows the numbers of the database,
"cmd=list" those of the manager, and the same number may mean two different tunnels. LIST is numbers and ranges such as
1,3,5-7. Numbers are those of phase 1, unless phase=2 is given.

cmd=activate   starts tunnels and returns as soon as negotiation has begun; cmd=list tells what came of it, and a tunnel
               that is not up is tried again until it is removed. Without phase both phases are started, phase 2 tunnels
               with start: trap or manual, too; phase=1 starts only the IKE SA; phase=2 the phase 2 tunnels chosen, and
               their IKE SA first if it is not up.
  numlist=     by numbers of the database
  namelist=    by names, joined by commas; needs phase. In phase 2 write CHILD, TUNNEL/CHILD, or TUNNEL for all its own
  ipaddr=      by the addresses of the two ends, for tunnels that go by addresses and not by other identities
  remid=       by the remote identity: in phase 1 an address, a host name, user@host or a distinguished name; in phase 2
               an address, ID,MASK or FROM,TO; or the name of a group of tunnels
  autostart    all that is defined to start by itself; stands alone
cmd=list       shows what the manager runs: what is being negotiated, is up, or has just ended. With db what is defined.
  phase=       1: phase 1 only; 1+: each phase 1 followed by its phase 2 (this is the default); 2: each phase 2 preceded
               by its phase 1
  role=        i: only what was started here; r: only what the peer started
  verbose      everything that is known, one field a line
cmd=remove     ends what runs: the numbers of the manager in numlist, or everything. What is not there is no error.
               phase=1 ends the IKE SA, but leaves its phase 2 in use until their lifetimes are over; they get no fresh
               keys any more. phase=2 ends phase 2 and leaves the IKE SA. Without phase both end at once.
  db           deletes definitions instead, by numbers of the database, and ends what runs of them: with phase=2 only
               phase 2 tunnels, else tunnels with all their phase 2
  all          says that everything is meant, as without numlist
cmd=rekey      gives what is up fresh keys now, and waits until they are in use, or says why not; no packet is lost.
               numlist= has numbers of the manager. Without phase both phases, phase=1 the IKE SA, phase=2 phase 2.
  all          all that is up
  reauth       both ends prove anew who they are, with the secrets that are defined now, in an IKE SA that takes over
               from the old one with all its phase 2
cmd=log        shows or sets how much the manager logs, until it ends.

States: Negotiating (being set up), Active (up), Dormant (defined, but down), Expired (has ended, or ends with the last
phase 2 tunnel under it).

Examples:
  ike cmd=list db                        what is defined, with its numbers
  ike cmd=activate numlist=1,3-5         start these, both phases
  ike cmd=list                           what runs, with numbers of its own
  ike cmd=list verbose                   all about it, and why a tunnel is not up
  ike cmd=remove phase=2 numlist=7       end one phase 2 tunnel
  ike cmd=rekey numlist=1 reauth         see whether both ends have the same secret by now

exit status: 0 done, or nothing to do; 1 the manager refused or is not there; 64 wrong words, and nothing was changed.
More: man ike.
"""


class _How(NamedTuple):
    """Dashed options.

    :ivar check: only say what would be done.
    """

    json: bool
    check: bool


class _Command(NamedTuple):
    """A value of ``cmd=``.

    :ivar run: does it; its exit status, None for 0.
    :ivar words: word to whether it takes a value.
    :ivar choices: the values of those that take one of a few.
    :ivar groups: words of which one at most may be given.
    :ivar changes: whether it can be checked instead.
    """

    run: Callable[[Client, dict[str, str], _How], int | None]
    words: dict[str, bool]
    choices: dict[str, tuple[str, ...]]
    groups: tuple[tuple[str, ...], ...] = ()
    changes: bool = False


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    return guarded("ike", lambda: _run(words), USAGE, _FAILURE)


def parser() -> Parser:
    """What reads the dashed options; the words are read by the command that they name."""
    built = Parser(prog="ike", usage="ike cmd=activate|list|remove|rekey|log ...", add_help=False, allow_abbrev=False)
    built.add_argument("words", nargs="*")
    for option in ("--json", "--check", "--help", "-h", "--version"):
        built.add_argument(option, action="store_true")
    built.add_argument("--control", metavar="SOCKET", default=DEFAULT_CONTROL)
    return built


def _run(arguments: list[str]) -> int:
    given = parser().parse_intermixed_args(arguments)
    if given.help or given.h:
        sys.stdout.write(_HELP)
        return 0
    if given.version:
        say(said_by("ike"))
        return 0
    command, words = command_of(given.words)
    if given.check and not command.changes:
        raise UsageError(
            "--check goes with cmd=activate, remove and rekey: the others change no tunnel; see ike --help"
        )
    with Client(given.control) as client:
        return command.run(client, words, _How(given.json, given.check)) or 0


def command_of(words: list[str]) -> tuple[_Command, dict[str, str]]:
    """The command that words such as ``cmd=list phase=1`` name, and its own words.

    :raises InputError: words that do not go together; :raises UsageError: no command, or several.
    """
    named = [word for word in words if word.startswith("cmd=")]
    if len(named) != 1:
        raise UsageError(f"say once what to do: {', '.join(f'cmd={name}' for name in COMMANDS)}; see ike --help")
    name = named[0].removeprefix("cmd=")
    if name not in COMMANDS:
        raise InputError("cmd", name, "is no command", nearest(name, COMMANDS))
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


def _tunnels(client: Client, source: str, **params: Any) -> list[Entry]:
    tunnels: list[Entry] = client.call("tunnels.list", {"source": source, **params})["tunnels"]
    return tunnels


# cmd=list


def _list(client: Client, words: dict[str, str], how: _How) -> None:
    source = "database" if "db" in words else "manager"
    phase = _choice(words, "phase", _SHOWN) or "1+"
    role = _choice(words, "role", _ROLES)
    numbers = parse_numbers(words["numlist"]) if "numlist" in words else None
    params = {"phase": phase, "verbose": "verbose" in words, "role": role, "numbers": numbers}
    given = {key: value for key, value in params.items() if value is not None}
    answer = client.call("tunnels.list", {"source": source, **given})
    tunnels = answer["tunnels"]
    if numbers is not None and role is None:
        _all_found(numbers, tunnels, 2 if phase == "2" else 1, source)
    if how.json:
        show_json(answer)
        return
    if "verbose" in words:
        form = long_form_of_definitions if source == "database" else long_form
        sys.stdout.write(form(tunnels, phase))
    else:
        sys.stdout.write(short_form(tunnels, phase, with_status=source == "manager"))
    if source == "manager" and numbers is None and role is None:
        _say_who_is_unknown(answer.get("unknown_peers", []))


def _say_who_is_unknown(peers: list[Entry]) -> None:
    """Whose tunnel is in no listing, and who asks for it all the same."""
    for peer in peers[:_UNKNOWN_SHOWN]:
        often = "once" if peer["times"] == 1 else f"{peer['times']} times"
        when = f"{often}, the last time {span(peer['last_seconds'])} ago"
        complain(f"ike: {peer['address']} asks for a tunnel that is not defined here ({when}): {peer['story']}")
    if peers:
        more = len(peers) - _UNKNOWN_SHOWN
        complain(f"ike: remedy: {peers[0]['remedy']}" + (f" ({more} more: --json)" if more > 0 else ""))


def _all_found(numbers: Iterable[int], tunnels: Iterable[Entry], phase: int, source: str) -> None:
    unknown = unknown_numbers(numbers, tunnels, phase)
    if unknown:
        place, flag = _PLACES[source]
        problem = f"is no number of a phase {phase} tunnel in the {place}"
        raise InputError("numlist", write_numbers(unknown), problem, f"see ike cmd=list{flag}")


# cmd=activate


def _activate(client: Client, words: dict[str, str], how: _How) -> None:
    phase = _choice(words, "phase", _PHASES)
    word = next((key for key in CHOOSERS if key in words), None)
    if word is None:
        raise UsageError(f"say which tunnels: {', '.join(CHOOSERS)}; see ike --help")
    if word == "autostart" and phase is not None:
        raise InputError("autostart", f"phase={phase}", "stands alone", "leave out phase")
    chosen = CHOOSERS[word](_tunnels(client, "database"), words[word], phase)
    empty = [each.tunnel["name"] for each in chosen if each.children == ()]
    if empty:
        raise InputError(word, words[word], f"tunnel {empty[0]} has no phase 2 tunnel", "start it with phase=1")
    # What starts by itself is started, and the rest of its tunnel is left to its own start.
    _apply(client, chosen, "enabled" if word == "autostart" else "active", phase, how)


# cmd=remove


def _remove(client: Client, words: dict[str, str], how: _How) -> None:
    phase = _choice(words, "phase", _PHASES)
    source, state = ("database", "absent") if "db" in words else ("manager", "inactive")
    numbers = parse_numbers(words["numlist"]) if "numlist" in words else None
    tunnels = _tunnels(client, source)
    if numbers is None:
        chosen = [Chosen(tunnel) for tunnel in tunnels]
    else:
        chosen = with_numbers(tunnels, numbers, phase)
        if not how.json:
            unknown = unknown_numbers(numbers, tunnels, phase)
            if unknown:
                what = "tunnels" if len(unknown) > 1 else "tunnel"
                say(f"phase {phase or 1} {what} {write_numbers(unknown)}: not in the {_PLACES[source][0]}")
                if not chosen:
                    return
    # A definition goes with its phase 2 tunnels, so there phase 1 is all of it.
    _apply(client, chosen, state, None if state == "absent" and phase == 1 else phase, how)


# What was done, or with --check would be, by action; what was the case already, by state.
_DONE = {
    "started": ("negotiation has begun", "negotiation would begin"),
    "stopped": ("ended", "would be ended"),
    "removed": ("deleted", "would be deleted"),
    "changed": ("deleted", "would be deleted"),
}
_NOT_DONE = {"inactive": "was not active", "absent": "was not defined"}
_STARTS = ("active", "enabled")


def _apply(client: Client, chosen: Sequence[Chosen], state: str, phase: int | None, how: _How) -> None:
    """Bring what was chosen into a state, and say what became of each.

    :param phase: of what was chosen; single children say it themselves.
    """
    meant: dict[str, dict[str, None] | None] = {}
    for tunnel, children in chosen:
        found = meant.setdefault(tunnel["name"], None if children is None else {})
        if found is not None and children is not None:
            found.update(dict.fromkeys(children))
    params: dict[str, Any] = {
        "definitions": [
            {"name": name} | ({} if names is None else {"only_children": list(names)}) for name, names in meant.items()
        ],
        "state": state,
    }
    if phase is not None:
        params["phase"] = phase
    answer: dict[str, Any] = {"changed": False, "tunnels": [], "warnings": []}
    if meant:
        answer = client.call("tunnels.plan" if how.check else "tunnels.apply", params, 300)
    if how.json:
        show_json(answer)
        return
    listed = {tunnel["name"]: tunnel["number"] for tunnel, _children in chosen}
    for row in answer["tunnels"]:
        number = row["manager_number"] if state in _STARTS else listed[row["name"]]
        names = meant[row["name"]]
        what = f" phase {phase}" if phase is not None else ""
        what = f" phase 2 {','.join(names)}" if names else what
        who = f"tunnel {number} ({row['name']})" if number else f"tunnel {row['name']}"
        say(f"{who}{what}: {_outcome(row, state, how.check)}")
    for warning in answer["warnings"]:
        complain(f"ike: warning: {warning}")
    if not meant:
        say("no tunnels")


def _outcome(row: Entry, state: str, check: bool) -> str:
    if row["action"] in _DONE:
        # What starts by itself may be up already, by a packet's or the peer's doing.
        there = state == "enabled" and row["state"] == "active" and not check
        return "is active already, and is kept up from now on" if there else _DONE[row["action"]][check]
    if state not in _STARTS:
        return _NOT_DONE[state]
    if row["state"] == "active":
        return "is active already"
    why = f": {row['story']} ({row['reason']})" if row["story"] else ""
    return f"is wanted already, and {row['state']}{why}"


# cmd=rekey

_REKEY_SECONDS = 30.0


def _rekey(client: Client, words: dict[str, str], how: _How) -> int:
    phase = _choice(words, "phase", _PHASES)
    if "reauth" in words and phase is not None:
        raise InputError("reauth", f"phase={phase}", "has all of a tunnel made anew", "leave out phase")
    chosen = _to_rekey(client, words, phase)
    only = [{"name": each.tunnel["name"], "children": list(each.children)} for each in chosen if each.children]
    call = {
        "names": [tunnel["name"] for tunnel, _unused in chosen],
        "only_children": only,
        "reauthenticate": "reauth" in words,
        "check": how.check,
        "timeout": _REKEY_SECONDS,
    }
    if phase is not None:
        call["phase"] = phase
    answer = client.call("tunnels.rekey", call, 2 * _REKEY_SECONDS)
    if how.json:
        show_json(answer)
    for each in answer["tunnels"] if not how.json else ():
        who = f"tunnel {each['manager_number']} ({each['name']})" + (f" phase {phase}" if phase is not None else "")
        if each["reached"]:
            say(f"{who}: {'would get fresh keys' if how.check else 'has fresh keys'}")
        else:
            complain(f"ike: {who}: no fresh keys: {each['story']}" + (f"; {each['remedy']}" if each["remedy"] else ""))
    return 0 if answer["reached"] else _FAILURE


def _to_rekey(client: Client, words: dict[str, str], phase: int | None) -> list[Chosen]:
    """What the words mean of the tunnels that run.

    :raises InputError: they mean none; :raises MissingError: what they mean is defined, and does not run.
    """
    tunnels = _tunnels(client, "manager")
    if "numlist" in words:
        numbers = parse_numbers(words["numlist"])
        _all_found(numbers, tunnels, phase or 1, "manager")
        return with_numbers(tunnels, numbers, phase)
    if "namelist" in words:
        return _running(client, tunnels, words["namelist"], phase or 1)
    if "all" not in words:
        raise UsageError("say which tunnels: numlist, namelist, all; see ike --help")
    return [Chosen(tunnel) for tunnel in tunnels if tunnel["phase1"] == "active"]


def _running(client: Client, tunnels: list[Entry], names: str, phase: int) -> list[Chosen]:
    try:
        return by_name(tunnels, names, phase)
    except InputError as unknown:
        # A name that is nowhere is a wrong word; one of the database tells how the tunnel is.
        by_name(_tunnels(client, "database"), names, phase)
        raise MissingError(f"namelist: {unknown.value} is not up", "see ike cmd=list") from None


# cmd=log


def _log(client: Client, words: dict[str, str], how: _How) -> None:
    level = _choice(words, "level", _LEVELS)
    answer = client.call("log.level", {} if level is None else {"level": level})
    if how.json:
        show_json(answer)
    elif "level" in words:
        say(f"log level {answer['level']} (was {answer['before']})")
    else:
        say(f"log level {answer['level']}")


COMMANDS = {
    "activate": _Command(
        _activate,
        {"phase": True, "numlist": True, "namelist": True, "ipaddr": True, "remid": True, "autostart": False},
        {"phase": tuple(_PHASES)},
        (tuple(CHOOSERS),),
        True,
    ),
    "list": _Command(
        _list,
        {"phase": True, "numlist": True, "db": False, "role": True, "verbose": False},
        {"phase": tuple(_SHOWN), "role": tuple(_ROLES)},
        (("db", "role"),),
    ),
    "remove": _Command(
        _remove,
        {"phase": True, "numlist": True, "all": False, "db": False},
        {"phase": tuple(_PHASES)},
        (("numlist", "all"),),
        True,
    ),
    "rekey": _Command(
        _rekey,
        {"phase": True, "numlist": True, "namelist": True, "all": False, "reauth": False},
        {"phase": tuple(_PHASES)},
        (("numlist", "namelist", "all"),),
        True,
    ),
    "log": _Command(_log, {"level": True}, {"level": tuple(_LEVELS)}),
}

if __name__ == "__main__":
    raise SystemExit(main())
