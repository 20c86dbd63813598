# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What differs between two definitions of a tunnel, and what the difference does to what runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from .parsing import Definition
from .ppks import PPK
from .table import IMPACTS, OPTIONS

_LISTED = "children."
_TUNNEL = {row.path: row.impact for row in OPTIONS if row.impact and not row.path.startswith(_LISTED)}
_CHILD = {row.path[len(_LISTED) :]: row.impact for row in OPTIONS if row.impact and row.path.startswith(_LISTED)}

_OF_PPKS = f"{PPK}."

# What a rekey cannot change: such a child is replaced by another one, negotiated beside it.
_REPLACED = ("local", "remote", "mode", "protocol")


class Change(NamedTuple):
    """One option that differs.

    :ivar path: ``ike.lifetime``, ``children.lan.local``, or ``children.lan`` for a child that comes or goes.
    :ivar child: name of the child it belongs to, empty for the tunnel's own options.
    :ivar option: the child's option, empty when the child itself comes or goes.
    """

    path: str
    impact: str
    child: str = ""
    option: str = ""

    @property
    def replaces(self) -> bool:
        """Whether a child that is up, or the IKE SA, is to be replaced by another one."""
        if not self.child:
            return self.impact == "re-establish"
        return self.option in _REPLACED and self.impact != "hot"


def changes(before: Definition, after: Definition, running: frozenset[str]) -> Iterator[Change]:
    """Every option that differs.

    :param running: the children that are up; what differs in the others touches nothing that runs.
    """
    for path, impact in _TUNNEL.items():
        if _at(before, path) != _at(after, path):
            yield Change(path, impact)
    old = {child["name"]: child for child in before.document["children"]}
    new = {child["name"]: child for child in after.document["children"]}
    for name in old | new:
        if name in old and name in new:
            for option, impact in _CHILD.items():
                if old[name][option] != new[name][option]:
                    yield Change(f"children.{name}.{option}", impact if name in running else "hot", name, option)
        else:
            # One more or one less is negotiated beside the others, which go on.
            yield Change(f"children.{name}", "rekey" if name in new or name in running else "hot", name)
    if not _same_order(old, new):
        yield Change("children", "hot")


def worst(found: Iterable[Change]) -> str:
    """The severest impact among them, ``none`` if there is no change."""
    return max((change.impact for change in found), key=IMPACTS.index, default="none")


def _at(definition: Definition, path: str) -> Any:
    section, _dot, option = path.partition(".")
    if option.startswith(_OF_PPKS):
        return [ppk.option(option[len(_OF_PPKS) :]) for ppk in definition.ppks]
    secret = definition.credential.option(option) if section == "auth" else None
    if secret is not None:
        return secret
    value: Any = definition.document
    for key in path.split("."):
        value = value and value.get(key)  # a tunnel may have no interface, and not what belongs to another method
    return value


def _same_order(old: dict[str, Any], new: dict[str, Any]) -> bool:
    return [name for name in old if name in new] == [name for name in new if name in old]
