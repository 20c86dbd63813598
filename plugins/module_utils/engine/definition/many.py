# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A definition for many peers, as its operator writes it: ``remote.id`` is a pattern; certificates tell them apart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..errors import InputError
from ..identity_pattern import IdentityPattern, pattern_in
from .table import PUBKEY, SHUNTS

MAX_INSTANCES = 256  # where nothing is said
UNIQUE = "replace"
_DEFAULTS = {"max_instances": MAX_INSTANCES, "unique": UNIQUE}
_CERTIFICATES = "use certificates (auth: {method: pubkey, ca: […], …}), or name one peer"


def pattern_of(document: Mapping[str, Any]) -> IdentityPattern | None:
    """Whom a checked definition is for, where it is for many peers.

    Without certificates it never is: what a release without patterns stored names one peer, whatever it looks like.
    """
    certified = document.get("auth", {}).get("method") == PUBKEY
    return pattern_in(document["remote"].get("id") or "") if certified else None


def is_pattern(remote: Mapping[str, Any]) -> bool:
    """Whether the identity of a peer is written as that of many, whether they may be or not."""
    return pattern_in(remote.get("id") or "") is not None


def option(document: Mapping[str, Any], name: str) -> Any:
    """An option of ``remote`` that only a definition for many peers has, or what it is where it is left out."""
    return document["remote"].get(name, _DEFAULTS[name])


def check(document: dict[str, Any], _selectors: object, prefix: str) -> Iterator[InputError]:
    """What does not fit to a definition for many peers, or to one that is not."""
    remote = document["remote"]
    pattern = pattern_in(remote["id"] or "")
    if pattern is None:
        for name in _DEFAULTS:
            if name in remote:
                remedy = "leave it out, or write a pattern as remote.id, such as *.branch.example.net"
                yield InputError(f"{prefix}remote.{name}", remote[name], "is for definitions for many peers", remedy)
        return
    if document["auth"].get("method") != PUBKEY:
        problem = "stands for many peers, which a shared key or a single public key cannot tell apart"
        yield InputError(f"{prefix}remote.id", remote["id"], problem, _CERTIFICATES)
        return
    if not document["auth"].get("ca"):
        problem = "stands for many peers, and there is no authority that vouches for them"
        yield InputError(f"{prefix}remote.id", remote["id"], problem, _CERTIFICATES)
    yield from _of_one_peer(document, prefix)
    for position, child in enumerate(document["children"]):
        yield from _check_child(child, f"{prefix}children[{position}]")


def _of_one_peer(document: dict[str, Any], prefix: str) -> Iterator[InputError]:
    """Options that name a single peer, or that nobody could serve who does not know where the peers are."""
    remote, auth = document["remote"], document["auth"]
    many = "and remote.id stands for many"
    if remote["address"] is not None:
        remedy = f"leave it out, or say which networks they may come from (remote.addresses: [{remote['address']}])"
        yield InputError(f"{prefix}remote.address", remote["address"], f"is that of one peer, {many}", remedy)
    if auth.get("remote_certificate") is not None:
        problem = f"is that of one peer, {many}"
        yield InputError(f"{prefix}auth.remote_certificate", None, problem, "leave it out: each of them sends its own")
    if document["interface"] is not None:
        problem = f"leads to one peer, {many}"
        yield InputError(f"{prefix}interface", document["interface"]["name"], problem, "leave it out")


def _check_child(child: dict[str, Any], field: str) -> Iterator[InputError]:
    if child["mode"] in SHUNTS:
        return
    by_peers = "has no meaning with many peers: they alone start it"
    if child["mode"] != "tunnel":
        problem = "is between two addresses, and many peers have many"
        yield InputError(f"{field}.mode", child["mode"], problem, "use mode: tunnel")
    if child["start"] == "trap":
        yield InputError(f"{field}.start", "trap", by_peers, "leave it out")
    if child["close_action"] not in ("as_start", "none"):
        yield InputError(f"{field}.close_action", child["close_action"], by_peers, "leave it out")


def warnings(document: dict[str, Any]) -> list[str]:
    """What is allowed but unwise."""
    if pattern_of(document) is None or document["remote"]["id"].lower() != "any" or document["auth"].get("remote_ca"):
        return []
    return [
        f"tunnel {document['name']}: remote.id any lets in every certificate of its authorities, those of other "
        "gateways too: a pattern such as *.branch.example.net, or remote_ca, says whose"
    ]
