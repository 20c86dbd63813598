# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which places lie within which others, found without a look at all of them.

Most places have one of a few shapes: the lengths of their prefixes, a protocol, masks of ports. What a place lies
within is found with one look for each wider shape, and where all have the same shape nothing is looked at.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..kernel.policies import covers
from ..kernel.values import Place

Shape = tuple[str, int, int, int, int, int, int, int, int]


class Nesting:
    """Places, each as often as it was added."""

    def __init__(self) -> None:
        self._shapes: dict[Shape, dict[Place, int]] = {}

    def __bool__(self) -> bool:
        return bool(self._shapes)

    def add(self, place: Place) -> None:
        """One more that has this place."""
        places = self._shapes.setdefault(_shape(place), {})
        places[place] = places.get(place, 0) + 1

    def remove(self, place: Place) -> None:
        """One less that has it."""
        shape = _shape(place)
        places = self._shapes[shape]
        places[place] -= 1
        if not places[place]:
            del places[place]
            if not places:
                del self._shapes[shape]

    def around(self, place: Place) -> Iterator[Place]:
        """Those that this place lies within, and the place itself if it is among them."""
        own = _shape(place)
        for shape, places in self._shapes.items():
            if _wider(shape, own):
                wide = _cut(place, shape)
                if wide in places:
                    yield wide

    def within(self, place: Place) -> Iterator[Place]:
        """Those that lie within this place, which is not among them."""
        own = _shape(place)
        for shape, places in self._shapes.items():
            if shape != own and _wider(own, shape):
                yield from (each for each in places if covers(place[0], each[0]))


def _shape(place: Place) -> Shape:
    s, direction, if_id = place
    ports = s.source_port_mask, s.destination_port_mask
    return direction, if_id, s.family, s.ifindex, s.source_prefix, s.destination_prefix, s.protocol, *ports


def _wider(a: Shape, b: Shape) -> bool:
    """Whether a place of shape ``a`` may have one of shape ``b`` within it, or be that."""
    prefixes = a[4] <= b[4] and a[5] <= b[5]
    return a[:4] == b[:4] and prefixes and a[6] in (0, b[6]) and not (a[7] & ~b[7] or a[8] & ~b[8])


def _cut(place: Place, shape: Shape) -> Place:
    """The place of a wider shape that this one lies within."""
    s = place[0]
    _direction, _if_id, _family, _ifindex, source, destination, protocol, source_mask, destination_mask = shape
    wide = s._replace(
        source=_network(s.source, source),
        source_prefix=source,
        destination=_network(s.destination, destination),
        destination_prefix=destination,
        protocol=protocol,
        source_port=s.source_port & source_mask,
        source_port_mask=source_mask,
        destination_port=s.destination_port & destination_mask,
        destination_port_mask=destination_mask,
    )
    return wide, place[1], place[2]


def _network(address: bytes, bits: int) -> bytes:
    rest = 8 * len(address) - bits
    return (int.from_bytes(address, "big") >> rest << rest).to_bytes(len(address), "big")
