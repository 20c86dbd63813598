# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes ``release-0.1.0.tar.xz``: run it in ``tests/unit/engine/manager`` of commit dce5db2, with a folder to write to.

Two managers have a tunnel of two children, of which one was rekeyed; the left one's IKE SA rekey is on its way.
"""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path.cwd()
sys.path[:0] = [str(HERE), str(HERE.parents[3] / "plugins" / "module_utils")]

from engine.manager.definition import parse_definition  # noqa: E402
from engine.manager.store import Put  # noqa: E402
from manager_lab import SECRET  # noqa: E402
from test_manager_resident import World  # noqa: E402


def definition(us: str, them: str) -> dict[str, object]:
    children = [
        {"name": "lan", "local": [f"10.{us}.0.0/16"], "remote": [f"10.{them}.0.0/16"]},
        {"name": "voice", "local": [f"10.{us}1.0.0/16"], "remote": [f"10.{them}1.0.0/16"]},
    ]
    ends = {"local": {"address": f"10.0.0.{us}"}, "remote": {"address": f"10.0.0.{them}"}}
    return {"name": "t", **ends, "auth": {"secret": SECRET}, "children": children}


world = World(Path(sys.argv[1]))
for resident, wanted, us, them in ((world.right, "present", "2", "1"), (world.left, "active", "1", "2")):
    (row,) = resident.store.commit([Put("me", wanted, parse_definition(definition(us, them)))]).values()
    resident.tunnels.adopt(row)
    resident._settled("t")
world.run(5)
world.left.act(world.left.endpoint.rekey("t", world.now, ["lan"]))
world.run(5)
world.left.act(world.left.endpoint.rekey("t", world.now))
for resident in (world.left, world.right):
    print(world.now, world.state(resident), sorted(resident.host.gateway.sas))
    resident.live.close()
    resident.host.close()
    resident.store.close()
