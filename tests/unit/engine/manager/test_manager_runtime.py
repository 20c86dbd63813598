# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The heart of the manager in one process with a clock of our own: failures, traps, acquires, keepalives."""

from __future__ import annotations

import pytest
from engine.definition.parsing import parse_definition
from engine.ike.actions import Path
from engine.ike.settings import Settings
from engine.kernel.events import AcquireEvent
from engine.manager.plan import Step, make_plan, stored_changes
from engine.manager.renames import renames
from engine.manager.runtime import KEEPALIVE_SECONDS, TOLD_BURST, Runtime
from engine.manager.store import Store
from engine.selector import parse_selector
from manager_lab import SECRET
from runtime_world import change, lan, outbound


def test_up_and_installed_in_order(world):
    world.define(world.right, "present")
    world.define(world.left)
    assert list(outbound(world.left).values()) == [0], "nothing leaves in clear before the tunnel is up"
    world.run(1)
    assert world.state(world.left) == world.state(world.right) == "active"
    calls = world.left.host.gateway.calls
    assert calls.index("install_inbound") < calls.index("install_outbound")
    assert len(world.left.host.gateway.sas) == 2 and list(outbound(world.left).values()) != [0]
    assert [way.child for way in world.left.host.ways] == ["lan"]


@pytest.mark.parametrize("verb", ["install_inbound", "install_outbound", "reserve"])
def test_what_the_kernel_refuses_is_undone_told_and_tried_again(world, verb):
    world.define(world.right, "present")
    world.left.host.gateway.refuse.add(verb)
    world.define(world.left)
    world.run(2)
    how = world.left.tunnels.condition("t")
    assert (how.state, how.reason) == ("degraded" if how.phase1 == "active" else "down", "kernel_refused")
    assert world.left.host.gateway.sas == {}, "nothing is left of the half that was installed"
    assert set(outbound(world.left).values()) == {0}, "and nothing leaves in clear"
    world.left.host.gateway.refuse.clear()
    world.run(20)
    assert world.state(world.left) == "active" and len(world.left.host.gateway.sas) == 2
    world.run(1)
    assert len(world.right.host.gateway.sas) == 2, "the peer dropped what did not come to be"


def test_traps_hold_the_place_while_the_peer_is_away(world):
    world.define(world.right, "present")
    world.define(world.left)
    world.run(1)
    world.right.end()
    world.wire.deliver()
    assert world.left.host.gateway.sas == {} and list(outbound(world.left).values()) == [0]
    assert world.right.host.gateway.policies == {}


def acquire(runtime: Runtime) -> None:
    """A packet wants the child."""
    (reqid,) = {reqid for reqid, _unused in runtime.host.gateway.policies.values()}
    packet = [parse_selector(text) for text in ("10.1.0.5", "10.2.0.7")]
    runtime.host.gateway.push(AcquireEvent(reqid, "10.0.0.1", "10.0.0.2", 50, *packet))
    runtime.kernel()


def test_a_trap_starts_with_a_packet(world):
    world.define(world.right, "present")
    world.define(world.left, "present", child={"start": "trap"})
    world.run(5)
    how = world.left.tunnels.condition("t")
    assert (how.state, how.reason, how.phase2) == ("dormant", "waiting_for_traffic", {"lan": "trapped"})
    acquire(world.left)
    world.run(1)
    assert world.state(world.left) == "active" and list(outbound(world.left).values()) != [0]


def test_an_acquire_storm_is_one_start_a_second(world):
    world.define(world.right, "present", auth={"secret": "quite another secret, but long"})
    world.define(world.left, "present", child={"start": "trap"})
    for _unused in range(50):
        acquire(world.left)
        world.wire.deliver()
    assert world.left.counts["ike_connecting"] == 1
    world.run(1)
    acquire(world.left)
    assert world.left.counts["ike_connecting"] == 2


def test_what_cannot_be_sent_is_told(world):
    world.wire.broken.add("10.0.0.2")
    world.define(world.left)
    world.run(1)
    assert "Network is unreachable" in world.left.tunnels.condition("t").story
    assert world.left.counts["unsent"] >= 1


def test_wanting_again_what_is_down_has_it_tried_at_once(world):
    world.wire.broken.add("10.0.0.2")
    world.define(world.left)
    world.run(300)
    tunnels = world.left.tunnels
    assert world.state(world.left) != "active" and tunnels.retry.due_at("t") is None
    world.run(80)  # its attempt has failed, and the next one is long off
    while tunnels.retry.due_at("t") is None:
        world.run(5)
    assert tunnels.retry.due_at("t") > world.now + 5
    world.wire.broken.clear()
    world.define(world.right, "present")
    asked = {"definitions": [{"name": "t"}], "state": "active", "owner": "", "purge": False}
    (step,) = make_plan(asked, tunnels.rows, lambda name: tunnels.condition(name).running()).steps
    assert step.action == "none"
    tunnels.carry_out(step, tunnels.rows["t"])
    world.run(1)
    assert world.state(world.left) == "active"


def test_an_address_that_this_host_does_not_have_is_told_and_stays_told(world):
    """The peer's silence, which comes later, is not the reason then."""
    world.define(world.left)

    def send(datagram: bytes, path: Path, dscp: int = 0) -> None:
        raise OSError(99, "that is no address of this host")

    world.wire.send = send
    world.run(1)
    for seconds in (0, 70, 130):
        world.run(seconds)
        how = world.left.tunnels.condition("t")
        assert how.reason == "no_local_address" and how.story.startswith("cannot send from 10.0.0.1 to 10.0.0.2: ")
        assert "ip address" in how.remedy


def test_what_is_up_goes_on_until_what_a_change_asks_for_is_there(world):
    world.define(world.right, "present")
    world.define(world.left)
    world.run(1)
    gateway = world.left.host.gateway
    gateway.calls.clear()
    before = dict(gateway.sas)
    assert change(world.left, encapsulation="force") == "re-establish"
    assert set(outbound(world.left).values()) <= {spi for _address, spi in before} and gateway.sas == before
    assert world.state(world.left) == "active"
    world.run(3)
    assert world.state(world.left) == "active" and len(gateway.sas) == 2 and not gateway.sas.keys() & before.keys()
    assert set(world.right.host.gateway.sas) == set(gateway.sas)
    assert not {"delete_policies"} & set(gateway.calls), "not for a moment could a packet leave in clear"
    assert gateway.calls.index("install_outbound") < gateway.calls.index("remove_sas"), "nor was one dropped"


@pytest.mark.parametrize(("before", "after"), [("auto", "manual"), ("manual", "trap")])
def test_changing_the_start_does_not_touch_policies_in_use(world, before, after):
    world.define(world.right, "present")
    world.define(world.left, child={"start": "auto"})
    world.run(1)
    change(world.left, children=lan(world.left, start=before))
    used = dict(outbound(world.left))
    assert change(world.left, children=lan(world.left, start=after)) == "hot"
    assert outbound(world.left) == used and list(used.values()) != [0]
    world.right.end()
    world.wire.deliver()
    assert list(outbound(world.left).values()) == ([0] if after == "trap" else [])


def test_a_renamed_child_takes_the_place_over(world):
    world.define(world.right, "present")
    world.define(world.left)
    world.run(1)
    ((reqid, before),) = world.left.host.gateway.policies.values()
    change(world.left, children=lan(world.left, name="wan"))
    ((old, spi),) = world.left.host.gateway.policies.values()
    assert (old, spi) == (reqid, before), "the old one carries the packets until the new one is there"
    world.run(3)
    ((new, spi),) = world.left.host.gateway.policies.values()
    assert world.state(world.left) == "active" and new != reqid and spi not in (0, before)
    assert len(world.left.host.gateway.sas) == 2 == len(world.right.host.gateway.sas)


def test_success_shortens_the_next_pause(world):
    world.define(world.right, "present", auth={"secret": "quite another secret, but long"})
    world.define(world.left)
    world.run(60)
    world.define(world.right, "present")
    world.run(80)
    assert world.state(world.left) == "active"
    before = world.left.counts["ike_connecting"]
    world.right.act(world.right.endpoint.stop("t", world.now))
    world.run(1.5)
    assert world.left.counts["ike_connecting"] == before + 1


def test_acquires_of_others_and_of_responders_start_nothing(world):
    world.define(world.left, "active", role="responder")
    (reqid,) = {reqid for reqid, _unused in world.left.host.gateway.policies.values()}
    packet = [parse_selector(text) for text in ("10.1.0.5", "10.2.0.7")]
    for number in (reqid, 0x66FFFFFF):
        world.left.host.gateway.push(AcquireEvent(number, "10.0.0.1", "10.0.0.2", 50, *packet))
    world.left.kernel()
    world.run(3)
    assert world.wire.at and not world.left.endpoint.registry.by_spi
    assert world.left.tunnels.condition("t").reason == "waiting_for_peer"


def test_back_off_after_failures(world):
    world.define(world.right, "present", auth={"secret": "quite another secret, but long"})
    world.define(world.left)
    world.run(120)
    starts = world.left.counts["ike_connecting"]
    assert 6 <= starts <= 9, "1, 2, 4, … 60 seconds apart"
    assert world.left.tunnels.condition("t").reason == "authentication_failed"


def test_forged_first_messages_do_not_keep_us_from_starting(world):
    """An attacker may open IKE SAs in the peer's name without end; ours is started again all the same."""
    world.define(world.right)
    world.right.wake()
    (forged, _unused), *_unused = world.wire.flying
    world.wire.at.pop("10.0.0.2")
    world.define(world.left)
    for number in range(1, 300):
        datagram = number.to_bytes(8, "big") + forged[8:]
        world.left.datagram(datagram, Path("10.0.0.1", 500, "10.0.0.2", 500))
        world.wire.flying.clear()
        world.now += 0.5
        world.left.wake()
    assert world.left.counts["ike_connecting"] >= 2


def test_keepalives_where_a_nat_is_between(world):
    for runtime in (world.right, world.left):
        world.define(runtime, "present" if runtime is world.right else "active", encapsulation="force")
    world.run(KEEPALIVE_SECONDS + 2)
    assert Path("10.0.0.1", 4500, "10.0.0.2", 4500, True) in world.wire.keepalives


def test_no_keepalives_without(world):
    world.define(world.right, "present")
    world.define(world.left)
    world.run(3 * KEEPALIVE_SECONDS)
    assert world.wire.keepalives == []


def test_rekeys_leave_one_generation(world):
    for runtime, wanted in ((world.right, "present"), (world.left, "active")):
        world.define(runtime, wanted, child={"lifetime": "1m"}, ike={"lifetime": "5m"})
    world.run(1)
    first = dict(outbound(world.left))
    world.run(1200)
    assert world.left.counts["child_rekeyed"] + world.right.counts["child_rekeyed"] > 15
    assert world.left.counts["ike_rekeyed"] >= 3
    assert world.state(world.left) == "active" and outbound(world.left) != first
    for runtime in (world.left, world.right):
        assert len(runtime.host.gateway.sas) == 2 and len(runtime.endpoint.registry.by_spi) <= 2


def test_a_new_run_goes_on_where_the_last_one_was(world, tmp_path):
    world.define(world.right, "present")
    world.define(world.left)
    world.run(1)
    kernel = world.left.host.gateway
    calls, sas, policies = len(kernel.calls), dict(kernel.sas), dict(outbound(world.left))
    world.left.store.close()
    world.left.host.registry.allocate("me", "t", "no longer defined")
    again = Runtime(
        Store(str(tmp_path / "left" / "definitions.sqlite")), world.left.host, world.wire, world.left.log,
        Settings(), lambda: world.now,
    )  # fmt: skip
    again.begin()
    assert [names.child for names in again.host.registry.children().values()] == ["lan"]
    assert kernel.calls[calls:] == ["cleanup"], "nothing of what is in use is touched"
    assert kernel.sas == sas and outbound(again) == policies
    world.wire.at["10.0.0.1"] = world.left = again
    said = dict(world.right.counts)
    world.run(5)
    assert world.state(again) == "active" and world.right.counts == said, "the peer notices nothing"
    again.act(again.endpoint.rekey("t", world.now, ["lan"]))
    world.run(5)
    assert world.right.counts["child_rekeyed"] == 1 and outbound(again) != policies


def test_without_its_journal_a_new_run_starts_clean(world, tmp_path):
    world.define(world.right, "present")
    world.define(world.left)
    world.run(1)
    kernel = world.left.host.gateway
    world.left.store.close()
    (tmp_path / "left" / "live").write_bytes(b"fleet-ipsec live state 1 another boot\n")
    again = Runtime(
        Store(str(tmp_path / "left" / "definitions.sqlite")), world.left.host, world.wire, world.left.log,
        Settings(), lambda: world.now,
    )  # fmt: skip
    again.begin()
    assert kernel.sas == {} and list(outbound(again).values()) == [0], "the old SAs are gone, nothing leaks"
    world.wire.at["10.0.0.1"] = world.left = again
    world.run(5)
    assert world.state(again) == "active"


def test_removal_forgets_everything(world):
    world.define(world.left, "present", child={"start": "trap"})
    assert world.left.host.registry.children()
    row = world.left.tunnels.rows["t"]
    world.left.tunnels.carry_out(Step("t", "removed", "none", row, None), None)
    assert world.left.host.gateway.policies == {} and world.left.host.registry.children() == {}
    assert world.left.tunnels.condition("t").state == "unknown" and world.left.host.ways == []


def test_nothing_is_started_any_more_at_the_end(world):
    world.define(world.right, "active")
    world.define(world.left)
    world.run(1)
    world.left.end()
    world.run(5)
    assert world.left.quiet and world.left.tunnels.retry.next_deadline() is None
    assert world.left.host.gateway.policies == {}


def test_secrets_never_reach_the_log(world):
    world.define(world.right, "present")
    world.define(world.left)
    world.run(60)
    text = world.log.getvalue()
    assert SECRET not in text and "ike established" in text
    assert repr(world.left.tunnels.rows["t"]).count(SECRET) == 0


def test_strangers_do_not_make_subscribers_lag_behind_nor_an_end_wait(world):
    """Refused messages are told of so many times; half-open IKE SAs are nobody whose farewell is waited for."""
    world.define(world.right, "present")
    told = []
    world.right.subscribers.add(told.append)
    forger = Path("10.0.0.2", 500, "10.0.0.1", 500)
    for number in range(3 * TOLD_BURST):
        world.right.datagram(number.to_bytes(8, "big"), forger)
    assert [event["event"] for event in told] == ["rejected"] * TOLD_BURST
    assert world.right.counts["rejected"] == 3 * TOLD_BURST
    world.define(world.left)
    world.left.wake()  # its IKE_SA_INIT is on the wire, and what comes after it is lost
    (request, _path), *_more = world.wire.flying
    world.wire.flying.clear()
    world.right.datagram(request, forger)
    assert world.right.endpoint.half_open.total == 1 and world.right.quiet
    assert world.state(world.right) != "negotiating"


def test_a_tunnel_goes_on_under_another_name(world):
    world.define(world.right, "present")
    world.define(world.left)
    world.run(1)
    left, tunnels = world.left, world.left.tunnels
    sas, flying, reqids = dict(left.host.gateway.sas), left.executor.sent, dict(left.host.registry.children())
    calls = left.host.gateway.calls
    calls.clear()
    raw = tunnels.rows["t"].definition.stored() | {"name": "u"}
    params = {"definitions": [raw], "state": "active", "purge": True, "owner": "me"}
    steps = make_plan(params, tunnels.rows, lambda name: tunnels.condition(name).running()).steps
    assert renames({"t": steps[1].before}, [("u", "active", steps[0].after.definition)]) == {"u": "t"}
    row = left.store.commit(stored_changes(steps))["u"]
    tunnels.rename("t", steps[0], row)
    world.run(5)
    assert left.executor.sent == flying and left.host.gateway.sas == sas, "the peer does not notice"
    assert not {"delete_policies", "remove_sas"} & set(calls)
    assert tunnels.condition("u").state == "active" and tunnels.condition("t").state == "unknown"
    assert {reqid: names.tunnel for reqid, names in left.host.registry.children().items()} == dict.fromkeys(reqids, "u")
    assert left.host.registry.identities() == {"u": ("10.0.0.1", "10.0.0.2")}
    left.journal.close()
    again = Runtime(left.store, left.host, world.wire, left.log, Settings(), lambda: world.now)
    world.wire.at["10.0.0.1"] = world.left = again
    again.begin()
    world.run(5)
    assert again.tunnels.condition("u").state == "active" and again.host.gateway.sas == sas


def test_a_tunnel_to_another_peer_is_no_rename(world):
    world.define(world.left)
    before = world.left.tunnels.rows["t"]
    raw = before.definition.stored() | {"name": "u", "remote": {"address": "10.0.0.9"}}
    other, same = parse_definition(raw), parse_definition(before.definition.stored() | {"name": "v"})
    assert renames({"t": before}, [("u", "active", other)]) == {}
    assert renames({"t": before}, [("u", "active", other), ("v", "active", same)]) == {"v": "t"}
    assert renames({"t": before}, [("u", "active", same), ("v", "active", same)]) == {}
    assert renames({"t": before}, [("v", "inactive", same)]) == {}


def test_networks_move_when_the_peer_has_them_too_whoever_is_first(world):
    """The ends change one after the other, the initiator first, then the responder first."""
    world.define(world.right, "present")
    world.define(world.left)
    world.run(1)
    two = {world.left: ["10.1.0.0/16", "10.11.0.0/16"], world.right: ["10.11.0.0/16", "10.1.0.0/16"]}
    for first, second in ((world.left, world.right), (world.right, world.left)):
        for end in (first, second):
            gone = set(first.host.gateway.sas)
            side = "local" if end is world.left else "remote"
            before = lan(end)[0][side]
            change(end, children=lan(end, **{side: two[end] if len(before) == 1 else ["10.1.0.0/16"]}))
            assert 0 not in [spi for remote, (_reqid, spi) in end.host.gateway.policies.items() if _stays(remote)]
            world.run(3)
            assert len(first.host.gateway.sas) == 2 and set(first.host.gateway.sas) == set(second.host.gateway.sas)
            assert gone != set(first.host.gateway.sas), "another child, with other networks"
            assert all(spi for remote, (_reqid, spi) in end.host.gateway.policies.items() if _stays(remote))
        assert world.state(first) == world.state(second) == "active"
        assert world.left.counts["child_down"] == world.right.counts["child_down"] == 0
    assert world.left.counts["ike_established"] == 1, "all of it in one IKE SA"


def _stays(networks: tuple[str, str]) -> bool:
    return set(networks) == {"10.1.0.0/16", "10.2.0.0/16"}


def test_what_the_peer_does_not_know_yet_leaves_what_there_is_until_it_does(world):
    world.define(world.right, "present")
    world.define(world.left)
    world.run(1)
    before = dict(world.left.host.gateway.sas)
    change(world.left, local={"address": "10.0.0.1", "id": "other.example.net"})
    world.run(120)
    assert world.left.host.gateway.sas == before and world.state(world.left) == "active"
    assert world.left.tunnels.retry.due_at("t") is not None or world.left.counts["ike_connecting"] > 3
    change(world.right, remote={"address": "10.0.0.1", "id": "other.example.net"})
    assert world.right.host.gateway.sas.keys() == before.keys()
    world.run(120)
    assert world.state(world.left) == world.state(world.right) == "active"
    assert len(world.left.host.gateway.sas) == 2 == len(world.right.host.gateway.sas)
    assert not set(before) & set(world.left.host.gateway.sas)
    assert world.left.counts["child_down"] == world.right.counts["child_down"] == 0


def wish(runtime: Runtime, **asked: object) -> list[str]:
    """Ask something of the tunnel, by its name alone; the warnings."""
    tunnels = runtime.tunnels
    params = {"definitions": [{"name": "t"}], "purge": False, "owner": ""} | asked
    plan = make_plan(params, tunnels.rows, lambda name: tunnels.condition(name).running())
    (step,) = plan.steps
    changes = stored_changes(plan.steps)
    after = runtime.store.commit(changes) if changes else {}
    tunnels.carry_out(step, after.get("t", tunnels.rows["t"]))
    return plan.warnings


def test_only_a_tunnel_that_ends_as_a_whole_opens_its_networks_and_that_is_said(world):
    world.define(world.right, "present")
    world.define(world.left)
    world.run(1)
    assert wish(world.left, state="inactive", phase=2) == []
    world.run(1)
    assert world.left.host.gateway.sas == {} and list(outbound(world.left).values()) == [0], "held"
    acquire(world.left)
    world.run(3)
    assert world.left.host.gateway.sas == {}, "and a packet does not bring back what was ended"
    assert world.left.tunnels.condition("t").phase2 == {"lan": "dormant"}
    assert wish(world.left, state="active", phase=1) == []
    assert list(outbound(world.left).values()) == [0]
    (warning,) = wish(world.left, state="inactive")
    assert warning.startswith("the networks of t have no policy from now on: their packets leave in clear")
    assert world.left.host.gateway.held == {}
    assert wish(world.left, state="inactive") == [], "said once"
