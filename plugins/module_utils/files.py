# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that the collection owns on a gateway, and how to tell them from those of others."""

from __future__ import annotations

import os
import shutil

from ansible.module_utils.basic import AnsibleModule

# Somewhere in the head of each file of ours.
MARK = "fleet.ipsec"
_HEAD = 1024  # octets


def read(path: str) -> str | None:
    """The text of a file, None if there is none."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except FileNotFoundError:
        return None


def foreign(module: AnsibleModule, path: str) -> str:
    """Why a file is not ours to change, in words; "" if it is ours or there is none."""
    if os.path.isdir(path):
        return f"{path} is a directory"
    text = read(path)
    if text is None or MARK in text[:_HEAD]:
        return ""
    return f"{path} belongs to {_package(module, path) or 'something else'}"


def _package(module: AnsibleModule, path: str) -> str:
    """The distribution package that a file came with, "" if none or not known."""
    for command in (["dpkg-query", "--search", path], ["rpm", "--query", "--file", path]):
        if shutil.which(command[0]):
            status, text, _errors = module.run_command(command)
            if status == 0:
                return f"package {text.partition(':')[0].strip()}"
    return ""
