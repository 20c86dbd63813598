# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kernel settings: which differ, and what they were before they were first changed here."""

from __future__ import annotations

import contextlib
import fnmatch
import glob
import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

SYSTEM = "/proc/sys"
IPV6 = "net.ipv6."
# Where the settings of the next boot come from (sysctl.d(5)).
BOOT_FILES = ("/etc/sysctl.conf", *(f"{top}/sysctl.d/*.conf" for top in ("/etc", "/run", "/usr/local/lib", "/usr/lib")))


class Setting(NamedTuple):
    """A setting that differs: its name as ``sysctl`` has it, its file, its value now and the one wanted."""

    name: str
    path: str
    now: str
    wanted: str

    @property
    def key(self) -> str:
        """A name that is sure to be its own: those of interfaces may have dots."""
        return os.path.relpath(self.path, SYSTEM)


def differing(wanted: dict[str, Any]) -> list[Setting]:
    """The settings that are to change; ``*`` in a name stands for any name of one level.

    A kernel may lack those of IPv6 if it has no IPv6, and those whose names begin with ``-`` (sysctl.d(5)).

    :raises KeyError: for one that the kernel does not have. OSError: it cannot be read.
    """
    found = []
    no_ipv6 = not os.path.isdir(os.path.join(SYSTEM, "net/ipv6"))
    for name, value in wanted.items():
        pattern = name.removeprefix("-")
        paths = sorted(glob.glob(os.path.join(SYSTEM, pattern.replace(".", "/"))))
        if not paths and pattern == name and not (pattern.startswith(IPV6) and no_ipv6):
            raise KeyError(pattern)
        for path in paths:
            now = _read(path)
            if now != str(value):
                found.append(Setting(os.path.relpath(path, SYSTEM).replace("/", "."), path, now, str(value)))
    return found


def put(setting: Setting) -> None:
    """Tell the kernel.

    :raises OSError: it does not take the value.
    """
    with open(setting.path, "w", encoding="ascii") as file:
        file.write(setting.wanted)


class Record:
    """What settings were before they were changed for the first time, and what they were changed to, in a JSON file.

    :raises OSError: the file is there and cannot be read. ValueError: it is not such a file.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self.rows: dict[str, dict[str, str]] = {}
        with contextlib.suppress(FileNotFoundError), open(path, encoding="utf-8") as file:
            self.rows = json.load(file)

    def note(self, changed: Iterable[Setting]) -> None:
        """Add settings that are going to be changed, and save; what was before the first change stays."""
        for setting in changed:
            before = self.rows.get(setting.key, {}).get("before", setting.now)
            self.rows[setting.key] = {"before": before, "set": setting.wanted}
        folder = os.path.dirname(self._path)
        os.makedirs(folder, mode=0o700, exist_ok=True)
        number, fresh = tempfile.mkstemp(dir=folder, prefix=".fleet-ipsec-")
        with os.fdopen(number, "w", encoding="utf-8") as file:
            json.dump(self.rows, file, indent=1, sort_keys=True)
        os.replace(fresh, self._path)

    def restorable(self, leaving: Iterable[str]) -> list[Setting]:
        """What goes back to what it was: not what somebody changed since, nor what another file sets at boot.

        :param leaving: boot files that are removed now.
        """
        elsewhere = list(_boot_patterns(set(leaving)))
        found = []
        for key, row in self.rows.items():
            path = os.path.join(SYSTEM, key)
            if not os.path.exists(path) or any(fnmatch.fnmatchcase(key, pattern) for pattern in elsewhere):
                continue
            if _read(path) == row["set"] != row["before"]:
                found.append(Setting(key.replace("/", "."), path, row["set"], row["before"]))
        return found

    @property
    def there(self) -> bool:
        """Whether there is such a file."""
        return os.path.exists(self._path)

    def remove(self) -> None:
        """Forget everything."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path)


def _read(path: str) -> str:
    with open(path, encoding="ascii") as file:
        return " ".join(file.read().split())


def _boot_patterns(leaving: set[str]) -> Iterator[str]:
    """Keys, possibly with ``*``, that files of this host set at boot."""
    for pattern in BOOT_FILES:
        for path in glob.glob(pattern):
            if path in leaving:
                continue
            with contextlib.suppress(OSError), open(path, encoding="utf-8", errors="replace") as file:
                for line in file:
                    name, equals, _value = line.strip().lstrip("-").partition("=")
                    if equals and not name.startswith(("#", ";")):
                        yield _key(name.strip())


def _key(name: str) -> str:
    """The first separator tells which one the name is written with (sysctl.d(5))."""
    dot, slash = name.find("."), name.find("/")
    if dot < 0 or 0 <= slash < dot:
        return name
    return name.translate(str.maketrans("./", "/."))
