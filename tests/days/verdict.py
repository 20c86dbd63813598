# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run proves: a pure look at its seconds, without sockets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from .traffic import LATE, LOST, NOT_SENT, PASSED

STEADY = 30  # seconds of packets both ways after which a tunnel counts as recovered
WE_NOTICE = 60  # seconds until we are up again with a peer that lost its state: our liveness check at its default
THEY_NOTICE = 600  # seconds that a peer may take to notice that we lost ours
GAP = 5  # seconds that a peer may break a tunnel for when it closes the old one first
LIFETIME = 3600  # seconds that a Child SA of ours lives at most
DOUBT = 25  # seconds after the peer went away until the listing says that it may be gone
SLIP = 3  # seconds that a listing may be behind what happens
# What the listing said in a second: active without a reason to doubt it, or not.
NOT_ASKED, NOT_ACTIVE, ACTIVE = range(3)


@dataclass(frozen=True)
class Reboot:
    """One reboot.

    :ivar side: ``ours`` or ``theirs``.
    :ivar down: the second its state was lost in.
    :ivar back: the second its daemon ran again in.
    """

    side: str
    down: int
    back: int


@dataclass(frozen=True)
class Left:
    """SAs at the end: one IKE SA and one Child SA are wanted, that is two SAs in each kernel."""

    our_ike: int
    our_children: int
    their_ike: int
    their_children: int
    our_kernel: int
    their_kernel: int

    def problem(self) -> str:
        """What is too many or too few; empty when all is well."""
        wanted = Left(1, 1, 1, 1, 2, 2)
        off = [name for name, count in asdict(self).items() if count != getattr(wanted, name)]
        return ", ".join(f"{name} {getattr(self, name)} instead of {getattr(wanted, name)}" for name in off)


@dataclass
class Verdict:
    """What became of a run; figures in packets or seconds.

    :ivar generations: how often there were new Child SAs, by a rekey or a new IKE SA: a run without proves nothing.
    :ivar lost: packets lost beyond those that reboots and the peer's own gaps explain.
    :ivar recovered: seconds from the daemon's return until packets passed for good, by the side that was rebooted.
    :ivar gaps: how often, ``longest_gap`` for how long, a peer that breaks before it makes left us without a tunnel.
    :ivar untrue: longest time that the listing said active while packets were lost, apart from after a reboot.
    :ivar problems: why the run failed; none when it passed.
    """

    sent: int = 0
    generations: int = 0
    lost: int = 0
    held: int = 0
    lost_in_reboots: int = 0
    recovered: dict[str, int] = field(default_factory=dict)
    gaps: int = 0
    longest_gap: int = 0
    untrue: int = 0
    untrue_in_reboots: int = 0
    clear_ours: int = 0
    clear_theirs: int = 0
    problems: list[str] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


def judge(
    fates: Mapping[str, Sequence[int]],
    said: Sequence[int],
    reboots: Sequence[Reboot],
    starts: str,
    breaks_first: bool,
    left: Left,
    clear: tuple[Sequence[int], Sequence[int]],
    generations: int,
) -> Verdict:
    """The verdict on a run.

    :param fates: of the packets of each site, by second.
    :param said: what our listing said, by second.
    :param starts: ``ours``, ``theirs`` or ``both``: who sets the tunnel up.
    :param clear: the seconds in which our site and theirs sent packets in clear. A peer that has lost its SAs, or
        its state, may know no better for a while after a reboot; we have to.
    """
    verdict = Verdict(clear_ours=len(clear[0]), clear_theirs=len(clear[1]), generations=generations)
    ways = list(fates.values())
    verdict.sent = sum(fate != NOT_SENT for way in ways for fate in way)
    verdict.held = sum(fate == LATE for way in ways for fate in way)
    in_reboot = bytearray(len(said))
    for reboot in reboots:
        up = _recovery(ways, reboot.back)
        verdict.recovered[reboot.side] = up - reboot.back
        in_reboot[reboot.down : up] = b"\1" * (up - reboot.down)
        limit = THEY_NOTICE if (starts, reboot.side) == ("theirs", "ours") else WE_NOTICE
        if up - reboot.back > limit:
            verdict.problems.append(f"{up - reboot.back} s without packets after {reboot.side} was rebooted")
    missing = [sum(way[second] == LOST for way in ways) for second in range(len(said))]
    verdict.lost_in_reboots = sum(count for second, count in enumerate(missing) if in_reboot[second])
    bursts = _runs([bool(count) and not in_reboot[second] for second, count in enumerate(missing)])
    for begin, end in bursts:
        if breaks_first and end - begin <= GAP:
            verdict.gaps += 1
            verdict.longest_gap = max(verdict.longest_gap, end - begin)
        else:
            lost = sum(missing[begin:end])
            verdict.lost += lost
            verdict.problems.append(f"{lost} packets lost from {clock(begin)} to {clock(end)}")
    untrue = [bool(count) and said[second] == ACTIVE for second, count in enumerate(missing)]
    verdict.untrue = _longest([one and not within for one, within in zip(untrue, in_reboot, strict=True)])
    verdict.untrue_in_reboots = _longest([one and bool(within) for one, within in zip(untrue, in_reboot, strict=True)])
    if verdict.untrue > SLIP:
        verdict.problems.append(f"said active for {verdict.untrue} s while packets were lost")
    if verdict.untrue_in_reboots > DOUBT:
        verdict.problems.append(f"said active for {verdict.untrue_in_reboots} s after a reboot")
    verdict.problems += [f"SAs at the end: {left.problem()}"] if left.problem() else []
    if generations < len(said) // LIFETIME:
        verdict.problems.append(f"{generations} generations of Child SAs in {clock(len(said))}: too few to prove much")
    for seconds, who in ((clear[0], "us"), ([one for one in clear[1] if not in_reboot[one]], "the peer")):
        if seconds:
            verdict.problems.append(f"{len(seconds)} packets in clear from {who}, the first at {clock(seconds[0])}")
    return verdict


def clock(second: int) -> str:
    """A second of the run as days and time."""
    minutes, seconds = divmod(second, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    return f"{days}d{hours:02}:{minutes:02}:{seconds:02}"


def _recovery(ways: Sequence[Sequence[int]], back: int) -> int:
    """The first second from which packets passed both ways for a while; the end when there is none."""
    steady = 0
    for second in range(back, len(ways[0])):
        steady = steady + 1 if all(way[second] == PASSED for way in ways) else 0
        if steady == STEADY:
            return second - STEADY + 1
    return len(ways[0])


def _runs(marks: Sequence[bool]) -> list[tuple[int, int]]:
    """(first, one past the last) of each unbroken row of marks."""
    runs = []
    begin = None
    for second, mark in enumerate([*marks, False]):
        if mark and begin is None:
            begin = second
        elif not mark and begin is not None:
            runs.append((begin, second))
            begin = None
    return runs


def _longest(marks: Sequence[bool]) -> int:
    return max((end - begin for begin, end in _runs(marks)), default=0)
