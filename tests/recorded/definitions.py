# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What both ends of a simulated wire define, and how definitions change."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from .chance import Chance
from .engine_face import (
    ChildConfig,
    Connection,
    Identity,
    PresharedKey,
    Secret,
    Selector,
    esp_proposals,
    ike_proposals,
    parse_selector,
)

EAST, WEST = "192.0.2.1", "192.0.2.2"
# Words that fit each other, some only after the peer has insisted on another group, and some that do not.
IKE_WORDS = (
    "aes256gcm16-prfsha384-x25519",
    "aes256gcm16-prfsha384-x25519",
    "aes256gcm16-chacha20poly1305-prfsha384-prfsha256-x25519-ecp256",
    "aes256gcm16-prfsha384-ecp256-x25519",
    "aes128-sha256-x25519,aes256gcm16-prfsha384-x25519",
    "aes128-sha256-x25519",
)
ESP_WORDS = (
    "aes256gcm16",
    "aes256gcm16",
    "aes256gcm16-x25519,aes256gcm16",
    "aes256gcm16-x25519",
    "aes256gcm16-x25519-ecp256",
    "chacha20poly1305-ecp256-x25519",
    "aes128-sha256-noesn",
)
NETWORKS = (
    ("10.1.0.0/16", "10.2.0.0/16"),
    ("10.1.0.0/16", "10.2.3.0/24"),
    ("10.1.4.0/24", "10.2.0.0/16"),
    ("10.1.4.0/24,10.1.6.0/24", "10.2.0.0/16"),
    ("10.3.0.0/16", "10.4.0.0/16"),
    ("10.3.0.0/24", "10.4.0.0/24"),
    ("2001:db8:1::/48", "2001:db8:2::/48"),
)
LIFETIMES = (100.0, 300.0, 900.0, 3600.0)
SECRETS = (b"a secret of some length", b"another secret of this length")


def both_ends(chance: Chance, number: int) -> tuple[Connection, Connection]:
    """A tunnel as east and as west define it; now and then they do not agree."""
    mark = "" if chance.happens(0.6) else str(number)
    east = Connection(
        f"t{number}",
        Identity.parse(f"east{mark}.example"),
        PresharedKey(Secret(SECRETS[0])),
        ike_proposals(chance.one_of(IKE_WORDS)),
        tuple(new_child(chance, number, place) for place in range(chance.one_of((1, 1, 2, 3)))),
        local_address=EAST,
        remote_address=WEST,
        remote_id=Identity.parse(f"west{mark}.example"),
        lifetime=chance.one_of((300.0, 900.0, 14400.0)),
        dpd_delay=chance.one_of((0.0, 30.0, 30.0)),
        retransmit_timeout=chance.one_of((10.0, 60.0)),
        encapsulation="force" if chance.happens(0.1) else "auto",
        fragment_size=0,  # recorded before messages were divided
    )
    west = mirror(east)
    if chance.happens(0.25):
        west = changed(chance, west)
    if chance.happens(0.15):
        west = replace(west, remote_address=None)
    return east, west


def new_child(chance: Chance, number: int, place: int) -> ChildConfig:
    """A child as east has it."""
    local, remote = chance.one_of(NETWORKS)
    mode = "tunnel"
    if chance.happens(0.1):
        local, remote, mode = f"{EAST}/32", f"{WEST}/32", "transport"
    return ChildConfig(
        f"c{place}",
        1 + 8 * number + place,
        selectors(local),
        selectors(remote),
        esp_proposals(chance.one_of(ESP_WORDS)),
        mode=mode,
        start=chance.one_of(("auto", "auto", "auto", "trap", "manual")),
        lifetime=chance.one_of(LIFETIMES),
        lifetime_packets=chance.one_of((0, 0, 1000)),
        if_id=chance.one_of((0, 0, 0, 7)),
    )


def selectors(texts: str) -> tuple[Selector, ...]:
    """Networks, separated by commas."""
    return tuple(parse_selector(text) for text in texts.split(","))


def mirror(connection: Connection) -> Connection:
    """The other end's view of the same tunnel."""
    return replace(
        connection,
        local_id=connection.remote_id or connection.local_id,
        remote_id=connection.local_id,
        local_address=connection.remote_address or WEST,
        remote_address=connection.local_address,
        children=tuple(replace(c, local=c.remote, remote=c.local) for c in connection.children),
    )


def changed(chance: Chance, connection: Connection) -> Connection:
    """The definition with another value of something."""
    return chance.one_of(CHANGES)(chance, connection)


def _proposals(chance: Chance, connection: Connection) -> Connection:
    return replace(connection, proposals=ike_proposals(chance.one_of(IKE_WORDS)))


def _secret(chance: Chance, connection: Connection) -> Connection:
    new, old = chance.one_of((SECRETS, SECRETS[::-1]))
    accepted = (Secret(old),) if chance.happens(0.6) else ()
    return replace(connection, auth=PresharedKey(Secret(new), accepted))


def _times(chance: Chance, connection: Connection) -> Connection:
    return replace(
        connection, lifetime=chance.one_of((120.0, 600.0, 14400.0)), dpd_delay=chance.one_of((0.0, 5.0, 30.0))
    )


def _peer(chance: Chance, connection: Connection) -> Connection:
    return replace(connection, remote_id=None if chance.happens(0.5) else Identity.parse("else.example"))


def _turns(chance: Chance, connection: Connection) -> Connection:
    answers, starts = chance.one_of(((True, True), (True, False), (False, True)))
    return replace(connection, answers=answers, starts=starts)


def _networks(chance: Chance, connection: Connection) -> Connection:
    local, remote = chance.one_of(NETWORKS)
    if connection.local_address == WEST:
        local, remote = remote, local
    return _one_child(chance, connection, local=selectors(local), remote=selectors(remote))


def _child_proposals(chance: Chance, connection: Connection) -> Connection:
    return _one_child(chance, connection, proposals=esp_proposals(chance.one_of(ESP_WORDS)))


def _child_terms(chance: Chance, connection: Connection) -> Connection:
    return _one_child(
        chance, connection, lifetime=chance.one_of(LIFETIMES), start=chance.one_of(("auto", "trap", "manual"))
    )


def _child_mode(chance: Chance, connection: Connection) -> Connection:
    return _one_child(chance, connection, mode=chance.one_of(("tunnel", "transport")))


def _child_gone(chance: Chance, connection: Connection) -> Connection:
    if not connection.children:
        return connection
    gone = chance.below(len(connection.children))
    return replace(connection, children=connection.children[:gone] + connection.children[gone + 1 :])


def _child_more(chance: Chance, connection: Connection) -> Connection:
    names = {child.name for child in connection.children}
    place = next((n for n in range(5) if f"c{n}" not in names), None)
    if place is None:
        return connection
    child = new_child(chance, int(connection.name.lstrip("tr")), place)
    if connection.local_address == WEST:
        child = replace(child, local=child.remote, remote=child.local)
    return replace(connection, children=(*connection.children, child))


def _one_child(chance: Chance, connection: Connection, **fields: object) -> Connection:
    if not connection.children:
        return connection
    which = chance.below(len(connection.children))
    children = list(connection.children)
    children[which] = replace(children[which], **fields)
    return replace(connection, children=tuple(children))


CHANGES: tuple[Callable[[Chance, Connection], Connection], ...] = (
    _proposals,
    _secret,
    _times,
    _peer,
    _turns,
    _networks,
    _networks,
    _child_proposals,
    _child_terms,
    _child_mode,
    _child_gone,
    _child_more,
)
