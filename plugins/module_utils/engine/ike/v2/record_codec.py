# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of each field of an IKE SA when it is kept as plain data: rows, a table for each class.

What has no row is in :data:`OWN_WAY` or :data:`NOT_KEPT`, and why.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from typing import Any, NamedTuple

from ...crypto.exchange import key_exchange_from
from ...crypto.keys import IkeKeys
from ...crypto.negotiation import Choice
from ...crypto.proposals import EspProposal, IkeProposal
from ...crypto.registry import Kind as Transform
from ...crypto.registry import by_name
from ...errors import EngineError
from ...identity import Identity
from ...secret import Secret
from ...selector import Selector
from ..actions import ChildSa, Lifetime, Path
from ..connection import ChildConfig
from .sa import Child, ChildState, IkeSa, Kind, Refusal, Request, State, Task


class Unreadable(EngineError):
    """A record that this release cannot go on with."""


class Codec(NamedTuple):
    """How the values of a field become plain data, and come back."""

    freeze: Callable[[Any], Any]
    thaw: Callable[[Any], Any]


class Reference(NamedTuple):
    """A field that names a child or an IKE SA, by its number."""

    to: str


def _optional(codec: Codec) -> Codec:
    return Codec(
        lambda value: None if value is None else codec.freeze(value),
        lambda data: None if data is None else codec.thaw(data),
    )


def _tuple(codec: Codec) -> Codec:
    freeze, thaw = codec
    return Codec(lambda values: [freeze(value) for value in values], lambda data: tuple([thaw(one) for one in data]))


def _row_of(kind: Transform) -> Codec:
    def thaw(name: str) -> Any:
        row = by_name(kind, name)
        if row is None:
            raise Unreadable(f"there is no {kind.name} algorithm {name}")
        return row

    return Codec(lambda row: row.name, thaw)


def _enum(kind: type) -> Codec:
    return Codec(lambda value: value.value, kind)


def _named(kind: type) -> Codec:
    """A named tuple of plain values."""
    return Codec(list, lambda data: kind(*data))


PLAIN = None
OCTETS = Codec(bytes.hex, bytes.fromhex)
# One is kept as text, several as a list.
DATAGRAMS = Codec(
    lambda datagrams: datagrams[0].hex() if len(datagrams) == 1 else [datagram.hex() for datagram in datagrams],
    lambda data: tuple(bytes.fromhex(one) for one in ([data] if isinstance(data, str) else data)),
)
SECRET = Codec(lambda secret: secret.reveal().hex(), lambda data: Secret(bytes.fromhex(data)))
IDENTITY = Codec(lambda identity: [identity.type, identity.data.hex()], lambda d: Identity(d[0], bytes.fromhex(d[1])))
SELECTOR = Codec(
    lambda s: [s.first.hex(), s.last.hex(), s.protocol, s.first_port, s.last_port],
    lambda d: Selector(bytes.fromhex(d[0]), bytes.fromhex(d[1]), *d[2:]),
)
SELECTORS = _tuple(SELECTOR)
ENCR, PRF, INTEG = _row_of(Transform.ENCR), _row_of(Transform.PRF), _row_of(Transform.INTEG)
KE, ESN = _row_of(Transform.KE), _row_of(Transform.ESN)
PACKETS = Codec(
    lambda packets: {name: [SELECTOR.freeze(one) for one in pair] for name, pair in packets.items()},
    lambda data: {name: tuple(SELECTOR.thaw(one) for one in pair) for name, pair in data.items()},
)
EXCHANGE = Codec(
    lambda exchange: [exchange.group, exchange.private.reveal().hex()],
    lambda data: key_exchange_from(data[0], bytes.fromhex(data[1])),
)


class Shape:
    """The rows of one class.

    :param rows: by field: a codec, None for plain values, or a reference.
    """

    def __init__(self, kind: type, rows: Mapping[str, Codec | Reference | None]) -> None:
        self.kind = kind
        self.rows = rows
        defaults = {field.name: field.default for field in fields(kind)}
        self._rows = [(name, codec, defaults[name]) for name, codec in rows.items()]

    def freeze(self, value: Any) -> dict[str, Any]:
        """The fields that have another value than their default."""
        frozen = {}
        for name, codec, default in self._rows:
            held = getattr(value, name)
            if held is default or (default is not MISSING and held == default):
                continue
            if codec is PLAIN:
                frozen[name] = held
            elif isinstance(codec, Reference):
                frozen[name] = held.number
            else:
                frozen[name] = codec.freeze(held)
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
        value = self.kind(**found, **more)
        links.extend((value, *reference) for reference in references)
        return value


Links = list[tuple[Any, str, str, int]]

CHILD, IKE = Reference("child"), Reference("ike")


def _shape_codec(shape: Shape) -> Codec:
    """A shape without references, as the field of another."""
    return Codec(shape.freeze, lambda data: shape.thaw(data, []))


IKE_PROPOSAL = Shape(IkeProposal, {"encr": _tuple(ENCR), "integ": _tuple(INTEG), "prf": _tuple(PRF), "ke": _tuple(KE)})
ESP_PROPOSAL = Shape(
    EspProposal,
    {"encr": _tuple(ENCR), "integ": _tuple(INTEG), "ke": _tuple(KE), "esn": _tuple(ESN), "protocol": PLAIN},
)
CHOICE = Shape(
    Choice, {"encr": ENCR, "integ": _optional(INTEG), "prf": _optional(PRF), "ke": _optional(KE), "esn": PLAIN}
)
KEYS = Shape(IkeKeys, {field.name: SECRET for field in fields(IkeKeys)})
CONFIG = Shape(
    ChildConfig,
    {
        "name": PLAIN,
        "reqid": PLAIN,
        "local": SELECTORS,
        "remote": SELECTORS,
        "proposals": _tuple(_shape_codec(ESP_PROPOSAL)),
        "mode": PLAIN,
        "start": PLAIN,
        "lifetime": PLAIN,
        "lifetime_bytes": PLAIN,
        "lifetime_packets": PLAIN,
        "replay_window": PLAIN,
        "if_id": PLAIN,
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
        "encryption": _optional(ENCR),
        "integrity": _optional(INTEG),
        "encryption_in": SECRET,
        "encryption_out": SECRET,
        "integrity_in": SECRET,
        "integrity_out": SECRET,
        "encapsulation": Codec(list, tuple),
        "esn": PLAIN,
        "replay_window": PLAIN,
        "lifetime": _named(Lifetime),
        "if_id": PLAIN,
        "defined": _tuple(SELECTORS),
    },
)
CHILD_SHAPE = Shape(
    Child,
    {
        "number": PLAIN,
        "sa": _shape_codec(CHILD_SA),
        "state": _enum(ChildState),
        "created": PLAIN,
        "rekey_at": PLAIN,
        "expires_at": PLAIN,
        "lowest_nonce": OCTETS,
        "started": PLAIN,
        "successor": CHILD,
        "proof_at": PLAIN,
        "refusal": _named(Refusal),
        "superseded": PLAIN,
        "before": _optional(_shape_codec(CONFIG)),
        "group": PLAIN,
    },
)
TASK = Shape(
    Task,
    {
        "kind": _enum(Kind),
        "config": _shape_codec(CONFIG),
        "child": CHILD,
        "theirs": CHILD,
        "their_sa": IKE,
        "spi": OCTETS,
        "nonce": OCTETS,
        "exchange": EXCHANGE,
        "reason": PLAIN,
        "not_before": PLAIN,
        "closed": _tuple(OCTETS),
        "offered": _tuple(_shape_codec(IKE_PROPOSAL)),
        "group": PLAIN,
        "rung": PLAIN,
        "times": PLAIN,
        "packet": _optional(SELECTORS),
    },
)
REQUEST = Shape(Request, {"message_id": PLAIN, "datagrams": DATAGRAMS})
# What almost every message changes is kept apart from what stands, which is larger.
WINDOW = Shape(
    IkeSa,
    {
        "next_id": PLAIN,
        "expected_id": PLAIN,
        "answered_digest": OCTETS,
        "answer": DATAGRAMS,
        "answer_to": PLAIN,
        "last_heard": PLAIN,
        "packets": PACKETS,
    },
)
STANDING = Shape(
    IkeSa,
    {
        "number": PLAIN,
        "initiator": PLAIN,
        "state": _enum(State),
        "path": _named(Path),
        "spi_i": OCTETS,
        "spi_r": OCTETS,
        "created": PLAIN,
        "keys": _shape_codec(KEYS),
        "local_id": IDENTITY,
        "remote_id": IDENTITY,
        "secret": SECRET,
        "lowest_nonce": OCTETS,
        "nat": PLAIN,
        "nat_local": PLAIN,
        "nat_remote": PLAIN,
        "rekey_at": PLAIN,
        "expires_at": PLAIN,
        "replaced_by": IKE,
        "claims": IKE,
        "retired": PLAIN,
        "refusal": _named(Refusal),
        "replaces": IKE,
        "unfit": Codec(list, tuple),
        "settle_at": PLAIN,
        "superseded": PLAIN,
        "fragmentation": PLAIN,
    },
)
IKE_SA = Shape(IkeSa, {**STANDING.rows, **WINDOW.rows})
SHAPES = (IKE_SA, CHILD_SHAPE, TASK, REQUEST, CHILD_SA, CHOICE, KEYS, CONFIG, IKE_PROPOSAL, ESP_PROPOSAL)

# Fields that freeze() and thaw() of snapshot.py put in place themselves.
OWN_WAY: dict[type, dict[str, str]] = {
    IkeSa: {
        "connection": "by name: the definition is whoever's that keeps definitions",
        "choice": "as a shape; what it answered is not needed any more",
        "seal": "made of the keys; the count of sealed messages goes on, lest an IV be used twice",
        "request": "with its task",
        "queue": "a list of tasks",
        "children": "a list, by their numbers again afterwards",
    },
    Child: {"config": "by name, from the definition"},
    Request: {"task": "a shape with references"},
}
NOT_KEPT: dict[type, dict[str, str]] = {
    IkeSa: {
        "open": "made of the keys",
        "handshake": "none any more in the states that are kept",
        "opening": "a late copy of the first message may open an IKE SA that comes to nothing",
        "wake": "the timers are set anew",
        "partials": "the peer sends the whole message again",
    },
    Child: {"changed": "tells whether its record is still true"},
    Request: {
        "tries": "the peer is given all its time again, for it may have answered while nobody was here",
        "deadline": "it is sent again at once",
    },
    Choice: {
        "number": "only the answer to the proposal needed it",
        "protocol": "likewise",
        "spi": "likewise",
        "proposal": "likewise",
    },
}
