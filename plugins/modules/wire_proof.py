#!/usr/bin/python

# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: wire_proof
short_description: Ping through tunnels and prove that what leaves the gateway is ESP
version_added: 0.1.0
author:
  - fleet.ipsec contributors (@fleet-ipsec)
description:
  - Sends pings through tunnels, and watches all interfaces of the gateway meanwhile.
  - AH counts as ESP, it proves as much.
  - Fails when a ping is not answered, when ESP has an SPI that no SA of this host has, when no ESP went to the peer whose
    tunnel was pinged, and when a packet from O(local) to O(remote) left in clear.
  - What comes in is not looked at for packets in clear, because the kernel shows it once more after decryption. The other
    gateway proves that direction.
  - Interfaces of route-based tunnels are passed over. What leaves by them is protected, or dropped, before it leaves the host.
extends_documentation_fragment:
  - fleet.ipsec.attributes
attributes:
  check_mode:
    support: full
    details: It changes nothing, so that check mode sends the same pings.
  diff_mode:
    support: none
    details: There is nothing to compare.
options:
  pings:
    description: The pings, all sent at the same time.
    type: list
    elements: dict
    default: []
    suboptions:
      destination:
        description: Address to ping, behind the peer.
        type: str
        required: true
      host:
        description: Who that is, for messages.
        type: str
      tunnel:
        description: Which tunnel it proves, for messages.
        type: str
      peer:
        description: The peer's address. ESP has to go there.
        type: str
      sources:
        description: Networks on this side. Without O(command), the ping is sent from an address that this host has in one of
          them.
        type: list
        elements: str
        default: []
      must_answer:
        description: Whether it fails when nobody answers. Else RV(pings) tells.
        type: bool
        default: true
        version_added: 0.2.0
  command:
    description:
      - Words before C(ping), such as V([ssh, lanhost]), to ping from a host behind the gateway.
    type: list
    elements: str
    default: []
  count:
    description: Echo requests for each ping. One reply is enough, because a tunnel may start with the first request.
    type: int
    default: 3
  interval:
    description: Seconds between two requests.
    type: float
    default: 0.2
  timeout:
    description: Seconds to wait for the last reply.
    type: int
    default: 3
  local:
    description: Networks on this side of the tunnels.
    type: list
    elements: str
    default: []
  remote:
    description: Networks on the other side of the tunnels.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Prove one tunnel
  fleet.ipsec.wire_proof:
    pings:
      - {destination: 10.9.0.1, sources: [10.1.0.0/16], peer: 203.0.113.9, tunnel: hq-branch1}
    local: [10.1.0.0/16]
    remote: [10.9.0.0/24]
"""

RETURN = r"""
pings:
  description: Each ping with what became of it.
  returned: always
  type: list
  elements: dict
  sample: [{tunnel: hq-branch1, host: branch1, destination: 10.9.0.1, source: 10.1.0.1, received: 3, sent: 3}]
findings:
  description: Everything that is not as it should be, each with its C(kind) (V(unanswered), V(no_esp), V(strange_spi) or
    V(in_clear)), C(tunnel) (null where it is not known), C(problem) and C(remedy).
  returned: always
  type: list
  elements: dict
  version_added: 0.2.0
  sample: []
esp:
  description: ESP packets between the ends of this host's SAs, by direction, addresses and SPI. C(known) tells whether an SA has
    that SPI.
  returned: always
  type: list
  elements: dict
  sample: [{direction: sent, source: 203.0.113.1, destination: 203.0.113.9, spi: c1f00d42, packets: 3, known: true}]
ike:
  description: IKE packets on the interfaces.
  returned: always
  type: int
  sample: 0
in_clear:
  description: Packets that left in clear though a tunnel was there for them.
  returned: always
  type: list
  elements: dict
  sample: []
packets:
  description: IP packets that were looked at.
  returned: always
  type: int
  sample: 24
dropped:
  description: Packets that could not be looked at, because too many came.
  returned: always
  type: int
  sample: 0
"""

import asyncio
import ipaddress
import re
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fleet.ipsec.plugins.module_utils.manager import require_python

REPLIES = re.compile(r"(\d+) packets transmitted, (\d+) received")
# Pings under way at the same time.
AT_ONCE = 64
# Replies and their ESP may still be under way when ping has ended.
LINGER_SECONDS = 0.2


def source_for(networks: list[str], addresses: list[str]) -> str | None:
    """An address of this host in one of the networks, None if there is none."""
    wanted = [ipaddress.ip_network(text) for text in networks]
    return next((text for text in addresses if any(ipaddress.ip_address(text) in network for network in wanted)), None)


def ping_command(params: dict[str, Any], ping: dict[str, Any], addresses: list[str]) -> list[str]:
    """The command line of one ping; notes its source in ``ping``."""
    source = None if params["command"] else source_for(ping["sources"], addresses)
    ping["source"] = source
    words = [*params["command"], "ping", "-n", "-q", "-c", str(params["count"]), "-i", str(params["interval"])]
    words += ["-W", str(params["timeout"])]
    return [*words, *(["-I", source] if source else []), ping["destination"]]


async def send_ping(params: dict[str, Any], ping: dict[str, Any], addresses: list[str]) -> None:
    """Send one ping and note ``sent``, ``received`` and, if it failed, ``story`` in it."""
    command = ping_command(params, ping, addresses)
    try:
        process = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
    except OSError as error:
        ping.update(sent=0, received=0, story=f"cannot run {command[0]}: {error.strerror}")
        return
    text = (await process.communicate())[0].decode(errors="replace")
    counted = REPLIES.search(text)
    ping["sent"], ping["received"] = map(int, counted.groups()) if counted else (0, 0)
    if not ping["received"]:
        lines = text.strip().splitlines()
        ping["story"] = f"{ping['sent']} sent, no reply" if counted else (lines[-1] if lines else "no output")


async def run_pings(params: dict[str, Any], capture: Any, sight: Any, addresses: list[str]) -> list[dict[str, Any]]:
    """Send all pings while the capture fills the sight; each ping with what became of it."""
    pings = [dict(each) for each in params["pings"]]
    places = asyncio.Semaphore(AT_ONCE)

    async def in_turn(ping: dict[str, Any]) -> None:
        async with places:
            await send_ping(params, ping, addresses)

    loop = asyncio.get_running_loop()
    loop.add_reader(capture.fileno(), capture.drain, sight)
    await asyncio.gather(*map(in_turn, pings))
    await asyncio.sleep(LINGER_SECONDS)
    loop.remove_reader(capture.fileno())
    return pings


def sa_keys(states: Any) -> set[tuple[str, str, str]]:
    """SAs as (source, destination, SPI), the way the ESP of a sight is shown."""
    return {(state.source, state.destination, f"{state.spi:08x}") for state in states}


def own_esp(esp: list[dict[str, Any]], known: set[tuple[str, str, str]]) -> list[dict[str, Any]]:
    """The ESP between ends of this host's SAs, each with whether an SA is ``known``; what is only forwarded is left out."""
    ends = {(source, destination) for source, destination, _spi in known}
    return [
        {**each, "known": (each["source"], each["destination"], each["spi"]) in known}
        for each in esp
        if (each["source"], each["destination"]) in ends
    ]


def findings(
    pings: list[dict[str, Any]], esp: list[dict[str, Any]], clear: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Everything that is not as it should be, in words, with what to do."""
    found = []
    reached = {each["destination"] for each in esp if each["direction"] == "sent"}
    for ping in pings:
        if not ping["received"]:
            if ping["must_answer"]:
                source = f" from {ping['source']}" if ping["source"] else ""
                problem = f"{_name(ping)}{source}: {ping['story']}"
                found.append(_finding("unanswered", problem, _UNANSWERED, ping["tunnel"]))
        elif ping["peer"] and str(ipaddress.ip_address(ping["peer"])) not in reached:
            problem = f"{_name(ping)}: was answered, but no ESP went to {ping['peer']}"
            remedy = f"look for a route around the tunnel: ip route get {ping['destination']}"
            found.append(_finding("no_esp", problem, remedy, ping["tunnel"]))
    found += [
        _finding(
            "strange_spi",
            f"{each['packets']} ESP packets {each['direction']} from {each['source']} to {each['destination']} with SPI "
            f"{each['spi']}, which no SA of this host has",
            "find who else sends ESP between the two, or who flushed SAs by hand: ip xfrm monitor",
        )
        for each in esp
        if not each["known"]
    ]
    found += [
        _finding(
            "in_clear",
            f"{each['packets']} packets from {each['source']} to {each['destination']} left in clear on "
            f"{each['interface']}",
            "stop here: look at ip xfrm policy, and set gateway_protected_networks",
        )
        for each in clear
    ]
    return found


_UNANSWERED = "look whether that host runs and has a route back; check_address names somebody else who answers"


def _finding(kind: str, problem: str, remedy: str, tunnel: str | None = None) -> dict[str, Any]:
    return {"kind": kind, "tunnel": tunnel, "problem": problem, "remedy": remedy}


def _name(ping: dict[str, Any]) -> str:
    through = f" through tunnel {ping['tunnel']}" if ping["tunnel"] else ""
    host = f" ({ping['host']})" if ping["host"] else ""
    return f"ping to {ping['destination']}{host}{through}"


def main() -> None:
    """Entry point."""
    words = {"type": "list", "elements": "str", "default": []}
    module = AnsibleModule(
        argument_spec={
            "pings": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "destination": {"type": "str", "required": True},
                    "host": {"type": "str"},
                    "tunnel": {"type": "str"},
                    "peer": {"type": "str"},
                    "sources": words,
                    "must_answer": {"type": "bool", "default": True},
                },
            },
            "command": words,
            "count": {"type": "int", "default": 3},
            "interval": {"type": "float", "default": 0.2},
            "timeout": {"type": "int", "default": 3},
            "local": words,
            "remote": words,
        },
        supports_check_mode=True,
    )
    require_python(module)
    # Only now: an older interpreter could not read these files.
    from ansible_collections.fleet.ipsec.plugins.module_utils.engine.errors import EngineError
    from ansible_collections.fleet.ipsec.plugins.module_utils.engine.kernel.client import XfrmClient
    from ansible_collections.fleet.ipsec.plugins.module_utils.engine.kernel.interfaces import Interfaces
    from ansible_collections.fleet.ipsec.plugins.module_utils.engine.kernel.routes import Routes
    from ansible_collections.fleet.ipsec.plugins.module_utils.wire import Capture, Sight, shown_clear, shown_esp

    params = module.params
    try:
        interfaces = Interfaces()
        sight = Sight(params["local"], params["remote"], interfaces.names())
        interfaces.close()
        addresses = []
        if not params["command"] and params["pings"]:
            with Routes() as routes:
                addresses = routes.local_addresses()
        client = XfrmClient()
        with Capture() as capture:
            # Before and after, so that a rekey between does not look like a stranger's SPI.
            known = sa_keys(client.dump_sas())
            pings = asyncio.run(run_pings(params, capture, sight, addresses))
            known |= sa_keys(client.dump_sas())
            dropped = capture.dropped()
        client.close()
    except ValueError as error:
        module.fail_json(msg=f"local, remote, sources: {error}; write networks such as 10.1.0.0/16")
    except PermissionError:
        module.fail_json(msg="no permission to watch the interfaces; become root (become: true)")
    except (OSError, EngineError) as error:
        module.fail_json(msg=f"cannot prove anything here: {error}")
    esp = own_esp(shown_esp(sight), known)
    clear = shown_clear(sight)
    result: dict[str, Any] = {
        "pings": pings,
        "esp": esp,
        "ike": sight.ike,
        "in_clear": clear,
        "packets": sight.looked_at,
        "dropped": dropped,
    }
    result["findings"] = found = findings(pings, esp, clear)
    if found:
        problems = "; ".join(f"{each['problem']}; {each['remedy']}" for each in found)
        module.fail_json(msg=f"the proof failed: {problems}", changed=False, **result)
    if dropped:
        module.warn(f"{dropped} packets could not be looked at, because too many came")
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
