# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The methods of the control socket, served by a running manager."""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any

from ..definition.peer import addresses_of
from ..definition.schema import nearest
from ..errors import InputError
from ..release import DIGEST, VERSION
from .control import Connection, Handler
from .listing import listing, look, select, shown_repairs
from .methods import API
from .plan import Plan, Step, make_plan, stored_changes
from .rekeying import Rekeying
from .renames import renames
from .repairs import Told
from .runtime import Runtime
from .states import UNKNOWN, Condition, reached
from .watching import Watches, in_slices

# SAs of as many children are looked at for each listing; of more it says what the last look found, seconds ago.
_FEW_CHILDREN = 256

Compare = Callable[[Collection[str]], dict[str, Told]]


class Methods:
    """Handlers by method name.

    :param stop: ends the manager; its argument tells whether SAs and policies stay.
    """

    def __init__(self, runtime: Runtime, stop: Callable[[bool], None]) -> None:
        self._runtime = runtime
        self._stop = stop
        self._began = time.monotonic()
        self._changing = asyncio.Lock()
        self._watches = Watches()
        runtime.watchers.add(self._watches.tell)

    def handlers(self) -> dict[str, Handler]:
        """What :class:`control.ControlServer` serves."""
        return {
            "manager.info": self._info,
            "manager.stop": self._end,
            "tunnels.plan": self._plan,
            "tunnels.apply": self._apply,
            "tunnels.wait": self._wait,
            "tunnels.rekey": Rekeying(self._runtime, self._watches).serve,
            "tunnels.list": self._list,
            "log.level": self._log_level,
            "subscribe": self._subscribe,
        }

    async def _info(self, params: dict[str, Any], connection: Connection) -> Any:
        runtime = self._runtime
        tunnels = runtime.tunnels
        states = Counter(tunnels.condition(name).state for name in tunnels.rows)
        counts = runtime.endpoint.counts()
        settings = runtime.endpoint.settings
        return {
            **self._release(),
            "api": API,
            "pid": os.getpid(),
            "ports": {"ike": settings.ike_port, "natt": settings.natt_port},
            "counts": {
                "tunnels": dict(states),
                "ike_sas": counts.ike,
                "child_sas": counts.children,
                "sent": runtime.executor.sent,
                "repaired": dict(runtime.repairs.counts),
                **runtime.counts,
            },
            "repairs": shown_repairs(runtime.repairs.record("")),
            "unknown_peers": runtime.unknown_peers.shown(runtime.clock(), runtime.endpoint.peers()),
            "features": runtime.host.features(),
        }

    def _release(self) -> dict[str, Any]:
        """Which release runs, and for how long."""
        return {"version": VERSION, "release": DIGEST, "uptime": round(time.monotonic() - self._began, 1)}

    async def _end(self, params: dict[str, Any], connection: Connection) -> Any:
        # After the answer has left.
        asyncio.get_running_loop().call_later(0.05, self._stop, params["keep"])
        return {"stopping": True}

    async def _plan(self, params: dict[str, Any], connection: Connection) -> Any:
        async with self._changing:
            plan, conditions = await self._make_plan(params, self._runtime.repairs.look)
            answer = await asyncio.to_thread(self._shown, plan)
            for row in answer["tunnels"]:
                row |= _standing(conditions.get(row["name"], UNKNOWN))
            return answer

    async def _apply(self, params: dict[str, Any], connection: Connection) -> Any:
        async with self._changing:
            plan, conditions = await self._make_plan(params, self._runtime.repairs.mend)
            answer = await asyncio.to_thread(self._shown, plan)
            changes = stored_changes(plan.steps)
            # The disk may take its time; tunnels must not wait for it.
            outcome = await asyncio.to_thread(self._runtime.store.commit, changes) if changes else {}
            tunnels = self._runtime.tunnels
            # What goes makes room first: others may get its selectors, and take its policies over.
            order = sorted(range(len(plan.steps)), key=lambda position: plan.steps[position].action != "removed")
            again = _renamed(plan)
            with self._runtime.policies.together():
                async for position in in_slices(order):
                    step = plan.steps[position]
                    if step.name not in again.values():
                        self._note_peer(step)
                    row = outcome[step.name] if step.name in outcome else tunnels.rows.get(step.name)
                    if row is not None and step.name in again:
                        tunnels.rename(again[step.name], step, row)
                    elif step.name not in again.values():
                        tunnels.carry_out(step, row)
                    shown = answer["tunnels"][position]
                    if row is not None:
                        shown["number"] = row.number
                    shown["manager_number"] = tunnels.numbers.of(step.name)
                    untouched = step.stands and step.name in conditions
                    shown |= _standing(conditions[step.name] if untouched else tunnels.condition(step.name))
            self._runtime.loop.turned()
            return answer

    def _note_peer(self, step: Step) -> None:
        """Whose tunnel goes may not know, and ask in vain; whose is defined asks in vain no more."""
        peers = self._runtime.unknown_peers
        if step.action == "removed" and step.before is not None:
            for address in addresses_of(step.before.definition.document):
                peers.removed(step.name, address, self._runtime.clock())
        elif step.action in ("created", "changed") and step.after is not None:
            for address in addresses_of(step.after.definition.document):
                peers.met(address)

    async def _make_plan(self, params: dict[str, Any], compare: Compare) -> tuple[Plan, dict[str, Condition]]:
        """The plan, and how the tunnels are that it names.

        :param compare: tells of these tunnels what the kernel lacked since a task was last told.
        """
        tunnels = self._runtime.tunnels
        if params["state"] in ("active", "enabled") and params["definitions"]:
            self._runtime.host.require_esp()
        names = {raw["name"] for raw in params["definitions"] if isinstance(raw.get("name"), str)}
        known = names & tunnels.rows.keys()
        repaired = compare(known)
        conditions = {name: tunnels.condition(name) async for name in in_slices(known)}
        rows = dict(tunnels.rows)
        # A plan is a pure function, and thousands of definitions take a while.
        plan = await asyncio.to_thread(make_plan, params, rows, lambda name: conditions[name].running(), repaired)
        await asyncio.to_thread(tunnels.places.interfaces.vet, plan.steps)
        defined = [step.after.definition for step in plan.steps if step.after is not None]
        return replace(plan, warnings=plan.warnings + self._runtime.bypass.warnings(defined)), conditions

    def _shown(self, plan: Plan) -> dict[str, Any]:
        rows, numbers = self._runtime.tunnels.rows, self._runtime.tunnels.numbers
        return {
            "changed": plan.changed,
            "tunnels": [
                step.shown(rows[step.name].number if step.name in rows else 0)
                | {"manager_number": numbers.of(step.name)}
                for step in plan.steps
            ],
            "warnings": plan.warnings,
        }

    async def _wait(self, params: dict[str, Any], connection: Connection) -> Any:
        began = time.monotonic()
        tunnels = self._runtime.tunnels
        self._runtime.repairs.hurry()
        names = list(dict.fromkeys(params.get("names", tunnels.rows)))
        until, phase, only = params["until"], params.get("phase"), {}
        for asked in params.get("only_children", ()):
            only[asked["name"]] = asked["children"]
        waiting = await self._watches.until(
            names, lambda name: reached(tunnels.condition(name), until, phase, only.get(name)), params["timeout"]
        )
        found = [_waited(name, tunnels.condition(name), name not in waiting) for name in names]
        return {"reached": not waiting, "waited": round(time.monotonic() - began, 3), "tunnels": found}

    async def _list(self, params: dict[str, Any], connection: Connection) -> Any:
        runtime = self._runtime
        runtime.repairs.hurry()
        if "role" in params and params["source"] == "database":
            remedy = "leave it out, or list the manager"
            raise InputError("role", params["role"], "has no meaning in the database", remedy)
        unknown = [name for name in params.get("names", ()) if runtime.tunnels.row(name) is None]
        if unknown:
            known = nearest(unknown[0], runtime.tunnels.rows) if runtime.tunnels.rows else "nothing is defined"
            raise InputError("names", unknown[0], "is not defined here", known)
        views: dict[str, list[Any]] = {}
        counters: Mapping[Any, Any] = {}
        if params["verbose"]:
            async for sa in in_slices(runtime.endpoint.sas()):
                views.setdefault(sa.tunnel, []).append(sa)
        if params["verbose"] or runtime.endpoint.counts().children <= _FEW_CHILDREN:
            counters = runtime.look_at_traffic()
        tunnels = runtime.tunnels
        rows = select(tunnels, params)
        found = [look(tunnels, row) async for row in in_slices(rows)]
        entries = listing(tunnels, found, views, counters, params, runtime.clock(), runtime.traffic)
        return {
            "tunnels": [entry async for entry in in_slices(entries)],
            "manager": self._release(),
            "unknown_peers": runtime.unknown_peers.shown(runtime.clock(), runtime.endpoint.peers()),
        }

    async def _log_level(self, params: dict[str, Any], connection: Connection) -> Any:
        log = self._runtime.log
        before = log.level
        log.level = params.get("level", before)
        return {"level": log.level, "before": before}

    async def _subscribe(self, params: dict[str, Any], connection: Connection) -> Any:
        names = set(params["names"]) if "names" in params else None

        def deliver(event: dict[str, Any]) -> None:
            if names is None or event["tunnel"] in names:
                connection.notify(event)

        self._runtime.subscribers.add(deliver)
        connection.closing.append(lambda: self._runtime.subscribers.discard(deliver))
        return {"subscribed": True}


def _renamed(plan: Plan) -> dict[str, str]:
    """New name -> old name of what goes on under another one."""
    removed = {step.name: step.before for step in plan.steps if step.action == "removed" and step.before is not None}
    created = [
        (step.name, step.after.wanted, step.after.definition)
        for step in plan.steps
        if step.action == "created" and step.after is not None
    ]
    return renames(removed, created) if removed and created else {}


def _standing(how: Condition) -> dict[str, str]:
    """How a tunnel is, as answers about changes tell it."""
    return {"state": how.state, "reason": how.reason, "story": how.story, "remedy": how.remedy}


def _waited(name: str, how: Condition, done: bool) -> dict[str, Any]:
    return {
        "name": name,
        "reached": done,
        "state": how.state,
        "phase1": how.phase1,
        "phase2": how.phase2,
        "reason": "" if done else how.reason,
        "story": "" if done else how.story,
        "remedy": "" if done else how.remedy,
    }
