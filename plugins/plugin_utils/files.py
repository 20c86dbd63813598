# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of a gateway as M(fleet.ipsec.gateway_config) takes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def gateway_files(
    files: Iterable[Mapping[str, Any]], service_manager: str | list[str] | None = None
) -> list[dict[str, Any]]:
    """The files for hosts with that service manager, those without content to be absent.

    :param files: each with ``path`` (empty: not wanted at all), ``content``, ``mode`` and ``service_manager`` (empty:
        on every host).
    :param service_manager: that of the host, and what else of it has files of its own; None to have every file absent,
        whatever it is for.
    """
    there = [service_manager] if isinstance(service_manager, str) else service_manager or []
    found = []
    for file in files:
        if not file["path"]:
            continue
        if service_manager is None or not file["content"]:
            found.append({"path": file["path"], "state": "absent"})
        elif file["service_manager"] in ("", *there):
            found.append({"path": file["path"], "content": file["content"], "mode": file["mode"]})
    return found
