# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Post-quantum preshared keys as an operator writes them, beside whatever the ends of a tunnel authenticate with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import field
from typing import Any

from ..errors import HIDDEN, InputError
from ..newer_python import dataclass
from ..secret import Secret
from .secret_formats import read_secret, write_secret
from .table import TEXT

PPK = "ppk"  # the option of auth
SHORT = 32  # octets: half of them count against a quantum computer (RFC 8784 section 6)


@dataclass(frozen=True, slots=True)
class SharedPpk:
    """One of them.

    :ivar format: how the key was written, and is written again.
    """

    id: str
    secret: Secret
    required: bool = True
    format: str = field(default=TEXT, compare=False)

    def told(self) -> dict[str, Any]:
        """What is no secret."""
        return {"id": self.id, "secret_format": self.format, "required": self.required}

    def option(self, name: str) -> object:
        """The value of an option, to be compared: the same octets are the same key, however they are written."""
        return {"id": self.id, "secret": self.secret, "required": self.required}.get(name)


def read_ppks(given: Iterable[Mapping[str, Any]], where: str, problems: list[InputError]) -> tuple[SharedPpk, ...]:
    """What a checked ``auth.ppk`` says.

    :param where: its path, for problems, which are appended there.
    """
    found: list[SharedPpk] = []
    for place, one in enumerate(given):
        form, secret = one["secret_format"], one["secret"]
        try:
            secret = read_secret(secret.reveal().decode(), form, f"{where}[{place}].secret")
        except InputError as problem:
            problems.append(problem)
        if one["id"] in [each.id for each in found]:
            remedy = "give each its own id, the same at both ends"
            problems.append(InputError(f"{where}[{place}].id", one["id"], "is used twice", remedy))
        found.append(SharedPpk(one["id"], secret, one["required"], form))
    return tuple(found)


def shown(ppks: Sequence[SharedPpk]) -> dict[str, Any]:
    """The option as it is shown: that there are secrets is told, not what they are."""
    return {PPK: [{**ppk.told(), "secret": HIDDEN} for ppk in ppks]} if ppks else {}


def revealed(ppks: Sequence[SharedPpk]) -> dict[str, Any]:
    """The option in clear, for the database and the manager, and nothing else."""
    return {PPK: [{**ppk.told(), "secret": write_secret(ppk.secret, ppk.format)} for ppk in ppks]} if ppks else {}


def warnings(ppks: Sequence[SharedPpk], tunnel: str) -> Iterator[str]:
    """What is allowed but unwise."""
    for place, ppk in enumerate(ppks):
        if len(ppk.secret) < SHORT:
            danger = "a quantum computer halves what it is worth: use a random one of 32 or more"
            yield f"tunnel {tunnel}: auth.ppk[{place}].secret is shorter than {SHORT} octets; {danger}"


def meet(ours: Sequence[SharedPpk], theirs: Sequence[SharedPpk]) -> bool:
    """Whether an end with the ones and an end with the others come together, whichever of them begins."""
    return _begins(ours, theirs) and _begins(theirs, ours)


def _begins(initiator: Sequence[SharedPpk], responder: Sequence[SharedPpk]) -> bool:
    named = [ppk for ppk in responder if initiator and ppk.id == initiator[0].id]
    if named:
        return named[0].secret == initiator[0].secret
    return not any(ppk.required for ppk in (*initiator, *responder))
