#!/usr/bin/python

# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: ipsec_eroute_facts
short_description: Read what happens to outgoing packets, and the groups of SAs
version_added: 0.1.0
author:
  - fleet.ipsec contributors (@fleet-ipsec)
description:
  - Returns the kernel's outgoing IPsec policies as eroutes, and its SAs as groups, as facts.
  - Needs no tunnel manager. Whatever else put policies into the kernel is listed too; only what this collection made
    has an owner and the name of its tunnel.
  - Reads the classic table instead where one is, see O(path). Lines of C(ipsec look) are read too.
extends_documentation_fragment:
  - fleet.ipsec.attributes
attributes:
  check_mode:
    support: full
    details: It only reads.
  diff_mode:
    support: none
    details: It changes nothing.
options:
  format:
    description:
      - V(structured) returns values.
      - V(klips) returns the classic text lines as well.
    type: str
    choices: [structured, klips]
    default: structured
  path:
    description:
      - A file with the text of C(/proc/net/ipsec_eroute) to read instead of the kernel's policies.
      - When it is not given and C(/proc/net/ipsec_eroute) exists, that is read.
    type: path
  spigrp_path:
    description:
      - The same for C(/proc/net/ipsec_spigrp) and the groups.
    type: path
  runtime_dir:
    description:
      - Directory in which the tunnel manager keeps the names of tunnels and groups.
    type: path
    default: /run/fleet-ipsec
seealso:
  - module: fleet.ipsec.ipsec_eroute
  - module: fleet.ipsec.ipsec_tunnel_info
  - module: fleet.ipsec.ipsec_spigrp
"""

EXAMPLES = r"""
- name: Read the eroutes
  fleet.ipsec.ipsec_eroute_facts:

- name: Fail when a tunnel is down
  ansible.builtin.assert:
    that: ansible_facts.ipsec_eroutes | selectattr('action', 'equalto', 'trap') | length == 0

- name: Print the classic lines
  fleet.ipsec.ipsec_eroute_facts:
    format: klips
  register: found

- name: Show them
  ansible.builtin.debug:
    var: found.ansible_facts.ipsec_eroute_lines
"""

RETURN = r"""
ansible_facts:
  description: The tables.
  returned: always
  type: dict
  contains:
    ipsec_eroutes:
      description: The eroutes, in the order in which the kernel tries them.
      type: list
      elements: dict
      contains:
        packets:
          description:
            - Packets that the first SA of the group carried, which begins at 0 with every rekey.
            - For an eroute that M(fleet.ipsec.ipsec_eroute) counts, the packets that matched it; V(0) for all other policies,
              which the kernel does not count. Null in a classic table without counts.
          type: int
        packets_shared:
          description: Whether it is the count of an SA that other eroutes use, so that it is theirs too.
          type: bool
        source:
          description: Network the packets come from.
          type: str
          sample: 10.1.0.0/24
        source_ports:
          description: Lowest and highest source port; two zeros for every port. For ICMP the type.
          type: list
          elements: int
        destination:
          description: Network the packets go to.
          type: str
          sample: 10.2.0.0/24
        destination_ports:
          description: Lowest and highest destination port; two zeros for every port. For ICMP the code.
          type: list
          elements: int
        protocol:
          description: IP protocol number, 0 for all.
          type: int
        said:
          description:
            - The first SA of the group, or V(%pass), V(%drop), V(%reject), V(%trap), V(%hold).
            - A classic table may also have V(%trapsubnet), V(%passthrough), V(%passthrough4), V(%passthrough6) and
              V(%unk-N), N being a number.
          type: str
          sample: esp.c0de1001@198.51.100.2
        sas:
          description: All SAs of the group, innermost first; empty when O(ignore:said) is an action.
          type: list
          elements: str
        action:
          description:
            - What happens. V(ipsec) - an SA protects the packets; V(pass), V(drop), V(reject); V(trap) - the next packet asks for
              an SA; V(hold) - a packet has asked, and waits for it.
            - V(unknown) for V(%unk-N) in a classic table.
          type: str
          sample: ipsec
        priority:
          description: The lowest number is tried first. Null in a classic table.
          type: int
        reqid:
          description: The kernel's request ID. Null in a classic table.
          type: int
        owner:
          description:
            - Owner tag of the tunnel, or of the M(fleet.ipsec.ipsec_eroute) that set it; V(fleet-ipsec-manager) for what the
              tunnel manager needs itself, to let neighbour discovery pass. Null when it is none of ours.
          type: str
        tunnel:
          description: Name of the tunnel, null when it is none of ours.
          type: str
        child:
          description: Name of the child, null when it is none of ours.
          type: str
        if_id:
          description: ID of the XFRM interface whose packets alone it is for, 0 for none. Null in a classic table.
          type: int
        source_identity:
          description:
            - Identity of the tunnel's end here, or what a classic table has in its first parentheses; null without.
          type: str
          sample: hq.example.net
        destination_identity:
          description:
            - Identity of the tunnel's peer, or what a classic table has in its second parentheses; null without.
          type: str
          sample: branch1.example.net
    ipsec_spigrps:
      description: Groups of SAs, each innermost first; an SA in no group stands alone.
      type: list
      elements: list
      sample: [["esp.c0de1001@198.51.100.2"]]
    ipsec_eroute_lines:
      description: The eroutes as lines of C(/proc/net/ipsec_eroute).
      returned: with O(format=klips)
      type: list
      elements: str
    ipsec_spigrp_lines:
      description: The groups as lines of C(/proc/net/ipsec_spigrp).
      returned: with O(format=klips)
      type: list
      elements: str
unreadable:
  description: Lines of a classic table that could not be read.
  returned: always
  type: list
  elements: dict
  contains:
    path:
      description: The file.
      type: str
    number:
      description: Number of the line, from 1.
      type: int
    line:
      description: The line; of a long one its beginning and its end.
      type: str
    reason:
      description: What is wrong with it.
      type: str
"""

from typing import Any

from ansible_collections.fleet.ipsec.plugins.module_utils.engine.classic import proc_files
from ansible_collections.fleet.ipsec.plugins.module_utils.engine.classic.klips import (
    format_eroute,
    group_lines,
    read_eroutes,
    read_groups,
)
from ansible_collections.fleet.ipsec.plugins.module_utils.engine.classic.views import Tables, read_tables
from ansible_collections.fleet.ipsec.plugins.module_utils.engine.errors import EngineError
from ansible_collections.fleet.ipsec.plugins.module_utils.misplaced import GuardedModule

ARGUMENT_SPEC: dict[str, dict[str, Any]] = {
    "format": {"type": "str", "choices": ["structured", "klips"], "default": "structured"},
    "path": {"type": "path"},
    "spigrp_path": {"type": "path"},
    "runtime_dir": {"type": "path", "default": "/run/fleet-ipsec"},
}


def run(params: dict[str, Any]) -> dict[str, Any]:
    """Read both tables as ``params`` say; returns what the task returns.

    :raises EngineError: for a file that cannot be read and for a kernel that cannot be asked.
    """
    eroute_path = proc_files.path_of(params["path"], proc_files.EROUTES)
    group_path = proc_files.path_of(params["spigrp_path"], proc_files.GROUPS)
    unreadable: list[dict[str, Any]] = []
    tables = read_tables(params["runtime_dir"]) if not (eroute_path and group_path) else Tables([], [])
    if eroute_path:
        lines, problems = read_eroutes(proc_files.read_file("path", eroute_path))
        unreadable += [{"path": eroute_path, **problem._asdict()} for problem in problems]
        eroutes = [proc_files.row_of(line) for line in lines]
    else:
        lines = [eroute.line() for eroute in tables.eroutes]
        eroutes = [eroute.row() for eroute in tables.eroutes]
    if group_path:
        groups, problems = read_groups(proc_files.read_file("spigrp_path", group_path))
        unreadable += [{"path": group_path, **problem._asdict()} for problem in problems]
    else:
        groups = tables.groups
    facts: dict[str, Any] = {
        "ipsec_eroutes": eroutes,
        "ipsec_spigrps": [[str(said) for said in members] for members in groups],
    }
    if params["format"] == "klips":
        facts["ipsec_eroute_lines"] = [format_eroute(line) for line in lines]
        facts["ipsec_spigrp_lines"] = group_lines(groups)
    return {"ansible_facts": facts, "unreadable": unreadable}


def main() -> None:
    """Entry point."""
    module = GuardedModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    try:
        result = run(module.params)
    except EngineError as exc:
        module.fail_json(msg=str(exc), changed=False)
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
