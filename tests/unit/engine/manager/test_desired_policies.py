# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The claims to policies: who stands where, what changes by replacement, and that nothing is deleted too early."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from engine.child_sa import ChildSa
from engine.crypto.registry import Kind, by_name
from engine.kernel.registry import rest_reqid
from engine.kernel.values import OUT, Policy
from engine.manager.desired_policies import DesiredPolicies
from engine.manager.log import Log
from engine.manager.policy_claims import CLOSES, HOLDS, RECEIVES, SENDS, YIELDS, place_of
from engine.selector import parse_selector
from fake_kernel import FakeHost

REQID = 0x66000001


def spec(reqid: int = REQID, spi: int = 0, remote: tuple[str, ...] = ("10.2.0.0/24",), peer: str = "192.0.2.2"):
    networks = tuple(parse_selector(text) for text in remote)
    ends = (parse_selector("10.1.0.0/24"),), networks
    return ChildSa("t", "lan", spi, reqid, "192.0.2.1", peer, 50, "tunnel", spi, spi, *ends, None, None, owner="me")


@pytest.fixture
def host(tmp_path):
    made = FakeHost(str(tmp_path), journal=False)
    yield made
    made.close()


@pytest.fixture
def desired(host):
    return DesiredPolicies(host, Log("debug", False, io.StringIO()))


def hold(desired, name="lan", number=1, **changes):
    desired.claim(("trap", "t", name), (HOLDS, number), spec(**changes))


def live(desired, number, rank=SENDS, **changes):
    desired.claim(("child", number), (rank, number), spec(**changes), True)


def out(host):
    return {remote: held for (_local, remote), held in host.gateway.policies.items()}


def inbound(host):
    return {policy.templates[0] for policy in host.gateway.held.values() if policy.direction != OUT}


def test_the_newest_generation_stands_then_older_ones_then_what_holds_the_place(desired, host):
    hold(desired)
    desired.settle()
    assert out(host) == {"10.2.0.0/24": (REQID, 0)}
    for number in (7, 8):
        live(desired, number, spi=number)
        desired.settle()
        assert out(host) == {"10.2.0.0/24": (REQID, number)}
    desired.drop(("child", 8))
    desired.settle()
    assert out(host) == {"10.2.0.0/24": (REQID, 7)}
    desired.drop(("child", 7))
    desired.settle()
    assert out(host) == {"10.2.0.0/24": (REQID, 0)}
    desired.drop(("trap", "t", "lan"))
    desired.settle()
    assert host.gateway.held == {}


def test_what_only_receives_never_stands(desired, host):
    live(desired, 7, spi=7)
    live(desired, 8, RECEIVES, spi=8, remote=("10.2.0.0/24", "10.3.0.0/24"))
    desired.settle()
    assert out(host) == {"10.2.0.0/24": (REQID, 7)}


def test_a_removal_takes_no_selector_that_others_claim(desired, host):
    hold(desired, remote=("10.2.0.0/24", "10.3.0.0/24"))
    live(desired, 7, spi=7, remote=("10.2.0.0/24", "10.4.0.0/24"))
    desired.settle()
    assert out(host) == {"10.2.0.0/24": (REQID, 7), "10.3.0.0/24": (REQID, 0), "10.4.0.0/24": (REQID, 7)}
    desired.drop(("child", 7))
    desired.settle()
    assert out(host) == {"10.2.0.0/24": (REQID, 0), "10.3.0.0/24": (REQID, 0)}


@pytest.mark.parametrize("first", ["narrow", "wide"])
def test_a_wide_child_never_has_the_very_packets_of_a_narrow_one(desired, host, first):
    wide = (parse_selector("10.1.0.0/24"),), (parse_selector("0.0.0.0/0"),)

    def seize():
        seized = replace(spec(REQID + 1, 9, ("10.2.0.0/24", "10.4.0.0/24"), peer="192.0.2.9"), defined=wide)
        desired.claim(("child", 9), (SENDS, 9), seized, True)

    if first == "wide":
        seize()
        desired.settle()
        assert out(host) == {"10.2.0.0/24": (REQID + 1, 9), "10.4.0.0/24": (REQID + 1, 9)}
    # Where it only receives so far, it is let in beside the one that sends.
    live(desired, 7, RECEIVES, spi=7)
    desired.settle()
    assert first == "narrow" or {template.reqid for template in inbound(host)} == {0, REQID + 1}
    live(desired, 7, spi=7)
    if first == "narrow":
        seize()
    desired.settle()
    assert out(host) == {"10.2.0.0/24": (REQID, 7), "10.4.0.0/24": (REQID + 1, 9)}
    assert {(template.reqid, template.source) for template in inbound(host)} == {
        (REQID, "192.0.2.2"), (REQID + 1, "192.0.2.9"),
    }  # fmt: skip
    desired.drop(("child", 7))
    desired.settle()
    assert out(host) == {"10.2.0.0/24": (REQID + 1, 9), "10.4.0.0/24": (REQID + 1, 9)}


def test_what_a_peer_narrowed_away_finds_no_sa_of_the_child(desired, host):
    whole = (parse_selector("10.1.0.0/24"),), (parse_selector("10.0.0.0/8"),)
    hold(desired, remote=("10.0.0.0/8",))
    desired.settle()
    assert out(host) == {"10.0.0.0/8": (REQID, 0)}
    for number in (7, 8):
        narrowed = replace(spec(spi=number), defined=whole)
        desired.claim(("child", number), (SENDS, number), narrowed, True)
        desired.settle()
        assert out(host) == {"10.0.0.0/8": (rest_reqid(REQID), 0), "10.2.0.0/24": (REQID, number)}
    desired.drop(("child", 7))
    desired.settle()
    assert out(host)["10.0.0.0/8"] == (rest_reqid(REQID), 0)
    desired.drop(("child", 8))
    desired.settle()
    assert out(host) == {"10.0.0.0/8": (REQID, 0)}
    # All of it is in one SA again.
    live(desired, 9, spi=9, remote=("10.0.0.0/8",))
    desired.settle()
    assert out(host) == {"10.0.0.0/8": (REQID, 9)}


def test_nothing_is_deleted_before_all_of_a_change_is_carried_out(desired, host):
    hold(desired)
    desired.settle()
    host.gateway.calls.clear()
    with desired.together():
        desired.drop(("trap", "t", "lan"))
        desired.settle()
        assert out(host) == {"10.2.0.0/24": (REQID, 0)}
        hold(desired, "wan", reqid=REQID + 1)
    assert out(host) == {"10.2.0.0/24": (REQID + 1, 0)}
    assert "delete_policies" not in host.gateway.calls
    with desired.together():
        desired.drop(("trap", "t", "wan"))
        desired.settle()
        assert out(host)
    assert out(host) == {}


def test_while_two_children_hand_a_network_over_packets_of_both_are_let_in(desired, host):
    live(desired, 7, spi=7)
    desired.settle()
    (before,) = inbound(host)
    live(desired, 8, RECEIVES, spi=8, reqid=REQID + 1)
    desired.settle()
    (template,) = inbound(host)
    assert (template.reqid, template.shared) == (0, True) and (template.source, template.mode) == (
        "192.0.2.2",
        "tunnel",
    )
    assert out(host) == {"10.2.0.0/24": (REQID, 7)}, "and they leave as before"
    live(desired, 9, spi=9, reqid=REQID, peer="198.51.100.2")
    desired.settle()
    assert {template.source for template in inbound(host)} == {"0.0.0.0"}
    desired.drop(("child", 8))
    desired.drop(("child", 9))
    desired.settle()
    assert inbound(host) == {before}, "the way it was, for nobody else"


LAN, X, Y = REQID, REQID + 1, REQID + 2
HALVES = ("10.2.0.0/25",), ("10.2.0.128/25",)


def carry(desired, number, rank=SENDS, **changes):
    """As :func:`live`, with a cipher."""
    sent = replace(spec(**changes), encryption=by_name(Kind.ENCR, "aes256gcm16"))
    desired.claim(("child", number), (rank, number), sent, True)


def awaits(desired, name, reqid, remote, rank=YIELDS, **changes):
    """The place of a child that is not up."""
    whole = replace(spec(reqid, remote=remote), child=name, **changes)
    desired.claim(("trap", whole.tunnel, name), (rank, 1), whole)


def test_what_was_split_goes_on_in_the_old_child_until_the_new_ones_send(desired, host):
    carry(desired, 7, spi=7)
    for name, reqid, remote in (("x", X, HALVES[0]), ("y", Y, HALVES[1])):
        awaits(desired, name, reqid, remote)
    desired.settle()
    assert out(host) == {"10.2.0.0/24": (LAN, 7), "10.2.0.0/25": (LAN, 7), "10.2.0.128/25": (LAN, 7)}
    assert {template.reqid for template in inbound(host)} == {LAN}
    sent = [policy for policy in host.gateway.held.values() if policy.direction == OUT]
    ranks = {policy.selector.destination_prefix: policy.priority for policy in sent}
    assert ranks[25] < ranks[24]
    carry(desired, 8, spi=8)  # new keys meanwhile
    desired.settle()
    assert set(out(host).values()) == {(LAN, 8)}
    carry(desired, 9, RECEIVES, reqid=X, spi=9, remote=HALVES[0])
    desired.settle()
    assert out(host)["10.2.0.0/25"] == (LAN, 8) and {template.reqid for template in inbound(host)} == {0, LAN}
    carry(desired, 9, reqid=X, spi=9, remote=HALVES[0])
    desired.settle()
    assert out(host)["10.2.0.0/25"] == (X, 9) and out(host)["10.2.0.128/25"] == (LAN, 8)
    assert {template.reqid for template in inbound(host)} == {0, LAN}, "what was under way is let in yet"
    for number in (7, 8):
        desired.drop(("child", number))
    desired.settle()
    assert {template.reqid for template in inbound(host)} == {X, Y}
    assert out(host) == {"10.2.0.0/25": (X, 9), "10.2.0.128/25": (Y, 0)}


@pytest.mark.parametrize("reqid", [LAN, X], ids=["of one definition", "of two"])
def test_what_is_being_closed_has_its_packets_go_by_a_wider_child(desired, host, reqid):
    carry(desired, 7, reqid=reqid, spi=7, remote=HALVES[0])
    carry(desired, 7, CLOSES, reqid=reqid, spi=7, remote=HALVES[0])
    desired.settle()
    assert out(host) == {"10.2.0.0/25": (reqid, 7)}, "there is no other yet"
    awaits(desired, "lan", LAN, ("10.2.0.0/24",), HOLDS)
    carry(desired, 9, spi=9)
    desired.settle()
    assert out(host) == {"10.2.0.0/24": (LAN, 9), "10.2.0.0/25": (LAN, 9)}
    within = {policy.templates[0].reqid for policy in host.gateway.held.values() if policy.selector.source_prefix == 25}
    assert within == {LAN if reqid == LAN else 0}, "what comes by either is let in"
    assert desired.deleted == 0


def test_what_is_being_closed_makes_way_for_what_a_peer_narrowed_to_its_very_packets(desired, host):
    carry(desired, 7, reqid=X, spi=7, remote=HALVES[0])
    whole = spec().local_selectors, spec().remote_selectors
    part = replace(spec(spi=9, remote=HALVES[0]), encryption=by_name(Kind.ENCR, "aes256gcm16"), defined=whole)
    desired.claim(("child", 9), (SENDS, 9), part, True)
    desired.settle()
    assert out(host) == {"10.2.0.0/25": (X, 7)}
    carry(desired, 7, CLOSES, reqid=X, spi=7, remote=HALVES[0])
    desired.settle()
    assert out(host) == {"10.2.0.0/25": (LAN, 9)}


def test_a_child_within_another_one_has_its_place_for_itself_before_long(desired, host):
    awaits(desired, "lan", LAN, ("10.2.0.0/24",))
    carry(desired, 7, spi=7)
    awaits(desired, "x", X, HALVES[0])
    carry(desired, 9, reqid=X, spi=9, remote=HALVES[0])
    desired.settle()
    for reqids in ({0, LAN}, {0, LAN}, {X, LAN}):
        assert {template.reqid for template in inbound(host)} == reqids
        assert desired.audit(host.gateway.standing_policies()) == []
        assert desired.settle() == []


@pytest.mark.parametrize(
    "other",
    [{"tunnel": "u"}, {"remote_address": "192.0.2.9"}, {"if_id": 5}, {"rank": HOLDS}],
    ids=["another tunnel", "another peer", "another interface", "a packet has to ask for it"],
)
def test_what_is_another_peers_or_waits_for_a_packet_has_its_own_place(desired, host, other):
    carry(desired, 7, spi=7)
    awaits(desired, "x", X, HALVES[0], **other)
    desired.settle()
    assert out(host)["10.2.0.0/25"] == (X, 0)


def test_nothing_without_a_cipher_stands_in(desired, host):
    live(desired, 7, spi=7)
    awaits(desired, "x", X, HALVES[0])
    desired.settle()
    assert out(host)["10.2.0.0/25"] == (X, 0)


def test_a_peers_part_of_a_wide_child_carries_what_a_child_of_its_own_is_for_at_once(desired, host):
    whole = spec().local_selectors, (parse_selector("10.0.0.0/8"),)
    wide = replace(spec(spi=7), encryption=by_name(Kind.ENCR, "aes256"), defined=whole)
    desired.claim(("child", 7), (SENDS, 7), wide, True)
    awaits(desired, "x", X, ("10.2.0.0/24",))
    desired.settle()
    assert out(host) == {"10.2.0.0/24": (LAN, 7)}
    carry(desired, 9, reqid=X, spi=9)
    desired.settle()
    assert out(host) == {"10.2.0.0/24": (X, 9)}
    assert {template.reqid for template in inbound(host)} == {0}, "what the peer still sends by the old one is let in"
    desired.drop(("child", 7))
    desired.settle()
    assert {template.reqid for template in inbound(host)} == {X}


def test_many_children_of_one_shape_are_not_compared(desired, monkeypatch):
    compared = []
    monkeypatch.setattr("engine.manager.nesting.covers", lambda *two: compared.append(two))
    for number in range(200):
        remote = (f"10.3.{number}.0/24",)
        awaits(desired, str(number), REQID + number, remote)
        carry(desired, number, reqid=REQID + number, spi=number + 1, remote=remote)
    assert not compared


def test_work_grows_with_what_changes(desired, host):
    for number in range(300):
        remote = (f"10.{number // 250 + 2}.{number % 250}.0/24",)
        desired.claim(("trap", str(number), "lan"), (HOLDS, number), spec(REQID + number, remote=remote))
    desired.settle()
    host.gateway.calls.clear()
    looked = []
    plain = desired.standing
    desired.standing = lambda place: looked.append(place) or plain(place)
    live(desired, 999, spi=9, remote=("10.2.7.0/24",), reqid=REQID + 7)
    desired.settle()
    assert host.gateway.calls == ["set_policies"]
    assert len(looked) <= 3 * 3, "three places, before, after and when it is done"
    desired.claim(("trap", "7", "lan"), (HOLDS, 7), spec(REQID + 7, remote=("10.2.7.0/24",)))
    desired.settle()
    assert host.gateway.calls == ["set_policies"], "nothing changed"


def test_an_audit_finds_what_differs_and_settling_repairs_it(desired, host):
    hold(desired, remote=("10.2.0.0/24", "10.3.0.0/24"))
    desired.settle()
    held = dict(host.gateway.held)
    assert desired.audit(held.values()) == []
    lost, changed, *_rest = held
    del host.gateway.held[lost]
    host.gateway.held[changed] = held[changed]._replace(priority=5)
    left = held[lost]._replace(selector=held[lost].selector._replace(source_prefix=8))
    host.gateway.held[place_of(left)] = left
    repairs = desired.audit(host.gateway.standing_policies())
    assert {(repair.place, repair.held is None, repair.wanted is None) for repair in repairs} == {
        (lost, True, False),
        (changed, False, False),
        (place_of(left), False, True),
    }
    assert desired.settle() == [] and host.gateway.held == held


def test_a_group_in_the_place_of_an_sa_is_no_difference(desired, host):
    live(desired, 7, spi=7)
    desired.settle()
    for place, policy in host.gateway.held.items():
        more = replace_reqid(policy)
        host.gateway.held[place] = policy._replace(templates=(policy.templates[0], more))
    assert desired.audit(host.gateway.standing_policies()) == []


def replace_reqid(policy: Policy):
    return policy.templates[0]._replace(reqid=77, mode="transport")


def test_policies_of_others_are_refused_and_left_alone(desired, host):
    hold(desired)
    (place, *rest) = list(desired.places())
    foreign = desired.standing(place).policy._replace(templates=(), action="block")
    host.gateway.held[place] = foreign
    for _unused in range(2):
        (refusal,) = desired.settle()
        assert refusal.claimant == ("trap", "t", "lan") and "another program" in str(refusal.problem)
        assert set(refusal.places) == {place, *rest}
        assert host.gateway.held == {place: foreign}, "what is laid for the first time stands as a whole or not at all"
        desired.audit(host.gateway.standing_policies())
    desired.drop(("trap", "t", "lan"))
    assert desired.settle() == [] and host.gateway.held == {place: foreign}


@pytest.mark.parametrize("known_by", ["laying", "looking"])
def test_a_place_that_was_ours_is_taken_back_from_whoever_replaced_its_policy(desired, host, known_by):
    hold(desired)
    if known_by == "laying":
        desired.settle()
    else:  # a manager before this one has laid them
        host.gateway.held |= {place: desired.standing(place).policy for place in desired.places()}
        desired.trust()
        assert desired.audit(host.gateway.standing_policies()) == []
    held = dict(host.gateway.held)
    (place, *_rest) = held
    for count in range(1, 4):
        host.gateway.held[place] = held[place]._replace(templates=(), action="allow")
        (repair,) = desired.audit(host.gateway.standing_policies())
        assert repair.place == place and desired.settle() == [] and host.gateway.held == held, count
    desired.drop(("trap", "t", "lan"))
    desired.settle()
    hold(desired)
    host.gateway.held[place] = held[place]._replace(templates=(), action="allow")
    assert len(desired.settle()) == 1, "it is nobody's of ours since"


def test_a_place_that_is_refused_keeps_no_other_one_of_its_child_open(desired, host):
    hold(desired, remote=("10.2.0.0/24", "10.3.0.0/24"))
    held = {place: desired.standing(place).policy for place in desired.places()}
    (place, lost, *rest) = held
    taken = held[place]._replace(templates=(), action="allow")
    host.gateway.held |= {each: held[each] for each in rest} | {place: taken}
    desired.trust()  # of a manager before this one, which has laid the rest
    desired.audit(host.gateway.standing_policies())
    (refusal,) = desired.settle()
    assert refusal.places == (place,)
    assert host.gateway.held == held | {place: taken}


def test_ways_are_shut_with_the_last_claim_that_uses_them(desired, host):
    hold(desired)
    live(desired, 7, spi=7)
    host.open_way(spec())
    desired.settle()
    desired.drop(("child", 7))
    desired.settle()
    assert host.ways
    desired.claim(("trap", "t", "lan"), (HOLDS, 1), replace(spec(), remote_selectors=(parse_selector("10.9.0.0/24"),)))
    desired.settle()
    assert host.ways == []
