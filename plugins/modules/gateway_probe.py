#!/usr/bin/python

# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: gateway_probe
short_description: Find out whether a host can be an IPsec gateway
version_added: 0.1.0
author:
  - fleet.ipsec contributors (@fleet-ipsec)
description:
  - Looks at what the engine needs - the interpreter, packages, ESP in the kernel, a service manager, free IKE ports - in
    one task, without facts.
  - Fails before anything is changed, with everything that stands in the way and its remedy. Missing packages are not a
    failure but returned.
extends_documentation_fragment:
  - fleet.ipsec.attributes
attributes:
  check_mode:
    support: full
    details: It changes nothing. The SA by which the kernel is tried, on the loopback, is gone when the task ends.
  diff_mode:
    support: none
    details: There is nothing to compare.
options:
  python:
    description: The interpreter that is going to run the engine.
    type: path
    default: /usr/bin/python3
  files:
    description: Paths that the collection is going to own. A file of somebody else there is a reason to fail.
    type: list
    elements: path
    default: []
  commands:
    description: Programs that are needed besides C(ip) and C(ping).
    type: list
    elements: str
    default: []
  control_socket:
    description: Where the tunnel manager's control socket is if it runs. Then the IKE ports are its own.
    type: path
    default: /run/fleet-ipsec/control.sock
"""

EXAMPLES = r"""
- name: Refuse early what cannot work
  fleet.ipsec.gateway_probe:
  register: found
"""

RETURN = r"""
missing_packages:
  description: Packages to install, by their names in Debian.
  returned: success
  type: list
  elements: str
  sample: [python3-cryptography]
package_manager:
  description: V(apt), or V(other).
  returned: success
  type: str
  sample: apt
service_manager:
  description: V(systemd), or V(sysvinit) for LSB init scripts.
  returned: success
  type: str
  sample: systemd
running:
  description: Whether a tunnel manager runs.
  returned: success
  type: bool
  sample: false
features:
  description: What the kernel offers, such as C(ESP for IPv4).
  returned: success
  type: list
  elements: str
  sample: [ESP for IPv4, ESP for IPv6]
problems:
  description: What stands in the way, each with its remedy.
  returned: failure
  type: list
  elements: str
"""

import os
import shutil
import socket
import sys
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fleet.ipsec.plugins.module_utils.files import foreign
from ansible_collections.fleet.ipsec.plugins.module_utils.manager import MINIMUM_PYTHON

PACKAGES = {"cryptography": "python3-cryptography", "pyroute2": "python3-pyroute2"}
COMMANDS = {"ip": "iproute2", "ping": "iputils-ping", "nft": "nftables"}
IKE_PORTS = (500, 4500)
# Printed by the interpreter that is going to run the engine: its version, and the packages it lacks.
QUESTION = (
    "import sys, importlib.util as u; "
    "print(*sys.version_info[:2], *[n for n in sys.argv[1:] if u.find_spec(n) is None])"
)


def interpreter(module: AnsibleModule, python: str) -> tuple[list[str], list[str]]:
    """Problems with the interpreter, and the packages that it lacks."""
    try:
        status, text, errors = module.run_command([python, "-c", QUESTION, *PACKAGES], handle_exceptions=False)
    except OSError as error:
        status, text, errors = 1, "", str(error.strerror)
    if status:
        return [f"{python} does not run ({errors.strip()}); install python3 there, or set gateway_python"], []
    major, minor, *missing = text.split()
    if (int(major), int(minor)) < MINIMUM_PYTHON:
        return [
            f"{python} is Python {major}.{minor}, too old; install Python 3.11 or newer and set gateway_python to it"
        ], []
    return [], [PACKAGES[name] for name in missing]


def kernel() -> tuple[list[str], list[str]]:
    """Problems with the kernel, and what it offers."""
    from ansible_collections.fleet.ipsec.plugins.module_utils.engine.errors import EngineError
    from ansible_collections.fleet.ipsec.plugins.module_utils.engine.kernel.client import XfrmClient
    from ansible_collections.fleet.ipsec.plugins.module_utils.engine.kernel.features import probe

    try:
        client = XfrmClient()
        try:
            found = probe(client)
        finally:
            client.close()
    except EngineError as error:
        return [str(error)], []
    esp = found[0]
    problems = [] if esp.available else [f"{esp.problem}; {esp.remedy}"]
    return problems, [feature.name for feature in found if feature.available]


def listening(path: str) -> bool:
    """Whether somebody listens on a Unix socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        try:
            connection.connect(path)
        except OSError:
            return False
    return True


def port_holder() -> str:
    """Who holds one of the IKE ports, in words; "" if nobody does."""
    inodes = {}
    for table in ("/proc/net/udp", "/proc/net/udp6"):
        try:
            with open(table, encoding="ascii") as file:
                rows = [line.split() for line in file][1:]
        except FileNotFoundError:
            continue
        for row in rows:
            port = int(row[1].rpartition(":")[2], 16)
            if port in IKE_PORTS:
                inodes[f"socket:[{row[9]}]"] = port
    if not inodes:
        return ""
    for process in filter(str.isdigit, os.listdir("/proc")):
        try:
            for number in os.listdir(f"/proc/{process}/fd"):
                link = os.readlink(f"/proc/{process}/fd/{number}")
                if link in inodes:
                    with open(f"/proc/{process}/comm", encoding="utf-8", errors="replace") as file:
                        return f"{file.read().strip()} (process {process}) holds UDP port {inodes[link]}"
        except OSError:
            # It ended while we looked.
            continue
    return f"somebody holds UDP port {min(inodes.values())}"


def service_manager() -> str:
    """Who starts services here; "" if nobody known does."""
    if os.path.isdir("/run/systemd/system"):
        return "systemd"
    return "sysvinit" if shutil.which("start-stop-daemon") and os.path.isdir("/etc/init.d") else ""


def main() -> None:
    """Entry point."""
    module = AnsibleModule(
        argument_spec={
            "python": {"type": "path", "default": "/usr/bin/python3"},
            "files": {"type": "list", "elements": "path", "default": []},
            "commands": {"type": "list", "elements": "str", "default": []},
            "control_socket": {"type": "path", "default": "/run/fleet-ipsec/control.sock"},
        },
        supports_check_mode=True,
    )
    if os.geteuid() != 0:
        module.fail_json(msg="a gateway is set up by root; become root (become: true)")
    problems, missing = interpreter(module, module.params["python"])
    features: list[str] = []
    if sys.version_info < MINIMUM_PYTHON:
        problems.append(
            f"the modules run on Python {sys.version_info[0]}.{sys.version_info[1]} ({sys.executable}), too old; "
            f"set ansible_python_interpreter: {module.params['python']}"
        )
    else:
        lacks, features = kernel()
        problems += lacks
    for command in ("ip", "ping", *module.params["commands"]):
        if not shutil.which(command):
            missing.append(COMMANDS.get(command, command))
    running = listening(module.params["control_socket"])
    holder = "" if running else port_holder()
    if holder:
        problems.append(f"{holder}; stop and disable that IKE daemon, two cannot serve one host")
    for path in module.params["files"]:
        problem = foreign(module, path)
        if problem:
            problems.append(f"{problem}; remove that package, or choose another path in the role's variables")
    manager = service_manager()
    if not manager:
        problems.append("there is neither systemd nor start-stop-daemon to run a service; install the package dpkg")
    result: dict[str, Any] = {
        "missing_packages": missing,
        "package_manager": "apt" if shutil.which("apt-get") else "other",
        "service_manager": manager,
        "running": running,
        "features": features,
    }
    if problems:
        module.fail_json(msg="this host cannot be a gateway: " + "; ".join(problems), problems=problems, **result)
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
