# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The control socket: JSON-RPC 2.0, one JSON text per line, for root alone."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import stat
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from ..definition.schema import Problems, nearest
from ..errors import EngineError, InputError, KernelError, MissingError
from ..private_directory import private_directory
from ..release import VERSION
from .client import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    INVALID_REQUEST,
    KERNEL_REFUSED,
    METHOD_NOT_FOUND,
    MISSING,
    PARSE_ERROR,
    RpcError,
    owner_of,
)
from .log import Log
from .methods import METHODS, check_params

Json = Any
# What serves a method: checked parameters, and the connection for those that stream.
Handler = Callable[[dict[str, Any], "Connection"], Awaitable[Json]]

LONGEST_LINE = 64 << 20  # octets; 10,000 definitions are some 10 MB
_ANSWER_DEPTH = 3  # of the tunnels in an answer: message, result, list
_PIECES_AT_ONCE = 200
LAGGING = 4 << 20  # octets of events that a subscriber may be behind
_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


class Connection:
    """One client.

    :ivar closing: what to do when it hangs up.
    """

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self.closing: list[Callable[[], None]] = []

    async def send(self, message: dict[str, Json]) -> None:
        """One line, when the client takes it."""
        self._writer.write(await _line_of_pieces(message))
        await self._writer.drain()

    def notify(self, event: dict[str, Json]) -> None:
        """One event, at once; a client that does not keep up is cut off rather than waited for."""
        if self._writer.transport.get_write_buffer_size() > LAGGING:
            self._writer.transport.abort()
        elif not self._writer.is_closing():
            self._writer.write(_line({"jsonrpc": "2.0", "method": "event", "params": event}))

    def close(self) -> None:
        """Hang up."""
        for action in self.closing:
            action()
        self._writer.close()


class ControlServer:
    """Serves the methods of the table.

    :param path: the socket; one that a dead manager left is replaced.
    :param handlers: one for every method.
    """

    def __init__(self, path: str, handlers: dict[str, Handler], log: Log) -> None:
        missing = METHODS.keys() ^ handlers.keys()
        if missing:
            raise ValueError(f"methods and handlers differ in {sorted(missing)}")
        self._path = path
        self._handlers = handlers
        self._log = log
        self._server: asyncio.Server | None = None
        self._connections: set[Connection] = set()

    async def open(self) -> None:
        """Begin to serve.

        :raises MissingError: the socket cannot be made, or others could put theirs in its place.
        """
        private_directory(os.path.dirname(os.path.abspath(self._path)), "directory of the control socket")
        try:
            if os.path.exists(self._path) and stat.S_ISSOCK(os.stat(self._path).st_mode):
                os.unlink(self._path)
            # The mode has to be right from the first moment on, so it comes from the umask.
            before = os.umask(0o177)
            try:
                self._server = await asyncio.start_unix_server(self._serve, self._path, limit=LONGEST_LINE)
            finally:
                os.umask(before)
        except OSError as exc:
            raise MissingError(
                f"the control socket {self._path} cannot be made ({exc.strerror})", "give another --control"
            ) from None

    async def close(self) -> None:
        """Hang up on everybody and remove the socket."""
        if self._server is not None:
            self._server.close()
            for connection in list(self._connections):
                connection.close()
            await asyncio.sleep(0)
        if os.path.exists(self._path):
            os.unlink(self._path)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not _allowed(writer.get_extra_info("socket")):
            self._log.warning("refused a client of the control socket that is not root")
            writer.close()
            return
        connection = Connection(writer)
        self._connections.add(connection)
        try:
            while line := await reader.readline():
                answer = await self._answer(line, connection)
                if answer is not None:
                    await connection.send(answer)
        except (ConnectionError, ValueError, RecursionError) as exc:
            # The client has gone, or its line is longer, or nested deeper, than any sensible request.
            self._log.debug(f"a client of the control socket was hung up on: {exc}")
        except asyncio.CancelledError:
            return
        finally:
            self._connections.discard(connection)
            connection.close()

    async def _answer(self, line: bytes, connection: Connection) -> dict[str, Json] | None:
        number: Json = None
        try:
            request = _parse(line)
            number = request.get("id")
            result = await self._call(request, connection)
        except EngineError as exc:
            error = _error(exc)
        else:
            return {"jsonrpc": "2.0", "id": number, "result": result} if "id" in request else None
        return {"jsonrpc": "2.0", "id": number, "error": error}

    async def _call(self, request: dict[str, Json], connection: Connection) -> Json:
        method = request["method"]
        if method not in METHODS:
            raise RpcError(METHOD_NOT_FOUND, f"there is no method {method!r}; {nearest(method, METHODS)}")
        return await self._handlers[method](check_params(method, request.get("params") or {}), connection)


def _allowed(connection: socket.socket) -> bool:
    """Root, and whoever runs the manager."""
    return owner_of(connection) in (0, os.geteuid())


def _parse(line: bytes) -> dict[str, Json]:
    try:
        request = json.loads(line)
    except ValueError as exc:
        raise RpcError(PARSE_ERROR, f"the line is not JSON: {exc}") from None
    except RecursionError:
        raise RpcError(PARSE_ERROR, "the JSON is nested too deeply") from None
    if not isinstance(request, dict) or not isinstance(request.get("method"), str) or request.get("jsonrpc") != "2.0":
        raise RpcError(INVALID_REQUEST, 'a request is an object with "jsonrpc": "2.0", "method", "params" and "id"')
    if not isinstance(request.get("params") or {}, dict):
        raise RpcError(INVALID_PARAMS, "params is an object")
    return request


def _error(exc: EngineError) -> dict[str, Json]:
    if isinstance(exc, RpcError):
        code, data = exc.code, exc.data
    elif isinstance(exc, InputError):
        problems = exc.problems if isinstance(exc, Problems) else (exc,)
        # The version tells a client that knows more options than this manager why it does not take them.
        told = {"problems": [_problem(problem) for problem in problems], "version": VERSION}
        code, data = INVALID_PARAMS, _problem(exc) | told
    elif isinstance(exc, MissingError):
        code, data = MISSING, {"what": exc.what, "remedy": exc.remedy}
    elif isinstance(exc, KernelError):
        code, data = KERNEL_REFUSED, {"operation": exc.operation, "errno": exc.errno, "detail": exc.detail}
    else:
        code, data = INTERNAL_ERROR, None
    return {"code": code, "message": str(exc), "data": data}


def _problem(problem: InputError) -> dict[str, Json]:
    return {"field": problem.field, "value": problem.value, "problem": problem.problem, "remedy": problem.remedy}


def _octets(text: str) -> bytes:
    # Half a character that a client sent goes back as the escape of JSON that it came as.
    return text.encode(errors="backslashreplace")


def _line(message: dict[str, Json]) -> bytes:
    return _octets(_encode(message)) + b"\n"


async def _line_of_pieces(message: dict[str, Json]) -> bytes:
    """The same line, for an answer that may tell of thousands of tunnels: others have their turn meanwhile."""
    texts = []
    for done, text in enumerate(_pieces(message, _ANSWER_DEPTH), 1):
        texts.append(text)
        if done % _PIECES_AT_ONCE == 0:
            await asyncio.sleep(0)
    return _octets("".join([*texts, "\n"]))


def _pieces(value: Json, depth: int) -> Iterator[str]:
    """JSON text of a value, split down to this depth."""
    if not value or not depth or not isinstance(value, (dict, list)):
        yield _encode(value)
        return
    mark, end = "{}" if isinstance(value, dict) else "[]"
    for item in value:
        yield mark
        if isinstance(value, dict):
            yield f"{_encode(str(item))}:"
        yield from _pieces(value[item] if isinstance(value, dict) else item, depth - 1)
        mark = ","
    yield end
