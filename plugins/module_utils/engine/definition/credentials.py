# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the ends of a tunnel prove with who they are, as its operator wrote it: a value for each method.

A method that is to be added is one more class here, its options in the table, and its authenticator in ``build.py``.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import field
from typing import Any, ClassVar, Protocol

from ..errors import InputError
from ..newer_python import dataclass
from ..secret import Secret
from .formats import HIDDEN
from .secret_formats import read_secret, write_secret
from .table import PSK, TEXT

# Of a key derived from a seed, 32 octets in base64: people's own are shorter, and could be guessed from a hash.
DERIVED_KEY = 43
_FINGERPRINT = b"fleet.ipsec fingerprint of a derived key 1"
_FINGERPRINT_OCTETS = 8

SHORT_SECRET = 16  # octets; below it a dictionary attack on a recorded IKEv2 exchange gets practical


class Credential(Protocol):
    """One of them; two are equal where both ends would authenticate alike, compared in constant time."""

    @property
    def method(self) -> str:
        """``auth.method``, which decides what else there is."""

    def option(self, name: str) -> object:
        """The value of a secret option, to be compared; None where the method has no such option."""

    def shown(self) -> dict[str, Any]:
        """The secret options as they are shown: that there are secrets is told, not what they are."""

    def revealed(self) -> dict[str, Any]:
        """The secret options in clear, for the database and the manager, and nothing else."""

    def warnings(self, tunnel: str) -> list[str]:
        """What is allowed but unwise."""

    def meets(self, other: Credential) -> bool:
        """Whether an end with this one and an end with the other can authenticate, whichever of them begins."""

    def fingerprints(self) -> dict[str, Any] | None:
        """What the two ends may compare without telling their keys; None where a key could be guessed from that."""


def fingerprint(key: bytes) -> str:
    """What tells derived keys apart and tells nothing of them, as each has 32 octets that nobody can guess."""
    return hmac.digest(key, _FINGERPRINT, hashlib.sha256)[:_FINGERPRINT_OCTETS].hex()


@dataclass(frozen=True, slots=True)
class Preshared:
    """A key that both ends have.

    :ivar secret: the key; ``also_accept`` those taken from the peer besides.
    :ivar format: how they were written, and are written again.
    :ivar epoch: the generation of a derived key, None for others.
    """

    secret: Secret
    also_accept: tuple[Secret, ...] = ()
    format: str = field(default=TEXT, compare=False)
    epoch: int | None = field(default=None, compare=False)

    method: ClassVar[str] = PSK
    title: ClassVar[str] = "Preshared Key"
    secrets: ClassVar[tuple[str, ...]] = ("secret", "also_accept")
    forms: ClassVar[tuple[str, ...]] = ("secret_format",)

    @classmethod
    def of(cls, options: Mapping[str, Any], where: str, problems: list[InputError]) -> Preshared:
        """The credential that checked options of ``auth`` say.

        :param where: what the paths in problems begin with.
        :param problems: what cannot be meant is appended here, such as keys that are not written as they should be.
        """
        form = options["secret_format"]

        def read(written: Secret, option: str) -> Secret:
            try:
                return read_secret(written.reveal().decode(), form, f"{where}.{option}")
            except InputError as problem:
                problems.append(problem)
                return written

        others = [read(each, f"also_accept[{place}]") for place, each in enumerate(options["also_accept"])]
        found = cls(read(options["secret"], "secret"), tuple(others), form, options.get("epoch"))
        if found.epoch is not None and any(len(key) < DERIVED_KEY for key in (found.secret, *others)):
            what = f"is for keys derived from a seed, of {DERIVED_KEY} octets or more: others could be guessed"
            problems.append(InputError(f"{where}.epoch", found.epoch, what, "leave it out"))
        return found

    def option(self, name: str) -> object:
        return getattr(self, name) if name in self.secrets else None

    def shown(self) -> dict[str, Any]:
        hidden = [HIDDEN] * len(self.also_accept)
        return {"secret": HIDDEN, "also_accept": hidden, "secret_format": self.format}

    def revealed(self) -> dict[str, Any]:
        also_accept = [write_secret(other, self.format) for other in self.also_accept]
        return {
            "secret": write_secret(self.secret, self.format),
            "also_accept": also_accept,
            "secret_format": self.format,
        }

    def warnings(self, tunnel: str) -> list[str]:
        if all(len(secret) >= SHORT_SECRET for secret in (self.secret, *self.also_accept)):
            return []
        danger = "who records one exchange can try words offline: use a random one of 32"
        return [f"tunnel {tunnel}: auth.secret is shorter than {SHORT_SECRET} octets; {danger}"]

    def meets(self, other: Credential) -> bool:
        return isinstance(other, Preshared) and (
            self.secret in (other.secret, *other.also_accept) or other.secret in self.also_accept
        )

    def fingerprints(self) -> dict[str, Any] | None:
        if self.epoch is None:
            return None
        accepted = [fingerprint(secret.reveal()) for secret in self.also_accept]
        return {"epoch": self.epoch, "fingerprint": fingerprint(self.secret.reveal()), "also_accept": accepted}


# What stands for each method, by its name.
METHODS = {kind.method: kind for kind in (Preshared,)}
_HELD = frozenset(name for kind in METHODS.values() for name in (*kind.secrets, *kind.forms))


def credential_of(auth: Mapping[str, Any], where: str, problems: list[InputError]) -> Credential:
    """The credential that a checked ``auth`` of a definition says.

    :param where: its path, for problems, which are appended there.
    """
    return METHODS[auth["method"]].of(auth, where, problems)


def without_secrets(auth: Mapping[str, Any]) -> dict[str, Any]:
    """What of ``auth`` no credential holds, with the method that counts where none was written."""
    return {"method": PSK, **{name: value for name, value in auth.items() if name not in _HELD}}
