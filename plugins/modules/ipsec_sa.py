#!/usr/bin/python

# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: ipsec_sa
short_description: Key IPsec SAs by hand
version_added: 0.2.0
author:
  - fleet.ipsec contributors (@fleet-ipsec)
description:
  - Makes, changes and deletes IPsec SAs whose keys an operator chose - what C(ipsec spi) does. M(fleet.ipsec.ipsec_sa_info)
    lists all SAs.
  - It is meant for tests, and for peers that speak no IKE. Keys that nobody changes are no protection for long (RFC 8221
    section 3), and the module says so each time; tunnels in production are for M(fleet.ipsec.ipsec_tunnel).
  - An SA alone protects nothing. What packets go through it is said by policies, which
    M(fleet.ipsec.ipsec_eroute) sets and M(fleet.ipsec.ipsec_spigrp) leads through several SAs. An SA has one direction,
    and both gateways need the SAs of both.
  - Everything is compared with what the kernel has, keys too, so that a task that runs again changes nothing. Counters are not
    compared.
  - Of all SAs of one task either every one is made or none.
extends_documentation_fragment:
  - fleet.ipsec.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details: Keys are never shown; that they differ is.
options:
  said:
    description:
      - The SA - protocol, SPI and destination in one word, such as V(esp.1a2b@192.0.2.2) or V(ah:f5ed@2001:db8::2) with the
        SPI in hexadecimal. V(esp0x1a2b@192.0.2.2) is the same as the first.
      - The protocol is V(esp), V(ah), V(comp) (IPComp, whose SPI has 16 bits), or V(tun).
      - V(tun) is the name of a tunnel for M(fleet.ipsec.ipsec_spigrp), with O(source) and no other option. The kernel
        has no such SA; it becomes the tunnel mode of the SA after it in its group.
    type: str
  source: &source
    description: Address that the packets of the SA come from. Needed unless O(state=absent).
    type: str
  mode: &mode
    description:
      - V(tunnel) puts packets whole into new ones, V(transport) protects what is in them.
      - Left out, a new SA is in transport mode and one that exists stays as it is - also one that grouping has made anew
        in tunnel mode, which ungrouping takes back.
    type: str
    choices: [transport, tunnel]
  encryption: &encryption
    description: What encrypts; for V(esp), which needs it.
    type: dict
    suboptions:
      algorithm:
        description:
          - V(aes256gcm16), V(aes192gcm16), V(aes128gcm16), V(chacha20poly1305), V(aes256), V(aes192), V(aes128), or V(null), which
            does not encrypt. V(aes128ccm16) and V(aes128ctr) to V(aes256ccm8) and V(aes256ctr) likewise.
          - For old peers V(3des), V(aes), V(camellia), V(serpent), V(twofish), V(blowfish), V(cast) and V(des), with the key deciding
            their strength, or that and a number of bits such as V(twofish128). What C(ipsec spi) called
            C(3des-md5-96) is V(3des) here, and V(md5) as integrity.
          - The kernel must have it.
        type: str
        required: true
      key:
        description:
          - V(0x) and hexadecimal digits, or V(0s) and base64.
          - That of V(aes256gcm16) and the like has the salt of 4 octets at its end, and must never be used twice.
        type: str
  integrity: &integrity
    description: What proves that packets are genuine; for V(esp) with a cipher that does not so itself, and V(ah).
    type: dict
    suboptions:
      algorithm:
        description: V(sha256), V(sha384), V(sha512), V(aesxcbc), or for old peers V(sha1) and V(md5).
        type: str
        required: true
      key:
        description: As long as the digest, V(0x) and hexadecimal digits, or V(0s) and base64.
        type: str
  compression: &compression
    description: What compresses; for V(comp). There is one.
    type: str
    choices: [deflate]
  lifetime: &lifetime
    description:
      - When the SA ends. The kernel tells of a soft limit and deletes at a hard one. V(0) is no limit.
      - What is left out is no limit, also for an SA that has one.
    type: dict
    suboptions:
      soft_bytes:
        description: Octets.
        type: int
      hard_bytes:
        description: Octets.
        type: int
      soft_packets:
        description: Packets.
        type: int
      hard_packets:
        description: Packets.
        type: int
      soft_seconds:
        description: Seconds since the SA was made.
        type: int
      hard_seconds:
        description: Seconds since the SA was made.
        type: int
      soft_use_seconds:
        description: Seconds since the first packet.
        type: int
      hard_use_seconds:
        description: Seconds since the first packet.
        type: int
  replay_window: &replay_window
    description:
      - Packets that may come late, up to 4096. With V(0), the default, packets that an attacker sends again are taken.
      - With it on, an SA that is made anew at the sender only is refused by the receiver - the sequence numbers begin
        anew (RFC 4303 section 3.3.3).
    type: int
  encapsulation: &encapsulation
    description:
      - ESP in UDP (RFC 3948), for V(esp).
      - What comes in is taken out of UDP only where a socket listens at that port that the tunnel manager, or another IKE
        daemon, has told so.
    type: dict
    suboptions:
      source_port:
        description: UDP port that packets come from.
        type: int
        default: 4500
      destination_port:
        description: UDP port that packets go to.
        type: int
        default: 4500
  reqid: &reqid
    description:
      - Request ID, by which policies find the SA. Left out, a new SA gets one of its own, and one that exists keeps
        what it has.
    type: int
  sas:
    description:
      - Many SAs in one task, each with the options above. One list of all is much faster than a loop.
      - An empty list changes nothing, unless O(purge=true).
    type: list
    elements: dict
    suboptions:
      said:
        description: As O(said).
        type: str
        required: true
      source: *source
      mode: *mode
      encryption: *encryption
      integrity: *integrity
      compression: *compression
      lifetime: *lifetime
      replay_window: *replay_window
      encapsulation: *encapsulation
      reqid: *reqid
  owner:
    description:
      - Whose the SAs are. What another owner keyed by hand is neither changed nor deleted; nor is ever an SA of IKE or of
        another program.
    type: str
    default: ansible
  purge:
    description: Delete the SAs that the O(owner) keyed by hand and that are not named.
    type: bool
    default: false
  state:
    description:
      - V(present) makes SAs, or lets them be as described.
      - V(absent) deletes them. A group that one of them is in ends; policies go on demanding all of the group, so that no
        packet leaves with less.
    type: str
    choices: [present, absent]
    default: present
  runtime_dir:
    description: Directory where the registry of SAs keyed by hand is on the gateway.
    type: path
    default: /run/fleet-ipsec
notes:
  - Limits, and the ports of an SA that is in UDP already, change in an SA that lives. The kernel can change nothing else in one, so it
    is made anew, and the result says so - packets of that moment are lost, counters, sequence numbers and the replay window
    begin anew.
  - Mode, request ID and source of an SA in a group cannot change; ungroup it first.
  - Where the kernel is locked down (integrity of secrets, C(lockdown=confidentiality)) it shows no keys, and they are not compared.
  - Manual SAs do not outlive a reboot.
seealso:
  - module: fleet.ipsec.ipsec_sa_info
  - module: fleet.ipsec.ipsec_spigrp
  - module: fleet.ipsec.ipsec_eroute
  - module: fleet.ipsec.ipsec_tunnel
"""

EXAMPLES = r"""
- name: An SA each way, on both gateways alike
  fleet.ipsec.ipsec_sa:
    sas:
      - said: esp.187a101b@192.0.2.2
        source: 192.0.2.1
        mode: tunnel
        encryption: {algorithm: aes256, key: "{{ vaulted.east.encryption }}"}
        integrity: {algorithm: sha256, key: "{{ vaulted.east.integrity }}"}
      - said: esp.187a101c@192.0.2.1
        source: 192.0.2.2
        mode: tunnel
        encryption: {algorithm: aes256, key: "{{ vaulted.west.encryption }}"}
        integrity: {algorithm: sha256, key: "{{ vaulted.west.integrity }}"}

- name: What is to be grouped as tun, comp and ah
  fleet.ipsec.ipsec_sa:
    sas:
      - {said: "tun:3d0@2001:db8::2", source: "2001:db8::1"}
      - {said: "comp:3d0@2001:db8::2", source: "2001:db8::1", mode: tunnel}
      - said: "ah:187a101a@2001:db8::2"
        source: "2001:db8::1"
        integrity: {algorithm: sha256, key: "{{ vaulted.ah }}"}

- name: For a peer of long ago, for an hour
  fleet.ipsec.ipsec_sa:
    said: esp.12345678@192.0.2.2
    source: 192.0.2.1
    encryption: {algorithm: 3des, key: "{{ vaulted.old.encryption }}"}
    integrity: {algorithm: md5, key: "{{ vaulted.old.integrity }}"}
    lifetime: {soft_seconds: 3000, hard_seconds: 3600}

- name: Delete it
  fleet.ipsec.ipsec_sa:
    said: esp.12345678@192.0.2.2
    state: absent

- name: Delete all that were keyed by hand
  fleet.ipsec.ipsec_sa:
    sas: []
    purge: true
"""

RETURN = r"""
sas:
  description: What became of each SA that was named, and of each that was purged.
  returned: success
  type: list
  elements: dict
  contains:
    said:
      description: The SA, in its canonical form.
      type: str
      sample: esp.187a101b@192.0.2.2
    action:
      description: V(none), V(created), V(updated), V(recreated) or V(deleted).
      type: str
      sample: recreated
    impact:
      description: V(none), V(hot) (nothing is lost), V(re-create) (packets of that moment, counters and the replay window are) or
        V(delete).
      type: str
      sample: re-create
    differs:
      description: The options that differed from what the kernel had.
      type: list
      elements: str
      sample: [integrity.key]
    reqid:
      description: Request ID, by which policies find the SA; none for a V(tun).
      type: int
      sample: 1715470336
dissolved:
  description: The groups that ended, or would in check mode.
  returned: success
  type: list
  elements: list
  sample: []
"""

from functools import partial
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fleet.ipsec.plugins.module_utils.engine.classic.manual import (
    Plan,
    Seen,
    perform,
    plan_absent,
    plan_present,
    preview,
    with_purge,
)
from ansible_collections.fleet.ipsec.plugins.module_utils.engine.classic.manual_words import (
    LIFETIMES,
    MODES,
    read_said,
    read_wish,
)
from ansible_collections.fleet.ipsec.plugins.module_utils.engine.errors import EngineError, InputError
from ansible_collections.fleet.ipsec.plugins.module_utils.misplaced import GuardedModule

NOT_FOR_PRODUCTION = (
    "keys set by hand never change by themselves: use them for tests and for peers without IKE, not in production "
    "(RFC 8221 section 3)"
)


def _algorithm() -> dict[str, Any]:
    options = {"algorithm": {"type": "str", "required": True}, "key": {"type": "str", "no_log": True}}
    return {"type": "dict", "options": options}


def sa_options() -> dict[str, dict[str, Any]]:
    """The options that describe one SA."""
    ports = ("source_port", "destination_port")
    return {
        "said": {"type": "str"},
        "source": {"type": "str"},
        "mode": {"type": "str", "choices": list(MODES)},
        "encryption": _algorithm(),
        "integrity": _algorithm(),
        "compression": {"type": "str", "choices": ["deflate"]},
        "lifetime": {"type": "dict", "options": {name: {"type": "int"} for name in LIFETIMES}},
        "replay_window": {"type": "int"},
        "encapsulation": {"type": "dict", "options": {port: {"type": "int", "default": 4500} for port in ports}},
        "reqid": {"type": "int"},
    }


ARGUMENT_SPEC: dict[str, dict[str, Any]] = {
    **sa_options(),
    "sas": {
        "type": "list",
        "elements": "dict",
        "options": {**sa_options(), "said": {"type": "str", "required": True}},
    },
    "owner": {"type": "str", "default": "ansible"},
    "purge": {"type": "bool", "default": False},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "runtime_dir": {"type": "path", "default": "/run/fleet-ipsec"},
}


def named(params: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """(what stands before the names of its options, options) of each SA that ``params`` name."""
    if params["sas"] is not None:
        return [(f"sas[{number}].", words) for number, words in enumerate(params["sas"])]
    return [("", {name: params[name] for name in sa_options()})] if params["said"] is not None else []


def decide_present(items: list[tuple[str, dict[str, Any]]], owner: str, purge: bool, seen: Seen) -> Plan:
    """What makes all of ``items`` be as they say.

    :raises InputError: naming the option.
    """
    wishes = [read_wish(words, place) for place, words in items]
    plan = plan_present(wishes, owner, [f"{place}said" for place, _words in items], seen)
    return with_purge(plan, owner, seen) if purge else plan


def result_of(plan: Plan) -> dict[str, Any]:
    """The result of a change, done or foreseen."""
    return {
        "changed": plan.changed,
        "sas": [
            {
                "said": str(step.said),
                "action": step.action,
                "impact": step.impact,
                "differs": list(step.fields),
                **({"reqid": step.wanted.reqid} if step.wanted else {}),
            }
            for step in plan.steps
        ],
        "dissolved": [[str(said) for said in members] for members in plan.dissolved],
        "diff": {
            "before": {str(step.said): step.before for step in plan.steps if step.before},
            "after": {str(step.said): step.after for step in plan.steps if step.after},
        },
    }


def run(module: AnsibleModule) -> dict[str, Any]:
    """Do what the task asks; returns its result.

    :raises EngineError: for what cannot be done; nothing is changed then.
    """
    params = module.params
    state, items, owner = params["state"], named(params), params["owner"]
    if params["purge"] and params["sas"] is None:
        raise InputError("purge", True, "needs the list of SAs that stay", "write them in sas")
    if not owner:
        raise InputError("owner", owner, "is empty", "name one, or leave the option out")
    proceed = preview if module.check_mode else perform
    if state == "absent":
        if params["purge"]:
            raise InputError("purge", True, "is nothing for state absent", "use it with state present")
        saids = [read_said(words["said"], f"{place}said") for place, words in items]
        decide = partial(plan_absent, saids, owner, [f"{place}said" for place, _words in items])
    else:
        # Wrong words are told of before the kernel is looked at.
        saids = [read_wish(words, place).said for place, words in items]
        decide = partial(decide_present, items, owner, params["purge"])
        if items:
            module.warn(NOT_FOR_PRODUCTION)
    plan = proceed(params["runtime_dir"], saids, decide)
    for warning in plan.warnings:
        module.warn(warning)
    return result_of(plan)


def main() -> None:
    """Entry point."""
    module = GuardedModule(
        argument_spec=ARGUMENT_SPEC,
        required_one_of=[("said", "sas")],
        mutually_exclusive=[(name, "sas") for name in sa_options()],
        supports_check_mode=True,
    )
    try:
        result = run(module)
    except EngineError as exc:
        module.fail_json(msg=str(exc), changed=False)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
