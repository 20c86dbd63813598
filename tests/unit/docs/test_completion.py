# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Completion for bash and zsh: as the parsers are now, and as the shells themselves take it."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT))

from tests.docs import completion  # noqa: E402

BASH = completion.SHARE / "bash-completion/completions"
ZSH = completion.SHARE / "zsh/site-functions"
NAMED = [{"name": "hq-b1", "children": [{"name": "lan"}]}, {"name": "$(touch evil)"}, {"name": "hq-b2"}]
ANSWER = json.dumps({"tunnels": NAMED}, indent=2)


def test_the_files_are_what_the_parsers_say() -> None:
    for path, text in completion.written().items():
        assert path.read_text(encoding="utf-8") == text, "run: python3 -m tests.docs.completion"
    assert {path for folder in (BASH, ZSH) for path in folder.iterdir()} == set(completion.written())


@pytest.fixture
def programs(tmp_path: Path) -> dict[str, str]:
    """An environment whose ``ike`` answers as the manager does, and does nothing else."""
    (tmp_path / "answer").write_text(ANSWER)
    (tmp_path / "ike").write_text(f"#!/bin/sh\ncat {tmp_path}/answer\n")
    (tmp_path / "ike").chmod(0o755)
    return {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}


def completed(line: str, programs: dict[str, str], folder: Path) -> list[str]:
    """What bash chooses from at the end of a line."""
    name = line.split()[0]
    script = (
        f"source {BASH / name}; COMP_LINE={shlex.quote(line)}; COMP_POINT=${{#COMP_LINE}}; "
        f'_fleet_ipsec_{name.replace("-", "_")}; printf "%s\\n" "${{COMPREPLY[@]}}"'
    )
    done = subprocess.run(
        ["bash", "--norc", "-c", script], capture_output=True, text=True, check=False, env=programs, cwd=folder
    )
    assert done.returncode == 0 and done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("ike ", "--json --check --help -h --version --control cmd="),
        ("ike cmd=", "activate list rekey remove log"),
        ("ike cmd=l", "list log"),
        ("ike cmd=list ro", "role="),
        ("ike cmd=list role=", "i r"),
        ("ike phase= cmd=list", "list"),
        ("ike cmd=list phase=1", "1 1+"),
        ("ike cmd=remove phase=", "1 2"),
        ("ike cmd=activate ver", ""),
        ("ike cmd=activate namelist=", "hq-b1 hq-b2"),
        ("ike cmd=activate namelist=hq-b1,hq", "hq-b1,hq-b1 hq-b1,hq-b2"),
        ("ike cmd=activate numlist=", ""),
        ("ike cmd=log level=w", "warning"),
        ("ike --control fi", "file1 file2"),
        ("ikedb -d -t IKE", "IKETunnel IKEProtection"),
        ("ikedb -d -t IKETunnel -n hq", "hq-b1 hq-b2"),
        ("ikedb -x ", "yes"),
        ("ikedb -p fi", "file1 file2"),
        ("ikedb --swanctl=fi", "file1 file2"),
        ("ikedb --sw", "--swanctl"),
        ("ipsec ", "--help -h --version eroute spi spigrp ikeping import help"),
        ("ipsec sp", "spi spigrp"),
        ("ipsec help ike", "ikeping"),
        ("ipsec import --passphrase-file fi", "file1 file2"),
        ("ipsec import fi", "file1 file2"),
        ("ipsec eroute --add", "--add --addin"),
        ("ipsec eroute --said %", "%pass %drop %reject %trap"),
        ("ipsec eroute --add --src ", ""),
        ("ipsec spi --proto ", "ah esp comp tun"),
        ("ipsec spi --enckey ", ""),
        ("ipsec spi --enckey-file fi", "file1 file2"),
        ("ipsec spigrp in", "inet inet6"),
        ("ipsec ikeping --probe ikev1", "ikev1 ikev1_main ikev1_aggressive"),
        ("ipsec ikeping --require=a", "all any"),
        ("fleet-ipsec-manager c", "close call"),
        ("fleet-ipsec-manager manager --log-level ", "error warning info debug"),
        ("fleet-ipsec-manager call tunnels.l", "tunnels.list"),
    ],
)
def test_bash_chooses(line: str, words: str, programs: dict[str, str], tmp_path: Path) -> None:
    for name in ("file1", "file2"):
        (tmp_path / name).touch()
    assert sorted(completed(line, programs, tmp_path)) == sorted(words.split())
    assert not (tmp_path / "evil").exists()


def typed(shell: list[str], setting: str, keys: str) -> str:
    """What a shell at a terminal makes of keys: the words that its command ``ike`` or ``ipsec`` then gets."""
    shown = 'ike() { printf "GOT<%s>\\n" "$*"; }; ipsec() { ike "$@"; }; printf "%s-%s\\n" SET UP'
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "dumb", "HISTFILE": ""}
    with subprocess.Popen(
        shell, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, start_new_session=True
    ) as process:
        try:
            os.write(ours, f"{setting}; {shown}\n".encode())
            _shown(ours, r"\nSET-UP\r")
            os.write(ours, f"{keys}\n".encode())
            return _shown(ours, r"GOT<([^>]*)>\r")
        finally:
            process.kill()
            os.close(ours)
            os.close(theirs)


def _shown(terminal: int, wanted: str) -> str:
    """What a terminal shows of this, once it does."""
    seen, deadline = "", time.monotonic() + 60
    while not (found := re.search(wanted, seen)):
        ready, _writing, _odd = select.select([terminal], [], [], max(0, deadline - time.monotonic()))
        assert ready, f"the shell does not show {wanted} in time, but {seen!r}"
        seen += os.read(terminal, 4096).decode(errors="replace")
    return found.group(found.re.groups)


KEYS = [
    ("ipsec ikep\t--requi\tan\t", "ikeping --require any"),
    ("ipsec sp\tg\t--eac\t", "spigrp --each-sa"),
    ("ike cm\tac\tph\t1", "cmd=activate phase=1"),
    ("ike cmd=list ro\tr ver\t", "cmd=list role=r verbose"),
    ("ipsec ero\t--addi\t--eraf inet6 --said %pas\t", "eroute --addin --eraf inet6 --said %pass"),
]


@pytest.mark.parametrize(("keys", "words"), KEYS)
def test_bash_itself_completes(keys: str, words: str) -> None:
    setting = f"source {BASH}/ike; source {BASH}/ipsec"
    assert typed(["bash", "--norc", "--noprofile", "-i"], setting, keys).split() == words.split()


@pytest.mark.skipif(not shutil.which("zsh"), reason="zsh is not installed")
@pytest.mark.parametrize(("keys", "words"), KEYS)
def test_zsh_itself_completes(keys: str, words: str, tmp_path: Path) -> None:
    setting = f"fpath=({ZSH} $fpath); autoload -U compinit; compinit -u -D; unsetopt PROMPT_SP"
    assert typed(["zsh", "-f", "-i"], setting, keys).split() == words.split()


@pytest.mark.skipif(not shutil.which("zsh"), reason="zsh is not installed")
@pytest.mark.parametrize("path", sorted(ZSH.iterdir()), ids=lambda path: path.name)
def test_zsh_can_read_it(path: Path) -> None:
    done = subprocess.run(["zsh", "-n", str(path)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
