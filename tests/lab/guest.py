# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``python3 -m tests.lab.guest COMMAND…``: run one command on a fresh kernel state with ESP.

On a machine whose kernel has ESP that is a set of new namespaces, else a guest
kernel.  The command sees the machine's tree, but what it writes does not stay, apart from
what it writes into :data:`SHARE` when a folder for that is named; its output and exit status are ours.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from threading import Thread

from . import machine
from .commands import SYSTEM_PATH
from .interruptions import leave_on_sigterm, undisturbed
from .places import LabError

TIMEOUT = 1200  # seconds
SHARE = "/run/lab-share"  # as the command sees the folder that it shares with us
# What of our environment goes along: where programs are, and how Python and its tools behave.
PASSED_NAMES = ("PATH", "HOME", "LANG", "TERM", "CI", "COLUMNS", "VIRTUAL_ENV")
PASSED_PREFIXES = ("PYTHON", "PYTEST", "HYPOTHESIS", "FLEET_", "ANSIBLE_")
# There Python may keep what it compiles beside its sources: a manager starts in less time, and nothing stays.
KEPT_BACK = ("PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX")


def _command_script(command: list[str]) -> str:
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in KEPT_BACK and (name in PASSED_NAMES or name.startswith(PASSED_PREFIXES))
    }
    kept["PATH"] = f"{kept.get('PATH', '')}:{SYSTEM_PATH}"
    if not sys.stdout.isatty():
        kept["NO_COLOR"] = "1"  # the guest's console always looks like a terminal
        kept["TERM"] = "dumb"
    exports = [f"export {name}={shlex.quote(value)}\n" for name, value in sorted(kept.items())]
    return f"#!/bin/sh\n{''.join(exports)}cd {shlex.quote(os.getcwd())} && exec {shlex.join(command)}\n"


def _write_files(directory: Path, kernel: str, command: list[str]) -> None:
    lab = machine.prepare(directory) / "etc/lab"
    lab.mkdir(parents=True)
    (lab / "job.env").write_text(f"KERNEL={kernel}\n", encoding="utf-8")
    (lab / "command").write_text(_command_script(command), encoding="utf-8")
    (lab / "command").chmod(0o755)
    shutil.copy(machine.NODE_FILES / "job.sh", lab / "handover")
    (directory / "share").mkdir()


def _pump(source: int) -> None:
    """Copy a pipe to our standard output until its other end is closed."""
    with os.fdopen(source, "rb", buffering=0) as pipe:
        while octets := pipe.read(65536):
            sys.stdout.buffer.write(octets)
            sys.stdout.buffer.flush()


def _run_machine(directory: Path, kernel: str, layer: str, timeout: float, options: Sequence[str]) -> None:
    # A pipe of its own: a guest kernel sets what it gets to non-blocking, which our own output must not become.
    source, sink = os.pipe()
    if kernel == "guest":
        start, environment = machine.guest_job(directory, layer, sink, options)
    else:
        start, environment = machine.namespace_job(directory, layer, os.getcwd())
    pump = Thread(target=_pump, args=(source,))
    with (directory / "console.log").open("wb") as log:
        process = subprocess.Popen(
            start,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=log if kernel == "guest" else sink,  # a guest's job speaks through the console instead
            stderr=subprocess.STDOUT,
            pass_fds=(sink,),
        )
    os.close(sink)
    pump.start()
    try:
        process.wait(timeout)
    except subprocess.TimeoutExpired as error:
        raise LabError(f"the job did not end in {timeout:.0f} s") from error
    finally:
        with undisturbed():
            process.kill()
            process.wait()
            pump.join()


def run_job(
    command: list[str], layer: str = "", timeout: float = TIMEOUT, options: Sequence[str] = (), keep: Path | None = None
) -> int:
    """Run the command; its output goes to our standard output.  Returns its exit status.

    :param layer: a folder whose files the command sees over the machine's own.
    :param options: words for a guest's kernel; with them the command runs on none but a guest's.
    :param keep: a folder that gets what the command left in :data:`SHARE`, whatever became of it.

    :raises LabError: when it did not end in time, or its machine broke down.
    """
    kernel = "machine" if not options and machine.kind_of_lab() == "namespaces" else "guest"
    directory = Path(tempfile.mkdtemp(prefix="fleet-ipsec-job-", dir="/run"))
    try:
        _write_files(directory, kernel, command)
        _run_machine(directory, kernel, layer, timeout, options)
        status = directory / "share/status"
        if not status.exists():
            log = (directory / "console.log").read_text(encoding="utf-8", errors="replace")
            raise LabError(f"the machine that was to run {shlex.join(command)} broke down:\n{log}")
        return int(status.read_text(encoding="ascii"))
    finally:
        with undisturbed():
            if keep is not None:
                shutil.copytree(directory / "share", keep, dirs_exist_ok=True)
            shutil.rmtree(directory)


def main() -> int:
    """Run the command of our command line."""
    parser = argparse.ArgumentParser(prog="python3 -m tests.lab.guest", description=__doc__)
    parser.add_argument("--timeout", type=float, default=TIMEOUT, help="seconds, default %(default)s")
    parser.add_argument("--layer", default="", metavar="FOLDER", help="files to lay over the machine's tree")
    parser.add_argument(
        "--simulated-time",
        action="store_const",
        const=(machine.SIMULATED_TIME,),
        default=(),
        help="a guest whose clock jumps ahead while all sleep; LAB_KERNEL names its kernel (make uml-kernel)",
    )
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help=f"gets what the command leaves in {SHARE}")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="what to run")
    arguments = parser.parse_args()
    if not arguments.command:
        parser.error("nothing to run")
    if arguments.layer and not os.path.isdir(arguments.layer):
        parser.error(f"there is no folder {arguments.layer}")
    leave_on_sigterm()  # the machine and its folder go with us
    layer = os.path.abspath(arguments.layer) if arguments.layer else ""
    return run_job(arguments.command, layer, arguments.timeout, arguments.simulated_time, arguments.keep)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except LabError as error:
        sys.exit(f"lab: {error}")
