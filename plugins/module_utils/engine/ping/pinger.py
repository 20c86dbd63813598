# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pings many targets, without sockets and clocks: what to send when, what came back, when it is over.

The caller sends what :meth:`Pinger.due` hands out, feeds back what it receives and what the network refuses,
and stops when :meth:`Pinger.finished` says so.
"""

from __future__ import annotations

import heapq
import os
from collections.abc import Sequence
from typing import Any, NamedTuple

from ..newer_python import dataclass
from .answers import PROPOSAL, Answer, describe, keys, read_answer
from .echo import ECHO_REQUEST, HEADER_SIZE
from .fingerprint import QUESTIONS, REPEATED
from .probes import PLANS, PROBES, Cookies, Entropy, Probe, new_cookies
from .score import Score
from .targets import NAME_NOT_FOUND, Target

PORT_CLOSED = "port closed"
UNREACHABLE = "unreachable"

# Seconds since the ping's start, what is sent then, whether that was sent before.
Step = tuple[float, Probe, bool]

# Strangers' packets prolong the wait, but not for ever: at most this many times.
_LONGEST_WAITS = 10
MOST_COPIES = 64  # of one answer that are noted: a peer may send any number
_BACKOFF = 1.5
_LONGEST_STEP = 1.0
# After a pause the pace may be caught up for this long, in seconds.
_CATCH_UP = 0.25


@dataclass(frozen=True, slots=True)
class Plan:
    """How to ping; times in seconds.

    :ivar probe: key of :data:`~.probes.PLANS`.
    :ivar exchange: exchange type of echo requests, 1..254.
    :ivar wait: quiet time after which no more answers are expected; each datagram that arrives restarts it.
    :ivar count: pings for each target, ``interval`` apart.
    :ivar retries: how often a probe without an answer is sent again, first after ``retry_interval``, then after
        1.5 times that.
    :ivar rate: datagrams a second over all targets, 0 for no limit.
    :ivar any_source: whether an answer from another address than the one we asked counts.
    :ivar fingerprint: tell whose software answers; who may repeat an answer is listened to for this long after it.
        None asks nothing for that end.
    """

    probe: str = "auto"
    exchange: int = ECHO_REQUEST
    wait: float = 5.0
    count: int = 1
    interval: float = 1.0
    retries: int = 0
    retry_interval: float = 0.5
    rate: float = 1000.0
    any_source: bool = False
    fingerprint: float | None = None

    def steps(self, names: Sequence[str]) -> tuple[Step, ...]:
        """What one ping sends while nothing answers."""
        steps: list[Step] = []
        at = 0.0
        # All of them have had their turn at half of the wait.
        pause = min(_LONGEST_STEP, self.wait / (2 * len(names)))
        for name in names:
            for attempt in range(self.retries + 1):
                steps.append((at, PROBES[name], attempt > 0))
                at += self.retry_interval * _BACKOFF**attempt if attempt < self.retries else pause
        return tuple(steps)


class Outgoing(NamedTuple):
    """Send ``datagram`` (marker included) to ``target``; give ``ping`` back to :meth:`Pinger.refused` if that fails."""

    target: Target
    datagram: bytes
    ping: Any
    request: Any


@dataclass(slots=True)
class _Ping:
    """One ping of one target: its probes one after another until one is answered.

    :ivar number: which of the target's; None for a question to one that is known to be alive, which counts as no ping.
    """

    score: Score
    number: int | None
    steps: tuple[Step, ...] = ()
    next_step: int = 0
    over: bool = False
    answered: bool = False
    last: _Request | None = None


@dataclass(slots=True)
class _Request:
    """One datagram that may be answered."""

    ping: _Ping
    probe: Probe
    cookies: Cookies
    datagram: bytes
    sent: float = 0.0
    answer: bytes = b""


class Pinger:
    """The state of one run.

    :param targets: whom to ping; to those with a ``problem`` nothing is sent.
    :param now: a monotonic time in seconds, as in all methods.
    :param entropy: number of octets to random octets.
    """

    def __init__(
        self,
        targets: Sequence[Target],
        plan: Plan,
        now: float,
        entropy: Entropy = os.urandom,
    ) -> None:
        self.plan = plan
        self.strangers = 0
        self.short = 0
        self._entropy = entropy
        self._steps: dict[Probe | None, tuple[Step, ...]] = {None: plan.steps(PLANS[plan.probe])}
        self._bodies: dict[str, bytes] = {}
        self._requests: dict[bytes, _Request] = {}
        self._by_address: dict[tuple[str, int], _Request] = {}
        self._queue: list[tuple[float, int, _Ping]] = []
        self._serial = 0
        self._pace = 1.0 / plan.rate if plan.rate else 0.0
        self._slot = now
        self._last_activity = now
        self._last_sent = now
        self._listening_until = 0.0
        self._scores = [Score(target) for target in targets]
        self._open = 0
        for score in self._scores:
            if score.target.problem:
                score.reason, score.detail = NAME_NOT_FOUND, score.target.problem
            else:
                self._open += plan.count
                self._push(now, _Ping(score, 0))

    def _push(self, when: float, ping: _Ping) -> None:
        self._serial += 1
        heapq.heappush(self._queue, (when, self._serial, ping))

    def finished(self, now: float) -> bool:
        """Whether nothing more is to be sent or expected."""
        return now >= self.deadline()

    def deadline(self) -> float:
        """When the run ends if nothing more arrives; 0 when it is over already."""
        if not self._open:
            return self._listening_until
        if self._queue:
            return float("inf")
        quiet = min(
            self._last_activity + self.plan.wait,
            self._last_sent + _LONGEST_WAITS * self.plan.wait,
        )
        return max(quiet, self._listening_until)

    def next_due(self) -> float:
        """When :meth:`due` or :meth:`finished` is to be asked next."""
        if not self._queue:
            return self.deadline()
        return min(max(self._queue[0][0], self._slot), self.deadline())

    def due(self, now: float) -> Outgoing | None:
        """The next datagram whose time has come, or None."""
        if self._slot > now:
            return None
        while self._queue and self._queue[0][0] <= now:
            ping = heapq.heappop(self._queue)[2]
            if not ping.steps:
                self._begin(ping, now)
            if not ping.over:
                self._slot = max(self._slot, now - _CATCH_UP) + self._pace
                return self._send(ping, now)
        return None

    def _begin(self, ping: _Ping, now: float) -> None:
        score = ping.score
        if score.probe not in self._steps and score.probe is not None:
            self._steps[score.probe] = self.plan.steps((score.probe.name,))
        # Whoever has answered one kind of probe is asked in that way again.
        ping.steps = self._steps[score.probe]
        score.sent += 1
        if ping.number is not None and ping.number + 1 < self.plan.count:
            self._push(now + self.plan.interval, _Ping(score, ping.number + 1))

    def _send(self, ping: _Ping, now: float) -> Outgoing:
        _at, probe, retry = ping.steps[ping.next_step]
        ping.next_step += 1
        if ping.next_step < len(ping.steps):
            pause = ping.steps[ping.next_step][0] - ping.steps[ping.next_step - 1][0]
            self._push(now + pause, ping)
        request = ping.last if retry and probe.repeats and ping.last else self._request(ping, probe)
        request.sent = self._last_sent = self._last_activity = now
        ping.last = request
        target = ping.score.target
        self._by_address[target.address, target.port] = request
        ping.score.datagrams += 1
        return Outgoing(target, (bytes(4) if target.marker else b"") + request.datagram, ping, request)

    def leaving(self, outgoing: Outgoing, now: float) -> None:
        """The datagram leaves now: building it, which may take a key exchange, is no part of the round trip."""
        outgoing.request.sent = now

    def _request(self, ping: _Ping, probe: Probe) -> _Request:
        cookies = new_cookies(self._entropy)
        if not probe.repeats:
            datagram = probe.build(cookies, self.plan.exchange, self._entropy)
        else:
            # Only the cookie in front makes such a request the target's own.
            body = self._bodies.get(probe.name) or probe.build(cookies, self.plan.exchange, self._entropy)
            self._bodies[probe.name] = body
            datagram = cookies.initiator + body[8:]
        request = _Request(ping, probe, cookies, datagram)
        self._requests[cookies.initiator] = request
        return request

    def received(self, datagram: bytes, address: str, port: int, now: float) -> bool:
        """Take note of a datagram (marker and all).

        :returns: whether it is an answer to one of our requests.
        """
        self._last_activity = max(self._last_activity, now)
        message = strip_marker(datagram)
        if len(message) < HEADER_SIZE:
            self.short += 1
            return False
        request = next(
            (self._requests[key] for key in keys(message) if key in self._requests),
            None,
        )
        if request is not None and self._right_source(request, address, port):
            if message == request.datagram:
                self.refused(
                    request.ping, PORT_CLOSED, "our own datagram came back: nobody but this ikeping listens there"
                )
                return False
            answer = read_answer(message, request.cookies, self.plan.exchange)
            if answer is not None:
                self._answered(request, answer, message, address, now)
                return True
        self.strangers += 1
        return False

    def _right_source(self, request: _Request, address: str, port: int) -> bool:
        target = request.ping.score.target
        return self.plan.any_source or (address, port) == (target.address, target.port)

    def _answered(
        self,
        request: _Request,
        answer: Answer,
        message: bytes,
        address: str,
        now: float,
    ) -> None:
        ping, score = request.ping, request.ping.score
        if request.answer:
            score.duplicates += 1
        else:
            request.answer = message
        if self.plan.fingerprint is not None:
            self._note(request, answer, message, now, self.plan.fingerprint)
        if ping.answered:
            return  # a duplicate, or a late answer to an earlier probe
        ping.answered = True
        if ping.number is not None:
            # Clocks may be set while an answer is on its way.
            score.times.append(max(0.0, now - request.sent))
        if score.answer is None:
            score.answer, score.probe, score.answered_from = (
                answer,
                request.probe,
                address,
            )
            score.header = describe(message)
            if self.plan.fingerprint is not None:
                self._question(score, now)
        self._close(ping)

    def _question(self, score: Score, now: float) -> None:
        """Ask somebody who is alive what shows whose software he runs."""
        for name in QUESTIONS:
            if name not in score.answers:
                self._open += 1
                self._push(now, _Ping(score, None, self.plan.steps((name,))))

    def _note(self, request: _Request, answer: Answer, message: bytes, now: float, patience: float) -> None:
        score, name = request.ping.score, request.probe.name
        score.answers.setdefault(name, answer)
        if name not in REPEATED or answer.by != PROPOSAL or message != request.answer:
            return
        if score.copies_of is None:
            score.copies_of = request
            self._listening_until = max(self._listening_until, now + patience)
        if score.copies_of is request and len(score.copies) < MOST_COPIES:
            score.copies.append(now)

    def _close(self, ping: _Ping) -> None:
        if not ping.over:
            ping.over = True
            self._open -= 1

    def refused(self, ping: Any, reason: str, detail: str) -> None:
        """Sending failed, or an ICMP message says that nobody is going to answer this ping."""
        ping.score.reason, ping.score.detail = reason, detail
        self._close(ping)

    def find(self, quoted: bytes, address: str, port: int) -> Any:
        """The ping an ICMP message is about, for :meth:`refused`, or None.

        :param quoted: as much of our datagram as the message quotes, perhaps nothing.
        :param address: where that datagram was sent to.
        """
        cookie = quoted[4:12] if quoted[:4] == bytes(4) else quoted[:8]
        request = self._requests.get(cookie) if len(cookie) == 8 else self._by_address.get((address, port))
        return None if request is None else request.ping

    def results(self, now: float) -> list[dict[str, Any]]:
        """One plain dictionary for each target, in their order; see the module's RETURN for the fields."""
        return [self._result(score, now) for score in self._scores]

    def _result(self, score: Score, now: float) -> dict[str, Any]:
        result = score.result(self.plan.wait)
        if self.plan.fingerprint is not None and score.answer is not None:
            result["fingerprint"] = score.fingerprint(now)
        return result


def strip_marker(datagram: bytes) -> bytes:
    """The message behind the non-ESP marker (RFC 3948 section 2.2), or the datagram itself without one.

    No message of ours begins with a zero octet, and an answer begins with a cookie of ours.
    """
    return datagram[4:] if datagram[:4] == bytes(4) and len(datagram) >= HEADER_SIZE + 4 else datagram
