# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the manager: open what it needs, turn the event loop, end cleanly."""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import os
import signal
import time
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from ..crypto import library
from ..errors import InputError, MissingError
from ..ike.settings import Settings
from ..newer_python import dataclass
from ..private_directory import NO_LINK, private_directory
from .client import DEFAULT_DATABASE, DEFAULT_RUNTIME_DIR, Client
from .control import ControlServer
from .database_copy import restore
from .handlers import Methods
from .host import KernelHost
from .log import Log
from .resolver import SystemResolver
from .runtime import Runtime
from .sockets import Ports, fit
from .store import VERSION, Store
from .surroundings import HostMaker
from .systemd import Systemd

FAREWELL_SECONDS = 2.0  # how long peers get to confirm that their tunnels are closed
STATUS_SECONDS = 5.0
END_SECONDS = 15.0  # within which a manager that was told to has ended


@dataclass(frozen=True, slots=True)
class Options:
    """Everything that the command line says; see ``engine manager --help``."""

    database: str = DEFAULT_DATABASE
    runtime_dir: str = DEFAULT_RUNTIME_DIR
    control: str = ""
    ike_port: int = 500
    natt_port: int = 4500
    listen: tuple[str, ...] = ()
    log_level: str = "info"
    journal: bool = False
    guard: str = ""

    @classmethod
    def of(cls, parsed: argparse.Namespace) -> Options:
        """Of a parsed command line.

        :raises InputError: the ports are one.
        """
        if parsed.ike_port == parsed.natt_port:
            raise InputError("--natt-port", parsed.natt_port, "is also --ike-port", "give two ports")
        return cls(
            parsed.database,
            parsed.runtime_dir,
            parsed.control or os.path.join(parsed.runtime_dir, "control.sock"),
            parsed.ike_port,
            parsed.natt_port,
            tuple(parsed.listen),
            parsed.log_level,
            parsed.log_format == "journal",
            parsed.guard,
        )


def serve(options: Options, make_host: HostMaker = KernelHost) -> int:
    """Run until told to stop; the exit status. What is up stays up, for the next one to go on with.

    :param make_host: called with the runtime directory; gives the kernel to work with.
    :raises EngineError: it cannot begin; nothing was changed.
    """
    return _hold(options, make_host, Turner.stopped)


def close(options: Options, make_host: HostMaker = KernelHost) -> int:
    """Close every tunnel that is up, telling the peers, and take everything out of the kernel; the exit status.

    A running manager does it and ends; where none runs, what the last one left is closed. The definitions stay.

    :raises EngineError: it cannot be done.
    """
    try:
        with Client(options.control) as client:
            client.call("manager.stop", {"keep": False})
    except MissingError:
        return _hold(options, make_host, _at_once)
    deadline = time.monotonic() + END_SECONDS
    while True:
        try:
            os.close(_lock(options.runtime_dir))
        except MissingError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return 0


async def _at_once(_turner: Turner) -> bool:
    """Not to stay at all, and to keep nothing."""
    return False


def _hold(options: Options, make_host: HostMaker, stopped: Callable[[Turner], Awaitable[bool]]) -> int:
    """Have everything open until ``stopped``, which tells whether what is up stays up."""
    # Without it the manager would start as long as no tunnel is defined, and refuse the first one.
    library.require()
    os.umask(0o077)
    log = Log(options.log_level, options.journal)
    lock = _lock(options.runtime_dir)
    try:
        return asyncio.run(_run(options, make_host, log, stopped))
    finally:
        os.close(lock)


def _lock(directory: str) -> int:
    """Be the only manager of this runtime directory."""
    private_directory(directory)
    try:
        descriptor = os.open(os.path.join(directory, "manager.lock"), os.O_RDWR | os.O_CREAT | NO_LINK, 0o600)
    except OSError as exc:
        raise MissingError(
            f"the runtime directory {directory} cannot be used ({exc.strerror})", "run as root, or give --runtime-dir"
        ) from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise MissingError(
            f"another manager runs with the runtime directory {directory}", "stop that one, or give --runtime-dir"
        ) from None
    return descriptor


async def _run(options: Options, make_host: HostMaker, log: Log, stopped: Callable[[Turner], Awaitable[bool]]) -> int:
    restored = restore(options.database, VERSION)
    if restored is not None:
        log.warning(restored.story())
    store = Store(options.database)
    host = make_host(options.runtime_dir, options.guard)
    systemd = Systemd()
    places = list(options.listen), options.ike_port, options.natt_port
    kept = systemd.kept()
    if not fit(kept, *places):
        systemd.drop()
    ports = Ports(*places, kept)
    for port in ports:
        host.prepare_socket(port)
    settings = Settings(ike_port=options.ike_port, natt_port=options.natt_port)
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _loop, context: _uncaught(log, context))
    resolver = SystemResolver()
    runtime = Runtime(store, host, ports, log, settings, loop.time, resolver)
    turner = Turner(runtime, loop, resolver)
    methods = Methods(runtime, turner.stop)
    server = ControlServer(options.control, methods.handlers(), log)
    runtime.begin()
    await server.open()
    turner.attach()
    systemd.keep(port.socket for port in ports)
    systemd.ready(turner.status())
    beats = asyncio.create_task(_beat(systemd, turner))
    log.info("the tunnel manager serves", control=options.control, tunnels=len(runtime.tunnels.rows))
    keep = await stopped(turner)
    systemd.stopping()
    beats.cancel()
    await server.close()
    if not keep:
        await turner.farewell()
    turner.detach()
    ports.close()
    runtime.journal.close()
    host.close()
    store.close()
    log.info("the tunnel manager ended", tunnels="kept" if keep else "closed")
    return 0


class Turner:
    """Feeds a :class:`Runtime` from an event loop: descriptors, one timer, signals."""

    def __init__(self, runtime: Runtime, loop: asyncio.AbstractEventLoop, resolver: SystemResolver) -> None:
        self._runtime = runtime
        self._resolver = resolver
        self._loop = loop
        self._timer: asyncio.TimerHandle | None = None
        self._stop: asyncio.Future[bool] = loop.create_future()

    def attach(self) -> None:
        """Begin to feed it."""
        runtime, loop = self._runtime, self._loop
        for port in runtime.ports:
            loop.add_reader(port.fileno(), self._readable, port)
        loop.add_reader(runtime.host.gateway.fileno(), self._kernel)
        loop.add_reader(runtime.host.changes.fileno(), runtime.changes)
        loop.add_reader(self._resolver.fileno(), self._looked_up)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop, True)
        runtime.loop = self
        self._arm()

    def turned(self) -> None:
        """See :class:`.surroundings.Loop`."""
        self._arm()

    def detach(self) -> None:
        """Feed it no more."""
        for port in self._runtime.ports:
            self._loop.remove_reader(port.fileno())
        self._loop.remove_reader(self._runtime.host.gateway.fileno())
        self._loop.remove_reader(self._runtime.host.changes.fileno())
        self._loop.remove_reader(self._resolver.fileno())
        if self._timer is not None:
            self._timer.cancel()

    def stop(self, keep: bool) -> None:
        """End the manager."""
        if not self._stop.done():
            self._stop.set_result(keep)

    async def stopped(self) -> bool:
        """Wait for the end; whether what is up is to stay up."""
        return await self._stop

    async def farewell(self) -> None:
        """Close all tunnels, and give the peers a moment to confirm."""
        self._runtime.end()
        deadline = self._loop.time() + FAREWELL_SECONDS
        while not self._runtime.quiet and self._loop.time() < deadline:
            await asyncio.sleep(0.02)

    def status(self) -> str:
        """One line for ``systemctl status``."""
        tunnels = self._runtime.tunnels
        return f"tunnels defined: {len(tunnels.rows)}, IKE SAs up: {self._runtime.endpoint.counts().up}"

    def _readable(self, port: Any) -> None:
        port.drain(self._runtime.datagram, self._runtime.refused)

    def _kernel(self) -> None:
        self._runtime.kernel()

    def _looked_up(self) -> None:
        self._runtime.tunnels.look_up()
        self._arm()

    def _wake(self) -> None:
        self._timer = None
        self._runtime.wake()
        self._arm()

    def _arm(self) -> None:
        """Set the one timer to the next deadline, which may have come nearer."""
        when = self._runtime.next_deadline()
        if self._timer is not None:
            if self._timer.when() <= when:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(when, self._wake)


async def _beat(systemd: Systemd, turner: Turner) -> None:
    """Signs of life, and what ``systemctl status`` shows."""
    pause = min(systemd.watchdog or STATUS_SECONDS, STATUS_SECONDS)
    while True:
        if systemd.watchdog:
            systemd.alive()
        systemd.status(turner.status())
        await asyncio.sleep(pause)


def _uncaught(log: Log, context: dict[str, Any]) -> None:
    """An error of ours: say where, but not with which values, and go on serving."""
    exc = context.get("exception")
    where = ""
    if exc is not None:
        frame = traceback.extract_tb(exc.__traceback__)[-1] if exc.__traceback__ else None
        where = f"{type(exc).__name__} at {Path(frame.filename).name}:{frame.lineno}" if frame else type(exc).__name__
    log.error("an internal error; please report it", error=where or context.get("message", ""))
