# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Key exchange at either end (RFC 7296 sections 2.7 and 2.12), whatever computes it."""

from __future__ import annotations

from typing import Any

from ..errors import IkeError
from ..secret import Secret
from ..wire.v2.numbers import NotifyType
from .registry import KeyExchangeMethod, Kind, by_transform


class KeyExchange:
    """The initiator's ephemeral private value, and what it sends.

    :ivar group: key exchange method, transform ID.
    :ivar public: data of our KE payload, octets (RFC 7296 section 3.4, RFC 5903 section 7, RFC 8031 section 3.1).
    """

    __slots__ = ("_private", "_row", "group", "public")

    def __init__(self, row: KeyExchangeMethod, private: Any) -> None:
        self._row = row
        self._private = private
        self.group = row.transform_id
        self.public = row.primitive.public_octets(private)

    def finish(self, answer: bytes) -> Secret:
        """The shared secret, octets as RFC 7296 section 2.14 wants them (``g^ir``).

        :param answer: data of the responder's KE payload.
        :raises IkeError: when the peer's value has the wrong size, is not a point of the curve, lies
            outside 2..p-2, or leads to the all-zero secret (RFC 6989, RFC 7748 section 6.1).
        """
        row = self._row
        _check_size(row, answer, row.answer_octets)
        try:
            return Secret(row.primitive.finish(self._private, answer))
        except ValueError:
            raise _invalid(row) from None

    @property
    def private(self) -> Secret:
        """The private value as :func:`key_exchange_from` takes it, for whoever has to finish this exchange later."""
        return Secret(self._row.primitive.private_octets(self._private))

    def __repr__(self) -> str:
        return f"<KeyExchange {self._row}>"


def new_key_exchange(group: int) -> KeyExchange:
    """A fresh private value from the library's own generator.

    :raises IkeError: when the method is unknown or this host cannot compute it.
    """
    row = _row(group)
    return KeyExchange(row, row.primitive.generate())


def key_exchange_from(group: int, private: bytes) -> KeyExchange:
    """The key exchange of a given private value: a big-endian number, for x25519 the 32 octets of RFC 7748, for
    ML-KEM the seed of FIPS 203."""
    row = _row(group)
    return KeyExchange(row, row.primitive.load(private))


def answer_key_exchange(group: int, initiator_value: bytes) -> tuple[bytes, Secret]:
    """The responder's half in one step: data of our KE payload, and the shared secret.

    A key encapsulation (RFC 9370) can only be answered this way round: its answer depends on the peer's value.

    :raises IkeError: as :meth:`KeyExchange.finish`; a value outside of the group costs no key pair.
    """
    row = _row(group)
    value = _read(row, initiator_value)
    try:
        public, shared = row.primitive.answer(value)
    except ValueError:
        raise _invalid(row) from None
    return public, Secret(shared)


def check_initiator_value(group: int, octets: bytes) -> None:
    """Refuse what no key exchange of that method can come of.

    :raises IkeError: as :func:`answer_key_exchange`.
    """
    _read(_row(group), octets)


def _read(row: KeyExchangeMethod, octets: bytes) -> Any:
    """The initiator's value as what computes it takes it."""
    _check_size(row, octets, row.public_octets)
    try:
        return row.primitive.read(octets)
    except ValueError:
        raise _invalid(row) from None


def _check_size(row: KeyExchangeMethod, octets: bytes, wanted: int) -> None:
    if len(octets) != wanted:
        story = f"the peer's {row} key exchange value has {len(octets)} octets instead of {wanted}"
        raise IkeError(NotifyType.INVALID_SYNTAX, story)


def _invalid(row: KeyExchangeMethod) -> IkeError:
    return IkeError(NotifyType.INVALID_SYNTAX, f"the peer's {row} key exchange value is not valid")


def _row(group: int) -> KeyExchangeMethod:
    row = by_transform(Kind.KE, group)
    if not isinstance(row, KeyExchangeMethod):
        raise IkeError(NotifyType.INVALID_SYNTAX, f"key exchange method {group} is not implemented")
    if not row.primitive.available:
        raise IkeError(NotifyType.INVALID_SYNTAX, f"this host cannot compute {row}: it needs {row.primitive.needs}")
    return row
