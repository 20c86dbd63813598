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

    :param files: each with ``path`` (empty: not wanted at all), ``content`` or ``link``, ``mode`` and
        ``service_manager`` (empty: on every host).
    :param service_manager: that of the host, and what else of it has files of its own; None to have every file absent,
        whatever it is for.
    """
    there = [service_manager] if isinstance(service_manager, str) else service_manager or []
    found = []
    for file in files:
        if not file["path"]:
            continue
        if service_manager is None or not (file.get("content") or file.get("link")):
            found.append({"path": file["path"], "state": "absent"})
        elif file["service_manager"] in ("", *there):
            kind = "link" if "link" in file else "content"
            found.append({"path": file["path"], kind: file[kind], "mode": file["mode"]})
    return found


def gateway_links(names: Iterable[str], engine: str, share: str, commands: Mapping[str, str]) -> list[dict[str, Any]]:
    """Links to what the engine has for people (manual pages, completion), as :func:`gateway_files` takes them.

    :param names: files below the engine's ``cli/share``, which has the folders of ``/usr/share``.
    :param engine: folder of the engine in use on the gateway.
    :param share: folder that is laid out so, empty for no links.
    :param commands: the path of each command on the gateway, empty where it is not installed.
    """
    found = []
    for name in sorted(names) if share else []:
        # ipsec_eroute.8 and _ipsec are of ipsec.
        command = name.rpartition("/")[2].lstrip("_").partition(".")[0].partition("_")[0]
        found.append(
            {
                "path": f"{share}/{name}",
                "link": f"{engine}/cli/share/{name}" if commands[command] else "",
                "mode": "0644",
                "service_manager": "",
            }
        )
    return found
