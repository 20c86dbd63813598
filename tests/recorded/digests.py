# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The digests of many simulations, and the file that holds them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

HEAD = "# seed, digest of what the engine returned, digest of what it kept; made by: python3 -m tests.recorded record"


class Digests:
    """By seed, the digest of what the engine returned, and that of what was kept for another process."""

    def __init__(self, by_seed: dict[int, tuple[str, str]]) -> None:
        self._by_seed = by_seed

    @classmethod
    def made(cls, seeds: Iterable[int]) -> Digests:
        """Simulate each of these."""
        from .simulation import simulate

        return cls({seed: simulate(seed).digests() for seed in seeds})

    @classmethod
    def read(cls, file: Path) -> Digests:
        """Those that a file holds."""
        rows = [line.split() for line in file.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
        return cls({int(seed): (returned, kept) for seed, returned, kept in rows})

    def write(self, file: Path) -> None:
        """Put them into a file."""
        lines = [HEAD, *(f"{seed} {returned} {kept}" for seed, (returned, kept) in self._by_seed.items())]
        file.write_text("\n".join(lines) + "\n", encoding="utf-8")

    @property
    def seeds(self) -> list[int]:
        """Of which simulations."""
        return list(self._by_seed)

    def differences(self, other: Digests) -> list[str]:
        """A line for each seed of the other ones whose digests are not these."""
        lines = []
        for seed, (returned, kept) in other._by_seed.items():
            mine = self._by_seed.get(seed, ("", ""))
            parts = [
                what for what, differs in (("returned", returned != mine[0]), ("kept", kept != mine[1])) if differs
            ]
            if parts:
                lines.append(f"seed {seed}: what was {' and '.join(parts)} differs")
        return lines
