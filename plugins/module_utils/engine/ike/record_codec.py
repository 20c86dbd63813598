# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How what all versions of IKE share becomes plain data and comes back: rows, a table for each class."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from operator import attrgetter
from typing import Any, NamedTuple

from ..child_sa import ChildSa, Copied, Limits
from ..crypto.proposals import EspProposal, IkeProposal
from ..crypto.registry import Kind as Transform
from ..crypto.registry import by_name
from ..errors import EngineError
from ..identity import Identity
from ..newer_python import zip
from ..secret import Secret
from ..selector import Selector
from .connection import ChildConfig


class Unreadable(EngineError):
    """A record that this release cannot go on with."""


class Codec(NamedTuple):
    """How the values of a field become plain data, and come back."""

    freeze: Callable[[Any], Any]
    thaw: Callable[[Any], Any]


class Reference(NamedTuple):
    """A field that names a child or an IKE SA, by its number."""

    to: str


def optional(codec: Codec) -> Codec:
    """The codec, for a field that may be None."""
    return Codec(
        lambda value: None if value is None else codec.freeze(value),
        lambda data: None if data is None else codec.thaw(data),
    )


def tuple_of(codec: Codec) -> Codec:
    """A tuple of such values, as a list."""
    freeze, thaw = codec
    return Codec(lambda values: [freeze(value) for value in values], lambda data: tuple([thaw(one) for one in data]))


def row_of(kind: Transform) -> Codec:
    """A row of the registry of algorithms, by its name."""

    def thaw(name: str) -> Any:
        row = by_name(kind, name)
        if row is None:
            raise Unreadable(f"there is no {kind.name} algorithm {name}")
        return row

    return Codec(lambda row: row.name, thaw)


def enum_of(kind: type) -> Codec:
    """A member of an enumeration, by its value."""
    return Codec(lambda value: value.value, kind)


def named(kind: type) -> Codec:
    """A named tuple of plain values."""
    return Codec(list, lambda data: kind(*data))


PLAIN = None
OCTETS = Codec(bytes.hex, bytes.fromhex)
SECRET = Codec(lambda secret: secret.reveal().hex(), lambda data: Secret(bytes.fromhex(data)))
IDENTITY = Codec(lambda identity: [identity.type, identity.data.hex()], lambda d: Identity(d[0], bytes.fromhex(d[1])))
SELECTOR = Codec(
    lambda s: [s.first.hex(), s.last.hex(), s.protocol, s.first_port, s.last_port],
    lambda d: Selector(bytes.fromhex(d[0]), bytes.fromhex(d[1]), *d[2:]),
)
SELECTORS = tuple_of(SELECTOR)
# What IKE sets of them.
_LIMITS = ("hard_seconds", "soft_bytes", "hard_bytes", "soft_packets", "hard_packets")
LIMITS = Codec(
    lambda limits: [getattr(limits, name) for name in _LIMITS],
    lambda data: Limits(**dict(zip(_LIMITS, data, strict=True))),
)
COPIED = Codec(lambda copied: [getattr(copied, field.name) for field in fields(Copied)], lambda data: Copied(*data))
ENCR, PRF, INTEG = row_of(Transform.ENCR), row_of(Transform.PRF), row_of(Transform.INTEG)
KE, ESN = row_of(Transform.KE), row_of(Transform.ESN)
MORE = tuple_of(tuple_of(KE))


class Shape:
    """The rows of one class.

    :param rows: by field: a codec, None for plain values, or a reference.
    """

    def __init__(self, kind: type, rows: Mapping[str, Codec | Reference | None]) -> None:
        self.kind = kind
        self.rows = rows
        defaults = {field.name: field.default for field in fields(kind)}
        self._late = {field.name for field in fields(kind) if not field.init}
        # Asked for after each message: all fields of a value at once.
        self._fields: Callable[[Any], tuple[Any, ...]] = (
            attrgetter(*rows) if len(rows) > 1 else lambda value: tuple([getattr(value, n) for n in rows])
        )
        self._rows = [(name, _freezer(codec), defaults[name]) for name, codec in rows.items()]

    def freeze(self, value: Any) -> dict[str, Any]:
        """The fields that have another value than their default."""
        frozen = {}
        for held, (name, freezer, default) in zip(self._fields(value), self._rows, strict=True):
            if held is not default and (default is MISSING or held != default):
                frozen[name] = held if freezer is None else freezer(held)
        return frozen

    def thaw(self, data: Mapping[str, Any], links: Links, **more: Any) -> Any:
        """The value; its references are noted in ``links``."""
        found: dict[str, Any] = {}
        references = []
        for name, held in data.items():
            codec = self.rows[name]
            if codec is PLAIN:
                found[name] = held
            elif isinstance(codec, Reference):
                references.append((name, codec.to, held))
            else:
                found[name] = codec.thaw(held)
        value = self.kind(**{name: held for name, held in found.items() if name not in self._late}, **more)
        for name in self._late & found.keys():
            setattr(value, name, found[name])
        links.extend((value, *reference) for reference in references)
        return value


def _freezer(codec: Codec | Reference | None) -> Callable[[Any], Any] | None:
    """What makes plain data of a field; None for what is."""
    if codec is None:
        return None
    return attrgetter("number") if isinstance(codec, Reference) else codec.freeze


Links = list[tuple[Any, str, str, int]]


def shape_codec(shape: Shape) -> Codec:
    """A shape without references, as the field of another."""
    return Codec(shape.freeze, lambda data: shape.thaw(data, []))


IKE_PROPOSAL = Shape(
    IkeProposal,
    {"encr": tuple_of(ENCR), "integ": tuple_of(INTEG), "prf": tuple_of(PRF), "ke": tuple_of(KE), "more": MORE},
)
ESP_PROPOSAL = Shape(
    EspProposal,
    {
        "encr": tuple_of(ENCR),
        "integ": tuple_of(INTEG),
        "ke": tuple_of(KE),
        "esn": tuple_of(ESN),
        "protocol": PLAIN,
        "more": MORE,
    },
)
CONFIG = Shape(
    ChildConfig,
    {
        "name": PLAIN,
        "reqid": PLAIN,
        "local": SELECTORS,
        "remote": SELECTORS,
        "proposals": tuple_of(shape_codec(ESP_PROPOSAL)),
        "mode": PLAIN,
        "start": PLAIN,
        "lifetime": PLAIN,
        "lifetime_bytes": PLAIN,
        "lifetime_packets": PLAIN,
        "replay_window": PLAIN,
        "if_id": PLAIN,
        "ipcomp": PLAIN,
        "priority": PLAIN,
        "copied": COPIED,
        "offload": PLAIN,
    },
)
CHILD_SA = Shape(
    ChildSa,
    {
        "tunnel": PLAIN,
        "child": PLAIN,
        "number": PLAIN,
        "reqid": PLAIN,
        "local_address": PLAIN,
        "remote_address": PLAIN,
        "protocol": PLAIN,
        "mode": PLAIN,
        "spi_in": PLAIN,
        "spi_out": PLAIN,
        "local_selectors": SELECTORS,
        "remote_selectors": SELECTORS,
        "encryption": optional(ENCR),
        "integrity": optional(INTEG),
        "encryption_in": SECRET,
        "encryption_out": SECRET,
        "integrity_in": SECRET,
        "integrity_out": SECRET,
        "encapsulation": Codec(list, tuple),
        "esn": PLAIN,
        "replay_window": PLAIN,
        "lifetime": LIMITS,
        "if_id": PLAIN,
        "defined": tuple_of(SELECTORS),
        "cpi_in": PLAIN,
        "cpi_out": PLAIN,
        "priority": PLAIN,
        "copied": COPIED,
        "offload": PLAIN,
    },
)
