# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which packets a change of a tunnel's definition leaves without protection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from ansible_collections.fleet.ipsec.plugins.module_utils.engine.selector import Selector


class Traffic(NamedTuple):
    """Packets between any of some networks here and any of some there, of one family."""

    local: list[Selector]
    remote: list[Selector]


def no_longer_protected(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Networks, local and remote, that a tunnel's children had between them and no child of it has any more.

    :param before: the definition as the manager shows it; ``after`` likewise.
    """
    left, has = _protected(before), _protected(after)
    for other in has:
        left = [rest for each in left for rest in _without(each, other)]
    return list(dict.fromkeys(f"{_words(each.local)} and {_words(each.remote)}" for each in left))


def _protected(shown: dict[str, Any]) -> list[Traffic]:
    # Only now: an interpreter that is too old for the engine is told so first.
    from ansible_collections.fleet.ipsec.plugins.module_utils.engine.selector import parse_selector

    found = []
    for child in shown.get("children", ()):
        local, remote = ([parse_selector(text) for text in child[side]] for side in ("local", "remote"))
        for family in sorted({each.family for each in local}):
            found.append(Traffic(*([each for each in side if each.family == family] for side in (local, remote))))
    return found


def _without(traffic: Traffic, other: Traffic) -> list[Traffic]:
    """What of some packets is none of the others."""
    local = _difference(traffic.local, other.local)
    common = _difference(traffic.local, local)
    parts = Traffic(local, traffic.remote), Traffic(common, _difference(traffic.remote, other.remote))
    return [part for part in parts if part.local and part.remote]


def _difference(networks: list[Selector], others: list[Selector]) -> list[Selector]:
    left = networks
    for other in others:
        left = [rest for each in left for rest in each.without(other)]
    return left


def _words(networks: list[Selector]) -> str:
    return " ".join(map(str, networks))
