# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that the collection owns on a gateway, and how to tell them from those of others."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import tempfile

from ansible.module_utils.basic import AnsibleModule

# Somewhere in the head of each file of ours.
MARK = "fleet.ipsec"
_HEAD = 1024  # octets
# Links of ours lead into the release in use.
RELEASE = "/current/engine/"
# Folders that are named so are ours, and go with the last file in them; so do those of drop-ins.
OWN_FOLDER = "fleet-ipsec"
# Lines of a new file that are shown.
_SHOWN = 6
_UNITS = "/etc/systemd/system"
_DROP_IN_FOLDERS = (".service.d", ".conf.d")


def read(path: str) -> str | None:
    """The text of a file, None if there is none or it is masked."""
    if _is_masked(path):
        return None
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except FileNotFoundError:
        return None


def _own_link(path: str) -> str | None:
    """Where a link of ours leads, be it into nothing; None for all else."""
    target = os.readlink(path) if os.path.islink(path) else ""
    return target if RELEASE in target else None


def foreign(module: AnsibleModule, path: str) -> str:
    """Why a file is not ours to change, in words; "" if it is ours, masked, or there is none."""
    if _own_link(path) is not None:
        return ""
    if os.path.isdir(path):
        return f"{path} is a directory"
    text = read(path)
    if text is None or MARK in text[:_HEAD]:
        return ""
    return f"{path} belongs to {_package(module, path) or 'something else'}"


def masked(path: str) -> str:
    """That an operator turned a file off for good, in words with the remedy; "" if not.

    systemd and those that read drop-ins take a link to the null device for that. It is theirs to take away.
    """
    if not _is_masked(path):
        return ""
    folder, name = os.path.split(path)
    if folder == _UNITS:
        return f"{path} is masked, so that systemd never starts it: systemctl unmask {name.removesuffix('.service')}"
    return f"{path} is masked, being a link to {os.devnull}: rm {path}"


def _is_masked(path: str) -> bool:
    return os.path.islink(path) and os.path.realpath(path) == os.devnull


def unwritable(path: str) -> str:
    """Why a file or a folder cannot be made or replaced, in words with the remedy; "" if it can.

    The kernel is asked: root may write everything but what is read-only or immutable.
    """
    folder = os.path.dirname(os.path.abspath(path))
    while not os.path.lexists(folder):
        folder = os.path.dirname(folder)
    if not os.path.isdir(folder):
        return f"{path} cannot be written: {folder} is not a directory; remove it, or choose another path"
    if os.access(folder, os.W_OK | os.X_OK):
        return ""
    if os.statvfs(folder).f_flag & os.ST_RDONLY:
        top = _mount_point(os.path.realpath(folder))
        return (
            f"{path} cannot be written: the file system of {folder} is read-only; "
            f"mount it writable (mount -o remount,rw {top}), choose another path, or build the file into the image"
        )
    return f"{path} cannot be written: {folder} lets nobody write; see lsattr -d {folder}, and become root"


def _mount_point(folder: str) -> str:
    """The mount that holds a folder; os.path.ismount does not know bind mounts."""
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        points = [line.split(" ")[4].replace("\\040", " ") for line in file]
    within = [point for point in points if point == "/" or f"{folder}/".startswith(f"{point}/")]
    return max(within, key=len, default="/")


def _package(module: AnsibleModule, path: str) -> str:
    """The distribution package that a file came with, "" if none or not known."""
    for command in (["dpkg-query", "--search", path], ["rpm", "--query", "--file", path]):
        if shutil.which(command[0]):
            status, text, _errors = module.run_command(command)
            if status == 0:
                return f"package {text.partition(':')[0].strip()}"
    return ""


class File:
    """One file, or link into the release in use, as it is and as it is to be.

    :param link: where it leads; None for a file.
    """

    def __init__(self, path: str, content: str | None, mode: str, state: str, link: str | None = None) -> None:
        self.path = path
        self._link = link if state == "present" else None
        self.wanted = content if state == "present" else None
        # The mode of a link is that of what it leads to.
        self._mode = int(mode, 8)
        held = _own_link(path)
        self._text = read(path) if held is None else _link_text(held)
        self._held_mode = stat.S_IMODE(os.stat(path).st_mode) if held is None and self._text is not None else None
        if self._link is not None:
            self.wanted = _link_text(self._link)

    @property
    def changed(self) -> bool:
        """Whether there is something to do."""
        return self._text != self.wanted or (self._wanted_mode is not None and self._held_mode != self._mode)

    @property
    def _wanted_mode(self) -> int | None:
        return None if self.wanted is None or self._link is not None else self._mode

    @property
    def diff(self) -> dict[str, str]:
        """What differs, for people."""
        return {
            "before_header": _header(self.path, self._text, self._held_mode),
            "after_header": _header(self.path, self.wanted, self._wanted_mode),
            "before": _head(self._text) if self.wanted is None else self._text or "",
            "after": _head(self.wanted) if self._text is None else self.wanted or "",
        }

    @property
    def one_sided(self) -> bool:
        """Whether it is made or removed, so that there is nothing to compare it with."""
        return self._text is None or self.wanted is None

    @property
    def summary(self) -> str:
        """What it is, in a line, for a list of many."""
        text = (self._text if self.wanted is None else self.wanted) or ""
        lines = text.splitlines()
        what = f"{len(lines)} lines" if len(lines) > 1 else "".join(lines)
        return f"{_header(self.path, text, self._wanted_mode or self._held_mode)}: {what}\n"

    def put(self, module: AnsibleModule) -> None:
        """Write or remove it, in one step.

        :raises OSError: it is as it was.
        """
        if self.wanted is None:
            self._remove()
            return
        folder = os.path.dirname(self.path)
        os.makedirs(folder, mode=0o755, exist_ok=True)
        number, fresh = tempfile.mkstemp(dir=folder, prefix=".fleet-ipsec-")
        try:
            with os.fdopen(number, "w", encoding="utf-8") as file:
                file.write(self.wanted)
            if self._link is not None:
                os.unlink(fresh)
                os.symlink(self._link, fresh)
            else:
                os.chmod(fresh, self._mode)
            os.replace(fresh, self.path)
        except OSError:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(fresh)
            raise
        module.set_default_selinux_context(self.path, False)

    def _remove(self) -> None:
        os.unlink(self.path)
        folder = os.path.dirname(self.path)
        if os.path.basename(folder).startswith(OWN_FOLDER) or folder.endswith(_DROP_IN_FOLDERS):
            with contextlib.suppress(OSError):  # not empty: somebody has files of their own in it
                os.rmdir(folder)


def _link_text(target: str) -> str:
    return f"link to {target}\n"


def _head(text: str | None) -> str:
    """The beginning of a file that is there on one side only: nobody compares it with anything."""
    lines = (text or "").splitlines(keepends=True)
    more = len(lines) - _SHOWN
    return "".join(lines) if more <= 1 else "".join([*lines[:_SHOWN], f"… and {more} lines more\n"])


def _header(path: str, text: str | None, mode: int | None) -> str:
    if text is None:
        return f"{path} (absent)"
    return path if mode is None else f"{path} (mode {mode:04o})"
