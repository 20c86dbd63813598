# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A world whose managers end and begin again."""

from __future__ import annotations

from engine.definition.parsing import parse_definition
from engine.ike.settings import Settings
from engine.manager.plan import Step
from engine.manager.runtime import Runtime
from engine.manager.store import Put, Store
from manager_lab import SECRET
from runtime_world import World


class Restarting(World):
    """The left end ends without a word, and another one begins."""

    folder = None

    def __init__(self, folder) -> None:
        super().__init__(folder)
        self.folder = folder
        for runtime, wanted, ends in ((self.right, "present", ("2", "1")), (self.left, "active", ("1", "2"))):
            row = self.store(runtime, wanted, ends)
            runtime.tunnels.carry_out(Step("t", "created", "none", None, Put("me", "active", row.definition)), row)
        self.run(5)
        assert self.state(self.left) == self.state(self.right) == "active"

    def store(self, runtime: Runtime, wanted: str, ends: tuple[str, str] = ("1", "2"), **changes: object):
        """Commit a definition, and no more."""
        us, them = ends
        raw = {
            "name": "t",
            "local": {"address": f"10.0.0.{us}"},
            "remote": {"address": f"10.0.0.{them}"},
            "auth": {"secret": SECRET},
            "children": [
                {"name": "lan", "local": [f"10.{us}.0.0/16"], "remote": [f"10.{them}.0.0/16"]}
                | changes.pop("child", {})
            ],
        } | changes
        (row,) = runtime.store.commit([Put("me", wanted, parse_definition(raw))]).values()
        return row

    def restart(self) -> Runtime:
        old = self.left
        old.journal.close()
        old.store.close()
        path = str(self.folder / "left" / "definitions.sqlite")
        new = Runtime(Store(path), old.host, self.wire, old.log, Settings(), lambda: self.now)
        self.wire.at["10.0.0.1"] = self.left = new
        new.begin()
        return new

    @property
    def sas(self) -> dict:
        return self.left.host.gateway.sas
