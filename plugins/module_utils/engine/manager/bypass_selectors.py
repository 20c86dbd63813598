# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The selectors of what passes by a tunnel in clear, by the words of its option ``bypass`` and this host's own links.

A tunnel to 0.0.0.0/0 would otherwise take what hosts on one link have to say to each other, and to this host. Only what
a definition covers together with more than that link passes: whoever names a link's network, or a part of it, means it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable, Iterator, Sequence

from ..definition.bypass import LOCAL_LINKS, NONE, Sides, holds_more
from ..kernel.link_networks import LinkNetwork, Network
from ..selector import Selector

Piece = tuple[Selector, Selector]

# Each becomes three policies of the kernel.
MAX_PIECES = 256

# Packets to these never leave a link.
_LINK_SCOPE = {
    4: [Selector.from_network(ipaddress.ip_network(text)) for text in ("224.0.0.0/24", "255.255.255.255/32")],
    6: [Selector.from_network(ipaddress.ip_network("ff02::/16"))],
}


def pieces(
    words: Sequence[str], defined: Sides, links: Sequence[LinkNetwork], outside: Collection[int]
) -> tuple[Piece, ...]:
    """(local, remote) selectors that pass by a definition.

    :param words: as :func:`read_bypass` gives them.
    :param outside: indexes of the links that lead to others' networks: what is behind this host does not pass to there.
    """
    if words == [NONE]:
        return ()
    found: dict[Piece, None] = {}
    ways: list[tuple[Selector | None, Selector, Selector]] = []
    for word in words:
        if word != LOCAL_LINKS:
            network = Selector.from_network(ipaddress.ip_network(word))
            ways.append((None, network, network))
    if LOCAL_LINKS in words:
        ways += _on_links(links, outside)
    for here in defined[0]:
        for there in defined[1]:
            for near, far, whole in ways:
                local = here if near is None else here.intersect(near)
                remote = there.intersect(far) if holds_more(there, whole) else None
                if local is not None and remote is not None:
                    found[local, remote] = None
    return tuple(_without_inner(list(found)[:MAX_PIECES]))


def touches(defined: Sides, links: Iterable[LinkNetwork]) -> bool:
    """Whether a definition is for more than one of the links, that link included."""
    return any(holds_more(there, _of(link.network)) for there in defined[1] for link in links)


def caught(defined: Sides, links: Iterable[LinkNetwork]) -> list[LinkNetwork]:
    """The links whose own packets a definition takes, where none pass by it."""
    return [
        link
        for link in links
        if not link.loopback
        and any(holds_more(there, _of(link.network)) for there in defined[1])
        and any(here.intersect(_of(link.network)) for here in defined[0])
    ]


def shut_in(defined: Sides, links: Iterable[LinkNetwork], tunnels: Iterable[Sides]) -> list[LinkNetwork]:
    """The links from which a definition lets nothing be forwarded into a tunnel.

    What comes from its remote networks for its local ones has to have been protected (RFC 4301 section 5.2). Where the
    former hold a link's network and the latter what a tunnel leads to, packets from that link for there have not been.

    :param links: without those by which the peer is reached.
    :param tunnels: what is defined at all, this one included.
    """
    links = [link for link in links if not link.loopback and not _stays(link.network)]
    near = [(link, _of(link.network)) for link in links]
    meant = [link for link, inner in near if any(there.intersect(inner) for there in defined[1])]
    if not meant:
        return []
    beyond = [
        (local, there)
        for local, remote in tunnels
        for there in remote
        if any(here.contains(there) for here in defined[0]) and not any(inner.contains(there) for _link, inner in near)
    ]
    return [
        link
        for link, inner in near
        if link in meant and any(here.intersect(inner) for local, _there in beyond for here in local)
    ]


def _on_links(
    links: Sequence[LinkNetwork], outside: Collection[int]
) -> Iterator[tuple[Selector | None, Selector, Selector]]:
    """(local, remote, what the definition has to hold more than), the widest first."""
    for version in (4, 6):
        mine = [link for link in links if link.network.version == version]
        inside = [link for link in mine if not link.loopback and (link.index not in outside or _stays(link.network))]
        out = [link for link in mine if not link.loopback and link not in inside]
        for one in inside:
            for other in inside:
                if one.network == other.network or not (_stays(one.network) or _stays(other.network)):
                    yield _of(one.network), _of(other.network), _of(other.network)
        hosts = [(link, _of(ipaddress.ip_network(link.address))) for link in mine if not _stays(link.network)]
        for link, address in hosts:
            for other in inside if link not in inside else ():
                if not _stays(other.network):
                    yield address, _of(other.network), _of(other.network)
            if link in out:
                yield address, _of(link.network), _of(link.network)
        for scope in _LINK_SCOPE[version]:
            for near in [*(_of(link.network) for link in inside), *(each for link, each in hosts if link in out)]:
                yield near, scope, scope
                yield scope, near, near


def _without_inner(found: list[Piece]) -> Iterator[Piece]:
    for piece in found:
        if not any(other != piece and other[0].contains(piece[0]) and other[1].contains(piece[1]) for other in found):
            yield piece


def _stays(network: Network) -> bool:
    """Whether no packet from or to it ever leaves a link."""
    return network.is_link_local


def _of(network: Network) -> Selector:
    return Selector.from_network(network)
