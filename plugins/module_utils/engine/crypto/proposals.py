# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an operator allows, as algorithm sets: profiles and words such as ``aes256gcm16-sha384-x25519``."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from ..errors import InputError
from ..newer_python import dataclass, zip
from .registry import ADDITIONAL, Algorithm, Encryption, Kind, Status, by_name, names

Rows = tuple[Algorithm, ...]
Slots = tuple[tuple[Kind, Rows], ...]

AH, ESP = 2, 3


@dataclass(frozen=True, slots=True)
class IkeProposal:
    """Algorithms for an IKE SA; of each kind the first that the peer has too is taken.

    Either every cipher is an AEAD and ``integ`` is empty, or none is and it is not.

    :ivar more: methods of each additional key exchange (RFC 9370), in order; none stands in two places.
    """

    encr: Rows
    integ: Rows
    prf: Rows
    ke: Rows
    more: tuple[Rows, ...] = ()

    @property
    def slots(self) -> Slots:
        """The rows by kind, in the order in which transforms are sent."""
        slots = ((Kind.ENCR, self.encr), (Kind.PRF, self.prf), (Kind.INTEG, self.integ), (Kind.KE, self.ke))
        return slots + _additional(self.more) if self.more else slots

    def __str__(self) -> str:
        return _words(self.slots)


@dataclass(frozen=True, slots=True)
class EspProposal:
    """Algorithms for a Child SA.

    :ivar ke: key exchange methods of a rekey or of a further child (perfect forward secrecy);
        empty for none. The child made with the IKE SA itself never has one of its own.
    :ivar protocol: 3, ESP; or 2, AH, where ``encr`` is empty.
    :ivar more: as :attr:`IkeProposal.more`, of the key exchange ``ke``.
    """

    encr: Rows
    integ: Rows
    ke: Rows
    esn: Rows
    protocol: int = ESP
    more: tuple[Rows, ...] = ()

    @property
    def slots(self) -> Slots:
        """As :attr:`IkeProposal.slots`."""
        slots = ((Kind.ENCR, self.encr), (Kind.INTEG, self.integ), (Kind.KE, self.ke), (Kind.ESN, self.esn))
        return slots + _additional(self.more) if self.more else slots

    @property
    def without_ke(self) -> EspProposal:
        """The same without any key exchange."""
        return replace(self, ke=(), more=()) if self.ke or self.more else self

    @property
    def slots_without_ke(self) -> Slots:
        """The same for the child made with the IKE SA itself (RFC 7296 section 1.2)."""
        return ((Kind.ENCR, self.encr), (Kind.INTEG, self.integ), (Kind.KE, ()), (Kind.ESN, self.esn))

    def __str__(self) -> str:
        return _words(self.slots)


def _additional(more: Sequence[Rows]) -> Slots:
    return tuple(zip(ADDITIONAL, more, strict=False))


def word_of(kind: Kind, row: Algorithm) -> str:
    """What an operator writes for an algorithm of that transform type."""
    if kind == Kind.PRF:
        return f"prf{row}"
    return row.name if kind < Kind.ADDKE1 else f"ke{kind - Kind.ADDKE1 + 1}_{row}"


def _words(slots: Slots) -> str:
    return "-".join(word_of(kind, row) for kind, rows in slots for row in rows)


_ESN = "esn-noesn"
_STRONG = "x25519-ecp384"
_COMMON = "x25519-ecp256-ecp384-ecp521-modp2048-modp3072-modp4096"
_SHA2 = "prfsha256-prfsha384-prfsha512"
_CBC = "aes256-aes128-sha256-sha384-sha512"

_MODERN = f"aes256gcm16-chacha20poly1305-prfsha384-prfsha512-{_STRONG}"
_HYBRID = f"{_MODERN}-ke1_mlkem768"

# A peer that knows no additional key exchanges rejects all of a proposal with one (RFC 7296 section 3.3.6), so another
# one stands beside it. A host that cannot compute one goes without its proposal.
_IKE_PROFILES: dict[str, tuple[str, ...]] = {
    "modern": (_HYBRID, _MODERN),
    "pq": (_HYBRID,),
    "compat": (
        f"aes256gcm16-chacha20poly1305-aes128gcm16-{_SHA2}-{_COMMON}",
        f"{_CBC}-{_SHA2}-{_COMMON}",
    ),
}
_IKE_PROFILES["legacy"] = (
    *_IKE_PROFILES["compat"],
    f"aes256-aes128-3des-sha256-sha1-prfsha256-prfsha1-{_COMMON}-modp1536-modp1024",
)
_ESP_PROFILES: dict[str, tuple[str, ...]] = {
    # What an IKE SA has of ML-KEM is in the keys of its children, too, whatever their own key exchange is.
    "modern": (f"aes256gcm16-chacha20poly1305-{_STRONG}-{_ESN}",),
    "pq": (f"aes256gcm16-chacha20poly1305-{_STRONG}-ke1_mlkem768-{_ESN}",),
    "compat": (
        f"aes256gcm16-chacha20poly1305-aes128gcm16-{_COMMON}-{_ESN}",
        f"{_CBC}-{_COMMON}-{_ESN}",
        # Where the peer has no key exchange for rekeys (PFS): its default in several programs.
        f"aes256gcm16-chacha20poly1305-aes128gcm16-{_ESN}",
        f"{_CBC}-{_ESN}",
    ),
}
_ESP_PROFILES["legacy"] = (
    *_ESP_PROFILES["compat"],
    f"aes256-aes128-3des-sha256-sha1-{_COMMON}-modp1536-modp1024-{_ESN}",
    f"aes256-aes128-3des-sha256-sha1-{_ESN}",
)

_AH_PROFILES: dict[str, tuple[str, ...]] = {
    "modern": (f"sha256-sha384-sha512-{_STRONG}-{_ESN}",),
    "pq": (f"sha256-sha384-sha512-{_STRONG}-ke1_mlkem768-{_ESN}",),
    "compat": (f"sha256-sha384-sha512-{_COMMON}-{_ESN}", f"sha256-sha384-sha512-{_ESN}"),
}
_AH_PROFILES["legacy"] = (
    *_AH_PROFILES["compat"],
    f"sha256-sha1-{_COMMON}-modp1536-modp1024-{_ESN}",
    f"sha256-sha1-{_ESN}",
)

PROFILES = tuple(_IKE_PROFILES)
# The proposals that the profiles stand for, as words.
IKE_PROFILES: Mapping[str, tuple[str, ...]] = _IKE_PROFILES
ESP_PROFILES: Mapping[str, tuple[str, ...]] = _ESP_PROFILES
AH_PROFILES: Mapping[str, tuple[str, ...]] = _AH_PROFILES

_IKE_ENCR = tuple(name for name in names(Kind.ENCR) if name != "null")
_PRF_WORDS = tuple(f"prf{name}" for name in names(Kind.PRF))
# Peers that cut it short do so in ESP alone.
_IKE_INTEG = tuple(name for name in names(Kind.INTEG) if name != "sha256_96")
IKE_WORDS = (*_IKE_ENCR, *_IKE_INTEG, *_PRF_WORDS, *names(Kind.KE))
AH_WORDS = (*names(Kind.INTEG), *names(Kind.KE), *names(Kind.ESN))
ESP_WORDS = (*names(Kind.ENCR), *AH_WORDS)

_ADDITIONAL_WORD = re.compile(r"ke([1-7])_(.+)")

# The number of a proposal is one octet (RFC 7296 section 3.3.1).
MAX_PROPOSALS = 255


def ike_proposals(spec: str | Sequence[str], field: str = "ike.proposals") -> tuple[IkeProposal, ...]:
    """Read the proposals of an IKE SA, most wanted first.

    :param spec: the name of a profile (``modern``, ``pq``, ``compat``, ``legacy``) or words joined by ``-``; several
        of them in a list or joined by ``,``. A hash is the integrity algorithm and the PRF beside CBC, the PRF
        beside an AEAD; ``prfsha384`` names the PRF alone. ``ke1_mlkem768`` names the method of an additional key
        exchange, up to ``ke7_``.
    :raises InputError: naming ``field``, the bad word and the valid ones.
    :raises MissingError: when there is no crypto library.
    """
    return _read(spec, field, _IKE_PROFILES, _ike_proposal)


def esp_proposals(spec: str | Sequence[str], field: str = "proposals") -> tuple[EspProposal, ...]:
    """Read the proposals of a Child SA, most wanted first.

    :param spec: as for :func:`ike_proposals`; a hash is the integrity algorithm. ``esn`` and ``noesn`` insist on
        extended sequence numbers or on their absence; without either word both will do, extended ones preferred.
    :raises InputError: naming ``field``, the bad word and the valid ones.
    :raises MissingError: when there is no crypto library.
    """
    return _told_apart(_read(spec, field, _ESP_PROFILES, _esp_proposal), spec, field)


def ah_proposals(spec: str | Sequence[str], field: str = "proposals") -> tuple[EspProposal, ...]:
    """Read the proposals of a Child SA that has AH, most wanted first.

    :param spec: as for :func:`esp_proposals`, without any cipher.
    :raises InputError: naming ``field``, the bad word and the valid ones.
    :raises MissingError: when there is no crypto library.
    """
    return _told_apart(_read(spec, field, _AH_PROFILES, _ah_proposal), spec, field)


# By the word for the protocol of a child.
CHILD_PROPOSALS = {"esp": esp_proposals, "ah": ah_proposals}


def _told_apart(proposals: tuple[EspProposal, ...], spec: str | Sequence[str], field: str) -> tuple[EspProposal, ...]:
    """The proposals, where the peer can tell their integrity algorithms apart."""
    numbers = [row.transform_id for row in {row for proposal in proposals for row in proposal.integ}]
    if len(set(numbers)) < len(numbers):
        problem = "has sha256 and sha256_96, which are one number to the peer"
        raise InputError(field, spec, problem, "name the one that the peer computes")
    return proposals


def legacy_names(proposals: Sequence[IkeProposal | EspProposal]) -> tuple[str, ...]:
    """Names of the algorithms in there that deserve a warning."""
    rows = (row for proposal in proposals for _kind, slot in proposal.slots for row in slot)
    return tuple(dict.fromkeys(row.name for row in rows if row.status is Status.LEGACY))


_Profiles = dict[str, tuple[str, ...]]
_P = TypeVar("_P", IkeProposal, EspProposal)

# Thousands of tunnels name the same few proposals: they share the values, and reading them again costs nothing.
_known: dict[tuple[object, ...], tuple[Any, ...]] = {}


def _read(
    spec: str | Sequence[str], field: str, profiles: _Profiles, parse: Callable[[str, str, bool], _P]
) -> tuple[_P, ...]:
    items: list[tuple[str, str]] = _items(spec, field, profiles)
    key = (parse, *[text for text, _field in items])
    proposals = _known.get(key)
    if proposals is None:
        listed = [(words, where, text in profiles) for text, where in items for words in _texts(text, where, profiles)]
        proposals = tuple(dict.fromkeys(parse(*each) for each in listed))
        if len(proposals) > MAX_PROPOSALS:
            problem = f"{len(proposals)} proposals are too many"
            raise InputError(field, items[0][0], problem, f"write no more than {MAX_PROPOSALS}")
        _known[key] = proposals
    return proposals


def _texts(text: str, field: str, profiles: _Profiles) -> Sequence[str]:
    """The proposals of a profile, as far as this host can compute their additional key exchanges; or what is none."""
    if text not in profiles:
        return (text,)
    lacking = {words: _lacking_more(words) for words in profiles[text]}
    usable = [words for words, row in lacking.items() if row is None]
    if not usable:
        row = next(row for row in lacking.values() if row is not None)
        problem = f"the installed crypto library offers no {row}, without which there is no profile {text}"
        raise InputError(field, text, problem, f"write modern, or install {row.lacking}")
    return usable


def _lacking_more(words: str) -> Algorithm | None:
    """A method of an additional key exchange of a proposal that this host cannot compute."""
    found = (_ADDITIONAL_WORD.fullmatch(word) for word in words.split("-"))
    rows = (_row_of(match[2]) for match in found if match is not None)
    return next((row for row in rows if row.lacking), None)


def _items(spec: str | Sequence[str], field: str, profiles: _Profiles) -> list[tuple[str, str]]:
    """Every profile or proposal as (text, field)."""
    if isinstance(spec, str):
        given: list[tuple[Any, str]] = [(spec, field)]
    elif isinstance(spec, (list, tuple)):
        given = [(item, f"{field}[{number}]") for number, item in enumerate(spec)]
    else:
        raise InputError(field, spec, "proposals are text or a list of texts", _remedy(profiles))
    items: list[tuple[str, str]] = []
    for item, where in given:
        if not isinstance(item, str):
            raise InputError(where, item, "a proposal is text", _remedy(profiles))
        items.extend((part.strip().lower(), where) for part in item.split(","))
    for text, where in items:
        if not text:
            raise InputError(where, spec, "a proposal is empty", _remedy(profiles))
    if not items:
        raise InputError(field, spec, "there is no proposal", _remedy(profiles))
    return items


def _remedy(profiles: _Profiles) -> str:
    return f"write a profile ({', '.join(profiles)}) or names of algorithms joined by -"


def _ike_proposal(text: str, field: str, from_profile: bool) -> IkeProposal:
    found = _sort_words(text, field, _IKE_ENCR, IKE_WORDS)
    encr = _usable(found[Kind.ENCR], text, field, from_profile)
    ke = _usable(found[Kind.KE], text, field, from_profile)
    _need(encr, text, field, "an encryption algorithm", _IKE_ENCR)
    _need(ke, text, field, "a key exchange method", names(Kind.KE))
    more = _more(found, text, field, from_profile)
    hashes, functions = found[Kind.INTEG], found[Kind.PRF]
    if not _all_aead(encr, text, field):
        _need(hashes, text, field, "an integrity algorithm", _IKE_INTEG)
        return IkeProposal(encr, hashes, functions or _as_prf(hashes), ke, more)
    if hashes and functions:
        problem = f"an AEAD takes no integrity algorithm, so {hashes[0]} beside prf{functions[0]} has no meaning"
        raise InputError(field, text, problem, "name only the PRF")
    _need(hashes or functions, text, field, "a PRF", _PRF_WORDS)
    return IkeProposal(encr, (), functions or _as_prf(hashes), ke, more)


def _esp_proposal(text: str, field: str, from_profile: bool) -> EspProposal:
    found = _sort_words(text, field, names(Kind.ENCR), ESP_WORDS)
    encr, integ = found[Kind.ENCR], found[Kind.INTEG]
    ke = _usable(found[Kind.KE], text, field, from_profile)
    _need(encr, text, field, "an encryption algorithm", names(Kind.ENCR))
    if len(encr) > 1 and any(row.name == "null" for row in encr):
        raise InputError(field, text, "null does not stand beside a cipher", "make it a proposal of its own")
    if not _all_aead(encr, text, field):
        _need(integ, text, field, "an integrity algorithm", names(Kind.INTEG))
    elif integ:
        raise InputError(field, text, f"an AEAD takes no integrity algorithm such as {integ[0]}", "leave it out")
    esn = found[Kind.ESN] or _sort_words(_ESN, field, (), ESP_WORDS)[Kind.ESN]
    return EspProposal(encr, integ, ke, esn, more=_more(found, text, field, from_profile))


def _ah_proposal(text: str, field: str, from_profile: bool) -> EspProposal:
    ciphers = [word for word in text.split("-") if word in names(Kind.ENCR)]
    if ciphers:
        raise InputError(field, text, f"AH has no cipher such as {ciphers[0]}", "leave it out, or write protocol: esp")
    found = _sort_words(text, field, (), AH_WORDS)
    _need(found[Kind.INTEG], text, field, "an integrity algorithm", names(Kind.INTEG))
    ke = _usable(found[Kind.KE], text, field, from_profile)
    esn = found[Kind.ESN] or _sort_words(_ESN, field, (), AH_WORDS)[Kind.ESN]
    return EspProposal((), found[Kind.INTEG], ke, esn, AH, _more(found, text, field, from_profile))


def _more(found: Mapping[Kind, Rows], text: str, field: str, from_profile: bool) -> tuple[Rows, ...]:
    """The methods of additional key exchanges."""
    known = set(found[Kind.KE])
    more: list[Rows] = []
    for kind, before in zip(ADDITIONAL, (Kind.KE, *ADDITIONAL), strict=False):
        if not found[kind]:
            continue
        row = found[kind][0]
        if not found[before]:
            lacking = "a key exchange" if before == Kind.KE else word_of(before, row)
            problem = f"{word_of(kind, row)} is one more key exchange, but there is none before it"
            raise InputError(field, text, problem, f"add {lacking}")
        twice = known.intersection(found[kind])
        if twice:
            problem = f"{min(map(str, twice))} is named for two of the key exchanges"
            raise InputError(field, text, problem, "name another method for one of them")
        known.update(found[kind])
        more.append(_usable(found[kind], text, field, from_profile))
    return tuple(more)


def _sort_words(text: str, field: str, ciphers: tuple[str, ...], valid: tuple[str, ...]) -> dict[Kind, Rows]:
    """The words of a proposal as rows, by kind; a kind that no word names is empty."""
    found: dict[Kind, list[Algorithm]] = {kind: [] for kind in Kind}
    for word in text.split("-"):
        additional = _ADDITIONAL_WORD.fullmatch(word)
        if (additional[2] if additional else word) not in (names(Kind.KE) if additional else valid):
            problem = f"{word!r} is no algorithm"
            words = f"{', '.join(valid)}, ke1_… to ke7_… for additional key exchanges"
            raise InputError(field, text, problem, f"use the words {words}, or a profile: {', '.join(PROFILES)}")
        row = _row_of(additional[2] if additional else word)
        kind = ADDITIONAL[int(additional[1]) - 1] if additional else row.kind
        if row not in found[kind]:
            found[kind].append(row)
    return {kind: tuple(rows) for kind, rows in found.items()}


def _row_of(word: str) -> Algorithm:
    function = word.startswith("prf")
    kinds = (Kind.PRF,) if function else (Kind.ENCR, Kind.INTEG, Kind.KE, Kind.ESN)
    name = word[3:] if function else word
    return next(row for row in (by_name(kind, name) for kind in kinds) if row is not None)


def _usable(rows: Rows, text: str, field: str, from_profile: bool) -> Rows:
    """The rows that this host can compute; a profile goes without the others, a name must be among them."""
    lacking = [row for row in rows if row.lacking]
    if lacking and not from_profile:
        problem = f"the installed crypto library offers no {lacking[0]}"
        raise InputError(field, text, problem, f"leave it out, or install {lacking[0].lacking}")
    return tuple(row for row in rows if row not in lacking)


def _need(rows: Rows, text: str, field: str, what: str, valid: Sequence[str]) -> None:
    if not rows:
        raise InputError(field, text, f"{what} is missing", f"add one of {', '.join(valid)}")


def _all_aead(encr: Rows, text: str, field: str) -> bool:
    kinds = {isinstance(row, Encryption) and row.aead for row in encr}
    if len(kinds) > 1:
        raise InputError(
            field, text, "AEAD and other ciphers do not mix in one proposal", "write two proposals, one for each"
        )
    return kinds == {True}


def _as_prf(hashes: Rows) -> Rows:
    return tuple(row for row in (by_name(Kind.PRF, hashed.name) for hashed in hashes) if row is not None)
