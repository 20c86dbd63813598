# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Targets as people write them, and the addresses they mean."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ..errors import InputError
from ..newer_python import dataclass, zip

IKE_PORT = 500
NATT_PORT = 4500
FAMILIES = {"any": socket.AF_UNSPEC, "inet": socket.AF_INET, "inet6": socket.AF_INET6}
SocketAddress = tuple[Any, ...]  # host, port, and what else the family has

_FAMILY_NAMES: dict[int, str] = {socket.AF_INET: "IPv4", socket.AF_INET6: "IPv6"}
_RESOLVERS = 32
NAME_NOT_FOUND = "name not found"
_BRACKETED = re.compile(r"\[([^\[\]/]*:[^\[\]/]*)\](?:[:/](.*))?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Target:
    """One destination.

    :ivar text: as the user wrote it.
    :ivar family: AF_INET or AF_INET6; AF_UNSPEC when the name could not be resolved.
    :ivar address: numeric address, with the zone of a link-local one; empty when not resolved.
    :ivar port: UDP port, 1..65535.
    :ivar sockaddr: what ``sendto`` takes.
    :ivar marker: whether the non-ESP marker (RFC 3948 section 2.2) goes in front.
    :ivar problem: why there is no address, empty when there is one.
    """

    text: str
    family: int
    address: str
    port: int
    sockaddr: SocketAddress
    marker: bool = False
    problem: str = ""


def split_target(text: str, default_port: int, field: str = "targets") -> tuple[str, int]:
    """Split ``HOST[/PORT]`` at its only slash; ``HOST:PORT``, ``[IPV6]`` and ``[IPV6]:PORT`` mean the same.

    :raises InputError: naming ``field``.
    """
    host, slash, port = _as_classic(text.strip()).partition("/")
    if host.split() != [host] or not host.isprintable():
        raise InputError(field, text, "there is no host", "write HOST or HOST/PORT")
    if host.count(":") == 1 or set(host) & set("[]"):
        raise InputError(field, text, "is neither a name nor an address", "write HOST/PORT, or [IPV6]:PORT")
    if not slash:
        return host, default_port
    if not (port.isascii() and port.isdigit()) or not 1 <= int(port) <= 65535:
        raise InputError(
            field,
            text,
            f"bad port {port!r}",
            "write HOST/PORT with a port of 1 to 65535",
        )
    return host, int(port)


def _as_classic(text: str) -> str:
    """``HOST/PORT`` of what other programs write; no name and no IPv4 address has a colon of its own."""
    bracketed = _BRACKETED.fullmatch(text)
    if bracketed:
        return bracketed[1] + (f"/{bracketed[2]}" if bracketed[2] is not None else "")
    host, colon, port = text.partition(":")
    return f"{host}/{port}" if colon and "/" not in text and ":" not in port else text


def address_text(sockaddr: SocketAddress) -> str:
    """The address of a socket address; a link-local one says nothing without its zone (RFC 4007 section 11)."""
    address = str(sockaddr[0]).partition("%")[0]
    scope = sockaddr[3] if len(sockaddr) > 3 else 0
    if not scope or not ipaddress.ip_address(address).is_link_local:
        return address
    try:
        return f"{address}%{socket.if_indextoname(scope)}"
    except OSError:  # the interface has just gone
        return f"{address}%{scope}"


def resolve_targets(texts: Iterable[str], family: int, natt: bool, field: str = "targets") -> list[Target]:
    """The targets in order; a name that cannot be resolved yields a target with a ``problem``.

    :param family: AF_INET or AF_INET6 to restrict to, AF_UNSPEC for either.
    :param natt: send the non-ESP marker, default port 4500.
    :raises InputError: a malformed target, or an address of the family that is excluded.
    """
    default = NATT_PORT if natt else IKE_PORT
    places = [(text, *split_target(text, default, f"{field}[{index}]")) for index, text in enumerate(texts)]
    targets: list[Target | None] = [
        _numeric(text, host, port, family, natt, f"{field}[{index}]") for index, (text, host, port) in enumerate(places)
    ]
    names = [index for index, target in enumerate(targets) if target is None]
    if names:
        # The resolver blocks; many names at once must not take many times its time-out.
        with ThreadPoolExecutor(max_workers=min(_RESOLVERS, len(names))) as pool:
            for index, target in zip(
                names,
                pool.map(lambda i: _named(*places[i], family, natt), names),
                strict=True,
            ):
                targets[index] = target
    return [target for target in targets if target is not None]


def _marker(port: int, natt: bool) -> bool:
    # Port 4500 takes nothing but marked messages, port 500 never takes one (RFC 7296 section 3.1).
    return port == NATT_PORT or (natt and port != IKE_PORT)


def _numeric(text: str, host: str, port: int, family: int, natt: bool, field: str) -> Target | None:
    sockaddr: SocketAddress
    try:
        # Many addresses of the usual form must not each take a turn of the resolver.
        socket.inet_pton(socket.AF_INET, host)
        kind, sockaddr = socket.AF_INET, (host, port)
    except OSError:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM, flags=socket.AI_NUMERICHOST)[0]
        except (OSError, UnicodeError):
            return None
        kind, sockaddr = found[0], found[4]
    if family not in (socket.AF_UNSPEC, kind):
        wanted = _FAMILY_NAMES[family]
        raise InputError(
            field,
            text,
            f"is not an {wanted} address",
            "leave out the family, or write an address of it",
        )
    return _target(text, kind, sockaddr, port, natt)


def _named(text: str, host: str, port: int, family: int, natt: bool) -> Target:
    try:
        found = socket.getaddrinfo(host, port, family=family, type=socket.SOCK_DGRAM)[0]
    except (OSError, UnicodeError) as exc:
        kind = _FAMILY_NAMES.get(family, "")
        story = f"{host} has no {kind + ' ' if kind else ''}address: {getattr(exc, 'strerror', None) or exc}"
        zone = host.partition("%")[2] if ":" in host else ""
        if zone and zone not in (name for _number, name in socket.if_nameindex()):
            story = f"{zone} is no interface of this host"
        return Target(text, socket.AF_UNSPEC, "", port, (), problem=story)
    return _target(text, found[0], found[4], port, natt)


def _target(text: str, family: int, sockaddr: SocketAddress, port: int, natt: bool) -> Target:
    return Target(
        text,
        family,
        address_text(sockaddr),
        port,
        sockaddr,
        _marker(port, natt),
    )
