# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a manager finds when it takes over: SAs that are gone, definitions that changed, a journal it cannot read."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from engine.child_sa import ChildSa
from engine.ike.actions import Path
from engine.ike.records import RecordKey
from engine.ike.v2.snapshot import freeze
from engine.kernel.policies import kernel_selectors
from engine.manager.plan import Step
from engine.manager.store import Remove
from engine.selector import parse_selector
from manager_lab import SECRET
from restarting import Restarting
from runtime_world import outbound


@pytest.fixture
def world(tmp_path):
    made = Restarting(tmp_path)
    yield made
    made.close()
    assert SECRET not in made.log.getvalue()


def test_nothing_at_all_happens_where_nothing_happened(world):
    before, calls, policies = dict(world.sas), len(world.left.host.gateway.calls), outbound(world.left)
    flying, counts = world.left.executor.sent, dict(world.right.counts)
    left = world.restart()
    world.run(5)
    assert (world.sas, outbound(left), dict(world.right.counts)) == (before, policies, counts)
    assert (
        set(world.left.host.gateway.calls[calls:]) - {"usage_all"} == {"cleanup"} and left.executor.sent == 0 < flying
    )
    assert world.state(left) == "active" and left.tunnels.retry.due_at("t") is None


def test_an_sa_that_the_kernel_ended_meanwhile_is_replaced(world):
    name = next(iter(world.sas))
    del world.sas[name]
    left = world.restart()
    assert left.counts["child_down"] == 1
    world.run(5)
    assert world.state(left) == world.state(world.right) == "active"
    assert len(world.sas) == 2 == len(world.right.host.gateway.sas) and name not in world.sas
    assert world.right.counts["ike_established"] == 1, "within the same IKE SA"


def test_a_soft_limit_that_was_passed_meanwhile_has_it_rekeyed(world):
    world.left.tunnels.carry_out(
        Step("t", "changed", "hot", None, None), world.store(world.left, "active", child={"lifetime_bytes": 1_000_000})
    )
    world.left.act(world.left.endpoint.rekey("t", world.now, ["lan"]))
    world.run(5)
    rekeyed = world.right.counts["child_rekeyed"]
    gateway = world.left.host.gateway
    plain = gateway.held_sas
    gateway.held_sas = lambda: [SimpleNamespace(**(vars(sa) | {"bytes": 899_999})) for sa in plain()]
    world.restart()
    world.run(5)
    assert world.right.counts["child_rekeyed"] == rekeyed
    gateway.held_sas = lambda: [SimpleNamespace(**(vars(sa) | {"bytes": 900_000})) for sa in plain()]
    world.restart()
    gateway.held_sas = plain
    world.run(5)
    assert world.right.counts["child_rekeyed"] == rekeyed + 1 and len(world.sas) == 2


def test_a_packet_that_waits_starts_its_child(world):
    row = world.store(world.left, "present", child={"start": "trap"})
    world.left.tunnels.carry_out(Step("t", "stopped", "none", None, None, halts=True), row)
    world.run(5)
    assert world.sas == {}
    gateway = world.left.host.gateway
    (reqid,) = world.left.host.registry.children()
    selector = kernel_selectors((parse_selector("10.1.0.5"),), (parse_selector("10.2.0.9"),))[0]
    gateway.held_sas = lambda: [SimpleNamespace(hold=True, larval=True, spi=0, reqid=reqid, selector=selector)]
    world.restart()
    del gateway.held_sas
    world.run(5)
    assert len(world.sas) == 2 and world.state(world.right) == "active"


def test_a_change_that_was_stored_but_not_carried_out_is_carried_out(world):
    before = dict(world.sas)
    world.store(world.left, "active", child={"replay_window": 256})
    left = world.restart()
    world.run(5)
    assert world.right.counts["child_rekeyed"] == 1 and world.right.counts["child_down"] == 0
    assert {spec.replay_window for spec in world.sas.values()} == {256} and not set(before) & set(world.sas)
    again = dict(world.sas)
    world.restart()
    world.run(5)
    assert world.sas == again, "once"
    assert world.state(left) == "active"


def test_a_tunnel_that_is_not_defined_any_more_is_closed(world):
    world.left.store.commit([Remove("t")])
    left = world.restart()
    world.run(1)
    assert world.right.counts["ike_down"] == 1 and "peer_deleted" in world.log.getvalue()
    gateway = left.host.gateway
    assert (gateway.sas, gateway.policies, left.host.ways, left.host.registry.children()) == ({}, {}, [], {})
    assert not left.endpoint.registry.by_spi and left.tunnels.rows == {}


def test_a_tunnel_that_was_stopped_is_stopped(world):
    world.store(world.left, "inactive")
    left = world.restart()
    world.run(1)
    assert world.sas == {} and world.right.counts["ike_down"] == 1 and world.state(left) == "inactive"


def test_a_tunnel_that_was_stored_and_no_more_comes_up(world):
    world.left.journal.keep_rows({"t": None})
    world.left.journal.keep(dict.fromkeys(_records(world)), [])
    left = world.restart()
    assert not left.endpoint.registry.by_spi and world.sas == {}
    world.run(5)
    assert world.state(left) == world.state(world.right) == "active"
    assert len(world.sas) == 2 == len(world.right.host.gateway.sas)


@pytest.mark.parametrize(
    ("part", "damage"),
    [
        ("sa", {"format": 99}), ("sa", {"keys": {"d": "zz"}}), ("sa", {"state": "odd"}), ("sa", {"choice": {}}),
        ("sa", {"keys": {"unheard_of": 1}}), ("window", {"answer": "zz"}), ("window", {"queue": [{}]}),
        ("child", {"state": "odd"}), ("child", {"sa": {}}),
    ],
)  # fmt: skip
def test_a_record_that_cannot_be_read_has_that_tunnel_set_up_anew(world, part, damage):
    damaged = {key: record | damage for key, record in _records(world).items() if key.part == part}
    world.left.journal.keep(damaged, [])
    left = world.restart()
    assert world.sas == {} and "set up anew" in world.log.getvalue()
    world.run(5)
    assert world.state(left) == world.state(world.right) == "active"
    assert len(world.sas) == 2 == len(world.right.host.gateway.sas), "the peer dropped what it had"


@pytest.mark.parametrize("part", ["sa", "window"])
def test_a_record_that_is_missing_has_that_tunnel_set_up_anew(world, part):
    world.left.journal.keep({key: None for key in _records(world) if key.part == part}, [])
    world.restart()
    world.run(5)
    assert world.state(world.left) == world.state(world.right) == "active"
    assert len(world.sas) == 2 == len(world.right.host.gateway.sas)


def test_records_that_cannot_be_read_are_not_kept(world):
    """A later release might read them, and go on with what is long over."""
    number = max(key.ike for key in _records(world))
    unheard_of = {key._replace(ike=number + 50): record for key, record in _records(world).items()}
    world.left.journal.keep({key: record | {"format": 99} for key, record in unheard_of.items()}, [])
    world.restart()
    world.run(5)
    world.restart()
    assert world.log.getvalue().count("set up anew") == 1
    assert world.state(world.left) == world.state(world.right) == "active"


def test_what_was_about_to_be_done_is_done(world):
    """Killed after the journal was written, before anything of it was performed."""

    def killed(_actions):
        raise Killed

    world.left.executor.perform = killed
    with pytest.raises(Killed):
        world.left.act(world.left.endpoint.rekey("t", world.now, ["lan"]))
    world.restart()
    world.run(5)
    assert world.right.counts["child_rekeyed"] == 1 and len(world.sas) == 2
    (spec, *_rest) = [spec for spec in world.sas.values() if isinstance(spec, ChildSa)]
    assert list(outbound(world.left).values()) == [spec.spi_out]


@pytest.mark.parametrize("whole", range(3))
def test_any_part_of_an_installation_may_have_been_done(world, whole):
    plain, done = world.left.executor.perform, []

    def mortal(actions):
        for action in actions:
            kernel = "Install" in type(action).__name__ or "Remove" in type(action).__name__
            if kernel and len(done) == whole:
                raise Killed
            done.extend([action] * kernel)
            plain([action])
        return []

    world.left.executor.perform = mortal
    with pytest.raises(Killed):
        world.left.act(world.left.endpoint.rekey("t", world.now, ["lan"]))
        world.run(5)
    world.restart()
    world.run(5)
    assert len(world.sas) == 2 == len(world.right.host.gateway.sas)
    theirs = set(world.right.host.gateway.sas)
    assert theirs == set(world.sas), "the same SPIs at both ends"
    assert world.left.counts["child_down"] == world.right.counts["child_down"] == 0


def test_what_is_being_closed_sends_no_more_though_it_is_the_newest(world):
    """Its Delete is out: the peer receives on it no more, or soon will not."""
    world.left.act(world.left.endpoint.rekey("t", world.now, ["lan"]))
    for _unused in range(2):
        datagram, path = world.wire.flying.pop(0)
        there = Path(path.remote_address, path.remote_port, path.local_address, path.local_port, path.natt)
        world.wire.at[path.remote_address].datagram(datagram, there)
    world.wire.flying.clear()
    records = _records(world)
    window, old, new = (records[key] for part in ("window", "child") for key in sorted(records) if key.part == part)
    assert (old["state"], new["state"], window["task"]["child"]) == ("deleting", "installed", old["number"])
    old["state"], new["state"], window["task"]["child"] = "installed", "deleting", new["number"]
    world.left.journal.keep(records, [])
    left = world.restart()
    assert set(outbound(left).values()) == {old["sa"]["spi_out"]}
    old["state"] = "deleting"
    left.journal.keep(records, [])
    assert set(outbound(world.restart()).values()) == {new["sa"]["spi_out"]}, "no other sends"


class Killed(Exception):
    """Stands for SIGKILL."""


def _records(world) -> dict[RecordKey, dict]:
    sas = world.left.endpoint.registry.by_spi.values()
    return {key: json.loads(json.dumps(record)) for sa in sas for key, record in freeze(sa).items()}
