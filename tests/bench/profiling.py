# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a manager's time goes in handshakes: by room of the engine, and the dearest functions."""

from __future__ import annotations

import pstats
import tempfile
import time
from collections import Counter
from pathlib import Path

from .managers import pair

WARM, TUNNELS = 200, 1000
_FLOORS = ("manager", "ike", "crypto", "wire", "kernel")
_DEAREST = 20

# A function as pstats knows it: file, line, name.
Function = tuple[str, int, str]


def profile(python: str) -> str:
    """Both sides' time by room and by function; cProfile makes calls dear, so only the shares mean something."""
    with tempfile.TemporaryDirectory(prefix="fleet-ipsec-bench-") as directory:
        files = (f"{directory}/initiator", f"{directory}/responder")
        with pair(python, [WARM, TUNNELS], profiles=files) as managers:
            initiator, _unused = managers
            initiator.go()
            for manager in managers:
                manager.profile("p")
            initiator.go()
            for manager in managers:
                manager.profile("e")
            time.sleep(0.3)
        return "\n".join(_described(Path(file).name, pstats.Stats(file)) for file in files)


def _described(side: str, stats: pstats.Stats) -> str:
    own = _own_times(stats)
    total = sum(own.values())
    rooms: Counter[str] = Counter()
    for function, seconds in own.items():
        rooms[_room(function)] += seconds
    calls = {function: row[1] for function, row in stats.stats.items()}  # type: ignore[attr-defined]
    lines = [f"{side}: {total / TUNNELS * 1000:.3f} ms a handshake under the profiler", "  by room"]
    lines += [f"    {seconds / total:6.1%}  {room}" for room, seconds in rooms.most_common()]
    lines += ["  dearest functions, with the C functions they call", "             calls a handshake"]
    for function, seconds in own.most_common(_DEAREST):
        lines.append(f"    {seconds / total:6.1%}  {calls[function] / TUNNELS:7.1f}  {_shown(function)}")
    return "\n".join(lines) + "\n"


def _own_times(stats: pstats.Stats) -> Counter[Function]:
    """Seconds in each Python function, C functions counted to who called them, waiting left out."""
    own: Counter[Function] = Counter()
    for function, (_unused, _unused, seconds, _unused, callers) in stats.stats.items():  # type: ignore[attr-defined]
        if "poll" in function[2]:
            continue
        if function[0] == "~":
            for caller, (_unused, _unused, part, _unused) in callers.items():
                own[caller] += part
        else:
            own[function] += seconds
    return own


def _room(function: Function) -> str:
    parts = Path(function[0]).parts
    if "engine" in parts:
        inside = parts[parts.index("engine") + 1 :]
        if inside[0] in _FLOORS:
            return f"{inside[0]}/{inside[-1]}" if inside[0] == "manager" else inside[0]
        return "ground"
    if "tests" in parts:
        return "the kernel's stand-in"
    return "asyncio" if {"asyncio", "selectors.py"} & set(parts) else "other libraries"


def _shown(function: Function) -> str:
    parts = Path(function[0]).parts
    start = parts.index("engine") + 1 if "engine" in parts else -2
    return f"{'/'.join(parts[start:])}:{function[1]} {function[2]}"
