#!/usr/bin/python

# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: gateway_sweep
short_description: Take everything of this collection out of a gateway's kernel
version_added: 0.2.0
author:
  - fleet.ipsec contributors (@fleet-ipsec)
description:
  - Removes SAs, policies, routes, interfaces and tables of nftables that carry the marks of this collection, where the tunnel
    manager does not run and perhaps cannot. Nothing of other programs is touched.
  - Peers are not told; they notice by their dead-peer detection. A running tunnel manager tells them.
  - Fails when something is left, and says what.
extends_documentation_fragment:
  - fleet.ipsec.attributes
  - fleet.ipsec.manager
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
    details: What is removed is counted and named.
options:
  owner:
    description:
      - Remove only the tunnels of this owner, their definitions included, so that the next tunnel manager does not bring them
        up again. Where the database is damaged, so that no tunnel manager can use it either, it is left as it is with a
        warning. Where a tunnel manager runs nothing is done, for M(fleet.ipsec.ipsec_tunnel) does it.
      - When left out, everything is removed from the kernel; a running tunnel manager is a reason to fail then. That works
        also where nobody can tell any more whose it is, because C(kernel.sqlite) in O(runtime_dir) is damaged.
    type: str
  database:
    description: The definitions.
    type: path
    default: /var/lib/fleet-ipsec/definitions.sqlite
  runtime_dir:
    description: Where it is kept whose the kernel's objects are.
    type: path
    default: /run/fleet-ipsec
seealso:
  - module: fleet.ipsec.ipsec_tunnel
"""

EXAMPLES = r"""
- name: Take the tunnels of an owner down where the tunnel manager cannot start
  fleet.ipsec.gateway_sweep:
    owner: fleet
"""

RETURN = r"""
running:
  description: Whether a tunnel manager runs.
  returned: success
  type: bool
  sample: false
answering:
  description: Whether a tunnel manager that runs answers within 10 seconds. One that does not has to be restarted.
  returned: when O(owner) is given and a tunnel manager runs
  type: bool
  version_added: 0.2.0
  sample: true
removed:
  description: How many SAs, policies, links, routes, tables and definitions were removed.
  returned: success
  type: dict
  sample: {sas: 4, policies: 6, links: 0, routes: 1, tables: 1, definitions: 2}
left:
  description: What is still there.
  returned: failure
  type: list
  elements: str
"""

import os
from collections.abc import Callable, Collection
from contextlib import closing
from functools import partial
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fleet.ipsec.plugins.module_utils.manager import ARGUMENTS, answering, listening, require_python

SHOWN = 10
# What a manager is asked takes it no time, whatever else it does.
PATIENCE_SECONDS = 10.0


def definitions(module: AnsibleModule) -> list[str]:
    """Names of the owner's definitions, which are removed from the database; none with a warning if it is damaged."""
    from ansible_collections.fleet.ipsec.plugins.module_utils.engine.errors import DamagedError
    from ansible_collections.fleet.ipsec.plugins.module_utils.engine.manager.store import Remove, Store

    path, owner = module.params["database"], module.params["owner"]
    if owner is None or not os.path.exists(path):
        return []
    try:
        store = Store(path)
        try:
            names = [row.name for row in store.load().values() if row.owner == owner]
            if names and not module.check_mode:
                store.commit([Remove(name) for name in names])
        finally:
            store.close()
    except DamagedError as error:
        module.warn(f"what is in the kernel goes, the definitions stay: {error}")
        return []
    return names


def seer(module: AnsibleModule) -> Callable[[], Any]:
    """What looks for all that is to go, as often as it is called.

    Without an owner a registry that is damaged is not needed; what it alone could tell is warned of.
    """
    from ansible_collections.fleet.ipsec.plugins.module_utils.engine.errors import DamagedError
    from ansible_collections.fleet.ipsec.plugins.module_utils.engine.kernel import sweep
    from ansible_collections.fleet.ipsec.plugins.module_utils.engine.kernel.registry import RegistryView

    owner = module.params["owner"]
    by_hand: Collection[Any] = ()
    try:
        with closing(RegistryView(module.params["runtime_dir"])) as registry:
            if owner is not None:
                return partial(sweep.look_for, owner, registry.children())
            by_hand = registry.manual_sas()
    except DamagedError as error:
        if owner is not None:
            raise
        module.warn(f"SAs keyed by hand stay where they have a request ID that somebody chose: {error.what}")
    return partial(sweep.look, by_hand)


def main() -> None:
    """Entry point."""
    module = AnsibleModule(
        argument_spec={
            "owner": {"type": "str"},
            "database": {"type": "path", "default": "/var/lib/fleet-ipsec/definitions.sqlite"},
            "runtime_dir": {"type": "path", "default": "/run/fleet-ipsec"},
            **ARGUMENTS,
        },
        supports_check_mode=True,
    )
    require_python(module)
    from ansible_collections.fleet.ipsec.plugins.module_utils.engine.errors import EngineError
    from ansible_collections.fleet.ipsec.plugins.module_utils.engine.kernel import sweep

    owner, check = module.params["owner"], module.check_mode
    running = listening(module.params["control_socket"])
    nothing: dict[str, Any] = {**sweep.Remains().counts(), "definitions": 0}
    if running and owner is not None:
        alive = answering(module.params["control_socket"], PATIENCE_SECONDS)
        module.exit_json(changed=False, running=True, answering=alive, removed=nothing)
    if running and not check:
        module.fail_json(
            msg=f"the tunnel manager runs at {module.params['control_socket']} and would put everything back; "
            "stop it first: systemctl stop fleet-ipsec-manager"
        )
    try:
        look = seer(module)
        found = look()
        names = definitions(module)
        if not check and any(found.counts().values()):
            sweep.take_out(found)
        left = [] if check else look().words()
    except EngineError as error:
        module.fail_json(msg=f"not everything of fleet.ipsec could be removed: {error}")
    if left:
        more = f" and {len(left) - SHOWN} more" if len(left) > SHOWN else ""
        module.fail_json(
            msg=f"still in the kernel: {', '.join(left[:SHOWN])}{more}; see ip xfrm state, policy", left=left
        )
    removed = {**found.counts(), "definitions": len(names)}
    module.exit_json(changed=any(removed.values()), running=running, removed=removed)


if __name__ == "__main__":
    main()
