# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The index of proposals says what choosing one after the other says."""

from __future__ import annotations

from engine.crypto.negotiation import choose_ike, offer_ike
from engine.crypto.proposal_index import ProposalIndex
from engine.crypto.proposals import IkeProposal, ike_proposals
from engine.errors import IkeError
from engine.wire.v2.sa import Proposal, Transform
from hypothesis import given, settings
from hypothesis import strategies as st

WORDS = (
    "aes256gcm16-prfsha384-x25519",
    "aes256gcm16-chacha20poly1305-prfsha384-prfsha256-ecp256-x25519",
    "chacha20poly1305-prfsha256-modp2048",
    "aes128gcm16-prfsha256-x25519",
    "aes256-sha256-modp2048",
    "aes128-aes256-sha384-sha256-prfsha256-x25519",
    "3des-sha1-modp1024",
    "aes256-sha1-prfsha1-modp2048-modp1536",
    "aes256gcm16-prfsha384-x25519-ke1_ecp256-ke1_ecp384",
    "aes256gcm16-prfsha384-x25519-ke1_ecp384-ke2_modp2048",
)
PROPOSALS = [ike_proposals(words)[0] for words in WORDS]
TRANSFORMS = [transform for proposal in PROPOSALS for transform in offer_ike([proposal])[0].transforms]
STRANGE = [
    Transform(3, 0),
    Transform(4, 0),
    Transform(1, 20),
    Transform(5, 0),
    Transform(77, 1),
    Transform(1, 20, 256, True),
    Transform(6, 0),
    Transform(7, 20),
]

offers = st.lists(
    st.builds(
        lambda protocol, transforms: Proposal(1, protocol, b"", tuple(transforms)),
        st.sampled_from([1, 1, 1, 1, 3]),
        st.one_of(
            st.sampled_from(PROPOSALS).map(lambda proposal: offer_ike([proposal])[0].transforms),
            st.lists(st.sampled_from([*TRANSFORMS, *STRANGE]), min_size=1, max_size=12),
            st.tuples(st.sampled_from(PROPOSALS), st.sampled_from(STRANGE)).map(
                lambda both: (*offer_ike([both[0]])[0].transforms, both[1])
            ),
        ),
    ),
    max_size=4,
)


def chosen(proposal: IkeProposal, offered: list[Proposal]) -> bool:
    try:
        choose_ike([proposal], offered)
    except IkeError:
        return False
    return True


@settings(max_examples=300)
@given(offers, st.lists(st.tuples(st.booleans(), st.sampled_from(PROPOSALS)), max_size=20))
def test_what_fits_is_what_can_be_chosen(offered: list[Proposal], changes: list[tuple[bool, IkeProposal]]) -> None:
    index = ProposalIndex()
    numbers: dict[IkeProposal, int] = {}
    uses = dict.fromkeys(PROPOSALS, 0)
    for enters, proposal in changes:
        if enters:
            number = index.enter(proposal)
            assert numbers.setdefault(proposal, number) == number
            uses[proposal] += 1
        elif uses[proposal]:
            assert index.leave(proposal) == numbers[proposal]
            uses[proposal] -= 1
            if not uses[proposal]:
                del numbers[proposal]
    assert len(set(numbers.values())) == len(numbers)
    assert index.fitting(offered) == sum(1 << number for each, number in numbers.items() if chosen(each, offered))


def test_numbers_are_given_again_so_that_they_stay_small() -> None:
    index = ProposalIndex()
    for _unused in range(100):
        for proposal in PROPOSALS:
            assert index.enter(proposal) < len(PROPOSALS)
        for proposal in PROPOSALS:
            index.leave(proposal)
    assert not index.fitting(offer_ike(PROPOSALS))


def test_an_offer_costs_the_same_beside_a_thousand_proposals(calls) -> None:
    few, many = ProposalIndex(), ProposalIndex()
    few.enter(PROPOSALS[0])
    for number in range(1000):
        many.enter(IkeProposal(PROPOSALS[0].encr, (), PROPOSALS[0].prf, tuple(PROPOSALS[0].ke) * (number + 1)))
    offered = offer_ike(PROPOSALS)
    assert calls(many.fitting, offered) == calls(few.fitting, offered)
