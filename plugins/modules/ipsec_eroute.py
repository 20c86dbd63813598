#!/usr/bin/python

# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: ipsec_eroute
short_description: Set what happens to packets without a tunnel - pass, drop, reject, trap - or lead them to an SA
version_added: 0.2.0
author:
  - fleet.ipsec contributors (@fleet-ipsec)
description:
  - Sets and removes eroutes of one's own, one or thousands in a task - what C(ipsec eroute --add) and C(--del) do.
  - A shunt lets packets pass in clear, drops or rejects them, or traps them until there is an SA. With O(said) packets are led
    to an SA, or a group of SAs, that is there.
  - Eroutes are policies of the kernel. They stay when the tunnel manager ends or restarts, and are gone after a reboot.
    Role P(fleet.ipsec.fleet#role) sets those of C(fleet_ipsec_shunts) whenever it runs.
  - Only what this module or the command has set is ever changed or removed. A policy of another program or of a tunnel with
    the same selectors is an error.
  - Either all of it is done or nothing.
extends_documentation_fragment:
  - fleet.ipsec.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
options:
  source: &source
    description:
      - Network that the packets come from. A single address is that host; V(0/0) or V(any) is everything. Host bits are cleared.
      - An eroute is about all packets of its networks that this host sends or forwards, those of its own address among them.
        The module warns when that stops this host from talking to its neighbours.
    type: str
  destination: &destination
    description: Network that the packets go to.
    type: str
  protocol: &protocol
    description: Transport protocol, by name or number. Every protocol when left out.
    type: str
  source_port: &source_port
    description: Source port, by number or name of a service. Needs a O(protocol) with ports. Every port when left out.
    type: str
  destination_port: &destination_port
    description: Destination port, likewise.
    type: str
  action: &action
    description:
      - V(pass) lets the packets through in clear.
      - V(drop) drops them. A local program that sends gets C(EPERM); of forwarded packets nobody hears.
      - V(reject) drops them too, and the sender of a forwarded packet is told (ICMP destination unreachable, communication
        administratively prohibited - code 13, for IPv6 code 1). A local program gets C(EPERM). Needs nftables, Linux 5.9.
      - V(trap) stops them until there is an SA. The first asks the IKE daemon for one (ACQUIRE) and becomes a C(%hold).
        For tunnels of this collection use C(start=trap) of M(fleet.ipsec.ipsec_tunnel) instead, which starts the tunnel.
    type: str
    choices: [pass, drop, reject, trap]
  said: &said
    description:
      - The SA to send the packets through, such as V(esp.1a2b@192.0.2.1), or the first SA of a group made by
        M(fleet.ipsec.ipsec_spigrp), such as V(tun.113@192.0.2.1). It must exist.
      - An eroute names one SA. When the tunnel manager rekeys its SAs, tunnels follow and eroutes like these do not.
      - V(%pass), V(%drop), V(%reject) and V(%trap) stand for an O(action).
    type: str
  direction: &direction
    description:
      - V(out) is for packets that leave, V(in) for packets that arrive for this host or to be forwarded, written as they travel.
      - V(both) is for packets that leave and, the networks exchanged, for what comes back. Without it a tunnel that
        would have taken the packets refuses the answers, as they come in clear.
      - V(both) for V(pass) when left out, V(out) for all others. V(reject) and V(trap) are for V(out) only.
      - With O(said), V(in) accepts what arrives through that SA, which ends here. In tunnel mode nothing is accepted
        without.
    type: str
    choices: [out, in, both]
  precedence: &precedence
    description:
      - V(first) stands before every tunnel. Among these the most specific one wins.
      - V(specific) stands among the tunnels, and the most specific one of all wins, as in a classic eroute table.
      - V(first) when left out, but then the module fails rather than take all packets of a tunnel that exists.
      - With O(said) always V(specific); V(reject) is always V(first).
    type: str
    choices: [first, specific]
  count: &count
    description:
      - Whether nftables counts the packets, for C(packets) of M(fleet.ipsec.ipsec_eroute_facts). Every counted eroute is one more
        rule that forwarded packets are compared with. What a local program is not allowed to send is never a packet, and not counted.
      - When left out, they are counted where nftables is installed.
      - With O(precedence=specific) only V(pass) can be counted, and with O(said) what leads to an SA that
        M(fleet.ipsec.ipsec_sa) or C(ipsec spi) made; another SA counts all that leads to it.
    type: bool
  eroutes:
    description: Many eroutes at once, instead of O(source), O(destination) and all that belongs to one.
    type: list
    elements: dict
    suboptions:
      source: *source
      destination: *destination
      protocol: *protocol
      source_port: *source_port
      destination_port: *destination_port
      action: *action
      said: *said
      direction: *direction
      precedence: *precedence
      count: *count
  state:
    description:
      - V(present) sets them; one with the same selectors is replaced, and packets that it held are sent.
      - V(absent) removes those with these selectors. What was not set by this module is left alone.
    type: str
    choices: [present, absent]
    default: present
  owner:
    description: Whose eroutes these are. One of another owner is neither replaced nor removed; that is an error.
    type: str
    default: ansible
  purge:
    description: Remove all eroutes of the same O(owner) that are not listed in O(eroutes).
    type: bool
    default: false
  runtime_dir:
    description: Directory where the registry of eroutes is on the gateway.
    type: path
    default: /run/fleet-ipsec
notes:
  - Rules for nftables are in a table of their own, C(inet fleet_ipsec_shunts). Programs that flush all rules take the ICMP and the
    counters away, but no policy - V(reject) is V(drop) then, until the task runs again.
seealso:
  - module: fleet.ipsec.ipsec_eroute_facts
  - module: fleet.ipsec.ipsec_tunnel
  - module: fleet.ipsec.ipsec_spigrp
"""

EXAMPLES = r"""
- name: Let the monitoring host through in clear
  fleet.ipsec.ipsec_eroute:
    source: 10.1.0.5
    destination: 10.9.0.0/24
    protocol: tcp
    destination_port: "5666"
    action: pass

- name: These eroutes of ours and no others
  fleet.ipsec.ipsec_eroute:
    eroutes:
      - {source: 10.1.0.0/16, destination: 10.66.0.0/16, action: reject}
      - {source: 10.1.0.0/16, destination: 0/0, protocol: tcp, destination_port: smtp, action: drop}
    owner: office
    purge: true

- name: Drop what no tunnel takes
  fleet.ipsec.ipsec_eroute:
    source: 10.1.0.0/16
    destination: 10.0.0.0/8
    action: drop
    precedence: specific

- name: Lead packets to a group of SAs that was keyed by hand, and accept what comes back through another
  fleet.ipsec.ipsec_eroute:
    eroutes:
      - {source: 10.1.0.0/24, destination: 10.2.0.0/24, said: tun.113@192.0.2.2}
      - {source: 10.2.0.0/24, destination: 10.1.0.0/24, said: tun.213@192.0.2.1, direction: in}

- name: Remove one
  fleet.ipsec.ipsec_eroute:
    source: 10.1.0.5
    destination: 10.9.0.0/24
    protocol: tcp
    destination_port: "5666"
    state: absent
"""

RETURN = r"""
eroutes:
  description: The eroutes that changed, or would in check mode, in the order of the task, then those that O(purge) removed.
  returned: success
  type: list
  elements: dict
  contains:
    line:
      description: The eroute in classic words, without a count.
      type: str
    direction:
      description: V(out), V(in) or V(both).
      type: str
    owner:
      description: Whose it is.
      type: str
    precedence:
      description: V(first) or V(specific).
      type: str
    counted:
      description: Whether nftables counts its packets.
      type: bool
    change:
      description: V(added), V(changed), V(removed), or V(repaired) when policies of it were missing or different in the kernel.
      type: str
  sample:
    - line: 10.1.0.0/16 -> 10.66.0.0/16 => %reject
      direction: out
      owner: office
      precedence: first
      counted: true
      change: added
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from ansible_collections.fleet.ipsec.plugins.module_utils.engine.classic.eroute_words import (
    Words,
    build,
    check_family,
    check_owner,
    read_direction,
    read_selector,
    read_target,
)
from ansible_collections.fleet.ipsec.plugins.module_utils.engine.classic.shunt import Key
from ansible_collections.fleet.ipsec.plugins.module_utils.engine.classic.shunt_plan import (
    Plan,
    plan_absent,
    plan_present,
)
from ansible_collections.fleet.ipsec.plugins.module_utils.engine.classic.shunt_snapshot import Seen
from ansible_collections.fleet.ipsec.plugins.module_utils.engine.classic.shunt_wish import Wish
from ansible_collections.fleet.ipsec.plugins.module_utils.engine.classic.shunts import perform, preview, show
from ansible_collections.fleet.ipsec.plugins.module_utils.engine.errors import EngineError, InputError
from ansible_collections.fleet.ipsec.plugins.module_utils.engine.kernel.values import IN
from ansible_collections.fleet.ipsec.plugins.module_utils.misplaced import GuardedModule

EROUTE: dict[str, dict[str, Any]] = {
    "source": {"type": "str"},
    "destination": {"type": "str"},
    "protocol": {"type": "str"},
    "source_port": {"type": "str"},
    "destination_port": {"type": "str"},
    "action": {"type": "str", "choices": ["pass", "drop", "reject", "trap"]},
    "said": {"type": "str"},
    "direction": {"type": "str", "choices": ["out", "in", "both"]},
    "precedence": {"type": "str", "choices": ["first", "specific"]},
    "count": {"type": "bool"},
}
ARGUMENT_SPEC: dict[str, dict[str, Any]] = {
    **EROUTE,
    "eroutes": {"type": "list", "elements": "dict", "options": EROUTE},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "owner": {"type": "str", "default": "ansible"},
    "purge": {"type": "bool", "default": False},
    "runtime_dir": {"type": "path", "default": "/run/fleet-ipsec"},
}

Name = Callable[[str], str]


def entries(params: Mapping[str, Any]) -> list[tuple[Mapping[str, Any], Name]]:
    """The eroutes of the task, each with what its fields are called.

    :raises InputError: there is none.
    """
    if params["eroutes"] is None:
        return [(params, lambda field: field)]
    return [(each, partial("eroutes[{}].{}".format, number)) for number, each in enumerate(params["eroutes"])]


def words_of(entry: Mapping[str, Any]) -> Words:
    """The part of an entry that says which packets."""
    return Words(*(entry[field] for field in Words._fields[:-1]))


def wish(entry: Mapping[str, Any], name: Name, owner: str) -> Wish:
    """An eroute that is to be there.

    :raises InputError: naming the option.
    """
    if (entry["action"] is None) == (entry["said"] is None):
        problem = "is missing" if entry["action"] is None else "stands beside said"
        raise InputError(name("action"), entry["action"], problem, "give either action or said")
    selector = read_selector(words_of(entry), name)
    target = read_target(entry["said"] or f"%{entry['action']}", name("said"))
    check_family(entry["said"], selector, name("said"))
    direction = read_direction(entry["direction"], target[0], name("direction"))
    precedence = entry["precedence"]
    first = None if precedence is None else precedence == "first"
    return Wish(build(selector, target, direction, owner), name, first, entry["count"])


def key(entry: Mapping[str, Any], name: Name) -> tuple[Key, Name]:
    """An eroute that is to be gone.

    :raises InputError: naming the option.
    """
    return (read_selector(words_of(entry), name), entry["direction"] == IN), name


def decision(params: Mapping[str, Any]) -> Callable[[Seen], Plan]:
    """What to do, once it is known what there is.

    :raises InputError: for what cannot be done.
    """
    if params["purge"] and (params["eroutes"] is None or params["state"] == "absent"):
        raise InputError(
            "purge", True, "needs the list of eroutes that stay", "write them in eroutes, with state=present"
        )
    owner = check_owner(params["owner"], "owner")
    if params["state"] == "absent":
        keys = [key(*entry) for entry in entries(params)]
        return partial(plan_absent, keys=keys, owner=owner)
    wishes = [wish(*entry, owner) for entry in entries(params)]
    return partial(plan_present, wishes=wishes, owner=owner, purge=params["purge"])


def changes(plan: Plan) -> list[dict[str, Any]]:
    """What changed, for the result."""
    found = []
    for change in plan.changes:
        shunt = change.after if change.after is not None else change.before
        if shunt is None:
            continue
        if change.after is None:
            verb = "removed"
        elif change.before is None:
            verb = "added"
        else:
            verb = "repaired" if change.before == change.after else "changed"
        found.append(
            {
                "line": shunt.line,
                "direction": shunt.direction,
                "owner": shunt.owner,
                "precedence": "first" if shunt.first else "specific",
                "counted": shunt.counted,
                "change": verb,
            }
        )
    return found


def main() -> None:
    """Entry point."""
    module = GuardedModule(
        argument_spec=ARGUMENT_SPEC,
        supports_check_mode=True,
        required_one_of=[("source", "eroutes")],
        mutually_exclusive=[("eroutes", option) for option in EROUTE],
    )
    proceed = preview if module.check_mode else perform
    try:
        plan = proceed(module.params["runtime_dir"], decision(module.params))
    except EngineError as exc:
        module.fail_json(msg=str(exc), changed=False)
    for warning in plan.warnings:
        module.warn(warning)
    before, after = show(plan)
    module.exit_json(changed=plan.changed, eroutes=changes(plan), diff={"before": before, "after": after})


if __name__ == "__main__":
    main()
