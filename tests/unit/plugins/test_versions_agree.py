# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``galaxy.yml`` says which release this tree becomes; whatever else speaks of releases agrees with it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
RELEASE = yaml.safe_load((ROOT / "galaxy.yml").read_text(encoding="utf-8"))["version"]
ADDED = re.compile(r"(?:version_added: |Added in release )\"?(\d+\.\d+\.\d+)")


def numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def described() -> list[Path]:
    return [*sorted((ROOT / "plugins").rglob("*.py")), *sorted((ROOT / "roles").rglob("*.yml"))]


@pytest.mark.parametrize("file", described(), ids=lambda file: file.relative_to(ROOT).as_posix())
def test_nothing_was_added_in_a_later_release(file: Path) -> None:
    for version in ADDED.findall(file.read_text(encoding="utf-8")):
        assert numbers(version) <= numbers(RELEASE)


def test_options_came_with_this_release_or_before() -> None:
    tree = ast.parse((ROOT / "plugins/module_utils/engine/definition/table.py").read_text(encoding="utf-8"))
    since = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and re.fullmatch(r"\d+\.\d+\.\d+", str(node.value))
    ]
    assert since
    assert all(numbers(version) <= numbers(RELEASE) for version in since)


def test_the_changelog_ends_before_this_release_or_with_it() -> None:
    changelog = yaml.safe_load((ROOT / "changelogs/changelog.yaml").read_text(encoding="utf-8"))
    assert max(map(numbers, changelog["releases"])) <= numbers(RELEASE)


def test_the_readme_installs_this_release() -> None:
    assert f"fleet-ipsec-{RELEASE}.tar.gz" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_engine_names_this_release() -> None:
    text = (ROOT / "plugins/module_utils/engine/release.py").read_text(encoding="utf-8")
    assert re.findall(r'^VERSION = "(.*)"', text, re.MULTILINE) == [RELEASE]
