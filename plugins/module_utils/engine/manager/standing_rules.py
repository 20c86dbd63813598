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
        # How the table stood last when it was right, and the file then.
        self._text = self._file = ""

    def mend(self) -> list[str]:
        """Put back what is missing or different; what that was, in words. May take a while.

        :raises EngineError: it cannot be done.
        """
        return self._mend_guard() + self._mend_shunts()

    def _mend_guard(self) -> list[str]:
        # Without the file nobody wants the table any more, or it is being removed.
        if not self._guard or not os.path.exists(self._guard):
            return []
        with open(self._guard, encoding="utf-8", errors="replace") as stream:
            file = stream.read()
        text = nftables.read_guard()
        if text and text == self._text:
            return []
        if text and self._changed_with_its_file(file):
            self._text, self._file = text, file
            return []
        nftables.load(self._guard)
        self._text, self._file = nftables.read_guard(), file
        return [f"the table inet {nftables.GUARD} of nftables, which keeps protected networks from leaving in clear"]

    def _changed_with_its_file(self, file: str) -> bool:
        """Whether the table is another one because its file is: that is no loss. At first all is new."""
        try:
            return file != self._file and guard.stands(file)
        except (ValueError, KeyError):
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
