# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Definitions that change at either end under a flood: nothing in clear, and where networks stay nothing is lost.

``FLEET_CHANGES`` random changes, after the seed ``FLEET_SEED``: a few, or as many as ``make leaks`` asks for, where
managers are killed half way as well.
"""

from __future__ import annotations

import copy
import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from keeper import Keeper
from manager_site import Manager, running
from namespaces import Namespace

from tests.packet_watch import Flood, Watch, watching

pytestmark = pytest.mark.usefixtures("esp")

CHANGES = int(os.environ.get("FLEET_CHANGES", "6"))
DEATHS = 0.2 if CHANGES > 10 else 0.0  # how likely one of the managers is killed after each half of a change
SEED = int(os.environ.get("FLEET_SEED", "1"))
IKE = (
    ["aes256gcm16-sha384-x25519", "aes128gcm16-sha256-ecp256"],
    ["aes128gcm16-sha256-ecp256", "aes256gcm16-sha384-x25519"],
)
ESP = (["aes256gcm16-x25519", "aes128gcm16-x25519"], ["aes128gcm16-x25519", "aes256gcm16-x25519"])


class Scene:
    """Two managers, a tunnel between them, and what is defined of it; the networks 10.1.0.0/24 and 10.2.0.0/24 stay.

    :ivar layout: the wish for both ends, with networks as numbers: 0 is the one that stays.
    """

    def __init__(self, a: Manager, b: Manager) -> None:
        self.ends = (a, b)
        self.layout = {
            "names": ["t", "t"],
            "roles": ["both", "both"],
            "children": {"lan": ([0], [0])},
            "ike": 0,
            "esp": 0,
            "encapsulation": "auto",
            "ids": 0,
            "start": "auto",
        }

    def definition(self, us: int) -> dict:
        wish, them = self.layout, 1 - us
        address = [f"192.0.2.{us + 1}", f"192.0.2.{them + 1}"]
        ident = (lambda n: f"end{n}.{wish['ids']}.example.net") if wish["ids"] else (lambda n: f"192.0.2.{n + 1}")
        return {
            "name": wish["names"][us],
            "role": wish["roles"][us],
            "local": {"address": address[0], "id": ident(us)},
            "remote": {"address": address[1], "id": ident(them)},
            "auth": {"secret": "a secret of two managers in a test"},
            "encapsulation": wish["encapsulation"],
            "ike": {"proposals": IKE[wish["ike"]]},
            "children": [
                {
                    "name": name,
                    "local": [_network(us, each) for each in networks[us]],
                    "remote": [_network(them, each) for each in networks[them]],
                    "proposals": ESP[wish["esp"]],
                    "start": wish["start"],
                }
                for name, networks in wish["children"].items()
            ],
        }

    def apply(self, us: int) -> None:
        self.ends[us].call("tunnels.apply", definitions=[self.definition(us)], state="active", purge=True, owner="me")

    def settled(self, patience: float = 100.0) -> None:
        """Both ends are up, with one IKE SA and one child for each that is defined, and nothing is left of before."""
        deadline = time.monotonic() + patience
        while True:
            found = [end.call("tunnels.list", verbose=True)["tunnels"] for end in self.ends]
            if all(len(tunnels) == 1 and self.is_whole(tunnels[0]) for tunnels in found):
                return
            assert time.monotonic() < deadline, f"{self.layout} {found} {self.logs()}"
            time.sleep(0.2)

    def is_whole(self, tunnel: dict) -> bool:
        children = tunnel["children"]
        return (
            tunnel["state"] == "active"
            and len(tunnel["ike_sas"]) == 1
            and {child["name"] for child in children} == set(self.layout["children"])
            and all(len(child["sas"]) == 1 for child in children)
        )

    def logs(self) -> str:
        for end in self.ends:
            print(end.number, end.space.run("grep -v '[[:space:]]0$' /proc/net/xfrm_stat || true"), flush=True)
        return "\n----\n".join((end.folder / "log").read_text()[-6000:] for end in self.ends)


def _network(end: int, which: int | str) -> str:
    """A network of an end by its number, or what follows the end's octet, such as 0.0/25."""
    return f"10.{end + 1}.{which}.0/24" if isinstance(which, int) else f"10.{end + 1}.{which}"


# Changes


def add_network(scene: Scene, chance: random.Random) -> None:
    """One more network at one end, in one of the children."""
    child = scene.layout["children"][chance.choice(list(scene.layout["children"]))]
    side = chance.randrange(2)
    used = {number for networks in scene.layout["children"].values() for number in networks[side]}
    free = [number for number in range(1, 6) if number not in used]
    if free:
        child[side].append(free[0])


def remove_network(scene: Scene, chance: random.Random) -> None:
    """One network less at one end."""
    found = [
        (networks[side], number)
        for networks in scene.layout["children"].values()
        for side in (0, 1)
        for number in networks[side]
        if number and len(networks[side]) > 1
    ]
    if found:
        networks, number = chance.choice(found)
        networks.remove(number)


def rename_child(scene: Scene, chance: random.Random) -> None:
    """The same child under another name."""
    name = chance.choice(list(scene.layout["children"]))
    fresh = f"c{chance.randrange(1000)}"
    scene.layout["children"] = {fresh if each == name else each: v for each, v in scene.layout["children"].items()}


def add_child(scene: Scene, chance: random.Random) -> None:
    """One more child, for networks of its own."""
    if len(scene.layout["children"]) < 4:
        number = 10 + chance.randrange(200)
        scene.layout["children"][f"n{number}"] = ([number], [number])


def remove_child(scene: Scene, chance: random.Random) -> None:
    """One child less, but never the one of the networks that stay."""
    names = [name for name, networks in scene.layout["children"].items() if 0 not in networks[0]]
    if names:
        del scene.layout["children"][chance.choice(names)]


def split_child(scene: Scene, chance: random.Random) -> None:
    """The local networks of one end, which were one child's, become two children's; or back again."""
    children = scene.layout["children"]
    halves = [name for name in children if name.startswith("half")]
    if halves:
        half = children.pop(halves[0])
        whole = next(networks for networks in children.values() if 0 in networks[0])
        whole[0].extend(half[0])
        return
    whole = next(networks for networks in children.values() if 0 in networks[0] and 0 in networks[1])
    if len(whole[0]) > 1:
        moved = [number for number in whole[0] if number] if chance.random() < 0.5 else [0]
        for number in moved:
            whole[0].remove(number)
        children[f"half{chance.randrange(1000)}"] = (moved, list(whole[1]))


def rename_tunnel(scene: Scene, chance: random.Random) -> None:
    """The same peer under another name at one end."""
    scene.layout["names"][chance.randrange(2)] = f"t{chance.randrange(1000)}"


def _toggle(option: str, *values: object):
    def toggled(scene: Scene, chance: random.Random) -> None:
        scene.layout[option] = chance.choice([value for value in values if value != scene.layout[option]])

    toggled.__name__ = option
    return toggled


def change_roles(scene: Scene, chance: random.Random) -> None:
    """Who may open an IKE SA."""
    scene.layout["roles"] = chance.choice([["both", "both"], ["initiator", "responder"], ["responder", "initiator"]])


KINDS = (
    add_network,
    add_network,
    remove_network,
    remove_network,
    rename_child,
    add_child,
    remove_child,
    split_child,
    rename_tunnel,
    change_roles,
    _toggle("ike", 0, 1),
    _toggle("esp", 0, 1),
    _toggle("encapsulation", "auto", "force"),
    _toggle("ids", 0, 1, 2),
    _toggle("start", "auto", "trap"),
)


@pytest.fixture
def scene(pair: tuple[Namespace, Namespace], tmp_path: Path) -> Iterator[Scene]:
    a, b = (Manager(space, tmp_path / str(number), number) for number, space in enumerate(pair, 1))
    for manager in (a, b):
        # ESP in UDP passes only while somebody keeps the sockets of who was killed.
        (manager.folder / "notify").mkdir()
        manager.keeper = Keeper(manager.folder / "notify")
    try:
        with running(a, b):
            yield Scene(a, b)
    finally:
        for manager in (a, b):
            manager.keeper.close()


class Counting:
    """Floods in both directions, a watch at either end."""

    def __init__(self, scene: Scene, watches: list[Watch]) -> None:
        self.scene, self.watches, self.sent = scene, watches, 0
        self.began = time.monotonic()
        self.floods = self._floods()

    def _floods(self) -> list[Flood]:
        a, b = (end.space.entered for end in self.scene.ends)
        return [Flood(a, "10.1.0.1", "10.2.0.1"), Flood(b, "10.2.0.1", "10.1.0.1")]

    def check(self, what: str, again: bool = True) -> None:
        """Nothing was lost and nothing was in clear since the last look."""
        ended = [(flood.name, *flood.end()) for flood in self.floods]
        self.floods = self._floods() if again else []
        self.sent += sum(sent for _name, sent, _lost in ended)
        clear = [(watch.device, watch.count, watch.seen) for watch in self.watches if watch.count]
        assert not clear, f"{what}: in clear {clear}, {self.scene.layout} {self.scene.logs()}"
        assert not any(lost for _name, _sent, lost in ended), (
            f"{what}: {ended}, {self.scene.layout} {self.scene.logs()}"
        )

    def kill(self) -> None:
        for flood in self.floods:
            flood.kill()


@pytest.fixture
def counting(scene: Scene) -> Iterator[Counting]:
    places = [(end.space.entered, device) for end, device in zip(scene.ends, ("v0", "v1"), strict=True)]
    scene.apply(1)
    scene.apply(0)
    scene.settled()
    with watching(*places) as watches:
        made = Counting(scene, watches)
        try:
            yield made
        finally:
            made.kill()


def carry_out(scene: Scene, chance: random.Random) -> str:
    """Apply what the scene wishes at both ends, in any order, apart by any time, and perhaps kill one half way."""
    order = chance.sample([0, 1], 2)
    told = [f"end {order[0] + 1} first"]
    for us in order:
        scene.apply(us)
        if chance.random() < DEATHS:
            victim = chance.choice(scene.ends)
            time.sleep(chance.choice([0.0, 0.02, 0.2]) * chance.random())
            victim.end(signal.SIGKILL)
            victim.start()
            told.append(f"end {victim.number} killed")
        time.sleep(chance.choice([0.0, 0.3, 1.5]))
    return ", ".join(told)


def test_random_changes_lose_nothing_and_leave_nothing_in_clear(scene: Scene, counting: Counting) -> None:
    chance = random.Random(SEED)
    for number in range(CHANGES):
        before = copy.deepcopy(scene.layout)
        for kind in chance.sample(KINDS, chance.choice([1, 1, 2])):
            kind(scene, chance)
        told = carry_out(scene, chance)
        scene.settled()
        what = {option: value for option, value in scene.layout.items() if value != before[option]}
        counting.check(f"change {number}, {told}: {what} (seed {SEED})")
        print(f"change {number}: {told}: {what}", flush=True)
    assert counting.sent > 100 * CHANGES


# Each wider than the one before, or in more pieces.
LAYOUTS = (
    {"lan": (["0.0/25"], ["0.0/25"])},
    {"lan": (["0.0/25"], [0])},
    {"a": (["0.0/25"], ["0.0/25"]), "b": (["0.0/25"], ["0.128/25"])},
    {"lan": ([0, 1], [0, 2])},
    {"lan": ([0], ["0.0/16"])},
)


@pytest.mark.parametrize("order", [(0, 1), pytest.param((1, 0), marks=pytest.mark.nightly)])
def test_children_become_wider_and_one_of_several(scene: Scene, counting: Counting, order: tuple[int, int]) -> None:
    for layout in (*LAYOUTS, *LAYOUTS[::2]):
        scene.layout["children"] = copy.deepcopy(layout)
        for us in order:
            scene.apply(us)
            time.sleep(0.5)
        scene.settled()
        counting.check(f"{layout}, end {order[0] + 1} first")
