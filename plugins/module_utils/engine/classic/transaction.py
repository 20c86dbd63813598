# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How everything is changed that people set by hand: look, decide, do all of it or take it back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from typing import Generic, Optional, TypeVar

from ..errors import EngineError
from ..kernel.client import Operation, XfrmClient
from ..kernel.registry import Registry, RegistryView
from ..newer_python import zip

Seen = TypeVar("Seen")
Plan = TypeVar("Plan")
# An operation, and what takes it back; None where nothing does.
Reversible = tuple[Operation, Optional[Operation]]


class Transaction(Generic[Seen, Plan]):
    """Changes of one kind.

    :param look: reads from kernel and registry what a decision needs.
    :param do: carries out a plan, and puts on the stack what takes each of its steps back.
    """

    def __init__(
        self,
        look: Callable[[XfrmClient, RegistryView], Seen],
        do: Callable[[XfrmClient, Registry, Plan, ExitStack], None],
    ) -> None:
        self._look = look
        self._do = do

    def preview(self, runtime_dir: str, decide: Callable[[Seen], Plan]) -> Plan:
        """What :meth:`perform` would do; nothing is changed nor created.

        :raises EngineError: as :meth:`carry_out`, as far as looking tells.
        """
        with closing(XfrmClient()) as client, closing(RegistryView(runtime_dir)) as registry:
            return decide(self._look(client, registry))

    def perform(self, runtime_dir: str, decide: Callable[[Seen], Plan]) -> Plan:
        """Decide and do; see :meth:`carry_out`."""
        with closing(XfrmClient()) as client, closing(Registry(runtime_dir)) as registry:
            return self.carry_out(client, registry, decide)

    def carry_out(self, client: XfrmClient, registry: Registry, decide: Callable[[Seen], Plan]) -> Plan:
        """Decide and do, alone: no other run can change anything by hand in between. On any failure all is as before.

        :raises InputError: from ``decide``. KernelError: the kernel refused. MissingError: this host lacks something.
        """
        with ExitStack() as undo:
            with registry.changing():
                plan = decide(self._look(client, registry))
                self._do(client, registry, plan, undo)
            undo.pop_all()
        return plan


def attempt(client: XfrmClient, pairs: Sequence[Reversible], undo: ExitStack) -> list[EngineError | None]:
    """Carry out operations in one batch, each given with what takes it back; how each ended."""
    outcomes = client.batch([operation for operation, _back in pairs])
    done = [back for (_operation, back), outcome in zip(pairs, outcomes, strict=True) if outcome is None]
    undo.callback(client.batch, [back for back in reversed(done) if back is not None])
    return outcomes
