# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ship the engine: ask the gateway by manifest, transfer one archive only if it has another release."""

from __future__ import annotations

import os
import tempfile
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.fleet.ipsec.plugins.module_utils import release

MODULE = "fleet.ipsec.engine_deploy"
ENGINE = os.path.join(os.path.dirname(os.path.realpath(release.__file__)), release.FOLDER)


class ActionModule(ActionBase):
    """Controller side of M(fleet.ipsec.engine_deploy)."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Deploy; the result is the module's."""
        super().run(tmp, task_vars)
        files = release.manifest(ENGINE)
        arguments = {**self._task.args, "manifest": files}
        result: dict[str, Any] = self._execute_module(module_name=MODULE, module_args=arguments, task_vars=task_vars)
        if not result.pop("needs_archive", False):
            return result
        # Without pipelining there is one already. Whichever it is goes when the task ends.
        if self._connection._shell.tmpdir is None:
            self._make_tmp_path()
        archive = self._connection._shell.join_path(self._connection._shell.tmpdir, "engine.tar.gz")
        with tempfile.NamedTemporaryFile(suffix=".tar.gz") as packed:
            packed.write(release.pack(ENGINE, list(files)))
            packed.flush()
            self._transfer_file(packed.name, archive)
        self._fixup_perms2((self._connection._shell.tmpdir, archive), execute=False)
        result = self._execute_module(
            module_name=MODULE, module_args={**arguments, "archive": archive}, task_vars=task_vars
        )
        return result
