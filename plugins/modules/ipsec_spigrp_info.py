#!/usr/bin/python

# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: ipsec_spigrp_info
short_description: List groups of IPsec SAs
version_added: 0.2.0
author:
  - fleet.ipsec contributors (@fleet-ipsec)
description:
  - Lists the groups of SAs and every SA that is in none - what C(ipsec spigrp) without words does.
  - Reads a classic table instead where O(file) names one.
  - Needs no tunnel manager.
extends_documentation_fragment:
  - fleet.ipsec.attributes
attributes:
  check_mode:
    support: full
    details: It changes nothing.
  diff_mode:
    support: none
    details: There is nothing to compare.
options:
  saids:
    description:
      - Only the groups that one of these SAs is in, and these SAs where they are in none. SAIDs as
        O(fleet.ipsec.ipsec_spigrp#module:sas) takes them.
      - One that there is not lists nothing, and so does an empty list.
    type: list
    elements: str
  file:
    description:
      - A classic table on the gateway to list instead of what the kernel has, such as V(/proc/net/ipsec_spigrp) of a KLIPS
        kernel, or a copy of one.
      - Tables with a line per group and tables with a line per SA are read alike.
    type: path
  runtime_dir:
    description: Directory where the registry of groups is on the gateway.
    type: path
    default: /run/fleet-ipsec
seealso:
  - module: fleet.ipsec.ipsec_spigrp
  - module: fleet.ipsec.ipsec_sa_info
  - module: fleet.ipsec.ipsec_eroute_facts
"""

EXAMPLES = r"""
- name: See what is grouped
  fleet.ipsec.ipsec_spigrp_info:
  register: spigrp

- name: Notice groups that lost an SA
  ansible.builtin.assert:
    that: spigrp.groups | selectattr('missing') | length == 0

- name: See the group of one SA
  fleet.ipsec.ipsec_spigrp_info:
    saids: [esp.115@192.0.2.2]

- name: See what a KLIPS kernel had, from a copy of its table
  fleet.ipsec.ipsec_spigrp_info:
    file: /root/ipsec_spigrp.saved
"""

RETURN = r"""
groups:
  description: Every group and every SA that is in none.
  returned: success
  type: list
  elements: dict
  contains:
    said:
      description: The first SA, which names the group.
      type: str
      sample: tun.113@192.0.2.2
    sas:
      description: All SAs, the innermost first; one for an SA in no group.
      type: list
      elements: str
      sample: [tun.113@192.0.2.2, esp.115@192.0.2.2, ah.116@192.0.2.2]
    missing:
      description: Those of them that the kernel has no more; ungroup it then. Nothing is missing in a O(file).
      type: list
      elements: str
      sample: []
    direction:
      description: V(in) when the outermost SA ends at this host, else V(out).
      type: str
      sample: out
    line:
      description: The line of the classic listing.
      type: str
      sample: tun0x113@192.0.2.2 esp0x115@192.0.2.2 ah0x116@192.0.2.2
lines:
  description: The classic listing with a line per group, as KLIPS had it at first.
  returned: success
  type: list
  elements: str
  sample: [tun0x113@192.0.2.2 esp0x115@192.0.2.2]
lines_per_sa:
  description: The classic listing with a line per SA, from it outward, as KLIPS had it in the end.
  returned: success
  type: list
  elements: str
  sample: [tun0x113@192.0.2.2 esp0x115@192.0.2.2, esp0x115@192.0.2.2]
unreadable:
  description: Lines of O(file) that could not be read.
  returned: with O(file)
  type: list
  elements: dict
  contains:
    number:
      description: Number of the line, from 1.
      type: int
    line:
      description: The line; of a long one its beginning and its end.
      type: str
    reason:
      description: What is wrong with it.
      type: str
  sample: []
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fleet.ipsec.plugins.module_utils.engine.classic import proc_files
from ansible_collections.fleet.ipsec.plugins.module_utils.engine.classic.groups import read_file, read_listing
from ansible_collections.fleet.ipsec.plugins.module_utils.engine.classic.positional import parse_named
from ansible_collections.fleet.ipsec.plugins.module_utils.engine.errors import EngineError
from ansible_collections.fleet.ipsec.plugins.module_utils.engine.kernel.addresses import is_local
from ansible_collections.fleet.ipsec.plugins.module_utils.groups import listed
from ansible_collections.fleet.ipsec.plugins.module_utils.misplaced import GuardedModule

ARGUMENT_SPEC: dict[str, dict[str, Any]] = {
    "saids": {"type": "list", "elements": "str"},
    "file": {"type": "path"},
    "runtime_dir": {"type": "path", "default": "/run/fleet-ipsec"},
}


def run(module: AnsibleModule) -> dict[str, Any]:
    """List as the task says; returns its result.

    :raises EngineError: for a file that cannot be read, a name that is none, and a kernel that cannot be asked.
    """
    params, extra = module.params, {}
    wanted = {parse_named(text, f"saids[{number}]") for number, text in enumerate(params["saids"] or ())}
    if params["file"]:
        groups, problems = read_file(proc_files.read_file("file", params["file"]), is_local)
        for problem in problems:
            module.warn(f"{params['file']}, line {problem.number}: {problem.reason}")
        extra = {"unreadable": [problem._asdict() for problem in problems]}
    else:
        groups = read_listing(params["runtime_dir"])
    if params["saids"] is not None:
        groups = [group for group in groups if wanted.intersection(group.sas)]
    return {**listed(groups), **extra}


def main() -> None:
    """Entry point."""
    module = GuardedModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    try:
        result = run(module)
    except EngineError as exc:
        module.fail_json(msg=str(exc), changed=False)
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
