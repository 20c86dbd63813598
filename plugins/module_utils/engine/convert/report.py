# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What became of a file: the tunnels, and a note for everything that they do not say."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import asdict, field
from typing import Any

from ..definition.credentials import Credential
from ..definition.ppks import SharedPpk, revealed
from ..errors import InputError
from ..newer_python import dataclass

IGNORED = "ignored"  # nothing changes by leaving it out
LOST = "lost"  # the tunnel is made, but behaves otherwise
SKIPPED = "skipped"  # the tunnel, or this child of it, is not made
SEVERITIES = (IGNORED, LOST, SKIPPED)
HIDDEN = "(secret)"
# What decodes and encodes octets that are no UTF-8, without loss; no character of a text looks like these.
FOREIGN = "surrogateescape"
_FOREIGN = re.compile("[\ud800-\udfff]")
# Nearly so, that is.
_MISSPELLED = ("secret", "leftsecret", "rightsecret", "password", "passphrase", "presharedkey", "credential")
# No public keys, and not whether something is rekeyed.
_SECRETIVE = re.compile(
    r"^(secret|pin)|psk|pass(w|phrase|$)|pwd|secret$|pre[-_]?shared|credential|(?<!re|ig|ub|sa)key$"
)
_METHOD = re.compile(r"^(left|right)?auth(by|2)?$|authenticationmethod$")
_METHODS = frozenset(
    ("psk", "secret", "preshared", "key", "pubkey", "rsa", "rsasig", "signature", "signatures", "revised", "encryption",
     "certificate", "ecdsa", "eddsa", "ed25519", "ed448", "bliss", "eap", "eaponly", "xauth", "xauthpsk", "xauthrsasig",
     "hybrid", "null", "never", "any", "mschapv2", "md5", "tls", "ttls", "peap", "radius", "gtc", "sim", "aka",
     "dynamic", "identity", "ike", "pss", "sha1", "sha2", "sha256", "sha384", "sha512", "256", "384", "512", "521",
     "2048", "3072", "4096", "esp", "ah", "")
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Entry:
    """One option of a file.

    :ivar option: its name as written; ``value`` as written, without quotes.
    :ivar file: name of the file; ``line`` counted from 1.
    :ivar secret: whether the value must not be shown.
    """

    option: str
    value: str = field(repr=False)
    file: str
    line: int
    secret: bool = False

    @property
    def shown(self) -> str:
        """The value for people; of one that goes over lines the first, as a quote that is not closed may hold keys."""
        first, more, _rest = legible(self.value).partition("\n")
        return HIDDEN if self.secret else f"{first}…" if more else first


@dataclass(frozen=True, slots=True)
class Note:
    """What was not carried over.

    :ivar severity: one of :data:`SEVERITIES`.
    :ivar tunnel: name of the tunnel, ``TUNNEL/CHILD`` for a child, empty for the file as a whole.
    :ivar instead: what happens instead.
    :ivar remedy: what to do about it, empty if there is nothing to do.
    """

    severity: str
    tunnel: str
    file: str
    line: int
    option: str
    value: str
    instead: str
    remedy: str

    def shown(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)

    def __str__(self) -> str:
        tunnel = f" {self.tunnel}:" if self.tunnel else ""
        value = f" = {self.value}" if self.value else ""
        remedy = f"; {self.remedy}" if self.remedy else ""
        return f"{self.file}:{self.line}: {self.severity}:{tunnel} {self.option}{value}: {self.instead}{remedy}"


class Unfit(Exception):
    """A value that has no place in a definition.

    :param severity: :data:`LOST` for the value alone, :data:`SKIPPED` for the tunnel or child that needs it.
    """

    def __init__(self, severity: str, instead: str, remedy: str = "") -> None:
        super().__init__(instead)
        self.severity = severity
        self.instead = instead
        self.remedy = remedy


def is_foreign(text: str) -> bool:
    """Whether it has octets that are no UTF-8."""
    return _FOREIGN.search(text) is not None


def octets_of(text: str) -> bytes:
    """The octets that were decoded by :data:`FOREIGN`."""
    try:
        return text.encode("utf-8", FOREIGN)
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")  # it was never a file


def legible(text: str) -> str:
    """The text for people, with a mark in place of each octet that is no UTF-8."""
    return _FOREIGN.sub("\N{REPLACEMENT CHARACTER}", text)


class Report:
    """Collects notes in the order in which they are found."""

    def __init__(self) -> None:
        self.notes: list[Note] = []

    def tell(self, entry: Entry, severity: str, instead: str, remedy: str = "", tunnel: str = "") -> None:
        """Add a note about an option."""
        words = (legible(text) for text in (entry.option, entry.shown, instead, remedy))
        note = Note(severity, legible(tunnel), entry.file, entry.line, *words)
        if note not in self.notes[-50:]:  # templates are read once for each tunnel that uses them
            self.notes.append(note)


@dataclass(frozen=True, slots=True)
class Tunnel:
    """A definition whose secrets are kept apart.

    :ivar document: options as ``ipsec_tunnel`` takes them, with ``auth`` but without any secret.
    :ivar credential: what its ends authenticate with, None where the file had none.
    :ivar ppks: its post-quantum preshared keys, as far as the file has them.
    """

    document: dict[str, Any]
    credential: Credential | None = None
    ppks: tuple[SharedPpk, ...] = ()

    @property
    def name(self) -> str:
        """The tunnel's name."""
        name: str = self.document["name"]
        return name

    def complete(self) -> dict[str, Any]:
        """The document with its secrets, for the manager and nothing else."""
        secrets = self.credential.revealed() if self.credential is not None else {}
        given = {option: value for option, value in secrets.items() if value}
        return {**self.document, "auth": {**self.document["auth"], **given, **revealed(self.ppks)}}


@dataclass(frozen=True, slots=True)
class Conversion:
    """The outcome.

    :ivar format: what the file was: ikedb, swanctl or ipsec_conf.
    """

    format: str
    tunnels: tuple[Tunnel, ...]
    notes: tuple[Note, ...]

    @property
    def missing_secrets(self) -> list[str]:
        """Names of tunnels without a credential."""
        return [tunnel.name for tunnel in self.tunnels if tunnel.credential is None]

    @property
    def skipped(self) -> list[str]:
        """Names of tunnels, and ``TUNNEL/CHILD``, that were not made."""
        return list(dict.fromkeys(note.tunnel for note in self.notes if note.severity == SKIPPED and note.tunnel))


def is_secret(option: str, value: str = "") -> bool:
    """Whether an option's value is not to be shown, also where nobody knows the option.

    What is no way to authenticate may be the key itself.
    """
    name = option.lower()
    if _METHOD.search(name) is not None:
        return not _METHODS.issuperset(re.split(r"[^a-z0-9]+", value.lower()))
    return _SECRETIVE.search(name) is not None or bool(difflib.get_close_matches(name, _MISSPELLED, 1, 0.8))


class Refused(InputError):
    """What cannot be read: the tunnel that it belongs to is lost, or the file where it belongs to none.

    :ivar entry: what it is about.
    """

    def __init__(self, entry: Entry, problem: str, remedy: str) -> None:
        field = f"{entry.file}:{entry.line}: {legible(entry.option)}"
        super().__init__(field, entry.shown, problem, remedy)
        if entry.secret or not entry.value:
            self.args = (f"{field}: {problem}; {remedy}",)  # there is no value that could be told
        self.entry = entry

    def told(self) -> tuple[Entry, str, str, str]:
        """As the arguments of :meth:`Report.tell`, of a tunnel that is lost for it."""
        return self.entry, SKIPPED, self.problem, self.remedy


def refuse(entry: Entry, problem: str, remedy: str) -> Refused:
    """The error for what cannot be read on from here."""
    return Refused(entry, problem, remedy)


def summary(notes: Iterable[Note]) -> str:
    """How many notes of each severity, in words."""
    found = list(notes)
    counts = [(sum(note.severity == severity for note in found), severity) for severity in SEVERITIES]
    return ", ".join(f"{count} {severity}" for count, severity in counts)
