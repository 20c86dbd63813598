#!/usr/bin/python

# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: ipsec_sa_info
short_description: List IPsec SAs
version_added: 0.2.0
author:
  - fleet.ipsec contributors (@fleet-ipsec)
description:
  - Lists every IPsec SA that the kernel of a gateway has, whoever made it, with what it has carried and how long it lasts -
    what C(ipsec spi) without words does. Keys are never shown.
  - Needs no tunnel manager. What a tunnel's SAs belong to is told by M(fleet.ipsec.ipsec_tunnel_info).
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
      - Only these SAs, named as O(fleet.ipsec.ipsec_sa#module:said) takes them.
      - One that there is not lists nothing, and so does an empty list.
    type: list
    elements: str
  owner:
    description: Only SAs that this owner keyed by hand, with M(fleet.ipsec.ipsec_sa) or C(ipsec spi).
    type: str
  runtime_dir:
    description: Directory where the registry of SAs keyed by hand is on the gateway.
    type: path
    default: /run/fleet-ipsec
seealso:
  - module: fleet.ipsec.ipsec_sa
  - module: fleet.ipsec.ipsec_spigrp_info
  - module: fleet.ipsec.ipsec_tunnel_info
"""

EXAMPLES = r"""
- name: See every SA
  fleet.ipsec.ipsec_sa_info:
  register: found

- name: Print the classic lines
  ansible.builtin.debug:
    msg: "{{ found.sas | map(attribute='line') }}"

- name: Notice SAs that were keyed by hand
  ansible.builtin.assert:
    that: found.sas | selectattr('owner') | length == 0

- name: See whether one of them carries packets
  fleet.ipsec.ipsec_sa_info:
    saids: [esp.187a101b@192.0.2.2]
  register: one
  failed_when: one.sas | map(attribute='packets') | sum == 0
"""

RETURN = r"""
sas:
  description: The SAs, by destination.
  returned: success
  type: list
  elements: dict
  contains:
    said:
      description: The SA, in its canonical form.
      type: str
      sample: esp.187a101b@192.0.2.2
    source:
      description: Address that its packets come from.
      type: str
      sample: 192.0.2.1
    direction:
      description: V(in) when the SA ends at this host, else V(out).
      type: str
      sample: out
    owner:
      description: Who keyed the SA by hand, null when nobody did.
      type: str
      sample: ansible
    line:
      description: The line of the classic listing.
      type: str
      sample: "esp0x187a101b@192.0.2.2 ESP_AES_HMAC_SHA2_256: dir=out src=192.0.2.1 iv_bits=128bits alen=256 aklen=256 eklen=256"
    mode:
      description: V(tunnel), V(transport), or what another program made.
      returned: of all but V(tun), as all that follows
      type: str
      sample: tunnel
    reqid:
      description: Request ID, by which policies find the SA.
      type: int
      sample: 1715470336
    encryption:
      description: The C(algorithm) that encrypts, where there is one.
      type: dict
      sample: {algorithm: aes256}
    integrity:
      description: The C(algorithm) that proves packets genuine, where there is one of its own.
      type: dict
      sample: {algorithm: sha256}
    compression:
      description: What compresses, of V(comp).
      type: str
      sample: deflate
    replay_window:
      description: Packets that may come late, V(0) where replayed ones are taken; not of V(comp).
      type: int
      sample: 128
    encapsulation:
      description: C(source_port) and C(destination_port) of ESP in UDP, where there is UDP.
      type: dict
      sample: {source_port: 4500, destination_port: 4500}
    lifetime:
      description: The limits that there are, as O(fleet.ipsec.ipsec_sa#module:lifetime) takes them.
      type: dict
      sample: {hard_seconds: 3600}
    esn:
      description: Present and V(true) with extended sequence numbers (RFC 4304).
      type: bool
      sample: true
    one_family:
      description: Present and V(true) where the SA carries packets of its own address family alone.
      type: bool
      sample: true
    if_id:
      description: ID of the XFRM interface that the SA is bound to, where it is bound to one.
      type: int
      sample: 7
    bytes:
      description: Octets that it has carried.
      type: int
      sample: 168
    packets:
      description: Packets that it has carried.
      type: int
      sample: 2
    sequence:
      description: Sequence number of the last packet that was sent; of an incoming SA the highest that came.
      type: int
      sample: 2
"""

import time
from typing import Any

from ansible_collections.fleet.ipsec.plugins.module_utils.engine.classic.positional import parse_named
from ansible_collections.fleet.ipsec.plugins.module_utils.engine.classic.spi import read_entries
from ansible_collections.fleet.ipsec.plugins.module_utils.engine.errors import EngineError
from ansible_collections.fleet.ipsec.plugins.module_utils.engine.kernel.addresses import is_local
from ansible_collections.fleet.ipsec.plugins.module_utils.misplaced import GuardedModule

ARGUMENT_SPEC: dict[str, dict[str, Any]] = {
    "saids": {"type": "list", "elements": "str"},
    "owner": {"type": "str"},
    "runtime_dir": {"type": "path", "default": "/run/fleet-ipsec"},
}


def run(params: dict[str, Any]) -> list[dict[str, Any]]:
    """The SAs that ``params`` ask for, as plain data.

    :raises EngineError: for a name that is none, and a kernel that cannot be asked.
    """
    wanted = {parse_named(text, f"saids[{number}]") for number, text in enumerate(params["saids"] or ())}
    found = read_entries(params["runtime_dir"], is_local)
    if params["saids"] is not None:
        found = [entry for entry in found if entry.said in wanted]
    if params["owner"] is not None:
        found = [entry for entry in found if entry.owner == params["owner"]]
    now = time.time()
    return [entry.plain(now) for entry in found]


def main() -> None:
    """Entry point."""
    module = GuardedModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    try:
        result = run(module.params)
    except EngineError as exc:
        module.fail_json(msg=str(exc), changed=False)
    module.exit_json(changed=False, sas=result)


if __name__ == "__main__":
    main()
