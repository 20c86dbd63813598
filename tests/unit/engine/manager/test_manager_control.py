# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The control socket and its command line: who may use it, and what a wrong request is told."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest
from engine.errors import InputError, KernelError, MissingError
from engine.manager.client import Client, RpcError
from engine.manager.command import main
from engine.manager.control import LAGGING, ControlServer
from engine.manager.log import Log
from engine.manager.methods import METHODS
from manager_lab import HERE, SECRET, definition


class Server:
    """A control socket in a thread whose methods do what a test says."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self.connections: list = []
        self.loop = asyncio.new_event_loop()
        self.caught: list[dict] = []
        self.loop.set_exception_handler(lambda _loop, context: self.caught.append(context))
        self.answers: dict[str, object] = {}
        handlers = {name: self._handler(name) for name in METHODS}
        self.server = ControlServer(self.path, handlers, Log("debug", False))
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        self.do(self.server.open())

    def _handler(self, name):
        async def handle(params, connection):
            self.connections.append(connection)
            answer = self.answers.get(name, {"got": params})
            if isinstance(answer, Exception):
                raise answer
            if isinstance(answer, float):
                await asyncio.sleep(answer)
                return {"slept": answer}
            return answer

        return handle

    def do(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(5)

    def end(self):
        self.do(self.server.close())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(5)
        self.loop.close()


@pytest.fixture
def server(tmp_path):
    made = Server(tmp_path / "control.sock")
    yield made
    made.end()


def raw(server: Server, *lines: bytes) -> list[dict]:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(5)
        connection.connect(server.path)
        connection.sendall(b"".join(lines))
        stream = connection.makefile()
        return [json.loads(stream.readline()) for _unused in lines]


def test_only_its_owner_reaches_the_socket(server):
    assert stat.S_IMODE(os.stat(server.path).st_mode) == 0o600
    if os.geteuid() != 0:
        pytest.skip("needs root to become somebody else")
    os.chmod(server.path, 0o666)  # noqa: S103 - were the mode ever wrong, the peer's credentials still count
    for folder in Path(server.path).parents:
        if Path(tempfile.gettempdir()) in folder.parents:
            os.chmod(folder, 0o755)  # noqa: S103
    program = (
        "import os, socket, sys; os.setuid(65534); s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]);"
        "s.sendall(b'{}\\n'); print(s.recv(100))"
    )
    run = subprocess.run(
        [sys.executable, "-c", program, server.path], capture_output=True, text=True, timeout=20, check=False
    )
    assert run.stdout.strip() == "b''" or "Connection reset" in run.stderr or "Broken pipe" in run.stderr, run
    assert server.connections == []


WRONG = [
    (b"no json\n", -32700),
    (b"[" * 100_000 + b"\n", -32700),
    (b"[]\n", -32600),
    (b'{"method": "manager.info", "id": 1}\n', -32600),
    (b'{"jsonrpc": "2.0", "method": 5, "id": 1}\n', -32600),
    (b'{"jsonrpc": "2.0", "method": "tunnel.list", "id": 1}\n', -32601),
    (b'{"jsonrpc": "2.0", "method": "tunnels.list", "params": [1], "id": 1}\n', -32602),
    (b'{"jsonrpc": "2.0", "method": "tunnels.list", "params": {"nmaes": []}, "id": 1}\n', -32602),
    (
        b'{"jsonrpc": "2.0", "method": "tunnels.list", "params": {"source": "\\ud800"}, "id": 1}\n',
        -32602,
    ),
    (b'{"jsonrpc": "2.0", "method": "\\ud800", "id": "\\udcff"}\n', -32601),
]


@pytest.mark.parametrize(("line", "code"), WRONG)
def test_wrong_requests_are_told_and_the_next_is_served(server, line, code):
    good = b'{"jsonrpc": "2.0", "method": "manager.info", "id": 9}\n'
    wrong, right = raw(server, line, good)
    assert wrong["error"]["code"] == code and wrong["error"]["message"]
    assert right == {"jsonrpc": "2.0", "id": 9, "result": {"got": {}}}


def test_who_nests_deeper_than_can_be_answered_is_hung_up_on_and_others_are_served(server):
    deep = b"[" * 1200 + b"]" * 1200
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(20)
        client.connect(server.path)
        client.sendall(b'{"jsonrpc": "2.0", "method": "manager.info", "id": ' + deep + b"}\n")
        assert client.recv(1) in (b"", b"{")
    (answer,) = raw(server, b'{"jsonrpc": "2.0", "method": "manager.info", "id": 9}\n')
    assert answer["id"] == 9
    assert not server.caught


def test_errors_carry_what_modules_need(server):
    client = Client(server.path)
    for error, code, data in (
        (InputError("a.b", 5, "is wrong", "do right"), -32602, {"field": "a.b", "remedy": "do right"}),
        (MissingError("no ESP", "modprobe esp4"), -32001, {"what": "no ESP", "remedy": "modprobe esp4"}),
        (KernelError("add", 17, "exists"), -32000, {"errno": 17, "detail": "exists"}),
    ):
        server.answers["manager.info"] = error
        with pytest.raises(RpcError) as caught:
            client.call("manager.info")
        assert caught.value.code == code and str(caught.value) == str(error)
        assert data.items() <= caught.value.data.items()
    server.answers.clear()
    assert client.call("log.level", {"level": "debug"}) == {"got": {"level": "debug"}}, "the connection still serves"
    client.close()


def test_parameters_arrive_canonical(server):
    with Client(server.path) as client:
        assert client.call("tunnels.wait", {"names": None}) == {"got": {"until": "established", "timeout": 30}}


def test_a_long_call_keeps_nobody_waiting(server):
    server.answers["tunnels.wait"] = 2.0
    slow = threading.Thread(target=lambda: Client(server.path).call("tunnels.wait"))
    slow.start()
    began = time.monotonic()
    Client(server.path).call("manager.info")
    assert time.monotonic() - began < 1.0
    slow.join(5)


def test_a_silent_manager_is_told(server):
    server.answers["manager.info"] = 1.0
    with pytest.raises(MissingError, match="did not answer manager.info within 0.2 s"):
        Client(server.path).call("manager.info", timeout=0.2)


def test_no_manager_is_told(tmp_path):
    with pytest.raises(MissingError, match="not running.*systemctl start fleet-ipsec-manager"):
        Client(str(tmp_path / "nothing")).call("manager.info")
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "dead"))
    with pytest.raises(MissingError, match="not running"):
        Client(str(tmp_path / "dead")).call("manager.info")


def test_a_subscriber_that_sleeps_is_cut_off(server):
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(5)
    connection.connect(server.path)
    connection.sendall(b'{"jsonrpc": "2.0", "method": "subscribe", "id": 1}\n')
    connection.recv(100)
    closed = threading.Event()
    server.connections[0].closing.append(closed.set)

    async def flood():
        for number in range(LAGGING // 500):
            server.connections[0].notify({"event": "x" * 1000, "number": number})

    server.do(flood())
    assert closed.wait(5)
    connection.close()
    assert Client(server.path).call("manager.info"), "the others are served"


def test_a_dead_managers_socket_is_replaced(tmp_path):
    path = tmp_path / "control.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    made = Server(path)
    assert Client(str(path)).call("manager.info")
    made.end()
    assert not path.exists()


# Command line


def test_call_prints_the_answer_and_takes_stdin(server, capsys, monkeypatch):
    assert main(["call", "--control", server.path, "tunnels.wait", '{"timeout": 1}']) == 0
    assert json.loads(capsys.readouterr().out) == {"got": {"until": "established", "timeout": 1}}
    monkeypatch.setattr("sys.stdin", __import__("io").StringIO('{"level": "error"}'))
    assert main(["call", "--control", server.path, "log.level", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["got"] == {"level": "error"}


FAULTS = [
    (["tunnels.lits"], "did you mean tunnels.list?", 64),
    (["manager.info", "{"], "is not JSON", 64),
    (["manager.info", "[]"], "is not an object", 64),
    (["tunnels.list", '{"names": 5}'], "names: is not of type array", 1),
]


@pytest.mark.parametrize(("words", "message", "status"), FAULTS)
def test_call_says_what_is_wrong(server, capsys, words, message, status):
    """The manager's refusal is told from wrong words."""
    assert main(["call", "--control", server.path, *words]) == status
    assert message in capsys.readouterr().err


def test_call_never_echoes_a_secret(server, capsys):
    broken = json.dumps({"definitions": [definition()]})[:-1]
    assert SECRET in broken
    assert main(["call", "--control", server.path, "tunnels.apply", broken]) == 64
    assert SECRET not in capsys.readouterr().err


def test_methods_describes_every_method(capsys):
    assert main(["methods"]) == 0
    text = capsys.readouterr().out
    for name, row in METHODS.items():
        assert f"\n{name}\n" in f"\n{text}" and row.summary in text
    assert "children: (array of object, required)" in text
    assert main(["methods", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["methods"].keys() == METHODS.keys()


def test_two_ports_are_needed(capsys):
    assert main(["manager", "--ike-port", "500", "--natt-port", "500"]) == 64
    assert "is also --ike-port" in capsys.readouterr().err


def test_the_client_needs_little():
    """Modules import the client with every task; what it imports travels and is compiled with them."""
    program = (
        f"import sys; sys.path.insert(0, {str(HERE.parents[3] / 'plugins' / 'module_utils')!r});"
        "before = set(sys.modules); import engine.manager.client;"
        "print([m for m in sys.modules if m not in before and (m.startswith('engine') or m in "
        "('asyncio', 'sqlite3', 'cryptography', 'pyroute2'))])"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "['engine', 'engine.manager', 'engine.errors', 'engine.manager.client']"
