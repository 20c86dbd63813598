# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Traffic Selector payloads (RFC 7296 section 3.13)."""

from __future__ import annotations

from struct import Struct
from typing import ClassVar, TypeVar

from ...errors import IkeError
from ...newer_python import dataclass
from ...selector import OPAQUE_PORT, Selector
from ..budget import INVALID_SYNTAX
from ..reader import Reader
from .numbers import PayloadType, TsType

_HEAD = Struct("!BBH")
_COUNT = Struct("!B3x")
_PORTS = Struct("!HH")
_RANGES = {int(TsType.IPV4_ADDR_RANGE): Struct("!HH4s4s"), int(TsType.IPV6_ADDR_RANGE): Struct("!HH16s16s")}
_TYPES = {4: TsType.IPV4_ADDR_RANGE, 16: TsType.IPV6_ADDR_RANGE}

_Ts = TypeVar("_Ts", bound="_TrafficSelectors")


@dataclass(frozen=True, slots=True)
class _TrafficSelectors:
    """What both payloads have.

    :ivar selectors: in the sender's order; empty when it sent only types that we do not know.
    """

    selectors: tuple[Selector, ...]

    @classmethod
    def parse(cls: type[_Ts], reader: Reader) -> _Ts:
        """Read the payload's body; selectors of unknown types are skipped.

        :raises IkeError: INVALID_SYNTAX, also for none at all and for ranges that run backwards.
        """
        (count,) = reader.unpack(_COUNT)
        if not count:
            raise IkeError(INVALID_SYNTAX, "the TS payload has no traffic selectors")
        reader.budget.spend("selectors", count)
        parsed = [_parse_selector(reader) for _selector in range(count)]
        return cls(tuple([selector for selector in parsed if selector is not None]))

    def encode(self) -> bytes:
        """The payload's body."""
        return bytes((len(self.selectors), 0, 0, 0)) + b"".join([_encode_selector(s) for s in self.selectors])


def _parse_selector(reader: Reader) -> Selector | None:
    kind, protocol, length = reader.unpack(_HEAD)
    layout = _RANGES.get(kind)
    if layout is None:
        reader.take(length - _HEAD.size)
        return None
    if length != _HEAD.size + layout.size:
        raise IkeError(INVALID_SYNTAX, f"a traffic selector of type {kind} has {length} octets")
    first_port, last_port, first, last = reader.unpack(layout)
    if first > last or (first_port > last_port and (first_port, last_port) != OPAQUE_PORT):
        raise IkeError(INVALID_SYNTAX, "the range of a traffic selector runs backwards")
    return Selector(first, last, protocol, first_port, last_port)


def _encode_selector(selector: Selector) -> bytes:
    size = len(selector.first)
    return (
        _HEAD.pack(_TYPES[size], selector.protocol, 8 + 2 * size)
        + _PORTS.pack(selector.first_port, selector.last_port)
        + selector.first
        + selector.last
    )


@dataclass(frozen=True, slots=True)
class TSi(_TrafficSelectors):
    """Traffic at the initiator's end."""

    TYPE: ClassVar[int] = PayloadType.TSI


@dataclass(frozen=True, slots=True)
class TSr(_TrafficSelectors):
    """Traffic at the responder's end."""

    TYPE: ClassVar[int] = PayloadType.TSR
