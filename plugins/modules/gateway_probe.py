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
  - Looks at what the engine needs - the interpreter, packages, ESP in the kernel, a service manager, free IKE ports, places
    that can be written - in one task, without facts.
  - Fails before anything is changed, with everything that stands in the way and its remedy. Missing packages are not a
    failure but returned.
extends_documentation_fragment:
  - fleet.ipsec.attributes
attributes:
  check_mode:
    support: full
    details: It changes nothing. The SA by which the kernel is tried, on the loopback, is gone when the task ends, and rules
      of nftables are tried by C(nft --check).
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
  wanted_files:
    version_added: 0.2.0
    description:
      - Files that are going to be written. Where one differs from what is there its place has to be writable. A file of
        somebody else there is a reason to fail.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Where it goes. Left out when empty.
        type: str
        required: true
      content:
        description: What is going to be in it. It is going to be absent when this is empty and O(wanted_files[].link), too.
        type: str
        default: ""
      link:
        description: Where it is going to lead, as M(fleet.ipsec.gateway_config) has it.
        type: str
      mode:
        description: Permissions.
        type: str
        default: "0644"
      service_manager:
        description: The service manager that it is for, or V(networkd). Any when empty.
        type: str
        default: ""
  certificates:
    version_added: 0.2.0
    description: Whether peers are going to prove themselves by certificates, which takes the Python package OpenSSL.
    type: bool
    default: false
  writable:
    version_added: 0.2.0
    description: More files and folders that have to be writable.
    type: list
    elements: path
    default: []
  rules:
    version_added: 0.2.0
    description: Rules of nftables that the kernel has to take. They are tried where C(nft) is installed.
    type: str
    default: ""
  service:
    version_added: 0.2.0
    description: The service of the tunnel manager. IKE ports that systemd keeps open for it are its own.
    type: str
    default: fleet-ipsec-manager
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
networkd:
  description: Whether systemd-networkd runs, or is going to.
  returned: success
  type: bool
  sample: false
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

import glob
import os
import shutil
import sys
from collections.abc import Iterator
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fleet.ipsec.plugins.module_utils.files import File, foreign, masked, unwritable
from ansible_collections.fleet.ipsec.plugins.module_utils.manager import MINIMUM_PYTHON, listening

PACKAGES = {"cryptography": "python3-cryptography", "pyroute2": "python3-pyroute2"}
OF_CERTIFICATES = {"OpenSSL": "python3-openssl"}
COMMANDS = {"ip": "iproute2", "ping": "iputils-ping", "nft": "nftables"}
IKE_PORTS = (500, 4500)
# Where the distribution's packages go: what this interpreter lacks, they can bring.
SYSTEM_PYTHON = "/usr/bin/python3"
# Printed by the interpreter that is going to run the engine: its version, which one it is (with a "-" before it in a
# virtual environment), and how it fares with each package: it is imported, as the manager will import it.
QUESTION = """
import importlib, importlib.util as util, os, sys
apart = "-" if sys.prefix != sys.base_prefix else ""
print(*sys.version_info[:2], apart + os.path.realpath(sys.executable))
for name, module in zip(sys.argv[1::2], sys.argv[2::2]):
    if util.find_spec(name) is None:
        print(name, "missing")
        continue
    try:
        importlib.import_module(module)
    except BaseException as error:
        print(name, "broken", type(error).__name__, str(error).replace(chr(10), " "))
"""
# Modules that need what is compiled of a package.
MODULES = {
    "cryptography": "cryptography.hazmat.primitives.ciphers.aead",
    "pyroute2": "pyroute2.netlink.rtnl",
    "OpenSSL": "OpenSSL.crypto",
}
IKE_HOLDER_WORDS = (b"-m", b"engine", b"manager")


def interpreter(module: AnsibleModule, python: str, packages: dict[str, str]) -> tuple[list[str], list[str]]:
    """Problems with the interpreter, and the packages that it lacks and the distribution has.

    :param packages: of Python, that it has to have, and what the distribution calls them.
    """
    words = [word for name in packages for word in (name, MODULES[name])]
    try:
        status, text, errors = module.run_command([python, "-c", QUESTION, *words], handle_exceptions=False)
    except OSError as error:
        status, text, errors = 1, "", str(error.strerror)
    if status or not text.strip():
        return [f"{python} does not run ({errors.strip()}); install python3 there, or set gateway_python"], []
    version, *rows = text.splitlines()
    major, minor, which = version.split(" ", 2)
    if (int(major), int(minor)) < MINIMUM_PYTHON:
        return [
            f"{python} is Python {major}.{minor}, too old; install Python 3.9 or newer and set gateway_python to it"
        ], []
    problems, missing = [], []
    for name, how, *reason in (row.split(" ", 2) for row in rows):
        if how == "missing" and which == os.path.realpath(SYSTEM_PYTHON):
            missing.append(packages[name])
            continue
        why = f": {reason[0]}" if reason else ""
        problems.append(
            f"the Python package {name} cannot be imported by {python}{why}; install it for that interpreter "
            f"({python} -m pip install {name}), or set gateway_python to one that has it, such as {SYSTEM_PYTHON} "
            f"with the package {packages[name]}"
        )
    return problems, missing


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


def port_holder(module: AnsibleModule, service: str) -> str:
    """Who holds one of the IKE ports, in words; "" if nobody does, or it is for our own manager.

    :param service: of our manager; systemd keeps its sockets open while it is down.
    """
    inodes = ike_sockets()
    found = list(holders(inodes))
    for process, link in found:
        if keeps_sockets(module, service) if process == "1" else is_manager(process):
            continue
        with open(f"/proc/{process}/comm", encoding="utf-8", errors="replace") as file:
            return f"{file.read().strip()} (process {process}) holds UDP port {inodes[link]}"
    return f"somebody holds UDP port {min(inodes.values())}" if inodes and not found else ""


def ike_sockets() -> dict[str, int]:
    """The sockets that are bound to an IKE port, by the name that a process' descriptor shows."""
    found = {}
    for table in ("/proc/net/udp", "/proc/net/udp6"):
        try:
            with open(table, encoding="ascii") as file:
                rows = [line.split() for line in file][1:]
        except FileNotFoundError:
            continue
        for row in rows:
            port = int(row[1].rpartition(":")[2], 16)
            if port in IKE_PORTS:
                found[f"socket:[{row[9]}]"] = port
    return found


def holders(inodes: dict[str, int]) -> Iterator[tuple[str, str]]:
    """(process, socket) of each process that holds one of these sockets."""
    for process in filter(str.isdigit, os.listdir("/proc")):
        try:
            links = [os.readlink(f"/proc/{process}/fd/{number}") for number in os.listdir(f"/proc/{process}/fd")]
        except OSError:
            # It ended while we looked.
            continue
        for link in links:
            if link in inodes:
                yield process, link
                break


def keeps_sockets(module: AnsibleModule, service: str) -> bool:
    """Whether systemd keeps sockets open for our service, which is down just now."""
    command = module.get_bin_path("systemctl")
    if command is None:
        return False
    _status, text, _errors = module.run_command(
        [command, "show", "--property=NFileDescriptorStore", "--value", service]
    )
    return text.strip().isdigit() and int(text) > 0


def is_manager(process: str) -> bool:
    """Whether a process is a tunnel manager of ours: one that does not answer is restarted by the role."""
    try:
        with open(f"/proc/{process}/cmdline", "rb") as file:
            words = file.read().split(b"\0")
    except OSError:
        return False
    return any(tuple(words[place : place + 3]) == IKE_HOLDER_WORDS for place in range(len(words)))


def rules(module: AnsibleModule, text: str) -> list[str]:
    """Problems with rules of nftables, of the kernel as well as of their words."""
    command = module.get_bin_path("nft")
    if not text or command is None:
        return []
    status, _text, errors = module.run_command([command, "--check", "--file", "-"], data=text)
    if status == 0:
        return []
    line = next((line for line in errors.splitlines() if line.strip()), "no reason given").strip()
    return [
        f"nftables does not take the rules of gateway_protected_networks: {line}; where the kernel lacks the family inet "
        "or ipsec expressions: modprobe -a nf_tables nft_xfrm nft_rt (Linux 5.9 or newer, the full kernel package), "
        "else correct gateway_protected_networks and gateway_outside_interfaces, or leave them out"
    ]


def networkd() -> bool:
    """Whether systemd-networkd is enabled, or has run since the boot."""
    enabled = glob.glob("/etc/systemd/system/*.wants/systemd-networkd.service")
    return bool(enabled) or os.path.exists("/run/systemd/netif/state")


def unwritten(wanted: list[dict[str, Any]], there: list[str]) -> tuple[list[str], list[str]]:
    """Paths of the files for what is there of the host, and problems with those that would have to be written."""
    paths, problems = [], []
    for each in wanted:
        if not each["path"] or each["service_manager"] not in ("", *there):
            continue
        paths.append(each["path"])
        there_after = bool(each["content"] or each["link"])
        problem = masked(each["path"]) if there_after else ""
        if problem:
            problems.append(problem)
            continue
        state = "present" if there_after else "absent"
        file = File(each["path"], each["content"], each["mode"], state, each["link"])
        if os.path.isdir(each["path"]) or not file.changed:
            continue
        problem = unwritable(each["path"])
        if problem:
            problems.append(problem)
    return paths, problems


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
            "certificates": {"type": "bool", "default": False},
            "files": {"type": "list", "elements": "path", "default": []},
            "wanted_files": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "path": {"type": "str", "required": True},
                    "content": {"type": "str", "default": ""},
                    "link": {"type": "str"},
                    "mode": {"type": "str", "default": "0644"},
                    "service_manager": {"type": "str", "default": ""},
                },
            },
            "writable": {"type": "list", "elements": "path", "default": []},
            "rules": {"type": "str", "default": ""},
            "service": {"type": "str", "default": "fleet-ipsec-manager"},
            "commands": {"type": "list", "elements": "str", "default": []},
            "control_socket": {"type": "path", "default": "/run/fleet-ipsec/control.sock"},
        },
        supports_check_mode=True,
    )
    if os.geteuid() != 0:
        module.fail_json(msg="a gateway is set up by root; become root (become: true)")
    packages = {**PACKAGES, **(OF_CERTIFICATES if module.params["certificates"] else {})}
    problems, missing = interpreter(module, module.params["python"], packages)
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
        if not module.get_bin_path(command):
            missing.append(COMMANDS.get(command, command))
    running = listening(module.params["control_socket"])
    holder = "" if running else port_holder(module, module.params["service"])
    if holder:
        problems.append(f"{holder}; stop and disable that IKE daemon, two cannot serve one host")
    manager = service_manager()
    routes = networkd()
    paths, lacks = unwritten(module.params["wanted_files"], [manager, "networkd"] if routes else [manager])
    problems += lacks
    problems += filter(None, map(unwritable, module.params["writable"]))
    problems += rules(module, module.params["rules"])
    for path in (*module.params["files"], *paths):
        problem = foreign(module, path)
        if problem:
            problems.append(f"{problem}; remove that package, or choose another path in the role's variables")
    if not manager:
        problems.append("there is neither systemd nor start-stop-daemon to run a service; install the package dpkg")
    result: dict[str, Any] = {
        "missing_packages": missing,
        "package_manager": "apt" if shutil.which("apt-get") else "other",
        "service_manager": manager,
        "networkd": routes,
        "running": running,
        "features": features,
    }
    if problems:
        module.fail_json(msg="this host cannot be a gateway: " + "; ".join(problems), problems=problems, **result)
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
