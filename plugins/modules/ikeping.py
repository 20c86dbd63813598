#!/usr/bin/python

# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: ikeping
short_description: Ask whether the IKE daemons of other hosts are alive
version_added: 0.1.0
author:
  - fleet.ipsec contributors (@fleet-ipsec)
description:
  - Sends small IKE datagrams to one or thousands of hosts and tells which of them answered, by what, and how fast.
  - Needs no tunnel, no secret and no tunnel manager, on either side.
  - Only O(probe=echo) is the classic C(ikeping), which nothing but another C(ikeping), this collection's tunnel manager
    or O(listen=true) replies to. O(probe=auto) finds every IKE daemon, whatever it has heard of.
  - With O(listen=true) it is the other end - it answers echo requests for a bounded time.
extends_documentation_fragment:
  - fleet.ipsec.attributes
attributes:
  check_mode:
    support: full
    details: A ping changes nothing, so that check mode sends the same datagrams and returns the same result.
  diff_mode:
    support: none
    details: There is nothing to compare.
options:
  targets:
    description:
      - Hosts to ping, each C(HOST) or C(HOST/PORT); C(HOST) is a name, an IPv4 or an IPv6 address, a link-local one with its
        zone (C(fe80::1%eth0)). C(HOST:PORT), C([IPV6]) and C([IPV6]:PORT) mean the same.
      - The port is 500, or 4500 with O(natt=true).
      - Messages to port 4500 carry the non-ESP marker that is expected there.
      - A name that cannot be resolved counts as a target that did not answer.
    type: list
    elements: str
  probe:
    description:
      - What to send. All of it may be sent to a daemon in service.
      - V(auto) sends V(echo), then V(version), V(ikev2) and V(ikev1_main) to those that are still silent - what costs the
        peer least comes first. It stays with the first one that is answered.
      - V(echo) is an ISAKMP echo request.
      - V(echo_classic) is the same as FreeS/WAN and Openswan sent it on little-endian machines.
      - V(version) is a short IKE message of major version 3. Most IKEv2 daemons answer that they do not speak it, and keep no state.
      - V(ikev2) is a complete IKE_SA_INIT request. Every IKEv2 daemon answers and may keep a half-open SA for some seconds.
      - V(ikev1) tries V(ikev1_main), then V(ikev1_aggressive) - the first message of these modes.
    type: str
    choices: [auto, echo, echo_classic, version, ikev2, ikev1, ikev1_main, ikev1_aggressive]
    default: auto
  exchange:
    description:
      - Exchange type number of an echo request, 1 to 254; the reply has the number after it.
    type: int
    default: 244
    aliases: [exchangenum]
  wait:
    description:
      - Seconds to wait for answers. Each datagram that arrives starts the wait again, up to ten times this long.
      - The run ends at once when all targets answered.
    type: float
    default: 5
  count:
    description: How often to ping each target.
    type: int
    default: 1
  interval:
    description: Seconds between two pings of the same target.
    type: float
    default: 1
  retries:
    description:
      - How often to send a probe again that was not answered; a ping counts as lost only when all of them were.
    type: int
    default: 0
  retry_interval:
    description: Seconds until the first retry; each further one waits one and a half times as long.
    type: float
    default: 0.5
  rate:
    description:
      - Datagrams a second, over all targets; V(0) for as many as the host can send.
    type: float
    default: 1000
  local_address:
    description:
      - Address or name of this host to send from, or to listen on. It also decides the address family.
    type: str
    aliases: [ikeaddress]
  local_port:
    description:
      - UDP port to send from, or to listen on; V(0) for any free one.
      - Without this option it is 500 (4500 with O(natt=true)). When that port is in use, which it is on a host with an IKE
        daemon, pinging takes any free one; listening fails.
      - A port that is named here and cannot be had is an error.
    type: int
    aliases: [ikeport]
  family:
    description: Address family; V(any) takes what a name resolves to first, and pings both in one run.
    type: str
    choices: [any, inet, inet6]
    default: any
  natt:
    description:
      - NAT traversal - put the non-ESP marker in front of messages to every port but 500, and use port 4500 where none is
        given.
      - With O(listen=true), let the kernel take ESP in UDP off the socket, too. A socket that pings does without, because it is
        then told when a port is closed.
    type: bool
    default: false
    aliases: [nat_t]
  any_source:
    description:
      - Whether an answer counts that comes from another address than the one that was pinged, as hosts with several
        addresses may send. It must carry our cookie in any case.
    type: bool
    default: false
  bypass:
    version_added: 0.2.0
    description:
      - Let the datagrams pass by the host's IPsec policies, as those of IKE daemons do, so that a policy for the network that the
        peer is in neither drops them nor sends them through a tunnel. It needs root; without it the policies apply.
      - With V(false), a daemon that is behind a tunnel is reached through it.
    type: bool
    default: true
  fingerprint:
    description:
      - Tell whose software answers - from the vendor IDs it sends, from what it puts into its answers, and from the rhythm in
        which it repeats one. RV(targets[].fingerprint) has the verdict.
      - Each target that is alive is asked V(ikev2) and V(ikev1_main), too, whatever O(probe) is, which leaves it an IKEv2 and an
        IKEv1 SA half open until its patience ends, usually 30 seconds, and may write lines into its log.
      - Only IKEv1 daemons repeat an answer, and by far not all of them. Where a target answered V(ikev1_main) with a proposal,
        the run listens for O(fingerprint_time); where none did, it ends as soon as everything is answered.
    type: bool
    default: false
  fingerprint_time:
    version_added: 0.2.0
    description:
      - Seconds to listen, without answering, for how IKEv1 answers are repeated. All targets are listened to at once.
      - V(0) goes without.
    type: float
    default: 60
  require:
    description:
      - Which targets must be alive for the task to succeed. The result is complete in any case.
    type: str
    choices: [all, any, none]
    default: all
  listen:
    description:
      - Send nothing, but answer echo requests until O(listen_for) is over or O(listen_count) of them were answered.
      - Answers numbers 244, 30 and O(exchange), in the layout of the program that asks.
    type: bool
    default: false
  listen_for:
    description: Seconds to listen.
    type: float
    default: 60
  listen_count:
    description: How many requests to answer; without it as many as come.
    type: int
  verbose:
    description: Whether to return every datagram sent and received in RV(packets), in hexadecimal.
    type: bool
    default: false
notes:
  - Ports below 1024 need root; without it any free port is used unless O(local_port) names one.
seealso:
  - module: fleet.ipsec.ipsec_tunnel_info
"""

EXAMPLES = r"""
- name: Are the peers there?
  fleet.ipsec.ikeping:
    targets:
      - gw-fra.example.net
      - 198.51.100.7
      - 2001:db8::1/4500

- name: See which of many gateways answer, without failing for those that do not
  fleet.ipsec.ikeping:
    # Names of the inventory mean nothing to a gateway; the addresses of role fleet do.
    targets: "{{ groups['vpn_gateways'] | map('extract', hostvars, ['fleet_ipsec', 'address']) }}"
    require: none
    retries: 2
    rate: 500
  register: ping

- name: Show the silent ones and why
  ansible.builtin.debug:
    msg: "{{ ping.targets | rejectattr('alive') | items2dict(key_name='target', value_name='reason') }}"

- name: Wait until a gateway that restarts is back
  fleet.ipsec.ikeping:
    targets: [192.0.2.1]
    probe: version
  register: back
  until: back is succeeded
  retries: 20
  delay: 3

- name: Answer a classic ikeping for one minute, where no daemon runs yet
  fleet.ipsec.ikeping:
    listen: true
    listen_for: 60
"""

RETURN = r"""
targets:
  description: One entry for each target, in their order. Not returned with O(listen=true).
  returned: when pinging
  type: list
  elements: dict
  contains:
    target:
      description: The target as it was written.
      type: str
      sample: gw2/4500
    address:
      description: The address it was resolved to, empty when it was not.
      type: str
      sample: 192.0.2.7
    port:
      description: The UDP port pinged.
      type: int
      sample: 4500
    alive:
      description: Whether anything of it answered.
      type: bool
      sample: true
    sent:
      description: Pings sent, none to a name that was not found. What O(probe=auto) tries, and retries, are one ping.
      type: int
      sample: 1
    received:
      description: Pings that were answered.
      type: int
      sample: 1
    lost_percent:
      description: Lost of sent, rounded to the nearest percent; 0 and 100 only when nothing or everything was lost.
      type: int
      sample: 0
    duplicates:
      description: Answers that came more than once.
      type: int
      sample: 0
    datagrams:
      description: Datagrams sent.
      type: int
      sample: 2
    rtt_ms:
      description:
        - Round-trip times in milliseconds, C(min), C(avg), C(max) and C(mdev); null without an answer.
        - An answer has arrived when the kernel took it off the network.
      type: dict
      sample: {min: 0.412, avg: 0.412, max: 0.412, mdev: 0.0}
    probe:
      description: The probe that was answered, null without an answer.
      type: str
      sample: version
    answered_by:
      description:
        - What the first answer was - C(echo reply), C(proposal chosen), or the name of the notify in it, such as
          C(INVALID_MAJOR_VERSION), C(NO_PROPOSAL_CHOSEN), C(COOKIE) or C(INVALID_KE_PAYLOAD); null without an answer.
      type: str
      sample: INVALID_MAJOR_VERSION
    reason:
      description: Why it is not alive - C(timeout), C(port closed), C(unreachable) or C(name not found); null when it is.
      type: str
      sample: null
    detail:
      description: The reason in a sentence; null when it is alive.
      type: str
      sample: null
    answer:
      description:
        - The first answer - where it came C(from), the fields of its header (cookies, C(next_payload), C(version),
          C(exchange), C(flags), C(message_id), C(length), C(octets)), and where they apply its C(notifies), the
          C(proposal) chosen, the number of the key exchange group wanted (C(group_wanted)), and the C(vendor_ids) with names.
      returned: when alive
      type: dict
      sample:
        initiator_cookie: 7d4f31b28a9c6e05
        responder_cookie: "0000000000000000"
        next_payload: 41
        version: "2.0"
        exchange: 34
        flags: 32
        message_id: "00000000"
        length: 36
        octets: 36
        notifies: [INVALID_MAJOR_VERSION]
        from: 192.0.2.7
    fingerprint:
      description: Whose software it seems to be.
      returned: when alive and O(fingerprint=true)
      type: dict
      contains:
        implementation:
          description: Its name, null when nothing told.
          type: str
          sample: strongSwan
        confidence:
          description:
            - V(high) when a vendor ID names it, V(medium) when it alone repeats its answers like that, V(low) when its answers
              look like those of that implementation, V(none) when it is not known.
            - A vendor ID is what the peer says of itself; anybody can send any of them.
          type: str
          sample: high
        vendor_ids:
          description: All vendor IDs that it sent (C(hex)), with what they say (C(name), empty when we do not know).
          type: list
          elements: dict
          sample: [{hex: 882fe56d6fd20dbc2251613b2ebe5beb, name: strongSwan}]
        backoff:
          description:
            - How its answer to an IKEv1 probe was repeated - seconds between the copies (C(gaps), empty when it was not), how long
              nothing more came (C(quiet)) and everybody who does it like that (C(guesses)).
            - Null when it gave no answer that could be repeated.
          type: dict
          sample: {gaps: [10.001, 20.003], quiet: 29.996, guesses: ["FreeS/WAN, Openswan or strongSwan 4"]}
        evidence:
          description: What the verdict rests on, the best first.
          type: list
          elements: str
          sample: [vendor ID strongSwan, answers ikev2 like strongSwan]
summary:
  description: Totals over all targets; C(not_found) are those that had no address to send to.
  returned: when pinging
  type: dict
  sample: {alive: 3, datagrams: 5, duplicates: 0, lost: 0, lost_percent: 0, not_found: 0, received: 3, sent: 3, targets: 3}
local_port:
  description: The port used, for each address family.
  returned: always
  type: dict
  sample: {inet: 500}
strangers:
  description: Datagrams that answered none of ours.
  returned: when pinging
  type: int
  sample: 0
short:
  description: Datagrams too short for an IKE header.
  returned: always
  type: int
  sample: 0
elapsed:
  description: Seconds that the run took.
  returned: when pinging
  type: float
  sample: 0.013
interrupted:
  description: Whether it was stopped before its end.
  returned: when pinging
  type: bool
  sample: false
received:
  description: Datagrams that came while listening.
  returned: when listening
  type: int
  sample: 4
answered:
  description: Echo requests answered.
  returned: when listening
  type: int
  sample: 3
ignored:
  description: Datagrams that were no echo requests.
  returned: when listening
  type: int
  sample: 1
keepalives:
  description: NAT keepalives that came.
  returned: when listening
  type: int
  sample: 0
packets:
  description: Each datagram with its C(event) (sent, received, answered, …), C(address), C(port) and octets (C(hex)).
  returned: when O(verbose=true)
  type: list
  elements: dict
  sample: [{event: sent, address: 192.0.2.7, port: 500, hex: "010203040506070811121314151617180010f400212223240000001c"}]
"""

from typing import Any

from ansible_collections.fleet.ipsec.plugins.module_utils.engine.errors import EngineError, InputError
from ansible_collections.fleet.ipsec.plugins.module_utils.engine.kernel.bypass import bypass_where_allowed
from ansible_collections.fleet.ipsec.plugins.module_utils.engine.ping.run import Options, Plan, ping, serve
from ansible_collections.fleet.ipsec.plugins.module_utils.misplaced import GuardedModule

_NAMED_IN_ERRORS = 10
_PLAN = (
    "probe",
    "exchange",
    "wait",
    "count",
    "interval",
    "retries",
    "retry_interval",
    "rate",
    "any_source",
)

ARGUMENT_SPEC: dict[str, dict[str, Any]] = {
    "targets": {"type": "list", "elements": "str"},
    "probe": {
        "type": "str",
        "default": "auto",
        "choices": [
            "auto",
            "echo",
            "echo_classic",
            "version",
            "ikev2",
            "ikev1",
            "ikev1_main",
            "ikev1_aggressive",
        ],
    },
    "exchange": {"type": "int", "default": 244, "aliases": ["exchangenum"]},
    "wait": {"type": "float", "default": 5},
    "count": {"type": "int", "default": 1},
    "interval": {"type": "float", "default": 1},
    "retries": {"type": "int", "default": 0},
    "retry_interval": {"type": "float", "default": 0.5},
    "rate": {"type": "float", "default": 1000},
    "local_address": {"type": "str", "aliases": ["ikeaddress"]},
    "local_port": {"type": "int", "aliases": ["ikeport"]},
    "family": {"type": "str", "default": "any", "choices": ["any", "inet", "inet6"]},
    "natt": {"type": "bool", "default": False, "aliases": ["nat_t"]},
    "any_source": {"type": "bool", "default": False},
    "bypass": {"type": "bool", "default": True},
    "fingerprint": {"type": "bool", "default": False},
    "fingerprint_time": {"type": "float", "default": 60},
    "require": {"type": "str", "default": "all", "choices": ["all", "any", "none"]},
    "listen": {"type": "bool", "default": False},
    "listen_for": {"type": "float", "default": 60},
    "listen_count": {"type": "int"},
    "verbose": {"type": "bool", "default": False},
}


def unmet(require: str, targets: list[dict[str, Any]]) -> str:
    """Why the result is not what was required; empty when it is."""
    silent = [target for target in targets if not target["alive"]]
    failed = {"all": bool(silent), "any": len(silent) == len(targets), "none": False}[require]
    if not failed:
        return ""
    named = "; ".join(
        f"{target['target']}: {target['reason']} ({target['detail']})" for target in silent[:_NAMED_IN_ERRORS]
    )
    more = f"; and {len(silent) - _NAMED_IN_ERRORS} more, see targets" if len(silent) > _NAMED_IN_ERRORS else ""
    return f"{len(silent)} of {len(targets)} targets did not answer: {named}{more}"


def run(params: dict[str, Any]) -> dict[str, Any]:
    """Ping or listen as ``params`` say; returns what the task returns.

    :raises EngineError: for unusable parameters and hosts.
    """
    options = Options(
        family=params["family"],
        local_address=params["local_address"],
        local_port=params["local_port"],
        natt=params["natt"],
        prepare=bypass_where_allowed if params["bypass"] else None,
        plan=Plan(
            **{name: params[name] for name in _PLAN},
            fingerprint=params["fingerprint_time"] if params["fingerprint"] else None,
        ),
    )
    packets: list[dict[str, Any]] = []

    def trace(event: str, address: str, port: int, datagram: bytes) -> None:
        packets.append({"event": event, "address": address, "port": port, "hex": datagram.hex()})

    observer = trace if params["verbose"] else None
    if params["listen"]:
        if params["targets"]:
            raise InputError("targets", params["targets"], "cannot be pinged while listening", "leave out one of both")
        result = serve(options, params["listen_for"], params["listen_count"], observer)
    else:
        result = ping(params["targets"] or [], options, observer)
    if params["verbose"]:
        result["packets"] = packets
    return result


def main() -> None:
    """Entry point."""
    module = GuardedModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    try:
        result = run(module.params)
    except EngineError as exc:
        module.fail_json(msg=str(exc), changed=False)
    problem = unmet(module.params["require"], result.get("targets", []))
    if problem:
        module.fail_json(msg=problem, changed=False, **result)
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
