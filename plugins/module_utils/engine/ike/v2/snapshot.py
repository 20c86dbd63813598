# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""IKE SAs as plain data, for who goes on with them in another process: what JSON can hold, keys included.

An IKE SA is several records: what stands, what almost every message changes (its window), and each of its children.
How each field is frozen and thawed is in the tables of :mod:`.record_codec`. References between IKE SAs and children
are frozen as numbers and put back when all of them are thawed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from operator import attrgetter
from typing import Any, NamedTuple

from ...child_sa import ChildSa, KernelAlgorithm
from ...crypto.auth import Unknown
from ...crypto.proposals import EspProposal
from ...crypto.registry import Algorithm, Kind, by_name
from ...errors import EngineError
from ...identity import Identity
from ...wire.v2.sa import Proposal
from ..connection import PROTOCOL_IDS, ChildConfig, Connection
from ..record_codec import Links, Unreadable
from ..records import RecordKey, Records
from ..version import ConnectionOf, Thawed
from .child import Child, ChildState
from .features import rows
from .features.feature import Slot
from .initiation import protect
from .record_codec import CHILD_SHAPE, CHOICE, IKE_SA, KEYS, REQUEST, STANDING, STEPS, TASKS, WINDOW
from .sa import IkeSa, RekeyIke, State
from .tasks import DeleteChild, NewChild, RekeyChild, Task

_DATAGRAMS, _DATAGRAM = "datagrams", "datagram"  # of a request: the field, and its name in a record
FORMAT = 2  # grows when records of before cannot be read any more; a new field with a default needs no new one
_IN_ONE = 1  # the format of release 0.1.0: the record of an IKE SA holds its window and all its children
SA, WINDOW_PART, CHILD_PART = "sa", "window", "child"

# All that the record of what stands is made of; nothing of it is changed in place, so that two of these are equal
# where the records are.
standing = attrgetter(*STANDING.rows, "connection.name", "protection", "slots")


def freeze(sa: IkeSa) -> dict[RecordKey, dict[str, Any]]:
    """All records of one IKE SA; both ends know each other (``AUTHENTICATED``)."""
    records = {RecordKey(SA, sa.number): freeze_standing(sa), RecordKey(WINDOW_PART, sa.number): freeze_window(sa)}
    for child in sa.children.values():
        records[RecordKey(CHILD_PART, sa.number, child.number)] = freeze_child(child)
    return records


def freeze_standing(sa: IkeSa) -> dict[str, Any]:
    """What an IKE SA agreed on, and how far its life has come."""
    record = STANDING.freeze(sa)
    record["format"] = FORMAT
    record["tunnel"] = sa.connection.name
    record["choice"] = CHOICE.freeze(sa.protection.choice)
    record["keys"] = KEYS.freeze(sa.protection.keys)
    for slot, value in sa.slots:
        if slot.shape is not None:
            record |= slot.shape.freeze(value)
    return record


def freeze_window(sa: IkeSa) -> dict[str, Any]:
    """Its Message IDs, its last answer, what it has asked for, and what waits for its turn."""
    record = WINDOW.freeze(sa)
    record["sealed"] = sa.protection.seal.messages
    if sa.request is not None:
        record["request"] = REQUEST.freeze(sa.request)
        record["request"][_DATAGRAM] = record["request"].pop(_DATAGRAMS)
        record["task"] = _freeze_task(sa.request.task)
    if sa.queue:
        record["queue"] = [_freeze_task(task) for task in sa.queue]
    loose = [freeze_child(child) for child in _loose(sa)]
    if loose:
        record["loose"] = loose
    return record


def freeze_child(child: Child) -> dict[str, Any]:
    """One child."""
    return CHILD_SHAPE.freeze(child) | {"config": child.config.name}


def _freeze_task(task: Task) -> dict[str, Any]:
    name, shape = _SHAPES[type(task)]
    record = {"kind": name, **shape.freeze(task)}
    if isinstance(task, (NewChild, RekeyChild, RekeyIke)) and task.steps is not None:
        record |= STEPS.freeze(task.steps)
    return record


def _loose(sa: IkeSa) -> Iterator[Child]:
    """Children that are named here without being the IKE SA's: gone, or with another one."""
    named = [child.successor for child in sa.children.values() if child.successor is not None]
    for task in sa.tasks:
        if isinstance(task, (RekeyChild, DeleteChild)):
            theirs = task.theirs if isinstance(task, RekeyChild) else None
            named += [child for child in (task.child, theirs, task.child.successor) if child is not None]
    seen: set[int] = set()
    for child in named:
        if child.number not in sa.children and child.number not in seen:
            seen.add(child.number)
            yield child


class _Parts(NamedTuple):
    """The records of one IKE SA."""

    standing: Mapping[str, Any]
    window: Mapping[str, Any]
    children: list[Mapping[str, Any]]


def _parts(records: Records) -> Iterator[_Parts]:
    """By IKE SA; a part that is not there is empty."""
    nothing: Mapping[str, Any] = {}
    children: dict[int, list[Mapping[str, Any]]] = {}
    for key in sorted(key for key in records if key.part == CHILD_PART):
        children.setdefault(key.ike, []).append(records[key])
    for number in sorted({key.ike for key in records}):
        standing = records.get(RecordKey(SA, number), nothing)
        if standing.get("format") == _IN_ONE:
            yield _Parts(standing, standing, standing.get("children", []))
        else:
            window = records.get(RecordKey(WINDOW_PART, number), nothing)
            yield _Parts(standing, window, children.get(number, []))


def thaw(records: Records, connection_of: ConnectionOf, now: float) -> Thawed:
    """IKE SAs as they were frozen.

    :param connection_of: the definition of a tunnel with a peer, None for one that is not in operation any more.
    :param now: on the clock that froze them; outstanding requests are due at once.
    """
    problems: dict[str, str] = {}
    found: list[tuple[IkeSa, list[Child], Links]] = []
    for parts in _parts(records):
        try:
            found.append(_thaw_one(parts, connection_of, now))
        except (EngineError, AttributeError, IndexError, KeyError, TypeError, ValueError) as exc:
            problems[str(parts.standing.get("tunnel", ""))] = f"{type(exc).__name__}: {exc}"
    found = [one for one in found if one[0].connection.name not in problems]
    found.sort(key=lambda one: one[0].number)
    sas = {sa.number: sa for sa, _loose, _links in found}
    children = {child.number: child for _sa, loose, _links in found for child in loose}
    children |= {child.number: child for sa in sas.values() for child in sa.children.values()}
    for sa, _loose_ones, links in found:
        for value, name, kind, number in links:
            target = children.get(number) if kind == "child" else sas.get(number) or _gone(number, sa)
            if target is None and name in _NEEDED:
                problems[sa.connection.name] = f"a request is about child {number}, which is in no record"
            setattr(value, name, target)
    # What only a task names is gone, and yet no other may have its number: the task would be about that then.
    linked = (number for _sa, _loose, links in found for _value, _name, _kind, number in links)
    there = [sa for sa in sas.values() if sa.connection.name not in problems]
    return Thawed(there, problems, max([0, *sas, *children, *linked]))


def _thaw_one(parts: _Parts, connection_of: ConnectionOf, now: float) -> tuple[IkeSa, list[Child], Links]:
    record, window = parts.standing, parts.window
    if record.get("format") not in (_IN_ONE, FORMAT):
        raise Unreadable(f"a record of format {record.get('format')}, this release reads {_IN_ONE} to {FORMAT}")
    links: Links = []
    own = {name: record[name] for name in record if name in STANDING.rows}
    own |= {name: window[name] for name in window if name in WINDOW.rows}
    choice = CHOICE.thaw(record["choice"], links, number=1, protocol=0, spi=b"", proposal=_NO_PROPOSAL)
    protection = protect(choice, KEYS.thaw(record["keys"], links), record["initiator"])
    protection.seal.messages = window["sealed"]
    sa: IkeSa = IKE_SA.thaw(own, links, connection=_NOBODY, protection=protection)
    sa.slots = _thaw_slots(record)
    sa.connection = connection_of(record["tunnel"], sa.remote_id) or _stand_in(record["tunnel"], sa)
    configs = {child.name: child for child in sa.connection.children}
    for data in parts.children:
        child = _thaw_child(data, configs, links)
        sa.children[child.number] = child
    loose = [_thaw_child(data, configs, links) for data in window.get("loose", ())]
    for child in loose:
        child.state = ChildState.GONE  # unless it is found with another IKE SA
    sa.queue = [_thaw_task(data, links) for data in window.get("queue", ())]
    if "request" in window:
        request, task = dict(window["request"]), _thaw_task(window["task"], links)
        request[_DATAGRAMS] = request.pop(_DATAGRAM)
        sa.request = REQUEST.thaw(request, links, task=task, tries=0, deadline=now)
    return sa, loose, links


def _thaw_task(data: Mapping[str, Any], links: Links) -> Task:
    """A request of ours; what older releases kept of it besides is of no use."""
    shapes = [shape for name, shape in TASKS if name == data["kind"]]
    if not shapes:
        raise Unreadable(f"there is no request {data['kind']}")
    names = [name for name in data if name != "kind"]
    shape = next((shape for shape in shapes if "child" in data and "child" in shape.rows), shapes[-1])
    more = {name: None for name in _NEEDED if name in shape.rows}  # till all are thawed
    task: Task = shape.thaw({name: data[name] for name in names if name in shape.rows}, links, **more)
    if isinstance(task, (NewChild, RekeyChild, RekeyIke)) and "answer" in data:
        task.steps = STEPS.thaw({name: data[name] for name in STEPS.rows}, links)
    return task


def _thaw_slots(record: Mapping[str, Any]) -> tuple[tuple[Slot[Any], Any], ...]:
    slots = []
    for slot in rows.FEATURES.slots:
        if slot.shape is not None:
            own = {name: record[name] for name in slot.shape.rows if name in record}
            slots.append((slot, slot.shape.thaw(own, [])))
    return tuple(slots)


def _thaw_child(data: Mapping[str, Any], configs: Mapping[str, ChildConfig], links: Links) -> Child:
    own = {name: value for name, value in data.items() if name != "config"}
    child: Child = CHILD_SHAPE.thaw(own, links, config=_NO_CONFIG)
    child.config = configs.get(data["config"]) or _config_of(child.sa)
    return child


def _config_of(sa: ChildSa) -> ChildConfig:
    """A child that is defined no more: what it takes to close it."""
    encr, integ = _rows(Kind.ENCR, sa.encryption), _rows(Kind.INTEG, sa.integrity)
    proposal = EspProposal(encr, integ, (), (), PROTOCOL_IDS[sa.protocol])
    selectors = sa.local_selectors, sa.remote_selectors
    return ChildConfig(sa.child, sa.reqid, *selectors, (proposal,), sa.mode, "manual", if_id=sa.if_id)


def _rows(kind: Kind, algorithm: KernelAlgorithm | None) -> tuple[Algorithm, ...]:
    row = by_name(kind, algorithm.name) if algorithm is not None else None
    return () if row is None else (row,)


def _stand_in(name: str, sa: IkeSa) -> Connection:
    """A tunnel that is not in operation any more: what it takes to close its IKE SA."""
    path = sa.path
    return Connection(
        name, sa.local_id, Unknown(), (), (),
        local_address=path.local_address, remote_address=path.remote_address, remote_id=sa.remote_id, answers=False,
    )  # fmt: skip


def _gone(number: int, sa: IkeSa) -> IkeSa:
    spi = b""
    who = sa.protection, sa.local_id, sa.remote_id
    return IkeSa(number, sa.connection, False, State.GONE, sa.path, spi, spi, 0.0, *who)


_SHAPES = {shape.kind: (name, shape) for name, shape in TASKS}
_NEEDED = ("child",)  # references that lead somewhere
_NO_PROPOSAL = Proposal(1, 0, b"", ())
_NO_CONFIG = ChildConfig("", 0, (), (), ())
_NOBODY = Connection("", Identity(0, b""), Unknown(), (), ())
