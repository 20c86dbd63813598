#!/usr/bin/python

# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: ipsec_definitions
short_description: Convert the configuration of another IPsec program into definitions of tunnels
version_added: 0.2.0
author:
  - fleet.ipsec contributors (@fleet-ipsec)
description:
  - Reads a C(swanctl.conf), an C(ipsec.conf) (of strongSwan, Libreswan or FreeS/WAN) or the XML of AIX's C(ikedb), and returns
    definitions that M(fleet.ipsec.ipsec_tunnel) takes, also as YAML and as XML.
  - Whatever the file says that has no place in a definition is in the report, with its line, with what happens instead, and
    with what to do about it. Nothing is dropped without a word.
  - It needs no tunnel manager, and changes nothing. It runs wherever the files are, on the controller with
    C(delegate_to=localhost).
extends_documentation_fragment:
  - fleet.ipsec.attributes
attributes:
  check_mode:
    support: full
    details: It only reads.
  diff_mode:
    support: none
    details: It changes nothing.
requirements:
  - Python 3.9 or newer on the host that has the files
options:
  src:
    description:
      - Path of the file. Files that it includes are read as well.
      - One of O(src) and O(content) is needed.
    type: path
  content:
    description: The text itself. Files that it includes are not read, and are in the report.
    type: str
  format:
    description: What the file is; V(auto) looks at it.
    type: str
    choices: [auto, ikedb, swanctl, ipsec_conf]
    default: auto
  secrets_src:
    description:
      - Path of a file such as C(ipsec.secrets) with pre-shared keys and passphrases of private keys, besides those in the configuration
        itself.
      - It tells which tunnels lack one, see RV(missing_secrets), and is needed for O(include_secrets).
    type: path
  local_addresses:
    description:
      - Addresses of the host that the configuration is for. They tell which of left and right of an C(ipsec.conf) is this end.
        Without one that fits, left is.
      - A single one is the local address of tunnels that have neither address nor identity (C(%any), C(%defaultroute)).
    type: list
    elements: str
    default: []
  upgrade_ikev1:
    description:
      - Make tunnels of IKEv1 into tunnels of IKEv2. Their peers have to be changed as well.
      - Otherwise they are skipped, as IKEv1 is not supported yet.
    type: bool
    default: false
  include_secrets:
    description:
      - Return the pre-shared keys, and passphrases of private keys, within RV(tunnels). The task must say C(no_log=true) then.
    type: bool
    default: false
notes:
  - Names of elements and attributes of AIX's XML are taken from its manuals, and were not tried on an AIX host. Unconfirmed are
    those of IKEv2 (V(IKEv2) as C(IKE_XCHGMode), C(IKE_PRF)), of subnets and ranges (C(Netmask), C(From_IPAddr), C(To_IPAddr)), of
    references to groups, and the spelling of AES-GCM and SHA2.
seealso:
  - module: fleet.ipsec.ipsec_tunnel
"""

EXAMPLES = r"""
- name: See what a configuration of strongSwan would become
  fleet.ipsec.ipsec_definitions:
    src: /etc/swanctl/swanctl.conf
  register: converted

- name: Show what could not be carried over
  ansible.builtin.debug:
    msg: "{{ item.file }}:{{ item.line }} {{ item.severity }}: {{ item.option }}: {{ item.instead }} {{ item.remedy }}"
  loop: "{{ converted.report }}"
  loop_control:
    label: "{{ item.option }}"

- name: Keep the definitions as variables of the host
  ansible.builtin.copy:
    content: "{{ converted.yaml }}"
    dest: "{{ inventory_dir }}/host_vars/{{ inventory_hostname }}/tunnels.yml"
    mode: "0600"
  delegate_to: localhost

- name: Take the tunnels of Libreswan over in one go, keys included
  no_log: true
  block:
    - name: Convert
      fleet.ipsec.ipsec_definitions:
        src: /etc/ipsec.conf
        secrets_src: /etc/ipsec.secrets
        local_addresses: ["203.0.113.1"]
        include_secrets: true
      register: converted

    - name: Define
      fleet.ipsec.ipsec_tunnel:
        tunnels: "{{ converted.tunnels }}"
        state: present
"""

RETURN = r"""
format:
  description: What the file is.
  returned: success
  type: str
  sample: swanctl
tunnels:
  description:
    - The definitions, as O(fleet.ipsec.ipsec_tunnel#module:tunnels) takes them.
    - Without O(include_secrets) the C(auth.secret) of each is null, as is that of each C(auth.ppk), and the
      C(auth.passphrase) of those whose private key is encrypted.
    - Private keys and certificates are named by the paths of their files on this host.
  returned: success
  type: list
  elements: dict
  sample:
    - name: office
      local: {address: 203.0.113.9, id: branch.example.net}
      remote: {address: 198.51.100.1, id: office.example.net}
      auth: {method: psk, secret: null}
      children: [{name: lan, local: [10.20.0.0/16], remote: [10.0.0.0/16], start: auto}]
report:
  description: What was not carried over, in the order of the files.
  returned: success
  type: list
  elements: dict
  contains:
    severity:
      description: V(ignored) changes nothing, V(lost) makes the tunnel behave otherwise, V(skipped) means that it was not made.
      type: str
    tunnel:
      description: Name of the tunnel, C(TUNNEL/CHILD) for a child, empty for the file as a whole.
      type: str
    file:
      description: The file.
      type: str
    line:
      description: Number of the line, from 1.
      type: int
    option:
      description: The option as written.
      type: str
    value:
      description: Its value, V((secret\)) where that is a secret.
      type: str
    instead:
      description: What happens instead.
      type: str
    remedy:
      description: What to do about it, empty if nothing.
      type: str
unconverted:
  description: Names of tunnels, and C(TUNNEL/CHILD), that were not made.
  returned: success
  type: list
  elements: str
missing_secrets:
  description: Names of tunnels for which no pre-shared key was found.
  returned: success
  type: list
  elements: str
yaml:
  description:
    - The definitions as a file of variables. The tunnels are in C(ipsec_tunnels); their keys (or the passphrases of their
      private keys) are expected in a dictionary C(ipsec_tunnel_secrets) by the tunnels' names, and post-quantum ones in
      C(ipsec_tunnel_ppks) by their IDs; both belong into a vault.
  returned: success
  type: str
ikedb_xml:
  description: The definitions as the XML of C(ikedb), without secrets.
  returned: success
  type: str
"""

from typing import Any

from ansible_collections.fleet.ipsec.plugins.module_utils.manager import require_python
from ansible_collections.fleet.ipsec.plugins.module_utils.misplaced import GuardedModule

ARGUMENT_SPEC: dict[str, dict[str, Any]] = {
    "src": {"type": "path"},
    # It may hold pre-shared keys.
    "content": {"type": "str", "no_log": True},
    "format": {"type": "str", "choices": ["auto", "ikedb", "swanctl", "ipsec_conf"], "default": "auto"},
    "secrets_src": {"type": "path", "no_log": False},
    "local_addresses": {"type": "list", "elements": "str", "default": []},
    "upgrade_ikev1": {"type": "bool", "default": False},
    "include_secrets": {"type": "bool", "default": False, "no_log": False},
}


def run(params: dict[str, Any]) -> dict[str, Any]:
    """Convert as ``params`` say; returns what the task returns.

    :raises EngineError: for a file that cannot be read.
    """
    # Only now: an older interpreter could not read these files.
    from ansible_collections.fleet.ipsec.plugins.module_utils.engine.convert import ikedb_write, yaml_writer
    from ansible_collections.fleet.ipsec.plugins.module_utils.engine.convert.files import Files
    from ansible_collections.fleet.ipsec.plugins.module_utils.engine.convert.importing import Source, Wishes, convert
    from ansible_collections.fleet.ipsec.plugins.module_utils.engine.convert.report import Report, octets_of

    report = Report()
    files = Files(report, follow=params["content"] is None)
    if params["content"] is None:
        source = Source(files.read(params["src"], "src"), params["src"])
    else:
        source = Source(files.decode(octets_of(params["content"]), "content", "content"), "content")
    path = params["secrets_src"]
    secrets = Source(Files(report).read(path, "secrets_src"), path) if path else None
    wishes = Wishes(params["local_addresses"], params["upgrade_ikev1"])
    found = convert(source, params["format"], files, report, secrets, wishes)
    documents = [tunnel.document for tunnel in found.tunnels]
    if params["include_secrets"]:
        tunnels = [tunnel.complete() for tunnel in found.tunnels]
    else:
        tunnels = [{**document, "auth": _without_secrets(document["auth"])} for document in documents]
    return {
        "format": found.format,
        "tunnels": tunnels,
        "report": [note.shown() for note in found.notes],
        "unconverted": found.skipped,
        "missing_secrets": found.missing_secrets,
        "yaml": yaml_writer.playable(documents, yaml_writer.HEAD),
        "ikedb_xml": ikedb_write.write(ikedb_write.canonical(document) for document in documents),
    }


def _without_secrets(auth: dict[str, Any]) -> dict[str, Any]:
    """Where the keys belong, which are not told."""
    ppks = {"ppk": [{**ppk, "secret": None} for ppk in auth["ppk"]]} if "ppk" in auth else {}
    if auth["method"] == "psk":
        return {**auth, **ppks, "secret": None}
    return {**auth, **ppks, **({"passphrase": None} if "passphrase" in auth else {})}


def main() -> None:
    """Entry point."""
    module = GuardedModule(
        argument_spec=ARGUMENT_SPEC,
        supports_check_mode=True,
        required_one_of=[["src", "content"]],
        mutually_exclusive=[["src", "content"]],
    )
    require_python(module)
    from ansible_collections.fleet.ipsec.plugins.module_utils.engine.errors import EngineError

    if module.params["include_secrets"] and not module.no_log:
        module.fail_json(
            msg="include_secrets: returns pre-shared keys, which must not be logged; add no_log: true to the task"
        )
    try:
        result = run(module.params)
    except EngineError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
