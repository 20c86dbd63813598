# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Peers of a definition for many: which of them may have an instance, beside whom, and for which packets."""

from __future__ import annotations

from collections.abc import Sequence

from ...errors import CHILD, IKE, IkeError, KernelError
from ...identity import Identity
from ...selector import Selector
from ...wire.v2.delete import Delete
from ...wire.v2.numbers import NotifyType, ProtocolId
from ..actions import Path
from ..connection import KEEP, REPLACE, Connection
from ..context import Context
from ..instances import LONGEST_IDENTITY, instance_of, name_of
from . import lifecycle
from .exchange import last_word
from .sa import AUTHENTICATED, IkeSa
from .traffic import Narrowed, in_words
from .tunnel_sas import children_of, sas_of


def name_for(context: Context, connection: Connection, identity: Identity, path: Path) -> str:
    """The name of the tunnel of a peer that has proven its identity; that of its instance where it may have one.

    :raises IkeError: it may have none, or none more.
    """
    if connection.pattern is None:
        return connection.name
    if len(identity.canonical) > LONGEST_IDENTITY:
        story = f"the peer's identity is longer than {LONGEST_IDENTITY} characters"
        raise _refused(connection, "identity_too_long", story)
    name = name_of(connection.name, identity)
    others = [sa for sa in sas_of(context, name) if sa.state in AUTHENTICATED]
    if any(not sa.remote_id.matches(identity) for sa in others):
        raise _refused(connection, "identity_in_use", f"{name} is the name of another peer")
    if connection.unique == KEEP and any(_elsewhere(sa, path) for sa in others):
        story = f"{name} is up with {others[0].path.remote_address}, and its definition keeps the first of an identity"
        raise _refused(connection, "identity_in_use", story)
    known = context.registry.instances(connection.name)
    if name not in known and len(known) >= connection.max_instances:
        story = f"{connection.name} has as many peers as it may have ({connection.max_instances}), not counting {name}"
        raise _refused(connection, "too_many_instances", story)
    return name


def tunnel_of(context: Context, connection: Connection, name: str, identity: Identity) -> Connection:
    """What a peer's IKE SA is of: the definition itself, or its instance by that name, made where there is none.

    :raises IkeError: the host has no room for one more.
    """
    if connection.pattern is None:
        return connection
    found = context.connections.get(name)
    if found is None:
        try:
            found = instance_of(connection, name, identity, context.reqids)
        except KernelError as exc:
            raise IkeError(NotifyType.TEMPORARY_FAILURE, str(exc), IKE, reason="kernel_refused") from exc
        context.connections.put(found)
    return found


def settle_unique(context: Context, sa: IkeSa) -> None:
    """The peer of an instance has come once more: end what it had from another address, where one replaces the other.

    From the same address it proves itself anew before it lets go of what it has; that is settled as in any tunnel.
    """
    if not sa.connection.definition or sa.connection.unique != REPLACE:
        return
    for other in sas_of(context, sa.connection.name):
        if other is not sa and other.state in AUTHENTICATED and _elsewhere(other, sa.path):
            story = f"the same identity has come from {sa.path.remote_address}"
            last_word(context, other, Delete(ProtocolId.IKE, ()))
            lifecycle.end(context, other, "replaced", story)


def check_packets(context: Context, sa: IkeSa, narrowed: Narrowed) -> None:
    """Whether a peer of a definition for many may have these packets: not where they are another one's.

    :raises IkeError: TS_UNACCEPTABLE, scope child.
    """
    if not sa.connection.definition or _has(sa, narrowed):
        return
    for name in context.registry.instances(sa.connection.definition):
        if name == sa.connection.name:
            continue
        for _sa, child in children_of(context, name):
            # What is behind the peers tells most of them apart.
            if _meet(narrowed.remote, child.sa.remote_selectors) and _meet(narrowed.local, child.sa.local_selectors):
                asked = in_words(narrowed.local, narrowed.remote, narrowed.config.mode)
                theirs = in_words(child.sa.local_selectors, child.sa.remote_selectors, child.sa.mode)
                story = f"the peer asks for {asked}, some of which is that of {name}: {theirs}"
                raise IkeError(NotifyType.TS_UNACCEPTABLE, story, CHILD, reason="selectors_taken")


def _has(sa: IkeSa, narrowed: Narrowed) -> bool:
    """Whether a child of the same IKE SA has just these packets, as before a rekey."""
    return any(
        child.sa.local_selectors == narrowed.local and child.sa.remote_selectors == narrowed.remote
        for child in sa.children.values()
    )


def _meet(some: Sequence[Selector], others: Sequence[Selector]) -> bool:
    for one in some:
        for other in others:
            # There may be thousands of the others, nearly all of which end here.
            if one.first <= other.last and other.first <= one.last and one.intersect(other):
                return True
    return False


def _elsewhere(sa: IkeSa, path: Path) -> bool:
    return sa.path.remote_address != path.remote_address


def _refused(connection: Connection, reason: str, story: str) -> IkeError:
    refusal = IkeError(NotifyType.AUTHENTICATION_FAILED, story, IKE, reason=reason)
    refusal.tunnels = (connection.name,)
    return refusal
