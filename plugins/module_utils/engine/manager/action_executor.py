# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Do what the protocol engine asks: send, install, remove; and tell it where the kernel refused."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable
from dataclasses import replace

from ..child_sa import ChildSa
from ..errors import EngineError
from ..ike.actions import (
    Action,
    InstallFailed,
    InstallInbound,
    InstallOutbound,
    KernelAction,
    Path,
    PointPolicies,
    ReleaseSpi,
    RemovePolicies,
    RemoveSas,
    Report,
    ResetPolicies,
    Send,
    YieldPolicies,
)
from ..ike.instances import is_instance
from ..newer_python import zip
from .desired_policies import DesiredPolicies
from .host import KernelHost
from .log import Log
from .policy_claims import CLOSES, LEFT, POINTED, RECEIVES, SENDS, Claimant
from .sockets import Ports
from .trap_policies import TrapPolicies


class ActionExecutor:
    """Carries actions out, in order.

    :param owner_of: owner tag of a tunnel.
    :param report: gets every report.
    :param unsent: gets (path, problem) of a message that this host could not send; ``undone`` (level, story, child) of
        what the kernel did not do: peers may bring that about.
    """

    def __init__(
        self,
        host: KernelHost,
        ports: Ports,
        policies: DesiredPolicies,
        traps: TrapPolicies,
        log: Log,
        owner_of: Callable[[str], str],
        report: Callable[[Report], None],
        unsent: Callable[[Path, OSError], None],
        undone: Callable[[str, str, ChildSa], None],
    ) -> None:
        self._host = host
        self._gateway = host.gateway
        self._ports = ports
        self._policies = policies
        self._traps = traps
        self._log = log
        self._owner_of = owner_of
        self._report = report
        self._unsent = unsent
        self._undone = undone
        self.sent = 0
        self._dead: list[ChildSa] = []
        self._verbs: dict[type[KernelAction], Callable[[ChildSa], None]] = {
            InstallInbound: self._install_inbound,
            InstallOutbound: self._install_outbound,
            PointPolicies: self._point_policies,
            YieldPolicies: self._yield_policies,
            RemoveSas: self._remove_sas,
            ResetPolicies: self._reset_policies,
            RemovePolicies: self._remove_policies,
        }

    def perform(self, actions: Iterable[Action]) -> list[InstallFailed]:
        """Do all of them; what the protocol engine has to be told of those that failed."""
        failures: dict[int, InstallFailed] = {}
        todo = list(actions)
        for action, following in zip(todo, [*todo[1:], None], strict=False):
            if isinstance(action, PointPolicies) and isinstance(following, PointPolicies):
                self._prefer(action.child)  # nothing is sent by it where the next one stands before it
            elif isinstance(action, Send):
                self._send(action)
            elif isinstance(action, Report):
                # A child that could not be installed never came up, whatever was planned.
                if action.child not in failures or action.kind not in ("child_up", "child_rekeyed"):
                    self._report(action)
            elif isinstance(action, ReleaseSpi):
                self._release(action)
            elif action.child.number not in failures:
                problem = self._kernel(action)
                if problem and isinstance(action, (InstallInbound, InstallOutbound)):
                    failures[action.child.number] = InstallFailed(action.child, problem)
        self._bury()
        return list(failures.values())

    def _kernel(self, action: KernelAction) -> str:
        """What went wrong, empty if nothing did."""
        child = action.child
        try:
            self._verbs[type(action)](child)
        except EngineError as exc:
            doing = type(action).__name__
            self._undone("error", f"{doing} of child {child.child} failed: {exc}", child)
            return str(exc)
        return ""

    def owned(self, child: ChildSa) -> ChildSa:
        """The child with its tunnel's owner, and the device of the way to the peer, which IKE does not know."""
        device = min(self._host.links_to(child.remote_address), default=0) if child.offload != "none" else 0
        return replace(child, owner=self._owner_of(child.tunnel), device=device)

    def _install_inbound(self, child: ChildSa) -> None:
        owned = self.owned(child)
        try:
            # What it lets in has to be let in before the peer can send it.
            self._policies.claim(claimant(child), (RECEIVES, child.number), owned, True)
            self._settle(claimant(child))
            self._gateway.install_inbound(owned)
        except EngineError:
            self._dead.append(child)
            raise

    def _install_outbound(self, child: ChildSa) -> None:
        owned = self.owned(child)
        try:
            self._policies.claim(claimant(child), sends(child), owned, True)
            self._policies.install_outbound(claimant(child))
            self._settle(claimant(child))  # what holds the place of the rest may stand otherwise now
        except EngineError:
            self._let_go(child)
            raise
        try:
            self._host.open_way(owned)
        except EngineError as exc:
            # Forwarded packets may have their route already; the SA serves them.
            self._undone("warning", f"no route for child {child.child}: {exc}", child)

    def _point_policies(self, child: ChildSa) -> None:
        self._prefer(child)
        self._settle(claimant(child))

    def _prefer(self, child: ChildSa) -> None:
        self._policies.claim(claimant(child), self._policies.first_rank(), self.owned(child), True)
        claim = self._policies.of(claimant(child))
        self._policies.look_again(claim.policies if claim is not None else ())

    def _yield_policies(self, child: ChildSa) -> None:
        self._policies.claim(claimant(child), closes(child), self.owned(child), True)
        self._settle(claimant(child))

    def _remove_sas(self, child: ChildSa) -> None:
        # The policies leave them first: for others that live, or without an SA, until it is said what becomes of them.
        self._let_go(child)
        self._gateway.remove_sas(self.owned(child))

    def _reset_policies(self, child: ChildSa) -> None:
        if is_instance(child.tunnel):
            self._dead.append(child)  # its definition holds the place, whoever comes next
            return
        self._traps.leave_policies(self.owned(child).without_sas())
        self._settle(claimant(child))

    def _remove_policies(self, child: ChildSa) -> None:
        self._dead.append(child)

    def _let_go(self, child: ChildSa) -> None:
        """Want its policies no more than as long as nothing is said about them."""
        self._dead.append(child)
        if claimant(child) in self._policies:
            self._policies.claim(claimant(child), (LEFT, child.number), self.owned(child).without_sas())
            self._policies.settle()

    def _bury(self) -> None:
        """Delete, last of all, what the children that are gone leave and nobody else wants."""
        if self._dead:
            dead, self._dead = self._dead, []
            for child in dead:
                self._policies.drop(claimant(child))
            for refusal in self._policies.settle():
                self._log.error(str(refusal.problem))

    def _settle(self, name: Claimant) -> None:
        for refusal in self._policies.settle():
            if refusal.claimant == name:
                raise refusal.problem

    def _release(self, action: ReleaseSpi) -> None:
        try:
            self._gateway.release(action.local_address, action.protocol, action.spi)
        except EngineError as exc:
            # The kernel drops an SPI that is never used by itself, after a while.
            self._log.debug(f"cannot release SPI {action.spi:#x}: {exc}")

    def _send(self, action: Send) -> None:
        path = action.path
        port = self._ports.for_path(path)
        if port is None:
            self._unsent(path, OSError(errno.EADDRNOTAVAIL, f"the manager does not listen at {path.local_address}"))
            return
        try:
            port.send(action.datagram, path, action.dscp)
        except OSError as exc:
            self._unsent(path, exc)
        else:
            self.sent += 1


def claimant(child: ChildSa) -> Claimant:
    """Who claims the policies of a living child."""
    return "child", child.number


def sends(child: ChildSa) -> tuple[int, int]:
    """The rank of a child that sends: the newest one stands, unless an older one is told to."""
    return SENDS, child.number * POINTED


def closes(child: ChildSa) -> tuple[int, int]:
    """The rank of a child whose Delete is out."""
    return CLOSES, child.number
