# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the ends of a tunnel prove with who they are, as its operator wrote it: a value for each method.

A method that is to be added is one more class here, its options in the table, and its authenticator in
``authenticators.py``.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import field
from typing import Any, ClassVar, Protocol

from ..errors import HIDDEN, InputError
from ..newer_python import dataclass
from ..secret import Secret
from .secret_formats import read_secret, write_secret
from .table import PSK, PUBKEY, RAW, TEXT

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


class _KeyInFile:
    """What those have in common whose key is in a file, of which the passphrase is the one secret here."""

    __slots__ = ()

    passphrase: Secret | None

    secrets: ClassVar[tuple[str, ...]] = ("passphrase",)
    forms: ClassVar[tuple[str, ...]] = ()

    def option(self, name: str) -> object:
        return self.passphrase if name == "passphrase" else None

    def shown(self) -> dict[str, Any]:
        return {} if self.passphrase is None else {"passphrase": HIDDEN}

    def revealed(self) -> dict[str, Any]:
        return {} if self.passphrase is None else {"passphrase": self.passphrase.reveal().decode()}

    def warnings(self, tunnel: str) -> list[str]:
        return []

    def fingerprints(self) -> dict[str, Any] | None:
        return None


@dataclass(frozen=True, slots=True)
class RawKeys(_KeyInFile):
    """A private key of ours, and the peer's public key (RFC 7670): no certificate at all.

    :ivar key: path of the file with ours; ``passphrase``: of that file, None where it is not encrypted.
    :ivar remote_key: the peer's as PEM, or the path of a file with it.
    """

    key: str
    remote_key: str
    passphrase: Secret | None = None

    method: ClassVar[str] = RAW
    title: ClassVar[str] = "Raw Public Key"

    @classmethod
    def of(cls, options: Mapping[str, Any], where: str, problems: list[InputError]) -> RawKeys:
        """As :meth:`Preshared.of`."""
        return cls(options["key"], options["remote_key"], options.get("passphrase"))

    def meets(self, other: Credential) -> bool:
        """What is in files only the gateway knows: that the same are named has to do."""
        return isinstance(other, RawKeys) and (self.key, self.remote_key) == (other.key, other.remote_key)


@dataclass(frozen=True, slots=True)
class Certified(_KeyInFile):
    """A private key of ours with a certificate, and what tells whether that of the peer is to be believed.

    The options are the table's; each text is PEM or the path of a file.
    """

    certificate: str
    key: str
    passphrase: Secret | None = None
    ca: tuple[str, ...] = ()
    crl: tuple[str, ...] = ()
    revocation: str | None = None
    remote_ca: str | None = None
    remote_certificate: str | None = None
    demands: tuple[str, ...] = ()
    send_cert: str = "always"

    method: ClassVar[str] = PUBKEY
    title: ClassVar[str] = "Certificate"

    @classmethod
    def of(cls, options: Mapping[str, Any], where: str, problems: list[InputError]) -> Certified:
        """As :meth:`Preshared.of`."""
        found = cls(
            options["certificate"],
            options["key"],
            options.get("passphrase"),
            tuple(options["ca"]),
            tuple(options["crl"]),
            options.get("revocation"),
            options.get("remote_ca"),
            options.get("remote_certificate"),
            tuple(options["demands"]),
            options["send_cert"],
        )
        if not found.ca and found.remote_certificate is None:
            remedy = "give the authorities that the peer's certificate comes from, or remote_certificate"
            problems.append(InputError(f"{where}.ca", None, "is missing, and there is no remote_certificate", remedy))
        for name in ("crl", "revocation", "remote_ca", "demands"):
            if not found.ca and getattr(found, name):
                remedy = "give the authorities, or leave it out"
                problems.append(InputError(f"{where}.{name}", None, "has no meaning without ca", remedy))
        return found

    def meets(self, other: Credential) -> bool:
        """Whoever has a certificate may have another: whether the peer takes it is the peer's affair."""
        return isinstance(other, Certified)


# What stands for each method, by its name.
METHODS: dict[str, type[Preshared | Certified | RawKeys]] = {PSK: Preshared, PUBKEY: Certified, RAW: RawKeys}
_HELD = frozenset(name for kind in METHODS.values() for name in (*kind.secrets, *kind.forms))


def credential_of(auth: Mapping[str, Any], where: str, problems: list[InputError]) -> Credential:
    """The credential that a checked ``auth`` of a definition says.

    :param where: its path, for problems, which are appended there.
    """
    return METHODS[auth["method"]].of(auth, where, problems)


def without_secrets(auth: Mapping[str, Any]) -> dict[str, Any]:
    """What of ``auth`` no credential holds, with the method that counts where none was written."""
    return {"method": PSK, **{name: value for name, value in auth.items() if name not in _HELD}}
