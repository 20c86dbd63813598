#!/usr/bin/python

# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: engine_deploy
short_description: Bring the IPsec engine to a gateway in one transfer
version_added: 0.1.0
author:
  - fleet.ipsec contributors (@fleet-ipsec)
description:
  - Installs the engine of this collection below O(path), where the tunnel manager and the command lines run it from.
  - Its files are compared by their contents. When the gateway has the same ones nothing is transferred, else one archive.
  - A release is unpacked beside the running one and checked; then C(current) is switched to it in one step.
  - A release that was damaged on the gateway is replaced.
extends_documentation_fragment:
  - fleet.ipsec.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details: Lists the files that are added, changed and removed.
options:
  path:
    description: Where releases live, as C(releases/DIGEST/engine) with C(current) pointing to the one in use.
    type: path
    default: /usr/lib/fleet-ipsec
  keep:
    description: How many earlier releases to keep for going back by hand.
    type: int
    default: 1
  python:
    description: The interpreter that is going to run the engine. It compiles a new release once.
    type: path
    default: /usr/bin/python3
  manifest:
    description: The files of the wanted release with their hashes. Filled in on the controller.
    type: dict
  archive:
    description: The transferred archive on the gateway. Filled in on the controller when one is needed.
    type: path
"""

EXAMPLES = r"""
- name: Install the engine, or the version that came with this collection
  fleet.ipsec.engine_deploy:
"""

RETURN = r"""
digest:
  description: Name of the release, a hash of its files.
  returned: success
  type: str
  sample: 9f2b1f0e6f7f9d1c6bb2f3c9b8f7a1e3d5c4b2a1
previous:
  description: Name of the release that was in use, empty if there was none.
  returned: success
  type: str
  sample: ""
path:
  description: Where the release in use is found.
  returned: success
  type: str
  sample: /usr/lib/fleet-ipsec/current
transferred:
  description: Octets of the archive that was transferred, 0 for none.
  returned: success
  type: int
  sample: 0
"""

import os
import shutil
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fleet.ipsec.plugins.module_utils.files import unwritable
from ansible_collections.fleet.ipsec.plugins.module_utils.release import FOLDER, difference, digest, manifest, unpack


class Releases:
    """The releases on this gateway.

    :param path: the folder that holds ``releases`` and ``current``.
    """

    def __init__(self, module: AnsibleModule, path: str) -> None:
        self._module = module
        self._releases = os.path.join(path, "releases")
        self.current = os.path.join(path, "current")

    def in_use(self) -> dict[str, str]:
        """Manifest of the release in use; {} if there is none."""
        return manifest(os.path.join(self.current, FOLDER))

    def points_to(self, name: str) -> bool:
        """Whether ``current`` is that release by name; a manual change may leave the right files elsewhere."""
        return os.path.realpath(self.current) == os.path.realpath(os.path.join(self._releases, name))

    def install(self, name: str, archive: str, python: str) -> None:
        """Unpack, check, compile, and put into place in one step.

        :raises ValueError: when the archive is not that release.
        """
        fresh = os.path.join(self._releases, f".{name}.{os.getpid()}")
        os.makedirs(fresh, mode=0o755)
        try:
            unpack(archive, os.path.join(fresh, FOLDER))
            if digest(manifest(os.path.join(fresh, FOLDER))) != name:
                raise ValueError("the archive was damaged on its way; run the task again")
            # The service may not write here when it runs, and starts twice as fast from compiled files: beside their
            # sources, whatever the environment of this task says.
            self._module.run_command([python, "-I", "-m", "compileall", "-q", fresh])
            place = os.path.join(self._releases, name)
            if os.path.lexists(place):
                shutil.rmtree(place)
            os.rename(fresh, place)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)

    def use(self, name: str) -> None:
        """Let ``current`` be that release, in one step."""
        link = f"{self.current}.{os.getpid()}"
        os.symlink(os.path.join("releases", name), link)
        os.replace(link, self.current)

    def prune(self, name: str, keep: int) -> None:
        """Remove the oldest releases beyond ``keep`` besides the one in use."""
        others = [other for other in os.listdir(self._releases) if other != name and not other.startswith(".")]
        others.sort(key=lambda other: os.stat(os.path.join(self._releases, other)).st_mtime, reverse=True)
        for other in others[keep:]:
            shutil.rmtree(os.path.join(self._releases, other))


def main() -> None:
    """Entry point."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "default": "/usr/lib/fleet-ipsec"},
            "keep": {"type": "int", "default": 1},
            "python": {"type": "path", "default": "/usr/bin/python3"},
            "manifest": {"type": "dict"},
            "archive": {"type": "path"},
        },
        supports_check_mode=True,
    )
    if not module.params["manifest"]:
        module.fail_json(msg="manifest: is filled in on the controller; call this module as fleet.ipsec.engine_deploy")
    if module.params["keep"] < 0:
        module.fail_json(msg=f"keep: {module.params['keep']} releases cannot be kept; write 0 or more")
    wanted = {str(path): str(octets) for path, octets in module.params["manifest"].items()}
    releases = Releases(module, module.params["path"])
    there = releases.in_use()
    name, previous = digest(wanted), digest(there)
    changed = name != previous or not releases.points_to(name)
    result: dict[str, Any] = {
        "changed": changed,
        "digest": name,
        "previous": previous,
        "path": releases.current,
        "transferred": 0,
        "invocation": {"module_args": {**module.params, "manifest": name}},
        "diff": {
            "before_header": f"engine {previous or 'not installed'}",
            "after_header": f"engine {name}",
            "before": "",
            "after": difference(there, wanted),
        },
    }
    if changed and (problem := unwritable(os.path.join(module.params["path"], "releases", name))):
        module.fail_json(msg=f"path: {problem} (gateway_path of role gateway); nothing was changed")
    if changed and not module.check_mode:
        if module.params["archive"] is None:
            # The action plugin answers with the archive.
            module.exit_json(**{**result, "changed": False, "needs_archive": True})
        try:
            releases.install(name, module.params["archive"], module.params["python"])
            releases.use(name)
            releases.prune(name, module.params["keep"])
        except ValueError as error:
            module.fail_json(msg=f"cannot install the engine below {module.params['path']}: {error}")
        except OSError as error:
            path = module.params["path"]
            module.fail_json(
                msg=f"path: the engine cannot be installed below {path}: {error.strerror}; the release before goes on; "
                f"make room or make it writable (df -h {path}; mount), then run the task again"
            )
        result["transferred"] = os.stat(module.params["archive"]).st_size
    module.exit_json(**result)


if __name__ == "__main__":
    main()
