# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Definitions for many peers and their instances, as listings have them: an instance is looked at as a tunnel.

It has no row in the database. What is shown as one is made of the row of its definition and of its IKE SAs.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from ..ike.instances import Crowd
from ..ike.reasons import REASONS
from ..ike.views import IkeView
from .child_shunts import is_shunt
from .states import REST_OF_MANY, Condition, Notice, remedy_of
from .store import Stored


def instance_row(row: Stored, name: str, sas: Sequence[IkeView]) -> Stored:
    """What the row of an instance would be: that of its definition, with one peer in it.

    :param row: of the definition; ``sas``: the IKE SAs of the instance, oldest first.
    """
    remote = row.definition.document["remote"]
    if sas:
        newest = sas[-1]
        remote = remote | {"id": newest.remote_id, "address": newest.path.remote_address, "addresses": []}
    definition = replace(row.definition, name=name, document=row.definition.document | {"name": name, "remote": remote})
    children = {child["name"]: 0 for child in row.definition.document["children"] if not is_shunt(child)}
    return Stored(0, name, row.owner, "present", definition, children)


def of_instance(how: Condition, row: Stored, notice: Notice | None) -> Condition:
    """How an instance is: one that has an IKE SA and no child has come to nothing, if something stands against it."""
    if how.state != "active" or how.up or notice is None:
        return how
    reason = notice.reason if notice.reason in REASONS else "protocol_error"
    return how._replace(state="degraded", reason=reason, story=notice.story, remedy=remedy_of(row, reason))


def of_many(row: Stored, crowd: Crowd, notice: Notice | None, shunted: Collection[str]) -> Condition:
    """How a definition for many peers is.

    :param crowd: its instances; ``shunted``: its children that let packets pass, or drop them, and stand.
    """
    children = row.definition.document["children"]
    up = crowd.children | {child["name"] for child in children if is_shunt(child) and child["name"] in shunted}
    phase2 = {child["name"]: "active" if child["name"] in up else "dormant" for child in children}
    if crowd.peers:
        return Condition("active", "active", phase2, "responder", up=frozenset(up), rest=REST_OF_MANY)
    state, reason = ("inactive", "stopped") if row.wanted == "inactive" else ("dormant", REST_OF_MANY)
    story, remedy = REASONS[reason]
    if notice is not None and row.wanted != "inactive":
        reason = notice.reason if notice.reason in REASONS else "protocol_error"
        story, remedy = notice.story, remedy_of(row, reason)
    return Condition(state, "dormant", phase2, "", reason, story, remedy, up=frozenset(up), rest=REST_OF_MANY)
