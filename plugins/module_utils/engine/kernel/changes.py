# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What others do to the kernel's tables in which something of ours is: SAs, policies, routes, links and rules.

An event says where to look, not what to do: it may be late, one of many, or of what was put right already.
"""

from __future__ import annotations

import errno
import os
import select
import socket
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import NamedTuple

from ..errors import MissingError
from . import xfrm
from .client import describe
from .links import ROUTE_PROTOCOL
from .listener import Listener, Message, Wanted
from .registry import is_ours, is_shunt
from .values import PROTOCOL_NAMES, Policy

SAS, POLICIES, ROUTES, LINKS, RULES = KINDS = ("sas", "policies", "routes", "links", "rules")

_NETLINK_ROUTE, _NETLINK_NETFILTER = 0, 12
_NEWLINK, _DELLINK, _NEWADDR, _DELADDR, _DELROUTE = 16, 17, 20, 21, 25
_GROUPS_ROUTE = (1, 5, 7, 9, 11)  # links, addresses and routes of IPv4, addresses and routes of IPv6
_ROUTE_FORM, _ROUTE_PROTOCOL_AT = 12, 21
_IFLA_NAME, _RTA_DESTINATION = 3, 1
_LINK_FORM = 16
_GROUP_NFTABLES = 7
_NFTABLES = 10 << 8
_NEWGENERATION = _NFTABLES | 15
# A table, chain, rule, set, element, object or flowtable that came, changed or went: what comes may disarm the rest.
# The first attribute of each names the table.
_CONTENTS = {_NFTABLES | kind for kind in (0, 2, 3, 5, 6, 8, 9, 11, 12, 14, 18, 20, 22, 24)}
_NFTA_TABLE_NAME, _NFTA_GEN_PROCESS, _NFTA_GEN_NAME = 1, 2, 3
_NFTABLES_FORM = 4
KERNEL = "the kernel"
_PROCESSES = 1 << 22  # no process has a number of this or more
OUR_TABLES = "fleet_ipsec"  # what the names of our tables of nftables begin with


class Foreign(NamedTuple):
    """Something that somebody else did.

    :ivar kind: which table of the kernel: one of :data:`KINDS`.
    :ivar what: what was done, in words.
    :ivar culprit: who did, as far as that can be known.
    :ivar reqid: whose it was, 0 where it may concern everything of ours in that table.
    :ivar lasting: whether more of its kind may be on the way: it was one of a table, not all of it.
    """

    kind: str
    what: str
    culprit: str
    reqid: int = 0
    lasting: bool = False


class Changes:
    """All of it from one descriptor.

    :param own: the port IDs of sockets by which we change SAs and policies ourselves.
    :raises MissingError: this kernel has no XFRM, or no permission.
    """

    def __init__(self, own: Iterable[int]) -> None:
        self._epoll = select.epoll()
        self._listeners: list[tuple[Listener, Callable[[Iterator[Message | None]], Iterator[Foreign]]]] = []
        policies = [Wanted(kind) for kind in (xfrm.NEWPOLICY, xfrm.UPDPOLICY, xfrm.DELPOLICY, xfrm.FLUSHPOLICY)]
        sas = [Wanted(kind) for kind in (xfrm.DELSA, xfrm.FLUSHSA)]
        links = [Wanted(kind) for kind in (_NEWLINK, _DELLINK, _NEWADDR, _DELADDR)]
        routes = [Wanted(_DELROUTE, _ROUTE_PROTOCOL_AT, ROUTE_PROTOCOL)]
        self._listen(xfrm.NETLINK_XFRM, (xfrm.GROUP_SA, xfrm.GROUP_POLICY), policies + sas, _xfrm, list(own))
        self._listen(_NETLINK_ROUTE, _GROUPS_ROUTE, links + routes, _route)
        self._listen(_NETLINK_NETFILTER, (_GROUP_NFTABLES,), [], _nftables)

    def _listen(
        self,
        protocol: int,
        groups: tuple[int, ...],
        wanted: list[Wanted],
        read: Callable[[Iterator[Message | None]], Iterator[Foreign]],
        own: Iterable[int] = (),
    ) -> None:
        try:
            listener = Listener(protocol, groups, wanted, list(own))
        except OSError as exc:
            if exc.errno in (errno.EPERM, errno.EACCES):
                raise MissingError("no permission to watch the kernel's tables", "run as root (become: true)") from None
            if protocol == _NETLINK_NETFILTER:
                return  # a kernel without nftables has no table of ours to lose
            raise MissingError(f"cannot watch the kernel's tables: {exc.strerror}", "modprobe xfrm_user") from None
        self._epoll.register(listener.fileno(), select.EPOLLIN)
        self._listeners.append((listener, read))

    def close(self) -> None:
        """Close the sockets."""
        for listener, _read in self._listeners:
            listener.close()
        self._epoll.close()

    def fileno(self) -> int:
        """For the event loop: readable when there is something."""
        return self._epoll.fileno()

    def read(self) -> list[Foreign]:
        """Everything that waits, each once. Never blocks."""
        found: dict[Foreign, None] = {}
        # A process is looked up once for all that it did, and while it may still live.
        culprit_of.cache_clear()
        _xfrm_culprit.cache_clear()
        for listener, read in self._listeners:
            found.update(dict.fromkeys(read(listener.read())))
        return list(found)


def _lost(*kinds: str) -> Iterator[Foreign]:
    """The kernel had no room for all that happened."""
    for kind in kinds:
        yield Foreign(kind, "more was changed than the kernel could tell", "")


def _process(number: int) -> str:
    """A process by its number, with its name while it lives."""
    try:
        with open(f"/proc/{number}/comm", encoding="utf-8", errors="replace") as stream:
            return f"{stream.read().strip()} (process {number})"
    except OSError:
        return f"process {number}, which has ended"


@cache
def culprit_of(port: int) -> str:
    """Who has this port ID: mostly it is the process ID of whoever opened the socket."""
    if not port:
        return KERNEL
    return _process(port) if port < _PROCESSES else "a process that cannot be told"


# XFRM: the port ID in its events is what the sender wrote into the request, where most write none.


@cache
def _xfrm_culprit(port: int) -> str:
    if 0 < port < _PROCESSES:
        return _process(port)
    holders = list(_holders())
    return f"perhaps {' or '.join(holders)}" if holders else "a process that has ended"


def _holders() -> Iterator[str]:
    """The other processes with a socket to XFRM, as another IKE daemon has."""
    with open("/proc/net/netlink", encoding="ascii") as stream:
        rows = [line.split() for line in stream][1:]
    numbers = {int(row[2]) for row in rows if int(row[1]) == xfrm.NETLINK_XFRM}
    return (_process(number) for number in sorted(numbers) if 0 < number < _PROCESSES and number != os.getpid())


def _xfrm(messages: Iterator[Message | None]) -> Iterator[Foreign]:
    for message in messages:
        if message is None:
            yield from _lost(SAS, POLICIES)
        elif message.type == xfrm.FLUSHPOLICY:
            culprit = _xfrm_culprit(message.port)
            yield Foreign(POLICIES, "all policies were flushed", culprit)
            yield Foreign(RULES, "all policies were flushed", culprit)
        elif message.type == xfrm.FLUSHSA:
            yield Foreign(SAS, "all SAs were flushed", _xfrm_culprit(message.port))
        elif message.type == xfrm.DELSA:
            yield from _deleted_sa(message)
        else:
            yield from _policy(message)


def _deleted_sa(message: Message) -> Iterator[Foreign]:
    sa = xfrm.unpack_deleted_sa(message.data, message.at, message.end)
    if sa is not None and is_ours(sa.reqid):
        what = f"the {PROTOCOL_NAMES.get(sa.protocol, sa.protocol)} SA 0x{sa.spi:08x} to {sa.destination} was deleted"
        yield Foreign(SAS, what, _xfrm_culprit(message.port), sa.reqid, True)


def _policy(message: Message) -> Iterator[Foreign]:
    deleted = message.type == xfrm.DELPOLICY
    unpack = xfrm.unpack_deleted_policy if deleted else xfrm.unpack_policy
    policy = unpack(message.data, message.at, message.end)
    # Who replaces one of ours says nothing of what stood there.
    if policy is None or not (message.type == xfrm.UPDPOLICY or _may_be_ours(policy)):
        return
    kind = RULES if is_shunt(policy.index) else POLICIES
    what = f"the policy {describe(policy)} was {'deleted' if deleted else 'set'}"
    yield Foreign(kind, what, _xfrm_culprit(message.port), policy.reqid, True)


def _may_be_ours(policy: Policy) -> bool:
    # One without templates may be a shunt, or one of those that let neighbours pass.
    return not policy.templates or is_ours(policy.reqid) or policy.templates[0].shared or is_shunt(policy.index)


# Links, addresses and routes


def _route(messages: Iterator[Message | None]) -> Iterator[Foreign]:
    for message in messages:
        if message is None:
            yield from _lost(LINKS, ROUTES)
        elif message.port & 0x3FFFFF == os.getpid() & 0x3FFFFF:
            continue  # pyroute2's sockets of ours
        elif message.type == _DELROUTE:
            what = f"the route to {_destination(message)} was deleted"
            for kind in (LINKS, ROUTES):  # one of an interface of ours, or of a child without
                yield Foreign(kind, what, culprit_of(message.port), lasting=True)
        else:
            yield from _link(message)


def _destination(message: Message) -> str:
    data, at = message.data, message.at
    found = xfrm.attributes(data, at + _ROUTE_FORM, message.end)
    if _RTA_DESTINATION not in found:
        return "everywhere"
    start, end = found[_RTA_DESTINATION]
    return f"{socket.inet_ntop(data[at], data[start:end])}/{data[at + 1]}"


def _link(message: Message) -> Iterator[Foreign]:
    """A link or an address came, changed or went: what was on it, or led through it, may be gone or possible now."""
    name = ""
    if message.type in (_NEWLINK, _DELLINK):
        found = xfrm.attributes(message.data, message.at + _LINK_FORM, message.end)
        name = _text(message.data, found, _IFLA_NAME)
    words = {
        _NEWLINK: f"the interface {name} changed",
        _DELLINK: f"the interface {name} was removed",
        _NEWADDR: "an address was added",
        _DELADDR: "an address was removed",
    }
    for kind in (LINKS, ROUTES):
        yield Foreign(kind, words[message.type], culprit_of(message.port), lasting=True)


def _text(data: bytes, found: dict[int, tuple[int, int]], kind: int) -> str:
    if kind not in found:
        return ""
    start, end = found[kind]
    return data[start:end].rstrip(b"\0").decode("utf-8", "replace")


# nftables


def _nftables(messages: Iterator[Message | None]) -> Iterator[Foreign]:
    """The tables of ours that were changed; who did it comes last, with the number of the new generation."""
    hurt: dict[str, None] = {}
    for message in messages:
        if message is None:
            yield from _lost(RULES)
            continue
        found = xfrm.attributes(message.data, message.at + _NFTABLES_FORM, message.end)
        if message.type in _CONTENTS:
            name = _text(message.data, found, _NFTA_TABLE_NAME)
            hurt |= {name: None} if name.startswith(OUR_TABLES) else {}
        elif message.type == _NEWGENERATION and hurt:
            yield from _tables(hurt, _generation(message.data, found))
            hurt = {}
    yield from _tables(hurt, "")


def _generation(data: bytes, found: dict[int, tuple[int, int]]) -> str:
    name = _text(data, found, _NFTA_GEN_NAME)
    if _NFTA_GEN_PROCESS not in found:
        return name
    return f"{name} (process {int.from_bytes(data[slice(*found[_NFTA_GEN_PROCESS])], 'big')})"


def _tables(names: Iterable[str], culprit: str) -> Iterator[Foreign]:
    for name in names:
        yield Foreign(RULES, f"the table {name} of nftables was changed", culprit)
