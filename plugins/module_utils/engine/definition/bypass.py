# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What passes by a tunnel in clear, as its operator writes it: packets that stay on this host's own links, or networks.

Which packets that is comes of the links: see ``manager/bypass_selectors.py``.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from typing import Any

from ..errors import InputError
from ..selector import Selector
from .options import DEFINITION

LOCAL_LINKS, NONE = "local_links", "none"
DEFAULT: list[str] = DEFINITION["properties"]["bypass"]["default"]

Sides = tuple[tuple[Selector, ...], tuple[Selector, ...]]


def read_bypass(value: Any, field: str) -> list[str]:
    """The canonical list of words and networks.

    :raises InputError: it is none.
    """
    remedy = "write local_links, none, or a list of networks such as [10.9.0.0/16]"
    words = [value] if isinstance(value, str) else list(value)
    if not words or not all(isinstance(word, str) for word in words):
        raise InputError(field, value, "is not a list of networks", remedy)
    found: list[str] = []
    for word in words:
        text = word.strip()
        if text not in (LOCAL_LINKS, NONE):
            try:
                text = str(ipaddress.ip_network(text))
            except ValueError as exc:
                raise InputError(field, word, f"is not a network ({exc})", remedy) from None
        if text not in found:
            found.append(text)
    if NONE in found and len(found) > 1:
        raise InputError(field, value, "says none and something else", remedy)
    return found


def check(document: dict[str, Any], selectors: Iterable[Sides], prefix: str) -> Iterator[InputError]:
    """What does not fit to the rest of the definition.

    :param selectors: of its children; ``prefix``: what the paths in problems begin with.
    """
    words = document["bypass"]
    if document["interface"] is not None and words != DEFAULT:
        remedy = "leave it out, and route what is to pass elsewhere"
        yield InputError(f"{prefix}bypass", words, "has no meaning with an interface: routes decide", remedy)
        return
    remotes = [selector for _local, remote in selectors for selector in remote]
    for position, word in enumerate(words):
        if word in (LOCAL_LINKS, NONE):
            continue
        inner = Selector.from_network(ipaddress.ip_network(word))
        if not any(holds_more(remote, inner) for remote in remotes):
            problem = "is not a part of what a child has as remote"
            yield InputError(f"{prefix}bypass[{position}]", word, problem, "name a part of it, or leave this out")


def holds_more(remote: Selector, inner: Selector) -> bool:
    """Whether the addresses of ``remote`` are all of ``inner`` and others."""
    same_family = len(remote.first) == len(inner.first)
    around = same_family and remote.first <= inner.first and inner.last <= remote.last
    return around and (remote.first, remote.last) != (inner.first, inner.last)
