# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Offering proposals and choosing among them (RFC 7296 section 3.3)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import lru_cache
from itertools import islice
from typing import Any, Optional, TypeVar

from ..errors import CHILD, MESSAGE, IkeError
from ..newer_python import dataclass, zip
from ..wire.v2.numbers import NotifyType, ProtocolId
from ..wire.v2.sa import SA, Proposal, Transform
from .proposals import EspProposal, IkeProposal, Slots, word_of
from .registry import (
    ADDITIONAL,
    ALGORITHMS,
    Algorithm,
    Encryption,
    Integrity,
    KeyExchangeMethod,
    Kind,
    PseudorandomFunction,
    by_transform,
)

_T = TypeVar("_T")
_TRANSFORMS = {row: Transform(int(row.kind), row.transform_id, row.key_length) for row in ALGORITHMS}
_FIRST = int(Kind.ADDKE1)  # of the types that stand for one more key exchange
_BY_KIND = {
    kind: {row: Transform(int(kind), row.transform_id) for row in ALGORITHMS if row.kind == Kind.KE}
    for kind in ADDITIONAL
}
_KIND_WORDS = {
    Kind.ENCR: "encryption",
    Kind.PRF: "PRF",
    Kind.INTEG: "integrity",
    Kind.KE: "key exchange",
    Kind.ESN: "sequence numbers",
}
_PROTOCOLS = {int(ProtocolId.IKE): "IKE", int(ProtocolId.AH): "AH", int(ProtocolId.ESP): "ESP"}
_KIND_WORDS |= {kind: f"additional key exchange {number}" for number, kind in enumerate(ADDITIONAL, 1)}
# A story is a sentence, not a dump of what a peer thought up; nor is looking for it to cost more than refusing.
_NAMES_IN_STORY = 8
_PAIRS_IN_STORY = 32


@dataclass(frozen=True, slots=True)
class Choice:
    """The algorithms that both ends agreed on.

    :ivar number: number of the proposal in the offer.
    :ivar spi: SPI in the peer's proposal, octets; empty for the first IKE SA.
    :ivar encr: None for AH; ``integ``: None with an AEAD; ``prf`` is None for a Child SA; ``ke`` None without a key
        exchange.
    :ivar esn: extended sequence numbers.
    :ivar more: of the additional key exchanges, in order; the slots of a proposal have all of them or none.
    :ivar proposal: the peer's proposal with just these transforms; the responder answers with it, its own SPI put in.
    """

    number: int
    protocol: int
    spi: bytes
    encr: Encryption | None
    integ: Integrity | None
    prf: PseudorandomFunction | None
    ke: KeyExchangeMethod | None
    esn: bool
    proposal: Proposal
    more: tuple[KeyExchangeMethod, ...] = ()

    @property
    def key_exchanges(self) -> str:
        """All of them in words, empty for none."""
        additional = [word_of(kind, row) for kind, row in zip(ADDITIONAL, self.more, strict=False)]
        return "-".join([self.ke.name, *additional]) if self.ke is not None else ""

    def __str__(self) -> str:
        words = [word_of(row.kind, row) for row in (self.encr, self.integ, self.prf) if row is not None]
        words += [self.key_exchanges] if self.ke is not None else []
        return "-".join([*words, "esn"] if self.esn else words)


# Offering


def offer_ike(proposals: Sequence[IkeProposal], spi: bytes = b"") -> tuple[Proposal, ...]:
    """The proposals on the wire; ``spi`` is the new SA's, 8 octets, when an IKE SA is rekeyed."""
    return tuple(
        Proposal(number, ProtocolId.IKE, spi, _transforms(proposal.slots))
        for number, proposal in enumerate(proposals, 1)
    )


def offer_esp(proposals: Sequence[EspProposal], spi: bytes, with_ke: bool) -> tuple[Proposal, ...]:
    """The proposals on the wire.

    :param spi: of our inbound SA, 4 octets.
    :param with_ke: False in IKE_AUTH, where a Child SA has no key exchange of its own.
    """
    return tuple(
        Proposal(number, proposal.protocol, spi, _transforms(_esp_slots(proposal, with_ke)))
        for number, proposal in enumerate(proposals, 1)
    )


@lru_cache(maxsize=256)  # of what is defined, which is a few different proposals
def _transforms(slots: Slots) -> tuple[Transform, ...]:
    transforms: list[Transform] = []
    for kind, rows in slots:
        table = _TRANSFORMS if kind < _FIRST else _BY_KIND[kind]
        transforms += [table[row] for row in rows]
    return tuple(transforms)


def _esp_slots(proposal: EspProposal, with_ke: bool) -> Slots:
    return proposal.slots if with_ke else proposal.slots_without_ke


# Choosing


def choose_ike(configured: Sequence[IkeProposal], offered: Sequence[Proposal]) -> Choice:
    """The responder's choice for an IKE SA: our first proposal that one of the peer's fits, our order within it.

    :raises IkeError: NO_PROPOSAL_CHOSEN; the story names the transform types that differ.
    """
    return _choose([(ProtocolId.IKE, proposal.slots) for proposal in configured], offered, MESSAGE)


def choose_esp(configured: Sequence[EspProposal], offered: Sequence[Proposal], with_ke: bool = True) -> Choice:
    """The responder's choice for a Child SA; ``with_ke`` as for :func:`offer_esp`.

    :raises IkeError: as :func:`choose_ike`.
    """
    return _choose([(proposal.protocol, _esp_slots(proposal, with_ke)) for proposal in configured], offered, CHILD)


def check_answer_ike(configured: Sequence[IkeProposal], answer: SA) -> Choice:
    """The initiator's view of the peer's choice for an IKE SA; ``configured`` is what was offered.

    :raises IkeError: NO_PROPOSAL_CHOSEN when it is not exactly one choice out of our offer.
    """
    return _check_answer([(ProtocolId.IKE, proposal.slots) for proposal in configured], answer, MESSAGE)


def check_answer_esp(configured: Sequence[EspProposal], answer: SA, with_ke: bool = True) -> Choice:
    """The initiator's view of the peer's choice for a Child SA; ``with_ke`` as it was offered.

    :raises IkeError: as :func:`check_answer_ike`.
    """
    wanted = [(proposal.protocol, _esp_slots(proposal, with_ke)) for proposal in configured]
    return _check_answer(wanted, answer, CHILD)


_Wanted = list[tuple[int, Slots]]
# transform type -> the (transform ID, key length) of it that are on offer
_Offered = dict[int, dict[tuple[int, Optional[int]], Transform]]
_Chosen = dict[Kind, Any]  # of each kind, a row of the class that goes with it
NONE = (0, None)  # the transform that says so


def _choose(wanted: _Wanted, offered: Sequence[Proposal], scope: str) -> Choice:
    offers = [(proposal, by_type(proposal)) for proposal in offered]
    for protocol, slots in wanted:
        for proposal, types in offers:
            if proposal.protocol != protocol:
                continue
            rows = _match(slots, types)
            if rows is None and max(types, default=0) >= _FIRST:
                rows = _match(slots, _needed(slots, types))
            if rows is not None:
                return _choice(proposal, rows, _answer_transforms(slots, rows, types))
    raise _refusal("no proposal of the peer is acceptable: " + _difference(wanted, offers), scope)


def by_type(proposal: Proposal) -> _Offered:
    """What is on offer of each transform type, by (transform ID, key length)."""
    types: _Offered = {}
    for transform in proposal.transforms:
        choices = types.setdefault(transform.type, {})
        if not transform.unknown_attributes:
            choices[transform.id, transform.key_length] = transform
    return types


def _match(slots: Slots, types: _Offered) -> _Chosen | None:
    """Our first row of each kind that is on offer; None when a kind has none, or a type on offer has no slot."""
    chosen: _Chosen = {}
    known = 0
    for kind, rows in slots:
        choices = types.get(kind)
        known += choices is not None
        row = _first(rows, choices)
        if row is not None:
            chosen[kind] = row
        elif not _may_be_absent(rows, choices):
            return None
    return chosen if known == len(types) else None


def _needed(slots: Slots, types: _Offered) -> _Offered:
    """What is on offer without the additional key exchanges that we know nothing of and the peer can do without."""
    wanted = {kind for kind, _rows in slots}
    return {
        number: choices
        for number, choices in types.items()
        if number in wanted or number not in ADDITIONAL or NONE not in choices
    }


def _first(rows: Sequence[Algorithm], choices: dict[tuple[int, int | None], Transform] | None) -> Algorithm | None:
    if choices is not None:
        for row in rows:
            if (row.transform_id, row.key_length) in choices:
                return row
    return None


def _may_be_absent(rows: Sequence[Algorithm], choices: dict[tuple[int, int | None], Transform] | None) -> bool:
    """Whether a kind for which we want nothing is left out, or NONE is among what is on offer."""
    return not rows and (choices is None or NONE in choices)


def _answer_transforms(slots: Slots, rows: _Chosen, types: _Offered) -> tuple[Transform, ...]:
    """Exactly one of each type on offer, a NONE included (section 3.3.6)."""
    answer = [
        (_TRANSFORMS if kind < _FIRST else _BY_KIND[kind])[rows[kind]] if kind in rows else types[kind][NONE]
        for kind, _rows in slots
        if kind in types
    ]
    if len(answer) < len(types):
        named = {transform.type for transform in answer}
        answer += [choices[NONE] for number, choices in types.items() if number not in named]
    return tuple(answer)


def _choice(proposal: Proposal, rows: _Chosen, transforms: tuple[Transform, ...]) -> Choice:
    esn = rows.get(Kind.ESN)
    return Choice(
        proposal.number,
        proposal.protocol,
        proposal.spi,
        rows.get(Kind.ENCR),
        rows.get(Kind.INTEG),
        rows.get(Kind.PRF),
        rows.get(Kind.KE),
        esn is not None and esn.transform_id == 1,
        Proposal(proposal.number, proposal.protocol, proposal.spi, transforms),
        tuple([row for kind, row in rows.items() if kind >= _FIRST]),
    )


def _check_answer(wanted: _Wanted, answer: SA, scope: str) -> Choice:
    if len(answer.proposals) != 1:
        raise _refusal(f"the peer answered with {len(answer.proposals)} proposals instead of one", scope)
    proposal = answer.proposals[0]
    if not 1 <= proposal.number <= len(wanted):
        raise _refusal(f"the peer chose proposal {proposal.number} of {len(wanted)}", scope)
    protocol, slots = wanted[proposal.number - 1]
    if proposal.protocol != protocol:
        raise _refusal(f"the peer answered for protocol {proposal.protocol} instead of {protocol}", scope)
    types = by_type(proposal)
    rows = _match(slots, types)
    if rows is None:
        difference = _difference([(protocol, slots)], [(proposal, types)])
        raise _refusal("the peer chose what was not offered: " + difference, scope)
    if len(types) != len(proposal.transforms):
        raise _refusal("the peer chose more than one transform of a type", scope)
    return _choice(proposal, rows, proposal.transforms)


def _refusal(story: str, scope: str) -> IkeError:
    return IkeError(NotifyType.NO_PROPOSAL_CHOSEN, story, scope, reason="no_proposal_chosen")


# Saying what differs


def _difference(wanted: _Wanted, offers: list[tuple[Proposal, _Offered]]) -> str:
    """The differences of the pair of proposals that comes closest, in words; of the first pairs, if there are many."""
    pairs = (
        (_differing(slots, types), slots, types)
        for protocol, slots in wanted
        for proposal, types in offers
        if proposal.protocol == protocol
    )
    closest = min(islice(pairs, _PAIRS_IN_STORY), key=lambda pair: len(pair[0]), default=None)
    if closest is None:
        protocols = ", ".join(sorted({_protocol(proposal.protocol) for proposal, _types in offers})) or "nothing"
        return f"{protocols} is on offer, {_protocol(wanted[0][0])} is allowed" if wanted else "none is allowed here"
    differing, slots, types = closest
    return "; ".join([_in_words(number, slots, types) for number in differing[:_NAMES_IN_STORY]])


def _protocol(number: int) -> str:
    return _PROTOCOLS.get(number, f"protocol {number}")


def _differing(slots: Slots, types: _Offered) -> list[int]:
    """The transform types in which an offer differs from what is wanted, or that nobody wants."""
    found = [
        int(kind)
        for kind, rows in slots
        if _first(rows, types.get(kind)) is None and not _may_be_absent(rows, types.get(kind))
    ]
    wanted = {kind for kind, _rows in slots}
    return found + [number for number in types if number not in wanted]


def _in_words(number: int, slots: Slots, types: _Offered) -> str:
    kind, rows = next((slot for slot in slots if slot[0] == number), (None, ()))
    if kind is None:
        return f"transform type {number} is not supported here"
    offered = _listed(types[kind], lambda key: _name(kind, *key)) if kind in types else "nothing"
    allowed = _listed(rows, str) if rows else "none"
    return f"{_KIND_WORDS[kind]} differs (offered: {offered}; allowed: {allowed})"


def _listed(items: Collection[_T], word: Callable[[_T], str]) -> str:
    words = [word(item) for item in islice(items, _NAMES_IN_STORY)]
    if len(items) > _NAMES_IN_STORY:
        words.append(f"{len(items) - _NAMES_IN_STORY} more")
    return ", ".join(words) or "nothing that is understood"


def _name(kind: Kind, transform_id: int, key_length: int | None) -> str:
    row = by_transform(kind, transform_id, key_length)
    if row is not None:
        return row.name
    if transform_id == 0 and kind in (Kind.INTEG, Kind.KE, *ADDITIONAL):
        return "none"
    return f"number {transform_id}" + ("" if key_length is None else f" with {key_length} bits")
