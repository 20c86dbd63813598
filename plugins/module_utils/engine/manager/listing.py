# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What ``tunnels.list`` answers, from what runs and from what is defined."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from ..definition import many
from ..definition.build import has_pfs
from ..definition.peer import places_of
from ..ike.instances import definition_of, is_instance
from ..ike.views import ChildView, IkeView
from ..kernel.values import Usage
from .numbers import Numbers
from .repairs import Record
from .states import Condition
from .store import Stored
from .traffic import Counters, Traffic
from .tunnels import Tunnels


def listing(
    tunnels: Tunnels,
    found: list[tuple[Stored, Condition]],
    views: Mapping[str, list[IkeView]],
    counters: Counters,
    params: Mapping[str, Any],
    now: float,
    traffic: Traffic,
) -> Iterator[dict[str, Any]]:
    """One entry per tunnel, in the order of their numbers.

    :param found: the tunnels to list, each as :func:`look` has it.
    :param views: the IKE SAs by tunnel, for the verbose form; ``counters`` likewise.
    :param now: the time on the protocol engine's clock.
    """
    manager = params["source"] == "manager"
    numbered = [(tunnels.numbers.of(row.name) if manager else row.number, row, how) for row, how in found]
    wanted = set(params.get("numbers", ()))
    for number, row, how in sorted(numbered, key=lambda one: (one[0], one[1].number)):
        if manager and not number and "names" not in params:
            continue
        if "role" in params and how.role != params["role"]:
            continue
        children = _children(tunnels.numbers, row, params)
        if "numbers" in params:
            if params["phase"] == "2":
                children = {name: at for name, at in children.items() if at in wanted}
            if not (children if params["phase"] == "2" else number in wanted):
                continue
        running = tunnels.numbers.of(row.name)
        record = tunnels.record(row.name)
        ages = _ages(tunnels, row, traffic, now)
        overlap, resolved = tunnels.rekey_overlap, tunnels.names.shown(row.name)
        rest = overlap, record, ages, tunnels.expiring(row.name), _instances(tunnels, row), resolved
        one = Listed(row, how, number, running, children, tunnels.numbers, *rest)
        yield _entry(one, views.get(row.name, []), counters, params, now)


def select(tunnels: Tunnels, params: Mapping[str, Any]) -> list[Stored]:
    """The tunnels that the filters by name and owner leave; of what runs, instances behind their definition.

    The name of a definition for many peers stands for its instances, too.
    """
    found = list(tunnels.rows.values())
    if "owner" in params:
        found = [row for row in found if row.owner == params["owner"]]
    if params["source"] == "manager":
        found = [each for row in found for each in (row, *tunnels.instances(row.name))]
    if "names" in params:
        names = set(params["names"])
        found = [row for row in found if not names.isdisjoint((row.name, definition_of(row.name)))]
    return found


def look(tunnels: Tunnels, row: Stored) -> tuple[Stored, Condition]:
    """A tunnel and how it is; it has its numbers then, if the manager runs it."""
    how = tunnels.condition(row.name)
    tunnels.settle_numbers(row.name, how)
    return row, how


class Listed(NamedTuple):
    """A tunnel to list.

    :ivar number: in the numbering of the listing; ``running`` the manager's, 0 if it does not run.
    :ivar children: the children to list with their numbers, likewise.
    :ivar overlap: percent of a lifetime that are left when a rekey begins: least and most.
    :ivar repairs: what of it was put back into the kernel.
    :ivar expiring: what of its certificates ends soon.
    :ivar instances: of a definition for many peers, how many of them are there, and may be.
    :ivar resolved: by host name of its peer, the addresses that it stood for last.
    :ivar ages: of it (under the empty name) and its children, for how long it is up, and since when no packet passed.
    """

    row: Stored
    how: Condition
    number: int
    running: int
    children: dict[str, int]
    numbers: Numbers
    overlap: tuple[int, int]
    repairs: Record
    ages: dict[str, dict[str, float | None]]
    expiring: list[str]
    instances: dict[str, int] | None
    resolved: dict[str, list[str]]


def shown_repairs(record: Record) -> dict[str, Any]:
    """What was put back, as the methods answer it."""
    last = {"what": record.last, "time": record.at, "culprit": record.culprit} if record.count else None
    return {"count": record.count, "last": last}


def _children(numbers: Numbers, row: Stored, params: Mapping[str, Any]) -> dict[str, int]:
    """The children that a listing shows: of the manager those that it runs, but all of a tunnel asked for by name."""
    if params["source"] == "database":
        return row.children
    found = {name: numbers.of(row.name, name) for name in row.children}
    return found if "names" in params else {name: number for name, number in found.items() if number}


def _ages(tunnels: Tunnels, row: Stored, traffic: Traffic, now: float) -> dict[str, dict[str, float | None]]:
    """For how many seconds a tunnel and its children are up, and since the last packet; None where that is not so."""
    since = {name: tunnels.uptimes.of(row.name, name) for name in ("", *row.children)}
    children = tunnels.negotiated(row.name)
    passed = {child.name: traffic.last(child.reqid) for child in children}
    passed[""] = max((when for when in passed.values() if when is not None), default=None)
    return {
        name: {"established_seconds": _ago(since[name], now), "last_traffic_seconds": _ago(passed.get(name), now)}
        for name in since
    }


def _instances(tunnels: Tunnels, row: Stored) -> dict[str, int] | None:
    if row.unreadable or row.definition.pattern is None or is_instance(row.name):
        return None
    there, most = tunnels.count_instances(row.name), many.option(row.definition.document, "max_instances")
    return {"count": there, "max": most}


def _ago(when: float | None, now: float) -> float | None:
    return None if when is None else round(max(0.0, now - when), 1)


def _entry(
    one: Listed, sas: list[IkeView], counters: Counters, params: Mapping[str, Any], now: float
) -> dict[str, Any]:
    row, how = one.row, one.how
    document = row.definition.document
    entry: dict[str, Any] = {
        "number": one.number,
        "database_number": row.number,
        "manager_number": one.running,
        "name": row.name,
        "owner": row.owner,
        "wanted": row.wanted,
        "state": how.state,
        "phase1": how.phase1,
        "role": how.role,
        "refresh": how.state != "retiring",
        "local": {"address": document["local"]["address"], "id": document["local"]["id"]},
        "remote": {
            "address": document["remote"]["address"],
            "addresses": places_of(document) or document["remote"]["addresses"],
            "in_use": how.address or None,
            "resolved": one.resolved,
            "id": document["remote"]["id"],
        },
        "instance_of": definition_of(row.name) if is_instance(row.name) else None,
        "instances": one.instances,
        "groups": document["groups"],
        "reason": how.reason,
        "story": how.story,
        "remedy": how.remedy,
        "ends_at": _moment(how.ends_at, now),
        **one.ages[""],
        "repairs": shown_repairs(one.repairs),
        "key": row.definition.credential.fingerprints(),
        "expiring": one.expiring,
    }
    if params["phase"] != "1":
        entry["children"] = [
            _child(one, child, sas, counters, params["verbose"], now)
            for child in document["children"]
            if child["name"] in one.children
        ]
    if params["verbose"]:
        entry["definition"] = row.definition.public()
        entry["ike_sas"] = [_ike_sa(sa, now) for sa in sas]
        entry["rekey_overlap"] = one.overlap
    return entry


def _child(
    one: Listed, child: dict[str, Any], sas: list[IkeView], counters: Counters, verbose: bool, now: float
) -> dict[str, Any]:
    row, how, name = one.row, one.how, child["name"]
    state = how.phase2.get(name, "dormant")
    entry: dict[str, Any] = {
        "number": one.children[name],
        "database_number": row.children[name],
        "manager_number": one.numbers.of(row.name, name),
        "name": name,
        "state": state,
        "role": how.role if state == "active" else "",
        "refresh": how.state != "retiring",
        "wanted": row.needs(child),
        "local": child["local"],
        "remote": child["remote"],
        "mode": child["mode"],
        "protocol": child["protocol"],
        "start": child["start"],
        **one.ages[name],
    }
    if verbose:
        entry["pfs"] = has_pfs(child)
        entry["sas"] = [_child_sa(sa, view, counters, now) for sa in sas for view in sa.children if view.name == name]
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
        "encryption": sa.encryption,
        "integrity": sa.integrity,
        "prf": sa.prf,
        "key_exchange": sa.key_exchange,
        "ppk": sa.ppk or None,
        "nat": sa.nat,
        "age": round(now - sa.created, 1),
        "rekey_in": _left(sa.rekey_at, now),
        "reauth_in": _left(sa.reauth_at, now),
        "expires_in": _left(sa.expires_at, now),
        "heard": round(now - sa.last_heard, 1) if sa.last_heard else None,
    }


def _child_sa(ike: IkeView, view: ChildView, counters: Counters, now: float) -> dict[str, Any]:
    sa = view.sa
    algorithms = [row.name for row in (sa.encryption, sa.integrity) if row is not None]
    return {
        "number": view.number,
        "ike": ike.number,
        "state": view.state,
        "protocol": {50: "esp", 51: "ah"}[sa.protocol],
        "mode": sa.mode,
        "reqid": sa.reqid,
        "if_id": sa.if_id,
        "spi_in": f"{sa.spi_in:#010x}",
        "spi_out": f"{sa.spi_out:#010x}",
        "local_address": sa.local_address,
        "remote_address": sa.remote_address,
        "local": [str(selector) for selector in sa.local_selectors],
        "remote": [str(selector) for selector in sa.remote_selectors],
        "algorithms": algorithms,
        "encryption": sa.encryption.name if sa.encryption else "",
        "integrity": sa.integrity.name if sa.integrity else "",
        "esn": sa.esn,
        "ipcomp": bool(sa.cpi_out),
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


def _moment(when: float | None, now: float) -> str | None:
    """A time of the protocol engine's clock as date and time in UTC."""
    if when is None:
        return None
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + when - now))


def _left(when: float, now: float) -> int | None:
    """Whole seconds until then, None for never."""
    return max(0, int(when - now)) if 0 < when < float("inf") else None
