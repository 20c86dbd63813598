# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pre-shared keys of other programs' files, and which of them a tunnel uses."""

from __future__ import annotations

import ipaddress
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from ..definition.credentials import Preshared
from ..definition.secret_formats import read_secret
from ..definition.table import BASE64, HEX, TEXT
from ..errors import InputError
from ..foreign_identities import ANYBODY
from ..identity import Identity
from ..secret import Secret
from .report import LOST, Entry, Unfit, is_foreign, octets_of
from .rows import Part
from .words import identity

Key = tuple[int, bytes]


class SharedKey(NamedTuple):
    """One key and whom it is for.

    :ivar place: where it stands.
    :ivar owners: identities; None stands for anybody. No owners at all: everybody.
    :ivar preshared: the key, and how the file writes it.
    :ivar ppk: the names of a post-quantum preshared key, none where it is for authentication.
    """

    place: Entry
    owners: tuple[Key | None, ...]
    preshared: Preshared
    ppk: tuple[str, ...] = ()


_MARKS = {"0x": HEX, "0s": BASE64}


def decoded(text: str) -> Preshared:
    """A key: ``0x`` and hexadecimal digits, ``0s`` and base64, or the text itself.

    :raises Unfit: digits that are none.
    """
    form, rest = _MARKS.get(text[:2].lower()), text[2:]
    if form is None or not rest:
        return of_text(text)
    try:
        if form == BASE64:
            rest += "=" * (-len(rest) % 4)
        return Preshared(read_secret(rest, form, ""), (), form)
    except InputError:
        raise Unfit(LOST, "the key is not taken, its digits are damaged", "write it anew") from None


def of_text(text: str) -> Preshared:
    """A key that is its text."""
    octets = octets_of(text)
    return Preshared(Secret(octets), (), TEXT if "".join(text.split()).isprintable() else HEX)


def owner(text: str) -> Key | None:
    """What a key's owner is compared by, None for anybody.

    :raises Unfit: no identity; it may be a key in the wrong place, and is not told.
    """
    if text.strip().lower() in ANYBODY:
        return None
    if is_foreign(text):
        instead = "the key is not taken, as whom it is for is not UTF-8 text"
        raise Unfit(LOST, instead, "convert the file to UTF-8, if that is what the peer has")
    if "/" in text and _is_network(text.strip()):
        instead = "the key is not taken, as it is for all of a network"
        raise Unfit(LOST, instead, "write the peer's address before it")
    try:
        wanted = identity(text, lambda *_words: None)
    except Unfit:
        instead = "the key is not taken, as whom it is for is no identity here"
        raise Unfit(LOST, instead, "write addresses, host names or user@host before it") from None
    return None if wanted is None else Identity.parse(wanted).key


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return True


class Keyring:
    """The keys of a file, so kept that thousands of tunnels find theirs among thousands."""

    def __init__(self, keys: Sequence[SharedKey]) -> None:
        self._keys = keys
        self._of: dict[Key, list[int]] = defaultdict(list)
        self._of_nobody_else: dict[Key, list[int]] = defaultdict(list)
        self._of_anybody: list[int] = []
        for place, key in enumerate(keys):
            named = {found for found in key.owners if found is not None}
            for found in named:
                self._of[found].append(place)
                if len(named) == 1:
                    self._of_nobody_else[found].append(place)
            if not key.owners or None in key.owners:
                self._of_anybody.append(place)

    def choose(self, ends: tuple[set[Key], set[Key]]) -> SharedKey | None:
        """The key of a tunnel: the one whose owners fit best; the last of several, as it replaces those before.

        :param ends: what stands for this end and for the peer: identity and address.
        """
        ours, theirs = ends
        # All that :func:`_score` gives more than 0.
        places = set(self._of_anybody)
        places.update(*(self._of[end] for end in theirs if end in self._of))
        places.update(*(self._of_nobody_else[end] for end in ours if end in self._of_nobody_else))
        best: SharedKey | None = None
        highest = 0
        for place in sorted(places):
            score = _score(self._keys[place].owners, ours, theirs)
            if score and score >= highest:
                best, highest = self._keys[place], score
        return best


def _score(owners: tuple[Key | None, ...], ours: set[Key], theirs: set[Key]) -> int:
    """0: not for these ends. The peer counts most, then this end, then a word for anybody."""
    if not owners:
        return 1
    named = {found for found in owners if found is not None}
    peer, own, anybody = bool(named & theirs), bool(named & ours), None in owners
    if own and not peer and not anybody and len(named) > 1:
        return 0  # this end and another peer
    return 8 * peer + 4 * own + 2 * anybody


def settle(part: Part, key: SharedKey | None) -> Preshared | None:
    """What a tunnel's ends prove with who they are; what is wrong with it is noted."""
    if key is None:
        return None
    if not len(key.preshared.secret):
        part.tell(key.place, LOST, "the key is empty", "give the pre-shared key")
        return None
    return key.preshared


def ends_of(document: dict[str, dict[str, str | None]]) -> tuple[set[Key], set[Key]]:
    """What stands for both ends of a checked document."""
    found = []
    for side in ("local", "remote"):
        texts = [document[side].get("id"), document[side].get("address")]
        keys = set()
        for text in texts:
            try:
                keys |= {Identity.parse(text).key} if text else set()
            except InputError:
                continue
        found.append(keys)
    return found[0], found[1]
