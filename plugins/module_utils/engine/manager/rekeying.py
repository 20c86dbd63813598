# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``tunnels.rekey``: fresh keys because an operator wants them, waited for until they are in use."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

from ..errors import InputError
from ..ike.reasons import REASONS
from ..ike.views import ChildStage, IkeView
from .control import Connection
from .runtime import Runtime
from .states import Condition, Notice, remedy_of
from .watching import Watches, in_slices

# Reports that tell why fresh keys are still to come; those with a peer are about an attempt of somebody else's.
_SETBACKS = ("rekey_refused", "setback", "ike_failed", "child_failed")


class Keys(NamedTuple):
    """Which SAs of a tunnel are in use at a moment.

    :ivar ike: the IKE SAs that are up and stay, by number; ``children``: of each child, those that send, by number.
    """

    ike: dict[int, str]
    children: dict[str, dict[int, str]]

    @classmethod
    def of(cls, sas: Iterable[IkeView]) -> Keys:
        """Those of a tunnel's IKE SAs; what an IKE SA has that is on its way out does not count."""
        lasting = [sa for sa in sas if sa.lasting]
        children: dict[str, dict[int, str]] = {}
        for child in (child for sa in lasting for child in sa.children if child.stage is ChildStage.SENDING):
            spis = f"in {child.sa.spi_in:#010x}, out {child.sa.spi_out:#010x}"
            children.setdefault(child.name, {})[child.number] = spis
        return cls({sa.number: f"{sa.spi_i.hex()} {sa.spi_r.hex()}" for sa in lasting}, children)

    def shown(self) -> dict[str, Any]:
        """As the method answers it."""
        return {
            "ike": list(self.ike.values()),
            "children": {name: list(spis.values()) for name, spis in sorted(self.children.items())},
        }


class Rekey:
    """What is to get fresh keys of one tunnel.

    :param ike: whether its IKE SA is; ``children``: the names of those that are.
    :param before: what was in use when it was asked for.
    :param problem: why nothing of it can get any.
    :ivar setback: what the peer last had against it; ``is_over``: whether nothing more is tried.
    """

    def __init__(self, ike: bool, children: Collection[str], before: Keys, problem: Notice | None) -> None:
        self.ike = ike
        self.children = frozenset(children)
        self.before = before
        self.problem = problem
        self.setback: Notice | None = None
        self.is_over = False

    @property
    def why(self) -> Notice | None:
        """Why there are no fresh keys, or none yet, as far as it was told."""
        return self.problem or self.setback

    def is_done(self, now: Keys) -> bool:
        """Whether other SAs are in use in the place of all that were."""
        if self.ike and not _replaced(self.before.ike, now.ike):
            return False
        return all(_replaced(self.before.children[name], now.children.get(name, {})) for name in self.children)


def _replaced(before: Mapping[int, str], now: Mapping[int, str]) -> bool:
    return bool(now) and before.keys().isdisjoint(now)


def _unanswered(how: Condition) -> Notice:
    """Why there are no fresh keys where the peer says nothing of them."""
    silent = how.reason == "no_answer"
    return Notice(how.reason, how.story) if silent else Notice("", "the peer has not agreed to them yet")


class Rekeying:
    """Serves the method.

    :param watches: tell when something of a tunnel changed.
    """

    def __init__(self, runtime: Runtime, watches: Watches) -> None:
        self._runtime = runtime
        self._watches = watches

    async def serve(self, params: dict[str, Any], connection: Connection) -> Any:
        """The method ``tunnels.rekey``."""
        began = time.monotonic()
        names = list(dict.fromkeys(params["names"]))
        only = {each["name"]: each["children"] for each in params.get("only_children", ())}
        self._check(names, only, params)
        asked: dict[str, Rekey] = {}
        async for name in in_slices(names):
            asked[name] = self._asked(name, params.get("phase"), only.get(name))
        late = {name for name, rekey in asked.items() if rekey.problem}
        if not params["check"]:
            late |= await self._carry_out({name: asked[name] for name in asked.keys() - late}, params)
        found = [self._told(name, name not in late, asked[name]) async for name in in_slices(names)]
        return {"reached": not late, "waited": round(time.monotonic() - began, 3), "tunnels": found}

    def _asked(self, name: str, phase: int | None, only: Collection[str] | None) -> Rekey:
        tunnels = self._runtime.tunnels
        up: Collection[str] = () if phase == 1 else tunnels.condition(name).up - tunnels.places.shunts.of(name)
        children = up if only is None else only
        problem = self._hindrance(name, children)
        return Rekey(phase != 2 and only is None, children, self._keys(name), problem)

    def _check(self, names: Collection[str], only: Mapping[str, Collection[str]], params: Mapping[str, Any]) -> None:
        """Whether all that is named is defined.

        :raises InputError: it is not.
        """
        rows = self._runtime.tunnels.rows
        for name in (*names, *only):
            if name not in rows:
                raise InputError("names", name, "no such tunnel is defined", "ike cmd=list db lists those that are")
            if rows[name].definition.pattern is not None:
                remedy = "leave it out: what it has up is rekeyed as its lifetimes end"
                raise InputError("names", name, "is a definition for many peers", remedy)
        for name, children in only.items():
            for child in children:
                if child not in rows[name].children:
                    known = ", ".join(rows[name].children) or "none"
                    raise InputError("only_children", child, f"tunnel {name} has no such child", f"it has {known}")
            shunts = self._runtime.tunnels.places.shunts.of(name) & {*children}
            if shunts:
                raise InputError("only_children", min(shunts), "has no keys", "name children that are negotiated")
        if params["reauthenticate"] and (only or "phase" in params):
            what = "only_children" if only else "phase"
            problem = "an IKE SA that is authenticated anew has all of its children anew"
            raise InputError(what, params[what], problem, "leave it out")

    def _hindrance(self, name: str, children: Collection[str]) -> Notice | None:
        """Why nothing of a tunnel can get fresh keys just now."""
        how, there = self._runtime.tunnels.condition(name), self._keys(name).children
        down = [child for child in children if child not in there]
        if how.phase1 != "active":
            what = f"it is {how.state}, and only what is up has keys to renew"
        elif self._runtime.endpoint.awaited(name):
            what = "its definition changed, and what that asks for is negotiated already"
        elif down:
            what = f"child {down[0]} is not up"
        else:
            return None
        return Notice(how.reason or "not_started", f"{what}: {how.story}" if how.story else what)

    async def _carry_out(self, asked: dict[str, Rekey], params: Mapping[str, Any]) -> set[str]:
        """Begin all of them and wait; the names of those that did not get there."""
        runtime = self._runtime

        def heard(event: dict[str, Any]) -> None:
            rekey = asked.get(event["tunnel"])
            if rekey is not None and event["event"] in _SETBACKS and "peer" not in event["data"]:
                rekey.setback = Notice(event["data"].get("reason", ""), event["data"].get("story", ""))
                rekey.is_over |= event["event"] == "ike_failed"

        runtime.subscribers.add(heard)
        try:
            begin = self._reauthenticate if params["reauthenticate"] else self._rekey
            async for name in in_slices(asked):
                begin(name, asked[name])
            await self._watches.until(
                list(asked), lambda name: asked[name].is_over or self._is_done(name, asked[name]), params["timeout"]
            )
        finally:
            runtime.subscribers.discard(heard)
        return {name async for name in in_slices(asked) if not self._is_done(name, asked[name])}

    def _is_done(self, name: str, rekey: Rekey) -> bool:
        return rekey.is_done(self._keys(name))

    def _reauthenticate(self, name: str, rekey: Rekey) -> None:
        self._runtime.act(self._runtime.endpoint.reauthenticate(name, self._runtime.clock()))

    def _rekey(self, name: str, rekey: Rekey) -> None:
        endpoint, now = self._runtime.endpoint, self._runtime.clock()
        if rekey.ike:
            self._runtime.act(endpoint.rekey(name, now))
        if rekey.children:
            self._runtime.act(endpoint.rekey(name, now, rekey.children))

    def _keys(self, name: str) -> Keys:
        return Keys.of(self._runtime.endpoint.of_tunnel(name))

    def _told(self, name: str, done: bool, rekey: Rekey) -> dict[str, Any]:
        row = self._runtime.tunnels.rows.get(name)  # somebody may have removed it meanwhile
        how = self._runtime.tunnels.condition(name)
        why = Notice("", "") if done else rekey.why or _unanswered(how)
        reason = why.reason if why.reason in REASONS or not why.reason else "protocol_error"
        return {
            "name": name,
            "manager_number": self._runtime.tunnels.numbers.of(name),
            "reached": done,
            "before": rekey.before.shown(),
            "after": self._keys(name).shown(),
            "state": how.state,
            "reason": reason,
            "story": why.story,
            "remedy": remedy_of(row, reason) if row is not None and reason else "",
        }
