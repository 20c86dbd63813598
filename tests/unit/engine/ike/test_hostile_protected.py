# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a peer with keys may do wrong, and what others may replay or reflect: the table of states holds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from engine.crypto.auth import PresharedKey
from engine.crypto.negotiation import offer_esp, offer_ike
from engine.crypto.proposals import esp_proposals, ike_proposals
from engine.identity import Identity
from engine.ike.actions import (
    Acquire,
    Expire,
    InstallFailed,
    InstallInbound,
    InstallOutbound,
    PointPolicies,
    RemoveSas,
    Send,
)
from engine.ike.v2.sa import IkeSa
from engine.secret import Secret
from engine.selector import parse_selector
from engine.wire.header import INITIATOR, RESPONSE
from engine.wire.v2.delete import Delete
from engine.wire.v2.ke import KE
from engine.wire.v2.nonce import Nonce
from engine.wire.v2.notify import Notify
from engine.wire.v2.numbers import NotifyType
from engine.wire.v2.sa import SA, Proposal, Transform
from engine.wire.v2.ts import TSi, TSr

from . import world as worlds
from .forge import (
    AUTH,
    CREATE,
    ENTROPY,
    INFORMATIONAL,
    TO_EAST,
    TO_WEST,
    Raw,
    hand,
    ike_sa,
    opened,
    sealed,
    sends,
    with_header,
)
from .world import CLASSIC, EAST, WEST, World, east_connection, mirror

N = NotifyType
ESP = esp_proposals("aes256gcm16", "p")
TS = (TSi((parse_selector("10.1.0.0/16"),)), TSr((parse_selector("10.2.0.0/16"),)))


def child(*names: Any, **more: Any) -> Any:
    """As of the world, but without a key exchange of its own."""
    return replace(worlds.child(*names, **more), proposals=ESP)


def voice(start: str) -> Any:
    """A second child."""
    selectors = {"local": (parse_selector("10.3.0.0/16"),), "remote": (parse_selector("10.4.0.0/16"),)}
    return replace(child("voice", 2, start=start), **selectors)


def pair(**more: Any) -> World:
    return worlds.pair(**({"children": (child(),)} | more))


def up(**more: Any) -> World:
    return worlds.up(**({"children": (child(),)} | more))


def new_child(spi: bytes = b"\0\0\2\1") -> list[Any]:
    return [SA(offer_esp(ESP, spi, with_ke=False)), Nonce(ENTROPY.octets(32)), *TS]


def ask(world: World, exchange: int, payloads: list[Any], **more: Any) -> Any:
    """Have east ask west with its own next Message ID; the payloads of west's answer, None without one."""
    sa = ike_sa(world.east)
    octets = sealed(sa, exchange, sa.next_id, payloads, **more)
    answers = sends(hand(world, world.west, octets))
    if not answers:
        return None
    sa.next_id += 1
    assert sends(hand(world, world.west, octets)) == answers[:1]  # a retransmission gets the same again
    return opened(sa, answers[0])


def types(payloads: Any) -> list[int]:
    return [notify.type for notify in payloads.all(Notify)]


def half_open() -> tuple[World, IkeSa]:
    """East's IKE_AUTH is on the wire, west waits for it."""
    world = pair()
    world.east.start()
    world.run(0.025)
    world.wire.clear()
    return world, ike_sa(world.east, "auth_sent")


# 11., 14. Before authentication only IKE_AUTH is served


@pytest.mark.parametrize(
    ("exchange", "payloads"),
    [
        (INFORMATIONAL, []),
        (INFORMATIONAL, [Delete(1, ())]),
        (INFORMATIONAL, [Delete(3, (b"\1\2\3\4",))]),
        (INFORMATIONAL, [Notify(N.AUTHENTICATION_FAILED)]),
        (CREATE, new_child()),
        (CREATE, [Notify(N.REKEY_SA, b"", 3, b"\1\2\3\4"), *new_child()]),
        (CREATE, [SA(offer_ike(ike_proposals(CLASSIC), b"\1" * 8)), Nonce(bytes(32)), KE(31, bytes(32))]),
        (99, []),
    ],
)
def test_nothing_else_is_served_before_authentication(exchange: int, payloads: list[Any]) -> None:
    world, sa = half_open()
    assert not sends(hand(world, world.west, sealed(sa, exchange, 1, payloads)))
    assert ike_sa(world.west, "init_answered").expected_id == 1
    world.run(30.0)  # the genuine IKE_AUTH is repeated and served
    world.check()


def test_requests_to_an_initiator_that_is_not_authenticated_are_dropped() -> None:
    world, _unused = half_open()
    west = ike_sa(world.west, "init_answered")
    for exchange, payloads in ((INFORMATIONAL, []), (INFORMATIONAL, [Delete(1, ())]), (CREATE, new_child())):
        assert not sends(hand(world, world.east, sealed(west, exchange, 0, payloads)))
    broken = sealed(west, INFORMATIONAL, 0, [], chain=(33, b"\0"))
    assert not sends(hand(world, world.east, broken))
    world.run(30.0)
    world.check()


def test_a_malformed_authentication_is_refused_once_and_for_all() -> None:
    world, sa = half_open()
    octets = sealed(sa, AUTH, 1, [], chain=(35, b"\0\0\0\1"))
    (answer,) = sends(hand(world, world.west, octets))
    assert types(opened(sa, answer)) == [N.INVALID_SYNTAX]
    refused = ike_sa(world.west, "refused")
    assert sends(hand(world, world.west, octets)) == [answer]
    # Nothing else is answered in this state, whatever it is, and it ends quietly.
    for exchange, message_id in ((AUTH, 1), (AUTH, 2), (INFORMATIONAL, 2), (CREATE, 2)):
        assert not sends(hand(world, world.west, sealed(sa, exchange, message_id, [Delete(1, ())])))
    assert not sends(hand(world, world.west, sealed(sa, AUTH, 2, [], chain=(35, b"\0"))))
    assert refused.state.value == "refused" and world.west.kinds().count("ike_failed") == 1
    world.east.stop()
    world.run(60.0)
    assert not list(world.west.engine.sas()) and not world.west.engine.half_open.total


def test_eap_is_refused_as_what_it_is() -> None:
    world, sa = half_open()
    from engine.wire.v2.ident import IDi

    (answer,) = sends(hand(world, world.west, sealed(sa, AUTH, 1, [IDi(Identity.parse("east.example"))])))
    assert types(opened(sa, answer)) == [N.AUTHENTICATION_FAILED]
    assert "EAP" in world.west.reports[-1].data["story"]


# 19. AUTH over the wrong octets


def east_wants(world: World, **more: Any) -> None:
    world.east.engine.define(east_connection(**more))


def test_the_secret_of_another_peer() -> None:
    world = pair()
    other = mirror(east_connection(name="u", remote_id=Identity.parse("west.example")))
    other = replace(
        other, remote_id=Identity.parse("other.example"), auth=PresharedKey(Secret(b"the secret of the other"))
    )
    world.west.engine.define(replace(other, name="u"))
    east_wants(world, auth=PresharedKey(Secret(b"the secret of the other")))
    world.east.start()
    world.run(60.0)
    assert world.east.reasons("ike_failed") == ["authentication_failed"]
    assert not world.west.sas()


def test_another_identity_of_the_responder_is_not_taken_for_the_one_meant() -> None:
    world = pair()
    other = replace(mirror(east_connection()), name="u", local_id=Identity.parse("other.example"))
    world.west.engine.undefine("t")
    world.west.engine.define(other)
    world.east.start()
    world.run(60.0)
    assert world.east.reasons("ike_failed") == ["authentication_failed"]


def test_what_we_sent_ourselves_is_not_taken_back() -> None:
    world = pair()
    sent: list[bytes] = []
    plain = world.send
    world.send = lambda action: (sent.append(action.datagram), plain(action))[1]
    world.east.start()
    world.run(0.025)
    for octets in sent:
        for flags in (0, INITIATOR, RESPONSE, INITIATOR | RESPONSE):
            for host, path in ((world.east, TO_EAST), (world.west, TO_WEST)):
                if octets[19] != flags:
                    hand(world, host, with_header(octets, flags=flags), path)
    world.run(5.0)
    world.check()
    assert len(world.east.sas()) == len(world.west.sas()) == 1


def test_a_responder_that_cannot_prove_itself_is_told_and_forgets() -> None:
    world = pair()
    world.west.engine.define(
        mirror(
            east_connection(auth=PresharedKey(Secret(b"another one entirely"), (Secret(b"a secret of some length"),)))
        )
    )
    west = world.west.engine

    world.east.start()
    plain = world.send

    def swap(action: Send) -> None:
        if action.path.local_address == WEST and action.datagram[18] == AUTH:
            sa = next(iter(west.registry.by_spi.values()))
            from engine.wire.v2.auth import AUTH as Proof
            from engine.wire.v2.ident import IDr

            forged = sealed(sa, AUTH, 1, [IDr(Identity.parse("west.example")), Proof(2, bytes(48))], response=True)
            action = Send(forged, action.path)
        plain(action)

    world.send = swap
    world.run(1.0)
    assert world.east.reasons("ike_failed") == ["peer_not_authenticated"]
    assert world.west.reasons("ike_down") == ["authentication_failed"]
    assert not list(world.east.engine.sas()) and not list(world.west.engine.sas())
    assert not world.west.kernel.inbound and not world.east.kernel.reserved


def test_an_answer_without_proof_ends_the_attempt_and_the_peer_is_told() -> None:
    from engine.wire.v2.ident import IDr

    for payloads in ([], [IDr(Identity.parse("west.example"))]):
        world, _unused = half_open()
        west = ike_sa(world.west, "init_answered")
        actions = hand(world, world.east, sealed(west, AUTH, 1, payloads, response=True))
        assert world.east.reasons("ike_failed") == ["protocol_error"]
        assert opened(west, sends(actions)[0]).one(Delete) is not None
        assert not world.east.kernel.reserved


def test_agreed_algorithms_must_suit_the_tunnel_that_the_peer_turns_out_to_belong_to() -> None:
    world = World()
    weak = ike_proposals("aes128-sha256-modp2048", "p")
    east = east_connection(proposals=weak)
    world.east.engine.define(east)
    strict = replace(mirror(east), proposals=ike_proposals("aes256gcm16-sha384-x25519", "p"))
    lax = replace(mirror(east), name="lax", remote_id=Identity.parse("somebody.example"))
    world.west.engine.define(lax)
    world.west.engine.define(strict)
    world.east.start()
    world.run(60.0)
    assert world.east.reasons("ike_failed") == ["authentication_failed"]
    assert "t:" in next(r for r in world.west.reports if r.kind == "ike_failed").data["story"]


# 17. A retransmission after the secret is gone


def test_a_definition_that_goes_while_it_is_used_does_no_harm() -> None:
    world, sa = half_open()
    request = sa.request.datagrams[0]
    world.west.engine.undefine("t")
    (answer,) = sends(hand(world, world.west, request))
    assert types(opened(sa, answer)) == [N.AUTHENTICATION_FAILED]
    assert sends(hand(world, world.west, request)) == [answer]


# 16. Deletes


def test_deletes_of_everything_at_once() -> None:
    world = up()
    spi = world.west.kernel.sending(1).spi_out.to_bytes(4, "big")
    answer = ask_once(world, [Delete(3, (spi,)), Delete(1, ()), Notify(N.REKEY_SA, b"", 3, spi)])
    assert len(answer) == 0
    assert not list(world.west.engine.sas()) and not world.west.kernel.inbound
    sa = ike_sa(world.east)
    for exchange, payloads in ((INFORMATIONAL, [Delete(1, ())]), (INFORMATIONAL, []), (CREATE, new_child())):
        assert not hand(world, world.west, sealed(sa, exchange, sa.next_id + 1, payloads))


def ask_once(world: World, payloads: list[Any]) -> Any:
    sa = ike_sa(world.east)
    (answer,) = sends(hand(world, world.west, sealed(sa, INFORMATIONAL, sa.next_id, payloads)))
    return opened(sa, answer)


@pytest.mark.parametrize(
    "delete",
    [
        Delete(3, (b"\1\1\1\1",) * 500),
        Delete(2, (b"\1\1\1\1",)),
        Raw(42, b"\3\4\0\0"),
    ],
)
def test_deletes_of_what_is_not_there(delete: Any) -> None:
    world = up()
    answer = ask(world, INFORMATIONAL, [delete])
    assert answer is None or not answer.all(Delete)
    if list(world.west.engine.sas()):
        world.check()


def test_deletes_of_what_is_not_there_are_not_piled_up_while_a_request_is_out(calls: Any) -> None:
    world = up()
    world.fate = lambda _number, _datagram: []
    world.east.do(world.east.engine.rekey("t", world.now, ["lan"]))
    east, west = ike_sa(world.east), ike_sa(world.west)

    def close(first: int) -> int:
        spis = tuple((first + number).to_bytes(4, "big") for number in range(1000))
        datagram = sealed(west, INFORMATIONAL, east.expected_id, [Delete(3, spis), Delete(3, spis[:20])])
        return calls(hand, world, world.east, datagram, TO_EAST)

    costs = [close(first) for first in range(5_000_000, 5_020_000, 1000)]
    assert east.request.task.closed == tuple(number.to_bytes(4, "big") for number in range(5_019_744, 5_020_000))
    assert max(costs) < costs[0] + 1000


@pytest.mark.parametrize(
    "body",
    [
        b"\0\4\0\1\1\1\1\1",
        b"\1\4\0\1\1\1\1\1",
        b"\4\4\0\1\1\1\1\1",
        b"\3\0\0\1",
        b"\3\4\0\2\1\1\1\1",
        b"\3\5\0\1\1\1\1\1\1",
    ],
)
def test_malformed_deletes_end_the_ike_sa_at_both_ends(body: bytes) -> None:
    world = up()
    answer = ask_once(world, [Raw(42, body)])
    assert types(answer) == [N.INVALID_SYNTAX]
    assert world.west.reasons("ike_down") == ["protocol_error"]
    assert not list(world.west.engine.sas()) and not world.west.kernel.inbound


# 2. Malformed and unknown payloads inside


def test_an_unknown_critical_payload_is_answered_and_the_ike_sa_stands() -> None:
    world = up()
    answer = ask(world, INFORMATIONAL, [Raw(200, b"x", critical=True)])
    assert types(answer) == [N.UNSUPPORTED_CRITICAL_PAYLOAD] and answer.one(Notify).data == b"\xc8"
    assert len(ask(world, INFORMATIONAL, [Raw(200, b"x")])) == 0
    world.east.start(children=["lan"])
    world.run(1.0)
    world.check()


@pytest.mark.parametrize(
    "payloads",
    [
        [SA(offer_esp(ESP, b"\0\0\2\1", with_ke=False)), *TS],
        [Nonce(bytes(32)), *TS],
        [*new_child(), Nonce(bytes(32))],
        [*new_child()[:2], TS[0]],
        [Raw(33, b"\0\0\0")],
    ],
)
def test_a_malformed_request_is_answered_and_ends_the_ike_sa(payloads: list[Any]) -> None:
    world = up()
    sa = ike_sa(world.east)
    (answer, *_rest) = sends(hand(world, world.west, sealed(sa, CREATE, sa.next_id, payloads)))
    assert types(opened(sa, answer)) == [N.INVALID_SYNTAX]
    assert not list(world.west.engine.sas()) and not world.west.kernel.inbound
    assert world.west.kernel.policies == {1: 0}  # nothing leaves in clear


def test_a_peer_that_finds_us_malformed_has_ended_the_ike_sa() -> None:
    world = up()
    world.east.do(world.east.engine.rekey("t", world.now, ["lan"]))
    world.wire.clear()
    west, request = ike_sa(world.west), ike_sa(world.east).request
    hand(world, world.east, sealed(west, CREATE, request.message_id, [Notify(N.INVALID_SYNTAX)], response=True))
    assert not list(world.east.engine.sas()) and world.east.reasons("ike_down") == ["protocol_error"]
    assert not world.east.kernel.reserved


@pytest.mark.parametrize("exchange", [AUTH, 34 + 20, 255])
def test_an_exchange_that_is_not_expected(exchange: int) -> None:
    world = up()
    sa = ike_sa(world.east)
    (answer,) = sends(hand(world, world.west, sealed(sa, exchange, sa.next_id, [])))
    assert types(opened(sa, answer)) == [N.INVALID_SYNTAX]


def test_unprotected_messages_of_an_established_ike_sa_are_dropped() -> None:
    from engine.wire.v2.message import encode_message

    world = up()
    sa = ike_sa(world.east)
    for exchange in (INFORMATIONAL, CREATE, AUTH):
        for payloads in ([], [Delete(1, ())], [Notify(N.INVALID_IKE_SPI)], new_child()):
            for flags in (INITIATOR, INITIATOR | RESPONSE):
                octets = encode_message(sa.spi_i, sa.spi_r, exchange, flags, sa.next_id, payloads)
                assert not sends(hand(world, world.west, octets))
    world.check()
    assert len(world.west.sas()) == 1


# 3. Proposals of children


@pytest.mark.parametrize(
    "proposals",
    [
        (),
        (Proposal(1, 3, b"\0\0\2\1", ()),),
        (Proposal(1, 3, b"\0\0\0\0", (Transform(1, 20, 256), Transform(5, 0))),),
        (Proposal(1, 3, b"\0\0\0\xff", (Transform(1, 20, 256), Transform(5, 0))),),
        (Proposal(1, 3, b"\0" * 8, (Transform(1, 20, 256), Transform(5, 0))),),
        (Proposal(1, 3, b"", (Transform(1, 20, 256), Transform(5, 0))),),
        (Proposal(1, 2, b"\0\0\2\1", (Transform(3, 12), Transform(5, 0))),),
        (Proposal(1, 1, b"\0\0\2\1", (Transform(1, 20, 256), Transform(5, 0))),),
        (Proposal(1, 3, b"\0\0\2\1", (Transform(1, 20), Transform(5, 0))),),
        (Proposal(1, 3, b"\0\0\2\1", (Transform(1, 21, 256), Transform(5, 0))),),
        (Proposal(1, 3, b"\0\0\2\1", (Transform(1, 20, 256), Transform(3, 12), Transform(5, 0))),),
    ],
)
def test_children_that_cannot_be_chosen(proposals: tuple[Proposal, ...]) -> None:
    world = up()
    sa = ike_sa(world.east)
    payloads = [SA(proposals), *new_child()[1:]]
    (answer, *_rest) = sends(hand(world, world.west, sealed(sa, CREATE, sa.next_id, payloads)))
    assert types(opened(sa, answer))[0] in (N.NO_PROPOSAL_CHOSEN, N.INVALID_SYNTAX)
    assert len(world.west.kernel.inbound) <= 1 and not world.west.kernel.reserved


@pytest.mark.parametrize(("protocol", "spi"), [(0, b""), (1, b"\1" * 8), (3, b"\1" * 8), (2, b"\1\1\1\1"), (3, b"")])
def test_rekeys_of_what_is_not_there(protocol: int, spi: bytes) -> None:
    world = up()
    body = bytes((protocol, len(spi))) + int(N.REKEY_SA).to_bytes(2, "big") + spi
    sa = ike_sa(world.east)
    octets = sealed(sa, CREATE, sa.next_id, [Raw(41, body), *new_child()])
    (answer, *_rest) = sends(hand(world, world.west, octets))
    assert types(opened(sa, answer))[0] in (N.CHILD_SA_NOT_FOUND, N.INVALID_SYNTAX)
    assert not world.west.kernel.reserved


def test_an_spi_that_is_in_use_already() -> None:
    """29. The kernel would take one SA for the other."""
    world = up()
    taken = world.west.kernel.sending(1).spi_out.to_bytes(4, "big")
    assert types(ask(world, CREATE, new_child(taken))) == [N.NO_PROPOSAL_CHOSEN]
    world.check()


# 23. Selectors


@pytest.mark.parametrize(
    "selectors",
    [
        ("192.168.0.0/16", "10.2.0.0/16"),
        ("10.1.0.0/16", "192.168.0.0/16"),
        ("2001:db8::/64", "2001:db8:1::/64"),
        ("10.1.0.0/16", "2001:db8:1::/64"),
    ],
)
def test_selectors_that_do_not_meet(selectors: tuple[str, str]) -> None:
    world = up()
    ts = [TSi((parse_selector(selectors[0]),)), TSr((parse_selector(selectors[1]),))]
    assert types(ask(world, CREATE, [*new_child()[:2], *ts])) == [N.TS_UNACCEPTABLE]
    assert len(world.west.kernel.inbound) == 1


def test_everything_is_narrowed_to_what_is_allowed() -> None:
    world = up()
    everything = parse_selector("0.0.0.0/0")
    answer = ask(world, CREATE, [*new_child()[:2], TSi((everything,)), TSr((everything,))])
    assert [str(s) for s in answer.one(TSi).selectors] == ["10.1.0.0/16"]
    assert [str(s) for s in answer.one(TSr).selectors] == ["10.2.0.0/16"]


@pytest.mark.parametrize("body", [b"\0\0\0\0", b"\1\0\0\0", b"\1\0\0\0\7\0\0\x10\0\0\xff\xff\n\1\0\5\n\1\0\4"])
def test_malformed_selectors(body: bytes) -> None:
    world = up()
    sa = ike_sa(world.east)
    (answer, *_rest) = sends(hand(world, world.west, sealed(sa, CREATE, sa.next_id, [*new_child()[:3], Raw(45, body)])))
    assert types(opened(sa, answer)) == [N.INVALID_SYNTAX]


def test_selectors_of_unknown_types_only() -> None:
    world = up()
    body = b"\1\0\0\0\x09\0\0\x08\1\2\3\4"
    assert types(ask(world, CREATE, [*new_child()[:3], Raw(45, body)])) == [N.TS_UNACCEPTABLE]


def test_two_hundred_and_fifty_five_selectors() -> None:
    world = up()
    many = TSi(tuple(parse_selector(f"10.1.{n}.0/24") for n in range(255)))
    assert types(ask(world, CREATE, [*new_child()[:2], many, TS[1]])) == [N.TS_UNACCEPTABLE]
    nested = TSi(tuple(parse_selector(f"10.1.{n}.0/24") for n in range(30)) + (parse_selector("10.1.0.0/16"),))
    answer = ask(world, CREATE, [*new_child()[:2], nested, TS[1]])
    assert [str(s) for s in answer.one(TSi).selectors] == ["10.1.0.0/16"]


@pytest.mark.parametrize("wide", ["0.0.0.0/0", "10.0.0.0/8", "10.1.0.0-10.2.0.1"])
def test_an_answer_that_widens_the_selectors_is_undone_at_the_peer(wide: str) -> None:
    world = pair(children=(child(start="manual"),))
    world.east.start(children=[])
    world.run(1.0)
    world.east.start(children=["lan"])
    world.wire.clear()
    west, sa = ike_sa(world.west), ike_sa(world.east)
    offered = sa.request
    payloads = [
        SA((replace(offer_esp(ESP[:1], b"\0\0\3\3", with_ke=False)[0], transforms=choice()),)),
        Nonce(bytes(32)),
        TSi((parse_selector(wide),)),
        TS[1],
    ]
    actions = hand(world, world.east, sealed(west, CREATE, offered.message_id, payloads, response=True))
    assert world.east.reasons("child_failed") == ["selectors_refused"]
    assert not world.east.kernel.inbound and not world.east.kernel.reserved
    (delete,) = opened(west, sends(actions)[0]).all(Delete)
    assert delete.spis == (offered.task.spi,)


def choice() -> tuple[Transform, ...]:
    """One transform of each type of the first proposal on offer."""
    transforms = offer_esp(ESP[:1], bytes(4), with_ke=False)[0].transforms
    return tuple({t.type: t for t in reversed(transforms)}.values())


def test_a_peer_that_wants_tunnel_mode_where_transport_was_asked_for_is_told() -> None:
    hosts = {"local": (parse_selector(f"{EAST}/32"),), "remote": (parse_selector(f"{WEST}/32"),)}
    world = pair(children=(replace(child(mode="transport", start="manual"), **hosts),))
    world.east.start(children=[])
    world.run(1.0)
    world.east.start(children=["lan"])
    world.wire.clear()
    west, offered = ike_sa(world.west), ike_sa(world.east).request
    payloads = [
        SA((replace(offer_esp(ESP[:1], b"\0\0\3\3", with_ke=False)[0], transforms=choice()),)),
        Nonce(bytes(32)),
        TSi(hosts["local"]),
        TSr(hosts["remote"]),
    ]
    actions = hand(world, world.east, sealed(west, CREATE, offered.message_id, payloads, response=True))
    assert world.east.reasons("child_failed") == ["mode_refused"]
    assert opened(west, sends(actions)[0]).one(Delete).spis == (offered.task.spi,)


# 21. Replay and Message IDs


def test_old_and_early_message_ids_are_dropped() -> None:
    world = up()
    sa, west = ike_sa(world.east), ike_sa(world.west)
    for message_id in (0, 1, sa.next_id + 1, sa.next_id + 2, 2**32 - 1):
        assert not sends(hand(world, world.west, sealed(sa, INFORMATIONAL, message_id, [])))
    assert west.expected_id == sa.next_id


def test_the_same_message_id_with_other_octets_gets_nothing() -> None:
    world = up()
    sa = ike_sa(world.east)
    first = sealed(sa, INFORMATIONAL, sa.next_id, [])
    (answer,) = sends(hand(world, world.west, first))
    assert not sends(hand(world, world.west, sealed(sa, INFORMATIONAL, sa.next_id, [Delete(1, ())])))
    assert len(world.west.sas()) == 1
    assert sends(hand(world, world.west, first)) == [answer]


def test_a_message_that_fails_its_check_changes_nothing_at_all() -> None:
    world = up()
    sa, west = ike_sa(world.east), ike_sa(world.west)
    genuine = sealed(sa, INFORMATIONAL, sa.next_id, [])
    before = (west.expected_id, west.last_heard, west.path, west.answered_digest, west.wake)
    world.now += 5.0
    for place in range(28, len(genuine)):
        forged = bytearray(genuine)
        forged[place] ^= 1
        hand(world, world.west, bytes(forged), TO_WEST._replace(remote_address="203.0.113.9", natt=True))
    assert (west.expected_id, west.last_heard, west.path, west.answered_digest, west.wake) == before
    assert len(sends(hand(world, world.west, genuine))) == 1


def test_an_answer_nobody_asked_for_is_dropped() -> None:
    world = up()
    west = ike_sa(world.west)
    for message_id in range(5):
        hand(world, world.east, sealed(west, INFORMATIONAL, message_id, [Delete(1, ())], response=True))
    assert len(world.east.sas()) == 1
    world.check()


def test_a_replayed_first_message_of_an_established_peer_disturbs_nothing() -> None:
    world = pair()
    world.east.start()
    recorded = world.wire[0][2]
    world.run(1.0)
    for _unused in range(100):
        hand(world, world.west, recorded)
    world.run(120.0)
    world.check()
    assert len(world.west.sas()) == 1 and not world.west.engine.half_open.total


# 22. Two rekeys of one SA from one peer


def test_a_second_rekey_of_the_same_child_is_put_off() -> None:
    world = up()
    current = world.west.kernel.sending(1).spi_out.to_bytes(4, "big")
    rekey = Notify(N.REKEY_SA, b"", 3, current)
    assert ask(world, CREATE, [rekey, *new_child(b"\0\0\2\1")]).one(SA) is not None
    assert types(ask(world, CREATE, [rekey, *new_child(b"\0\0\2\2")])) == [N.TEMPORARY_FAILURE]
    assert len(world.west.kernel.inbound) == 2


def test_a_second_rekey_of_the_same_ike_sa_is_put_off() -> None:
    world = up()
    offer = offer_ike(ike_proposals(CLASSIC), ENTROPY.octets(8))
    payloads = [SA(offer), Nonce(bytes(32)), KE(31, ENTROPY.key_exchange(31).public)]
    assert ask(world, CREATE, payloads).one(SA) is not None
    offer = offer_ike(ike_proposals(CLASSIC), ENTROPY.octets(8))
    payloads = [SA(offer), Nonce(bytes(32)), KE(31, ENTROPY.key_exchange(31).public)]
    assert types(ask(world, CREATE, payloads)) == [N.TEMPORARY_FAILURE]
    assert len(list(world.west.engine.sas())) == 2


@pytest.mark.parametrize("spi", [b"", bytes(8), b"\1" * 4, b"\1" * 9])
def test_a_new_ike_sa_needs_an_spi(spi: bytes) -> None:
    world = up()
    offer = tuple(replace(p, spi=spi) for p in offer_ike(ike_proposals(CLASSIC), b"\1" * 8))
    sa = ike_sa(world.east)
    payloads = [SA(offer), Nonce(bytes(32)), KE(31, ENTROPY.key_exchange(31).public)]
    (answer, *_rest) = sends(hand(world, world.west, sealed(sa, CREATE, sa.next_id, payloads)))
    assert types(opened(sa, answer))[0] in (N.NO_PROPOSAL_CHOSEN, N.INVALID_SYNTAX)
    assert len(list(world.west.engine.sas())) <= 1


def test_an_ike_rekey_answered_outside_of_the_offer_ends_it_and_says_so() -> None:
    world = up()
    world.east.do(world.east.engine.rekey("t", world.now))
    world.wire.clear()
    west, request = ike_sa(world.west), ike_sa(world.east).request
    weak = (Transform(1, 12, 128), Transform(2, 5), Transform(3, 12), Transform(4, 14))
    payloads = [SA((Proposal(1, 1, b"\1" * 8, weak),)), Nonce(bytes(32)), KE(14, b"\2" * 256)]
    actions = hand(world, world.east, sealed(west, CREATE, request.message_id, payloads, response=True))
    assert world.east.reasons("ike_down") == ["no_proposal_chosen"]
    assert opened(west, sends(actions)[0]).one(Delete) is not None


def test_a_busy_peer_is_asked_again_and_the_liveness_check_does_not_spin() -> None:
    world = pair(children=(child(), voice("manual")), dpd_delay=1.0)
    world.east.start()
    world.run(0.5)
    west = ike_sa(world.west)
    world.east.start(children=["voice"])
    world.wire.clear()
    request = ike_sa(world.east).request
    busy = [Notify(N.TEMPORARY_FAILURE)]
    hand(world, world.east, sealed(west, CREATE, request.message_id, busy, response=True))
    west.expected_id = request.message_id + 1
    count = world.count
    world.run(20.0)
    assert world.count - count < 120
    assert "voice" in [c.name for c in world.east.sas()[0].children]


# 31. The kernel refuses


@pytest.mark.parametrize("step", [InstallInbound, InstallOutbound])
@pytest.mark.parametrize("end", ["east", "west"])
def test_an_install_that_fails_at_each_step_leaves_nothing_at_either_end(step: type, end: str) -> None:
    world = pair()
    host = getattr(world, end)
    refuse(world, host, step)
    world.east.start()
    world.run(1.0)
    assert host.reasons("child_failed") == ["kernel_refused"]
    for side in (world.east, world.west):
        assert not side.kernel.inbound and not side.kernel.outbound and not side.kernel.reserved
        assert not side.engine.registry.by_child_spi and len(side.sas()) == 1


@pytest.mark.parametrize("step", [InstallInbound, InstallOutbound])
@pytest.mark.parametrize("end", ["east", "west"])
def test_a_rekey_that_the_kernel_refuses_ends_the_child_at_both_ends_and_says_so(step: type, end: str) -> None:
    world = up()
    host = getattr(world, end)
    refuse(world, host, step)
    world.east.do(world.east.engine.rekey("t", world.now, ["lan"]))
    world.run(2.0)
    assert "kernel_refused" in host.reasons("child_failed")
    for side in (world.east, world.west):
        assert not side.kernel.inbound and not side.kernel.outbound and not side.kernel.reserved
        assert side.kernel.policies == {1: 0}


def refuse(world: World, host: Any, step: type) -> None:
    """From now on the kernel of a host refuses one kind of step; what was done of the child before is rolled back."""
    perform = host.do

    def do(actions: list[Any]) -> None:
        failed = []
        for action in actions:
            number = action.child.number if isinstance(action, (InstallInbound, InstallOutbound, PointPolicies)) else 0
            if number in [f.child.number for f in failed]:
                continue
            if isinstance(action, step):
                failed.append(InstallFailed(action.child, "no"))
                host.kernel.reserved.discard(action.child.spi_in)
                host.kernel.inbound.pop(action.child.spi_in, None)
            else:
                perform([action])
        for failure in failed:
            do(host.engine.kernel_event(failure, world.now))

    host.do = do


def test_a_kernel_without_spis_fails_the_child_only() -> None:
    from engine.errors import KernelError

    world = up(children=(child(), voice("manual")))

    def none(*_unused: Any) -> int:
        raise KernelError("reserve an SPI", 105, "no buffer space")

    world.west.engine.spis = none
    world.east.start(children=["voice"])
    world.run(1.0)
    assert world.east.reasons("child_failed") == [] and len(world.east.sas()) == 1  # asked again in a while
    world.east.engine.spis = none
    world.east.stop(children=["voice"])
    world.run(1.0)
    world.east.start(children=["voice"])
    world.run(1.0)
    assert world.east.reasons("child_failed") == ["kernel_refused"]
    world.check()


def test_a_storm_of_acquires_asks_once() -> None:
    world = pair(children=(child(start="trap"), voice("trap")))
    for _unused in range(1000):
        for reqid in (1, 2):
            world.east.do(world.east.engine.kernel_event(Acquire(reqid), world.now))
    (sa,) = world.east.engine.registry.by_spi.values()
    assert len(world.east.engine.registry.by_spi) == 1 and len(sa.handshake.wanted) == 2
    world.run(0.025)
    for _unused in range(1000):
        world.east.do(world.east.engine.kernel_event(Acquire(2), world.now))
    assert len(sa.handshake.wanted) == 2
    world.run(1.0)
    world.check(1)
    world.check(2)
    world.east.stop(children=["voice"])
    world.run(1.0)
    for _unused in range(1000):
        world.east.do(world.east.engine.kernel_event(Acquire(2), world.now))
    assert len(sa.queue) == 0
    world.run(1.0)
    assert len(world.east.kernel.inbound) == 2


def test_events_of_sas_that_are_not_ours_are_ignored() -> None:
    world = up()
    sa = world.east.kernel.sending(1)
    for event in (
        Expire("203.0.113.1", 50, sa.spi_out, True),
        Expire(EAST, 50, 12345, True),
        Acquire(999),
        InstallFailed(replace(sa, number=999), "no"),
    ):
        world.east.do(world.east.engine.kernel_event(event, world.now))
    world.check()
    assert not any(isinstance(action, RemoveSas) for action in world.east.engine.tick(world.now))
