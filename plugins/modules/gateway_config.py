#!/usr/bin/python

# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: gateway_config
short_description: Write a gateway's own small files and kernel settings in one task
version_added: 0.1.0
author:
  - fleet.ipsec contributors (@fleet-ipsec)
description:
  - Writes several files and applies kernel settings in one task, where one task each would take many times as long.
  - Never overwrites or removes a file that is not the collection's own - each of these has C(fleet.ipsec) in its head.
  - All files are checked before the first one is written.
extends_documentation_fragment:
  - fleet.ipsec.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
options:
  files:
    description: The files.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Where it goes. Folders are made as needed.
        type: path
        required: true
      content:
        description: What is in it. C(fleet.ipsec) has to be within its first 1024 characters.
        type: str
      mode:
        description: Permissions.
        type: str
        default: "0644"
      state:
        description: Whether it is to be there.
        type: str
        choices: [present, absent]
        default: present
  sysctl:
    description:
      - Kernel settings to apply now, by their names as C(sysctl) has them. V(*) stands for any name of one level.
      - Those of IPv6 are left out where the kernel has no IPv6. Nothing is written to a file.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Forward packets, now and after the next boot
  fleet.ipsec.gateway_config:
    files:
      - path: /etc/sysctl.d/60-fleet-ipsec.conf
        content: |
          # fleet.ipsec
          net.ipv4.ip_forward = 1
    sysctl:
      net.ipv4.ip_forward: 1
      net.ipv4.conf.*.send_redirects: 0
"""

RETURN = r"""
changed_files:
  description: Paths of the files that were written or removed.
  returned: success
  type: list
  elements: str
  sample: [/etc/sysctl.d/60-fleet-ipsec.conf]
changed_settings:
  description: Kernel settings that were changed.
  returned: success
  type: list
  elements: str
  sample: [net.ipv4.ip_forward]
"""

import glob
import os
import stat
import tempfile
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fleet.ipsec.plugins.module_utils.files import MARK, foreign, read

SYSTEM = "/proc/sys"
IPV6 = "net.ipv6."


class File:
    """One file, as it is and as it is to be."""

    def __init__(self, path: str, content: str | None, mode: str, state: str) -> None:
        self.path = path
        self.wanted = content if state == "present" else None
        self._mode = int(mode, 8)
        self._text = read(path)
        self._held_mode = stat.S_IMODE(os.stat(path).st_mode) if self._text is not None else None

    @property
    def changed(self) -> bool:
        """Whether there is something to do."""
        return self._text != self.wanted or (self.wanted is not None and self._held_mode != self._mode)

    @property
    def diff(self) -> dict[str, str]:
        """What differs, for people."""
        return {
            "before_header": _header(self.path, self._held_mode),
            "after_header": _header(self.path, self._mode if self.wanted is not None else None),
            "before": self._text or "",
            "after": self.wanted or "",
        }

    def put(self, module: AnsibleModule) -> None:
        """Write or remove it, in one step."""
        if self.wanted is None:
            os.unlink(self.path)
            return
        folder = os.path.dirname(self.path)
        os.makedirs(folder, mode=0o755, exist_ok=True)
        number, fresh = tempfile.mkstemp(dir=folder, prefix=".fleet-ipsec-")
        with os.fdopen(number, "w", encoding="utf-8") as file:
            file.write(self.wanted)
        os.chmod(fresh, self._mode)
        os.replace(fresh, self.path)
        module.set_default_selinux_context(self.path, False)


def _header(path: str, mode: int | None) -> str:
    return f"{path} (absent)" if mode is None else f"{path} (mode {mode:04o})"


def settings(wanted: dict[str, Any]) -> dict[str, tuple[str, str, str]]:
    """The settings that differ: name to (path, value now, value wanted).

    :raises KeyError: for one that the kernel does not have.
    """
    found = {}
    for pattern, value in wanted.items():
        paths = sorted(glob.glob(os.path.join(SYSTEM, pattern.replace(".", "/"))))
        if not paths and not (pattern.startswith(IPV6) and not os.path.isdir(os.path.join(SYSTEM, "net/ipv6"))):
            raise KeyError(pattern)
        for path in paths:
            with open(path, encoding="ascii") as file:
                now = " ".join(file.read().split())
            if now != str(value):
                found[os.path.relpath(path, SYSTEM).replace("/", ".")] = (path, now, str(value))
    return found


def main() -> None:
    """Entry point."""
    module = AnsibleModule(
        argument_spec={
            "files": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "path": {"type": "path", "required": True},
                    "content": {"type": "str"},
                    "mode": {"type": "str", "default": "0644"},
                    "state": {"type": "str", "default": "present", "choices": ["present", "absent"]},
                },
                "required_if": [["state", "present", ["content"]]],
            },
            "sysctl": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    problems = [problem for each in module.params["files"] if (problem := foreign(module, each["path"]))]
    if problems:
        module.fail_json(
            msg=f"will not touch what is not fleet.ipsec's own: {'; '.join(problems)}; "
            "remove that package, or choose another path"
        )
    for each in module.params["files"]:
        if each["state"] == "present" and MARK not in each["content"][:1024]:
            module.fail_json(msg=f"files: {each['path']}: its head does not name {MARK}; add it in a comment")
    try:
        files = [each for each in (File(**values) for values in module.params["files"]) if each.changed]
        differing = settings(module.params["sysctl"])
    except ValueError as error:
        module.fail_json(msg=f"files: {error}; write the mode as octal digits, such as '0644'")
    except KeyError as error:
        module.fail_json(msg=f"sysctl: this kernel has no setting {error}; take it out of sysctl")
    except OSError as error:
        module.fail_json(msg=f"cannot read {error.filename}: {error.strerror}; become root (become: true)")
    diff = [each.diff for each in files]
    if differing:
        diff.append(
            {
                "before_header": "kernel settings",
                "after_header": "kernel settings",
                "before": "".join(f"{name} = {now}\n" for name, (_path, now, _wanted) in differing.items()),
                "after": "".join(f"{name} = {wanted}\n" for name, (_path, _now, wanted) in differing.items()),
            }
        )
    if not module.check_mode:
        for each in files:
            each.put(module)
        for name, (path, _now, wanted) in differing.items():
            try:
                with open(path, "w", encoding="ascii") as file:
                    file.write(wanted)
            except OSError as error:
                module.fail_json(msg=f"sysctl: the kernel does not take {name} = {wanted}: {error.strerror}")
    module.exit_json(
        changed=bool(files or differing),
        changed_files=[each.path for each in files],
        changed_settings=list(differing),
        diff=diff,
    )


if __name__ == "__main__":
    main()
