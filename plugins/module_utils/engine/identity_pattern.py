# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Patterns of identities: many peers under one definition, which certificates tell apart.

An asterisk stands for one whole part and never for a piece of it: a label of a host name (``*.branch.example.net``),
all that stands before the @ of an e-mail address (``*@example.net``), the value of an attribute of a distinguished
name (``dn:O=Example, CN=*``). ``any`` stands for everybody. What a pattern matches has as many parts as the pattern.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

from . import dn
from .errors import InputError
from .identity import ID_DER_ASN1_DN, ID_FQDN, ID_RFC822_ADDR, Identity
from .newer_python import dataclass

ANY, ONE = "any", "*"
Parts = tuple[tuple[str, str], ...]
_EVERYBODY = 0  # no identity is of this type
_TYPES = {"fqdn": ID_FQDN, "email": ID_RFC822_ADDR, "dn": ID_DER_ASN1_DN}
_REMEDY = (
    "an asterisk stands for a whole part, as in *.branch.example.net, *@example.net or dn:O=Example, CN=*; "
    "any stands for everybody; networks are written as remote.addresses"
)


class Shape(NamedTuple):
    """What of identities patterns of one kind look at.

    :ivar type: ID type number, 0 for any; ``parts``: how many there are; ``places``: those that are fixed.
    """

    type: int
    parts: int
    places: tuple[int, ...]

    def of(self, parts: Parts) -> Parts:
        """The parts that patterns of this shape fix, of a pattern or of an identity with as many parts."""
        return tuple([parts[place] for place in self.places])


@dataclass(frozen=True, slots=True)
class IdentityPattern:
    """Identities of one type by their parts.

    :ivar type: ID type number; 0 for everybody.
    :ivar parts: each as a kind and a value, where :data:`ONE` stands for any: labels, which have no kind; RDN by RDN
        the attributes, whose kind is their place and object identifier.
    :ivar text: as it is written.
    """

    type: int
    parts: Parts
    text: str

    @classmethod
    def parse(cls, text: str, field: str = "remote.id") -> IdentityPattern:
        """Read ``any``, or an identity in which asterisks stand for whole parts.

        :raises InputError: naming ``field``; also where it is no pattern but one identity.
        """
        value = text.strip()
        if value.lower() == ANY:
            return cls(_EVERYBODY, (), ANY)
        if "\\*" in value or "\\2a" in value.lower():
            raise InputError(field, text, "has an asterisk that stands for itself", "patterns have none; name the peer")
        kind, value = _kind_of(value)
        try:
            identity = Identity.parse(f"{kind}:{value}", field)
        except InputError as problem:
            raise InputError(field, text, problem.problem, _REMEDY) from None
        parts = parts_of(identity)
        if not parts or not any(part == ONE for _kind, part in parts) or _is_any_or_partial(parts):
            raise InputError(field, text, "is no pattern of identities", _REMEDY)
        return cls(identity.type, parts, str(identity))

    def matches(self, identity: Identity) -> bool:
        """Whether it stands for an identity; one that has an asterisk itself is nobody's."""
        if self.type == _EVERYBODY:
            return True
        parts = parts_of(identity) if identity.type == self.type else None
        if parts is None or len(parts) != len(self.parts):
            return False
        return all(
            kind == theirs and _stands_for(wanted, value) for (kind, wanted), (theirs, value) in zip(self.parts, parts)
        )

    @property
    def fixed(self) -> int:
        """How many parts it fixes: of patterns that match the same, the one that fixes the most is meant."""
        return sum(part != ONE for _kind, part in self.parts)

    @property
    def shape(self) -> Shape:
        """Which parts it fixes, whatever to: what patterns are sorted by."""
        places = tuple([place for place, (_kind, part) in enumerate(self.parts) if part != ONE])
        return Shape(self.type, len(self.parts), places)

    def __str__(self) -> str:
        return self.text


@functools.lru_cache(maxsize=4096)
def pattern_in(text: str) -> IdentityPattern | None:
    """The pattern that a text is, None for one that stands for a single identity."""
    try:
        return IdentityPattern.parse(text)
    except InputError:
        return None


def is_pattern(text: str) -> bool:
    """Whether a text stands for more than one identity."""
    return pattern_in(text) is not None


def _kind_of(value: str) -> tuple[str, str]:
    """The word before the colon and what follows; of a text without one, what it is by its look."""
    kind, colon, rest = value.partition(":")
    if colon and kind.lower() in _TYPES:
        return kind.lower(), rest
    if "=" in value:
        return "dn", value
    return ("email" if "@" in value else "fqdn"), value


def _stands_for(wanted: str, value: str) -> bool:
    return "*" not in value and bool(value) if wanted == ONE else wanted == value


def _is_any_or_partial(parts: Parts) -> bool:
    """Whether nothing is fixed but numbers, as in an address, or an asterisk stands beside something else."""
    values = [value for _kind, value in parts]
    return all(value == ONE or value.isdigit() for value in values) or any("*" in one and one != ONE for one in values)


def parts_of(identity: Identity) -> Parts | None:
    """The parts of an identity; None where it has none that a pattern could name."""
    if identity.type == ID_DER_ASN1_DN:
        rdns = dn.folded(identity.data)
        if rdns is None:
            return None
        return tuple([(f"{place}:{oid}", value) for place, rdn in enumerate(rdns) for oid, value in rdn])
    if not identity.data.isascii() or identity.type not in (ID_FQDN, ID_RFC822_ADDR):
        return None
    name = identity.data.decode().lower()
    before, at, host = name.rpartition("@")
    if bool(at) != (identity.type == ID_RFC822_ADDR):
        return None
    labels = tuple([("", label) for label in host.split(".")])
    return (("@", before), *labels) if at else labels
