# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the engine is built: floors stand on those under them, and the protocol touches nothing outside of itself."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ENGINE = Path(__file__).resolve().parents[3] / "plugins" / "module_utils" / "engine"
FILES = sorted(ENGINE.rglob("*.py"))

# What a floor may import besides itself; "" is the ground: the modules that are in no folder.
FLOORS: dict[str, set[str]] = {
    "": set(),
    "wire": {""},
    "crypto": {"", "wire"},
    "ike": {"", "wire", "crypto"},
    "kernel": {"", "wire", "crypto"},
    "ping": {"", "wire", "crypto"},
    "classic": {"", "wire", "crypto", "kernel"},
    "definition": {"", "crypto", "ike", "kernel"},
    "manager": {"", "wire", "crypto", "ike", "kernel", "ping", "classic", "definition"},
    "convert": {"", "crypto", "definition"},
    "cli": {"", "wire", "crypto", "ike", "kernel", "ping", "classic", "definition", "manager", "convert"},
}
VERSIONS = {path.name for path in (ENGINE / "ike").iterdir() if path.is_dir() and path.name.startswith("v")}
SANS_IO = ("wire", "crypto", "ike")
OUTSIDE = {
    "asyncio", "concurrent", "ctypes", "datetime", "fcntl", "io", "logging", "multiprocessing", "os", "pathlib",
    "queue", "secrets", "select", "selectors", "shutil", "signal", "socket", "socketserver", "sqlite3", "ssl",
    "subprocess", "sys", "tempfile", "threading", "time", "urllib",
}  # fmt: skip
# The one place where randomness comes from the operating system, handed to the protocol from outside; and the one that
# knows the calendar, which reads no clock.
ALLOWED_OUTSIDE = {"crypto/entropy.py": {"os"}, "crypto/moments.py": {"datetime"}}
SEAMS = {
    "cryptography": {"crypto/library.py"},
    "OpenSSL": {"crypto/openssl.py"},
    "pyroute2": {"kernel/links.py"},
}
CLOCKS_AND_CHANCE = {"open", "input", "print", "eval", "exec", "__import__"}


def name(file: Path) -> str:
    return file.relative_to(ENGINE).as_posix()


def floor_of(parts: tuple[str, ...]) -> str:
    """The floor of a module given by its path inside the engine."""
    return parts[0] if len(parts) > 1 or (ENGINE / parts[0]).is_dir() else ""


def imports(file: Path) -> Iterator[tuple[tuple[str, ...], bool]]:
    """(module's path inside the engine, True) of relative imports, (dotted name's parts, False) of others."""
    package = file.relative_to(ENGINE).parent.parts
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield tuple(alias.name.split(".")), False
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield tuple((node.module or "").split(".")), False
        elif isinstance(node, ast.ImportFrom):
            up = node.level - 1
            assert up <= len(package), f"{name(file)} imports from above the engine"
            base = package[: len(package) - up]
            inner = base + tuple(node.module.split(".") if node.module else ())
            for alias in node.names:
                deeper = (*inner, alias.name)
                path = ENGINE.joinpath(*deeper)
                yield (deeper if path.with_suffix(".py").exists() or path.is_dir() else inner), True


@pytest.mark.parametrize("file", FILES, ids=name)
def test_no_import_runs_upward(file: Path) -> None:
    parts = file.relative_to(ENGINE).with_suffix("").parts
    if parts == ("__main__",):
        return  # the front door: it opens to the top floors
    own = floor_of(parts)
    for module, relative in imports(file):
        if relative and module:
            assert floor_of(module) in FLOORS[own] | {own}, f"{name(file)} imports {'.'.join(module)}"


@pytest.mark.parametrize("file", FILES, ids=name)
def test_one_module_knows_the_versions_of_ike_and_no_version_knows_another(file: Path) -> None:
    """Imports for type checkers alone count: who is above ``ike/`` reads views, events and plain records."""
    own = file.relative_to(ENGINE).parts
    for module, relative in imports(file):
        if relative and module[0] == "ike" and len(module) > 1 and module[1] in VERSIONS:
            assert own[:2] == module[:2] or name(file) == "ike/versions.py", f"{name(file)} imports {'.'.join(module)}"


@pytest.mark.parametrize("file", FILES, ids=name)
def test_the_engine_knows_neither_ansible_nor_its_own_place(file: Path) -> None:
    for module, relative in imports(file):
        assert relative or module[0] not in ("ansible", "ansible_collections", "engine"), module


@pytest.mark.parametrize("file", FILES, ids=name)
def test_packages_that_are_not_pythons_own_come_through_one_seam(file: Path) -> None:
    for module, relative in imports(file):
        if not relative and module[0] in SEAMS:
            assert name(file) in SEAMS[module[0]], f"{name(file)} imports {module[0]}"


@pytest.mark.parametrize("file", [f for f in FILES if name(f).split("/")[0] in SANS_IO], ids=name)
def test_the_protocol_touches_no_socket_clock_or_random_source(file: Path) -> None:
    for module, relative in imports(file):
        if not relative and module[0] in OUTSIDE:
            assert module[0] in ALLOWED_OUTSIDE.get(name(file), ()), f"{name(file)} imports {'.'.join(module)}"
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in CLOCKS_AND_CHANCE, f"{name(file)} calls {node.func.id}"


@pytest.mark.parametrize("file", FILES, ids=name)
def test_house_rules_of_every_file(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    if not text:
        return
    assert text.startswith("# Copyright: (c) 2026, fleet.ipsec contributors\n")
    tree = ast.parse(text)
    assert ast.get_docstring(tree), "what is it?"
    for node in ast.walk(tree):
        assert not isinstance(node, ast.Assert), f"{name(file)}: assert vanishes with -O and is no check"
        if isinstance(node, ast.ExceptHandler):
            assert node.type is not None, f"{name(file)}: a bare except"


def test_there_are_no_circles() -> None:
    """Not even between modules of one floor; imports for type checkers alone and inside of functions do not count."""
    graph: dict[str, set[str]] = {}
    for file in FILES:
        own = ".".join(file.relative_to(ENGINE).with_suffix("").parts)
        graph[own] = set()
        package = file.relative_to(ENGINE).parent.parts
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ImportFrom) and node.level:
                base = package[: len(package) - node.level + 1] + tuple(
                    (node.module or "").split(".") if node.module else ()
                )
                targets = {".".join((*base, alias.name)) for alias in node.names} | {".".join(base)}
                graph[own] |= {t for t in targets if ENGINE.joinpath(*t.split(".")).with_suffix(".py").exists()}
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, " -> ".join((*trail[trail.index(module) :], module)) if module in trail else ""
        if module not in done:
            for other in sorted(graph[module]):
                visit(other, (*trail, module))
            done.add(module)

    for module in graph:
        visit(module, ())
