# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""IKE and child settings of the two ends of a pair, and whether their algorithms have a set in common."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, NamedTuple

from ansible_collections.fleet.ipsec.plugins.module_utils.engine.crypto.negotiation import (
    choose_esp,
    choose_ike,
    offer_esp,
    offer_ike,
)
from ansible_collections.fleet.ipsec.plugins.module_utils.engine.crypto.proposals import CHILD_PROPOSALS, ike_proposals
from ansible_collections.fleet.ipsec.plugins.module_utils.engine.errors import EngineError, IkeError

from .communities import Community
from .members import Member, variable_of
from .problems import Problems

DEFAULT_PROFILE = "modern"
IKE, DEFAULT_PROTOCOL = "ike", "esp"
Spec = tuple[str, ...]


class Settings(NamedTuple):
    """``ike`` and the settings of each child, as a definition takes them."""

    ike: dict[str, Any]
    child: dict[str, Any]

    @property
    def specs(self) -> tuple[Spec, Spec]:
        """Proposals of the IKE SA and of the children, those of each behind the word for its protocol."""
        child = str(self.child.get("protocol", DEFAULT_PROTOCOL))
        return (IKE, *_spec(self.ike["proposals"])), (child, *_spec(self.child["proposals"]))


def settings(community: Community, mine: Member, other: Member) -> Settings:
    """What this end uses: the community's, where this end says nothing else; what an external peer needs goes first."""
    own = other if other["external"] else mine
    general = {"proposals": community["profile"] or DEFAULT_PROFILE}
    special = {"proposals": own["profile"]} if own["profile"] else {}
    return Settings(
        ike={**general, **community["ike"], **special, **own["ike"]},
        child={**general, **community["child"], **special, **own["child"]},
    )


def _spec(given: Any) -> Spec:
    return (str(given),) if isinstance(given, str) else tuple(str(word) for word in given)


def check(
    community: Community,
    sides: Iterable[tuple[list[str], list[str]]],
    members: Mapping[str, Member],
    given: Mapping[str, Any],
    problems: Problems,
) -> None:
    """Note every two settings in use that have no algorithms in common, with one pair of hosts each."""
    told = set()
    for left, right in sides:
        for mine, theirs in _combinations(community, left, right, members):
            for kind, place in (("ike", 0), ("child", 1)):
                specs = (mine[1][place], theirs[1][place])
                problem = disagreement(kind, *specs)
                if problem and (kind, *sorted(specs)) not in told:
                    told.add((kind, *sorted(specs)))
                    pair = f"{mine[0]} and {theirs[0]}"
                    problems.add(
                        f"community {community['name']}: no common proposal between {pair}: {problem}",
                        f"let {kind}.proposals (or profile) of {_where(mine[0], theirs[0], members)} "
                        "or of the community overlap",
                        given[mine[0]].get(kind) or given[mine[0]].get("profile"),
                        given[theirs[0]].get(kind) or given[theirs[0]].get("profile"),
                    )


def _where(mine: str, theirs: str, members: Mapping[str, Member]) -> str:
    """The variables of the two; one where an end takes the other's settings."""
    return " or ".join(dict.fromkeys(variable_of(members[name]) for name in (mine, theirs)))


def _combinations(
    community: Community,
    left: list[str],
    right: list[str],
    members: Mapping[str, Member],
) -> Iterable[tuple[tuple[str, tuple[Spec, Spec]], tuple[str, tuple[Spec, Spec]]]]:
    """One pair of hosts for every two different settings that meet; the number of hosts does not multiply."""
    kinds: list[dict[tuple[Spec, Spec], str]] = [{}, {}]
    for side, names in zip(kinds, (left, right), strict=True):
        for name in names:
            # An external peer's ends agree by construction: our end takes its settings.
            if not members[name]["external"]:
                own = settings(community, members[name], members[name])
                side.setdefault(own.specs, name)
            else:
                foreign = settings(community, members[name], members[name])
                yield (name, foreign.specs), (name, foreign.specs)
    for mine, first in kinds[0].items():
        for theirs, second in kinds[1].items():
            yield (first, mine), (second, theirs)


@cache
def disagreement(kind: str, mine: Spec, theirs: Spec) -> str:
    """Why two lists of proposals have nothing in common, or which word in them is wrong; "" when they fit.

    :param kind: ``ike`` or ``child``.
    :param mine: the word for the protocol, then its proposals; ``theirs`` likewise.
    """
    # Plugins are loaded under warning filters of their own, so that those of the engine do not last.
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Diffie-Hellman over finite fields")
        return _disagreement(kind, mine, theirs)


def _disagreement(kind: str, mine: Spec, theirs: Spec) -> str:
    field = f"{kind}.proposals"
    try:
        if kind == IKE:
            choose_ike(ike_proposals(mine[1:], field), offer_ike(ike_proposals(theirs[1:], field)))
        else:
            # What is no protocol is told with all else that is wrong in a definition.
            read, read_theirs = (
                CHILD_PROPOSALS.get(end[0], CHILD_PROPOSALS[DEFAULT_PROTOCOL]) for end in (mine, theirs)
            )
            choose_esp(read(mine[1:], field), offer_esp(read_theirs(theirs[1:], field), bytes(4), True))
    except IkeError as error:
        return error.story
    except EngineError as error:
        return str(error)
    return ""
