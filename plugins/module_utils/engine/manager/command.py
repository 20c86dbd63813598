# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The manager's own command line: run it, call one of its methods, print what methods there are."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from ..definition.schema import nearest
from ..errors import EngineError, InputError, MissingError
from ..release import said_by
from .client import DEFAULT_CONTROL, DEFAULT_DATABASE, DEFAULT_RUNTIME_DIR, Client
from .methods import LEVELS, METHODS, catalogue

# EX_CONFIG of sysexits(3); the service is not started again after it.
CANNOT_START = 78
WRONG_WORDS = 64  # EX_USAGE


def main(arguments: list[str]) -> int:
    """Run one command; the exit status: 0, 1 for a failure said on stderr, 64 for a wrong command line."""
    options = parser().parse_args(arguments)
    try:
        status: int = options.run(options)
        return status
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return WRONG_WORDS
    except EngineError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # Whoever read our output has seen enough; keep the interpreter from complaining when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130


class _Parser(argparse.ArgumentParser):
    """One that ends with the status that all commands have for wrong words."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and end."""
        self.exit(WRONG_WORDS, f"{self.prog}: {message}; see {self.prog} --help\n")


def parser() -> argparse.ArgumentParser:
    """What reads the command's words."""
    built = _Parser(
        prog="fleet-ipsec-manager",
        description="The tunnel manager of fleet.ipsec: run it, ask it, close its tunnels.",
        epilog="More: man fleet-ipsec-manager",
    )
    version = said_by("fleet-ipsec-manager")
    built.add_argument("--version", action="version", version=version, help="say what this is")
    commands = built.add_subparsers(required=True, metavar="COMMAND")

    manager = commands.add_parser(
        "manager", help="run the tunnel manager in the foreground; tunnels stay up when it ends"
    )
    _service_options(manager)
    manager.set_defaults(run=_manager)

    close = commands.add_parser("close", help="close all tunnels, telling the peers, whether a manager runs or not")
    _service_options(close)
    close.set_defaults(run=_close)

    back = commands.add_parser(
        "go-back",
        help="restore the definitions of before an upgrade, for the release of before; no manager may run",
    )
    back.add_argument("--database", metavar="FILE", default=DEFAULT_DATABASE, help="definitions (default %(default)s)")
    back.set_defaults(run=_go_back)

    call = commands.add_parser("call", help="call a method of a running manager")
    call.add_argument(
        "--control", metavar="SOCKET", default=DEFAULT_CONTROL, help="control socket (default %(default)s)"
    )
    call.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=float,
        default=None,
        help="how long to wait for the answer (default: 30 more than the call's own timeout)",
    )
    call.add_argument("method", metavar="METHOD", help="see: fleet-ipsec-manager methods")
    call.add_argument(
        "params",
        metavar="JSON",
        nargs="?",
        default="{}",
        help="parameters; - reads them from stdin, where secrets belong",
    )
    call.set_defaults(run=_call)

    methods = commands.add_parser("methods", help="describe every method")
    methods.add_argument("--json", action="store_true", help="the whole table as JSON, with complete schemas")
    methods.set_defaults(run=_methods)
    return built


def _service_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--database", metavar="FILE", default=DEFAULT_DATABASE, help="definitions (default %(default)s)"
    )
    parser.add_argument(
        "--runtime-dir", metavar="DIR", default=DEFAULT_RUNTIME_DIR, help="state of this boot (default %(default)s)"
    )
    parser.add_argument(
        "--control", metavar="SOCKET", help="control socket (default control.sock in the runtime directory)"
    )
    parser.add_argument(
        "--ike-port", metavar="N", type=_port, default=500, help="UDP port of IKE (default %(default)s)"
    )
    parser.add_argument(
        "--natt-port", metavar="N", type=_port, default=4500, help="UDP port of NAT traversal (default %(default)s)"
    )
    parser.add_argument(
        "--listen", metavar="ADDRESS", nargs="+", default=[], help="only these addresses (default: all)"
    )
    parser.add_argument("--log-level", choices=LEVELS, default="info", help="how much to log (default %(default)s)")
    parser.add_argument(
        "--log-format",
        choices=["journal", "text"],
        default="text",
        help="journal: lines with a priority prefix on stdout; text: on stderr",
    )
    parser.add_argument(
        "--guard", metavar="FILE", default="", help="rules of nftables that stand all the time; removed ones come back"
    )


def _port(text: str) -> int:
    number = int(text)
    if not 1 <= number <= 65535:
        raise ValueError(text)
    return number


def _manager(options: argparse.Namespace) -> int:
    from .service import Options, serve  # the other commands need neither asyncio nor cryptography

    return _begun(serve, Options.of(options))


def _close(options: argparse.Namespace) -> int:
    from .service import Options, close

    return _begun(close, Options.of(options))


def _go_back(options: argparse.Namespace) -> int:
    from .database_copy import restore, versions_before

    restored = restore(options.database, versions_before(options.database))
    print(restored.story() if restored is not None else "the release of before can read the definitions as they are")
    return 0


def _begun(run: Callable[[Any], int], options: Any) -> int:
    """Run it; what it lacks gets a status of its own, for trying again does not mend that."""
    try:
        return run(options)
    except MissingError as error:
        print(f"error: {error}", file=sys.stderr)
        return CANNOT_START


def _call(options: argparse.Namespace) -> int:
    if options.method not in METHODS:
        raise InputError("METHOD", options.method, "is not a method", nearest(options.method, METHODS))
    text = sys.stdin.read() if options.params == "-" else options.params
    try:
        params = json.loads(text)
    except ValueError as exc:
        raise InputError("JSON", "…", f"is not JSON: {exc}", 'write an object such as {"verbose": true}') from None
    if not isinstance(params, dict):
        raise InputError("JSON", "…", "is not an object", 'write an object such as {"verbose": true}')
    own = params.get("timeout", METHODS[options.method].params["properties"].get("timeout", {}).get("default", 0))
    timeout = options.timeout if options.timeout is not None else 30 + (own if isinstance(own, (int, float)) else 0)
    with Client(options.control) as client:
        print(json.dumps(client.call(options.method, params, timeout), indent=2, ensure_ascii=False))
        if options.method == "subscribe":
            for event in client.events():
                print(json.dumps(event, ensure_ascii=False), flush=True)
    return 0


def _methods(options: argparse.Namespace) -> int:
    if options.json:
        print(json.dumps(catalogue(), indent=2))
        return 0
    for name, row in METHODS.items():
        print(f"{name}\n    {row.summary}")
        _describe("takes", row.params, 2)
        _describe("answers", row.result, 2)
        print()
    return 0


def _describe(title: str, schema: dict[str, Any], depth: int) -> None:
    indent = "  " * depth
    if schema.get("properties"):
        print(f"{indent}{title}:")
    for name, rule in schema.get("properties", {}).items():
        print(f"{indent}  {name}: {_rule(rule, name in schema.get('required', ()))}")
        inner = rule["items"] if rule["type"] == "array" else rule
        for choice in inner.get("anyOf", [inner])[:1]:
            if choice.get("properties"):
                _describe("each" if inner is not rule else "with", choice, depth + 2)


def _rule(rule: dict[str, Any], required: bool) -> str:
    kind = rule["type"] if isinstance(rule["type"], str) else " or ".join(rule["type"])
    if rule["type"] == "array":
        kind = f"array of {rule['items']['type']}"
    parts = [kind]
    if "enum" in rule:
        parts.append(" | ".join(map(str, rule["enum"])))
    if required:
        parts.append("required")
    if "default" in rule:
        parts.append(f"default {json.dumps(rule['default'])}")
    bounds = [f"{word} {rule[key]}" for key, word in (("minimum", "from"), ("maximum", "to")) if key in rule]
    parts.extend(bounds)
    text = f"({', '.join(parts)})"
    return f"{text} {rule['description']}" if "description" in rule else text
