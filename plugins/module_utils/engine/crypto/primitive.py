# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What computes an algorithm: the object that a row of the registry carries."""

from __future__ import annotations

from functools import cached_property

from . import library


class Primitive:
    """Computes one algorithm, or a family of them that differs by sizes alone.

    :ivar needs: what to install where :attr:`available` says that this host cannot compute it.
    """

    needs = "python3-cryptography 38 or newer"

    @cached_property
    def available(self) -> bool:
        """Whether the installed library can compute it on this host; found out once, by doing it.

        :raises MissingError: when there is no library at all.
        """
        library.require()
        try:
            self.probe()
        except library.UNSUPPORTED:
            return False
        return True

    def probe(self) -> None:
        """Compute as little as shows that it can be computed; what raises nothing is there."""
