#!/usr/bin/python

# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: ipsec_tunnel_info
short_description: List IPsec tunnels
version_added: 0.1.0
author:
  - fleet.ipsec contributors (@fleet-ipsec)
description:
  - Lists what the tunnel manager of a gateway defines and runs - what C(ike cmd=list) shows, for tasks.
  - A tunnel that is down says why, and what to do about it.
extends_documentation_fragment:
  - fleet.ipsec.attributes
  - fleet.ipsec.manager
attributes:
  check_mode:
    support: full
    details: It changes nothing.
  diff_mode:
    support: none
    details: There is nothing to compare.
options:
  source:
    description:
      - V(manager) lists what runs, and whatever O(names) ask for. V(database) lists what is defined.
      - The two count apart, and the same number may mean two tunnels, see O(numbers).
    type: str
    choices: [manager, database]
    default: manager
  names:
    description:
      - Only these tunnels.
      - The name of a definition for many peers stands for its instances, too, and C(NAME#IDENTITY) for one of them.
    type: list
    elements: str
  numbers:
    description:
      - Only the tunnels with these numbers. They are those of the O(source), of phase 1, or with O(phase=2) of phase 2.
      - A number that there is not lists nothing. States are changed by name, see M(fleet.ipsec.ipsec_tunnel).
    type: list
    elements: int
  phase:
    description: V(1) lists phase 1 only, V(2) phase 2 only, V(1+) phase 1 with phase 2.
    type: str
    choices: ["1", "1+", "2"]
    default: 1+
  role:
    description: Only tunnels that were started here (V(initiator)) or by the peer (V(responder)). Not in the database.
    type: str
    choices: [initiator, responder]
  owner:
    description: Only tunnels of this owner.
    type: str
  verbose:
    description: With algorithms, SPIs, counters, lifetimes left and the definition.
    type: bool
    default: false
seealso:
  - module: fleet.ipsec.ipsec_tunnel
"""

EXAMPLES = r"""
- name: Look at all tunnels
  fleet.ipsec.ipsec_tunnel_info:
  register: found

- name: Say what is down, and why
  ansible.builtin.debug:
    msg: "{{ item.name }}: {{ item.story }} {{ item.remedy }}"
  loop: "{{ found.tunnels | rejectattr('state', 'equalto', 'active') }}"
  loop_control:
    label: "{{ item.name }}"

- name: Look at phase 2 of those that their peers have started
  fleet.ipsec.ipsec_tunnel_info:
    phase: "2"
    role: responder

- name: Everything about one of them
  fleet.ipsec.ipsec_tunnel_info:
    names: [hq-branch1]
    verbose: true
"""

RETURN = r"""
tunnels:
  description: The tunnels, in the order of their numbers.
  returned: success
  type: list
  elements: dict
  contains:
    number:
      description: Phase 1 number in the O(source). 0 for a tunnel that the manager does not run.
      type: int
    database_number:
      description: Phase 1 number in the database. It never comes to mean another tunnel.
      type: int
    manager_number:
      description: Phase 1 number in the manager, given when the tunnel is created and kept until it ends. 0 if it does not run.
      type: int
    name:
      description: Name of the tunnel.
      type: str
    instance_of:
      description: Name of the definition for many peers that it is an instance of, with one peer - its own RV(tunnels[].name) is
        C(DEFINITION#IDENTITY). V(null) for a tunnel that is defined itself.
      returned: success
      type: str
      version_added: 0.2.0
      sample: branches
    instances:
      description: Of a definition for many peers, how many of them are there (C(count)) and may be (C(max)). V(null) for others.
      returned: success
      type: dict
      version_added: 0.2.0
      sample: {count: 17, max: 256}
    owner:
      description: Whose tunnel it is.
      type: str
    wanted:
      description: What is wanted of it - V(active), V(ike) (phase 1 only), V(present) or V(inactive). C(wanted) of a child says whether
        it is to be kept up.
      type: str
    state:
      description: V(inactive), V(dormant), V(negotiating), V(active), V(degraded) (not all children are up), V(down), or
        V(retiring) (phase 1 was ended, what is up in phase 2 stays until its lifetime is over).
      type: str
    phase1:
      description: State of the IKE SA.
      type: str
    refresh:
      description: Whether it gets fresh keys in time. False while it is V(retiring).
      type: bool
    groups:
      description: Names under which it is started together with others.
      type: list
      elements: str
    role:
      description: V(initiator), V(responder), or empty.
      type: str
    local:
      description: Our address and identity.
      type: dict
    remote:
      description: The peer's C(address), the most preferred of its C(addresses) (a list), that one which its IKE SA is with
        just now (C(in_use), null where there is none), what its host names stood for last (C(resolved), a list of addresses for
        each), and its identity C(id).
      type: dict
    children:
      description:
        - Phase 2, each with C(number), C(database_number), C(manager_number), C(name), C(state), C(role), C(wanted) (whether
          this side is to keep it up), C(refresh), C(local), C(remote), C(mode), C(protocol) and C(start).
        - The manager lists those that it runs; of a tunnel asked for by name all.
      type: list
      elements: dict
    reason:
      description: Why it is down, a word from a closed list. Also why it is not going to stay V(active) if nothing helps -
        its peer refuses fresh keys, or does not know a changed definition yet (V(peer_unchanged)). Empty otherwise.
      type: str
    story:
      description: What happened, in one sentence.
      type: str
    remedy:
      description: What to do about it.
      type: str
    ends_at:
      description: When something of an V(active) tunnel ends if the peer goes on refusing fresh keys, as date and time in
        UTC. V(null) when nothing does.
      returned: success
      type: str
      version_added: 0.2.0
      sample: "2026-11-30T12:34:56Z"
    key:
      description:
        - Of a key that was derived from a seed (C(auth.epoch)) its C(epoch), and what the two ends can compare without telling their
          keys - its C(fingerprint), and those of keys accepted besides (C(also_accept)). V(null) for other keys.
        - It is the key of the next authentication; what is up may have been authenticated with the one before.
      returned: success
      type: dict
      version_added: 0.2.0
      sample: {epoch: 2, fingerprint: 9a1c03c57e1f0b2d, also_accept: [4bd27719aa02c8e3]}
    expiring:
      description: What of the certificates and revocation lists of this end ends soon, or has - certificates 30 days before, revocation
        lists a day before. Empty where nothing does. The log of the tunnel manager has it, and again 7 days before.
      returned: success
      type: list
      elements: str
      version_added: 0.2.0
      sample: ["the certificate of O=Example, CN=hq ends in 12 days, at 2026-12-13 08:00:00 UTC"]
    established_seconds:
      description: For how many seconds it is up, through fresh keys. C(children) have it each, as RV(tunnels[].last_traffic_seconds).
        V(null) where it is not up.
      returned: success
      type: float
      version_added: 0.2.0
      sample: 7261.4
    last_traffic_seconds:
      description:
        - How many seconds ago a packet last passed through it. V(null) if none has, or that is not known.
        - Kernels before Linux 6.2 do not tell that; then it is known as of a look at the counters every five seconds, or of fewer
          looks with thousands of tunnels.
      returned: success
      type: float
      version_added: 0.2.0
      sample: 3.2
    repairs:
      description:
        - What other programs removed of it from the kernel since the manager started, and what was put back - C(count), and of
          the C(last) time C(what), C(time) (Unix) and C(culprit) as far as it is known. SAs are never put back, their
          children are negotiated anew.
        - While something is missing, and while it is removed again and again, C(reason) is V(kernel_disturbed).
      returned: success
      type: dict
      version_added: 0.2.0
      sample: {count: 1, last: {what: the route to 10.9.0.0/24, time: 1796041593, culprit: systemd-network (process 412)}}
manager:
  description: Which tunnel manager answers - C(version) of the collection that its engine came with, digest of its C(release), as
    M(fleet.ipsec.engine_deploy) returns it, and C(uptime) in seconds.
  returned: success
  type: dict
  version_added: 0.2.0
  sample: {version: 0.2.0, release: 8d1f6c0b3a5e9c24771b0c1f64be0f8a0d9e7c55, uptime: 86400.5}
unknown_peers:
  description:
    - Who asked for a tunnel that is not defined here within the last quarter of an hour - C(address), how many C(times),
      C(last_seconds) ago, C(story) and C(remedy). Mostly a tunnel that was removed at this end alone.
    - Forgotten once a tunnel to that address is defined or up.
    - The message is not authenticated, so that the address may be forged.
  returned: success
  type: list
  elements: dict
  version_added: 0.2.0
  sample:
    - {address: 198.51.100.7, times: 12, last_seconds: 5.2,
       story: "no tunnel is defined between 203.0.113.1 and 198.51.100.7; tunnel hq-branch7, which led there, was removed here 4 min ago",
       remedy: "define it here, or end it at the peer"}
"""

from ansible_collections.fleet.ipsec.plugins.module_utils.manager import ARGUMENTS, Manager
from ansible_collections.fleet.ipsec.plugins.module_utils.misplaced import GuardedModule

FILTERS = {
    "source": {"type": "str", "default": "manager", "choices": ["manager", "database"]},
    "names": {"type": "list", "elements": "str"},
    "numbers": {"type": "list", "elements": "int"},
    "phase": {"type": "str", "default": "1+", "choices": ["1", "1+", "2"]},
    "role": {"type": "str", "choices": ["initiator", "responder"]},
    "owner": {"type": "str"},
    "verbose": {"type": "bool", "default": False},
}


def main() -> None:
    """Entry point."""
    module = GuardedModule(argument_spec={**FILTERS, **ARGUMENTS}, supports_check_mode=True)
    asked = {name: module.params[name] for name in FILTERS}
    module.exit_json(changed=False, **Manager(module).call("tunnels.list", asked))


if __name__ == "__main__":
    main()
