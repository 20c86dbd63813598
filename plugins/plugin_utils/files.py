# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of a gateway as M(fleet.ipsec.gateway_config) takes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def gateway_files(files: Iterable[Mapping[str, Any]], service_manager: str | None = None) -> list[dict[str, Any]]:
    """The files for hosts with that service manager, those without content to be absent.

    :param files: each with ``path`` (empty: not wanted at all), ``content``, ``mode`` and ``service_manager`` (empty:
        on every host).
    :param service_manager: None to have every file absent, whichever manager it is for.
    """
    found = []
    for file in files:
        if not file["path"]:
            continue
        if service_manager is None or not file["content"]:
            found.append({"path": file["path"], "state": "absent"})
        elif file["service_manager"] in ("", service_manager):
            found.append({"path": file["path"], "content": file["content"], "mode": file["mode"]})
    return found
