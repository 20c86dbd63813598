# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``ipsec spi``: key SAs by hand, delete them, list all, in the classic words; needs no tunnel manager."""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

from ..classic.manual import NONE, Plan, Seen, perform, plan_absent, plan_present, with_purge
from ..classic.manual_words import read_said, read_wish
from ..classic.positional import parse_named, parse_positional, resolve_like
from ..classic.spi import read_entries
from ..classic.transforms import split_classic
from ..errors import InputError, MissingError
from ..kernel.addresses import is_local
from ..manager.client import DEFAULT_RUNTIME_DIR
from ..release import said_by
from ..said import Said
from .common import Parser, UsageError, check_label, complain, guarded, program_of, say, show_json

_FAILED = 1  # whatever it was: the classic command has no other status

_USAGE = """\
%(prog)s [--json]
       %(prog)s SA --src ADDRESS --ah HASH --authkey KEY [--mode MODE] [--replay_window N] [--life LIFE]...
       %(prog)s SA --src ADDRESS --esp CIPHER[-HASH] --enckey KEY [--authkey KEY] [--natt nonesp] ...
       %(prog)s SA --src ADDRESS --comp deflate
       %(prog)s SA --src ADDRESS --dst ADDRESS --ip4 | --ip6
       %(prog)s SA --del
       %(prog)s --clear
   SA: --said SAID, or --af inet|inet6 --edst ADDRESS --spi SPI --proto ah|esp|comp|tun"""
_DESCRIPTION = """\
Without words: list every SA of this host. Else make one SA with keys of your choice, or delete it.

Keys that nobody changes are for tests, and for peers without IKE. An SA alone protects nothing: ipsec eroute says which
packets go through it, ipsec spigrp through several.
"""
_EPILOG = """\
  CIPHER   aes256, aes128, 3des, null, aes256gcm16, ...      HASH  sha256, sha1-96, md5-96, hmac-sha2-256-128, ...
  KEY      0x and hexadecimal digits, or 0s and base64. What stands on the command line is seen by every user of this
           host: use --enckey-file and --authkey-file. With - for both, the first line of stdin is the cipher's key.
  LIFE     soft-bytes=N, hard-packets=N, soft-addtime=SECONDS, hard-usetime=SECONDS, ... several divided by commas

  ipsec spi --said esp.187a101b@192.0.2.2 --src 192.0.2.1 --esp aes256-sha2-256-128 \\
            --enckey-file /root/enckey --authkey-file /root/authkey --life soft-addtime=3000,hard-addtime=3600
  ipsec spi --af inet --edst 192.0.2.2 --spi 0x3d0 --proto tun --src 192.0.2.1 --dst 192.0.2.2 --ip4
  ipsec spi --said esp.187a101b@192.0.2.2 --del

--clear deletes what was made by this command and its owner, never an SA of IKE or of another program.

exit status: 0 done, 1 not done, and nothing changed.
More: man 8 ipsec_spi, of the listing man 5 ipsec_spi.
"""

_LIVES = {"bytes": "bytes", "packets": "packets", "addtime": "seconds", "usetime": "use_seconds"}
_TRANSFORMS = ("ah", "esp", "comp", "ip4", "ip6")
_OF_TRANSFORM = (
    "src", "dst", "enckey", "enckey_file", "authkey", "authkey_file", "mode", "replay_window", "life", "natt", "sport",
    "dport", "reqid",
)  # fmt: skip
# What manual_words.py calls them.
_WORDS = {
    "encryption.key": "--enckey", "integrity.key": "--authkey", "encryption.algorithm": "--esp", "source": "--src",
    "compression": "--comp", "encapsulation.source_port": "--sport", "encapsulation.destination_port": "--dport",
}  # fmt: skip
_NUMBER = re.compile(r"0[xX][0-9a-fA-F]{1,16}|[1-9][0-9]{0,19}|0")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    return guarded(program_of("spi", words), lambda: _run(words), _FAILED, _FAILED)


def parser() -> Parser:
    """What reads the command's words."""
    built = Parser(
        prog="ipsec spi",
        usage=_USAGE,
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = built.add_argument
    add("--said", metavar="SAID", help="the SA in one word, such as esp.1a2b@192.0.2.2")
    add("--af", metavar="FAMILY", help="inet or inet6")
    add("--edst", metavar="ADDRESS", help="where the SA ends: an address, or a name")
    add("--spi", metavar="SPI", help="0x and hexadecimal digits, or decimal")
    add("--proto", metavar="PROTOCOL", help="ah, esp, comp or tun")
    add("--src", metavar="ADDRESS", help="where its packets come from: an address, or a name")
    add("--dst", metavar="ADDRESS", help="of a tunnel: the same as --edst")
    add("--ah", metavar="HASH", help="prove integrity, such as hmac-sha2-256-128")
    add("--esp", metavar="CIPHER[-HASH]", help="encrypt, such as aes256-sha2-256-128")
    add("--comp", metavar="deflate", help="compress")
    add("--ip4", action="store_true", help="a tunnel over IPv4, to be grouped with what follows it")
    add("--ip6", action="store_true", help="a tunnel over IPv6, to be grouped with what follows it")
    add("--enckey", metavar="KEY", help="the key of the cipher; other users can see it")
    add("--enckey-file", metavar="FILE", help="where it is instead; - for stdin")
    add("--authkey", metavar="KEY", help="the key of the hash; other users can see it")
    add("--authkey-file", metavar="FILE", help="where it is instead; - for stdin")
    add("--mode", metavar="MODE", help="transport (the default for a new SA) or tunnel")
    add(
        "--replay_window",
        metavar="N",
        help="packets that may come late; 0, the default, takes each as often as it comes",
    )
    add("--life", metavar="LIFE", action="append", help="when it ends")
    add("--natt", metavar="nonesp", help="ESP in UDP")
    add("--sport", metavar="PORT", help="UDP port of the source (4500)")
    add("--dport", metavar="PORT", help="UDP port of the destination (4500)")
    add("--reqid", metavar="N", help="by which policies find it; left out, one of its own")
    add("--del", dest="delete", action="store_true", help="delete the SA")
    add("--clear", action="store_true", help="delete all that were keyed by hand")
    add("--owner", metavar="NAME", default="command", help="whose SAs these are (default %(default)s)")
    add("--label", metavar="TEXT", help="begin every message with it")
    add("--debug", action="store_true", help="say on stderr what was done")
    add("--json", action="store_true", help="list JSON instead of text")
    add("--version", action="version", version=said_by("spi"), help="say what this is")
    add("--runtime-dir", metavar="DIR", default=DEFAULT_RUNTIME_DIR, help="of the registry (default %(default)s)")
    return built


def _run(words: list[str]) -> int:
    given = parser().parse_args(words)
    program = program_of("spi", words)
    check_label(given.label)
    named = [name for name in ("said", "af", "edst", "spi", "proto") if getattr(given, name) is not None]
    transforms = [name for name in _TRANSFORMS if getattr(given, name)]
    details = [name for name in _OF_TRANSFORM if getattr(given, name) is not None]
    if given.clear:
        _alone("--clear", [*named, *transforms, *details, *(["del"] if given.delete else [])])
        return _finish(perform(given.runtime_dir, (), partial(with_purge, Plan(()), given.owner)), given, program)
    if not named:
        _alone("a list", [*transforms, *details, *(["del"] if given.delete else [])])
        return _list(given)
    said = _said(given)
    if given.delete:
        _alone("--del", [*transforms, *details])
        decide = partial(plan_absent, [said], given.owner, ["SA"])
        plan = perform(given.runtime_dir, [said], decide)
        if not plan.changed:
            raise MissingError(f"{said}: no such SA was keyed by hand", "see ipsec spi")
        return _finish(plan, given, program)
    if len(transforms) != 1:
        problem = (
            f"{' and '.join('--' + name for name in transforms)} exclude each other"
            if transforms
            else "does not say what it does"
        )
        raise UsageError(f"{said}: {problem}; give one of --ah, --esp, --comp, --ip4 and --ip6, or --del")
    return _make(said, transforms[0], given, program)


def _alone(what: str, others: list[str]) -> None:
    if others:
        shown = ", ".join("--" + name.replace("_file", "-file") for name in others)
        needs = "; name the SA with --said, or with --af, --edst, --spi and --proto" if what == "a list" else ""
        raise UsageError(f"{shown}: cannot stand beside {what}{needs}")


def _said(given: argparse.Namespace) -> Said:
    parts = {name: getattr(given, name) for name in ("af", "edst", "spi", "proto")}
    present = [f"--{name}" for name, value in parts.items() if value is not None]
    if given.said is not None:
        if present:
            raise UsageError(f"{', '.join(present)}: cannot stand beside --said; name the SA in one way")
        return read_said(str(parse_named(given.said, "--said")), "--said")
    missing = [f"--{name}" for name, value in parts.items() if value is None]
    if missing:
        raise UsageError(f"{', '.join(present)} without {', '.join(missing)}; give all four, or --said")
    (said,) = parse_positional([parts["af"], parts["edst"], parts["spi"], parts["proto"]], "SA")
    return read_said(str(said), "SA")


def _make(said: Said, transform: str, given: argparse.Namespace, program: str) -> int:
    words = {"said": str(said), "source": _address(given.src, said, "--src"), **_protocol_words(said, transform, given)}
    words |= {
        "mode": given.mode,
        "replay_window": _number(given.replay_window, "--replay_window"),
        "lifetime": _lifetime(given.life),
        "encapsulation": _encapsulation(given),
        "reqid": _number(given.reqid, "--reqid"),
    }
    if given.dst is not None and _address(given.dst, said, "--dst") != said.destination:
        raise InputError("--dst", given.dst, f"is not where {said} ends", "write the same as --edst")
    _warn_of_argv(given, program)
    try:
        wish = read_wish(words)
    except InputError as exc:
        field = _WORDS.get(exc.field) or f"--{'life' if exc.field.startswith('lifetime') else exc.field.split('.')[0]}"
        field = f"--{transform}" if exc.field == "integrity.algorithm" else field
        raise InputError(field, exc.value, exc.problem, exc.remedy) from None

    def decide(seen: Seen) -> Plan:
        return plan_present([wish], given.owner, ["SA"], seen)

    return _finish(perform(given.runtime_dir, [said], decide), given, program)


def _protocol_words(said: Said, transform: str, given: argparse.Namespace) -> dict[str, Any]:
    fitting = {"ah": 51, "esp": 50, "comp": 108, "ip4": 4, "ip6": 4}[transform]
    version = {"ip4": ".", "ip6": ":"}.get(transform)
    if said.protocol != fitting or (version == ":") != (":" in said.destination) and version:
        raise UsageError(f"--{transform}: does not fit {said}")
    encryption_key, integrity_key = _keys(given)
    if transform in ("comp", "ip4", "ip6"):
        for name, key in (("enckey", encryption_key), ("authkey", integrity_key)):
            if key is not None:
                raise UsageError(f"--{name}: --{transform} takes no key")
        return {"compression": given.comp} if transform == "comp" else {}
    if transform == "ah":
        if encryption_key is not None:
            raise UsageError("--enckey: --ah does not encrypt; use --authkey")
        return {"integrity": {"algorithm": given.ah, "key": integrity_key}}
    cipher, hash_ = split_classic(given.esp, "--esp")
    if integrity_key is not None and not hash_:
        raise UsageError(f"--authkey: --esp {given.esp} names no hash; write it behind, such as {cipher}-sha2-256-128")
    return {
        "encryption": {"algorithm": cipher, "key": encryption_key},
        "integrity": {"algorithm": hash_, "key": integrity_key} if hash_ else None,
    }


def _keys(given: argparse.Namespace) -> tuple[str | None, str | None]:
    return _key(given.enckey, given.enckey_file, "enckey"), _key(given.authkey, given.authkey_file, "authkey")


def _key(word: str | None, file: str | None, name: str) -> str | None:
    """A key as text: from argv, or the next line of a file."""
    if file is None:
        return word
    if word is not None:
        raise UsageError(f"--{name}: cannot stand beside --{name}-file")
    try:
        if file == "-":
            line = sys.stdin.readline()
        else:
            with open(file, encoding="ascii") as stream:
                line = stream.readline()
    except (OSError, UnicodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "is no text"
        # What is no path may be the key itself.
        shown = file if file.startswith(("/", ".")) else None
        raise InputError(f"--{name}-file", shown, str(reason), "name a file whose first line is the key") from None
    if not line.strip():
        raise InputError(
            f"--{name}-file", file, "has no key in its line", "write 0x and hexadecimal digits, or 0s and base64"
        )
    return line.strip()


def _warn_of_argv(given: argparse.Namespace, program: str) -> None:
    shown = [f"--{name}" for name in ("enckey", "authkey") if getattr(given, name) is not None]
    if shown:
        complain(
            f"{program}: {' and '.join(shown)}: every user of this host can see a key that stands on the command line; "
            f"use {' and '.join(name + '-file' for name in shown)}"
        )


def _address(word: str | None, said: Said, field: str) -> str | None:
    return None if word is None else resolve_like(said.destination, word, field)


def _number(word: str | None, field: str) -> int | None:
    if word is None:
        return None
    if not _NUMBER.fullmatch(word):
        raise InputError(field, word, "is no number", "write it in decimal, or 0x and hexadecimal digits")
    return int(word, 0)


def _lifetime(words: list[str] | None) -> dict[str, int] | None:
    """``soft-bytes=1000,hard-addtime=60`` and the like, in the words of the module."""
    if words is None:
        return None
    found: dict[str, int] = {}
    for word in (each for text in words for each in text.split(",")):
        name, equals, value = word.partition("=")
        end, dash, what = name.partition("-")
        if what == "allocations":
            raise InputError(
                "--life", word, "counts what this kernel does not", "limit bytes, packets, addtime or usetime"
            )
        if end not in ("soft", "hard") or not dash or what not in _LIVES or not equals:
            raise InputError(
                "--life", word, "is no limit", f"write soft-WHAT=N or hard-WHAT=N, WHAT being {', '.join(_LIVES)}"
            )
        key = f"{end}_{_LIVES[what]}"
        if key in found:
            raise InputError("--life", word, "is given twice", "give each limit once")
        found[key] = _number(value, "--life") or 0
    return found


def _encapsulation(given: argparse.Namespace) -> dict[str, int | None] | None:
    if given.natt is None:
        if given.sport is not None or given.dport is not None:
            raise UsageError("--sport and --dport: need --natt nonesp")
        return None
    if given.natt != "nonesp":
        raise InputError("--natt", given.natt, "is no encapsulation of this kernel", "write nonesp (RFC 3948)")
    return {"source_port": _number(given.sport, "--sport"), "destination_port": _number(given.dport, "--dport")}


def _finish(plan: Plan, given: argparse.Namespace, program: str) -> int:
    for warning in plan.warnings:
        complain(f"{program}: {warning}")
    for step in plan.steps:
        if given.debug:
            complain(f"{program}: {step.said} {step.action}{': ' if step.fields else ''}{', '.join(step.fields)}")
        elif step.impact == "re-create":
            complain(f"{program}: {step.said} was made anew ({', '.join(step.fields)}): its counters begin at 0")
        if step.by_group:
            complain(
                f"{program}: {step.said} is in tunnel mode, which a group with tun gave it, and keeps that as long as "
                "a group or a policy needs it; --mode transport makes it anew"
            )
    if given.debug and all(step.action == NONE for step in plan.steps):
        complain(f"{program}: nothing to do")
    return 0


def _list(given: argparse.Namespace) -> int:
    found, now = read_entries(given.runtime_dir, is_local), time.time()
    if given.json:
        show_json([entry.plain(now) for entry in found])
    else:
        for entry in found:
            say(entry.line(now))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
