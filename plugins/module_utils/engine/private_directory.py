# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A directory for state that is ours alone: where others may write, they choose what we overwrite and believe."""

from __future__ import annotations

import os
import stat

from .errors import MissingError

# For files in it: what somebody has put there to lead elsewhere is not followed.
NO_LINK = os.O_NOFOLLOW | os.O_CLOEXEC


def private_directory(directory: str, what: str = "runtime directory") -> None:
    """Make the directory with mode 0700 unless it is there, and make sure that nobody else writes to it.

    :param what: it is, for whoever reads that it cannot be used.
    :raises MissingError: it cannot be made, belongs to another user than root and us, or others may write to it; or
        they may put another one in its place.
    """
    try:
        os.makedirs(directory, mode=0o700, exist_ok=True)
        _check(directory, os.stat(directory), f"the {what} {directory}")
        parent = os.path.dirname(os.path.realpath(directory))
        while True:
            found = os.stat(parent)
            # In a sticky one nobody renames what is another's.
            if not found.st_mode & stat.S_ISVTX or found.st_uid not in (0, os.geteuid()):
                _check(parent, found, f"{parent}, in which the {what} {directory} is,")
            if parent == "/":
                return
            parent = os.path.dirname(parent)
    except OSError as exc:
        raise MissingError(
            f"the {what} {directory} cannot be used ({exc.strerror})", "run as root, or name another one"
        ) from None


def _check(directory: str, found: os.stat_result, words: str) -> None:
    """Refuse a directory in which others may put what they like."""
    if found.st_uid not in (0, os.geteuid()):
        raise MissingError(
            f"{words} belongs to user {found.st_uid}, who could have us write anywhere",
            f"run chown root {directory}, or name another one",
        )
    ours = found.st_gid in (0, os.getegid())
    if found.st_mode & (stat.S_IWOTH if ours else stat.S_IWOTH | stat.S_IWGRP):
        raise MissingError(
            f"others may write to {words.rstrip(',')}, and so have us write anywhere",
            f"run chmod go-w {directory}, or name another one",
        )
