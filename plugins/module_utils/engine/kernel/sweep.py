# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything of ours that stands in the kernel, found by its marks alone, and taken out where no manager does it.

It needs neither the manager nor its definitions: request IDs and indexes of policies out of our ranges, the policies
that let packets pass by a tunnel or let neighbours pass, routes of our protocol, links with our alias, tables of
nftables with our names. Holds, which the kernel made for packets that wait for an SA, end by themselves.
"""

from __future__ import annotations

import errno
from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

from ..errors import EngineError, KernelError, MissingError
from ..said import Said
from . import neighbours, nftables
from .client import XfrmClient, delete_policy_index, delete_sa, describe
from .interfaces import ALIAS, Interfaces, Link
from .policies import PRIORITY_FIRST, PRIORITY_LAST, is_pass, network, owner_of_pass, reverse
from .registry import REQID_FIRST, REQID_LAST, Child, child_reqid, is_ours
from .routes import Route, Routes
from .values import OUT, Policy, SaState, said_of


class Remains(NamedTuple):
    """What stands: SAs, policies, links, routes, and tables of nftables by name.

    :ivar unseen: why links and routes could not be looked at, if so.
    """

    sas: tuple[SaState, ...] = ()
    policies: tuple[Policy, ...] = ()
    links: tuple[Link, ...] = ()
    routes: tuple[Route, ...] = ()
    tables: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()

    def counts(self) -> dict[str, int]:
        """How many there are of each kind."""
        return {kind: len(found) for kind, found in self._asdict().items() if kind != "unseen"}

    def words(self) -> list[str]:
        """Each in words."""
        return [
            *(f"SA {said_of(sa)}" for sa in self.sas),
            *(f"policy {describe(policy)}" for policy in self.policies),
            *(f"interface {link.name}" for link in self.links),
            *(f"route to {route.destination}" for route in self.routes),
            *(f"table inet {table} of nftables" for table in self.tables),
            *(f"interfaces and routes, if any ({why})" for why in self.unseen),
        ]


def look(by_hand: Collection[Said]) -> Remains:
    """Everything of ours that stands in this namespace.

    :param by_hand: the SAs keyed by hand, whose request ID may be any.
    :raises EngineError: it cannot be read.
    """
    sas, policies = _sas_and_policies()
    links, routes, unseen = _links_and_routes()
    return Remains(
        tuple(sa for sa in sas if not sa.hold and (is_ours(sa.reqid) or said_of(sa) in by_hand)),
        tuple(filter(_is_ours, policies)),
        tuple(links),
        tuple(routes),
        tuple(nftables.own_tables()),
        unseen,
    )


def look_for(owner: str, children: Mapping[int, Child]) -> Remains:
    """What is of this owner's tunnels, and what is of all tunnels where nothing is left of another's.

    :param children: those of every owner, by their request IDs.
    :raises EngineError: it cannot be read.
    """
    sas, policies = _sas_and_policies()
    links, routes, unseen = _links_and_routes()
    reqids = {reqid for reqid, names in children.items() if names.owner == owner}
    of_tunnels = [policy for policy in policies if is_ours(policy.reqid) and not _in_range(policy)]
    held = [policy for policy in of_tunnels if child_reqid(policy.reqid) in reqids]
    beyond = {_destination(policy) for policy in held if policy.direction == OUT}
    held += _passing_by(held, of_tunnels, policies)
    of_all = [policy for policy in policies if _is_of_all(policy)]
    if set(filter(_is_ours, policies)) == {*held, *of_all}:
        held += of_all
    return Remains(
        tuple(sa for sa in sas if not sa.hold and child_reqid(sa.reqid) in reqids),
        tuple(held),
        tuple(link for link in links if link.alias.startswith(f"{ALIAS}{owner}/")),
        tuple(route for route in routes if route.destination in beyond),
        unseen=unseen,
    )


def _is_ours(policy: Policy) -> bool:
    return is_ours(policy.reqid) or _in_range(policy) or is_pass(policy) or _is_of_all(policy)


def _is_of_all(policy: Policy) -> bool:
    """Whether a policy of ours is of no single tunnel: it lets neighbours pass, or in what several tunnels receive."""
    shared = bool(policy.templates) and policy.templates[0].shared and not policy.reqid
    return neighbours.is_ours(policy) or (shared and PRIORITY_FIRST <= policy.priority <= PRIORITY_LAST)


def _passing_by(held: list[Policy], of_tunnels: list[Policy], policies: list[Policy]) -> Iterator[Policy]:
    """What passes by the tunnels that ``held`` are of."""
    outbound = [policy for policy in of_tunnels if policy.direction == OUT]
    mine = {policy.index for policy in held}
    for policy in filter(is_pass, policies):
        facing = policy.selector if policy.direction == OUT else reverse(policy.selector)
        owner = owner_of_pass(policy._replace(selector=facing), outbound)
        if owner is not None and owner.index in mine:
            yield policy


def _in_range(policy: Policy) -> bool:
    """Whether the index of a policy is one that we give, to those that are of no child."""
    return REQID_FIRST <= policy.index <= REQID_LAST


def _destination(policy: Policy) -> str:
    selector = policy.selector
    return str(network(selector.destination, selector.destination_prefix))


def _sas_and_policies() -> tuple[list[SaState], list[Policy]]:
    client = XfrmClient()
    try:
        return client.dump_sas(), client.dump_policies()
    finally:
        client.close()


def _links_and_routes() -> tuple[list[Link], list[Route], tuple[str, ...]]:
    """Those of ours, and why they could not be looked at."""
    try:
        interfaces = Interfaces()
    except MissingError as error:
        # SAs and policies are to go all the same.
        return [], [], (str(error),)
    try:
        links = interfaces.ours()
    finally:
        interfaces.close()
    with Routes() as routes:
        return links, routes.ours(), ()


def take_out(remains: Remains) -> None:
    """Remove what was found; what is gone by now is no matter, nor is the order, for all of it goes.

    :raises EngineError: the first refusal of the kernel, after everything was tried.
    """
    client = XfrmClient()
    try:
        # Out first: the way back must not be shut while packets still go out.
        policies = sorted(remains.policies, key=lambda policy: policy.direction != OUT)
        outcomes = client.batch([delete_policy_index(policy) for policy in policies])
        outcomes += client.batch([delete_sa(sa.destination, sa.spi, sa.protocol) for sa in remains.sas])
    finally:
        client.close()
    outcomes += _attempts(remains)
    for outcome in outcomes:
        if outcome is not None and not (isinstance(outcome, KernelError) and outcome.errno in _GONE):
            raise outcome


_GONE: Collection[int] = (errno.ENOENT, errno.ESRCH, errno.ENODEV)


def _attempts(remains: Remains) -> list[EngineError | None]:
    found: list[EngineError | None] = []
    try:
        if remains.routes:
            with Routes() as routes:
                for route in remains.routes:
                    routes.remove(route)
        if remains.links:
            interfaces = Interfaces()
            try:
                for link in remains.links:
                    interfaces.remove(link.name, link.alias)
            finally:
                interfaces.close()
        if remains.tables:
            nftables.drop_tables(remains.tables)
    except EngineError as error:
        found.append(error)
    return found
