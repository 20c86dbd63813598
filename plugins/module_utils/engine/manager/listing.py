# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What ``tunnels.list`` answers, from what runs and from what is defined."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..ike.actions import ChildSa
from ..ike.views import ChildView, IkeView
from ..kernel.spec import Usage
from .states import Condition
from .store import Stored
from .tunnels import Tunnels

Counters = Mapping[tuple[str, int, int], Usage]
_DORMANT = ("dormant", "inactive")


def select(rows: Mapping[str, Stored], params: Mapping[str, Any]) -> list[Stored]:
    """The tunnels that the filters of a call leave, in the order of their numbers."""
    found = list(rows.values())
    if "names" in params:
        names = set(params["names"])
        found = [row for row in found if row.name in names]
    if "owner" in params:
        found = [row for row in found if row.owner == params["owner"]]
    if "numbers" in params:
        numbers = set(params["numbers"])
        if params["phase"] == "2":
            found = [row for row in found if not numbers.isdisjoint(row.children.values())]
        else:
            found = [row for row in found if row.number in numbers]
    return sorted(found, key=lambda row: row.number)


def listing(
    tunnels: Tunnels, views: Mapping[str, list[IkeView]], counters: Counters, params: Mapping[str, Any], now: float
) -> Iterator[dict[str, Any]]:
    """One entry per tunnel.

    :param views: the IKE SAs by tunnel, for the verbose form; ``counters`` likewise.
    :param now: the time on the protocol engine's clock.
    """
    running_only = params["source"] == "manager" and "names" not in params and "numbers" not in params
    for row in select(tunnels.rows, params):
        how = tunnels.condition(row.name)
        if running_only and how.state in _DORMANT and row.wanted in ("present", "inactive"):
            continue
        if "role" in params and how.role != params["role"]:
            continue
        yield _entry(row, how, views.get(row.name, []), counters, params, now)


def _entry(
    row: Stored, how: Condition, sas: list[IkeView], counters: Counters, params: Mapping[str, Any], now: float
) -> dict[str, Any]:
    document = row.definition.document
    entry: dict[str, Any] = {
        "number": row.number,
        "name": row.name,
        "owner": row.owner,
        "wanted": row.wanted,
        "state": how.state,
        "phase1": how.phase1,
        "role": how.role,
        "local": {"address": document["local"]["address"], "id": document["local"]["id"]},
        "remote": {"address": document["remote"]["address"], "id": document["remote"]["id"]},
        "reason": how.reason,
        "story": how.story,
        "remedy": how.remedy,
    }
    if params["phase"] != "1":
        numbers = set(params["numbers"]) if params["phase"] == "2" and "numbers" in params else None
        entry["children"] = [
            _child(row, child, how, sas, counters, params["verbose"], now)
            for child in document["children"]
            if numbers is None or row.children[child["name"]] in numbers
        ]
    if params["verbose"]:
        entry["definition"] = row.definition.public()
        entry["ike_sas"] = [_ike_sa(sa, now) for sa in sas]
    return entry


def _child(
    row: Stored,
    child: dict[str, Any],
    how: Condition,
    sas: list[IkeView],
    counters: Counters,
    verbose: bool,
    now: float,
) -> dict[str, Any]:
    name = child["name"]
    found = [(sa, view) for sa in sas for view in sa.children if view.name == name]
    state = how.phase2.get(name, "dormant")
    entry: dict[str, Any] = {
        "number": row.children[name],
        "name": name,
        "state": state,
        "role": how.role if state == "active" else "",
        "local": child["local"],
        "remote": child["remote"],
        "mode": child["mode"],
        "start": child["start"],
    }
    if verbose:
        entry["sas"] = [_child_sa(sa, view, counters, now) for sa, view in found]
    return entry


def _ike_sa(sa: IkeView, now: float) -> dict[str, Any]:
    return {
        "number": sa.number,
        "state": sa.state,
        "role": "initiator" if sa.initiator else "responder",
        "local": f"{sa.path.local_address}/{sa.path.local_port}",
        "remote": f"{sa.path.remote_address}/{sa.path.remote_port}",
        "local_id": sa.local_id,
        "remote_id": sa.remote_id,
        "initiator_spi": sa.spi_i.hex(),
        "responder_spi": sa.spi_r.hex(),
        "algorithms": list(sa.algorithms),
        "nat": sa.nat,
        "age": round(now - sa.created, 1),
        "rekey_in": _left(sa.rekey_at, now),
        "expires_in": _left(sa.expires_at, now),
        "heard": round(now - sa.last_heard, 1) if sa.last_heard else None,
    }


def _child_sa(ike: IkeView, view: ChildView, counters: Counters, now: float) -> dict[str, Any]:
    sa: ChildSa = view.sa  # type: ignore[assignment]
    algorithms = [row.name for row in (sa.encryption, sa.integrity) if row is not None]
    return {
        "number": view.number,
        "ike": ike.number,
        "state": view.state,
        "protocol": {50: "esp", 51: "ah"}[sa.protocol],
        "mode": sa.mode,
        "reqid": sa.reqid,
        "spi_in": f"{sa.spi_in:#010x}",
        "spi_out": f"{sa.spi_out:#010x}",
        "local_address": sa.local_address,
        "remote_address": sa.remote_address,
        "local": [str(selector) for selector in sa.local_selectors],
        "remote": [str(selector) for selector in sa.remote_selectors],
        "algorithms": algorithms,
        "esn": sa.esn,
        "encapsulation": list(sa.encapsulation) if sa.encapsulation else None,
        "replay_window": sa.replay_window,
        "age": round(now - view.created, 1),
        "rekey_in": _left(view.rekey_at, now),
        "expires_in": _left(view.expires_at, now),
        "in": _usage(counters.get((sa.local_address, sa.protocol, sa.spi_in))),
        "out": _usage(counters.get((sa.remote_address, sa.protocol, sa.spi_out))),
    }


def _usage(usage: Usage | None) -> dict[str, int] | None:
    if usage is None:
        return None
    return {
        "bytes": usage.bytes,
        "packets": usage.packets,
        "last_used": usage.last_used or usage.use_time,
        "integrity_failed": usage.integrity_failed,
        "replayed": usage.replayed,
    }


def _left(when: float, now: float) -> int | None:
    """Whole seconds until then, None for never."""
    return max(0, int(when - now)) if 0 < when < float("inf") else None
