# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which tunnel definition belongs to a peer: by address first, by identities once it has proven one."""

from __future__ import annotations

import ipaddress
import itertools
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import TypeVar

from ..crypto.proposal_index import ProposalIndex
from ..identity import Identity
from ..identity_pattern import IdentityPattern
from ..selector import Network
from ..wire.v2.cert import CERTREQ
from ..wire.v2.sa import Proposal
from .actions import Path
from .connection import ChildConfig, Connection
from .pattern_index import PatternIndex

Name = tuple[int, bytes]
Addresses = tuple["str | None", "str | None"]  # the peer's and ours, None for any
Names = tuple["str | None", "str | None", "Name | None", "Name | None"]  # addresses, then identities, the peer's first
Wished = tuple["str | None", "str | None", "Name | None"]  # addresses, then our identity
K = TypeVar("K", bound=Hashable)
# Tunnels named for a peer that may mean any of them; of more no reader has any use.
FEW = 4
MOST_AUTHORITIES = 16  # named in one message; peers with certificates of others send what they have
AUTHORITY_OCTETS = 20  # RFC 7296 section 3.7: a SHA-1 hash


class Connections:
    """The definitions, indexed by name, by the addresses of both ends, by identities and by the children's reqids."""

    def __init__(self) -> None:
        self._by_name: dict[str, Connection] = {}
        self._by_addresses: dict[Addresses, _Answering] = {}
        self._by_identity: dict[Names, dict[str, Connection]] = {}
        self._by_reqid: dict[int, tuple[str, str]] = {}
        self._with_ppk: dict[Addresses, dict[str, Connection]] = {}
        self._by_ends: dict[tuple[Identity, Identity | IdentityPattern | str | None], set[str]] = {}
        self._by_pattern = PatternIndex()
        self._networks: Counter[tuple[int, int]] = Counter()  # by IP version and length of their prefixes
        self._proposals = ProposalIndex()

    def __iter__(self) -> Iterator[Connection]:
        return iter(self._by_name.values())

    def get(self, name: str) -> Connection | None:
        """The definition of that name, if there is one."""
        return self._by_name.get(name)

    def put(self, connection: Connection) -> None:
        """Add it, or replace the one of the same name."""
        self.remove(connection.name)
        self._by_name[connection.name] = connection
        if _takes_peers(connection):
            numbers = [self._proposals.enter(proposal) for proposal in dict.fromkeys(connection.proposals)]
            self._networks.update(_prefixes(connection))
            for addresses in _addresses(connection):
                self._by_addresses.setdefault(addresses, _Answering()).put(connection, numbers)
                if connection.ppks:
                    self._with_ppk.setdefault(addresses, {})[connection.name] = connection
            if connection.pattern is not None:
                self._by_pattern.put(connection.pattern, _pattern_keys(connection), connection)
            else:
                for key in _identity_keys(connection):
                    self._by_identity.setdefault(key, {})[connection.name] = connection
        self._by_ends.setdefault(_ends(connection), set()).add(connection.name)
        for child in connection.children:
            self._by_reqid[child.reqid] = (connection.name, child.name)

    def remove(self, name: str) -> None:
        """Forget it; nothing happens when it is not there."""
        connection = self._by_name.pop(name, None)
        if connection is None:
            return
        if _takes_peers(connection):
            numbers = [self._proposals.leave(proposal) for proposal in dict.fromkeys(connection.proposals)]
            self._networks -= Counter(_prefixes(connection))
            for addresses in _addresses(connection):
                self._by_addresses[addresses].remove(connection, numbers)
                if not self._by_addresses[addresses].fits:
                    del self._by_addresses[addresses]
                if connection.ppks:
                    _discard(self._with_ppk, addresses, name)
            if connection.pattern is not None:
                self._by_pattern.remove(connection.pattern, _pattern_keys(connection), name)
            else:
                for key in _identity_keys(connection):
                    _discard(self._by_identity, key, name)
        sharing = self._by_ends[_ends(connection)]
        sharing.discard(name)
        if not sharing:
            del self._by_ends[_ends(connection)]
        for child in connection.children:
            self._by_reqid.pop(child.reqid, None)

    def by_reqid(self, reqid: int) -> tuple[Connection, ChildConfig] | None:
        """The connection and child that a kernel request ID belongs to."""
        names = self._by_reqid.get(reqid)
        if names is None:
            return None
        connection = self._by_name[names[0]]
        return next((connection, child) for child in connection.children if child.name == names[1])

    def sharing_identities(self, connection: Connection) -> set[str]:
        """Names of the tunnels between the same two identities."""
        return self._by_ends.get(_ends(connection), set())

    def for_path(self, path: Path) -> Connection | None:
        """The most specific definition for a peer that is not authenticated yet, whatever it offers."""
        return next((known.first() for known in self._answering(path)), None)

    def candidates(self, path: Path) -> tuple[str, ...]:
        """Names of the tunnels that such a peer may mean; none of them where they are many."""
        found: dict[str, None] = {}
        for known in self._answering(path):
            for name in known.names():
                found[name] = None
                if len(found) > FEW:
                    return ()
        return tuple(found)

    def fitting(self, path: Path, offered: Sequence[Proposal]) -> Connection | None:
        """The most specific one that something on offer fits; the work grows with the offer alone."""
        fits = self._proposals.fitting(offered)
        return next((known.fitting(fits) for known in self._answering(path) if known.fits & fits), None)

    def have_ppk(self, path: Path) -> bool:
        """Whether any that a peer may mean who is not authenticated yet has a post-quantum preshared key."""
        return any(addresses in self._with_ppk for addresses in self._possible(path))

    def requests(self, path: Path) -> tuple[CERTREQ, ...]:
        """What a peer that is not authenticated yet is asked for: certificates of whatever authority may be meant."""
        found: dict[int, dict[bytes, None]] = {}
        for known in self._answering(path):
            for encoding, authority in known.authorities:
                of_encoding = found.setdefault(encoding, {})
                if len(of_encoding) < MOST_AUTHORITIES:
                    of_encoding[authority] = None
        return tuple([CERTREQ(encoding, b"".join(authorities)) for encoding, authorities in found.items()])

    def hashes(self, path: Path) -> tuple[int, ...]:
        """Numbers of the hash algorithms of which signatures are taken from such a peer; none where none are."""
        return tuple(dict.fromkeys(number for known in self._answering(path) for number in known.hashes))

    def _answering(self, path: Path) -> Iterator[_Answering]:
        """By addresses, the most specific first; any number of peers may share an address, or have none."""
        for addresses in self._possible(path):
            known = self._by_addresses.get(addresses)
            if known is not None:
                yield known

    def for_identities(self, path: Path, remote: Identity, local: Identity | None) -> Iterator[Connection]:
        """Candidates whose identities fit what the peer sent; ``local`` is its wish for our identity (IDr).

        The most specific ones come first, those for many peers last. They are looked for as they are asked for: any
        number may fit.
        """
        wish = None if local is None else local.key
        names = (remote.key, None)
        for peer, address, here in itertools.product(names, (path.remote_address, None), (path.local_address, None)):
            yield from self._by_identity.get((address, here, peer, wish), {}).values()
        if self._by_pattern:
            yield from self._by_pattern.fitting(remote, [(*addresses, wish) for addresses in self._possible(path)])

    def _possible(self, path: Path) -> Iterator[Addresses]:
        """Of definitions for whoever comes along a path, the most specific ones first."""
        for remote in (path.remote_address, *self._around(path.remote_address), None):
            for local in (path.local_address, None):
                yield remote, local

    def _around(self, address: str) -> Iterator[str]:
        """The networks that an address may be in, of the sizes that any definition has; the narrowest first."""
        if self._networks:
            host = ipaddress.ip_address(address.partition("%")[0])
            for family, prefix in sorted(self._networks, reverse=True):
                if family == host.version:
                    yield str(ipaddress.ip_network((host.packed, prefix), strict=False))


class _Answering:
    """The definitions with one pair of addresses, by the number of each proposal that they allow.

    :ivar fits: those numbers as bits.
    :ivar authorities: that they request certificates of, by encoding and hash; ``hashes``: algorithms of signatures
        that they take; each with how many of them do so.
    """

    __slots__ = ("_by_number", "authorities", "fits", "hashes")

    def __init__(self) -> None:
        self.fits = 0
        self.authorities: Counter[tuple[int, bytes]] = Counter()
        self.hashes: Counter[int] = Counter()
        self._by_number: dict[int, dict[str, Connection]] = {}

    def put(self, connection: Connection, numbers: Iterable[int]) -> None:
        self.authorities.update(_authorities(connection))
        self.hashes.update(connection.auth.hashes)
        for number in numbers:
            self._by_number.setdefault(number, {})[connection.name] = connection
            self.fits |= 1 << number

    def remove(self, connection: Connection, numbers: Iterable[int]) -> None:
        # Without what is down to zero.
        self.authorities -= Counter(_authorities(connection))
        self.hashes -= Counter(connection.auth.hashes)
        for number in numbers:
            _discard(self._by_number, number, connection.name)
            if number not in self._by_number:
                self.fits &= ~(1 << number)

    def names(self) -> Iterator[str]:
        """Names of the definitions, one that allows several proposals several times."""
        for connections in self._by_number.values():
            yield from connections

    def first(self) -> Connection:
        """The one that has been there longest, or nearly."""
        return next(iter(next(iter(self._by_number.values())).values()))

    def fitting(self, fits: int) -> Connection:
        """The first one with any of the proposals whose bits are set."""
        both = self.fits & fits
        return next(iter(self._by_number[(both & -both).bit_length() - 1].values()))


def _authorities(connection: Connection) -> Iterator[tuple[int, bytes]]:
    """Each authority that a definition requests certificates of; an empty one stands for any."""
    for request in connection.auth.requests:
        hashes = request.authorities
        for at in range(0, len(hashes), AUTHORITY_OCTETS) or (0,):
            yield request.encoding, hashes[at : at + AUTHORITY_OCTETS]


def _takes_peers(connection: Connection) -> bool:
    """Whether a peer may begin: not where we always do, nor where nothing could be agreed on.

    Nor with an instance: its peer comes to the definition that it is of.
    """
    return connection.answers and bool(connection.proposals) and not connection.definition


def _addresses(connection: Connection) -> list[Addresses]:
    """The peer's address and ours; one for each address, or network, that peers may come from."""
    remotes: list[str | None] = [*map(str, _networks(connection)), *connection.remote_addresses]
    remotes = remotes or [None]
    return [(remote, connection.local_address) for remote in remotes]


def _networks(connection: Connection) -> list[Network]:
    return list(dict.fromkeys(network for each in connection.networks for network in each.networks()))


def _prefixes(connection: Connection) -> list[tuple[int, int]]:
    return [(network.version, network.prefixlen) for network in _networks(connection)]


def _identity_keys(connection: Connection) -> list[Names]:
    """Where to find it for a peer that says whom it wants to talk to, and for one that does not."""
    remote = None if connection.remote_id is None else connection.remote_id.key
    wishes = (connection.local_id.key, None)
    return [(*addresses, remote, wish) for addresses in _addresses(connection) for wish in wishes]


def _pattern_keys(connection: Connection) -> list[Wished]:
    """The same of one for many peers, by their addresses and what they wish."""
    wishes = (connection.local_id.key, None)
    return [(*addresses, wish) for addresses in _addresses(connection) for wish in wishes]


def _discard(index: dict[K, dict[str, Connection]], key: K, name: str) -> None:
    del index[key][name]
    if not index[key]:
        del index[key]


def _ends(connection: Connection) -> tuple[Identity, Identity | IdentityPattern | str | None]:
    return connection.local_id, connection.remote_id or connection.pattern or connection.remote_address
