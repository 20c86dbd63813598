# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether anybody waits for a child any more: operators and definitions change while a request for it is out."""

from __future__ import annotations

from ..connection import ChildConfig
from .sa import IkeSa, Kind, Task


def still_wanted(sa: IkeSa, task: Task) -> ChildConfig | None:
    """What to ask for after a child that did not come up: as it is defined by now.

    None where nobody waits for it any more: it was stopped, taken out of the definition or is asked for already, or
    the IKE SA makes no more children.
    """
    name = task.terms.name
    asked = any(other.kind is Kind.NEW_CHILD and other.terms.name == name for other in sa.queue)
    if sa.outgoing or asked or task.reason == "stopped" or being_stopped(sa, name):
        return None
    return next((config for config in sa.connection.children if config.name == name), None)


def being_stopped(sa: IkeSa, name: str) -> bool:
    """Whether an operator has had the child of this name closed, and the peer is still to be told."""
    return any(
        task.kind is Kind.DELETE_CHILD and task.reason == "stopped" and task.current.config.name == name
        for task in sa.queue
    )
