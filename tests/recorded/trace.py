# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What happened in a simulation, as lines of text that are the same wherever it runs. Keys show as digests."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any

from .engine_face import Action, ChildSa, Endpoint, Path, ReleaseSpi, Report, Secret, Send

DIGEST = 14  # hexadecimal digits
_LIMITS = ("hard_seconds", "soft_bytes", "hard_bytes", "soft_packets", "hard_packets")


class Trace:
    """The lines of one simulation.

    :ivar lines: every verb with what the engine returned.
    :ivar records: what was to be kept for another process after each verb: the keys of records, and them.
    """

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.records: list[str] = []

    def say(self, now: float, who: str, what: str) -> None:
        """Something happened at an end."""
        self.lines.append(f"{now:.6f} {who} {what}")

    def returned(self, actions: Iterable[Action]) -> None:
        """What a verb asks for."""
        self.lines.extend(f"    {action_text(action)}" for action in actions)

    def stands(self, engine: Endpoint) -> None:
        """What an end has, and when it wants to be asked again."""
        self.lines.extend(f"    {line}" for line in view_lines(engine))

    def digests(self) -> tuple[str, str]:
        """Of the lines, and of the records."""
        return _digest(self.lines), _digest(self.records)


def action_text(action: Action) -> str:
    """One action, in one line."""
    name = type(action).__name__
    if isinstance(action, Send):
        return f"{name} {path_text(action.path)} {action.datagram.hex()}"
    if isinstance(action, ReleaseSpi):
        return f"{name} {action.local_address} {action.remote_address} {action.protocol} {action.spi:08x}"
    if isinstance(action, Report):
        data = json.dumps(action.data, sort_keys=True, default=str)
        return f"{name} {action.kind} {action.tunnel} ike={action.ike} child={action.child} {data}"
    return f"{name} {child_text(action.child)}"


def path_text(path: Path) -> str:
    """The way of a datagram."""
    mark = " natt" if path.natt else ""
    return f"{path.local_address}/{path.local_port}>{path.remote_address}/{path.remote_port}{mark}"


def child_text(child: ChildSa) -> str:
    """A Child SA with all that the kernel is told of it."""
    words = [
        f"{child.tunnel}/{child.child}#{child.number}",
        f"reqid={child.reqid}",
        f"{child.local_address}-{child.remote_address}",
        f"{child.protocol}/{child.mode}",
        f"in={child.spi_in:08x} out={child.spi_out:08x}",
        f"{_selectors(child.local_selectors)}=>{_selectors(child.remote_selectors)}",
        f"{_name(child.encryption)}:{_key(child.encryption_in)}:{_key(child.encryption_out)}",
        f"{_name(child.integrity)}:{_key(child.integrity_in)}:{_key(child.integrity_out)}",
        f"udp={child.encapsulation} esn={child.esn} replay={child.replay_window} if_id={child.if_id}",
        f"lifetime={'/'.join(str(getattr(child.lifetime, name)) for name in _LIMITS)}",
    ]
    if child.defined is not None:
        words.append(f"defined={'=>'.join(_selectors(side) for side in child.defined)}")
    return " ".join(words)


def view_lines(engine: Endpoint) -> list[str]:
    """Every IKE SA with its children, and the next deadline."""
    lines = []
    for sa in engine.sas():
        lines.append(
            f"sa {sa.number} {sa.tunnel} {sa.state} initiator={sa.initiator} {path_text(sa.path)} "
            f"{sa.local_id} {sa.remote_id} {sa.spi_i.hex()} {sa.spi_r.hex()} {'-'.join(sa.algorithms)} nat={sa.nat} "
            f"created={sa.created!r} rekey={sa.rekey_at!r} expires={sa.expires_at!r} heard={sa.last_heard!r} "
            f"retired={sa.retired}"
        )
        for child in sa.children:
            lines.append(
                f"child {child.number} {child.name} {child.state} {child.sa.spi_in:08x} created={child.created!r} "
                f"rekey={child.rekey_at!r} expires={child.expires_at!r}"
            )
    lines.append(f"deadline {engine.next_deadline()!r}")
    return lines


def _selectors(selectors: Iterable[object]) -> str:
    return ",".join(str(selector) for selector in selectors)


def _name(algorithm: Any) -> str:
    return algorithm.name if algorithm is not None else "-"


def _key(secret: Secret) -> str:
    return hashlib.sha256(secret.reveal()).hexdigest()[:12] if len(secret) else "-"


def _digest(lines: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:DIGEST]
