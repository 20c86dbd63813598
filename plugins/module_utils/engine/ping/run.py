# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ping over real sockets: resolve, bind, send, receive, report."""

from __future__ import annotations

import errno
import gc
import select
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, field
from typing import Any

from ..errors import InputError
from ..newer_python import dataclass
from .echo import ECHO_REQUEST, HIGHEST_REQUEST
from .listen import Trace as ListenTrace
from .listen import listen
from .pinger import PORT_CLOSED, UNREACHABLE, Outgoing, Pinger, Plan
from .probes import PLANS
from .statistics import summary
from .targets import SocketAddress, resolve_targets
from .udp import (
    default_port,
    family_of,
    receive,
    resolve_local,
    sockets,
    story,
    undelivered,
)

# Datagrams sent before the sockets are looked at again, so that answers do not pile up.
_BURST = 64
_SEND_ATTEMPTS = 4
_LONGEST_LISTENING = 366 * 86400.0

# Direction (sent, received), address, port, datagram.
Trace = Callable[[str, str, int, bytes], None]


@dataclass(frozen=True, slots=True)
class Options:
    """What a user says about sockets and pace; ``plan`` says the rest.

    :ivar family: any, inet or inet6.
    :ivar local_address: address or name of this host to send from, None for any.
    :ivar local_port: 0 for any free one; None for 500 (4500 with natt), or any when that one cannot be had.
    :ivar natt: ESP in UDP on a socket that listens, the non-ESP marker on messages, port 4500 by default.
    :ivar prepare: what else is done to each socket before anything is sent, such as letting it pass by IPsec policies.
    """

    family: str = "any"
    local_address: str | None = None
    local_port: int | None = None
    natt: bool = False
    prepare: Callable[[socket.socket], None] | None = None
    plan: Plan = field(default_factory=Plan)


# Field, lowest and highest value.
_BOUNDS: tuple[tuple[str, float, float], ...] = (
    ("exchange", 1, HIGHEST_REQUEST),
    ("wait", 0.001, 3600),
    ("count", 1, 1_000_000),
    ("interval", 0, 86400),
    ("retries", 0, 100),
    ("retry_interval", 0.001, 3600),
    ("rate", 0, 10_000_000),
)


def check_plan(plan: Plan) -> None:
    """Refuse numbers out of range.

    :raises InputError: naming the field.
    """
    if plan.probe not in PLANS:
        raise InputError(
            "probe",
            plan.probe,
            "is not a kind of probe",
            f"choose one of {', '.join(PLANS)}",
        )
    for name, low, high in _BOUNDS:
        check_bound(name, getattr(plan, name), low, high)
    if plan.fingerprint is not None:
        check_bound("fingerprint_time", plan.fingerprint, 0, 3600)


def check_bound(name: str, value: float, low: float, high: float) -> None:
    """Refuse a number outside of ``low``..``high``, and what is no number.

    :raises InputError: naming the field.
    """
    if not low <= value <= high:
        raise InputError(name, value, "is out of range", f"choose {low:g} to {high:.15g}")


def _local(options: Options) -> tuple[int, SocketAddress | None]:
    family = family_of(options.family)
    if options.local_port is not None:
        check_bound("local_port", options.local_port, 0, 65535)
    if options.local_address is None:
        return family, None
    return resolve_local(options.local_address, family)


def ping(texts: Sequence[str], options: Options, trace: Trace | None = None) -> dict[str, Any]:
    """Ping targets and report.

    :param texts: targets as written, ``HOST[/PORT]``.
    :param trace: called for each datagram sent and received.
    :returns: ``targets`` (see :meth:`Pinger.results`), ``summary``, ``local_port`` by family, ``strangers`` and
        ``short`` (datagrams that answered nothing), ``elapsed`` seconds, ``interrupted``.
    :raises InputError: before anything is sent.
    :raises MissingError: before anything is sent.
    """
    with _collection_paused():
        return _ping(texts, options, trace)


@contextmanager
def _collection_paused() -> Iterator[None]:
    """A run makes many objects, all of which last as long as it does: looking for garbage takes a tenth of its time."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _ping(texts: Sequence[str], options: Options, trace: Trace | None) -> dict[str, Any]:
    check_plan(options.plan)
    if not texts:
        raise InputError("targets", [], "is empty", "name at least one HOST[/PORT]")
    family, local = _local(options)
    targets = resolve_targets(texts, family, options.natt)
    families = sorted({target.family for target in targets if not target.problem})
    port = default_port(options.natt) if options.local_port is None else options.local_port
    # A socket that takes ESP is not told of ICMP errors. One that pings needs those, and passes ESP over.
    with sockets(families, local, port, natt=False, fallback=options.local_port is None) as opened:
        _prepare(opened, options)
        started = time.monotonic()
        pinger = Pinger(targets, options.plan, started)
        interrupted = False
        try:
            _Loop(pinger, opened, trace).run()
        except KeyboardInterrupt:
            interrupted = True
        ports = {_WORDS[family]: sock.getsockname()[1] for family, sock in opened.items()}
    return _report(pinger, ports, time.monotonic() - started, interrupted)


def _prepare(opened: dict[int, socket.socket], options: Options) -> None:
    if options.prepare is not None:
        for sock in opened.values():
            options.prepare(sock)


_WORDS: dict[int, str] = {socket.AF_INET: "inet", socket.AF_INET6: "inet6"}


def _report(pinger: Pinger, ports: dict[str, int], elapsed: float, interrupted: bool) -> dict[str, Any]:
    results = pinger.results(time.monotonic())
    return {
        "targets": results,
        "summary": summary(results),
        "local_port": ports,
        "strangers": pinger.strangers,
        "short": pinger.short,
        "elapsed": round(elapsed, 3),
        "interrupted": interrupted,
    }


class _Loop:
    """Moves datagrams between one :class:`Pinger` and its sockets until the run is over."""

    def __init__(self, pinger: Pinger, opened: dict[int, socket.socket], trace: Trace | None) -> None:
        self._pinger = pinger
        self._sockets = opened
        self._trace = trace
        self._poll = select.poll()
        self._by_number = {sock.fileno(): sock for sock in opened.values()}
        for number in self._by_number:
            self._poll.register(number, select.POLLIN)

    def run(self) -> None:
        """Until the pinger has finished."""
        while not self._pinger.finished(time.monotonic()):
            for _turn in range(_BURST):
                outgoing = self._pinger.due(time.monotonic())
                if outgoing is None:
                    break
                self._send(outgoing)
            pause = max(0.0, self._pinger.next_due() - time.monotonic())
            for number, events in self._poll.poll(pause * 1000):
                sock = self._by_number[number]
                if events & select.POLLERR:
                    self._errors(sock)
                self._receive(sock)

    def _send(self, outgoing: Outgoing) -> None:
        sock, target = self._sockets[outgoing.target.family], outgoing.target
        if self._trace is not None:
            self._trace("sent", target.address, target.port, outgoing.datagram)
        problem, unexplained = "", 0
        for _attempt in range(_SEND_ATTEMPTS):
            try:
                self._pinger.leaving(outgoing, time.monotonic())
                sock.sendto(outgoing.datagram, target.sockaddr)
                return
            except BlockingIOError:
                select.select([], [sock], [], 1.0)
            except OSError as exc:
                # The kernel reports the fate of earlier datagrams here, too: those are in the error queue.
                problem = exc.strerror or str(exc)
                unexplained += not self._errors(sock)
                if unexplained > 1:
                    break
        self._pinger.refused(
            outgoing.ping,
            UNREACHABLE,
            f"cannot be sent: {problem or 'the socket is full'}",
        )

    def _receive(self, sock: socket.socket) -> None:
        for _turn in range(_BURST):
            arrived = receive(sock)
            if arrived is None:
                return
            when = time.monotonic() - arrived.age
            if self._trace is not None:
                self._trace("received", arrived.address, arrived.port, arrived.datagram)
            self._pinger.received(arrived.datagram, arrived.address, arrived.port, when)

    def _errors(self, sock: socket.socket) -> int:
        reports = list(undelivered(sock))
        for report in reports:
            ping = self._pinger.find(report.quoted, report.address, report.port)
            if ping is not None and report.number != errno.EMSGSIZE:
                reason = PORT_CLOSED if report.number == errno.ECONNREFUSED else UNREACHABLE
                self._pinger.refused(ping, reason, story(report.number))
        return len(reports)


def serve(
    options: Options,
    seconds: float | None,
    count: int | None,
    trace: ListenTrace | None = None,
) -> dict[str, Any]:
    """Listen for echo requests and answer them.

    :param seconds: how long; ``count``: how many answers; None for no bound.
    :returns: counts of datagrams: received, answered, short, keepalives, ignored; ``local_port`` by family.
    :raises InputError: before anything is done; MissingError likewise.
    """
    check_plan(options.plan)
    check_bound("listen_for", 0 if seconds is None else seconds, 0, _LONGEST_LISTENING)
    check_bound("listen_count", 1 if count is None else count, 1, 1_000_000_000)
    family, local = _local(options)
    port = default_port(options.natt) if options.local_port is None else options.local_port
    families = [family] if family else _families_here()
    with sockets(families, local, port, options.natt, fallback=False) as opened:
        _prepare(opened, options)
        ports = {_WORDS[family]: sock.getsockname()[1] for family, sock in opened.items()}
        counts = listen(opened, seconds, count, options.plan.exchange, trace)
    return {**asdict(counts), "local_port": ports}


def _families_here() -> list[int]:
    families = [int(socket.AF_INET)]
    try:
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).close()
    except OSError:
        return families
    return [*families, int(socket.AF_INET6)]


__all__ = ["ECHO_REQUEST", "Options", "Plan", "check_plan", "ping", "serve"]
