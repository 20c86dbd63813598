# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files that a configuration consists of, within a budget of size, number and depth."""

from __future__ import annotations

import glob
import itertools
import os
from collections.abc import Iterator

from ..errors import InputError
from .report import FOREIGN, LOST, Entry, Report, refuse

MAX_OCTETS = 16 << 20  # of all files together
MAX_FILES = 1000
MAX_DEPTH = 16
MAX_CREDENTIALS = 10_000  # files with keys, certificates and revocation lists
MAX_CREDENTIAL_OCTETS = 64 << 20  # of all of these
LARGEST_CREDENTIAL = 1 << 20  # of one: the tunnel manager reads no more
MAX_WILD = 3  # parts of the path of an include that may have wildcards: more would look at every file of a host


class Files:
    """Reads files, and the files that they include.

    :param report: is told of includes that come to nothing.
    :param follow: whether includes are read at all; they are not where a text came without a place of its own.
    """

    def __init__(self, report: Report, follow: bool = True) -> None:
        self._report = report
        self._follow = follow
        self._left = MAX_OCTETS
        self._count = 0
        self._open: list[str] = []
        self._credentials: dict[str, bytes] = {}
        self._octets_left = MAX_CREDENTIAL_OCTETS

    def read(self, path: str, field: str = "file") -> str:
        """The text of a file.

        :raises InputError: naming ``field``: it cannot be read, is no text, or goes over the budget.
        """
        try:
            with open(path, "rb") as stream:
                octets = stream.read(self._left + 1)
        except (OSError, ValueError) as exc:
            problem = getattr(exc, "strerror", None) or "cannot be read"
            raise InputError(field, path, problem, "name a file that can be read") from None
        return self.decode(octets, path, field)

    def decode(self, octets: bytes, path: str, field: str) -> str:
        """The octets of a file as text; those that are no UTF-8 are each a character that :data:`FOREIGN` makes.

        :raises InputError: as :meth:`read`.
        """
        self._left -= len(octets)
        self._count += 1
        if self._left < 0:
            raise InputError(field, path, f"is larger than {MAX_OCTETS >> 20} MiB", "give the configuration alone")
        if self._count > MAX_FILES:
            raise InputError(field, path, f"there are more than {MAX_FILES} files", "include fewer")
        # Programs take the octets of a key or a comment as they are, in whatever character set somebody wrote them.
        text = octets.decode("utf-8-sig", FOREIGN)
        if "\0" in text:
            line = text.count("\n", 0, text.index("\0")) + 1
            raise InputError(f"{path}:{line}", None, "has a NUL character", "give a text file")
        return text

    def octets(self, path: str, field: str = "file") -> bytes:
        """What a file of a key, a certificate or a revocation list holds; each is read once.

        :raises InputError: naming ``field``: it cannot be read, is no plain file, or goes over their budget.
        """
        if path not in self._credentials:
            self._credentials[path] = self._fresh(path, field)
        return self._credentials[path]

    def _fresh(self, path: str, field: str) -> bytes:
        if not self._follow:
            raise InputError(field, path, "was not read", "give the path of the main file instead of its content")
        try:
            if os.path.exists(path) and not os.path.isfile(path):  # a pipe would be waited for
                raise InputError(field, path, "is no plain file", "name one")
            with open(path, "rb") as stream:
                octets = stream.read(LARGEST_CREDENTIAL + 1)
        except (OSError, ValueError) as exc:
            problem = getattr(exc, "strerror", None) or "cannot be read"
            raise InputError(field, path, problem, "convert on the host that has it, or copy it there") from None
        if len(octets) > LARGEST_CREDENTIAL:
            problem = f"has more than {LARGEST_CREDENTIAL >> 20} MiB"
            raise InputError(field, path, problem, "leave in it what is needed")
        self._octets_left -= len(octets)
        if self._octets_left < 0 or len(self._credentials) >= MAX_CREDENTIALS:
            self._octets_left = 0
            problem = f"there is more than {MAX_CREDENTIALS} files or {MAX_CREDENTIAL_OCTETS >> 20} MiB of credentials"
            raise InputError(field, path, problem, "leave in these folders what is needed")
        return octets

    def listed(self, folder: str) -> list[str]:
        """The paths of the plain files in a folder, in order; none where there is none, or nothing is read."""
        if not self._follow:
            return []
        try:
            with os.scandir(folder) as found:
                return sorted(each.path for each in itertools.islice(found, MAX_CREDENTIALS) if each.is_file())
        except (OSError, ValueError):
            return []

    def included(self, entry: Entry) -> Iterator[tuple[str, str]]:
        """(path, text) of each file that an include names; relative names count from the including file.

        :raises InputError: a circle, or files over the budget.
        """
        if not self._follow:
            instead = "the included files were not read"
            self._report.tell(entry, LOST, instead, "give the path of the main file instead of its content")
            return
        pattern = os.path.join(os.path.dirname(entry.file), entry.value)
        if sum(map(glob.has_magic, pattern.split("/"))) > MAX_WILD:
            raise refuse(entry, f"has wildcards in more than {MAX_WILD} parts of its path", "name the folders")
        found = itertools.islice(glob.iglob(pattern), MAX_FILES + 1)
        paths = sorted(path for path in found if os.path.isfile(path))  # a pipe would be waited for
        if not paths:
            self._report.tell(entry, LOST, "no such file is there", "convert on the host that has it, or copy it")
        for path in paths:
            place = os.path.realpath(path)
            if place in self._open or os.path.realpath(entry.file) == place:
                raise refuse(entry, f"includes {path}, which is being read already", "take the circle out")
            if len(self._open) >= MAX_DEPTH:
                raise refuse(entry, f"is more than {MAX_DEPTH} includes deep", "include less deep")
            self._open.append(place)
            try:
                yield path, self.read(path, f"{entry.file}:{entry.line}: include")
            finally:
                self._open.pop()
