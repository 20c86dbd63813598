# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A hub with one definition for many branches: the left runtime is the hub, the right one is all of the branches."""

from __future__ import annotations

import asyncio
import functools
from dataclasses import replace
from typing import Any

from engine.definition.parsing import parse_definition
from engine.identity import Identity
from engine.ike.settings import Settings
from engine.manager.handlers import Methods
from engine.manager.methods import check_params
from engine.manager.plan import Plan, Step, make_plan
from engine.manager.runtime import Runtime
from engine.manager.store import Put, Remove, Store
from runtime_world import World

from tests.issued import Authority, authority
from tests.signing_keys import private_pem

KIND = "ecdsa256"
HUB = "hub.example.net"
NAME = "branches"
PATTERN = "*.branch.example.net"


def branch(number: int) -> str:
    """The identity of a branch."""
    return f"b{number}.branch.example.net"


@functools.cache
def _certificate(issuer: Authority, identity: str, which: int) -> str:
    return issuer.issue(identity, KIND, which).decode()


class Hub(World):
    """Branches are at 10.0.1.NUMBER and have 10.9.NUMBER.0/24."""

    def __init__(self, folder) -> None:
        super().__init__(folder)
        self.folder = folder
        self.keys = {}
        for which in (0, 1):
            self.keys[which] = folder / f"{which}.pem"
            self.keys[which].write_bytes(private_pem(KIND, which))
        self.apply(self.hub())

    def auth(self, identity: str, which: int, issuer: Authority | None = None, **more: Any) -> dict[str, Any]:
        """A certificate of the one authority, or of another one."""
        certificate = _certificate(issuer or authority(KIND), identity, which)
        ca = [authority(KIND).pem.decode()]
        return {"method": "pubkey", "certificate": certificate, "key": str(self.keys[which]), "ca": ca, **more}

    def hub(self, **changes: Any) -> dict[str, Any]:
        """The definition for many; ``remote`` and ``child`` are added to what they are."""
        child = {"name": "lan", "local": ["10.8.0.0/16"], "remote": ["10.9.0.0/16"]} | changes.pop("child", {})
        return {
            "name": NAME,
            "local": {"address": "10.0.0.1", "id": HUB},
            "remote": {"id": PATTERN} | changes.pop("remote", {}),
            "auth": self.auth(HUB, 0),
            "children": [child],
            **changes,
        }

    def plan(self, *definitions: dict[str, Any], state: str = "present", **more: Any) -> Plan:
        """What ``tunnels.apply`` would do at the hub."""
        params = check_params(
            "tunnels.apply", {"definitions": list(definitions), "state": state, "owner": "me", **more}
        )
        tunnels = self.left.tunnels
        return make_plan(params, dict(tunnels.rows), lambda name: tunnels.condition(name).running())

    def apply(self, *definitions: dict[str, Any], state: str = "present", **more: Any) -> Plan:
        """Have the hub do it."""
        plan = self.plan(*definitions, state=state, **more)
        for step in plan.steps:
            change = step.stored_change
            row = self.left.tunnels.rows.get(step.name)
            if isinstance(change, Remove):
                self.left.store.commit([change])
                row = None
            elif change is not None:
                (row,) = self.left.store.commit([change]).values()
            self.left.tunnels.carry_out(step, row)
        return plan

    def come(
        self, number: int, identity: str = "", issuer: Authority | None = None, claims: str = "", **changes: Any
    ) -> None:
        """A branch comes; ``claims``: the identity that it shows instead of that of its certificate."""
        identity = identity or branch(number)
        child = {"name": "lan", "local": [f"10.9.{number}.0/24"], "remote": ["10.8.0.0/16"]} | changes.pop("child", {})
        address = changes.pop("address", f"10.0.1.{number}")
        raw = {
            "name": f"as-{number}",
            "local": {"address": address, "id": identity},
            "remote": {"address": "10.0.0.1", "id": HUB},
            "auth": self.auth(changes.pop("certified", identity), 1, issuer),
            "children": [child],
            **changes,
        }
        self.wire.at[address] = self.right
        (row,) = self.right.store.commit([Put("me", "active", parse_definition(raw))]).values()
        self.right.tunnels.adopt(row)
        if claims:
            honest = self.right.endpoint.connections.get(row.name)
            self.right.endpoint.define(replace(honest, local_id=Identity.parse(claims)))
        self.run(1)

    def leave(self, number: int) -> None:
        """A branch goes."""
        row = self.right.tunnels.rows[f"as-{number}"]
        after = Put(row.owner, "inactive", row.definition)
        step = Step(row.name, "stopped", "hot", row, after, halts=True)
        self.right.tunnels.carry_out(step, replace(row, wanted="inactive"))
        self.run(1)

    def listed(self, **params: Any) -> dict[str, dict[str, Any]]:
        """What ``tunnels.list`` answers at the hub, by name."""
        return {entry["name"]: entry for entry in self.call("tunnels.list", **params)["tunnels"]}

    def call(self, method: str, **params: Any) -> Any:
        """What a method answers at the hub."""
        methods = Methods(self.left, lambda _keep: None)
        try:
            return asyncio.run(methods.handlers()[method](check_params(method, params), None))
        finally:
            self.left.watchers.clear()

    def restart(self) -> Runtime:
        """The hub's manager ends without a word, and another one begins."""
        old = self.left
        old.journal.close()
        old.store.close()
        path = str(self.folder / "left" / "definitions.sqlite")
        self.wire.at["10.0.0.1"] = self.left = Runtime(
            Store(path), old.host, self.wire, old.log, Settings(), lambda: self.now
        )
        self.left.begin()
        return self.left

    def policies(self, direction: str = "out") -> dict[str, tuple[str, int]]:
        """The hub's policies of a direction by the network of branches: action and request ID."""
        found = {}
        for policy in self.left.host.gateway.standing_policies():
            if policy.direction == direction:
                address = policy.selector.destination if direction == "out" else policy.selector.source
                prefix = policy.selector.destination_prefix if direction == "out" else policy.selector.source_prefix
                found[f"{'.'.join(map(str, address))}/{prefix}"] = policy.action, policy.reqid
        return found
