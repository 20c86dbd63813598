# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Post-quantum preshared keys of other programs' files, and which of them a tunnel uses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..definition.credentials import Preshared
from ..definition.ppks import SharedPpk
from ..secret import Secret
from .keys import Key, Keyring, SharedKey
from .report import LOST, SKIPPED, Entry, Unfit
from .rows import Carried, Part, Row, Tell
from .words import FALSE, TRUE, items, yes_no

# Where a draft keeps what it asks for: not in its definition, as the keys stand apart.
_NAMES, _REQUIRED = "ppk.names", "ppk.required"


def _names(text: str, _tell: Tell) -> tuple[str, ...]:
    return tuple(items(text.strip("\"'")))


def _name(text: str, _tell: Tell) -> tuple[str, ...]:
    if "*" in text or text.strip().lower() == "%any":
        raise Unfit(LOST, "no post-quantum preshared key is mixed in, as it is a pattern", "write the name itself")
    return (text.strip(),)


def _insisted(text: str, tell: Tell) -> bool | None:
    """Libreswan's ppk=."""
    word = text.lower()
    if word in (*FALSE, "never"):
        return None
    if word == "insist":
        return True
    if word not in (*TRUE, "permit", "propose", "auto"):
        tell(LOST, "has no counterpart, keys are mixed in where the peer does", "known are: no, yes, insist")
    return False


SWANCTL: dict[str, Row] = {"ppk_id": Carried(_NAMES, _name), "ppk_required": Carried(_REQUIRED, yes_no(True, False))}
LIBRESWAN: dict[str, Row] = {"ppk": Carried(_REQUIRED, _insisted), "ppk-ids": Carried(_NAMES, _names)}


def settle_ppks(
    part: Part, wanted: Mapping[str, Any], keys: Sequence[SharedKey], ends: tuple[set[Key], set[Key]]
) -> tuple[SharedPpk, ...]:
    """The keys that a tunnel asks for; those that the files lack are noted.

    :param wanted: what the rows above made of its options: names, and whether it insists.
    :param ends: as of :meth:`Keyring.choose`, for a tunnel that names none.
    """
    names, required = wanted.get("names", ()), wanted.get("required")
    if required is None and not names:
        return ()
    there = {name: key.preshared for key in keys for name in key.ppk}  # the last of several counts
    if not names:
        best = Keyring(keys).choose(ends)
        names = () if best is None else best.ppk[:1]
    where = Entry("ppk", "", part.place.file, part.place.line)
    if not names:
        what = "no post-quantum preshared key is there to be mixed in"
        part.tell(where, SKIPPED if required else LOST, what, "give auth.ppk, id and secret")
    for name in names:
        if name not in there:
            what = f"the secret of the post-quantum preshared key {name} is not in the files"
            part.tell(where, LOST, what, "give it in auth.ppk")
    kept = [(name, there.get(name, Preshared(Secret(b"")))) for name in names]
    return tuple(SharedPpk(name, key.secret, bool(required), key.format) for name, key in kept)
