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
  - Makes several SAs that exist a group, dissolves groups, and lists them - what C(ipsec spigrp) does.
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
        V(ah:f5ed@2001:db8::1), with the SPI in hexadecimal. V(esp0x1a2b@192.0.2.1) is the same as the first.
      - A group has two to four.
      - All of V(ah), V(esp) and V(comp) must exist, between the same two addresses; only an SA in tunnel mode may lead on
        to others.
      - V(tun) is the tunnel mode of the SA after it, which must have been created so. It is a name that lives as
        long as its group.
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
      - V(listed) changes nothing and takes no SAs.
      - Left out it is what the command does - one SA is ungrouped, several are grouped, and none lists.
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
  - A group ends when one of its SAs is deleted. When the tunnel manager rekeys an SA, the SA that follows it is in no group.
  - A policy that is made later joins its group when the same task runs again.
seealso:
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

- name: See what is grouped
  fleet.ipsec.ipsec_spigrp:
    state: listed
  register: spigrp

- name: Notice groups that lost an SA
  ansible.builtin.assert:
    that: spigrp.groups | selectattr('missing') | length == 0
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
sas:
  description: The SAs that were named, in their canonical form.
  returned: when grouping or ungrouping
  type: list
  elements: str
  sample: [tun.113@192.0.2.2, esp.115@192.0.2.2, ah.116@192.0.2.2]
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
from ansible_collections.fleet.ipsec.plugins.module_utils.engine.errors import EngineError, InputError
from ansible_collections.fleet.ipsec.plugins.module_utils.engine.kernel.client import describe
from ansible_collections.fleet.ipsec.plugins.module_utils.engine.kernel.groups import (
    perform,
    plan_group,
    plan_ungroup,
    preview,
    read_listing,
    show,
    template_words,
)
from ansible_collections.fleet.ipsec.plugins.module_utils.engine.kernel.klips import format_group
from ansible_collections.fleet.ipsec.plugins.module_utils.engine.kernel.positional import parse_positional
from ansible_collections.fleet.ipsec.plugins.module_utils.engine.said import Said, parse_said

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
    return tuple(parse_said(text, f"sas[{number}]") for number, text in enumerate(params["sas"] or []))


def settle_state(params: dict[str, Any], sas: tuple[Said, ...]) -> str:
    """The state asked for; the number of SAs tells where it was left out.

    :raises InputError: SAs without use, or none where some are needed.
    """
    state = params["state"] or ("listed" if not sas else "ungrouped" if len(sas) == 1 else "grouped")
    if state == "listed" and sas:
        raise InputError("state", state, "takes no SAs", "leave out sas and positional")
    if state != "listed" and not sas:
        raise InputError("sas", params["sas"], f"no SA to be {state}", "name the SAs in sas or in positional")
    return state


def listed(runtime_dir: str) -> dict[str, Any]:
    """The result of a listing."""
    return {
        "changed": False,
        "groups": [
            {
                "said": str(group.sas[0]),
                "sas": [str(said) for said in group.sas],
                "missing": [str(said) for said in group.missing],
                "direction": group.direction,
                "line": format_group(group.sas),
            }
            for group in read_listing(runtime_dir)
        ],
    }


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
        return listed(params["runtime_dir"])
    proceed = preview if module.check_mode else perform
    plan = proceed(params["runtime_dir"], partial(_DECIDE[state], sas))
    for warning in plan.warnings:
        module.warn(warning)
    before, after = show(plan, sas)
    return {
        "changed": plan.changed,
        "sas": [str(said) for said in sas],
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
    module = AnsibleModule(
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
