# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the ends of a tunnel prove with who they are, as its operator wrote it: a value for each method.

A method that is to be added is one more class here, its options in the table, and its authenticator in ``build.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Protocol

from ..newer_python import dataclass
from ..secret import Secret
from .formats import HIDDEN
from .table import PSK

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


@dataclass(frozen=True, slots=True)
class Preshared:
    """A key that both ends have.

    :ivar secret: the key; ``also_accept`` those taken from the peer besides.
    """

    secret: Secret
    also_accept: tuple[Secret, ...] = ()

    method: ClassVar[str] = PSK
    title: ClassVar[str] = "Preshared Key"
    secrets: ClassVar[tuple[str, ...]] = ("secret", "also_accept")

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Preshared:
        """The credential that checked options of ``auth`` say."""
        return cls(options["secret"], tuple(options["also_accept"]))

    def option(self, name: str) -> object:
        return getattr(self, name) if name in self.secrets else None

    def shown(self) -> dict[str, Any]:
        return {"secret": HIDDEN, "also_accept": [HIDDEN] * len(self.also_accept)}

    def revealed(self) -> dict[str, Any]:
        # Secrets come from texts, so they are UTF-8.
        also_accept = [other.reveal().decode() for other in self.also_accept]
        return {"secret": self.secret.reveal().decode(), "also_accept": also_accept}

    def warnings(self, tunnel: str) -> list[str]:
        if all(len(secret) >= SHORT_SECRET for secret in (self.secret, *self.also_accept)):
            return []
        danger = "who records one exchange can try words offline: use a random one of 32"
        return [f"tunnel {tunnel}: auth.secret is shorter than {SHORT_SECRET} octets; {danger}"]


# What stands for each method, by its name.
METHODS = {kind.method: kind for kind in (Preshared,)}
_SECRETS = frozenset(name for kind in METHODS.values() for name in kind.secrets)


def credential_of(auth: Mapping[str, Any]) -> Credential:
    """The credential that a checked ``auth`` of a definition says."""
    return METHODS[auth["method"]].of(auth)


def without_secrets(auth: Mapping[str, Any]) -> dict[str, Any]:
    """What of ``auth`` is no secret, with the method that counts where none was written."""
    return {"method": PSK, **{name: value for name, value in auth.items() if name not in _SECRETS}}
