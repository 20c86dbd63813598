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
  - All files are checked before the first one is written, and whether they can be written.
  - With the last file in it, a folder goes whose name begins with C(fleet-ipsec), and one of drop-ins.
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
      link:
        description: Where it leads, as a symbolic link into the release in use (C(…/current/engine/…)), in place of O(files[].content).
        type: str
        version_added: 0.2.0
      mode:
        description: Permissions.
        type: str
        default: "0644"
      state:
        description: Whether it is to be there.
        type: str
        choices: [present, absent]
        default: present
  rules_file:
    version_added: 0.2.0
    description:
      - File of rules for the table C(inet fleet_ipsec) of nftables, perhaps one of O(files). Where the kernel's table is not
        as it says, it is loaded; where there is no such file (any more), the table is removed.
      - Nothing of nftables is looked at when left out.
    type: path
  sysctl:
    description:
      - Kernel settings to apply now, by their names as C(sysctl) has them. V(*) stands for any name of one level.
      - Those of IPv6 are left out where the kernel has no IPv6, those with V(-) before their name where it has none of
        that name. Nothing is written to a file.
    type: dict
    default: {}
  sysctl_record:
    version_added: 0.2.0
    description:
      - File that keeps what each setting was before it was changed here for the first time.
      - Nothing is kept when left out.
    type: path
  sysctl_state:
    version_added: 0.2.0
    description:
      - V(present) applies O(sysctl).
      - V(absent) puts back what O(sysctl_record) has, but no setting that has another value by now than it was given
        here, and none that a file of C(sysctl.d) still sets at boot. Then the record is removed. O(sysctl) has no meaning.
    type: str
    choices: [present, absent]
    default: present
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
    sysctl_record: /var/lib/fleet-ipsec/sysctl.json

- name: Put everything back as it was
  fleet.ipsec.gateway_config:
    files:
      - path: /etc/sysctl.d/60-fleet-ipsec.conf
        state: absent
    sysctl_record: /var/lib/fleet-ipsec/sysctl.json
    sysctl_state: absent
"""

RETURN = r"""
changed_files:
  description: Paths of the files that were written or removed.
  returned: success
  type: list
  elements: str
  sample: [/etc/sysctl.d/60-fleet-ipsec.conf]
changed_rules:
  description: Whether the table of nftables was loaded or removed.
  returned: success
  type: bool
  sample: false
rules_state:
  description: What the kernel has of the rules - V(same) as the file, V(missing), V(different), V(none) where there is neither.
  returned: success
  type: str
  sample: same
changed_settings:
  description: Kernel settings that were changed.
  returned: success
  type: list
  elements: str
  sample: [net.ipv4.ip_forward]
"""

import json
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fleet.ipsec.plugins.module_utils import sysctl
from ansible_collections.fleet.ipsec.plugins.module_utils.files import (
    MARK,
    RELEASE,
    File,
    foreign,
    masked,
    read,
    unwritable,
)

# Of more files that are made or removed nobody reads each.
SHOWN_FILES = 3


class Rules:
    """The guard table, as it stands and as its file wants it.

    :param files: those that are going to be written before.
    """

    def __init__(self, path: str | None, files: list[dict[str, Any]]) -> None:
        from ansible_collections.fleet.ipsec.plugins.module_utils.engine.kernel import guard, nftables

        self._guard, self._nftables = guard, nftables
        self.path = path
        self._text = None
        self._standing = None
        if path is not None:
            written = [each for each in files if each["path"] == path]
            self._text = read(path)
            for each in written:
                self._text = each["content"] if each["state"] == "present" else None
            self._standing = guard.standing()

    @property
    def changed(self) -> bool:
        """Whether the kernel has something else than the file."""
        wanted = None if self._text is None else self._guard.wanted(self._text)
        return wanted != self._standing

    @property
    def state(self) -> str:
        """What the kernel has of the file."""
        if self._standing is None:
            return "none" if self._text is None else "missing"
        return "different" if self.changed else "same"

    @property
    def diff(self) -> dict[str, str]:
        """What differs, for people."""
        before = "" if self._standing is None else self._standing.lines()
        return {
            "before_header": "table inet fleet_ipsec in the kernel",
            "after_header": "table inet fleet_ipsec in the kernel",
            "before": before,
            "after": "" if self._text is None else self._guard.wanted(self._text).lines(),
        }

    def put(self) -> None:
        """Load or remove the table.

        :raises EngineError: it cannot be done.
        """
        if self.path is None or self._text is None:
            self._guard.drop()
        else:
            self._nftables.load(self.path)


def _record(module: AnsibleModule) -> sysctl.Record | None:
    path = module.params["sysctl_record"]
    return sysctl.Record(path) if path else None


def _differing(params: dict[str, Any], record: sysctl.Record | None) -> list[sysctl.Setting]:
    """The settings that are to change."""
    if params["sysctl_state"] == "present":
        return sysctl.differing(params["sysctl"])
    leaving = [each["path"] for each in params["files"] if each["state"] == "absent"]
    return record.restorable(leaving) if record else []


def write(module: AnsibleModule, files: list[File]) -> None:
    """Write or remove files; a failure says which, why, and what was done before."""
    done: list[str] = []
    for each in files:
        try:
            each.put(module)
        except OSError as error:
            before = f"; changed before: {', '.join(done)}" if done else "; nothing was changed"
            module.fail_json(
                msg=f"files: {each.path} cannot be written: {error.strerror}{before}; "
                f"make room or make it writable (df -h {each.path}; mount), then run the task again",
                changed=bool(done),
            )
        done.append(each.path)


def load(module: AnsibleModule, rules: Rules) -> None:
    """Load or remove the table of nftables; a refusal says why."""
    from ansible_collections.fleet.ipsec.plugins.module_utils.engine.errors import EngineError

    try:
        rules.put()
    except EngineError as error:
        module.fail_json(msg=f"rules_file: {error}; correct gateway_protected_networks, or load what nftables needs")


def files_diff(files: list[File]) -> list[dict[str, str]]:
    """What differs of each file; of many that are made or removed a line each, and last."""
    single = [each for each in files if each.one_sided]
    if len(single) <= SHOWN_FILES:
        return [each.diff for each in files]
    return [
        *(each.diff for each in files if not each.one_sided),
        {
            "before_header": f"{len(single)} files",
            "after_header": f"{len(single)} files",
            "before": "".join(each.summary for each in single if each.wanted is None),
            "after": "".join(each.summary for each in single if each.wanted is not None),
        },
    ]


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
                    "link": {"type": "str"},
                    "mode": {"type": "str", "default": "0644"},
                    "state": {"type": "str", "default": "present", "choices": ["present", "absent"]},
                },
                "required_if": [["state", "present", ["content", "link"], True]],
                "mutually_exclusive": [["content", "link"]],
            },
            "rules_file": {"type": "path"},
            "sysctl": {"type": "dict", "default": {}},
            "sysctl_record": {"type": "path"},
            "sysctl_state": {"type": "str", "default": "present", "choices": ["present", "absent"]},
        },
        required_if=[["sysctl_state", "absent", ["sysctl_record"]]],
        supports_check_mode=True,
    )
    if module.params["sysctl_state"] == "absent" and not module.params["sysctl_record"]:
        module.fail_json(msg="sysctl_record: names no file; give the one in which earlier values were noted")
    problems = [problem for each in module.params["files"] if (problem := foreign(module, each["path"]))]
    if problems:
        module.fail_json(
            msg=f"will not touch what is not fleet.ipsec's own: {'; '.join(problems)}; "
            "remove that package, or choose another path"
        )
    wanted = [each for each in module.params["files"] if each["state"] == "present"]
    problems = list(filter(None, (masked(each["path"]) for each in wanted)))
    if problems:
        module.fail_json(msg=f"files: {'; '.join(problems)}; nothing was changed")
    for each in wanted:
        if each["link"] is not None and RELEASE not in each["link"]:
            module.fail_json(msg=f"files: {each['path']}: link leads out of the release; let it lead below …{RELEASE}")
        if each["link"] is None and MARK not in each["content"][:1024]:
            module.fail_json(msg=f"files: {each['path']}: its head does not name {MARK}; add it in a comment")
    try:
        files = [each for each in (File(**values) for values in module.params["files"]) if each.changed]
        record = _record(module)
        differing = _differing(module.params, record)
    except json.JSONDecodeError as error:
        module.fail_json(msg=f"sysctl_record: {module.params['sysctl_record']} is no record ({error}); remove it")
    except ValueError as error:
        module.fail_json(msg=f"files: {error}; write the mode as octal digits, such as '0644'")
    except KeyError as error:
        module.fail_json(msg=f"sysctl: this kernel has no setting {error}; take it out of sysctl")
    except OSError as error:
        module.fail_json(msg=f"cannot read {error.filename}: {error.strerror}; become root (become: true)")
    # First what an operator decides on.
    diff = []
    if differing:
        diff.append(
            {
                "before_header": "kernel settings",
                "after_header": "kernel settings",
                "before": "".join(f"{setting.name} = {setting.now}\n" for setting in differing),
                "after": "".join(f"{setting.name} = {setting.wanted}\n" for setting in differing),
            }
        )
    try:
        rules = Rules(module.params["rules_file"], module.params["files"])
        if rules.changed:
            diff.append(rules.diff)
    except ValueError as error:
        module.fail_json(msg=f"rules_file: {module.params['rules_file']} is no file of role gateway: {error}")
    diff += files_diff(files)
    restoring = module.params["sysctl_state"] == "absent"
    left = record if restoring and record is not None and record.there else None
    stuck = list(filter(None, (unwritable(each.path) for each in files)))
    if stuck:
        module.fail_json(msg=f"files: {'; '.join(stuck)}; nothing was changed")
    if not module.check_mode:
        write(module, files)
        if rules.changed:
            load(module, rules)
        if record is not None and differing and not restoring:
            try:
                record.note(differing)
            except OSError as error:
                path = module.params["sysctl_record"]
                module.fail_json(msg=f"sysctl_record: {unwritable(path) or f'{path}: {error.strerror}'}")
        for setting in differing:
            try:
                sysctl.put(setting)
            except OSError as error:
                name, value = setting.name, setting.wanted
                module.fail_json(msg=f"sysctl: the kernel does not take {name} = {value}: {error.strerror}")
        if left is not None:
            left.remove()
    module.exit_json(
        changed=bool(files or differing or left is not None or rules.changed),
        changed_files=[each.path for each in files],
        changed_rules=rules.changed,
        rules_state=rules.state,
        changed_settings=[setting.name for setting in differing],
        diff=diff,
    )


if __name__ == "__main__":
    main()
