# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A version of IKE in two messages, without any security: it proves what the port of a version takes, and no more.

The initiator says hello with the SPI of its child, the responder answers with its own. Keys are made of the SPIs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from engine.child_sa import ChildSa
from engine.crypto.registry import Algorithm
from engine.errors import IkeError
from engine.identity import Identity
from engine.ike.actions import (
    Expire,
    InstallInbound,
    InstallOutbound,
    KernelEvent,
    Path,
    RemovePolicies,
    RemoveSas,
    Send,
)
from engine.ike.connection import ChildConfig, Connection
from engine.ike.context import Context
from engine.ike.paths import default_path
from engine.ike.record_codec import CHILD_SA
from engine.ike.records import Changes, RecordKey, Records
from engine.ike.sa import Opening
from engine.ike.timers import NEVER
from engine.ike.version import ConnectionOf, Packet, Thawed
from engine.ike.views import ChildStage, ChildView, IkeView, Stage
from engine.secret import Secret
from engine.wire.header import INITIATOR, RESPONSE, SIZE, Header

NUMBER = 1
HELLO = 250
PAUSE, TRIES = 2.0, 3


@dataclass(eq=False)
class ToyChild:
    """See :class:`engine.ike.sa.AnyChild`."""

    number: int
    sa: ChildSa
    superseded: bool = False


@dataclass(eq=False)
class ToySa:
    """See :class:`engine.ike.sa.AnySa`."""

    number: int
    connection: Connection
    initiator: bool
    path: Path
    spi_i: bytes
    spi_r: bytes
    created: float
    up: bool = False
    gone: bool = False
    spi_in: int = 0
    hello: bytes = b""
    tries: int = 0
    due: float = NEVER
    nat: bool = False
    opening: Opening | None = None
    wake: float = 0.0
    children: dict[int, ToyChild] = field(default_factory=dict)
    version: int = NUMBER

    @property
    def local_spi(self) -> bytes:
        return self.spi_i if self.initiator else self.spi_r

    @property
    def alive(self) -> bool:
        return self.up and not self.gone


class ToyRecords:
    """See :class:`engine.ike.records.ChangedRecords`: one record for an IKE SA, given whenever it was touched."""

    def __init__(self) -> None:
        self._touched: dict[int, ToySa] = {}

    def __bool__(self) -> bool:
        return bool(self._touched)

    def touch(self, sa: ToySa) -> None:
        self._touched[sa.number] = sa

    def take(self) -> Changes:
        touched, self._touched = self._touched, {}
        return {RecordKey("sa", number): _frozen(sa) if sa.alive else None for number, sa in touched.items()}


class Toy:
    """See :class:`engine.ike.version.Version`."""

    number = NUMBER

    def receive(self, context: Context, header: Header, datagram: bytes, path: Path) -> None:
        theirs = int.from_bytes(datagram[SIZE : SIZE + 4], "big")
        if header.is_response:
            sa = context.registry.by_spi.get(header.initiator_spi)
            if isinstance(sa, ToySa) and not sa.up:
                sa.spi_r = header.responder_spi
                self._establish(context, sa, theirs)
            return
        connection = context.connections.for_path(path)
        if connection is None or connection.version != NUMBER:
            context.reject(path, IkeError(0, "nobody here speaks to you", reason="no_matching_tunnel"))
            return
        sa = self._new(context, connection, path, header.initiator_spi, context.entropy.octets(8))
        context.registry.add(sa)
        context.actions.append(Send(_message(sa, RESPONSE), path))
        self._establish(context, sa, theirs)

    def refuse_newer(self, context: Context, header: Header, path: Path) -> None:
        context.reject(path, IkeError(0, f"version {header.major} is too new"))

    def start(
        self,
        context: Context,
        connection: Connection,
        children: Sequence[ChildConfig],
        path: Path | None,
        packet: Packet | None,
    ) -> None:
        if context.registry.of_tunnel(connection.name):
            return
        way = path or default_path(connection, context.settings)
        sa = self._new(context, connection, way, context.entropy.octets(8), bytes(8), initiator=True)
        context.registry.add(sa)
        context.report("ike_connecting", sa, role="initiator")
        sa.hello = _message(sa, INITIATOR)
        self._say_hello(context, sa)

    def rekey(self, context: Context, tunnel: str) -> None:
        """There are no fresh keys."""

    def rekey_children(self, context: Context, tunnel: str, names: Collection[str]) -> None:
        """There are no fresh keys."""

    def reauthenticate(self, context: Context, tunnel: str) -> None:
        """It proves nothing to anybody."""

    def supersede(self, context: Context, tunnel: str) -> None:
        for sa in context.registry.of_tunnel(tunnel):
            self.stop(context, sa)

    def supersede_children(self, context: Context, tunnel: str, names: Collection[str]) -> None:
        self.supersede(context, tunnel)

    def awaited(self, context: Context, tunnel: str) -> list[ChildConfig]:
        return []

    def negotiates(self, context: Context, tunnel: str) -> bool:
        return any(not sa.alive for sa in context.registry.of_tunnel(tunnel))

    def redefine(self, sa: ToySa, connection: Connection) -> None:
        """Nothing of a definition is looked at again."""

    def vet(self, context: Context, sa: ToySa) -> None:
        """Its peers have no certificates."""

    def stop(self, context: Context, sa: ToySa) -> None:
        self._end(context, sa, "ike_down", "stopped", "stopped by an operator")

    def stop_children(self, context: Context, sa: ToySa, names: Collection[str]) -> None:
        for child in [child for child in sa.children.values() if child.sa.child in names]:
            self._remove(context, sa, child)

    def retire(self, context: Context, sa: ToySa) -> None:
        if not sa.children:
            self.stop(context, sa)

    def kernel_event(self, context: Context, sa: ToySa, child: ToyChild, event: KernelEvent) -> None:
        if isinstance(event, Expire) and event.hard:
            self._remove(context, sa, child)

    def wake(self, context: Context, sa: ToySa) -> None:
        if context.now < sa.due:
            context.touch(sa)
        elif sa.tries >= TRIES:
            self._end(context, sa, "ike_failed", "no_answer", "it does not say hello")
        else:
            context.report("retransmit", sa, exchange="hello", tries=sa.tries + 1)
            self._say_hello(context, sa)

    def settle(self, context: Context, sa: ToySa) -> None:
        """Everything is done at once."""

    def resumed(self, context: Context, sa: ToySa) -> None:
        """It misses nothing."""

    def deadline(self, context: Context, sa: ToySa) -> float:
        return sa.due

    def view(self, sa: ToySa) -> IkeView:
        stage = Stage.ESTABLISHED if sa.alive else Stage.OVER if sa.gone else Stage.OPENING
        ends = sa.connection.local_id, sa.connection.remote_id, sa.connection.remote_id
        children = tuple(
            ChildView(child.number, child.sa.child, "up", ChildStage.SENDING, child.sa, sa.created, 0.0, 0.0, None)
            for child in sa.children.values()
        )
        return IkeView(
            sa.number, sa.connection.name, "toy", stage, sa.initiator, sa.path, *ends, sa.spi_i, sa.spi_r,
            "", "", "", "", "", sa.nat, sa.created, 0.0, 0.0, 0.0, sa.created,
            begun=sa.initiator and not sa.up, lasting=sa.alive, retired=False, refusal=None, asked=None,
            coming=(), reserved=(), children=children,
        )  # fmt: skip

    def changed_records(self) -> ToyRecords:
        return ToyRecords()

    def thaw(self, records: Records, connection_of: ConnectionOf, now: float) -> Thawed:
        found: list[ToySa] = []
        problems: dict[str, str] = {}
        for record in records.values():
            connection = connection_of(record["tunnel"], Identity(0, b""))
            if connection is None:
                problems[record["tunnel"]] = "it is not defined any more"
                continue
            spi_i, spi_r = (bytes.fromhex(text) for text in record["spis"])
            more = Path(*record["path"]), spi_i, spi_r, record["created"]
            sa = ToySa(record["number"], connection, record["initiator"], *more, up=True)
            for each in record["children"]:
                child = CHILD_SA.thaw(each, [])
                sa.children[child.number] = ToyChild(child.number, child)
            found.append(sa)
        return Thawed(found, problems, max((number for sa in found for number in (sa.number, *sa.children)), default=0))

    # Parts

    def _new(
        self, context: Context, connection: Connection, path: Path, spi_i: bytes, spi_r: bytes, initiator: bool = False
    ) -> ToySa:
        sa = ToySa(context.registry.number(), connection, initiator, path, spi_i, spi_r, context.now)
        config = connection.children[0]
        sa.spi_in = context.spis(path.local_address, path.remote_address, 50, config.reqid)
        return sa

    def _say_hello(self, context: Context, sa: ToySa) -> None:
        sa.tries += 1
        sa.due = context.now + PAUSE
        context.actions.append(Send(sa.hello, sa.path))
        context.touch(sa)

    def _establish(self, context: Context, sa: ToySa, spi_out: int) -> None:
        sa.up, sa.due = True, NEVER
        context.touch(sa)
        context.report("ike_established", sa)
        child = _child(context.registry.number(), sa, spi_out)
        sa.children[child.number] = ToyChild(child.number, child)
        context.registry.enter_child(sa, sa.children[child.number])
        context.actions += [InstallInbound(child), InstallOutbound(child)]
        context.report("child_up", sa, sa.children[child.number], child=child.child)

    def _remove(self, context: Context, sa: ToySa, child: ToyChild) -> None:
        del sa.children[child.number]
        context.registry.forget_child(child)
        context.actions += [RemoveSas(child.sa), RemovePolicies(child.sa)]
        context.report("child_down", sa, child, child=child.sa.child, reason="stopped", story="it went")
        context.touch(sa)

    def _end(self, context: Context, sa: ToySa, kind: str, reason: str, story: str) -> None:
        for child in list(sa.children.values()):
            self._remove(context, sa, child)
        sa.gone, sa.due = True, NEVER
        context.registry.remove(sa)
        context.report(kind, sa, reason=reason, story=story)
        context.touch(sa)


def _message(sa: ToySa, flags: int) -> bytes:
    header = Header(sa.spi_i, sa.spi_r, 0, NUMBER, 0, HELLO, flags, 0, SIZE + 4)
    return header.encode() + sa.spi_in.to_bytes(4, "big")


def _frozen(sa: ToySa) -> dict[str, Any]:
    return {
        "number": sa.number, "tunnel": sa.connection.name, "initiator": sa.initiator, "path": list(sa.path),
        "spis": [sa.spi_i.hex(), sa.spi_r.hex()], "created": sa.created,
        "children": [CHILD_SA.freeze(child.sa) for child in sa.children.values()],
    }  # fmt: skip


def _child(number: int, sa: ToySa, spi_out: int) -> ChildSa:
    config, path = sa.connection.children[0], sa.path
    cipher: Algorithm = config.proposals[0].encr[0]

    def key(spi: int) -> Secret:
        return Secret(hashlib.sha256(sa.spi_i + sa.spi_r + spi.to_bytes(4, "big")).digest())

    return ChildSa(
        sa.connection.name, config.name, number, config.reqid, path.local_address, path.remote_address, 50, "tunnel",
        sa.spi_in, spi_out, config.local, config.remote, cipher, None, key(sa.spi_in), key(spi_out),
        Secret(b""), Secret(b""),
    )  # fmt: skip


def toy_connection(connection: Connection, name: str = "old") -> Connection:
    """The same definition for the toy."""
    return replace(connection, name=name, version=NUMBER)
