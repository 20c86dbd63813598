# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Offers, choices and answers: RFC 7296 section 3.3, and what peers do to it."""

from __future__ import annotations

import pytest
from engine.crypto.negotiation import check_answer_esp, check_answer_ike, choose_esp, choose_ike, offer_esp, offer_ike
from engine.crypto.proposals import esp_proposals, ike_proposals
from engine.crypto.registry import ALGORITHMS, Kind
from engine.errors import CHILD, MESSAGE, IkeError
from engine.wire.reader import Reader
from engine.wire.v2.sa import SA, Proposal, Transform
from hypothesis import given, settings
from hypothesis import strategies as st

NO_PROPOSAL_CHOSEN = 14
SPI = b"\xc0\0\0\1"
ENCR, PRF, INTEG, KE, ESN = 1, 2, 3, 4, 5
GCM256, CHACHA, CBC256 = Transform(ENCR, 20, 256), Transform(ENCR, 28), Transform(ENCR, 12, 256)
SHA384, X25519 = Transform(PRF, 6), Transform(KE, 31)


def ike(*transforms, number=1, spi=b""):
    return Proposal(number, 1, spi, transforms)


def esp(*transforms, number=1, spi=SPI):
    return Proposal(number, 3, spi, transforms)


def refused(call, *args, **kwargs):
    with pytest.raises(IkeError) as caught:
        call(*args, **kwargs)
    assert caught.value.notify == NO_PROPOSAL_CHOSEN
    assert caught.value.reason == "no_proposal_chosen"
    return caught.value


MODERN = ike_proposals("aes256gcm16-chacha20poly1305-sha384-sha512-x25519-ecp384")
CBC = ike_proposals("aes256-aes128-sha256-modp2048")
CHILD_GCM = esp_proposals("aes256gcm16-chacha20poly1305-x25519")


# Offers


def test_offer_ike():
    first, second = offer_ike((*MODERN, *CBC), spi=b"rekeying")
    assert (first.number, second.number) == (1, 2)
    assert first.protocol == second.protocol == 1
    assert first.spi == second.spi == b"rekeying"
    assert first.transforms == (
        GCM256, CHACHA, SHA384, Transform(PRF, 7), X25519, Transform(KE, 20),
    )  # fmt: skip
    assert second.transforms == (
        CBC256, Transform(ENCR, 12, 128), Transform(PRF, 5), Transform(INTEG, 12), Transform(KE, 14),
    )  # fmt: skip


def test_offer_esp():
    (proposal,) = offer_esp(CHILD_GCM, SPI, with_ke=True)
    assert proposal == esp(GCM256, CHACHA, X25519, Transform(ESN, 1), Transform(ESN, 0))
    (proposal,) = offer_esp(CHILD_GCM, SPI, with_ke=False)
    assert proposal == esp(GCM256, CHACHA, Transform(ESN, 1), Transform(ESN, 0))


@pytest.mark.parametrize("profile", ["modern", "compat", "legacy"])
def test_both_ends_with_one_profile_agree(profile):
    """Through the wire and back, every proposal of the profile on its own too."""
    configured = ike_proposals(profile)
    for proposals in (configured, *[(proposal,) for proposal in configured]):
        offered = SA.parse(Reader(SA(offer_ike(proposals)).encode()))
        choice = choose_ike(proposals, offered.proposals)
        answer = SA.parse(Reader(SA((choice.proposal,)).encode()))
        assert check_answer_ike(proposals, answer) == choice
        first = proposals[0]
        assert (choice.encr, choice.prf, choice.ke) == (first.encr[0], first.prf[0], first.ke[0])
        assert choice.integ == (first.integ[0] if first.integ else None)
    for with_ke in (True, False):
        children = esp_proposals(profile)
        choice = choose_esp(children, offer_esp(children, SPI, with_ke), with_ke)
        assert check_answer_esp(children, SA((choice.proposal,)), with_ke) == choice
        assert (choice.ke is not None) is with_ke
        assert choice.esn is True
        assert choice.prf is None


# Choices


def test_our_order_counts():
    choice = choose_ike(MODERN, [ike(CHACHA, GCM256, Transform(PRF, 7), SHA384, Transform(KE, 20), X25519)])
    assert str(choice) == "aes256gcm16-prfsha384-x25519"
    assert choice.proposal.transforms == (GCM256, SHA384, X25519)


def test_our_proposals_come_before_the_peers():
    offered = [
        ike(CBC256, Transform(PRF, 5), Transform(INTEG, 12), Transform(KE, 14), number=1),
        ike(GCM256, SHA384, X25519, number=2),
    ]
    choice = choose_ike((*MODERN, *CBC), offered)
    assert (choice.number, choice.proposal.number, choice.encr.name) == (2, 2, "aes256gcm16")
    choice = choose_ike((*CBC, *MODERN), offered)
    assert (choice.number, choice.encr.name, choice.integ.name) == (1, "aes256", "sha256")


def test_the_peers_spi_and_number_are_kept():
    choice = choose_esp(CHILD_GCM, [esp(GCM256, X25519, Transform(ESN, 0), spi=b"\xc0\0\0\7")])
    assert (choice.spi, choice.protocol, choice.esn) == (b"\xc0\0\0\7", 3, False)
    choice = choose_ike(MODERN, [ike(GCM256, SHA384, X25519, spi=b"rekeying")])
    assert choice.spi == b"rekeying"


def test_integrity_none_beside_an_aead_is_answered_with_none():
    none = Transform(INTEG, 0)
    choice = choose_ike(MODERN, [ike(GCM256, SHA384, none, X25519)])
    assert choice.integ is None
    assert none in choice.proposal.transforms
    assert len(choice.proposal.transforms) == 4


def test_key_exchange_none_is_answered_with_none():
    without = esp_proposals("aes256gcm16")
    choice = choose_esp(without, [esp(GCM256, X25519, Transform(KE, 0), Transform(ESN, 0))])
    assert choice.ke is None
    assert Transform(KE, 0) in choice.proposal.transforms


@pytest.mark.parametrize("spec", ["aes256gcm16-x25519", "aes256gcm16"])
def test_the_first_child_has_no_key_exchange_of_its_own(spec):
    offered = [esp(GCM256, Transform(ESN, 0))]
    assert choose_esp(esp_proposals(spec), offered, with_ke=False).ke is None


def test_forward_secrecy_is_not_given_up():
    """We want a key exchange with every further child: an offer without one, or with NONE only, is refused."""
    for offered in ([GCM256, Transform(ESN, 0)], [GCM256, Transform(KE, 0), Transform(ESN, 0)]):
        assert "key exchange" in refused(choose_esp, CHILD_GCM, [esp(*offered)], with_ke=True).story


UNACCEPTABLE = {
    "no proposal": [],
    "no transforms": [ike()],
    "no key exchange": [ike(GCM256, SHA384)],
    "no PRF": [ike(GCM256, X25519)],
    "no cipher": [ike(SHA384, X25519)],
    "AES without a key length": [ike(Transform(ENCR, 20), SHA384, X25519)],
    "AES with an odd key length": [ike(Transform(ENCR, 20, 257), SHA384, X25519)],
    "AES with key length 0": [ike(Transform(ENCR, 20, 0), SHA384, X25519)],
    "a key length on a fixed-key cipher": [ike(Transform(ENCR, 28, 256), SHA384, X25519)],
    "a key length on the PRF": [ike(GCM256, Transform(PRF, 6, 384), X25519)],
    "an attribute not understood": [ike(Transform(ENCR, 20, 256, True), SHA384, X25519)],
    "an AEAD with integrity": [ike(GCM256, SHA384, Transform(INTEG, 12), X25519)],
    "GMAC as a cipher": [ike(Transform(ENCR, 21, 256), SHA384, X25519)],
    "a PRF nobody has": [ike(GCM256, Transform(PRF, 65535), X25519)],
    "a private group": [ike(GCM256, SHA384, Transform(KE, 1024))],
    "key exchange NONE": [ike(GCM256, SHA384, Transform(KE, 0))],
    "an unknown transform type": [ike(GCM256, SHA384, X25519, Transform(77, 1))],
    "an additional key exchange": [ike(GCM256, SHA384, X25519, Transform(6, 36))],
    "ESN for IKE": [ike(GCM256, SHA384, X25519, Transform(ESN, 0))],
    "ESP's protocol": [Proposal(1, 3, SPI, (GCM256, SHA384, X25519))],
    "protocol 0": [Proposal(1, 0, b"", (GCM256, SHA384, X25519))],
}


@pytest.mark.parametrize("name", UNACCEPTABLE)
def test_unacceptable_ike_offers(name):
    error = refused(choose_ike, MODERN, UNACCEPTABLE[name])
    assert error.scope == MESSAGE
    # An acceptable proposal behind it still wins.
    offered = [*UNACCEPTABLE[name], ike(GCM256, SHA384, X25519, number=9)]
    assert choose_ike(MODERN, offered).number == 9


@pytest.mark.parametrize(
    "transforms",
    [
        (GCM256, X25519),  # no sequence numbers: mandatory (section 3.3.3)
        (GCM256, X25519, Transform(ESN, 2)),
        (GCM256, X25519, Transform(ESN, 0), SHA384),
        (GCM256, X25519, Transform(ESN, 0), Transform(INTEG, 12)),
        (CBC256, X25519, Transform(ESN, 0)),
        (Transform(ENCR, 11), X25519, Transform(INTEG, 12), Transform(ESN, 0)),
    ],
)
def test_unacceptable_esp_offers(transforms):
    assert refused(choose_esp, CHILD_GCM, [esp(*transforms)]).scope == CHILD


def test_null_only_by_name():
    offered = [esp(Transform(ENCR, 11), Transform(INTEG, 12), Transform(ESN, 0))]
    for profile in ("modern", "compat", "legacy"):
        refused(choose_esp, esp_proposals(profile), offered, with_ke=False)
    assert choose_esp(esp_proposals("null-sha256"), offered).encr.name == "null"


# Stories


@pytest.mark.parametrize(
    ("offered", "words"),
    [
        (
            ike(GCM256, SHA384, Transform(KE, 14)),
            ["key exchange differs", "offered: modp2048", "allowed: x25519, ecp384"],
        ),
        (
            ike(CBC256, SHA384, X25519),
            ["encryption differs", "offered: aes256;", "allowed: aes256gcm16, chacha20poly1305"],
        ),
        (ike(GCM256, Transform(PRF, 2), X25519), ["PRF differs", "offered: sha1"]),
        (ike(GCM256, SHA384, Transform(INTEG, 12), X25519), ["integrity differs", "offered: sha256", "allowed: none"]),
        (ike(GCM256, SHA384), ["key exchange differs", "offered: nothing;"]),
        (ike(Transform(ENCR, 20), SHA384, X25519), ["number 20"]),
        (ike(Transform(ENCR, 20, 512), SHA384, X25519), ["number 20 with 512 bits"]),
        (ike(GCM256, SHA384, X25519, Transform(6, 36)), ["transform type 6 is not supported"]),
        (ike(Transform(ENCR, 20, 256, True), SHA384, X25519), ["nothing that is understood"]),
        (ike(CBC256, SHA384, Transform(KE, 14)), ["encryption differs", "key exchange differs"]),
    ],
)
def test_the_story_names_what_differs(offered, words):
    story = refused(choose_ike, MODERN, [offered]).story
    for word in words:
        assert word in story


def test_the_story_is_about_the_closest_pair():
    offered = [
        ike(Transform(ENCR, 3), Transform(PRF, 2), Transform(INTEG, 2), Transform(KE, 2), number=1),
        ike(GCM256, SHA384, Transform(KE, 14), number=2),
    ]
    story = refused(choose_ike, (*CBC, *MODERN), offered).story
    assert "key exchange differs" in story
    assert "encryption" not in story


def test_the_story_stays_short():
    offered = [ike(*[Transform(KE, number) for number in range(1000, 1200)], GCM256, SHA384)]
    story = refused(choose_ike, MODERN, offered).story
    assert "192 more" in story
    assert len(story) < 400


# Answers


def test_answers_are_matched_with_the_offer():
    configured = (*MODERN, *CBC)
    answer = SA((ike(CBC256, Transform(PRF, 5), Transform(INTEG, 12), Transform(KE, 14), number=2, spi=b"peer spi"),))
    choice = check_answer_ike(configured, answer)
    assert (choice.number, choice.spi, str(choice)) == (2, b"peer spi", "aes256-sha256-prfsha256-modp2048")


def test_answers_may_say_none():
    answer = SA((ike(GCM256, SHA384, Transform(INTEG, 0), X25519),))
    assert check_answer_ike(MODERN, answer).integ is None


BAD_ANSWERS = {
    "none": (),
    "two": (ike(GCM256, SHA384, X25519), ike(GCM256, SHA384, X25519, number=2)),
    "number 0": (ike(GCM256, SHA384, X25519, number=0),),
    "number not offered": (ike(GCM256, SHA384, X25519, number=2),),
    "other protocol": (Proposal(1, 3, SPI, (GCM256, SHA384, X25519)),),
    "cipher not offered": (ike(Transform(ENCR, 20, 128), SHA384, X25519),),
    "weaker PRF": (ike(GCM256, Transform(PRF, 2), X25519),),
    "no key exchange": (ike(GCM256, SHA384),),
    "two of a type": (ike(GCM256, SHA384, X25519, Transform(KE, 20)),),
    "the same twice": (ike(GCM256, SHA384, X25519, X25519),),
    "integrity with an AEAD": (ike(GCM256, SHA384, X25519, Transform(INTEG, 12)),),
    "none and more": (ike(GCM256, SHA384, X25519, Transform(INTEG, 0), Transform(INTEG, 12)),),
    "unknown type": (ike(GCM256, SHA384, X25519, Transform(6, 0)),),
    "attribute not understood": (ike(Transform(ENCR, 20, 256, True), SHA384, X25519),),
    "everything": offer_ike(MODERN),
}


@pytest.mark.parametrize("name", BAD_ANSWERS)
def test_answers_outside_of_the_offer(name):
    refused(check_answer_ike, MODERN, SA(BAD_ANSWERS[name]))


def test_an_answer_without_the_key_exchange_we_asked_for():
    answer = SA((esp(GCM256, Transform(ESN, 0)),))
    assert check_answer_esp(CHILD_GCM, answer, with_ke=False).ke is None
    assert refused(check_answer_esp, CHILD_GCM, answer, with_ke=True).scope == CHILD
    with_ke = SA((esp(GCM256, X25519, Transform(ESN, 0)),))
    assert check_answer_esp(CHILD_GCM, with_ke).ke.name == "x25519"
    refused(check_answer_esp, CHILD_GCM, with_ke, with_ke=False)


def test_extended_sequence_numbers_are_insisted_on_when_named():
    only = esp_proposals("aes256gcm16-esn")
    refused(choose_esp, only, [esp(GCM256, Transform(ESN, 0))])
    assert choose_esp(only, [esp(GCM256, Transform(ESN, 0), Transform(ESN, 1))]).esn is True


# Hostile and random

_KNOWN = st.sampled_from([Transform(int(row.kind), row.transform_id, row.key_length) for row in ALGORITHMS])
_ANY = st.builds(
    Transform, st.integers(0, 12), st.integers(0, 40), st.none() | st.sampled_from([0, 128, 192, 256]), st.booleans()
)
_PROPOSALS = st.lists(
    st.builds(
        Proposal,
        st.integers(0, 4),
        st.sampled_from([1, 3]),
        st.just(SPI),
        st.lists(_KNOWN | _ANY, max_size=12).map(tuple),
    ),
    max_size=5,
)


@settings(max_examples=400, deadline=None)
@given(_PROPOSALS, st.sampled_from(["modern", "compat", "legacy"]), st.booleans())
def test_whatever_is_offered_the_choice_is_ours_and_the_peers(offered, profile, with_ke):
    """A choice uses only what both ends listed, once per type; and only an IkeError says no."""
    for configured, choose, check in (
        (ike_proposals(profile), choose_ike, check_answer_ike),
        (
            esp_proposals(profile),
            lambda ours, theirs: choose_esp(ours, theirs, with_ke),
            lambda ours, answer: check_answer_esp(ours, answer, with_ke),
        ),
    ):
        try:
            choice = choose(configured, offered)
        except IkeError as exc:
            assert exc.notify == NO_PROPOSAL_CHOSEN
            assert exc.story
        else:
            source = next(p for p in offered if set(choice.proposal.transforms) <= set(p.transforms))
            assert source.spi == choice.spi
            kinds = [transform.type for transform in choice.proposal.transforms]
            assert len(set(kinds)) == len(kinds)
            rows = {row for proposal in configured for _unused, slot in proposal.slots for row in slot}
            assert {row for row in (choice.encr, choice.integ, choice.prf, choice.ke) if row} <= rows
            assert choice.encr.aead is (choice.integ is None)
        try:
            check(configured, SA(tuple(offered)))
        except IkeError as exc:
            assert exc.notify == NO_PROPOSAL_CHOSEN


def test_a_bomb_of_proposals_is_cheap(calls):
    """255 proposals of 255 transforms, none of which fits: judged without multiplying them out."""
    transforms = tuple(Transform(KE, number) for number in range(1000, 1255))
    offered = [ike(*transforms, number=number) for number in range(1, 256)]
    # About a dozen calls for each of the 65,025 transforms: never one for each pair of them.
    assert calls(refused, choose_ike, ike_proposals("legacy"), offered) < 1_000_000


def test_kinds_are_the_wires_transform_types():
    assert [int(kind) for kind in Kind] == [ENCR, PRF, INTEG, KE, ESN, *range(FIRST, 13)]


# Additional key exchanges (RFC 9370)


HYBRID = ike_proposals("aes256gcm16-prfsha384-x25519-ke1_ecp384-ke1_ecp521-ke2_modp2048")
PLAIN = ike_proposals("aes256gcm16-prfsha384-x25519")
FIRST, SECOND = 6, 7


def test_additional_key_exchanges_are_agreed():
    (offered,) = offer_ike(HYBRID)
    assert offered.transforms == (
        GCM256, SHA384, X25519, Transform(FIRST, 20), Transform(FIRST, 21), Transform(SECOND, 14),
    )  # fmt: skip
    choice = choose_ike(HYBRID, [offered])
    assert [row.name for row in choice.more] == ["ecp384", "modp2048"]
    assert str(choice) == "aes256gcm16-prfsha384-x25519-ke1_ecp384-ke2_modp2048"
    assert check_answer_ike(HYBRID, SA((choice.proposal,))) == choice


def test_additional_key_exchanges_of_a_child_are_left_out_with_the_first_one():
    proposals = esp_proposals("aes256gcm16-x25519-ke1_ecp384")
    (with_all,), (without,) = offer_esp(proposals, SPI, with_ke=True), offer_esp(proposals, SPI, with_ke=False)
    assert {transform.type for transform in with_all.transforms} == {ENCR, KE, ESN, FIRST}
    assert {transform.type for transform in without.transforms} == {ENCR, ESN}
    assert choose_esp(proposals, [without], with_ke=False).more == ()
    assert [row.name for row in choose_esp(proposals, [with_all]).more] == ["ecp384"]


@pytest.mark.parametrize(
    ("ours", "more", "story"),
    [
        (PLAIN, [Transform(FIRST, 20)], "transform type 6 is not supported here"),
        (HYBRID, [], "additional key exchange 1 differs"),
        (HYBRID, [Transform(FIRST, 31), Transform(SECOND, 14)], "additional key exchange 1 differs .offered: x25519"),
        (HYBRID, [Transform(FIRST, 0), Transform(SECOND, 14)], "additional key exchange 1 differs .offered: none"),
        (HYBRID, [Transform(FIRST, 20), Transform(SECOND, 0)], "additional key exchange 2 differs"),
    ],
)
def test_who_wants_other_key_exchanges_is_refused(ours, more, story):
    exc = refused(choose_ike, ours, [ike(GCM256, SHA384, X25519, *more)])
    assert story.replace(".offered", "(offered") in exc.story


def test_a_peer_that_can_do_without_is_told_so():
    """Exactly one transform of each type that is on offer (RFC 9370 section 2.2.1)."""
    offered = ike(GCM256, SHA384, X25519, Transform(FIRST, 36), Transform(FIRST, 0), Transform(SECOND, 0))
    choice = choose_ike(PLAIN, [offered])
    assert choice.more == ()
    assert choice.proposal.transforms == (GCM256, SHA384, X25519, Transform(FIRST, 0), Transform(SECOND, 0))


@pytest.mark.parametrize(
    "more",
    [
        [Transform(FIRST, 20)],
        [Transform(FIRST, 20), Transform(SECOND, 0)],
        [Transform(FIRST, 20), Transform(FIRST, 21), Transform(SECOND, 14)],
        [Transform(FIRST, 31), Transform(SECOND, 14)],
        [Transform(FIRST, 20), Transform(SECOND, 14), Transform(8, 0)],
    ],
)
def test_an_answer_has_all_of_them_as_offered(more):
    refused(check_answer_ike, HYBRID, SA((ike(GCM256, SHA384, X25519, *more),)))
