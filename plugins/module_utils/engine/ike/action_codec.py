# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Actions as plain data, for who may have to do again what another process was about to do.

All of them may be done twice: a peer takes a second copy of a message for a retransmission, and what the kernel has,
or has not any more, is left at that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ..child_sa import ChildSa
from .actions import (
    Action,
    InstallInbound,
    InstallOutbound,
    KernelAction,
    Path,
    PointPolicies,
    ReleaseSpi,
    RemovePolicies,
    RemoveSas,
    Report,
    ResetPolicies,
    Send,
    YieldPolicies,
)
from .record_codec import CHILD_SA

# A child that is installed is one of its IKE SA, where it is kept with its keys.
_BY_NUMBER = {kind.__name__: kind for kind in (InstallInbound, InstallOutbound, PointPolicies, YieldPolicies)}
_WHOLE = {kind.__name__: kind for kind in (RemoveSas, ResetPolicies, RemovePolicies)}


def freeze_actions(actions: Iterable[Action]) -> list[list[Any]]:
    """Everything that is to be done; reports are none of it."""
    return [_freeze(action) for action in actions if not isinstance(action, Report)]


def _freeze(action: Send | KernelAction | ReleaseSpi) -> list[Any]:
    name = type(action).__name__
    if isinstance(action, Send):
        return [name, action.datagram.hex(), list(action.path), *([action.dscp] if action.dscp else [])]
    if isinstance(action, ReleaseSpi):
        return [name, action.local_address, action.remote_address, action.protocol, action.spi]
    return [name, action.child.number if name in _BY_NUMBER else CHILD_SA.freeze(action.child)]


def thaw_actions(data: Iterable[list[Any]], child_of: Callable[[int], ChildSa | None]) -> list[Action]:
    """The actions; those about a child that was not kept are left out, for there is nothing of it to install.

    :param child_of: a living child by its number.
    :raises LookupError, TypeError, ValueError: this release cannot read them.
    """
    found: list[Action] = []
    for name, *rest in data:
        if name == "Send":
            found.append(Send(bytes.fromhex(rest[0]), Path(*rest[1]), *rest[2:]))
        elif name == "ReleaseSpi":
            found.append(ReleaseSpi(*rest))
        elif name in _WHOLE:
            found.append(_WHOLE[name](CHILD_SA.thaw(rest[0], [])))
        elif (child := child_of(rest[0])) is not None:
            found.append(_BY_NUMBER[name](child))
    return found
