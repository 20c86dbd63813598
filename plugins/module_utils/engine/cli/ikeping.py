# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``ipsec ikeping``: the classic options and lines, over engine/ping."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from typing import Any

from ..errors import InputError
from ..kernel.bypass import bypass_where_allowed
from ..ping.answers import describe
from ..ping.echo import ECHO_REQUEST, HEADER_SIZE
from ..ping.pinger import Plan, strip_marker
from ..ping.probes import PLANS, PROBES
from ..ping.run import Options, ping, serve
from ..ping.score import TIMEOUT
from ..release import said_by
from .common import UNAVAILABLE, USAGE, Parser, UsageError, complain, guarded, say, show_json

# The exit status counts lost packets; beyond this it would be taken for another kind of failure.
_MOST_LOST = USAGE - 1
_NAMES = {
    244: "echo-request",
    245: "echo-reply",
    30: "echo-request",
    31: "echo-reply",
    2: "main-mode",
    4: "aggressive-mode",
    5: "informational",
    34: "IKE_SA_INIT",
    37: "INFORMATIONAL",
}
_NEGATIVE = re.compile(r"-(?![46]+$)[0-9.]")
_VALUED = re.compile(r"--[a-z][a-z-]+|-[Epb]")
# What the engine calls by another name than the command line.
_OPTIONS = {
    "exchange": "--exchangenum",
    "local_port": "--ikeport",
    "local_address": "--ikeaddress",
    "listen_for": "--time",
    "listen_count": "--requests",
    "fingerprint_time": "--fingerprint-time",
} | {name: f"--{name}" for name in ("wait", "count", "interval", "retries", "rate", "family")}
_EPILOG = f"""\
kinds of probes:
{chr(10).join(f"  {row.name:<18}{row.about}" for row in PROBES.values())}
  {"ikev1":<18}ikev1_main, then ikev1_aggressive
  {"auto":<18}{", ".join(PLANS["auto"])}: one after another until something answers

examples:
  ipsec ikeping --probe auto gw2 2001:db8::1/4500   are they alive, whatever software they run
  ipsec ikeping gw2                                 the echo alone, for another gateway of ours
  ipsec ikeping --listen --time 60                  answer echoes for a minute, where no daemon runs
  ipsec ikeping --probe auto --fingerprint gw2      whose software is it (takes up to a minute)

exit status:
  0 everything was answered; 1 to {_MOST_LOST} so many packets were lost or names not found
  ({_MOST_LOST} stands for more);
  {USAGE} wrong arguments, or a local port or address that cannot be had;
  {UNAVAILABLE} this host cannot do it (no permission, no IPv6, ...)

An IKE daemon that does not reply to an echo is not dead: hardly any knows it. Ask with --probe auto.
More: man ipsec_ikeping.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    return guarded("ikeping", lambda: _run(words), USAGE, UNAVAILABLE)


def parser() -> Parser:
    """What reads the command's words."""
    built = Parser(
        prog="ipsec ikeping",
        description="Ask whether the IKE daemons of other hosts are alive, or answer those who ask.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    built.add_argument("targets", metavar="HOST[/PORT]", nargs="*", help="whom to ping (port 500; 4500 with --natt)")
    built.add_argument("--listen", action="store_true", help="send nothing, answer echo requests")
    built.add_argument("--verbose", action="store_true", help="show every packet in hexadecimal")
    built.add_argument("--wait", type=float, default=5.0, metavar="SECONDS", help="wait for answers (default 5)")
    built.add_argument(
        "--exchangenum", "-E", type=int, default=ECHO_REQUEST, metavar="N", help="exchange type, 1 to 254 (default 244)"
    )
    built.add_argument("--ikeport", "-p", type=int, metavar="N", help="local port (default 500; any if that is in use)")
    built.add_argument("--ikeaddress", "-b", metavar="ADDRESS", help="local address (default any)")
    family = built.add_mutually_exclusive_group()
    family.add_argument("--inet", "-4", action="store_const", dest="family", const="inet", help="IPv4 only")
    family.add_argument("--inet6", "-6", action="store_const", dest="family", const="inet6", help="IPv6 only")
    built.add_argument(
        "--natt",
        "--nat-t",
        action="store_true",
        help="NAT traversal: non-ESP marker; with --listen, ESP in UDP on the socket",
    )
    built.add_argument("--version", action="version", version=said_by("ikeping"), help="say what this is")
    more = built.add_argument_group("more than the classic command had")
    more.add_argument("--probe", choices=list(PLANS), default="echo", help="what to send (default echo), see below")
    more.add_argument("--count", type=int, default=1, metavar="N", help="pings for each host (default 1)")
    more.add_argument("--interval", type=float, default=1.0, metavar="SECONDS", help="between them (default 1)")
    more.add_argument("--retries", type=int, default=0, metavar="N", help="send again what is not answered (default 0)")
    more.add_argument("--rate", type=float, default=1000.0, metavar="N", help="packets a second (default 1000, 0: any)")
    more.add_argument(
        "--require",
        choices=["all", "any", "none"],
        default="all",
        help="which hosts must be alive for exit status 0 (default all, and no packet lost)",
    )
    more.add_argument("--any-source", action="store_true", help="take answers from another address, too")
    more.add_argument(
        "--no-bypass",
        action="store_true",
        help="let IPsec policies take the packets (else they pass by, as those of IKE daemons do)",
    )
    more.add_argument(
        "--fingerprint",
        action="store_true",
        help="tell whose software answers; leaves it two half-open SAs for a while",
    )
    more.add_argument(
        "--fingerprint-time",
        type=float,
        default=60.0,
        metavar="SECONDS",
        help="listen so long for how IKEv1 answers are repeated (default 60)",
    )
    more.add_argument(
        "--time", type=float, metavar="SECONDS", help="with --listen: for how long (default: until Ctrl-C)"
    )
    more.add_argument("--requests", type=int, metavar="N", help="with --listen: end after so many answers")
    more.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    return built


def _joined(words: list[str]) -> list[str]:
    """The words, with a negative number as the value of the option before it, so that its range is complained of.

    argparse would take it for an option of its own, as -4 and -6 are.
    """
    found: list[str] = []
    for word in words:
        option = found[-1] if found else ""
        if _NEGATIVE.match(word) and _VALUED.fullmatch(option):
            found[-1] = f"{option}={word}" if option.startswith("--") else option + word
        else:
            found.append(word)
    return found


def _run(words: list[str]) -> int:
    given = parser().parse_args(_joined(words))
    plan = Plan(
        probe=given.probe,
        exchange=given.exchangenum,
        wait=given.wait,
        count=given.count,
        interval=given.interval,
        retries=given.retries,
        rate=given.rate,
        any_source=given.any_source,
        fingerprint=given.fingerprint_time if given.fingerprint else None,
    )
    prepare = None if given.no_bypass else bypass_where_allowed
    options = Options(given.family or "any", given.ikeaddress, given.ikeport, given.natt, prepare, plan)
    if not given.listen and not given.targets:
        raise UsageError("there is nobody to ping; name at least one HOST[/PORT], or see ipsec ikeping --help")
    try:
        return _listen(given, options) if given.listen else _ping(given, options)
    except InputError as error:
        field = "HOST" if error.field.startswith("targets[") else _OPTIONS.get(error.field, error.field)
        raise InputError(field, error.value, error.problem, error.remedy) from None


def _ping(given: argparse.Namespace, options: Options) -> int:
    def trace(direction: str, address: str, port: int, datagram: bytes) -> None:
        if direction == "sent":
            say(f"Sending packet to {address}/{port}")
        else:
            _show_received(address, port, datagram)
        if given.verbose:
            say(hexdump(datagram))

    report = ping(given.targets, options, None if given.json else trace)
    summary = report["summary"]
    if given.json:
        show_json(report)
    else:
        _show_report(report)
        # Other answers than silence say by themselves what is wrong.
        if given.probe == "echo" and any(target["reason"] == TIMEOUT for target in report["targets"]):
            complain("ikeping: hardly any IKE daemon replies to an echo; ask with --probe auto")
    needed = {"all": True, "any": not summary["alive"], "none": False}[given.require]
    return min(summary["lost"] + summary["not_found"], _MOST_LOST) if needed else 0


def _show_received(address: str, port: int, datagram: bytes) -> None:
    message = strip_marker(datagram)
    if len(message) < HEADER_SIZE:
        complain(f"read short packet ({len(datagram)}) from {address}/{port}")
        return
    header = describe(message)
    number = header["exchange"]
    name = _NAMES.get(number, "")
    say(f"received {number}({name}) packet from {address}/{port} of len: {len(message)}")
    cookies = (f"{header[key][:8]}_{header[key][8:]}" for key in ("responder_cookie", "initiator_cookie"))
    say("\trcookie={} icookie={} msgid={}".format(*cookies, header["message_id"]))
    say(f"\tnp={header['next_payload']:03d}  version={header['version']}    xchg={name}({number})")


def _show_report(report: dict[str, Any]) -> None:
    for target in report["targets"]:
        place = f"{target['address'] or target['target'].strip().partition('/')[0]}/{target['port']}"
        if target["alive"]:
            times = "/".join(f"{target['rtt_ms'][key]:.3f}" for key in ("min", "avg", "max", "mdev"))
            say(f"{place} is alive: {target['answered_by']}, rtt min/avg/max/mdev = {times} ms")
            for line in _extras(target):
                say(f"\t{line}")
        else:
            say(f"{place} did not answer: {target['reason']} ({target['detail']})")
    sent, received, lost = (report["summary"][key] for key in ("sent", "received", "lost_percent"))
    nowhere = report["summary"]["not_found"]
    also = f", {nowhere} {'name' if nowhere == 1 else 'names'} not found" if nowhere else ""
    say(f"{sent} packets sent, {received} packets received. {lost}% packet loss{also}")


def _extras(target: dict[str, Any]) -> list[str]:
    answer, lines = target["answer"], []
    if "proposal" in answer:
        lines.append(f"proposal {answer['proposal']}")
    if "group_wanted" in answer:
        lines.append(f"wants key exchange group {answer['group_wanted']}")
    lines += [f"vendor ID {vendor['hex']} {vendor['name']}".rstrip() for vendor in answer.get("vendor_ids", ())]
    if "fingerprint" in target:
        lines += _fingerprint(target["fingerprint"])
    if target["duplicates"]:
        lines.append(f"{target['duplicates']} duplicates")
    return lines


def _fingerprint(found: dict[str, Any]) -> list[str]:
    lines = [f"implementation {found['implementation'] or 'unknown'}, confidence {found['confidence']}"]
    lines += [f"evidence: {sentence}" for sentence in found["evidence"]]
    if found["backoff"]:
        gaps = ", ".join(f"{gap:g}" for gap in found["backoff"]["gaps"])
        rhythm = f"after {gaps} s" if gaps else f"not at all in {found['backoff']['quiet']:g} s"
        guesses = ", ".join(found["backoff"]["guesses"]) or "nobody we know"
        lines.append(f"answer repeated {rhythm}, like {guesses}")
    return lines


def _listen(given: argparse.Namespace, options: Options) -> int:
    if given.targets:
        raise InputError("--listen", " ".join(given.targets), "sends nothing to anybody", "leave out the hosts")

    def trace(kind: str, address: str, port: int, datagram: bytes) -> None:
        _show_received(address, port, datagram)
        if kind == "answered":
            say(f"Sending packet to {address}/{port}")
        if given.verbose:
            say(hexdump(datagram))
        sys.stdout.flush()

    report = serve(options, given.time, given.requests, None if given.json else trace)
    if given.json:
        show_json(report)
    else:
        say(f"{report['answered']} packets sent, {report['received']} packets received.")
    return 0


def hexdump(octets: bytes) -> str:
    """Sixteen octets a line: offset, hexadecimal."""
    rows = (octets[start : start + 16] for start in range(0, len(octets), 16))
    return "\n".join(f"\t{number * 16:04x}  {row.hex(' ')}" for number, row in enumerate(rows))


if __name__ == "__main__":
    raise SystemExit(main())
