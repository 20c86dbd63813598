# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Our own tunnel manager at one site, run by hand on the distribution's Python, as on a gateway."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .sites import Site, wait_until

ENGINE = Path(__file__).resolve().parents[2] / "plugins/module_utils"
PYTHON = "/usr/bin/python3"
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ENGINE), "PYTHONUNBUFFERED": "1"}


def definition(local: Site, remote: Site, secret: str, family: int = 4, **child: Any) -> dict[str, Any]:
    """A tunnel between two sites in the words of ``tunnels.apply``; further words go to its one child."""
    six = family == 6
    return {
        "name": "peer",
        "local": {"address": local.address6 if six else local.address, "id": local.identity},
        "remote": {"address": remote.address6 if six else remote.address, "id": remote.identity},
        "auth": {"method": "psk", "secret": secret},
        "children": [
            {
                "name": "net",
                "local": [local.network6 if six else local.network],
                "remote": [remote.network6 if six else remote.network],
                **child,
            }
        ],
    }


class Manager:
    """A running manager; made by :func:`running`."""

    def __init__(self, site: Site, folder: Path, python: str = PYTHON) -> None:
        self.site = site
        self.python = python
        self.folder = folder
        self.log = folder / "manager.log"
        self.control = folder / "control.sock"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, the first time or again."""
        self.control.unlink(missing_ok=True)
        command = [self.python, "-m", "engine", "manager", "--database", str(self.folder / "definitions.sqlite")]
        command += ["--runtime-dir", str(self.folder / "run"), "--control", str(self.control)]
        command += ["--log-format", "text", "--log-level", "debug"]
        self._process = self.site.start(command, self.log, ENVIRONMENT)
        wait_until("the manager's control socket", self.control.exists, 120)

    def kill(self) -> None:
        """Kill it as a fault would."""
        self._process.kill()
        self._process.wait()

    def end(self) -> int:
        """Have it close everything and end; its exit status."""
        try:
            self.call("manager.stop", keep=False)
            return self._process.wait(20)
        finally:
            self.kill()

    def call(self, method: str, **parameters: Any) -> Any:
        """Call a method over the control socket, by the command line that a person would use."""
        command = [PYTHON, "-m", "engine", "call", "--control", str(self.control), method, json.dumps(parameters)]
        return json.loads(self.site.run("env", f"PYTHONPATH={ENGINE}", *command))

    def define(self, tunnel: dict[str, Any], state: str) -> None:
        """Define a tunnel, and start it when the state is ``active``."""
        self.call("tunnels.apply", definitions=[tunnel], state=state)

    def bring_up(
        self, tunnel: dict[str, Any], initiate: Callable[[], subprocess.CompletedProcess[str]], ours_starts: bool
    ) -> None:
        """Define a tunnel and have it started, here or at the peer; fails the test when it does not come up.

        :param initiate: has the peer start it.
        """
        if ours_starts:
            self.define(tunnel, "active")
        else:
            self.define(tunnel | {"role": "responder"}, "active")
            done = initiate()
            assert done.returncode == 0, done.stdout + done.stderr
        row = self.wait("established")
        assert row["reached"], row

    def wait(self, until: str, timeout: float = 30) -> dict[str, Any]:
        """Wait for the tunnel; returns its row of ``tunnels.wait``."""
        (row,) = self.call("tunnels.wait", names=["peer"], until=until, timeout=timeout)["tunnels"]
        return row


@contextmanager
def running(site: Site, folder: Path, python: str = PYTHON) -> Iterator[Manager]:
    """Start the manager at a site and end it afterwards: it must end cleanly and leave no SA behind.

    :param python: the interpreter, with its libraries.
    """
    folder.mkdir()
    manager = Manager(site, folder, python)
    manager.start()
    try:
        yield manager
    finally:
        status = manager.end()
    assert status == 0, f"the manager ended with {status}: {manager.log.read_text(encoding='utf-8')[-2000:]}"
    # The kernel's own notes of packets that asked for an SA have SPI 0, and end by themselves.
    left = re.findall(r"proto (?:esp|ah|comp) spi 0x(?!0{8}\()\w+", site.states())
    assert not left, f"the manager left SAs behind: {left}"
