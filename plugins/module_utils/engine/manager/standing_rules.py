# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is to stand whether a tunnel does or not, put back after others removed it: a guard's table, and shunts."""

from __future__ import annotations

import os

from ..classic import shunts
from ..classic.shunt_plan import plan_repair
from ..kernel import guard, nftables
from ..kernel.registry import RegistryView


class StandingRules:
    """The guard's table as it stands now, and the shunts of the registry.

    :param directory: of the registry.
    :param guard: the file that role ``gateway`` loads where it is given protected networks; empty for none. It is
        loaded before the manager starts, and by whoever changes it.
    """

    def __init__(self, directory: str, guard: str) -> None:
        self._directory = directory
        self._guard = guard
        self._text: str | None = None

    def mend(self) -> list[str]:
        """Put back what is missing or different; what that was, in words. May take a while.

        :raises EngineError: it cannot be done.
        """
        return self._mend_guard() + self._mend_shunts()

    def _mend_guard(self) -> list[str]:
        # Without the file nobody wants the table any more, or it is being removed.
        if not self._guard or not os.path.exists(self._guard):
            return []
        text = nftables.read_guard()
        if self._text is None and text:
            self._text = text
        if text and (text == self._text or self._changed_with_its_file()):
            self._text = text
            return []
        nftables.load(self._guard)
        self._text = nftables.read_guard()
        return [f"the table inet {nftables.GUARD} of nftables, which keeps protected networks from leaving in clear"]

    def _changed_with_its_file(self) -> bool:
        """Whether the table is another one because its file is: that is no loss."""
        try:
            return guard.stands(self._guard)
        except (OSError, ValueError, KeyError):
            return False

    def _mend_shunts(self) -> list[str]:
        view = RegistryView(self._directory)
        known = view.shunts()
        view.close()
        if not known:
            return []
        plan = shunts.perform(self._directory, plan_repair)
        found = [f"{len(plan.policies)} policies of eroutes set by hand"] if plan.policies else []
        return found + (["the rules of nftables of eroutes set by hand"] if plan.rules is not None else [])
