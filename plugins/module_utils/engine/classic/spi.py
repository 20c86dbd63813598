# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every SA in a line of its own, as ``/proc/net/ipsec_spi`` had it.

What the kernel of today does not tell is left out: initialisation vectors, and the reference counts of KLIPS.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from ..kernel.client import XfrmClient
from ..kernel.installed import Installed
from ..kernel.registry import Manual, RegistryView
from ..kernel.sa_chains import TUN
from ..kernel.values import ESP, PROTOCOL_NAMES, Sa, said_of
from ..said import Said
from .manual_show import show_sa
from .transforms import digest_bits, iv_bits, proc_cipher, proc_hash

_NO_BITMAP = 1


@dataclass(frozen=True)
class Entry:
    """An SA as it is listed.

    :ivar installed: None for a ``tun``.
    :ivar source: address its packets come from; ``direction``: ``in`` or ``out``.
    :ivar owner: who keyed it by hand, None for all others.
    """

    said: Said
    installed: Installed | None
    source: str
    direction: str
    owner: str | None

    def line(self, now: float) -> str:
        """The classic line; ``now`` in seconds since the epoch."""
        # "in" has a blank more, so that what follows stands in columns.
        head = f"{self.said.proc} {xform(self.installed)}: dir={self.direction:<3s} src={self.source}"
        if self.installed is None:
            return f"{head} life(c,s,h)= natencap=none natsport=0 natdport=0"
        return " ".join([head, *_details(self.installed, now)])

    def plain(self, now: float) -> dict[str, Any]:
        """The same as plain data, without keys."""
        if self.installed is None:
            shown: dict[str, Any] = {"said": str(self.said), "source": self.source}
        else:
            shown = show_sa(self.said, self.installed.sa, None)
            state = self.installed.state
            shown |= {"bytes": state.bytes, "packets": state.packets, "sequence": _sequence(self)}
        return shown | {"direction": self.direction, "owner": self.owner, "line": self.line(now)}


def _sequence(entry: Entry) -> int:
    installed = entry.installed
    if installed is None:
        return 0
    return installed.received if entry.direction == "in" else installed.sent


def xform(installed: Installed | None) -> str:
    """``IPIP``, ``ESP_AES_HMAC_SHA1``, ``AH_HMAC_MD5``, ``COMP_DEFLATE``."""
    if installed is None:
        return "IPIP"
    sa = installed.sa
    if sa.compression:
        return f"COMP_{sa.compression.upper()}"
    cipher = sa.aead or sa.encryption
    words = ["ESP" if sa.protocol == ESP else "AH"]
    words += [proc_cipher(cipher.name)] if cipher else []
    words += [proc_hash(sa.integrity.name)] if sa.integrity else []
    return "_".join(words)


def _details(installed: Installed, now: float) -> list[str]:
    sa, state = installed.sa, installed.state
    cipher = sa.aead or sa.encryption
    words = []
    if cipher and iv_bits(cipher.name):
        words.append(f"iv_bits={iv_bits(cipher.name)}bits")
    if sa.replay_window:
        words.append(f"ooowin={sa.replay_window}")
    if state.replayed:
        words.append(f"ooo_errs={state.replayed}")
    if installed.sent or installed.received:
        words.append(f"seq={installed.received or installed.sent}")
    if installed.bitmap > _NO_BITMAP:
        words.append(f"bit=0x{installed.bitmap:x}")
    if sa.integrity:
        words += [f"alen={digest_bits(sa.integrity.name) or sa.integrity.trunc_bits}"]
        words += [f"aklen={len(sa.integrity.key) * 8}"]
    if state.integrity_failed:
        words.append(f"auth_errs={state.integrity_failed}")
    if cipher and len(cipher.key):
        words.append(f"eklen={len(cipher.key) * 8}")
    words.append(f"life(c,s,h)={_life(installed, now)}")
    used = state.last_used or state.use_time
    if used:
        words.append(f"idle={max(0, int(now) - used)}")
    # KLIPS knew no mode: there it came with the group.
    return [*words, *_encapsulation(sa), f"mode={sa.mode}"]


def _life(installed: Installed, now: float) -> str:
    """Each triple is (current, soft, hard), printed where one of them says something."""
    state, limits = installed.state, installed.sa.limits
    age = max(0, int(now) - state.add_time) if state.add_time else 0
    used = max(0, int(now) - state.use_time) if state.use_time else 0
    triples = (
        ("bytes", state.bytes, limits.soft_bytes, limits.hard_bytes),
        ("addtime", age, limits.soft_seconds, limits.hard_seconds),
        ("usetime", used, limits.soft_use_seconds, limits.hard_use_seconds),
        ("packets", state.packets, limits.soft_packets, limits.hard_packets),
    )
    return "".join(f"{name}({now_},{soft},{hard})" for name, now_, soft, hard in triples if now_ or soft or hard)


def _encapsulation(sa: Sa) -> list[str]:
    source, destination = sa.encapsulation or (0, 0)
    return [f"natencap={'nonesp' if sa.encapsulation else 'none'}", f"natsport={source}", f"natdport={destination}"]


def entries(
    installed: Iterable[Installed], noted: Mapping[Said, Manual], is_local: Callable[[str], bool]
) -> list[Entry]:
    """Every SA, those keyed by hand and all others, and every ``tun``; SPI reservations and the kernel's own IP in IP
    states are no SAs."""
    found = {
        said_of(one.state): one for one in installed if not one.state.larval and one.state.protocol in PROTOCOL_NAMES
    }
    names = [*found, *(said for said in noted if said.protocol == TUN)]
    ways = {address: "in" if is_local(address) else "out" for address in {said.destination for said in names}}
    return [
        Entry(
            said,
            found.get(said),
            found[said].sa.source if said in found else noted[said].source,
            ways[said.destination],
            _owner(noted.get(said), found.get(said)),
        )
        for said in sorted(names, key=lambda said: (said.destination, said.spi, said.protocol))
    ]


def _owner(note: Manual | None, installed: Installed | None) -> str | None:
    """A note of an SA that is gone says nothing of one that another program gave its name since."""
    if note is None or (installed is not None and installed.sa.reqid != note.reqid):
        return None
    return note.owner


def read_entries(runtime_dir: str, is_local: Callable[[str], bool]) -> list[Entry]:
    """The SAs of this host; nothing is changed nor created.

    :raises MissingError: without the permission, or without XFRM in the kernel.
    """
    with closing(XfrmClient()) as client, closing(RegistryView(runtime_dir)) as registry:
        return entries(client.read_sas(), registry.manual_sas(), is_local)


def lines(found: Iterable[Entry]) -> list[str]:
    """The whole table."""
    now = time.time()
    return [entry.line(now) for entry in found]
