# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A tunnel as its operator writes it: checked, with defaults, in one canonical form.

Pure, and needs the standard library and the ground only, so that modules may use it too. What the words of
``proposals`` mean is checked one floor further in, by ``build.py``.
"""

from __future__ import annotations

import copy
import ipaddress
from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import Any

from ..errors import InputError
from ..foreign_identities import foreign
from ..identity import Identity
from ..identity_pattern import IdentityPattern, is_pattern
from ..newer_python import dataclass, zip
from ..selector import Selector, parse_selector
from . import bypass, interface, many, peer, ppks
from .credentials import Credential, credential_of, without_secrets
from .formats import FORMATS
from .options import DEFINITION, STORED
from .schema import Problems, Schema, conform

SHORTEST = 10  # seconds, as the shortest lifetime


@dataclass(frozen=True, slots=True)
class Definition:
    """One checked tunnel.

    :ivar document: canonical and complete, without any secret; durations in seconds.
    :ivar credential: what its ends authenticate with.
    :ivar ppks: post-quantum preshared keys.
    :ivar selectors: per child, in order: (local, remote) traffic selectors.
    """

    name: str
    document: dict[str, Any]
    credential: Credential
    selectors: tuple[tuple[tuple[Selector, ...], tuple[Selector, ...]], ...]
    ppks: tuple[ppks.SharedPpk, ...] = ()

    def public(self) -> dict[str, Any]:
        """A copy of the document to show: that there are secrets is told, not what they are."""
        shown = copy.deepcopy(self.document)
        shown["auth"] |= self.credential.shown() | ppks.shown(self.ppks)
        return shown

    def stored(self) -> dict[str, Any]:
        """The document with its secrets, for the database and nothing else."""
        full = copy.deepcopy(self.document)
        full["auth"] |= self.credential.revealed() | ppks.revealed(self.ppks)
        return full

    def without(self, names: Collection[str]) -> Definition:
        """The definition without these children, and be it without any."""
        kept = [position for position, child in enumerate(self.document["children"]) if child["name"] not in names]
        document = self.document | {"children": [self.document["children"][position] for position in kept]}
        return replace(self, document=document, selectors=tuple(self.selectors[position] for position in kept))

    @property
    def pattern(self) -> IdentityPattern | None:
        """Whom it is for, where it is for many peers."""
        return many.pattern_of(self.document)

    def warnings(self) -> list[str]:
        """What is allowed but unwise."""
        of_auth = [*self.credential.warnings(self.name), *ppks.warnings(self.ppks, self.name)]
        of_ends = [*interface.warnings(self.document), *many.warnings(self.document)]
        return [*of_ends, *_in_plain_sight(self.document), *of_auth]


def parse_definition(raw: Any, field: str = "") -> Definition:
    """Check one definition.

    :param raw: as in :data:`options.DEFINITION`; keys whose value is null count as left out.
    :param field: what the paths in problems begin with.
    :raises Problems: naming every bad field, its value and the remedy.
    """
    definition = _parse(raw, field, DEFINITION)
    rest = definition.document, definition.selectors, f"{field}." if field else ""
    checks = (_foreign_identities, many.check, interface.check, bypass.check, _check_durations)
    problems = [problem for check in checks for problem in check(*rest)]
    if problems:
        raise Problems(problems)
    return definition


def _check_durations(document: dict[str, Any], _selectors: object, prefix: str) -> Iterator[InputError]:
    """Those of which 0 is for never."""
    given = {"ike.reauth": document["ike"]["reauth"]}
    given |= {f"children[{place}].inactivity": each["inactivity"] for place, each in enumerate(document["children"])}
    for field, seconds in given.items():
        if 0 < seconds < SHORTEST:
            remedy = f"at least {SHORTEST} seconds, or 0 for never"
            yield InputError(f"{prefix}{field}", seconds, "is too small", remedy)


def _foreign_identities(document: dict[str, Any], _selectors: object, prefix: str) -> Iterator[InputError]:
    """Identities that mean something else elsewhere; what is stored was once defined, and stays."""
    for side in ("local", "remote"):
        found = foreign(document[side]["id"])
        if side == "remote" and found is not None and is_pattern(document[side]["id"]):
            continue  # whether that may be is seen to by itself
        if found is not None:
            yield InputError(f"{prefix}{side}.id", document[side]["id"], found.problem, found.remedy)


def _in_plain_sight(document: dict[str, Any]) -> Iterator[str]:
    for position, child in enumerate(document["children"]):
        if child["protocol"] == "ah":
            yield (
                f"tunnel {document['name']}: children[{position}].protocol ah does not encrypt, anybody on the way can "
                "read its packets: use esp where you can"
            )


def parse_stored(raw: Any) -> Definition:
    """A definition as the database has it, which was checked before, but from which every child may be gone.

    :raises Problems: as :func:`parse_definition`.
    """
    return _parse(raw, "", STORED)


def _parse(raw: Any, field: str, schema: Schema) -> Definition:
    problems: list[InputError] = []
    document = conform(raw, schema, field, problems, FORMATS)
    if problems:
        raise Problems(problems)
    prefix = f"{field}." if field else ""
    _settle_ends(document, prefix, problems)
    selectors = tuple(
        _settle_child(child, document, f"{prefix}children[{position}]", problems)
        for position, child in enumerate(document["children"])
    )
    names: set[str] = set()
    for position, child in enumerate(document["children"]):
        if child["name"] in names:
            problems.append(_duplicate(f"{prefix}children[{position}].name", child["name"]))
        names.add(child["name"])
    shared = ppks.read_ppks(document["auth"].pop(ppks.PPK, ()), f"{prefix}auth.{ppks.PPK}", problems)
    credential = credential_of(document["auth"], f"{prefix}auth", problems)
    if problems:
        raise Problems(problems)
    interface.settle(document, selectors)
    document["auth"] = without_secrets(document["auth"])
    return Definition(document["name"], document, credential, selectors, shared)


# Before the policies of a child come those of its parts, and before these what passes by it.
PRIORITY_OWN_FIRST = 3


def _duplicate(field: str, name: str) -> InputError:
    return InputError(field, name, "is used twice", "give each its own name")


def _settle_ends(document: dict[str, Any], prefix: str, problems: list[InputError]) -> None:
    """Fill in identities and role, which depend on the addresses."""
    local, remote = document["local"], document["remote"]
    ours = local.setdefault("address", None)
    remote.setdefault("address", None)
    for theirs, field in peer.settle(remote, f"{prefix}remote", problems).items():
        if ours and not peer.is_name(theirs) and _family(ours) != _family(theirs):
            problems.append(
                InputError(
                    field,
                    theirs,
                    f"is not of the family of local.address {ours}",
                    "give both ends an IPv4 or both an IPv6 address",
                )
            )
        if ours and ours == theirs:
            problems.append(InputError(field, theirs, "is also local.address", "give the peer's address"))
    for end, side in ((local, "local"), (remote, "remote")):
        if end.setdefault("id", end["address"] and str(Identity.parse(end["address"].partition("%")[0]))) is None:
            problems.append(
                InputError(
                    f"{prefix}{side}.id",
                    None,
                    "is missing, and there is no address to stand for it",
                    f"give {side}.id (such as gw.example.net) or {side}.address",
                )
            )
    if local["id"] is not None and local["id"] == remote["id"]:
        problems.append(
            InputError(f"{prefix}remote.id", remote["id"], "is also local.id", "give each end its own identity")
        )
    if remote["address"] is None:
        if document["role"] == "initiator":
            problems.append(
                InputError(
                    f"{prefix}role",
                    "initiator",
                    "cannot start without remote.address",
                    "give remote.address, or role: responder",
                )
            )
        document["role"] = "responder"


def _settle_child(
    child: dict[str, Any], document: dict[str, Any], field: str, problems: list[InputError]
) -> tuple[tuple[Selector, ...], tuple[Selector, ...]]:
    """Fill in and read the selectors of one child."""
    sides = []
    for side in ("local", "remote"):
        if side not in child:
            address = document[side]["address"]
            if child["mode"] != "transport" or address is None or peer.is_name(address):
                problems.append(
                    InputError(f"{field}.{side}", None, "is missing", "list the networks to protect on this side")
                )
                return (), ()
            child[side] = [str(parse_selector(address.partition("%")[0]))]
        sides.append(tuple(parse_selector(text) for text in child[side]))
    families = [{selector.family for selector in side} for side in sides]
    if families[0] != families[1]:
        problems.append(
            InputError(
                f"{field}.remote",
                child["remote"],
                f"mixes families with local {child['local']}",
                "list IPv4 networks on both sides or IPv6 networks on both sides",
            )
        )
    if child["mode"] == "transport":
        _check_transport(child, document, sides, field, problems)
    if 0 < child["priority"] < PRIORITY_OWN_FIRST:
        remedy = f"write {PRIORITY_OWN_FIRST} to 65535, or 0 for none"
        problems.append(InputError(f"{field}.priority", child["priority"], "leaves no room for what passes by", remedy))
    if child["protocol"] == "ah" and document["encapsulation"] == "force":
        problems.append(
            InputError(f"{field}.protocol", "ah", "does not go with encapsulation: force", "write esp, or auto there")
        )
    return sides[0], sides[1]


def _check_transport(
    child: dict[str, Any],
    document: dict[str, Any],
    sides: list[tuple[Selector, ...]],
    field: str,
    problems: list[InputError],
) -> None:
    """Transport mode protects packets between the two ends themselves (RFC 4301 section 4.1)."""
    if document["remote"]["addresses"] or peer.names_of(document):
        problem = "is between two addresses, and remote has several of the peer's, or a name"
        problems.append(InputError(f"{field}.mode", "transport", problem, "write the one address, or mode: tunnel"))
        return
    for side, selectors in zip(("local", "remote"), sides, strict=True):
        address = document[side]["address"]
        for selector in selectors:
            own = address is None or selector.first == ipaddress.ip_address(address.partition("%")[0]).packed
            if selector.first != selector.last or not own:
                problems.append(
                    InputError(
                        f"{field}.{side}",
                        child[side],
                        f"is not {side}.address, as transport mode needs",
                        f"give the single address of {side}, or mode: tunnel",
                    )
                )


def _family(address: str) -> int:
    return ipaddress.ip_address(address).version
