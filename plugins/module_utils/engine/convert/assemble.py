# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the parts that a file gave to definitions: names, what is common, and the same check as the manager's."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Sequence
from typing import Any

from ..definition.authenticators import Authenticators, Read
from ..definition.build import check_proposals
from ..definition.credentials import Certified, Credential, Preshared, RawKeys, without_secrets
from ..definition.kernel_limits import check_policies
from ..definition.options import DEFINITION
from ..definition.parsing import Definition, parse_definition
from ..definition.peer import is_name
from ..definition.ppks import PPK
from ..definition.schema import Problems
from ..definition.table import PSK, TEXT
from ..identity import Identity
from ..newer_python import zip
from . import proofs, rivals, route_based
from .keys import Keyring, SharedKey, ends_of, settle
from .ppk_keys import settle_ppks
from .report import IGNORED, LOST, SKIPPED, Entry, Report, Tunnel
from .rows import Part
from .words import DYNAMIC

VERSIONS = tuple(DEFINITION["properties"]["ike"]["properties"]["version"]["enum"])
_PLACEHOLDER = "stands for the secret while all else is checked"
_LONGEST = 64
_ADDRESS = "write the address in place of the name, and convert again"


class Draft(Part):
    """A tunnel that is being put together.

    :ivar children: its children, in order.
    """

    def __init__(self, name: str, place: Entry, report: Report) -> None:
        super().__init__(name, place, report)
        self.document["name"] = name
        self.children: list[Part] = []
        self._about = report

    def child(self, name: str, place: Entry) -> Part:
        """A new child."""
        part = Part(f"{self.label}/{name}", place, self._about)
        part.document |= {"name": name, "start": "manual"}
        self.children.append(part)
        return part


def version(entry: Entry, part: Part, wanted: int, upgrade: bool) -> None:
    """Settle the IKE version of a tunnel.

    :param wanted: what the file asks for.
    :param upgrade: whether a tunnel of IKEv1 becomes one of IKEv2.
    """
    if wanted in VERSIONS:
        part.document.setdefault("ike", {})["version"] = wanted
    elif upgrade:
        part.tell(entry, LOST, "the tunnel is made for IKEv2", "set the peer to IKEv2 as well")
    else:
        remedy = "set both ends to IKEv2, or have the tunnel converted into one of IKEv2"
        part.tell(entry, SKIPPED, f"IKE version {wanted} is not supported yet", remedy)


def finish(
    drafts: Sequence[Draft], keys: Sequence[SharedKey], report: Report, read: Read = proofs.unread
) -> tuple[Tunnel, ...]:
    """The tunnels that are left after all checks, in order.

    :param read: reads the files of private keys and certificates.
    """
    names = Names()
    keyring = Keyring([key for key in keys if not key.ppk])
    ppks = [key for key in keys if key.ppk]
    authenticators = Authenticators(read, time.time())
    tunnels: list[Tunnel] = []
    ends: dict[tuple[Any, ...], int] = {}
    places: dict[rivals.Child, Entry] = {}
    for draft in drafts:
        tunnel = _finished(draft, keyring, ppks, names, authenticators)
        if tunnel is None:
            continue
        canonical = _checked(tunnel.document).document
        where = ends.get(_ends(canonical), len(tunnels))
        rival = _same_interface(tunnel, tunnels if where == len(tunnels) else ())
        if rival:
            instead = f"its interface {tunnel.document['interface']['name']} is that of tunnel {rival}"
            draft.tell(draft.place, SKIPPED, instead, "give it an interface, and a mark or ID, of its own")
        elif where == len(tunnels):
            ends[_ends(canonical)] = where
            tunnels.append(tunnel)
        elif tunnels[where].document.get("interface") != tunnel.document.get("interface"):
            instead = f"it has the ends of {tunnels[where].name}, but another interface, or none"
            draft.tell(draft.place, SKIPPED, instead, "give one of them an address or an id of its own")
        else:
            # One IKE SA between two ends carries all their children; two definitions could not be told apart.
            tunnels[where] = _merged(tunnels[where], tunnel, draft, canonical)
            tunnel = tunnels[where]
        made = [child.place for child in draft.children if not child.skipped]
        for child, place in zip(tunnel.document["children"][-len(made) :], made, strict=True):
            places[tunnel.name, child["name"]] = place
    definitions = {tunnel.name: _checked(tunnel.document) for tunnel in tunnels}
    return rivals.settle(tunnels, definitions, places, report)


def _same_interface(tunnel: Tunnel, others: Iterable[Tunnel]) -> str:
    """Which other tunnel has an interface of that name or ID."""
    interface = tunnel.document.get("interface")
    if not interface:
        return ""
    for other in others:
        held = other.document.get("interface", {})
        if interface["name"] == held.get("name") or interface.get("id") == held.get("id", 0):
            return other.name
    return ""


class Names:
    """Usable names, each once."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken = set(taken)

    def give(self, wanted: str) -> str:
        """The name itself, or the nearest that is free and usable."""
        plain = re.sub(r"[^A-Za-z0-9_.:@-]", "_", wanted).lstrip(".:@-")[:_LONGEST] or "unnamed"
        name, number = plain, 2
        while name in self._taken:
            name = f"{plain[: _LONGEST - 5]}-{number}"
            number += 1
        self._taken.add(name)
        return name


def _finished(
    draft: Draft, keyring: Keyring, ppks: Sequence[SharedKey], names: Names, authenticators: Authenticators
) -> Tunnel | None:
    if draft.skipped:
        return None
    document = draft.document
    route_based.settle(draft)
    _settle_children(draft)
    if not document.get("children"):
        if not any(child.skipped for child in draft.children):
            draft.tell(draft.place, SKIPPED, "it has no child, so that it would protect nothing", "give it a child")
        elif not draft.skipped:
            draft.tell(draft.place, SKIPPED, "none of its children could be made", "see the notes about them")
        return None
    auth = document.get("auth", {})
    document["auth"] = without_secrets(auth)
    wanted = document.pop("ppk", {})
    _rename(draft, document, names)
    try:
        canonical = _checked(document).document
    except Problems as found:
        for problem in found.problems:
            where = Entry(problem.field, "", draft.place.file, draft.place.line)
            draft.tell(where, SKIPPED, problem.problem, problem.remedy)
        return None
    ends = ends_of(canonical)
    if document["auth"]["method"] == PSK:
        credential: Credential | None = settle(draft, keyring.choose(ends))
    else:
        definition = parse_definition({**document, "auth": auth})
        proofs.check(draft, definition, authenticators)
        credential = definition.credential
    shared = settle_ppks(draft, wanted, ppks, ends)
    if draft.skipped:
        return None
    if shared:
        document["auth"][PPK] = [ppk.told() for ppk in shared]
    return Tunnel(document if credential is None else _told(document, credential), credential, shared)


def _told(document: dict[str, Any], credential: Credential) -> dict[str, Any]:
    """The document with how its key is written: as the file has it, so that it can be put into a vault like that; or
    with that its key has a passphrase."""
    more: dict[str, Any] = {}
    if isinstance(credential, (Certified, RawKeys)):
        more = credential.shown()
    elif isinstance(credential, Preshared) and credential.format != TEXT:
        more = {"secret_format": credential.format}
    return {**document, "auth": {**document["auth"], **more}}


def _checked(document: dict[str, Any]) -> Definition:
    """What a document without secrets defines.

    :raises Problems: as the manager would.
    """
    auth = without_secrets(document["auth"])
    if auth["method"] == PSK:
        auth["secret"] = _PLACEHOLDER
    if PPK in auth:
        auth[PPK] = [{**ppk, "secret": _PLACEHOLDER, "secret_format": TEXT} for ppk in auth[PPK]]
    definition = parse_definition({**document, "auth": auth})
    check_proposals(definition)
    check_policies(definition, "")
    return definition


def _rename(draft: Draft, document: dict[str, Any], names: Names) -> None:
    renamed = [(document, names)]
    inner = Names()
    renamed += [(child, inner) for child in document["children"]]
    for owner, given in renamed:
        name = given.give(owner["name"])
        if name != owner["name"]:
            draft.tell(draft.place, IGNORED, f"the name {owner['name']} is not usable or taken, it is {name} now")
            owner["name"] = name


def _settle_children(draft: Draft) -> None:
    """Put the children that are left into the document, with the address where a selector was dynamic."""
    children = []
    for child in draft.children:
        if not child.skipped:
            for side in ("local", "remote"):
                _settle_selectors(draft, child, side)
        if not child.skipped:
            _settle_sequence_numbers(child.document)
            children.append(child.document)
    draft.document["children"] = children


def _settle_sequence_numbers(document: dict[str, Any]) -> None:
    """Without a window there are no extended sequence numbers, here as there; unless a proposal asks for them."""
    if document.get("replay_window") == 0:
        words = [(text, set(text.split("-"))) for text in document.get("proposals", ())]
        document["proposals"] = [text if {"esn", "noesn"} & found else f"{text}-noesn" for text, found in words]


def _settle_selectors(draft: Draft, child: Part, side: str) -> None:
    address = draft.document.get(side, {}).get("address")
    given = child.document.get(side, [DYNAMIC])
    if address is not None and is_name(address):
        where = Entry(f"{side} network", DYNAMIC, child.place.file, child.place.line)
        if child.document.get("mode") == "transport":
            child.tell(where, SKIPPED, "transport mode is between two addresses, and the peer has a name", _ADDRESS)
        elif any(text.startswith(DYNAMIC) for text in given):
            child.tell(where, SKIPPED, "it is the address of the peer, which has a name", _ADDRESS)
        else:
            child.document[side] = given
        return
    if child.document.get("mode") == "transport" and all(text == DYNAMIC for text in given):
        child.document.pop(side, None)  # the addresses of the ends, whatever they are
        return
    if address is None and any(text.startswith(DYNAMIC) for text in given):
        where = Entry(f"{side} network", DYNAMIC, child.place.file, child.place.line)
        child.tell(where, SKIPPED, f"it is the {side} address, which is any", "list the networks")
        return
    child.document[side] = [
        text.replace(DYNAMIC, str(address), 1) if text.startswith(DYNAMIC) else text for text in given
    ]


def _ends(canonical: dict[str, Any]) -> tuple[Any, ...]:
    local, remote = canonical["local"], canonical["remote"]
    return tuple((end["address"], Identity.parse(end["id"]).key) for end in (local, remote))


_COMMON = ("ike", "encapsulation", "role")


def _merged(first: Tunnel, second: Tunnel, draft: Draft, canonical: dict[str, Any]) -> Tunnel:
    """The first tunnel with the children of the second."""
    other = _checked(first.document).document
    names = Names(child["name"] for child in first.document["children"])
    children = [{**child, "name": names.give(child["name"])} for child in second.document["children"]]
    differing = [option for option in _COMMON if other[option] != canonical[option]]
    if first.document["auth"] != second.document["auth"] and first.credential and second.credential:
        differing.append("auth")
    instead = f"it has the ends of {first.name}, so its children are made part of that tunnel"
    if differing:
        draft.tell(draft.place, LOST, f"{instead}, and {', '.join(differing)} of that tunnel counts")
    else:
        draft.tell(draft.place, IGNORED, instead)
    document = {**first.document, "children": [*first.document["children"], *children]}
    document["auth"] = (first if first.credential else second).document["auth"]
    return Tunnel(document, first.credential or second.credential, first.ppks or second.ppks)
