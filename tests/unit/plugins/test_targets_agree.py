# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every module has a target in ``tests/integration/targets`` that plays it (``make integration TARGETS=NAME``)."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
TARGETS = ROOT / "tests/integration/targets"
MODULES = sorted(file.stem for file in (ROOT / "plugins/modules").glob("*.py"))
PREPARES = "setup_"  # what other targets depend on begins so, as ansible-test has it


@pytest.mark.parametrize("module", MODULES)
def test_a_module_has_a_target_that_plays_it(module: str) -> None:
    tasks = TARGETS / module / "tasks/main.yml"
    assert tasks.exists(), f"write {tasks.relative_to(ROOT)}; the others there show how"
    text = tasks.read_text(encoding="utf-8")
    assert f"fleet.ipsec.{module}:" in text
    for what, word in (
        ("asserts what came of it", "ansible.builtin.assert:"),
        ("runs it in check mode", "check_mode:"),
        ("has it refuse what is wrong", "is failed"),
    ):
        assert word in text, f"no task of {tasks.relative_to(ROOT)} {what}"


def test_a_target_has_a_module() -> None:
    targets = {folder.name for folder in TARGETS.iterdir() if not folder.name.startswith(PREPARES)}
    assert targets == set(MODULES)
