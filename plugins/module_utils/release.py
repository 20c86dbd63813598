# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A release of the engine: its files, digest and archive; the same code on the controller and on the gateway."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import tarfile

FOLDER = "engine"
# Files that a difference names.
_LISTED = 10
_UNWANTED = (".pyc", ".swp", "~")


def manifest(folder: str) -> dict[str, str]:
    """Every file of a release below ``folder``: relative path to SHA-256 (hex), sorted; {} where there is no folder."""
    found = {}
    for parent, names, files in os.walk(folder):
        names[:] = [name for name in names if name != "__pycache__" and not name.startswith(".")]
        for name in files:
            if not name.startswith(".") and not name.endswith(_UNWANTED):
                path = os.path.join(parent, name)
                with open(path, "rb") as stream:
                    found[os.path.relpath(path, folder)] = hashlib.sha256(stream.read()).hexdigest()
    return dict(sorted(found.items()))


def digest(files: dict[str, str]) -> str:
    """The release's name: a hash of all paths and contents, 40 hex digits; "" for no files.

    It does not depend on how the archive is packed, so that a gateway can check what it unpacked.
    """
    if not files:
        return ""
    lines = "".join(f"{octets}  {path}\n" for path, octets in sorted(files.items()))
    return hashlib.sha256(lines.encode()).hexdigest()[:40]


def pack(folder: str, paths: list[str]) -> bytes:
    """A gzipped tar of these files: same files, same octets, whoever packs them and when."""
    packed = io.BytesIO()
    with gzip.GzipFile("", "wb", 6, packed, mtime=0) as compressed, tarfile.open(None, "w", compressed) as archive:
        for path in sorted(paths):
            with open(os.path.join(folder, path), "rb") as stream:
                content = stream.read()
            member = tarfile.TarInfo(path)
            member.size, member.mode, member.mtime = len(content), 0o644, 1
            archive.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def unpack(archive: str, folder: str) -> None:
    """Write the files of an archive below ``folder``, which is made.

    :raises ValueError: for a member that is no plain file inside the folder.
    """
    with tarfile.open(archive, "r:gz") as packed:
        for member in packed:
            path = os.path.normpath(os.path.join(folder, member.name))
            stream = packed.extractfile(member) if member.isreg() else None
            if stream is None or not path.startswith(folder + os.sep):
                raise ValueError(f"the archive has an unexpected member {member.name!r}")
            os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
            with open(path, "wb") as file:
                file.write(stream.read())
            os.chmod(path, 0o644)
            # Compiled files are checked against this time, so it has to be the same in every copy.
            os.utime(path, (member.mtime, member.mtime))


def difference(before: dict[str, str], after: dict[str, str]) -> str:
    """What differs between two manifests, one file a line, numbers where they are many; "" when nothing does."""
    lines, counts = [], dict.fromkeys(("added", "changed", "removed"), 0)
    for path in sorted({*before, *after}):
        if before.get(path) != after.get(path):
            word = "added" if path not in before else "removed" if path not in after else "changed"
            lines.append(f"{word} {path}\n")
            counts[word] += 1
    if len(lines) <= _LISTED:
        return "".join(lines)
    return ", ".join(f"{count} files {word}" for word, count in counts.items() if count) + "\n"
