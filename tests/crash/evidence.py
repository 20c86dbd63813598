# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What both ends did around a failure, in one line of time: packets, kernels, their counters, logs, journals, kills."""

from __future__ import annotations

import contextlib
import json
import os
import re
import struct
import subprocess
import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tests.packet_watch import LEAVES, namespace, packets_of

_POLL = 0.05  # seconds between looks at the counters
_KEPT = 200_000  # moments of each kind, the latest
_TAIL = 20 << 20  # octets of a log, the latest
_MOST = 1500  # lines of one story
_BEFORE, _AFTER = 6.0, 3.0  # seconds of a story before the first loss and after the last one
_EXCHANGES = {34: "IKE_SA_INIT", 35: "IKE_AUTH", 36: "CREATE_CHILD_SA", 37: "INFORMATIONAL"}
_ESP, _UDP, _ICMP = 50, 17, 1


class Moment(NamedTuple):
    """Something that happened: when (seconds of the wall clock), where, what."""

    at: float
    where: str
    what: str


class Span(NamedTuple):
    """From when to when, seconds of the wall clock."""

    first: float
    last: float


class Scene(NamedTuple):
    """Where an end is: what to call it, its namespace, its outer device, the log of its manager."""

    name: str
    space: str
    device: str
    log: Path


class Evidence:
    """Everything that is observed of some ends while a test runs."""

    def __init__(self, scenes: Sequence[Scene]) -> None:
        self._scenes = scenes
        self._noted: list[Moment] = []
        self._tapes = [Tape(scene.space, scene.device, f"{scene.name} wire") for scene in scenes]
        self._kernels = [KernelLog(scene.space, scene.log.with_name("xfrm"), f"{scene.name} xfrm") for scene in scenes]
        self._counters = [Counters(scene.space, f"{scene.name} drops") for scene in scenes]

    def note(self, what: str) -> None:
        """Remember what the test itself does."""
        self._noted.append(Moment(time.time(), "test", what))

    def story(self, spans: Iterable[Span]) -> str:
        """What happened around these spans, in order."""
        moments = [*self._noted]
        for each in (*self._tapes, *self._kernels, *self._counters):
            moments += each.moments
        for scene in self._scenes:
            moments += log_moments(scene.log, f"{scene.name} log")
        return story(moments, spans)

    def close(self) -> None:
        """Observe no more."""
        for each in (*self._tapes, *self._kernels, *self._counters):
            each.close()


class Tape:
    """Every packet at the outer device of an end, in either direction, in a few words.

    What was decapsulated shows once more, on its way in: an echo request or reply that does not was dropped.
    """

    def __init__(self, space: str, device: str, name: str) -> None:
        self.moments: deque[Moment] = deque(maxlen=_KEPT)
        self._name = name
        self._socket = packets_of(namespace(space), device)
        self._ended = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End."""
        self._ended = True
        self._thread.join(10)
        self._socket.close()

    def _run(self) -> None:
        while not self._ended:
            try:
                octets, address = self._socket.recvfrom(128)
            except TimeoutError:
                continue
            what = describe_packet(octets)
            if what:
                self.moments.append(Moment(time.time(), self._name, f"{'>' if address[2] == LEAVES else '<'} {what}"))


def describe_packet(octets: bytes) -> str:
    """An IPv4 packet in a few words; empty for what nobody wants to know of."""
    if len(octets) < 20 or octets[0] >> 4 != 4:
        return ""
    protocol, body = octets[9], octets[(octets[0] & 15) * 4 :]
    if protocol == _ESP and len(body) >= 8:
        return f"ESP 0x{body[:4].hex()} {int.from_bytes(body[4:8], 'big')}"
    if protocol == _ICMP and len(body) >= 12:
        name = {8: "echo request", 0: "echo reply"}.get(body[0], f"ICMP {body[0]}/{body[1]}")
        return f"{name} {int.from_bytes(body[8:12], 'big')}" if body[0] in (0, 8) else name
    if protocol == _UDP and len(body) >= 8 + 28:
        spi_i, _spi_r, _next, _version, exchange, flags, number = struct.unpack_from("!8s8sBBBBI", body, 8)
        kind = "answer" if flags & 0x20 else "request"
        side = "initiator" if flags & 0x08 else "responder"
        return f"IKE {_EXCHANGES.get(exchange, exchange)} {kind} {number} of {spi_i.hex()}, from its {side}"
    return ""


class KernelLog:
    """What changes in the SAs and policies of an end, by ``ip xfrm monitor``."""

    def __init__(self, space: str, path: Path, name: str) -> None:
        self._path = path
        self._name = name
        command = ["ip", "-o", "-ts", "-n", space, "xfrm", "monitor", "acquire", "expire", "SA", "policy"]
        with path.open("w") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)

    def close(self) -> None:
        """End."""
        self._process.kill()
        self._process.wait()

    @property
    def moments(self) -> list[Moment]:
        """Everything so far."""
        found = []
        for line in tail(self._path):
            stamp, _bracket, text = line.removeprefix("[").partition("] ")
            with contextlib.suppress(ValueError):
                at = time.mktime(time.strptime(stamp[:19], "%Y-%m-%dT%H:%M:%S")) + float(stamp[19:] or 0)
                found.append(Moment(at, self._name, _in_short(text)))
        return found


def _in_short(text: str) -> str:
    """A line of the monitor without keys and what is always the same."""
    text = re.sub(r"\\\s*(?:aead|auth-trunc|enc|anti-replay|lastused|replay-window|lifetime|sel ).*", "", text)
    return " ".join(text.replace("\\", " ").split())


class Counters:
    """When which of the XFRM counters of an end rose (``/proc/net/xfrm_stat``): all tell of dropped packets."""

    def __init__(self, space: str, name: str) -> None:
        self.moments: deque[Moment] = deque(maxlen=_KEPT)
        self._name = name
        self._last: dict[str, int] = {}
        with namespace(space)():
            self._file = os.open("/proc/thread-self/net/xfrm_stat", os.O_RDONLY)
        self._ended = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End."""
        self._ended = True
        self._thread.join(10)
        os.close(self._file)

    def _run(self) -> None:
        while not self._ended:
            lines = os.pread(self._file, 8192, 0).decode().splitlines()
            now = {name: int(value) for name, value in (line.split() for line in lines)}
            for name, value in now.items():
                if value > self._last.get(name, value):
                    self.moments.append(Moment(time.time(), self._name, f"{name} +{value - self._last[name]}"))
            self._last = now
            time.sleep(_POLL)


def tail(path: Path) -> list[str]:
    """The last lines of a file."""
    with path.open("rb") as stream:
        stream.seek(max(0, stream.seek(0, os.SEEK_END) - _TAIL))
        return stream.read().decode(errors="replace").splitlines()


def log_moments(path: Path, name: str) -> list[Moment]:
    """The lines of a manager's log, which mortal_manager stamps."""
    found = []
    for line in tail(path):
        stamp, _space, text = line.partition(" ")
        with contextlib.suppress(ValueError):
            found.append(Moment(float(stamp), name, text))
    return found


def describe_frame(payload: bytes) -> list[str]:
    """What is written into a journal, without its secrets."""
    return [_describe_entry(*json.loads(line)) for line in payload.splitlines()] or ["all is done"]


def _describe_entry(kind: str, *more: Any) -> str:
    *numbers, value = more
    if kind == "do":
        return f"to do: {', '.join(_describe_action(action) for action in value)}"
    if kind in _RECORDS and value is not None:
        return _RECORDS[kind](numbers, value)
    name = " ".join(map(str, [kind, *numbers]))
    return f"{name} {'ends' if value is None else 'is in operation'}"


def _describe_sa(numbers: list[Any], record: dict[str, Any]) -> str:
    return f"IKE SA {numbers[0]} {record['state']} {record['spi_i']}{_set(record, 'replaced_by', 'claims', 'replaces')}"


def _describe_window(numbers: list[Any], record: dict[str, Any]) -> str:
    asked = "nothing"
    if "request" in record:
        asked = f"{record['request'].get('message_id', 0)} {_describe_task(record['task'])}"
    queue = "; ".join(_describe_task(task) for task in record.get("queue", ()))
    ids = f"next={record.get('next_id', 0)} expected={record.get('expected_id', 0)}"
    return f"IKE SA {numbers[0]} {ids} asked {asked} queue [{queue}]"


def _describe_child(numbers: list[Any], record: dict[str, Any]) -> str:
    spis = f"{record['sa']['spi_in']:#x}/{record['sa']['spi_out']:#x}"
    more = _set(record, "successor", "superseded", "proof_at")
    return f"IKE SA {numbers[0]} child {numbers[1]} {record['state']} {spis}{more}"


_RECORDS = {"sa": _describe_sa, "window": _describe_window, "child": _describe_child}


def _set(record: dict[str, Any], *names: str) -> str:
    """Those of the fields that say something."""
    return "".join(f" {name}={record[name]}" for name in names if record.get(name))


def _describe_task(task: dict[str, Any]) -> str:
    return f"{task['kind']}{_set(task, 'child', 'theirs', 'their_sa', 'spi', 'reason', 'not_before')}"


def _describe_action(action: list[Any]) -> str:
    name, *rest = action
    if name == "Send" or not rest:
        return str(name)
    if isinstance(rest[0], dict):
        return f"{name} {rest[0]['number']} {rest[0]['spi_in']:#x}/{rest[0]['spi_out']:#x}"
    return f"{name} {rest[0] if name != 'ReleaseSpi' else hex(rest[-1])}"


def spans_of(lost: Mapping[int, float]) -> list[Span]:
    """When packets were lost, by their numbers and when they were sent; what is within a second is one span."""
    spans: list[Span] = []
    for at in sorted(lost.values()):
        if spans and at - spans[-1].last < 1.0:
            spans[-1] = Span(spans[-1].first, at)
        else:
            spans.append(Span(at, at))
    return spans


def story(moments: Iterable[Moment], spans: Iterable[Span]) -> str:
    """What happened around these spans, in order."""
    wide = [(span.first - _BEFORE, span.last + _AFTER) for span in spans]
    told = sorted(moment for moment in moments if any(begin <= moment.at <= end for begin, end in wide))
    lines = [_line(group) for group in _runs(told)]
    left_out = len(lines) - _MOST
    return "\n".join(lines[:_MOST] + ([f"… and {left_out} lines"] if left_out > 0 else []))


def _runs(moments: list[Moment]) -> list[list[Moment]]:
    """Packets in step with each other, in groups: what differs in its number alone."""
    groups: list[list[Moment]] = []
    flowing: dict[str, list[Moment]] = {}
    for moment in moments:
        flow = _flow(moment)
        if not flow:
            flowing.clear()
            groups.append([moment])
        elif flow in flowing:
            flowing[flow].append(moment)
        else:
            flowing[flow] = [moment]
            groups.append(flowing[flow])
    return groups


def _flow(moment: Moment) -> str:
    """What a packet of a flood is one of; empty for anything else."""
    flow, _space, number = moment.what.rpartition(" ")
    return f"{moment.where} {flow}" if flow.startswith(("> ", "< ")) and "IKE" not in flow and number.isdigit() else ""


def _line(group: list[Moment]) -> str:
    first, last = group[0], group[-1]
    at = f"{time.strftime('%H:%M:%S', time.localtime(first.at))}.{first.at % 1 * 1000:03.0f}"
    if len(group) == 1:
        return f"{at} {first.where:9} {first.what}"
    return f"{at} {first.where:9} {first.what} … {last.what.split()[-1]}, {len(group)} in {last.at - first.at:.3f} s"
