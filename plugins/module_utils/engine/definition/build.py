# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a checked definition to what the protocol engine takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeVar, Union

from ..child_sa import Copied
from ..crypto.auth import Authenticator
from ..crypto.ppk import Ppk
from ..crypto.proposals import CHILD_PROPOSALS, EspProposal, IkeProposal, ike_proposals, legacy_names
from ..errors import InputError
from ..identity import Identity
from ..ike.connection import ChildConfig, Connection
from ..newer_python import zip
from ..selector import parse_selector
from . import many
from .parsing import Definition
from .peer import addresses_of, names_of
from .schema import Problems
from .table import SHUNTS

# Whether DSCP is copied on the way out, and on the way in.
_DSCP = {"copy": (True, False), "both": (True, True), "in": (False, True), "no": (False, False)}
Spec = Union[str, list[str]]
Key = Union[str, tuple[str, ...]]
P = TypeVar("P", tuple[IkeProposal, ...], tuple[EspProposal, ...])


def check_proposals(definition: Definition, prefix: str = "") -> list[str]:
    """Read all proposals of a definition; the warnings that they deserve.

    :raises Problems: naming each field with an unusable proposal.
    """
    problems: list[InputError] = []
    document = definition.document
    allowed = {"ike.proposals": _legacy(_read(_ike, document["ike"]["proposals"], f"{prefix}ike.proposals", problems))}
    for position, child in enumerate(document["children"]):
        if child["mode"] in SHUNTS:
            continue
        field = f"children[{position}]"
        proposals = _read(_OF_CHILD[child["protocol"]], child["proposals"], f"{prefix}{field}.proposals", problems)
        allowed[f"{field}.proposals"] = _legacy(proposals)
        if not child["replay_window"] and _has_esn(proposals):
            # A receiver without a window cannot know the high half of an extended sequence number.
            problems.append(
                InputError(
                    f"{prefix}{field}.replay_window",
                    0,
                    "does not go with extended sequence numbers",
                    "give a window such as 128, or write proposals with noesn",
                )
            )
    if problems:
        raise Problems(problems)
    return [
        f"tunnel {definition.name}: {field} allows {', '.join(legacy)}: use modern where you can"
        for field, legacy in allowed.items()
        if legacy
    ]


def _read(reader: Callable[[Key], P], spec: Spec, field: str, problems: list[InputError]) -> P | tuple[()]:
    """The proposals of one field; none, and a problem more, where they are not usable."""
    try:
        return reader(_key(spec))
    except InputError as problem:
        problems.append(InputError(field, problem.value, problem.problem, problem.remedy))
        return ()


def connection_of(
    definition: Definition,
    auth: Authenticator,
    reqids: Mapping[str, int],
    if_id: int = 0,
    addresses: Sequence[str] | None = None,
) -> Connection:
    """The engine's view of a definition whose proposals were checked.

    :param auth: what its credential makes (:mod:`.authenticators`).
    :param reqids: kernel request ID of each child, by name.
    :param if_id: of the interface that the tunnel has, 0 for none.
    :param addresses: of the peer, with those that host names stand for; None where the definition has no names. As
        long as nobody knows where a peer with a name is, it cannot be told from others, and is let in from nowhere.
    """
    document, pattern = definition.document, definition.pattern
    local, remote, ike = document["local"], document["remote"], document["ike"]
    addresses = addresses_of(document) if addresses is None else addresses
    unknown = bool(names_of(document)) and not addresses
    children = tuple(
        ChildConfig(
            name=child["name"],
            reqid=reqids[child["name"]],
            local=selectors[0],
            remote=selectors[1],
            proposals=_proposals_of(child),
            mode=child["mode"],
            start=child["start"],
            lifetime=float(child["lifetime"]),
            lifetime_bytes=child["lifetime_bytes"],
            lifetime_packets=child["lifetime_packets"],
            replay_window=child["replay_window"],
            if_id=if_id,
            ipcomp=child["ipcomp"],
            priority=child["priority"],
            copied=Copied(*_DSCP[child["dscp"]], child["copy_df"], child["copy_ecn"]),
            offload=child["offload"],
        )
        for child, selectors in zip(document["children"], definition.selectors, strict=True)
        if child["mode"] not in SHUNTS
    )
    return Connection(
        name=definition.name,
        answers=document["role"] != "initiator" and not unknown,
        local_id=Identity.parse(local["id"]),
        auth=auth,
        proposals=_ike(_key(ike["proposals"])),
        children=children,
        local_address=local["address"],
        remote_address=next(iter(addresses), None),
        other_addresses=tuple(addresses[1:]),
        remote_port=remote["port"],
        remote_natt_port=remote["natt_port"],
        remote_id=Identity.parse(remote["id"]) if pattern is None else None,
        pattern=pattern,
        networks=tuple([parse_selector(network) for network in (remote["addresses"] if pattern else ())]),
        max_instances=many.option(document, "max_instances"),
        unique=many.option(document, "unique"),
        version=ike["version"],
        lifetime=float(ike["lifetime"]),
        reauth=float(ike["reauth"]),
        dpd_delay=float(ike["dpd_delay"]),
        retransmit_timeout=float(ike["retransmit_timeout"]),
        starts=document["role"] != "responder",
        encapsulation=document["encapsulation"],
        fragment_size=ike["fragment_size"] if ike["fragmentation"] == "auto" else 0,
        ppks=tuple(Ppk(ppk.id.encode(), ppk.secret) for ppk in definition.ppks),
        ppk_required=any(ppk.required for ppk in definition.ppks),
        dscp=ike["dscp"],
    )


def has_pfs(child: Mapping[str, Any]) -> bool:
    """Whether each rekey of a child has to have a key exchange of its own: perfect forward secrecy."""
    return child["mode"] not in SHUNTS and all(proposal.ke for proposal in _proposals_of(child))


def _proposals_of(child: Mapping[str, Any]) -> tuple[EspProposal, ...]:
    return _OF_CHILD[child["protocol"]](_key(child["proposals"]))


def _key(spec: Spec) -> Key:
    return spec if isinstance(spec, str) else tuple(spec)


# A fleet writes few different proposals in many tunnels; sharing the values also saves their memory.
@lru_cache(maxsize=1024)
def _ike(spec: Key) -> tuple[IkeProposal, ...]:
    return ike_proposals(spec)


# Of children, by their protocol.
_OF_CHILD: dict[str, Callable[[Key], tuple[EspProposal, ...]]] = {
    protocol: lru_cache(maxsize=1024)(read) for protocol, read in CHILD_PROPOSALS.items()
}


@lru_cache(maxsize=1024)
def _legacy(proposals: tuple[IkeProposal | EspProposal, ...]) -> tuple[str, ...]:
    return legacy_names(proposals)


def _has_esn(proposals: tuple[EspProposal, ...]) -> bool:
    return any(row.transform_id == 1 for proposal in proposals for row in proposal.esn)
