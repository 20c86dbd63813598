# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ansible-test sanity on the oldest and the newest ansible-core that this machine's Pythons allow.

ansible-test wants a copy of the tree at ansible_collections/NAMESPACE/NAME, outside
any other repository.  Everything stands in one folder that ``make clean`` removes.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
SETUP = REPOSITORY / "tests/setup"
# One folder for each working tree, so that two of them do not disturb each other.
WORK = Path(tempfile.gettempdir()) / f"fleet-ipsec-sanity-{hashlib.sha256(bytes(REPOSITORY)).hexdigest()[:12]}"
COPY = WORK / "ansible_collections/fleet/ipsec"

# Tests that say the same whichever release runs them, nearly always: a short run has them on the newest alone.
ALIKE = ("import", "pep8", "pylint", "yamllint")

# ansible-core, the oldest and the newest Python that its controller side runs on; oldest release first.
RELEASES = (("2.18", "3.11", "3.13"), ("2.19", "3.11", "3.13"), ("2.21", "3.12", "3.14"))


def find_python(which: str, low: str, high: str) -> str | None:
    """The oldest or newest Python of this machine between two versions."""
    command = ["sh", str(SETUP / "python.sh"), which, low, high]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None


def choose() -> list[tuple[str, str]]:
    """(ansible-core, Python) pairs: the oldest release on the oldest Python, the newest on the newest.

    :raises SystemExit: when no Python fits any release.
    """
    ends = []
    for releases, which in ((RELEASES, "oldest"), (RELEASES[::-1], "newest")):
        for release, low, high in releases:
            python = find_python(which, low, high)
            if python:
                ends.append((release, python))
                break
    if not ends:
        sys.exit("sanity: no Python 3.11 or newer found; run: apt-get install python3 python3-venv")
    return list(dict.fromkeys(ends))


def copy_tree() -> None:
    """Lay the working tree anew where ansible-test accepts it: all files that git does not ignore."""
    shutil.rmtree(WORK / "ansible_collections", ignore_errors=True)
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY, capture_output=True, text=True, check=True,
    )  # fmt: skip
    for name in filter(None, listing.stdout.split("\0")):
        source, target = REPOSITORY / name, COPY / name
        if source.is_file():  # a file just deleted is still listed
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target, follow_symlinks=False)


def make_environment(release: str, python: str) -> Path:
    """The virtual environment with that ansible-core; returns its folder of programs."""
    version = subprocess.run(
        [python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"], capture_output=True, text=True, check=True
    ).stdout.strip()
    folder = WORK / f"ansible-{release}-python-{version}"
    lock = REPOSITORY / f"requirements/sanity-{release}.txt"
    subprocess.run(["sh", str(SETUP / "venv.sh"), str(folder), str(lock), python], check=True)
    return folder / "bin"


def lay_out_pip(programs: Path) -> None:
    """Put the pip that this ansible-test installs into its environments where it looks for it."""
    requirements = next(programs.parent.glob("lib/python*/site-packages/ansible_test/_internal/python_requirements.py"))
    cache = WORK / ".ansible/test/cache"
    cache.mkdir(parents=True, exist_ok=True)
    for version in set(re.findall(r"pip='([0-9.]+)'", requirements.read_text(encoding="utf-8"))):
        shutil.copy(SETUP / "get_pip.py", cache / f"get_pip_{version.replace('.', '_')}.py")
        if not (cache / f"pip-{version}-py3-none-any.whl").exists():
            command = [str(programs / "python"), "-m", "pip", "download", "--quiet", "--no-deps"]
            command += [
                "--disable-pip-version-check",
                "--only-binary",
                ":all:",
                "--dest",
                str(cache),
                f"pip=={version}",
            ]
            subprocess.run(command, check=True, stderr=subprocess.DEVNULL)


def sanity(release: str, python: str, options: list[str]) -> int:
    """Run ansible-test sanity; returns its exit status."""
    programs = make_environment(release, python)
    lay_out_pip(programs)
    folder = os.path.dirname(os.path.realpath(python))
    environment = {
        **os.environ,
        "HOME": str(WORK),  # ansible-test keeps its own environments and caches there
        "PATH": os.pathsep.join([folder, str(programs), os.environ["PATH"]]),
        "ANSIBLE_COLLECTIONS_PATH": str(WORK),
        "PIP_QUIET": "1",
    }
    version = re.search(r"python(3\.[0-9]+)$", os.path.realpath(python))
    assert version is not None, python
    print(f"sanity: ansible-core {release} on Python {version[1]}", flush=True)
    command = [str(programs / "ansible-test"), "sanity", "--venv", "--python", version[1], "--color", "no", *options]
    return subprocess.run(command, cwd=COPY, env=environment, check=False, stdin=subprocess.DEVNULL).returncode


def main() -> int:
    """Run both ends; options of ours go to ansible-test as they are.

    ``--short`` leaves to the newest what is nearly always alike, and has pylint, the slowest by far, read only what
    users get: ruff reads the tests. ``--clean`` removes the folder instead.
    """
    options = sys.argv[1:]
    if options == ["--clean"]:
        shutil.rmtree(WORK, ignore_errors=True)
        return 0
    copy_tree()
    ends = choose()
    asked = [(end, options) for end in ends]
    if options == ["--short"]:
        skipped = [word for name in ALIKE for word in ("--skip-test", name)]
        asked = [(end, skipped) for end in ends[:-1]]
        asked += [(ends[-1], ["--skip-test", "pylint"]), (ends[-1], ["--test", "pylint", "plugins/"])]
    results = [(release, python, sanity(release, python, more)) for (release, python), more in asked]
    for release, python, status in results:
        print(f"sanity: ansible-core {release} on {python}: {'passed' if status == 0 else 'FAILED'}", flush=True)
    return max(status for _release, _python, status in results)


if __name__ == "__main__":
    sys.exit(main())
