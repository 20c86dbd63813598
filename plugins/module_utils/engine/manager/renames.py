# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tunnels that go on under another name: a name is ours alone, so the peer does not notice, and nothing is closed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..definition.parsing import Definition
from .store import Stored


def renames(removed: Mapping[str, Stored], created: Iterable[tuple[str, str, Definition]]) -> dict[str, str]:
    """New name -> old name of the tunnels of one change that are removed and made anew with the same peer.

    The peer is the same if both addresses are, or both identities. Where several would do there is no saying which
    one is meant, and none is; nor where packets come through an interface, which has the tunnel's number in it.

    :param removed: what goes; ``created``: (name, lasting wish, definition) of what comes.
    """
    comes = [(name, one) for name, wanted, one in created if wanted != "inactive" and one.pattern is None]
    goes = [(name, row.definition) for name, row in removed.items() if row.wanted != "inactive" and not row.unreadable]
    found = {}
    for name, definition in comes:
        before = [old for old, other in goes if _same_peer(other, definition)]
        after = [new for new, other in comes if before and _same_peer(dict(goes)[before[0]], other)]
        if len(before) == 1 == len(after):
            found[name] = before[0]
    return found


def _same_peer(one: Definition, other: Definition) -> bool:
    ends = [(definition.document["local"], definition.document["remote"]) for definition in (one, other)]
    if any(definition.document["interface"] for definition in (one, other)):
        return False
    return any(_known(ends[0], key) and _known(ends[0], key) == _known(ends[1], key) for key in ("id", "address"))


def _known(ends: tuple[Mapping[str, str], Mapping[str, str]], key: str) -> tuple[str, str] | None:
    local, remote = ends[0][key], ends[1][key]
    return (local.lower(), remote.lower()) if local and remote else None
