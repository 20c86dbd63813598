# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When to look whether the kernel still has what is ours, what was put back, and what an operator is told of it.

A loss is put back at once; whoever takes it again and again is answered once a second, and never given in to. One of
many events waits a moment for the others, a flush does not. Knows nothing of the kernel's tables: see
:mod:`.menders`.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import field
from typing import NamedTuple, Protocol

from ..kernel.changes import KERNEL, Foreign
from ..newer_python import dataclass
from .log import Log
from .losses import Loss

PAUSE = 1.0  # seconds from one repair to the next of its kind
SETTLING, SETTLING_MOST = 0.01, 0.1  # seconds for which an event waits for the next one, and for the last one
QUIET = 3.0  # seconds without a loss after which a fight is over
FIGHT = 4  # losses without such a pause that make a fight
AUDIT = 60.0  # seconds after which everything is compared, whatever was heard
# What looking costs, of all the time there is: a tenth; or more, as long as nothing waits longer than for a repair.
_LOOK_SHARE = 9.0
_TOLD = 20  # details of a tunnel that are kept for the next task


class Outcome(NamedTuple):
    """What became of losses.

    :ivar mended: those that are put back, or on their way.
    :ivar refused: those that could not be, with the reason in their words.
    :ivar working: whether it is not known yet: ask again in a moment.
    """

    mended: list[Loss]
    refused: list[Loss] = []
    working: bool = False


class Told(NamedTuple):
    """What a task is told of a tunnel.

    :ivar back: what others removed since the last task and is put back, each once, with how often.
    :ivar missing: what is not there now.
    :ivar possible: whether some of that can be put back, as far as is known.
    """

    back: list[str]
    missing: list[str]
    possible: bool


class Disturbance(NamedTuple):
    """What others do to a tunnel, in words, and to which of its children; an empty name stands for all of them."""

    story: str
    children: frozenset[str]


class Mender(Protocol):
    """One kind of what is ours in the kernel."""

    def lacking(self, tunnels: Collection[str] | None) -> list[Loss]:
        """What is not there, of these tunnels or of all. Changes nothing."""

    def mend(self, tunnels: Collection[str] | None) -> Outcome:
        """Put it back."""


@dataclass(slots=True)
class Record:
    """What was put back of one tunnel.

    :ivar last: what and when (seconds since the epoch), and who took it, as far as that is known.
    :ivar untold: what no task has been told of yet, with how often.
    """

    count: int = 0
    last: str = ""
    at: int = 0
    culprit: str = ""
    untold: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class _Watch:
    """One kind: when to look next, and how it went so far.

    :ivar working: whether a look goes on beside the loop. :ivar again: whether something was heard since it began.
    """

    due: float | None = None
    working: bool = False
    again: bool = False
    heard: float = 0.0
    not_before: float = 0.0
    culprit: str = ""
    mended: float = -QUIET
    losses: int = 0
    victims: dict[str, frozenset[str]] = field(default_factory=dict)
    refused: dict[str, Disturbance] = field(default_factory=dict)
    said: bool = False


class Repairs:
    """Looks, repairs and records.

    :param menders: by kind, in the order in which they have to work.
    :param changed: called with the name of a tunnel of which something is different now.
    :ivar counts: how often something was put back, by kind.
    """

    def __init__(
        self, menders: Mapping[str, Mender], log: Log, clock: Callable[[], float], changed: Callable[[str], None]
    ) -> None:
        self.counts: Counter[str] = Counter()
        self._menders = menders
        self._log = log
        self._clock = clock
        self._changed = changed
        self._watches = {kind: _Watch() for kind in menders}
        self._records: dict[str, Record] = {}
        self._audit_at = clock() + AUDIT

    # When

    def heard(self, events: Iterable[Foreign]) -> None:
        """Others did something: look at once, or as soon as it is time."""
        now = self._clock()
        for event in events:
            watch = self._watches.get(event.kind)
            if watch is None:
                continue
            if watch.working:
                watch.again = True  # it may have come after what that look saw
                continue
            # What follows of a deed, the kernel's or our own, may be told under another name.
            if watch.culprit in ("", KERNEL):
                watch.culprit = event.culprit
            if watch.due is None:
                watch.heard = now
            settled = min(now + SETTLING, watch.heard + SETTLING_MOST) if event.lasting else now
            watch.due = max(settled, watch.not_before)
        self.wake(now)

    def next_deadline(self) -> float:
        """When :meth:`wake` has something to do."""
        return min([self._audit_at, *(watch.due for watch in self._watches.values() if watch.due is not None)])

    def audit(self) -> None:
        """Compare everything, now."""
        for watch in self._watches.values():
            watch.due = self._clock()
        self.wake(self._clock())

    def wake(self, now: float) -> None:
        """Look at what is due."""
        if now >= self._audit_at:
            self._audit_at = now + AUDIT
            for watch in self._watches.values():
                watch.due = watch.due or max(now, watch.not_before)
        for kind, watch in self._watches.items():
            if watch.due is not None and watch.due <= now:
                watch.due = None
                self._mend(kind, None)

    def hurry(self) -> None:
        """Somebody asks how it is: look at what only waits for more events."""
        now = self._clock()
        for watch in self._watches.values():
            if watch.due is not None and watch.not_before <= now:
                watch.due = now
        self.wake(now)

    # What

    def look(self, tunnels: Collection[str]) -> dict[str, Told]:
        """What is lacking of these tunnels, and what was put back since a task was told; nothing changes."""
        missing: dict[str, list[str]] = {}
        possible = set()
        for kind, mender in self._menders.items():
            for loss in mender.lacking(tunnels):
                missing.setdefault(loss.tunnel, []).append(loss.what)
                if loss.tunnel not in self._watches[kind].refused:
                    possible.add(loss.tunnel)
        named = (name for name in tunnels if name in missing or self.record(name).untold)
        return {
            name: Told(_counted(self.record(name).untold), missing.get(name, []), name in possible) for name in named
        }

    def mend(self, tunnels: Collection[str]) -> dict[str, Told]:
        """As :meth:`look`, but put back before what is lacking; all this counts as told then."""
        for kind in self._menders:
            self._mend(kind, tunnels)
        found = self.look(tunnels)
        for name in found:
            if name in self._records:
                self._records[name].untold.clear()
        return {name: told._replace(possible=False) for name, told in found.items()}

    def found(self, kind: str, losses: Collection[Loss]) -> None:
        """Somebody else who looked has put these back."""
        if losses:
            self._note(kind, self._watches[kind], list(losses), self._clock())

    def record(self, tunnel: str) -> Record:
        """What was put back of a tunnel; of none: what belongs to no tunnel."""
        return self._records.get(tunnel, Record())

    def forget(self, tunnel: str) -> None:
        """The tunnel is not defined any more."""
        self._records.pop(tunnel, None)

    def disturbance(self, tunnel: str) -> Disturbance | None:
        """What the kernel lacks of a tunnel just now, or lacks again and again."""
        now = self._clock()
        for kind, watch in self._watches.items():
            if tunnel in watch.refused:
                what, children = watch.refused[tunnel]
                return Disturbance(f"{what}, and cannot be put back yet", children)
            if tunnel not in watch.victims or now - watch.mended >= QUIET:
                continue
            what, children = _by(self._records[tunnel]), watch.victims[tunnel]
            if watch.losses >= FIGHT:
                return Disturbance(f"somebody else removes its {kind} again and again: {what}", children)
            if watch.due is not None and now - watch.mended < PAUSE:
                return Disturbance(f"somebody else removed its {kind} just now: {what}", children)
        return None

    def _mend(self, kind: str, tunnels: Collection[str] | None) -> None:
        watch, began = self._watches[kind], self._clock()
        outcome = self._menders[kind].mend(tunnels)
        now = self._clock()
        watch.working = outcome.working
        if outcome.working:
            watch.due = now + SETTLING
            return
        if outcome.mended:
            self._note(kind, watch, outcome.mended, now)
        if tunnels is None or outcome.refused:
            self._refused(watch, outcome.refused, now)
        pause = PAUSE if outcome.mended or outcome.refused else 0.0
        took = now - began
        watch.not_before = now + max(pause, min(_LOOK_SHARE * took, max(PAUSE, took)))
        watch.culprit = ""
        if outcome.refused or watch.again:
            watch.due = watch.due or watch.not_before
        watch.again = False

    def _note(self, kind: str, watch: _Watch, mended: list[Loss], now: float) -> None:
        """Record, log and tell; of a fight the journal gets one line, then one a minute."""
        watch.losses = watch.losses + 1 if now - watch.mended < QUIET else 1
        watch.said = watch.said and watch.losses > 1 and watch.losses % AUDIT != 0
        watch.mended = now
        watch.victims = _victims(mended)
        self.counts[kind] += 1
        for name in watch.victims:
            self._records.setdefault(name, Record()).count += 1
        for loss in mended:
            record = self._records[loss.tunnel]
            record.last, record.at, record.culprit = loss.what, int(time.time()), watch.culprit
            if len(record.untold) < _TOLD or loss.what in record.untold:
                record.untold[loss.what] += 1
        if not watch.said:
            self._say(kind, watch, mended)
        for name in watch.victims.keys() - {""}:
            self._changed(name)

    def _say(self, kind: str, watch: _Watch, mended: list[Loss]) -> None:
        fields = {
            "what": mended[0].what,
            "tunnel": mended[0].tunnel or None,
            "more": len(mended) - 1 or None,
            "culprit": watch.culprit or "unknown",
        }
        if watch.losses < FIGHT:
            self._log.warning(f"{kind} of ours were removed by somebody else and are put back", **fields)
        else:
            watch.said = True
            words = "again and again; they are put back once a second"
            self._log.warning(f"{kind} of ours are removed by somebody else {words}", **fields)

    def _refused(self, watch: _Watch, refused: list[Loss], now: float) -> None:
        children, words = _victims(refused), {loss.tunnel: loss.what for loss in refused}
        before, watch.refused = watch.refused, {name: Disturbance(words[name], children[name]) for name in words}
        if watch.refused != before:
            for loss in refused:
                self._log.error("what somebody else removed cannot be put back yet", tunnel=loss.tunnel, what=loss.what)
        for name in (before.keys() ^ watch.refused.keys()) - {""}:
            self._changed(name)


def _victims(losses: Iterable[Loss]) -> dict[str, frozenset[str]]:
    found: dict[str, frozenset[str]] = {}
    for loss in losses:
        found[loss.tunnel] = found.get(loss.tunnel, frozenset()) | {loss.child}
    return found


def _by(record: Record) -> str:
    return f"{record.last}, {record.culprit or 'nobody knows by whom'}"


def _counted(told: Counter[str]) -> list[str]:
    return [what if times == 1 else f"{what} ({times} times)" for what, times in told.items()]
