# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write completion for bash and zsh from the parsers of the command lines: ``python3 -m tests.docs.completion``."""

from __future__ import annotations

import argparse
import re
import shlex
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "plugins" / "module_utils"))

from engine.cli import eroute, ike, ikedb, ikeping, import_keys, ipsec, spi, spigrp  # noqa: E402
from engine.manager import command  # noqa: E402
from engine.manager.methods import METHODS  # noqa: E402

SHARE = ROOT / "plugins/module_utils/engine/cli/share"
LICENSE = """\
# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Generated from the command's parser by: python3 -m tests.docs.completion
"""
FILES, FOLDERS, HOSTS, TUNNELS, ANYTHING = "files", "folders", "hosts", "tunnels", "anything"

# What stands for the value of an option, by what the help calls it; all else may be anything.
KINDS = {"FILE": FILES, "SECRETS": FILES, "SOCKET": FILES, "DIR": FOLDERS, "NAME": ANYTHING}
WORDS = {
    "FAMILY": ("inet", "inet6"),
    "PROTOCOL": ("ah", "esp", "comp", "tun"),
    "MODE": ("transport", "tunnel"),
    "WHICH": ("out", "both"),
    "deflate": ("deflate",),
    "nonesp": ("nonesp",),
}
OF_ONE = {
    ("ipsec eroute", "--proto"): WORDS["PROTOCOL"],
    ("ipsec eroute", "--transport-proto"): ("tcp", "udp", "icmp", "ipv6-icmp", "sctp"),
    ("ipsec eroute", "--said"): ("%pass", "%drop", "%reject", "%trap"),
    ("ikedb", "-t"): ikedb.TYPES,
    ("ikedb", "-n"): TUNNELS,
    ("ikedb", "-x"): ("yes",),
}
# The names of defined tunnels stand in the manager's answer with one indent for each level above them. A shell expands
# what it chooses from, so that none may have a letter that means something to it.
NAMES = (
    "ike cmd=list db phase=1 --json 2>/dev/null | "
    """sed -n 's/^      "name": "\\([[:alnum:]._-]*\\)",\\{0,1\\}$/\\1/p'"""
)


class Option(NamedTuple):
    """An option of a command, in all its spellings, with the kind or the words of its value; None for no value."""

    names: tuple[str, ...]
    value: str | tuple[str, ...] | None
    about: str


class Part(NamedTuple):
    """A command, or one of a command's commands: options, and what stands without a dash."""

    title: str
    options: tuple[Option, ...]
    operands: str | tuple[str, ...]


def part(title: str, parser: argparse.ArgumentParser, operands: str | tuple[str, ...] = ANYTHING) -> Part:
    """What a parser reads."""
    found = [_option(title, parser, each) for each in parser._actions if each.option_strings]
    return Part(title, tuple(found), operands)


def _option(title: str, parser: argparse.ArgumentParser, action: argparse.Action) -> Option:
    names = tuple(action.option_strings)
    about = (action.help or "") % {**vars(action), "prog": parser.prog} if action.help else ""
    if action.nargs == 0:
        # The word behind -x of ikedb is no value to its parser.
        return Option(names, OF_ONE.get((title, names[0])), about)
    kind = str(action.metavar)
    value = OF_ONE.get((title, names[0])) or tuple(action.choices or ()) or WORDS.get(kind) or KINDS.get(kind, ANYTHING)
    return Option(names, value, about)


def _of_manager() -> tuple[Part, ...]:
    parser = command.parser()
    choices = next(each.choices for each in parser._actions if isinstance(each, argparse._SubParsersAction))
    assert choices
    operands = {"call": tuple(METHODS)}
    parts = [part(f"fleet-ipsec-manager {name}", sub, operands.get(name, ANYTHING)) for name, sub in choices.items()]
    return (part("fleet-ipsec-manager", parser, tuple(choices)), *parts)


PARTS = {
    "fleet-ipsec-manager": _of_manager(),
    "ikedb": (part("ikedb", ikedb.parser(), FILES),),
    "ipsec": (
        Part(
            "ipsec", (Option(("--help", "-h"), None, ""), Option(("--version",), None, "")), (*ipsec.COMMANDS, "help")
        ),
        part("ipsec eroute", eroute.parser()),
        part("ipsec spi", spi.parser()),
        part("ipsec spigrp", spigrp.parser(), ("inet", "inet6")),
        part("ipsec ikeping", ikeping.parser(), HOSTS),
        part("ipsec import", import_keys.parser(), FILES),
        Part("ipsec help", (), tuple(ipsec.COMMANDS)),
    ),
}


# bash

BASH_HEAD = """
_fleet_ipsec_{id}() {{
    local line=${{COMP_LINE:0:COMP_POINT}} current="" previous="" head="" words{more}
    read -ra words <<< "$line"
    if [[ $line != *[[:space:]] ]]; then
        current=${{words[-1]}}
        unset "words[-1]"
    fi
    ((${{#words[@]}} > 1)) && previous=${{words[-1]}}
    COMPREPLY=()
    # What stands before an equals sign is another word to readline, mostly.
    if [[ $current == *=* ]]; then
        previous=${{current%%=*}}
        [[ $COMP_WORDBREAKS == *=* ]] || head=$previous=
        current=${{current#*=}}
    fi
"""
BASH_TAIL = """
}}

complete -F _fleet_ipsec_{id} {name}
"""


def bash(name: str, parts: Iterable[Part]) -> str:
    """Completion of a command with options for bash."""
    first, *others = parts
    lines = [LICENSE.rstrip(), BASH_HEAD.format(id=name.replace("-", "_"), more=" part").rstrip()]
    lines.append(f"    part={shlex.quote(first.title)}")
    if others:
        known = "|".join(each.title.split()[-1] for each in others)
        lines.append(f"    case ${{words[1]-}} in {known}) part={name}\\ ${{words[1]}} ;; esac")
    lines.append('    case "$part $previous" in')
    for each in (first, *others):
        for option in each.options:
            if option.value is not None:
                spelled = "|".join(shlex.quote(f"{each.title} {spelling}") for spelling in option.names)
                lines.append(f"        {spelled}) {_bash_values(option.value)}; return ;;")
    lines += ["    esac", '    case "$part" in']
    for each in (first, *others):
        spellings = " ".join(spelling for option in each.options for spelling in option.names)
        also = f" {' '.join(each.operands)}" if isinstance(each.operands, tuple) else ""
        dashed = f'mapfile -t COMPREPLY < <(compgen -W "{spellings}{also}" -- "$current")'
        if each.operands in (FILES, HOSTS):
            dashed = f"if [[ $current == -* ]]; then {dashed}; else {_bash_values(each.operands)}; fi"
        lines.append(f"        {shlex.quote(each.title)}) {dashed} ;;")
    lines.append("    esac")
    return "\n".join(lines) + BASH_TAIL.format(id=name.replace("-", "_"), name=name)


def _bash_values(value: str | tuple[str, ...]) -> str:
    if value == ANYTHING:
        return ":"
    if value == HOSTS:
        return 'mapfile -t COMPREPLY < <(compgen -A hostname -- "$current")'
    if value in (FILES, FOLDERS):
        kind = "-d" if value == FOLDERS else "-f"
        files = f'mapfile -t COMPREPLY < <(compgen -P "$head" {kind} -- "$current")'
        return f"compopt -o filenames 2>/dev/null; {files}"
    words = f"$({NAMES})" if value == TUNNELS else " ".join(value)
    return f'mapfile -t COMPREPLY < <(compgen -P "$head" -W "{words}" -- "$current")'


def bash_ike() -> str:
    """Completion of the words of ``ike`` for bash."""
    lines = [LICENSE.rstrip(), BASH_HEAD.format(id="ike", more="").rstrip()]
    lines += [
        "    local command='' word before='' choices=''",
        '    for word in "${words[@]:1}"; do [[ $word == cmd=* ]] && command=${word#cmd=}; done',
        '    case "$command $previous" in',
        f"        *' --control') {_bash_values(FILES)}; return ;;",
        f"        *' cmd') choices='{' '.join(ike.COMMANDS)}' ;;",
        "        *' namelist')",
        "            [[ $current == *,* ]] && before=${current%,*},",
        f"            choices=$({NAMES}) ;;",
    ]
    for name, each in ike.COMMANDS.items():
        lines += [f"        '{name} {word}') choices='{' '.join(values)}' ;;" for word, values in each.choices.items()]
    lines += [
        "    esac",
        "    if [[ -n $choices ]]; then",
        '        mapfile -t COMPREPLY < <(compgen -P "$head$before" -W "$choices" -- "${current#"$before"}")',
        "        return",
        "    fi",
        "    [[ $line == *[[:space:]] || ${line##*[[:space:]]} != *=* ]] || return 0",
        f"    choices='{' '.join(_ike_options())}'",
        '    case "$command" in',
        "        '') choices+=' cmd=' ;;",
    ]
    for name, each in ike.COMMANDS.items():
        words = " ".join(f"{word}=" if valued else word for word, valued in each.words.items())
        lines.append(f"        {name}) choices+=' {words}' ;;")
    lines += [
        "    esac",
        '    mapfile -t COMPREPLY < <(compgen -W "$choices" -- "$current")',
        "    [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *= ]] && compopt -o nospace 2>/dev/null",
        "    return 0",
    ]
    return "\n".join(lines) + BASH_TAIL.format(id="ike", name="ike")


def _ike_options() -> list[str]:
    return [spelling for action in ike.parser()._actions for spelling in action.option_strings]


# zsh


def zsh(name: str, parts: Iterable[Part]) -> str:
    """Completion of a command with options for zsh."""
    first, *others = parts
    function = f"_{name}"
    lines = [f"#compdef {name}", LICENSE.rstrip(), "", f"{function}() {{"]
    if not others:
        lines += ["  _arguments -s \\", *_zsh_arguments(first)]
    else:
        plain = [spelling for option in first.options for spelling in option.names]
        lines += [
            "  if (( CURRENT == 2 )); then",
            f"    compadd -- {' '.join((*first.operands, *plain))}",
            "    return",
            "  fi",
        ]
        lines += ["  shift words; (( CURRENT-- ))", "  case $words[1] in"]
        for each in others:
            lines += [f"    {each.title.split()[-1]})", "      _arguments \\"]
            lines += [f"    {line}" for line in _zsh_arguments(each)]
            lines.append("      ;;")
        lines.append("  esac")
    lines += ["}", ""]
    return "\n".join([*lines, _zsh_names(), f'{function} "$@"', ""])


def _zsh_names() -> str:
    return f'_fleet_ipsec_tunnels() {{\n  local -a names\n  names=(${{(f)"$({NAMES})"}})\n  compadd -a names\n}}\n'


def _zsh_arguments(each: Part) -> list[str]:
    specifications = [_zsh_option(option) for option in each.options]
    if each.operands != ANYTHING:
        specifications.append(f"'*:argument:{_zsh_values(each.operands)}'")
    return [f"    {line} \\" for line in specifications[:-1]] + [f"    {specifications[-1]}"]


def _zsh_option(option: Option) -> str:
    about = re.sub(r"([\[\]:\\])", r"\\\1", option.about).replace("'", "'\\''")
    value = "" if option.value is None else f":value:{_zsh_values(option.value)}"
    spelled = option.names[0] if len(option.names) == 1 else "{" + ",".join(option.names) + "}"
    many = f"({' '.join(option.names)})" if len(option.names) > 1 else ""
    text = f"'[{about}]{value}'" if about else f"'{value}'" if value else ""
    return f"'{many}'{spelled}{text}" if many else f"{spelled}{text}"


def _zsh_values(value: str | tuple[str, ...]) -> str:
    if isinstance(value, tuple):
        return f"({' '.join(value)})"
    return {FILES: "_files", FOLDERS: "_files -/", HOSTS: "_hosts", TUNNELS: "_fleet_ipsec_tunnels", ANYTHING: " "}[
        value
    ]


def zsh_ike() -> str:
    """Completion of the words of ``ike`` for zsh."""
    lines = [
        "#compdef ike", LICENSE.rstrip(), "",
        "_ike() {",
        "  local command word",
        "  local -a plain valued",
        "  for word in $words; do [[ $word == cmd=* ]] && command=${word#cmd=}; done",
        "  if [[ $words[CURRENT-1] == --control ]]; then _files; return; fi",
        "  if compset -P 'cmd='; then",
        f"    compadd {' '.join(ike.COMMANDS)}; return",
        "  elif compset -P 'namelist='; then",
        "    compset -P '*,'; _fleet_ipsec_tunnels; return",
    ]  # fmt: skip
    for name, each in ike.COMMANDS.items():
        for word, values in each.choices.items():
            lines.append(f"  elif [[ $command == {name} ]] && compset -P '{word}='; then")
            lines.append(f"    compadd {' '.join(values)}; return")
    lines += [
        "  fi",
        "  [[ $PREFIX == *=* ]] && return 1",
        f"  plain=({' '.join(_ike_options())})",
        "  case $command in",
    ]
    lines.append("    '') valued=(cmd=) ;;")
    for name, each in ike.COMMANDS.items():
        valued = " ".join(f"{word}=" for word, takes in each.words.items() if takes)
        plain = " ".join(word for word, takes in each.words.items() if not takes)
        lines.append(f"    {name}) valued=({valued}); plain+=({plain}) ;;")
    lines += ["  esac", "  compadd -S '' -a valued", "  compadd -a plain", "}", ""]
    return "\n".join([*lines, _zsh_names(), '_ike "$@"', ""])


def written() -> dict[Path, str]:
    """Every file with its text."""
    found = {SHARE / "bash-completion/completions/ike": bash_ike(), SHARE / "zsh/site-functions/_ike": zsh_ike()}
    for name, parts in PARTS.items():
        found[SHARE / "bash-completion/completions" / name] = bash(name, parts)
        found[SHARE / "zsh/site-functions" / f"_{name}"] = zsh(name, parts)
    return found


def main() -> None:
    """Write the files."""
    for path, text in written().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
