# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Key exchange methods: MODP and elliptic curve Diffie-Hellman (RFC 7296 section 2.7 and 2.12)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import IkeError
from ..secret import Secret
from ..wire.v2.numbers import NotifyType
from . import library
from .registry import Algorithm, Kind, by_transform

if TYPE_CHECKING:
    from .entropy import Entropy


class KeyExchange:
    """One side's ephemeral key pair.

    :ivar group: key exchange method, transform ID.
    :ivar public: data of our KE payload, octets (RFC 7296 section 3.4, RFC 5903 section 7, RFC 8031 section 3.1).
    """

    __slots__ = ("_pair", "_row", "group", "public")

    def __init__(self, row: Algorithm, pair: library.Pair) -> None:
        self._row = row
        self._pair = pair
        self.group = row.transform_id
        self.public = pair.public

    def finish(self, peer_public: bytes) -> Secret:
        """The shared secret, octets as RFC 7296 section 2.14 wants them (``g^ir``).

        :raises IkeError: when the peer's value has the wrong size, is not a point of the curve, lies
            outside 2..p-2, or leads to the all-zero secret (RFC 6989, RFC 7748 section 6.1).
        """
        return self.finish_with(_read(self._row, peer_public))

    def finish_with(self, peer: Any) -> Secret:
        """As :meth:`finish`, of a value that was read before."""
        try:
            return Secret(self._pair.shared(peer))
        except ValueError:
            raise _invalid(self._row) from None

    @property
    def private(self) -> Secret:
        """The private value as :func:`key_exchange_from` takes it, for whoever has to finish this exchange later."""
        return Secret(self._pair.private())

    def __repr__(self) -> str:
        return f"<KeyExchange {self._row}>"


def new_key_exchange(group: int) -> KeyExchange:
    """A fresh key pair from the library's own generator.

    :raises IkeError: when the method is unknown or this host cannot compute it.
    """
    row = _row(group)
    return KeyExchange(row, library.generate_pair(row.primitive))


def key_exchange_from(group: int, private: bytes) -> KeyExchange:
    """The key pair of a given private value: big-endian, for x25519 the 32 octets as RFC 7748 has them."""
    row = _row(group)
    return KeyExchange(row, library.load_pair(row.primitive, private))


def answer_key_exchange(group: int, peer_public: bytes, entropy: Entropy) -> tuple[bytes, Secret]:
    """The responder's half in one step: data of our KE payload, and the shared secret.

    A key encapsulation (RFC 9370) can only be answered this way round: its answer depends on the peer's value.

    :raises IkeError: as :meth:`KeyExchange.finish`; a value outside of the group costs no key pair.
    """
    peer = _read(_row(group), peer_public)
    exchange = entropy.key_exchange(group)
    return exchange.public, exchange.finish_with(peer)


def _read(row: Algorithm, peer_public: bytes) -> Any:
    """The peer's value as the library takes it."""
    if len(peer_public) != row.public_octets:
        raise IkeError(
            NotifyType.INVALID_SYNTAX,
            f"the peer's {row} key exchange value has {len(peer_public)} octets instead of {row.public_octets}",
        )
    try:
        return library.read_public(row.primitive, peer_public)
    except ValueError:
        raise _invalid(row) from None


def _invalid(row: Algorithm) -> IkeError:
    return IkeError(NotifyType.INVALID_SYNTAX, f"the peer's {row} key exchange value is not valid")


def _row(group: int) -> Algorithm:
    row = by_transform(Kind.KE, group)
    if row is None:
        raise IkeError(NotifyType.INVALID_SYNTAX, f"key exchange method {group} is not implemented")
    return row
