# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``ikedb``: the database of tunnels out and in, as AIX's XML, as YAML, and from other programs' configuration."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ..convert import ikedb, ikedb_write, importing, yaml_writer
from ..convert.files import Files
from ..convert.ikedb_dtd import DTD
from ..convert.importing import Source, Wishes
from ..convert.mirror import swapped
from ..convert.report import Conversion, Report, Tunnel, summary
from ..definition.table import PSK
from ..errors import EngineError, InputError, MissingError, a_few
from ..kernel.addresses import towards
from ..manager.client import DEFAULT_CONTROL, Client
from ..release import said_by
from .common import USAGE, Parser, UsageError, complain, guarded, say, show_json
from .files import own_addresses, read_source, write_private

_FAILURE = 1
_LINUX_FILE, _SECRETS_FILE = "/etc/ipsec.conf", "/etc/ipsec.secrets"
TYPES = ("IKETunnel", "IPSecTunnel", "IKEProtection", "IPSecProposal", "IPSecProtection")
_NEVER = ("IKEGroup", "IKEPresharedKey")
_HELP = f"""\
usage: ikedb -p [-F] [-s] [-k SECRETS] [FILE...]             put: define the tunnels of XML files, or of standard input
       ikedb -g [-r] [-t TYPE [-n NAME]] [--yaml] [-f FILE]  get: print the database, or write it to FILE
       ikedb -d -t IKETunnel|IPSecTunnel -n NAME             delete a tunnel, or a phase 2 tunnel of one
       ikedb -c [-F] [-l IPSEC.CONF | --swanctl FILE] [-k SECRETS] [-f FILE] [--yaml]
                                                             convert a configuration of Libreswan or strongSwan
       ikedb -x yes                                          delete all tunnels
       ikedb -o                                              print the grammar (DTD) of the XML

A tunnel has two phases: phase 1 (IKETunnel) is the secured connection between two gateways, phase 2 (IPSecTunnel) what
it carries. Pre-shared keys never come out of the database. They go in with the XML (IKEPresharedKey), or from SECRETS,
a file such as ipsec.secrets; a tunnel that is there already keeps its key where none is given.

  -F             overwrite tunnels of the same names, and FILE; without it nothing is changed when one is there
  -s             swap local and remote of every tunnel, to import what the peer exported; not where the peer is a group
  -k SECRETS     pre-shared keys; with -c {_SECRETS_FILE} if it is there
  -r             without the remarks that hold what AIX has no words for
  -t TYPE        only elements of this type: {", ".join(TYPES)}
  -n NAME        only the one of this name; phase 2 tunnels are named TUNNEL:CHILD
  -l FILE        an ipsec.conf, {_LINUX_FILE} if none is named; --swanctl FILE: a swanctl.conf
  -f FILE        write there, readable by root alone, instead of into the database
  --yaml         write variables for the module fleet.ipsec.ipsec_tunnel instead of XML
  --local ADDR   an address of this host, to tell left from right, and where the file has none; may be repeated
  --ikev2        make tunnels of IKEv1 into tunnels of IKEv2; their peers have to be changed as well
  --owner TAG    whose tunnels: with -p and -c they become TAG's, -g and -x leave the others alone
  --check        say what would be done, and do nothing (also --dry-run)
  --json         print the outcome for machines, with the report
  --control SOCKET, --help, --version

What a file says that cannot be carried over is reported line by line: "ignored" changes nothing, "lost" makes the
tunnel behave otherwise, "skipped" means that a tunnel, or a phase 2 tunnel, was not made.

exit status: 0 done, 1 the manager or a file could not be used, nothing could be converted, 64 wrong words or values.
More: man ikedb.
"""

Given = argparse.Namespace


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    return guarded("ikedb", lambda: _run(words), USAGE, _FAILURE)


_ACTIONS = {"p": "put", "g": "get", "d": "delete", "c": "convert", "x": "drop", "o": "grammar"}
# Options that an action takes besides --json, --control, --owner and --check.
_TAKES = {
    "p": {"F", "s", "k", "files", "ikev2", "e"},
    "g": {"r", "t", "n", "i", "y", "yaml", "f", "F"},
    "d": {"t", "n", "i", "y"},
    "c": {"F", "l", "swanctl", "k", "f", "yaml", "local", "ikev2"},
    "x": {"files"},
    "o": set(),
}
# What stands behind an option of one letter.
_VALUES = {
    "e": "ENTITIES", "k": "SECRETS", "t": "TYPE", "n": "NAME", "i": "ID", "y": "TYPE", "l": "FILE", "f": "FILE",
}  # fmt: skip


def parser() -> Parser:
    """What reads the command's words."""
    built = Parser(prog="ikedb", add_help=False, allow_abbrev=False)
    for letter in (*_ACTIONS, "F", "s", "r"):
        built.add_argument(f"-{letter}", action="store_true")
    for letter, kind in _VALUES.items():
        built.add_argument(f"-{letter}", metavar=kind)
    built.add_argument("--swanctl", metavar="FILE")
    built.add_argument("--owner", metavar="TAG", default="")
    built.add_argument("--control", metavar="SOCKET", default=DEFAULT_CONTROL)
    built.add_argument("--local", metavar="ADDRESS", action="append", default=[])
    for word in ("yaml", "ikev2", "json", "help", "version"):
        built.add_argument(f"--{word}", action="store_true")
    built.add_argument("-h", dest="help", action="store_true")
    built.add_argument("--check", "--dry-run", action="store_true")
    built.add_argument("-R", dest="ldap")
    built.add_argument("files", nargs="*")
    return built


def _run(words: list[str]) -> int:
    given = parser().parse_intermixed_args(words)
    if given.help:
        sys.stdout.write(_HELP)
        return 0
    if given.version:
        say(said_by("ikedb"))
        return 0
    if given.ldap:
        raise InputError("-R", given.ldap, "policies are not kept in LDAP", "leave it out, the database is here")
    actions = [letter for letter in _ACTIONS if getattr(given, letter)]
    if len(actions) != 1:
        wanted = ", ".join(f"-{letter} ({word})" for letter, word in _ACTIONS.items())
        raise UsageError(f"say once what to do: {wanted}; see ikedb --help")
    (action,) = actions
    for option in ("F", "s", "r", "e", "k", "t", "n", "i", "y", "l", "f", "swanctl", "yaml", "local", "ikev2", "files"):
        if getattr(given, option) and option not in _TAKES[action]:
            shown = "FILE" if option == "files" else f"-{option}" if len(option) == 1 else f"--{option}"
            raise UsageError(f"{shown} does not go with -{action}; see ikedb --help")
    return _DO[action](given)


# Into the database


def _put(given: Given) -> int:
    if given.e is not None:
        remedy = "name all XML files one after the other, they may refer to each other"
        raise InputError("-e", given.e, "entities are not read, as they could name any file", remedy)
    report = Report()
    sources = [read_source(path, report) for path in given.files or ["-"]]
    keys = importing.secrets_of(read_source(given.k, report), Files(report), report).shared if given.k else []
    refused = "leave out -s, or write a tunnel for each member" if given.s else ""
    found = ikedb.convert(sources, report, keys, given.ikev2, refused)
    if given.s:
        tunnels = (Tunnel(_turned(tunnel), tunnel.credential, tunnel.ppks) for tunnel in found.tunnels)
        found = Conversion(found.format, tuple(tunnels), found.notes)
    return _define(given, found)


def _turned(tunnel: Tunnel) -> dict[str, Any]:
    return {**swapped(ikedb_write.canonical(tunnel.document)), "auth": tunnel.document["auth"]}


def _convert(given: Given) -> int:
    if given.l and given.swanctl:
        raise UsageError("-l does not go with --swanctl; convert one after the other")
    report = Report()
    files = Files(report)
    source = read_source(given.swanctl or given.l or _LINUX_FILE, report)
    secrets = _secrets(given, report)
    local = given.local or own_addresses(source.text)
    kind = "swanctl" if given.swanctl else "ipsec_conf"
    try:
        found = importing.convert(source, kind, files, report, secrets, Wishes(local, given.ikev2, towards))
    except InputError as error:
        if not error.field.startswith("local_addresses"):
            raise
        raise InputError("--local", error.value, error.problem, error.remedy) from None
    if given.f is None and not given.yaml:
        return _define(given, found)
    text = _written((tunnel.document for tunnel in found.tunnels), given)
    _tell(given, found)
    if given.json and given.f is None:
        show_json({"content": text, **_outcome(found)})
    else:
        _emit(given, text)
        if given.json:
            show_json(_outcome(found))
    return 0 if found.tunnels or not found.skipped else _FAILURE


def _secrets(given: Given, report: Report) -> Source | None:
    if given.k:
        return read_source(given.k, report)
    try:
        return None if given.swanctl else read_source(_SECRETS_FILE, report)
    except EngineError:
        return None  # only where none was asked for


def _define(given: Given, found: Conversion) -> int:
    """Put the tunnels into the database, all or none."""
    _tell(given, found)
    if not found.tunnels:
        if given.json:
            show_json({"changed": False, "tunnels": [], **_outcome(found)})
        if found.skipped:
            raise MissingError("there is no tunnel that could be made", "see the notes above")
        say("no tunnels")
        return 0
    with Client(given.control) as client:
        present = {row["name"] for row in client.call("tunnels.list", {"source": "database"})["tunnels"]}
        _refuse_overwriting(given, found, present)
        lacking = [name for name in found.missing_secrets if name not in present]
        if lacking:
            remedy = 'name a file with it: -k SECRETS, with lines such as: @theirs.example : PSK "secret"'
            raise MissingError(f"there is no pre-shared key for {a_few(lacking)}, nothing was changed", remedy)
        params = {
            "definitions": [tunnel.complete() for tunnel in found.tunnels],
            "state": "present",
            "owner": given.owner,
            "keep_secrets": True,
        }
        answer = client.call("tunnels.plan" if given.check else "tunnels.apply", params, 300)
    _say_steps(given, answer, found)
    return 0


def _refuse_overwriting(given: Given, found: Conversion, present: Iterable[str]) -> None:
    there = [tunnel.name for tunnel in found.tunnels if tunnel.name in present]
    if there and not given.F:
        problem = f"defined already: {a_few(there)}; nothing was changed"
        raise InputError("-F", None, problem, "give -F to overwrite, or rename")


def _tell(given: Given, found: Conversion) -> None:
    if given.json:
        return
    for note in found.notes:
        complain(str(note))
    if found.notes:
        complain(f"ikedb: {len(found.tunnels)} tunnels; notes: {summary(found.notes)}")
    if found.missing_secrets and (given.yaml or given.f):
        complain(f"ikedb: without a pre-shared key: {', '.join(found.missing_secrets)}")


def _outcome(found: Conversion) -> dict[str, Any]:
    return {
        "format": found.format,
        "report": [note.shown() for note in found.notes],
        "unconverted": found.skipped,
        "missing_secrets": found.missing_secrets,
    }


def _say_steps(given: Given, answer: dict[str, Any], found: Conversion | None = None) -> None:
    if given.json:
        show_json(answer | (_outcome(found) if found else {}))
        return
    for row in answer["tunnels"]:
        number = f"tunnel {row['number']}" if row["number"] else "tunnel"
        done = {"none": "as it was"}.get(row["action"], row["action"])
        say(f"{number} ({row['name']}): {'would be ' if given.check and done != 'as it was' else ''}{done}")
    for warning in answer.get("warnings", ()):
        complain(f"ikedb: warning: {warning}")


# Out of it


def _get(given: Given) -> int:
    _check_type(given, TYPES)
    if given.yaml and (given.t or given.r):
        raise UsageError("--yaml writes whole tunnels: leave out -t and -r")
    with Client(given.control) as client:
        rows = _database(client, given.owner)
    unreadable = [row["name"] for row in rows if row["reason"] == "unreadable_definition"]
    if unreadable:
        complain(f"ikedb: not written, as this release cannot read their definition: {', '.join(unreadable)}")
    documents = [row["definition"] for row in rows if row["name"] not in unreadable]
    rotating = [each["name"] for each in documents if each["auth"].get("also_accept")]
    if rotating:
        complain(f"ikedb: keys accepted besides are not written, of: {', '.join(rotating)}")
    text = _written(documents, given)
    if given.json and given.f is None:
        show_json({"content": text})
    else:
        _emit(given, text)
    return 0


def _database(client: Client, owner: str) -> list[dict[str, Any]]:
    params = {"source": "database", "verbose": True} | ({"owner": owner} if owner else {})
    rows: list[dict[str, Any]] = client.call("tunnels.list", params, 300)["tunnels"]
    return rows


def _written(documents: Iterable[dict[str, Any]], given: Given) -> str:
    """XML or YAML of definitions."""
    if given.yaml:
        return yaml_writer.playable(documents, yaml_writer.HEAD)
    documents = list(documents)
    keyed = [each["name"] for each in documents if each["auth"].get("method", PSK) != PSK]
    if keyed:
        complain(f"ikedb: the XML lacks keys and certificates (--yaml names their files), of: {', '.join(keyed)}")
    found = list(ikedb_write.blocks(ikedb_write.canonical(each) for each in documents))
    if given.r:
        found = list(ikedb_write.plain(found))
    if given.t:
        found = [block for block in found if block.tag == given.t and given.n in (None, block.name)]
        if given.n is not None and not found:
            raise InputError("-n", given.n, f"is no {given.t} in the database", "see ikedb -g")
    return ikedb_write.text_of(found)


def _emit(given: Given, text: str) -> None:
    if given.f is None:
        sys.stdout.write(text)
    elif given.check:
        say(f"{given.f}: would be written")
    else:
        write_private(given.f, text, overwrite=given.F)


def _check_type(given: Given, known: Sequence[str]) -> None:
    if given.i is not None or given.y is not None:
        raise InputError("-i", given.i, "picks pre-shared keys, which are never given out", "use -n NAME")
    if given.n is not None and given.t is None:
        raise UsageError("-n needs -t; see ikedb --help")
    if given.t in _NEVER:
        raise InputError("-t", given.t, "is never given out", "keys stay in the database, groups became tunnels")
    if given.t is not None and given.t not in known:
        raise InputError("-t", given.t, "is not possible here", f"use one of {', '.join(known)}")


# Delete


def _delete(given: Given) -> int:
    if given.t is None or given.n is None:
        raise UsageError("say what to delete: -t IKETunnel -n NAME, or -t IPSecTunnel -n TUNNEL:CHILD")
    _check_type(given, ("IKETunnel", "IPSecTunnel"))
    with Client(given.control) as client:
        rows = {row["name"]: row for row in client.call("tunnels.list", {"source": "database"})["tunnels"]}
        if given.t == "IKETunnel":
            if given.n not in rows:
                raise InputError("-n", given.n, "is not defined", "see ikedb -g or ike cmd=list db")
            wanted: dict[str, Any] = {"name": given.n}
        else:
            found = [
                (name, child["name"])
                for name, row in rows.items()
                for child in row["children"]
                if given.n in (child["name"], f"{name}:{child['name']}")
            ]
            if len(found) != 1:
                problem = "is not defined" if not found else "is the name of several phase 2 tunnels"
                raise InputError("-n", given.n, problem, "write TUNNEL:CHILD, see ikedb -g -t IPSecTunnel")
            wanted = {"name": found[0][0], "only_children": [found[0][1]]}
        params = {"definitions": [wanted], "state": "absent", "owner": given.owner}
        answer = client.call("tunnels.plan" if given.check else "tunnels.apply", params, 60)
    _say_steps(given, answer)
    return 0


def _drop(given: Given) -> int:
    if given.files != ["yes"]:
        raise UsageError("this deletes every definition and ends its tunnels; write ikedb -x yes if that is meant")
    with Client(given.control) as client:
        params = {"source": "database"} | ({"owner": given.owner} if given.owner else {})
        names = [row["name"] for row in client.call("tunnels.list", params)["tunnels"]]
        wanted = {"definitions": [{"name": name} for name in names], "state": "absent", "owner": given.owner}
        answer = client.call("tunnels.plan" if given.check else "tunnels.apply", wanted, 300)
    _say_steps(given, answer)
    if not names and not given.json:
        say("no tunnels")
    return 0


def _grammar(_given: Given) -> int:
    sys.stdout.write(DTD)
    return 0


_DO: dict[str, Callable[[Given], int]] = {
    "p": _put, "g": _get, "d": _delete, "c": _convert, "x": _drop, "o": _grammar,
}  # fmt: skip

if __name__ == "__main__":
    raise SystemExit(main())
