# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lab machines: starting one as a guest kernel or as namespaces of this machine.

Both kinds run the same boot script over the same tree, and go on with the same
service manager, so that what runs on them cannot tell which it is on.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from .commands import run, start
from .places import END_TIMEOUT, REPOSITORY, LabError

NODE_FILES = Path(__file__).resolve().parent / "node"
GUEST_KERNEL = "linux.uml"  # Debian's; LAB_KERNEL names another, see "make uml-kernel"
GUEST_MEMORY = "1G"  # taken as it is used
GUEST_REGISTERS = REPOSITORY / ".cache/uml/guest_registers.so"  # made by "make setup" where a processor calls for it
# Whenever every process of the guest sleeps its clock jumps to the next timer; work takes no time. This needs a kernel
# with CONFIG_UML_TIME_TRAVEL_SUPPORT, and nothing in the guest may spin: its time would stand still.
SIMULATED_TIME = "time-travel=inf-cpu"
HANDOVER = "/etc/lab/handover"

# What a guest loads in one go: starting modprobe is dear there, and the kernel would
# start it once for every algorithm of every SA.
GUEST_MODULES = (
    "ipv6 tun veth bridge xfrm_user xfrm_algo af_key esp4 esp6 ah4 ah6 ipcomp ipcomp6 tunnel4 tunnel6 ip_tunnel"
    " xfrm4_tunnel xfrm6_tunnel gcm ccm ctr cbc ghash_generic aes_generic chacha_generic poly1305_generic"
    " chacha20poly1305 authenc authencesn echainiv seqiv hmac sha1_generic sha256_generic sha512_generic"
    " crypto_null deflate xfrm_ipcomp udp_tunnel ip6_udp_tunnel"
)

# The address is never used: the states are made and vanish with a fresh namespace.
_ESP_PROBE = (
    "ip xfrm state add src 127.0.0.1 dst 127.0.0.1 proto esp spi 0x1000 mode tunnel"
    " aead 'rfc4106(gcm(aes))' 0x" + "00" * 20 + " 128 && ip xfrm state add src ::1 dst ::1 proto esp spi 0x1000"
    " mode tunnel aead 'rfc4106(gcm(aes))' 0x" + "00" * 20 + " 128"
)


def machine_has_esp() -> bool:
    """Whether this machine's kernel takes ESP states, tried in a throw-away network namespace."""
    try:
        run(["unshare", "--net", "sh", "-c", _ESP_PROBE])
    except LabError:
        return False
    return True


def kind_of_lab() -> str:
    """``namespaces`` on a kernel with ESP, else ``guests``; ``LAB_KIND`` overrides.

    :raises LabError: on another word in LAB_KIND.
    """
    wanted = os.environ.get("LAB_KIND")
    if wanted not in (None, "", "namespaces", "guests"):
        raise LabError(f"LAB_KIND is {wanted!r}; it may be: namespaces, guests")
    return wanted or ("namespaces" if machine_has_esp() else "guests")


def prepare(directory: Path) -> Path:
    """Make a machine's directory, with an empty tree of files to lay over; returns that tree."""
    (directory / "root").mkdir(parents=True)
    files = directory / "files"
    files.mkdir()
    shutil.copy(NODE_FILES / "boot.sh", directory / "boot.sh")
    return files


def _scratch() -> str:
    """Where a guest keeps its memory: a tmpfs, or it crawls."""
    return "/dev/shm" if os.path.ismount("/dev/shm") else "/tmp"


def guest_command(directory: Path, handover: str, arguments: list[str], cpu: int) -> list[str]:
    """The command line of a guest kernel, in a process and mount namespace of its own,
    so that nothing of it outlives its first process."""
    return [
        *("unshare", "--pid", "--mount", "--fork", "--kill-child"),
        # As process 1 of its namespace the kernel could not abort itself when it breaks down.
        *("sh", "-c", '"$@"; exit $?', "guest"),
        *("taskset", "-c", str(cpu), os.environ.get("LAB_KERNEL") or GUEST_KERNEL),
        *("root=/dev/root", "rootfstype=hostfs", "rootflags=/", "rw", f"mem={GUEST_MEMORY}", "quiet"),
        # Where it notes its process: one that is killed would leave that in our home.
        *("random.trust_cpu=1", "con=null", f"init={directory}/boot.sh", f"uml_dir={directory}/uml"),
        *(f"NODE={directory}", "KERNEL=guest", f"HANDOVER={handover}"),
        f"MODULES={GUEST_MODULES.replace(' ', ',')}",
        *arguments,
    ]


def guest_environment() -> dict[str, str]:
    """What a guest kernel needs in its environment."""
    preloaded = {"LD_PRELOAD": str(GUEST_REGISTERS)} if GUEST_REGISTERS.exists() else {}
    return {"TMPDIR": _scratch(), **preloaded}


def start_guest(directory: Path, namespace: str, tap: str, cpu: int) -> int:
    """Start a gateway as a guest kernel; its wire is the tap in that namespace.  Returns the PID."""
    arguments = [f"vec0:transport=tap,ifname={tap},depth=128,gro=1", "con0=null,fd:1"]
    command = guest_command(directory, HANDOVER, arguments, cpu)
    return start(["nsenter", f"--net=/run/netns/{namespace}", *command], directory / "console.log", guest_environment())


def guest_job(
    directory: Path, layer: str, output: int, options: Sequence[str] = ()
) -> tuple[list[str], dict[str, str]]:
    """Command line and environment of a guest that runs one job with that descriptor as its console.

    The folder ``share`` is shared with it, the layer laid over its tree; the kernel
    itself speaks only when it breaks down.

    :param options: further words for the kernel, such as :data:`SIMULATED_TIME`.
    """
    arguments = [f"SHARE={directory}/share", f"con0=null,fd:{output}", "loglevel=0", *options]
    if layer:
        arguments.append(f"LAYER={layer}")
    command = guest_command(directory, HANDOVER, arguments, max(os.sched_getaffinity(0)))
    return ["unshare", "--net", *command], guest_environment()


def namespace_job(directory: Path, layer: str, work: str) -> tuple[list[str], dict[str, str]]:
    """The same as namespaces of this machine; the folder ``work`` is seen on whatever file system it lies."""
    command = ["unshare", "--net", "--mount", "--uts", "--ipc", "--pid", "--cgroup", "--fork", "--kill-child"]
    environment = namespace_environment(directory, f"{directory}/share") | {"LAYER": layer, "WORK": work}
    return [*command, str(directory / "boot.sh")], environment


def namespace_environment(directory: Path, share: str) -> dict[str, str]:
    """What the boot script needs to know on this machine's own kernel."""
    return {"NODE": str(directory), "KERNEL": "machine", "MODULES": "", "SHARE": share, "HANDOVER": HANDOVER}


def _control_groups() -> Path | None:
    """Where this machine mounts control groups version 2; None when it does not."""
    for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines():
        _device, point, kind, *_rest = line.split()
        if kind == "cgroup2":
            return Path(point)
    return None


def make_control_group(name: str) -> Path:
    """Make a control group for one machine, so that its services do not land in ours.

    :raises LabError: when the kernel shows none of version 2.
    """
    top = _control_groups()
    if top is None:
        raise LabError("no control groups version 2 are mounted; run: mount -t cgroup2 none /sys/fs/cgroup")
    group = top / name
    group.mkdir(exist_ok=True)
    return group


def remove_control_group(name: str) -> None:
    """Remove a machine's control group and those its services made; ends what is left in it."""
    top = _control_groups()
    if top is None or not (top / name).exists():
        return
    (top / name / "cgroup.kill").write_text("1", encoding="ascii")
    deadline = time.monotonic() + END_TIMEOUT
    while "populated 1" in (top / name / "cgroup.events").read_text(encoding="ascii"):
        if time.monotonic() > deadline:
            raise LabError(f"processes of {name} do not end; see {top / name}/cgroup.procs")
        time.sleep(0.02)
    for folder, _folders, _files in os.walk(top / name, topdown=False):
        os.rmdir(folder)


def start_in_namespaces(directory: Path, namespace: str) -> int:
    """Start a gateway as namespaces of this machine, in that network namespace.  Returns the PID."""
    group = make_control_group(namespace)
    command = ["sh", "-c", 'echo $$ > "$0/cgroup.procs" && exec "$@"', str(group)]
    command += ["nsenter", f"--net=/run/netns/{namespace}", "unshare", "--mount", "--uts", "--ipc", "--pid"]
    command += ["--cgroup", "--fork", "--kill-child", str(directory / "boot.sh")]
    environment = {**namespace_environment(directory, ""), "container": "lab"}
    return start(command, directory / "console.log", environment)
