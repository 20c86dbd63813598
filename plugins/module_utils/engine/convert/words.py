# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the texts of other programs' options to values of a definition."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from typing import Any

from ..definition.peer import is_name, read_host
from ..definition.table import MAX_CARRIED, MAX_SECONDS
from ..errors import InputError
from ..foreign_identities import ANYBODY, is_pattern
from ..identity import ID_FQDN, ID_KEY_ID, Identity
from ..identity_pattern import IdentityPattern
from ..selector import parse_selector
from .report import LOST, SKIPPED, Unfit
from .rows import Reader, Tell

TRUE = ("yes", "true", "1", "on", "y", "enabled")
FALSE = ("no", "false", "0", "off", "n", "disabled")
ANY = ("%any", "%any4", "%any6", "%defaultroute", "%config", "0.0.0.0", "::", "0.0.0.0/0", "::/0")
DYNAMIC = "dynamic"
_WORD = "stands for something only that program knows"

_SECONDS = {
    unit: seconds
    for seconds, units in {
        1: ("s", "sec", "secs", "second", "seconds"), 60: ("m", "min", "mins", "minute", "minutes"),
        3600: ("h", "hour", "hours"), 86400: ("d", "day", "days"), 604800: ("w", "week", "weeks"),
    }.items()
    for unit in units
}  # fmt: skip
_PARTS = {"ms": 1000, "us": 1_000_000}  # of a second
_DURATION = re.compile(r"(\d{1,15})\s*([A-Za-z]*)", re.ASCII)
_SIZE = re.compile(r"2\^(?P<power>\d{1,2})|(?P<number>\d{1,18})\s*(?P<unit>[kmgt]?)(i?b?)", re.ASCII)
_KEY = re.compile(r"[0-9a-fA-F]+", re.ASCII)


def choice(words: Mapping[str, Any]) -> Reader:
    """A reader of words that stand for values."""

    def read(text: str, tell: Tell) -> Any:
        value = words.get(text.lower())
        if value is None:
            raise Unfit(LOST, "has no counterpart, the default is taken", f"known are: {', '.join(words)}")
        return value

    return read


# What becomes of a child that the peer closes, in the words of now and in older ones.
close_action = choice(
    {"none": "none", "clear": "none", "trap": "trap", "hold": "trap", "start": "start", "restart": "start"}
)


def yes_no(yes: Any, no: Any) -> Reader:
    """A reader of a switch."""
    return choice(dict.fromkeys(TRUE, yes) | dict.fromkeys(FALSE, no))


# ``auto`` has the device encrypt where it can.
offload = choice({**dict.fromkeys((*TRUE, "crypto"), "crypto"), **dict.fromkeys((*FALSE, "auto"), "none")})
# ``accept`` takes fragments and sends none, ``force`` sends them unasked: both get what is agreed with the peer.
fragmentation = choice(dict.fromkeys((*TRUE, "accept"), "auto") | dict.fromkeys(FALSE, "never"))


def duration(minimum: int = 10, unit: str = "s") -> Reader:
    """A reader of times; those beyond what a definition takes become the nearest that it does.

    :param unit: of a number without one.
    """

    def read(text: str, tell: Tell) -> int:
        match = _DURATION.fullmatch(text.strip())
        given = (match[2] or unit) if match else ""
        if match is None or given not in (*_SECONDS, *_PARTS):
            raise Unfit(LOST, "is not a time, the default is taken", "write a number with s, m, h or d")
        amount, part = int(match[1]) * _SECONDS.get(given, 1), _PARTS.get(given, 1)
        if amount == 0 < minimum:
            raise Unfit(LOST, "never is not possible here, the default is taken", "give a long time, such as 1d")
        taken = min(max(-(-amount // part), minimum), MAX_SECONDS)
        if taken * part != amount:
            tell(LOST, f"{taken} s are taken, the nearest that is possible", "")
        return taken

    return read


def size(text: str, tell: Tell) -> int:
    """Octets or packets: a number, also with k, m, g, or a power of two."""
    match = _SIZE.fullmatch(text.strip().lower())
    if match is None:
        raise Unfit(LOST, "is not a size, there is no limit", "write a number, or one with k, m or g")
    if match["power"]:
        found = 1 << int(match["power"])
    else:
        found = int(match["number"]) << 10 * ("kmgt".index(match["unit"]) + 1 if match["unit"] else 0)
    return found if found <= MAX_CARRIED else 0  # as good as none


def number(minimum: int, maximum: int) -> Callable[[str, Tell], int]:
    """A reader of whole numbers."""

    def read(text: str, tell: Tell) -> int:
        if not (text.isascii() and text.isdigit() and len(text) < 12 and minimum <= int(text) <= maximum):
            raise Unfit(LOST, "is not possible here, the default is taken", f"{minimum} to {maximum} are possible")
        return int(text)

    return read


def dscp(text: str, tell: Tell) -> int:
    """A DSCP of six binary digits."""
    if not re.fullmatch("[01]{6}", text):
        raise Unfit(LOST, "is no DSCP, none is set", "write six binary digits")
    return int(text, 2)


def peer_port(text: str, tell: Tell) -> int | None:
    """The port of the peer; on any but 500 other programs speak as behind a NAT from the first packet on."""
    port = number(1, 65535)(text, tell)
    return None if port == 500 else port


def items(text: str) -> list[str]:
    """What stands between commas."""
    return [item for part in text.split(",") if (item := part.strip())]


def listed(text: str, tell: Tell) -> list[str] | None:
    """A reader of names between commas, None where there is none."""
    return items(text) or None


def address(text: str, tell: Tell) -> str | None:
    """The address of an end, None for any."""
    found = peer_address(text, tell)
    if found is not None and is_name(found):
        remedy = "write the address in place of the name, and convert again"
        raise Unfit(SKIPPED, "this end has an address, and names are not resolved", remedy)
    return found


def peer_address(text: str, tell: Tell) -> str | None:
    """The address of the peer, or its host name; None for any."""
    found = [item for item in items(text) if item.lower() not in ANY]
    if not found:
        return None
    if len(found) > 1:
        tell(
            LOST,
            f"only {found[0]} is taken",
            "of a peer, list them all as remote.addresses, or leave it out and let the peer start",
        )
    first = found[0]
    if first.startswith("%"):
        what = "opportunistic encryption is not supported" if "group" in first or "oppo" in first else _WORD
        raise Unfit(SKIPPED, what, "write the address itself")
    if "/" in first or re.fullmatch(r"[0-9.]+-[0-9.]+|[0-9a-fA-F:]+-[0-9a-fA-F:]+", first):
        tell(LOST, "any address is taken", "restrict the peer by its identity, or by a firewall")
        return None
    try:
        return read_host(first, "")
    except InputError as problem:
        raise Unfit(SKIPPED, problem.problem, problem.remedy) from None


def identity(text: str, tell: Tell) -> str | None:
    """An identity in our words, None for any."""
    value = text.strip()
    if value.lower() in (*ANYBODY, "%none", ""):
        tell(LOST, "every tunnel names the peer: its address stands for it", "give the peer's identity")
        return None
    if value.startswith("%"):
        raise Unfit(SKIPPED, _WORD, "write the identity itself")
    wanted = _typed(value)
    if is_pattern(wanted):
        raise Unfit(SKIPPED, "a tunnel names one peer, not all that fit", "make a tunnel for each peer")
    try:
        Identity.parse(wanted)
    except InputError as problem:
        raise Unfit(SKIPPED, f"is no identity here: {problem.problem}", problem.remedy) from None
    return wanted


def identity_or_pattern(text: str, tell: Tell) -> str | None:
    """As :func:`identity`, and also a pattern, for peers that certificates tell apart; None for any."""
    if text.strip().lower() in (*ANYBODY, ""):
        return None
    wanted = _typed(text.strip())
    if text.startswith("%") or not is_pattern(wanted):
        return identity(text, tell)
    try:
        found = IdentityPattern.parse(wanted)
    except InputError as problem:
        raise Unfit(SKIPPED, f"is no pattern here: {problem.problem}", problem.remedy) from None
    if found.type == ID_FQDN:
        tell(LOST, "the asterisk stands for one label of the name, not for several", "make a tunnel for each depth")
    return wanted


_TYPES = {
    "fqdn": "fqdn", "dns": "fqdn", "email": "email", "rfc822": "email", "userfqdn": "email", "keyid": "keyid",
    "asn1dn": "dn", "dn": "dn", "ipv4": "ipv4", "ipv6": "ipv6",
}  # fmt: skip


def _typed(value: str) -> str:
    kind, colon, rest = value.partition(":")
    if colon and kind.lower() in _TYPES:
        kind = _TYPES[kind.lower()]
        return _key_id(rest[1:]) if kind == "keyid" and rest.startswith("#") else f"{kind}:{rest}"
    if value.startswith("@#"):
        return _key_id(value[2:])
    if value.startswith("@~"):
        return f"dn:{value[2:]}"
    if value.startswith("@[") and value.endswith("]"):
        return f"keyid:{value[2:-1]}"
    if value.startswith("@@"):
        return f"email:{value[2:]}"
    if value.startswith("@"):
        return value[1:] if _is_name(value[1:]) else f"fqdn:{value[1:]}"
    if "=" in value:
        return f"dn:{value}"
    # What is neither an address nor has a type is a key ID to strongSwan.
    return f"keyid:{value}" if colon and "@" not in value and not _is_address(value) else value


def _is_name(value: str) -> bool:
    """Whether it is a host name without a type before it, and nothing else."""
    return not (set("@:=") & set(value) or _is_address(value))


def _is_address(value: str) -> bool:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return False
    return True


def _key_id(digits: str) -> str:
    """A key ID given in hexadecimal digits: as text where it is one."""
    digits = digits.removeprefix("0x")
    if not _KEY.fullmatch(digits) or len(digits) % 2:
        raise Unfit(SKIPPED, "is no key ID in hexadecimal digits", "write an even number of digits")
    return str(Identity(ID_KEY_ID, bytes.fromhex(digits)))


_SHORT = re.compile(r"(?P<octets>\d{1,3}(\.\d{1,3}){0,2})/(?P<length>\d{1,2})", re.ASCII)  # 0/0, 10.1/16
_BRACKET = re.compile(r"(?P<net>[^\[\]]*)(?:\[(?P<transport>[^\[\]]*)\])?")
_SERVICES = {
    "domain": 53, "dns": 53, "http": 80, "https": 443, "ssh": 22, "l2tp": 1701, "l2f": 1701, "bgp": 179, "ntp": 123,
    "snmp": 161, "syslog": 514, "smtp": 25, "telnet": 23, "ftp": 21, "isakmp": 500, "ipsec-nat-t": 4500, "ldap": 389,
}  # fmt: skip
# As /etc/protocols has them.
_PROTOCOLS = {"ipv6-icmp": "icmpv6", "icmp6": "icmpv6", "ipencap": "4", "ipip": "4", "ipv6": "41", "esp": "50",
              "ah": "51", "l2tp": "115", "vrrp": "112", "eigrp": "88", "ospfigp": "ospf", "igmp": "2",
              "pim": "103"}  # fmt: skip


def selectors(text: str, tell: Tell) -> list[str]:
    """Networks; ``dynamic`` with or without protocol and port stays as it is, for whoever knows the address."""
    found = []
    for item in items(text):
        match = _BRACKET.fullmatch(item)
        net, transport = (match["net"].strip(), match["transport"]) if match else (item, None)
        ending = "" if not transport else f"[{protocol_and_port(transport, tell)}]"
        ending = "" if ending == "[]" else ending
        if net.lower() in (DYNAMIC, "%dynamic", ""):
            found.append(f"{DYNAMIC}{ending}")
            continue
        if net.lower().startswith(("vhost:", "vnet:", "%")):
            raise Unfit(SKIPPED, "networks that the peer chooses are not possible", "list the networks")
        found.append(_selector(f"{_network(net)}{ending}"))
    return found


def _network(net: str) -> str:
    """Host bits, which other programs forgive, are cut off, and octets that they leave out filled in."""
    short = _SHORT.fullmatch(net)
    if short is not None:
        net = f"{'.'.join([*short['octets'].split('.'), '0', '0', '0'][:4])}/{short['length']}"
    try:
        return str(ipaddress.ip_network(net, strict=False))
    except ValueError:
        return net


def _selector(text: str) -> str:
    try:
        return str(parse_selector(text))
    except InputError as problem:
        raise Unfit(SKIPPED, f"is no network here: {problem.problem}", problem.remedy) from None


def protocol_and_port(text: str, tell: Tell) -> str:
    """``PROTOCOL/PORT`` in our words, empty for everything."""
    protocol, _slash, port = text.strip().lower().partition("/")
    protocol = _PROTOCOLS.get(protocol, protocol)
    port = str(_SERVICES.get(port, port))
    if port in ("any", "%any", "", "0-65535"):
        return "" if protocol in ("any", "%any", "0", "") else protocol
    if port == "opaque" or not re.fullmatch(r"\d{1,5}(-\d{1,5})?", port):
        raise Unfit(SKIPPED, f"port {port} has no place here", "write a number or a range such as 1024-2048")
    if port == "0" and protocol not in ("icmp", "icmpv6", "1", "58"):
        tell(LOST, "port 0 alone is protected, which nothing uses", "leave the port out for all of them")
    return f"{protocol or 'any'}/{port}"


def protoport(text: str, tell: Tell) -> str:
    """Reader of an option of ipsec.conf, in which port 0 stands for all ports."""
    protocol, _slash, port = text.partition("/")
    return protocol_and_port(protocol if port.strip() == "0" else text, tell)
