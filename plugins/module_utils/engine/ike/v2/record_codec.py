# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of each field of an IKE SA when it is kept as plain data: rows, a table for each class.

What has no row is in :data:`OWN_WAY` or :data:`NOT_KEPT`, and why.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from ...child_sa import ChildSa
from ...crypto.exchange import key_exchange_from
from ...crypto.keys import IkeKeys
from ...crypto.negotiation import Choice
from ...wire.v2.message import encode_payloads, parse_payloads
from ..actions import Path
from ..record_codec import (
    CHILD_SA,
    CONFIG,
    ENCR,
    ESP_PROPOSAL,
    IDENTITY,
    IKE_PROPOSAL,
    INTEG,
    KE,
    OCTETS,
    PLAIN,
    PRF,
    SECRET,
    SELECTOR,
    SELECTORS,
    Codec,
    Reference,
    Shape,
    enum_of,
    named,
    optional,
    shape_codec,
    tuple_of,
)
from ..views import Refusal
from .child import Child, ChildState
from .sa import IkeSa, RekeyIke, State
from .tasks import DeleteAtPeer, DeleteChild, DeleteIke, Inform, NewChild, RekeyChild, Request, Steps


def _freeze_payloads(payloads: Sequence[Any]) -> tuple[int, str]:
    """As they were on the wire."""
    first, chain = encode_payloads(payloads)
    return first, chain.hex()


# One is kept as text, several as a list.
DATAGRAMS = Codec(
    lambda datagrams: datagrams[0].hex() if len(datagrams) == 1 else [datagram.hex() for datagram in datagrams],
    lambda data: tuple(bytes.fromhex(one) for one in ([data] if isinstance(data, str) else data)),
)
PACKETS = Codec(
    lambda packets: {name: [SELECTOR.freeze(one) for one in pair] for name, pair in packets.items()},
    lambda data: {name: tuple(SELECTOR.thaw(one) for one in pair) for name, pair in data.items()},
)
EXCHANGE = Codec(
    lambda exchange: [exchange.group, exchange.private.reveal().hex()],
    lambda data: key_exchange_from(data[0], bytes.fromhex(data[1])),
)
PAYLOADS = Codec(_freeze_payloads, lambda data: parse_payloads(data[0], bytes.fromhex(data[1])))
CHILD, IKE = Reference("child"), Reference("ike")

CHOICE = Shape(
    Choice,
    {
        "encr": ENCR,
        "integ": optional(INTEG),
        "prf": optional(PRF),
        "ke": optional(KE),
        "esn": PLAIN,
        "more": tuple_of(KE),
    },
)
KEYS = Shape(IkeKeys, {field.name: SECRET for field in fields(IkeKeys)})
CHILD_SHAPE = Shape(
    Child,
    {
        "number": PLAIN,
        "sa": shape_codec(CHILD_SA),
        "state": enum_of(ChildState),
        "created": PLAIN,
        "rekey_at": PLAIN,
        "expires_at": PLAIN,
        "lowest_nonce": OCTETS,
        "started": PLAIN,
        "successor": CHILD,
        "proof_at": PLAIN,
        "refusal": named(Refusal),
        "superseded": PLAIN,
        "before": optional(shape_codec(CONFIG)),
        "group": PLAIN,
    },
)
_REASON, _NOT_BEFORE = {"reason": PLAIN}, {"not_before": PLAIN}
_CREATING = {"spi": OCTETS, "nonce": OCTETS, "exchange": EXCHANGE, "group": PLAIN, "restarts": PLAIN}
_OF_CHILD = {**_CREATING, "config": shape_codec(CONFIG), "closed": tuple_of(OCTETS), "rung": PLAIN}
# By how a kind of request is called in journals; closing a child is two classes, of which one names no child.
TASKS = (
    (
        "CREATE_CHILD_SA (new child)",
        Shape(NewChild, {**_OF_CHILD, **_REASON, **_NOT_BEFORE, "times": PLAIN, "packet": optional(SELECTORS)}),
    ),
    ("CREATE_CHILD_SA (rekey child)", Shape(RekeyChild, {**_OF_CHILD, "child": CHILD, "theirs": CHILD})),
    (
        "CREATE_CHILD_SA (rekey IKE SA)",
        Shape(RekeyIke, {**_CREATING, "their_sa": IKE, "offered": tuple_of(shape_codec(IKE_PROPOSAL))}),
    ),
    ("INFORMATIONAL (delete child)", Shape(DeleteChild, {"child": CHILD, **_REASON, **_NOT_BEFORE})),
    ("INFORMATIONAL (delete child)", Shape(DeleteAtPeer, {"config": shape_codec(CONFIG), "spi": OCTETS, **_REASON})),
    ("INFORMATIONAL (delete IKE SA)", Shape(DeleteIke, _REASON)),
    ("INFORMATIONAL", Shape(Inform, _REASON)),
)
STEPS = Shape(Steps, {"answer": PAYLOADS, "secrets": tuple_of(SECRET), "link": OCTETS})
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
        "state": enum_of(State),
        "path": named(Path),
        "spi_i": OCTETS,
        "spi_r": OCTETS,
        "created": PLAIN,
        "local_id": IDENTITY,
        "remote_id": IDENTITY,
        "lowest_nonce": OCTETS,
        "nat": PLAIN,
        "rekey_at": PLAIN,
        "expires_at": PLAIN,
        "replaced_by": IKE,
        "claims": IKE,
        "retired": PLAIN,
        "refusal": named(Refusal),
        "replaces": IKE,
        "unfit": Codec(list, tuple),
        "settle_at": PLAIN,
        "superseded": PLAIN,
        "authenticated": PLAIN,
        "reauth_after": PLAIN,
        "proven_by": tuple_of(OCTETS),
        "proven_until": PLAIN,
    },
)
IKE_SA = Shape(IkeSa, {**STANDING.rows, **WINDOW.rows})
SHAPES = (
    *(IKE_SA, CHILD_SHAPE, STEPS, REQUEST, CHILD_SA, CHOICE, KEYS, CONFIG, IKE_PROPOSAL, ESP_PROPOSAL),
    *(shape for _name, shape in TASKS),
)

_BESIDE = "its fields stand beside those of the request"
# Fields that freeze() and thaw() of snapshot.py put in place themselves.
OWN_WAY: dict[type, dict[str, str]] = {
    IkeSa: {
        "connection": "by name: the definition is whoever's that keeps definitions",
        "protection": "choice and keys as shapes; the count of sealed messages goes on, lest an IV be used twice",
        "request": "with its task",
        "queue": "a list of tasks",
        "children": "a list, by their numbers again afterwards",
        "slots": "each optional feature has rows of its own",
    },
    Child: {"config": "by name, from the definition"},
    Request: {"task": "a shape with references"},
    NewChild: {"steps": _BESIDE},
    RekeyChild: {"steps": _BESIDE},
    RekeyIke: {"steps": _BESIDE},
}
NOT_KEPT: dict[type, dict[str, str]] = {
    IkeSa: {
        "answered_under": "no keys change any more in the states that are kept",
        "opening": "a late copy of the first message may open an IKE SA that comes to nothing",
        "wake": "the timers are set anew",
        "partials": "the peer sends the whole message again",
        "making": "the peer is told to begin again when it goes on",
    },
    Child: {
        "changed": "tells whether its record is still true",
        "chosen_until": "what was under way is long here when another process goes on",
        "kept_until": "the peer closes it once more",
    },
    ChildSa: {
        "owner": "the definition's, of whoever keeps definitions",
        "passes": "likewise",
        "device": "the way to the peer may be another one by now",
    },
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
