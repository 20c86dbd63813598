#!/usr/bin/python

# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: ipsec_spigrp
short_description: Group IPsec SAs, so that packets go through all of them
version_added: 0.1.0
author:
  - fleet.ipsec contributors (@fleet-ipsec)
description:
  - Makes several SAs that exist a group, and dissolves groups - what C(ipsec spigrp) does. M(fleet.ipsec.ipsec_spigrp_info)
    lists them.
  - The SAs stand in the order in which they are applied to an outgoing packet, the innermost first. What comes in goes
    through them in reverse.
  - The kernel has no groups. The policies that led to the first SA alone demand all of them from then on - outgoing
    policies each by its SPI, incoming and forward policies by request ID and protocol. Ungrouping lets these policies demand
    the first SA alone again.
  - Either all of it is done or nothing.
extends_documentation_fragment:
  - fleet.ipsec.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
options:
  sas:
    description:
      - The SAs as SAIDs - protocol, SPI and destination in one word, such as V(esp.1a2b@192.0.2.1) or
        V(ah:f5ed@2001:db8::1), with the SPI in hexadecimal. V(esp0x1a2b@192.0.2.1) is the same as the first. The destination may
        be a name, whose family V(.) (IPv4) or V(:) (IPv6) before the SPI tells.
      - A group has two or more, and at most five of V(ah), V(esp) and V(comp), which is what the kernel applies to one
        packet. The classic command took four SAs in all, and so does O(positional).
      - All of V(ah), V(esp) and V(comp) must exist, between the same two addresses; only an SA in tunnel mode may lead on
        to others.
      - V(tun) is the tunnel mode of the SA after it. One that M(fleet.ipsec.ipsec_sa) made is checked against that SA;
        any other is a name that lives as long as its group.
      - The SA after V(tun) must be in tunnel mode. One that M(fleet.ipsec.ipsec_sa) or C(ipsec spi) made in transport mode
        and that no policy leads to is made anew; RV(recreated) tells of it. Once it is ungrouped and no policy needs it so,
        it is in transport mode again.
    type: list
    elements: str
    aliases: [said]
  positional:
    description:
      - The SAs in the words of the command line - V(inet) or V(inet6), destination, SPI and protocol for each.
      - The destination may be a name. The SPI is V(0x) and hexadecimal digits, or decimal.
    type: list
    elements: str
  state:
    description:
      - V(grouped) makes the SAs one group. They must not be in another one, nor in the same in another order; a
        group that lost an SA does not count, and ends.
      - V(ungrouped) dissolves the whole groups that the SAs are in.
      - V(listed) changes nothing and takes no SAs. It is deprecated, and so is a task without SAs and without state, which does
        the same; use M(fleet.ipsec.ipsec_spigrp_info).
      - Left out, SAs are grouped. For one SA it is needed, so that no list that came out shorter than was meant ends a
        group.
    type: str
    choices: [grouped, ungrouped, listed]
  label:
    description: Text to begin every message with.
    type: str
  runtime_dir:
    description: Directory where the registry of groups is on the gateway.
    type: path
    default: /run/fleet-ipsec
notes:
  - Ungrouping lessens what protects the packets. When only compression is left, the module warns.
  - A group ends when one of its SAs is deleted; policies go on demanding all of it, so that no packet leaves with less. When the
    tunnel manager rekeys an SA, the SA that follows takes its place in the group and in the policies.
  - A policy that is made later joins its group when the same task runs again.
seealso:
  - module: fleet.ipsec.ipsec_spigrp_info
  - module: fleet.ipsec.ipsec_sa
  - module: fleet.ipsec.ipsec_eroute_facts
"""

EXAMPLES = r"""
- name: Encrypt, authenticate and tunnel
  fleet.ipsec.ipsec_spigrp:
    sas:
      - tun.113@192.0.2.2
      - esp.115@192.0.2.2
      - ah.116@192.0.2.2
    state: grouped

- name: The same in the words of the command line
  fleet.ipsec.ipsec_spigrp:
    positional:
      - inet gw2.example.net 0x113 tun
      - inet gw2.example.net 0x115 esp
      - inet gw2.example.net 0x116 ah

- name: IPv6
  fleet.ipsec.ipsec_spigrp:
    said: ["tun:113@2001:db8::2", "esp:115@2001:db8::2"]

- name: Dissolve the group again, by the name of any of its SAs
  fleet.ipsec.ipsec_spigrp:
    sas: [esp.115@192.0.2.2]
    state: ungrouped
"""

RETURN = r"""
groups:
  description: Every group and every SA that is in none. In check mode as they are, not as they would be.
  returned: with O(state=listed)
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
      description: Those of them that the kernel has no more; ungroup it then.
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
  returned: with O(state=listed)
  type: list
  elements: str
  sample: [tun0x113@192.0.2.2 esp0x115@192.0.2.2]
lines_per_sa:
  description: The classic listing with a line per SA, from it outward, as KLIPS had it in the end.
  returned: with O(state=listed)
  type: list
  elements: str
  sample: [tun0x113@192.0.2.2 esp0x115@192.0.2.2, esp0x115@192.0.2.2]
sas:
  description: The SAs that were named, in their canonical form.
  returned: when grouping or ungrouping
  type: list
  elements: str
  sample: [tun.113@192.0.2.2, esp.115@192.0.2.2, ah.116@192.0.2.2]
recreated:
  description: The SAs that were made anew in another mode, or would be in check mode. They go on from where they stand.
  returned: when grouping or ungrouping
  type: list
  elements: str
  sample: []
dissolved:
  description: The groups that ended, or would in check mode.
  returned: when grouping or ungrouping
  type: list
  elements: list
  sample: []
policies:
  description: The policies that changed, or would in check mode, and what they demand before and after.
  returned: when grouping or ungrouping
  type: list
  elements: dict
  sample:
    - policy: out 10.1.0.0/24 -> 10.2.0.0/24
      before: ESP 0x115 tunnel
      after: ESP 0x115 tunnel, AH 0x116 transport
label:
  description: The label that was given.
  returned: with O(label)
  type: str
  sample: nightly run
"""

from functools import partial
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fleet.ipsec.plugins.module_utils.engine.classic.groups import (
    perform,
    plan_group,
    plan_ungroup,
    preview,
    read_listing,
    show,
    template_words,
)
from ansible_collections.fleet.ipsec.plugins.module_utils.engine.classic.positional import (
    parse_named,
    parse_positional,
)
from ansible_collections.fleet.ipsec.plugins.module_utils.engine.errors import EngineError, InputError
from ansible_collections.fleet.ipsec.plugins.module_utils.engine.kernel.client import describe
from ansible_collections.fleet.ipsec.plugins.module_utils.engine.said import Said
from ansible_collections.fleet.ipsec.plugins.module_utils.groups import listed
from ansible_collections.fleet.ipsec.plugins.module_utils.misplaced import GuardedModule

LISTING_MOVED = "ipsec_spigrp no longer lists in a later release; fleet.ipsec.ipsec_spigrp_info does"
_DECIDE = {"grouped": plan_group, "ungrouped": plan_ungroup}

ARGUMENT_SPEC: dict[str, dict[str, Any]] = {
    "sas": {"type": "list", "elements": "str", "aliases": ["said"]},
    "positional": {"type": "list", "elements": "str"},
    "state": {"type": "str", "choices": ["grouped", "ungrouped", "listed"]},
    "label": {"type": "str"},
    "runtime_dir": {"type": "path", "default": "/run/fleet-ipsec"},
}


def members(params: dict[str, Any]) -> tuple[Said, ...]:
    """The SAs that ``params`` name.

    :raises InputError: naming the option.
    """
    if params["positional"]:
        return parse_positional([word for text in params["positional"] for word in text.split()], "positional")
    return tuple(parse_named(text, f"sas[{number}]") for number, text in enumerate(params["sas"] or []))


def settle_state(params: dict[str, Any], sas: tuple[Said, ...]) -> str:
    """The state asked for; where it was left out SAs are to be grouped, and a task that names no list of them lists.

    :raises InputError: one SA without a state, SAs without use, or none where some are needed.
    """
    if params["state"] is None and len(sas) == 1:
        problem = "is needed for one SA, which makes no group"
        raise InputError("state", None, problem, "write state: ungrouped to end the group that it is in")
    named = params["sas"] is not None or params["positional"] is not None
    state = params["state"] or ("grouped" if named else "listed")
    if state == "listed" and sas:
        raise InputError("state", state, "takes no SAs", "leave out sas and positional")
    # Of an empty list nothing is to be ungrouped; but no SAs are no group, and a forgotten list is a mistake.
    if not sas and (state == "grouped" or (state == "ungrouped" and not named)):
        raise InputError("sas", params["sas"], f"no SA to be {state}", "name the SAs in sas or in positional")
    return state


def run(module: AnsibleModule) -> dict[str, Any]:
    """Do what the task asks; returns its result.

    :raises EngineError: for what cannot be done; nothing is changed then.
    """
    params = module.params
    if params["label"] == "":
        raise InputError("label", "", "is empty", "give a text, or leave the option out")
    sas = members(params)
    state = settle_state(params, sas)
    if state == "listed":
        module.deprecate(LISTING_MOVED, version="1.0.0", collection_name="fleet.ipsec")
        return {"changed": False, **listed(read_listing(params["runtime_dir"]))}
    proceed = preview if module.check_mode else perform
    plan = proceed(params["runtime_dir"], partial(_DECIDE[state], sas))
    for warning in plan.warnings:
        module.warn(warning)
    before, after = show(plan, sas)
    return {
        "changed": plan.changed,
        "sas": [str(said) for said in sas],
        "recreated": [str(said) for said in (*plan.remade, *plan.restored)],
        "dissolved": [[str(said) for said in group] for group in plan.dissolved],
        "policies": [
            {
                "policy": describe(change.held),
                "before": template_words(change.held),
                "after": template_words(change.wanted),
            }
            for change in plan.changes
        ],
        "diff": {"before": before, "after": after},
    }


def main() -> None:
    """Entry point."""
    module = GuardedModule(
        argument_spec=ARGUMENT_SPEC, mutually_exclusive=[("sas", "positional")], supports_check_mode=True
    )
    label = module.params["label"]
    labelled = {"label": label} if label else {}
    try:
        result = run(module)
    except EngineError as exc:
        module.fail_json(msg=f"{label}: {exc}" if label else str(exc), changed=False, **labelled)
    module.exit_json(**result, **labelled)


if __name__ == "__main__":
    main()
