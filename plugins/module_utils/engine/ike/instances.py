# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Instances of a definition for many peers: one for each identity that has proven itself, as long as it has an IKE SA.

An instance is the definition with one peer's identity put in, and request IDs of its own. It is stored nowhere: whoever
goes on in another process makes it again, by the identity in the record of an IKE SA.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from ..identity import Identity
from .connection import Connection

MARK = "#"  # between the name of a definition, which has none, and the identity
LONGEST_IDENTITY = 256  # characters, of an identity that has an instance

# (definition, instance, child) -> kernel request ID, the same each time; raises KernelError.
ReqidSource = Callable[[str, str, str], int]


def no_reqids(definition: str, instance: str, child: str) -> int:
    """For endpoints that have no definitions for many peers."""
    raise ValueError(f"{definition} is defined for many peers, and there are no request IDs for {instance}: {child}")


def name_of(definition: str, identity: Identity) -> str:
    """The name of the instance of an identity, the same however the peer writes it."""
    return f"{definition}{MARK}{identity.canonical}"


def definition_of(name: str) -> str:
    """The name of the definition that a tunnel is an instance of; its own where it is none."""
    return name.partition(MARK)[0]


def is_instance(name: str) -> bool:
    """Whether a tunnel of that name is an instance of a definition."""
    return MARK in name


def is_for(definition: Connection, identity: Identity) -> bool:
    """Whether a definition is for many peers, and this one of them."""
    return definition.pattern is not None and definition.pattern.matches(identity)


def instance_of(definition: Connection, name: str, identity: Identity, reqids: ReqidSource) -> Connection:
    """The instance of an identity.

    :raises KernelError: there is no request ID for a child of it.
    """
    children = [replace(child, reqid=reqids(definition.name, name, child.name)) for child in definition.children]
    return replace(
        definition, name=name, definition=definition.name, pattern=None, remote_id=identity, children=tuple(children)
    )
