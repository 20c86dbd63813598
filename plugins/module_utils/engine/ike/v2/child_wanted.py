# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether anybody waits for a child any more: operators and definitions change while a request for it is out."""

from __future__ import annotations

from ..connection import ChildConfig
from .sa import IkeSa
from .tasks import ChildTask, DeleteChild, NewChild


def still_wanted(sa: IkeSa, task: ChildTask) -> ChildConfig | None:
    """What to ask for after a child that did not come up: as it is defined by now.

    None where nobody waits for it any more: it was stopped, taken out of the definition or is asked for already, or
    the IKE SA makes no more children.
    """
    name = task.terms.name
    asked = any(isinstance(other, NewChild) and other.config.name == name for other in sa.queue)
    stopped = isinstance(task, NewChild) and task.reason == "stopped"
    if not sa.makes_children or asked or stopped or being_stopped(sa, name):
        return None
    return next((config for config in sa.connection.children if config.name == name), None)


def being_stopped(sa: IkeSa, name: str) -> bool:
    """Whether an operator has had the child of this name closed, and the peer is still to be told."""
    return any(
        isinstance(task, DeleteChild) and task.reason == "stopped" and task.child.config.name == name
        for task in sa.queue
    )
