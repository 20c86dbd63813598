# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Setting a tunnel up: the two first exchanges, and everything that can stand in their way."""

from __future__ import annotations

import json
from dataclasses import fields, replace

import pytest
from engine.crypto.auth import PresharedKey
from engine.crypto.proposals import esp_proposals, ike_proposals
from engine.crypto.registry import Kind, by_name
from engine.identity import Identity
from engine.ike.action_codec import freeze_actions, thaw_actions
from engine.ike.actions import Send
from engine.ike.context import Context
from engine.ike.settings import Settings
from engine.ike.v2 import lifecycle
from engine.ike.v2.sa import BaseSa, Handshake, OpeningSa, State
from engine.secret import Secret
from engine.selector import parse_selector

from .forge import ike_sa
from .world import EAST, WEST, World, child, east_connection, mirror, pair, straight, up


def test_a_tunnel_comes_up_in_two_exchanges() -> None:
    world = up()
    assert world.count == 4
    for host in (world.east, world.west):
        assert host.kinds().count("ike_established") == 1
        assert host.kinds().count("child_up") == 1
        assert host.kernel.policies.keys() == {1}
    assert not world.east.kernel.reserved and not world.west.kernel.reserved


@pytest.mark.parametrize(
    "ike, esp",
    [
        ("aes256gcm16-sha384-x25519", "aes256gcm16"),
        ("chacha20poly1305-sha512-ecp384", "chacha20poly1305"),
        ("aes128-sha256-ecp256", "aes128-sha256"),
        ("aes256-sha512-ecp521", "aes256-sha512"),
        ("aes256-sha384-modp2048", "aes128gcm16"),
    ],
)
def test_every_kind_of_algorithm(ike: str, esp: str) -> None:
    world = up(
        proposals=ike_proposals(ike, "p"),
        children=(replace(child(), proposals=esp_proposals(esp, "p")),),
    )
    sa = world.east.kernel.sending(1)
    assert sa.encryption.name == esp.split("-")[0]


@pytest.mark.skipif(by_name(Kind.KE, "mlkem768").lacking != "", reason="this cryptography has no ML-KEM")
@pytest.mark.parametrize(("first", "second"), [("mlkem768", "mlkem1024"), ("mlkem1024", "x25519")])
def test_a_key_encapsulation_serves_as_the_key_exchange_and_in_rekeys(first: str, second: str) -> None:
    world = up(
        proposals=ike_proposals(f"aes256gcm16-sha384-{first}", "p"),
        children=(replace(child(), proposals=esp_proposals(f"aes256gcm16-{second}", "p")),),
    )
    for host, names in ((world.east, ["lan"]), (world.west, ["lan"]), (world.east, None), (world.west, None)):
        before = world.east.kernel.sending(1), world.east.sas()
        host.do(host.engine.rekey("t", world.now, names))
        world.run(2.0)
        world.check()
        assert before != (world.east.kernel.sending(1), world.east.sas())
        assert [len(end.sas()) for end in (world.east, world.west)] == [1, 1]


def test_every_loss_of_one_datagram_is_survived() -> None:
    for lost in range(4):
        world = pair(lambda number, _d, lost=lost: [] if number == lost else [0.01])
        world.east.start()
        world.run(20.0)
        world.check()
        assert world.east.kinds().count("child_up") == 1, lost


def test_duplicated_and_reordered_datagrams_change_nothing() -> None:
    world = pair(lambda _n, _d: [0.05, 0.01, 0.3])
    world.east.start()
    world.run(5.0)
    world.check()
    assert len(world.east.sas()) == len(world.west.sas()) == 1


def test_a_wrong_secret_is_told_apart_at_both_ends() -> None:
    world = pair()
    other = mirror(east_connection(auth=PresharedKey(Secret(b"quite another secret"))))
    world.west.engine.define(other)
    world.east.start()
    world.run(60.0)
    assert world.east.reasons("ike_failed") == ["authentication_failed"]
    assert world.west.reasons("ike_failed") == ["peer_not_authenticated"]
    assert not world.east.kernel.reserved and not world.east.kernel.inbound and not world.west.kernel.inbound
    assert not list(world.east.engine.sas()) and not list(world.west.engine.sas())


def test_the_initiator_checks_the_responder_too() -> None:
    world = pair()
    connection = mirror(east_connection())
    world.west.engine.define(replace(connection, local_id=Identity.parse("mallory.example")))
    world.east.engine.define(east_connection(remote_id=None))
    world.east.start()
    world.run(1.0)
    assert world.east.kinds().count("ike_established") == 1
    world = pair()
    world.east.engine.define(east_connection(remote_id=Identity.parse("somebody.example")))
    world.east.start()
    world.run(60.0)
    assert world.east.reasons("ike_failed") == ["authentication_failed"]
    assert world.west.reasons("ike_failed") == ["no_matching_tunnel"]


def test_an_old_secret_is_accepted_while_it_rotates() -> None:
    old, new = Secret(b"the old one, long enough"), Secret(b"the new one, long enough")
    world = World()
    world.east.engine.define(east_connection(auth=PresharedKey(old)))
    world.west.engine.define(mirror(east_connection(auth=PresharedKey(new, (old,)))))
    world.east.start()
    world.run(1.0)
    world.check()


def test_no_proposal_in_common_is_named() -> None:
    world = pair()
    world.west.engine.define(mirror(east_connection(proposals=ike_proposals("aes128-sha256-modp2048", "p"))))
    world.east.start()
    world.run(1.0)
    assert world.east.reasons("setback") == ["no_proposal_chosen"]
    world.run(100.0)
    assert world.east.reasons("ike_failed") == ["no_proposal_chosen"]
    assert "encryption" in world.west.reports[0].data["story"]
    assert world.west.reports[0].tunnel == "t", "whoever began, it stands at the tunnel"
    (setback,) = [report for report in world.east.reports if report.kind == "setback"]
    assert setback.data["story"].endswith(
        "; offered was aes256gcm16-chacha20poly1305-prfsha384-prfsha512-x25519-ecp384"
    ), "the peer does not say what it has"


def test_what_is_refused_names_the_tunnels_that_the_peer_may_mean() -> None:
    world = pair()
    for name in ("a", "b"):
        other = mirror(east_connection(proposals=ike_proposals("aes128-sha256-modp2048", "p"), name=name))
        world.west.engine.define(replace(other, remote_id=Identity.parse(f"{name}.example")))
    world.west.engine.undefine("t")
    world.east.start()
    world.run(0.1)
    assert {(report.tunnel, *report.data["may_be"]) for report in world.west.reports} == {("", "a", "b")}
    for name in "cdefgh":
        world.west.engine.define(replace(other, name=name))
    world.run(1.0)
    assert world.west.reports[-1].tunnel == "" and "may_be" not in world.west.reports[-1].data, (
        "of so many nobody reads"
    )


def test_of_two_tunnels_between_the_same_addresses_the_right_one_is_named() -> None:
    world = pair()
    other = mirror(east_connection(auth=PresharedKey(Secret(b"quite another secret"))))
    world.west.engine.define(replace(other, name="first", remote_id=Identity.parse("first.example")))
    world.west.engine.undefine("t")
    world.west.engine.define(replace(other, name="second"))
    world.east.start()
    world.run(1.0)
    (failed,) = [report for report in world.west.reports if report.kind == "ike_failed"]
    assert failed.tunnel == "second" and failed.data["reason"] == "peer_not_authenticated"
    world.west.engine.undefine("second")
    world.east.start()
    world.run(1.0)
    failed = world.west.reports[-1]
    assert failed.tunnel == "first" and failed.data["reason"] == "no_matching_tunnel", "the only one it may mean"


def test_a_forged_refusal_does_not_stop_a_good_answer() -> None:
    world = pair()
    world.east.start()
    (_unused, _unused, datagram, path) = world.wire[0]
    forged = _init_error(datagram, 14)
    world.east.do(world.east.engine.receive(forged, path._replace(local_address=EAST, remote_address=WEST), world.now))
    world.run(1.0)
    world.check()


def _init_error(request: bytes, notify: int) -> bytes:
    body = bytes([0, 0, 0, 8, 0, 0]) + notify.to_bytes(2, "big")
    return request[:16] + bytes([41, 0x20, 34, 0x20, 0, 0, 0, 0]) + (36).to_bytes(4, "big") + body


def test_another_group_is_taken_when_the_peer_insists() -> None:
    world = World()
    world.east.engine.define(east_connection(proposals=ike_proposals("aes256gcm16-sha384-x25519-ecp384", "p")))
    world.west.engine.define(mirror(east_connection(proposals=ike_proposals("aes256gcm16-sha384-ecp384", "p"))))
    world.east.start()
    world.run(1.0)
    world.check()
    assert "ecp384" in world.east.sas()[0].algorithms


def test_a_group_that_was_not_offered_is_refused() -> None:
    world = pair()
    world.east.start()
    (_unused, _unused, datagram, path) = world.wire[0]
    world.wire.clear()
    body = bytes([0, 0, 0, 10, 0, 0]) + (17).to_bytes(2, "big") + (5).to_bytes(2, "big")
    forged = datagram[:16] + bytes([41, 0x20, 34, 0x20, 0, 0, 0, 0]) + (38).to_bytes(4, "big") + body
    world.east.do(world.east.engine.receive(forged, path._replace(local_address=EAST, remote_address=WEST), world.now))
    assert world.east.reasons("setback") == ["invalid_key_exchange"]
    world.run(3.0)
    world.check()


def test_cookies_are_asked_for_and_returned_under_load() -> None:
    world = pair(settings=Settings(cookie_threshold=0))
    world.east.start()
    world.run(1.0)
    world.check()
    assert world.count == 6


def test_silence_ends_with_no_answer() -> None:
    world = pair(lambda _n, _d: [])
    world.east.start()
    world.run(120.0)
    assert world.east.reasons("ike_failed") == ["no_answer"]
    assert not list(world.east.engine.sas()) and not world.east.kernel.reserved


def test_an_unknown_peer_is_refused() -> None:
    world = World()
    world.east.engine.define(east_connection())
    world.east.start()
    world.run(100.0)
    assert world.west.reasons("rejected")[0] == "no_matching_tunnel"
    assert world.east.reasons("ike_failed") == ["no_proposal_chosen"]


def test_selectors_are_narrowed() -> None:
    world = pair()
    wide = replace(child(), local=(parse_selector("10.0.0.0/8"),))
    world.east.engine.define(east_connection(children=(wide,)))
    world.east.start()
    world.run(1.0)
    world.check()
    sa = world.east.kernel.sending(1)
    assert [str(s) for s in sa.local_selectors] == ["10.1.0.0/16"]
    # What is left of it ranks by what is defined; the peer's own was not narrowed.
    assert sa.defined == (wide.local, wide.remote) and world.west.kernel.sending(1).defined is None


def test_selectors_that_do_not_meet_leave_the_ike_sa_standing() -> None:
    world = pair()
    other = replace(child(), local=(parse_selector("10.77.0.0/16"),))
    world.east.engine.define(east_connection(children=(other,)))
    world.east.start()
    world.run(1.0)
    assert world.east.reasons("child_failed") == ["selectors_refused"]
    assert len(world.east.sas()) == 1 and not world.east.kernel.reserved
    assert "10.77.0.0/16" in [r for r in world.west.reports if r.kind == "child_failed"][0].data["story"]
    story = [r for r in world.east.reports if r.kind == "child_failed"][0].data["story"]
    assert story.endswith("; asked for was 10.77.0.0/16 === 10.2.0.0/16 (tunnel mode)")


def test_a_refused_child_names_what_was_offered() -> None:
    world = pair()
    other = replace(child(), proposals=esp_proposals("aes128gcm16", "p"))
    world.east.engine.define(east_connection(children=(other,)))
    world.east.start()
    world.run(1.0)
    story = [r for r in world.east.reports if r.kind == "child_failed"][0].data["story"]
    assert "with NO_PROPOSAL_CHOSEN; offered was aes128gcm16" in story


def test_several_children_come_up_one_after_another() -> None:
    second = replace(
        child("voice", 2),
        local=(parse_selector("10.1.0.0/16[udp/5060]"),),
        remote=(parse_selector("10.2.0.0/16[udp]"),),
    )
    world = up(children=(child(), second))
    world.check(2)
    assert world.east.kinds().count("child_up") == 2


def test_transport_mode() -> None:
    one = replace(
        child(mode="transport"), local=(parse_selector(f"{EAST}/32"),), remote=(parse_selector(f"{WEST}/32"),)
    )
    world = up(children=(one,))
    assert world.east.kernel.sending(1).mode == "transport"


def test_modes_that_differ_are_refused() -> None:
    world = pair()
    world.east.engine.define(east_connection(children=(child(mode="transport"),)))
    world.east.start()
    world.run(1.0)
    assert world.east.reasons("child_failed") == ["selectors_refused"]
    (told,) = [r for r in world.west.reports if r.kind == "child_failed"]
    assert told.data["reason"] == "mode_refused" and "transport" in told.data["story"]


def test_a_nat_moves_everything_to_the_encapsulating_port() -> None:
    world = World()
    public = "198.51.100.7"
    world.east.engine.define(east_connection())
    west = mirror(east_connection())
    world.west.engine.define(replace(west, remote_address=None))

    def translate(path: object) -> object:
        if path.remote_address == EAST:
            return path._replace(remote_address=public, remote_port=path.remote_port + 20000)
        if path.local_address == public:
            return path._replace(local_address=EAST, local_port=path.local_port - 20000)
        return path

    world.translate = translate
    world.host = lambda address: world.west if address == WEST else world.east
    world.east.start()
    world.run(1.0)
    world.check()
    assert world.east.kernel.sending(1).encapsulation == (4500, 4500)
    assert world.west.kernel.sending(1).encapsulation == (4500, 24500)
    assert world.west.sas()[0].path.natt


def test_forced_encapsulation() -> None:
    world = up(encapsulation="force")
    assert world.east.kernel.sending(1).encapsulation == (4500, 4500)
    assert world.west.kernel.sending(1).encapsulation == (4500, 4500)


def test_ipv6() -> None:
    world = World()
    east6, west6 = "2001:db8::1", "2001:db8::2"
    connection = east_connection(local_address=east6, remote_address=west6)
    world.host = lambda address: world.east if address == east6 else world.west
    world.east.engine.define(connection)
    world.west.engine.define(mirror(connection))
    world.east.start()
    world.run(1.0)
    world.check()


@pytest.mark.parametrize("delay", [0.0, 0.004, 0.012, 0.025, 0.05])
def test_both_ends_starting_at_once_end_with_one_ike_sa(delay: float) -> None:
    world = pair(straight)
    world.east.start()
    world.run(delay)
    world.west.start()
    world.run(30.0)
    world.check()
    assert len(world.east.sas()) == len(world.west.sas()) == 1
    assert len(world.east.kernel.inbound) == len(world.west.kernel.inbound) == 1


def test_a_restarted_peer_replaces_what_is_left() -> None:
    world = up()
    from .world import Host

    world.east = Host(world, EAST, 7, Settings())
    world.east.engine.define(east_connection())
    world.east.start()
    world.run(1.0)
    world.check()
    assert len(world.west.sas()) == 1 and len(world.west.kernel.inbound) == 1


def test_who_alone_starts_answers_nobody() -> None:
    world = World()
    world.east.engine.define(east_connection(answers=False))
    world.west.engine.define(mirror(east_connection()))
    world.west.start()
    world.run(2.0)
    assert world.west.reasons("setback") == ["no_proposal_chosen"] and not world.east.sas()
    world.west.stop()
    world.east.start()
    world.run(2.0)
    world.check()


def test_a_thousand_tunnels_behind_one_address_are_told_apart_by_identity() -> None:
    world = World()
    west = mirror(east_connection())
    for number in range(1000):
        spoke = replace(west, name=f"t{number}", remote_id=Identity.parse(f"EAST{number}.example"), remote_address=None)
        world.west.engine.define(replace(spoke, auth=PresharedKey(Secret(b"secret number %d of many" % number))))
    mine = PresharedKey(Secret(b"secret number 700 of many"))
    world.east.engine.define(east_connection(local_id=Identity.parse("east700.example"), auth=mine))
    world.east.start()
    world.run(1.0)
    assert [sa.tunnel for sa in world.west.sas()] == ["t700"]
    world.west.engine.undefine("t700")
    assert not [c for c in world.west.engine.connections if c.name == "t700"]


def test_what_an_ike_sa_had_before_it_was_established_it_has_afterwards() -> None:
    """Whatever both have in common, so that a new field is not forgotten."""
    world = up()
    east = ike_sa(world.east)
    own = {"state", "opening", "last_heard", "expires_at", "request"}  # of an established one, or nothing's by then
    before = OpeningSa(
        east.number, east.connection, True, State.AUTH_SENT, east.path, east.spi_i, east.spi_r, 1.0, Handshake()
    )
    before.protection = east.protection
    names = [each.name for each in fields(BaseSa) if each.name not in own]
    for name in names:
        if getattr(before, name) in (0, -1, None, (), b"", False):
            setattr(before, name, (name,))
    before.replaces = None
    world.east.engine.registry.replace(east, before)
    context = Context(world.east.engine, world.now)
    after = lifecycle.establish(context, before, east.local_id, east.remote_id)
    assert {name: getattr(after, name) for name in names} == {name: getattr(before, name) for name in names}
    assert before.gone and before.became is after and world.east.engine.registry.by_spi[after.local_spi] is after


def test_everything_is_sent_with_the_dscp_of_its_tunnel() -> None:
    world = pair(dscp=46)
    sent: list[Send] = []
    for host in (world.east, world.west):
        perform = host.do

        def do(actions: list[object], perform: object = perform) -> None:
            sent.extend(action for action in actions if isinstance(action, Send))
            perform(actions)

        host.do = do
    world.east.start()
    world.run(1.0)
    world.east.do(world.east.engine.rekey("t", world.now))
    world.west.do(world.west.engine.rekey("t", world.now, ["lan"]))
    world.run(5.0)
    world.east.stop()
    world.run(1.0)
    assert len(sent) > 10 and {action.dscp for action in sent} == {46}
    kept = json.loads(json.dumps(freeze_actions(sent[:1])))
    assert thaw_actions(kept, lambda _number: None) == sent[:1]
    plain = Send(b"x", sent[0].path)
    assert freeze_actions([plain]) == [["Send", "78", list(plain.path)]], "as journals have always had it"
