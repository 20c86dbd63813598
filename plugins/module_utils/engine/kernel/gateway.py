# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tunnel manager asks of the kernel, one verb per action of the protocol engine.

Every verb is one or a few netlink round trips, which the kernel answers at once: none of them waits, so they may
be called from an event loop. Nothing here touches an SA or a policy whose request ID is not ours.

Order is what keeps packets from leaving in clear and from being lost: the SA that receives stands before the peer can
know it; the SA that sends stands before a policy names it; policies let in before they let out. Policies are only
ever replaced, never absent, while a child lives, and on the way in they accept every generation. Where an SA is in a
group (``ipsec spigrp``), the next generation takes its place there with the policies.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Collection, Sequence

from ..child_sa import ChildSa
from ..errors import EngineError, KernelError, MissingError
from ..newer_python import zip
from ..said import Said
from .child_values import child_policies, inbound_sas, outbound_sas
from .client import (
    Operation,
    XfrmClient,
    add_sa,
    create_policy,
    delete_policy,
    delete_policy_index,
    delete_sa,
    describe,
    set_policy,
    update_sa,
)
from .events import Event, XfrmEvents
from .features import require
from .policies import is_pass
from .registry import Child, Registry, child_reqid, is_ours, is_shunt, rest_reqid
from .succession import succeed
from .values import IPCOMP, OUT, Place, Policy, Sa, SaState, Usage, said_of

CPIS = (0x100, 0xEFFF)  # what is negotiated (RFC 3173 section 2.1)
_FEW, _MANY = 32, 512  # SAs and policies up to which asking for each is cheaper than listing all

# What the kernel held (None: nothing) and what takes its place.
Change = tuple["Policy | None", Policy]


class Gateway:
    """The kernel of this network namespace.

    :param registry: who owns which request ID; :meth:`set_policies` and :meth:`install_inbound` write to it.
    :raises MissingError: without the permission or without XFRM in the kernel.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._client = XfrmClient()
        self._events = XfrmEvents()

    def close(self) -> None:
        """Close the sockets; SAs and policies stay."""
        self._client.close()
        self._events.close()

    @property
    def port(self) -> int:
        """The port ID by which the kernel's events tell what was done here."""
        return self._client.port

    # Events

    def fileno(self) -> int:
        """Descriptor that turns readable when the kernel has events."""
        return self._events.fileno()

    def events(self) -> list[Event]:
        """Every waiting event of ours (see events.py): AcquireEvent, ExpireEvent, MappingEvent; never blocks."""
        return self._events.read()

    # SAs

    def reserve(self, local_address: str, remote_address: str, protocol: int, mode: str, reqid: int) -> int:
        """Reserve an inbound SPI.

        The kernel holds it for ``net.core.xfrm_acq_expires`` seconds; :meth:`install_inbound` works later too.

        :raises KernelError: when the kernel has none left, or no such protocol.
        """
        if protocol == IPCOMP:
            try:
                require(self._client, IPCOMP, 6 if ":" in local_address else 4)
            except MissingError as exc:
                raise KernelError("reserve a CPI", errno.EPROTONOSUPPORT, str(exc)) from exc
            return self._client.reserve_spi(remote_address, local_address, protocol, mode, reqid, *CPIS)
        return self._client.reserve_spi(remote_address, local_address, protocol, mode, reqid)

    def release(self, local_address: str, protocol: int, spi: int) -> None:
        """Give back an SPI that was reserved and never installed; others are left alone."""
        sa = self._client.get_sa(local_address, spi, protocol)
        if sa is not None and sa.larval and is_ours(sa.reqid):
            self._forget_sa(sa)  # a reservation is in no group

    def forget_hold(self, local_address: str, remote_address: str, protocol: int, mode: str, reqid: int) -> None:
        """Let the packets that a peer narrowed away of a child ask anew: what waits for an SA of theirs goes.

        As long as it is there the kernel asks for no other of them, and an SA of theirs has another request ID. It is
        deleted by an SPI alone, so it gets one.

        :raises KernelError: the kernel refused.
        """
        spi = self._client.reserve_spi(local_address, remote_address, protocol, mode, rest_reqid(reqid))
        self._client.do(delete_sa(remote_address, spi, protocol))

    def install_inbound(self, child: ChildSa) -> None:
        """Add the SA that receives, after the one inside of it. On failure nothing of this generation is left.

        :raises KernelError: with the kernel's words. MissingError: no ESP or AH in this kernel.
        """
        self._record(child)
        done: list[Sa] = []
        try:
            for sa in inbound_sas(child):
                self._receive(sa)
                done.append(sa)
        except EngineError:
            for sa in done:
                self._remove_sa(child, sa.destination, sa.spi, sa.protocol)
            for sa in inbound_sas(child):
                self.release(child.local_address, sa.protocol, sa.spi)
            raise

    def _receive(self, sa: Sa) -> None:
        held = self._client.get_sa(sa.destination, sa.spi, sa.protocol)
        if held is None:
            self._add(sa)
        elif held.larval and held.reqid == sa.reqid:
            self._client.do(update_sa(sa))
            self._check_device(sa)
        elif not _is_there(held, sa):
            raise KernelError(
                f"add the inbound SA 0x{sa.spi:x}", errno.EEXIST, "another SA has this SPI; reserve a new one"
            )

    def _add(self, sa: Sa) -> None:
        self._client.do(add_sa(sa))
        self._check_device(sa)

    def _check_device(self, sa: Sa) -> None:
        """A kernel has the processor encrypt where the device cannot, and says nothing: then the SA goes.

        :raises KernelError: naming the device.
        """
        if not sa.device:
            return
        held = self._client.get_sa(sa.destination, sa.spi, sa.protocol)
        if held is None or held.device != sa.device:
            self._client.do(delete_sa(sa.destination, sa.spi, sa.protocol))
            problem = f"the device {_device(sa.device)} cannot do it (ethtool -k: esp-hw-offload); write offload: none"
            raise KernelError(f"have the SA 0x{sa.spi:x} encrypted by its device", errno.EOPNOTSUPP, problem)

    def _send(self, child: ChildSa) -> None:
        """Add the SA that sends, after the one inside of it, or none of them."""
        done: list[Sa] = []
        try:
            for sa in outbound_sas(child):
                held = self._client.get_sa(sa.destination, sa.spi, sa.protocol) if sa.protocol == IPCOMP else None
                if held is None or not _is_there(held, sa):
                    self._add(sa)
                    done.append(sa)
        except EngineError:
            # What could not be added is not ours: the SPI may be another's.
            for sa in done:
                self._remove_sa(child, sa.destination, sa.spi, sa.protocol)
            raise

    def install_outbound(self, child: ChildSa, wanted: Sequence[Policy], ours: Collection[Place] = ()) -> None:
        """Add the SA that sends, then point the policies (in, fwd, out) to this generation; groups follow.

        :param wanted: those policies: all of the child's (:meth:`policies_of`), or those that it gets.
        :param ours: see :meth:`set_policies`.

        On failure the policies are as before the call and both SAs of this generation are gone.

        :raises KernelError: with the kernel's words, or when another owner has a policy with one of these selectors.
            MissingError: no ESP or AH in this kernel.
        """
        try:
            self._send(child)
        except EngineError:
            for sa in inbound_sas(child):
                self._remove_sa(child, sa.destination, sa.spi, sa.protocol)
            raise
        try:
            self._record(child)
            self._take_over(wanted, child, ours)
        except EngineError:
            self.remove_sas(child)
            raise

    def remove_sas(self, child: ChildSa) -> None:
        """Delete both SAs, the sending one first; policies stay. SAs that are gone or not ours are left alone.

        A group that an SA is in without a successor ends. Policies go on demanding all of it: nothing leaves with less.
        """
        self._remove_sa(child, child.remote_address, child.spi_out, child.protocol)
        self._remove_sa(child, child.local_address, child.spi_in, child.protocol)
        self._remove_sa(child, child.remote_address, child.cpi_out, IPCOMP)
        self._remove_sa(child, child.local_address, child.cpi_in, IPCOMP)

    def _remove_sa(self, child: ChildSa, destination: str, spi: int, protocol: int) -> None:
        if not spi:
            return
        sa = self._client.get_sa(destination, spi, protocol)
        if sa is None:
            self._registry.remove_group(Said(protocol, spi, destination))
        elif sa.reqid == child.reqid:
            self._delete_sa(sa)

    def _delete_sa(self, sa: SaState) -> None:
        self._forget_sa(sa)
        self._registry.remove_group(said_of(sa))

    def _forget_sa(self, sa: SaState) -> None:
        try:
            self._client.do(delete_sa(sa.destination, sa.spi, sa.protocol))
        except KernelError as exc:
            if exc.errno != errno.ESRCH:  # it expired since we looked
                raise

    # Policies, as the manager wants them place by place (see manager/desired_policies.py)

    def set_policies(self, wanted: Sequence[Policy], child: ChildSa, ours: Collection[Place] = ()) -> int:
        """Have these policies of a child stand, in the place of whatever children of ours had there.

        Where ``child`` has an SA that sends, groups follow it.

        :param ours: places that had policies of ours: whoever replaced one there has no right to it.
        :returns: how many differed.
        :raises KernelError: somebody else has a policy with one of these selectors; all are as before then.
        """
        if child.spi_out:
            return self._take_over(wanted, child, ours)
        self._record(child)
        return len(self._change(self._missing_or_different(wanted, ours)))

    def delete_policies(self, places: Sequence[Place]) -> int:
        """Delete what children of ours have with these selectors, directions and interfaces; others are left alone."""
        found = self._client.get_policies(sorted(places, key=lambda place: place[1] != OUT))
        ours = [delete_policy_index(policy) for policy in found if policy is not None and self.owns(policy)]
        _raise_first(self._client.batch(ours), errno.ENOENT)
        return len(ours)

    def standing_policies(self) -> list[Policy]:
        """Every policy of the main table that is tied to no mark, whoever owns it."""
        return [policy for policy in self._client.dump_policies() if not policy.marked]

    def policies_at(self, places: Sequence[Place]) -> list[Policy]:
        """Those of them that stand at these selectors, directions and interfaces, whoever owns them."""
        if len(places) > _MANY:
            return self.standing_policies()
        return [policy for policy in self._client.get_policies(places) if policy is not None]

    def owns(self, policy: Policy) -> bool:
        """Whether a policy of the kernel belongs to a child in the registry, or to several at once."""
        if is_shunt(policy.index):
            return False
        if not policy.templates:
            return is_pass(policy)
        first = policy.templates[0]
        return first.shared or self._registry.names(first.reqid) is not None

    def _take_over(self, wanted: Sequence[Policy], child: ChildSa, ours: Collection[Place]) -> int:
        """Point policies and groups to a generation, all or nothing; nobody groups its SAs meanwhile."""
        done: list[Change] = []
        try:
            with self._registry.changing():
                new = succeed(self._client, self._registry.groups(), child, list(wanted))
                for old_name, name in new.replaced:
                    self._registry.replace_member(old_name, name)
                done = self._change(self._missing_or_different(new.wanted, ours) + new.others)
        except EngineError:
            self._client.batch(_undo(done))
            raise
        return len(done)

    def _missing_or_different(self, wanted: Sequence[Policy], ours: Collection[Place]) -> list[Change]:
        """(held, wanted) of the policies that have to change.

        Looking first is cheaper than trying: replacing makes the kernel walk its policies, reading does not.
        """
        changes: list[Change] = []
        places = [(policy.selector, policy.direction, policy.if_id) for policy in wanted]
        for place, held, policy in zip(places, self._client.get_policies(places), wanted, strict=True):
            if held is not None and not self.owns(held) and (place not in ours or is_shunt(held.index)):
                if is_pass(policy):
                    continue  # whether these packets pass is decided already
                raise KernelError(f"set the policy {describe(policy)}", errno.EEXIST, _claim(held))
            if held is None or (held.priority, held.action, held.templates) != policy[2:5]:
                changes.append((held, policy))
        return changes

    def _change(self, changes: Sequence[Change]) -> list[Change]:
        """Replace policies; returns what was done. On any failure all are as before."""
        outcomes = self._client.batch(
            [set_policy(new._replace(index=0)) if old else create_policy(new) for old, new in changes]
        )
        done = [change for change, outcome in zip(changes, outcomes, strict=True) if outcome is None]
        if any(outcomes):
            self._client.batch(_undo(done))
            _raise_first(outcomes)
        return done

    def _record(self, child: ChildSa) -> None:
        self._registry.record(child.reqid, Child(child.owner, child.tunnel, child.child))

    # Views

    def usage(self, child: ChildSa) -> tuple[Usage | None, Usage | None]:
        """(inbound, outbound) counters; None for an SA that is gone."""
        ends = ((child.local_address, child.spi_in), (child.remote_address, child.spi_out))
        inbound, outbound = (self._client.get_sa(destination, spi, child.protocol) for destination, spi in ends)
        return _usage(inbound), _usage(outbound)

    def usage_all(self) -> dict[tuple[str, int, int], Usage]:
        """Counters of every SA of ours in one dump, by (destination, protocol, SPI)."""
        return {
            (sa.destination, sa.protocol, sa.spi): _counters(sa)
            for sa in self._client.dump_sas()
            if is_ours(sa.reqid) and not sa.larval
        }

    def standing_sas(self, names: Collection[tuple[str, int, int]]) -> set[tuple[str, int, int]]:
        """Those of the SAs named by (destination, protocol, SPI) that stand; larval ones do not."""
        if len(names) > _FEW:
            return {(sa.destination, sa.protocol, sa.spi) for sa in self._client.dump_sas() if not sa.larval} & {*names}
        found = ((name, self._client.get_sa(name[0], name[2], name[1])) for name in names)
        return {name for name, sa in found if sa is not None and not sa.larval}

    def held_sas(self) -> list[SaState]:
        """Every SA of a child in the registry, larval ones and holds included."""
        known = self._registry.children()
        return [sa for sa in self._client.dump_sas() if sa.reqid in known]

    def held_policies(self) -> list[Policy]:
        """Every policy of a child in the registry."""
        # An eroute that somebody set by hand may lead to an SA of a child, and is not the child's all the same.
        return [policy for policy in self._client.dump_policies() if self.owns(policy)]

    def policies_of(self, child: ChildSa) -> list[Policy]:
        """See :func:`child_policies`."""
        return child_policies(child)

    def cleanup(self, keep_reqids: frozenset[int] = frozenset()) -> tuple[int, int]:
        """Delete what an earlier run left: (SAs, policies) deleted.

        Only request IDs in the registry, and never ``keep_reqids``. SAs that receive stay until those that send and
        the policies are gone.
        """
        policies_ = [policy for policy in self.held_policies() if child_reqid(policy.reqid) not in keep_reqids]
        if keep_reqids:
            policies_ = [p for p in policies_ if p.templates and not p.templates[0].shared]
        sas = [sa for sa in self.held_sas() if sa.reqid not in keep_reqids and not sa.hold]
        self.discard(sas, policies_)
        return len(sas), len(policies_)

    def discard(self, sas: Sequence[SaState], policies_: Sequence[Policy]) -> None:
        """Delete what :meth:`held_sas` and :meth:`held_policies` told, the policies first.

        :raises KernelError: the kernel refused; what is gone by now is no matter.
        """
        # Out first: the way back must not be shut while packets still go out.
        ordered = sorted(policies_, key=lambda policy: policy.direction != OUT)
        _raise_first(self._client.batch([delete_policy_index(policy) for policy in ordered]), errno.ENOENT)
        removals = [delete_sa(sa.destination, sa.spi, sa.protocol) for sa in sas]
        _raise_first(self._client.batch(removals), errno.ESRCH)
        for sa in sas:
            self._registry.remove_group(said_of(sa))


def _device(index: int) -> str:
    try:
        return socket.if_indextoname(index)
    except OSError:
        return f"with index {index}"


def _is_there(held: SaState, sa: Sa) -> bool:
    """Whether it is the same IPComp SA already, which has no keys: it stands where an install was cut short."""
    return sa.protocol == IPCOMP and not held.larval and (held.reqid, held.mode) == (sa.reqid, sa.mode)


def _claim(held: Policy) -> str:
    """Whose a policy is that is no child's."""
    if is_shunt(held.index):
        return "an eroute set by hand has these selectors already; delete it (ipsec eroute --del), or choose others"
    return "another program has a policy with these selectors already; remove it, or choose other selectors"


def _undo(done: Sequence[Change]) -> list[Operation]:
    return [set_policy(old._replace(index=0)) if old else delete_policy(new) for old, new in reversed(done)]


def _raise_first(outcomes: list[EngineError | None], *forgiven: int) -> None:
    for outcome in outcomes:
        if outcome is not None and not (isinstance(outcome, KernelError) and outcome.errno in forgiven):
            raise outcome


def _usage(sa: SaState | None) -> Usage | None:
    return None if sa is None or sa.larval else _counters(sa)


def _counters(sa: SaState) -> Usage:
    return Usage(sa.bytes, sa.packets, sa.add_time, sa.use_time, sa.last_used, sa.integrity_failed, sa.replayed)
