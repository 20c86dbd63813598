# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which release runs, as every command says it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import engine
import pytest
from engine import release

DIGEST = "8d1f6c0b3a5e9c24771b0c1f64be0f8a0d9e7c55"


@pytest.mark.parametrize(
    ("module", "name"),
    [("engine.cli.ike", "ike"), ("engine.cli.ipsec", "ipsec"), ("engine.manager.command", "fleet-ipsec-manager")],
)
def test_the_digest_is_that_of_what_runs(module: str, name: str, tmp_path: Path) -> None:
    """As it is on a gateway: a folder of its own, and a link that leads to it."""
    folder = tmp_path / "releases" / DIGEST
    folder.mkdir(parents=True)
    shutil.copytree(Path(engine.__file__).parent, folder / "engine", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "current").symlink_to(folder)
    words = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(tmp_path / 'current')!r});"
             f"from {module} import main; sys.exit(main(['--version']))"]  # fmt: skip
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.stdout == f"{name} of fleet.ipsec {release.VERSION}, release {DIGEST[:12]}\n", done.stderr


def test_what_was_not_deployed_has_none() -> None:
    assert release.DIGEST == "" and release.said_by("ike") == f"ike of fleet.ipsec {release.VERSION}"
