# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stored definition that this release cannot read: that tunnel is lost, and nothing else, and nothing in clear."""

from __future__ import annotations

import ipaddress
import json
import os
import sqlite3
from collections.abc import Callable
from typing import Any

import pytest
from engine.definition.schema import Problems
from engine.ike.settings import Settings
from engine.kernel.events import AcquireEvent
from engine.kernel.policies import combine
from engine.manager.found_places import sides_of
from engine.manager.journal import FILE_NAME
from engine.manager.listing import listing, look
from engine.manager.methods import check_params
from engine.manager.plan import make_plan, stored_changes
from engine.manager.runtime import Runtime
from engine.manager.store import Put, Store
from engine.newer_python import zip
from engine.selector import ANY_PORT as ANY
from engine.selector import Selector, parse_selector
from fake_kernel import FakeHost
from hypothesis import given
from hypothesis import strategies as st
from manager_lab import SECRET
from restarting import Restarting
from runtime_world import outbound

LIST = check_params("tunnels.list", {"verbose": True, "names": ["t"]})


def newer(document: dict[str, Any]) -> None:
    """What a newer release may have written."""
    document["ike"]["color"] = "red"


class Spoiling(Restarting):
    """The database is another one when the left end begins anew."""

    def spoil(self, change: Callable[[dict[str, Any]], object] = newer, wanted: str = "active") -> None:
        self.left.journal.close()
        self.left.store.close()
        with sqlite3.connect(self.path) as connection:
            (text,) = connection.execute("SELECT definition FROM tunnel WHERE name = 't'").fetchone()
            document = json.loads(text)
            change(document)
            changed = json.dumps(document), wanted
            connection.execute("UPDATE tunnel SET definition = ?, wanted = ? WHERE name = 't'", changed)
        connection.close()

    @property
    def path(self) -> str:
        return str(self.folder / "left" / "definitions.sqlite")

    def begin(self) -> Runtime:
        old = self.left
        new = Runtime(Store(self.path), old.host, self.wire, old.log, Settings(), lambda: self.now)
        self.wire.at["10.0.0.1"] = self.left = new
        new.begin()
        return new

    def forget(self) -> None:
        """No release can read the journal of another: nothing is known of any SA."""
        os.truncate(os.path.join(self.left.host.registry.directory, FILE_NAME), 0)

    def text(self) -> str:
        (found,) = self.left.store._connection.execute("SELECT definition FROM tunnel WHERE name = 't'").fetchone()
        return found

    def ask(self, *definitions: dict[str, Any], **params: object):
        """As a call of the control socket does it."""
        checked = check_params("tunnels.apply", {"definitions": list(definitions), "owner": "me"} | params)
        tunnels = self.left.tunnels
        plan = make_plan(checked, dict(tunnels.rows), lambda name: tunnels.condition(name).running())
        outcome = self.left.store.commit(stored_changes(plan.steps))
        with self.left.policies.together():
            for step in plan.steps:
                tunnels.carry_out(step, outcome[step.name] if step.name in outcome else tunnels.rows.get(step.name))
        self.run(5)
        return plan.steps

    def held(self) -> set[str]:
        """The peer's networks for which packets do not leave in clear."""
        return set(outbound(self.left))


DEFINITION = {
    "name": "t", "local": {"address": "10.0.0.1"}, "remote": {"address": "10.0.0.2"}, "auth": {"secret": SECRET},
    "children": [{"name": "lan", "local": ["10.1.0.0/16"], "remote": ["10.2.0.0/16"]}],
}  # fmt: skip


@pytest.fixture
def world(tmp_path):
    made = Spoiling(tmp_path)
    yield made
    for runtime in (made.left, made.right):
        runtime.host.close()
        runtime.store.close()
    assert SECRET not in made.log.getvalue()


def lost(world: Spoiling) -> None:
    """The tunnel is down, says why, and its packets stay here."""
    how = world.left.tunnels.condition("t")
    assert (how.state, how.reason) == ("down", "unreadable_definition")
    assert "ike.color is not a known option" in how.story and "define it anew" in how.remedy
    assert not world.left.host.gateway.held_sas() and not world.left.endpoint.registry.by_spi
    assert world.held() == {"10.2.0.0/16"}


def test_a_row_that_cannot_be_read_loses_that_tunnel_with_a_reason(world):
    other = DEFINITION | {"name": "u", "remote": {"address": "10.0.0.3"}}
    other["children"] = [DEFINITION["children"][0] | {"remote": ["10.3.0.0/16"]}]
    world.ask(other, state="present")
    world.spoil()
    left = world.begin()
    world.run(5)
    assert left.tunnels.condition("u").reason != "unreadable_definition" and set(left.tunnels.rows) == {"t", "u"}
    lost(world)
    assert "its stored definition cannot be read" in world.log.getvalue()
    assert world.right.counts["ike_down"] == 1, "the peer is told"


@pytest.mark.parametrize("boot", [False, True], ids=["what was in the kernel", "after a boot"])
def test_its_place_in_the_kernel_is_held_where_nothing_else_is_known(world, boot, tmp_path):
    world.spoil()
    world.forget()
    if boot:
        world.left.host.close()
        world.left.host = FakeHost(str(tmp_path / "booted"), journal=False)
    world.begin()
    lost(world)
    world.run(60)
    lost(world)


@pytest.mark.parametrize("journal", [True, False])
def test_what_the_kernel_has_is_held_where_the_networks_cannot_be_read_either(world, journal):
    before = world.held()
    world.spoil(lambda document: document.update(children="red", remote="blue", ike={"color": 1}))
    if not journal:
        world.forget()
    left = world.begin()
    world.run(5)
    assert world.held() == before and left.tunnels.condition("t").reason == "unreadable_definition"
    assert set(outbound(left).values()) == {0}, "there is no such SA any more"
    world.run(60)
    assert world.held() == before
    world.ask(DEFINITION | {"children": [DEFINITION["children"][0] | {"remote": ["10.7.0.0/16"]}]}, state="present")
    assert world.held() <= {"10.7.0.0/16"}, "what is defined now, and nothing else"


@pytest.mark.parametrize("journal", [True, False])
def test_where_only_the_peer_began_its_place_is_held_too(world, journal):
    """There is no address for a policy but that of the SA that was."""
    world.spoil(lambda document: (newer(document), document["remote"].update(address=None)), wanted="present")
    if not journal:
        world.forget()
    world.begin()
    world.run(5)
    lost(world)
    world.run(60)
    lost(world)


def test_what_is_stopped_is_not_held(world):
    world.spoil(wanted="inactive")
    left = world.begin()
    world.run(5)
    how = left.tunnels.condition("t")
    assert (how.state, how.reason) == ("inactive", "unreadable_definition") and not world.held()
    assert not left.endpoint.registry.by_spi


def test_neither_packets_nor_the_peer_start_it(world):
    world.spoil()
    left = world.begin()
    world.run(5)
    (reqid,) = left.host.registry.children()
    here, there = (parse_selector(text) for text in ("10.1.0.1", "10.2.0.1"))
    left.host.gateway.push(AcquireEvent(reqid, "10.0.0.1", "10.0.0.2", 50, here, there))
    left.kernel()
    world.right.tunnels.retry.want("t", world.now)
    world.run(120)
    lost(world)
    assert not world.right.endpoint.registry.by_spi or world.state(world.right) != "active"


def test_it_comes_up_when_it_is_defined_anew(world):
    policies = world.held()
    world.spoil()
    world.forget()
    left = world.begin()
    number = left.tunnels.rows["t"].number
    (step,) = world.ask(DEFINITION, state="active")
    assert (step.action, step.before.number, step.shown(1)["before"]) == ("changed", number, {})
    assert left.tunnels.rows["t"].number == number and not left.tunnels.rows["t"].unreadable
    assert world.state(left) == "active"
    assert world.held() == policies and 0 not in outbound(left).values()
    world.spoil(lambda document: None)
    assert world.begin().tunnels.rows["t"].unreadable == ""
    assert world.state(world.left) == "active", "the journal has it again"


def test_its_definition_is_kept_as_it_was_written(world):
    world.spoil()
    for _unused in range(2):
        world.begin()
        kept = world.text()
        assert json.loads(kept)["ike"]["color"] == "red" and json.loads(kept)["auth"]["secret"] == SECRET
        world.run(5)
        world.left.journal.close()
        world.left.store.close()
    world.begin()
    world.run(5)
    lost(world)


def test_it_can_be_removed(world):
    world.spoil()
    left = world.begin()
    (step,) = world.ask({"name": "t"}, state="absent")
    assert step.action == "removed" and "t" not in left.tunnels.rows and not world.held()


@pytest.mark.parametrize("state", ["active", "enabled", "inactive"])
def test_a_name_alone_does_not_stand_for_it(world, state):
    world.spoil()
    world.begin()
    with pytest.raises(Problems, match="cannot read: ike.color is not a known option.*give its whole definition"):
        world.ask({"name": "t"}, state=state)
    with pytest.raises(Problems, match="cannot read"):
        world.ask({"name": "t", "only_children": ["lan"]}, state="absent")
    world.run(5)
    lost(world)


def test_nobody_takes_its_stand_in_for_a_secret(world):
    world.spoil()
    world.begin()
    without = {key: value for key, value in DEFINITION.items() if key != "auth"}
    with pytest.raises(Problems, match="auth: is missing"):
        world.ask(without, state="active", keep_secrets=True)


def test_it_is_listed(world):
    world.spoil()
    left = world.begin()
    found = [look(left.tunnels, left.tunnels.rows["t"])]
    (entry,) = listing(left.tunnels, found, {}, {}, LIST, world.now, left.traffic)
    assert (entry["state"], entry["reason"]) == ("down", "unreadable_definition")
    assert "ike.color" in entry["story"] and entry["remedy"]
    assert entry["remote"] == {
        "address": "10.0.0.2",
        "addresses": ["10.0.0.2"],
        "in_use": None,
        "resolved": {},
        "id": "10.0.0.2",
    }
    assert [child["name"] for child in entry["children"]] == ["lan"]
    assert SECRET not in json.dumps(entry)


def test_another_tunnel_may_not_take_its_networks(world):
    world.spoil()
    world.begin()
    other = DEFINITION | {"name": "u", "remote": {"address": "10.0.0.3"}}
    with pytest.raises(Problems, match="overlaps"):
        world.ask(other, state="present")


def test_a_row_that_cannot_be_read_loses_no_other(tmp_path):
    from engine.definition.parsing import parse_definition

    path = str(tmp_path / "definitions.sqlite")
    store = Store(path)
    store.commit([Put("me", "active", parse_definition(DEFINITION | {"name": name})) for name in "abcd"])
    store.close()
    connection = sqlite3.connect(path)
    connection.execute("UPDATE tunnel SET definition = '{' WHERE name = 'a'")
    connection.execute("UPDATE tunnel SET definition = CAST(x'FF00FE' AS TEXT) WHERE name = 'b'")
    connection.execute("DELETE FROM child WHERE tunnel = 3")
    connection.commit()
    connection.close()
    store = Store(path)
    rows = store.load()
    store.close()
    assert list(rows) == list("abcd") and [bool(row.unreadable) for row in rows.values()] == [True, True, True, False]
    assert rows["a"].children == {"lan": 1} and "lan has no number" in rows["c"].unreadable


PORTS = st.one_of(
    st.just((0, 65535)),
    st.tuples(st.integers(0, 65535), st.integers(0, 65535)).map(sorted).map(tuple),
)
SIDES = st.tuples(
    st.sampled_from([0, 1, 6, 17]), PORTS, PORTS, st.integers(0, 32), st.integers(0, 32), st.integers(0, 2**32 - 1)
)


@given(SIDES)
def test_a_place_that_is_found_is_held_to_the_last_port(side):
    """What is held comes of the policies that were found, whatever ports they are for."""
    protocol, here_ports, there_ports, here_bits, there_bits, address = side
    networks = [ipaddress.ip_network((address, bits), strict=False) for bits in (here_bits, there_bits)]
    ports = (here_ports, there_ports) if protocol in (6, 17) else (here_ports, here_ports) if protocol else (ANY, ANY)
    here, there = (
        Selector.from_network(network, protocol, each) for network, each in zip(networks, ports, strict=True)
    )
    for found in combine(here, there):
        assert list(combine(*sides_of(found))) == [found]
