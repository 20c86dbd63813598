# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Algorithms by the names of other programs, and proposals made of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from ..crypto.registry import ADDITIONAL, Kind, by_name
from .report import IGNORED, LOST, SKIPPED, Unfit
from .rows import Reader, Tell
from .words import yes_no

Found = dict[Kind, list[str]]
Words = Mapping[str, tuple[Kind, tuple[str, ...]]]
Make = Callable[[Found, bool, Tell], list[str]]  # damaged: words were left out

_SIZES = (128, 192, 256)
_CIPHERS: dict[str, tuple[str, ...]] = {
    "aes": ("aes128",),
    "aesgcm": ("aes256gcm16", "aes128gcm16"),
    "aesgcmc": ("aes256gcm16", "aes128gcm16"),
    "aesgcm16": ("aes256gcm16", "aes128gcm16"),
    "aescbc": ("aes128",),
    "3des": ("3des",),
    "3descbc": ("3des",),
    "des3": ("3des",),
    "null": ("null",),
    "espnull": ("null",),
    "chacha20poly1305": ("chacha20poly1305",),
    **{f"aes{bits}": (f"aes{bits}",) for bits in _SIZES},
    **{f"aescbc{bits}": (f"aes{bits}",) for bits in _SIZES},
    **{f"aes{bits}cbc": (f"aes{bits}",) for bits in _SIZES},
    **{f"aes{bits}ctr": (f"aes{bits}ctr",) for bits in _SIZES},
    **{f"aesctr{bits}": (f"aes{bits}ctr",) for bits in _SIZES},
    "aesctr": ("aes256ctr", "aes128ctr"),
    **{
        word: (f"aes{bits}ccm{octets}",)
        for octets, letter in ((8, "a"), (12, "b"), (16, "c"))
        for bits in _SIZES
        for pattern in ("aes{0}ccm{1}", "aes{0}ccm{2}", "aesccm{3}{0}", "aesccm{1}{0}")
        for word in (pattern.format(bits, octets, octets * 8, letter),)
    },
    **{
        word: (f"aes256ccm{octets}", f"aes128ccm{octets}")
        for octets, letter in ((8, "a"), (12, "b"), (16, "c"))
        for word in (f"aesccm{letter}", f"aesccm{octets}")
    },
    "aesccm": ("aes256ccm16", "aes128ccm16"),
    **{f"aesccm{bits}": (f"aes{bits}ccm16",) for bits in _SIZES},
    **{
        pattern.format(bits): (f"aes{bits}gcm16",)
        for bits in _SIZES
        for pattern in ("aes{}gcm16", "aes{}gcm128", "aes{}gcm", "aesgcm{}", "aesgcmc{}", "aesgcm16{}")
    },
}
_HASHES = {
    spelling: name
    for name, spellings in {
        "sha1": ("sha", "sha1", "sha196"),
        "sha256": ("sha2", "sha256", "sha2256", "sha256128", "sha2256128"),
        "sha384": ("sha384", "sha2384", "sha384192", "sha2384192"),
        "sha512": ("sha512", "sha2512", "sha512256", "sha2512256"),
    }.items()
    for word in spellings
    for spelling in (word, f"hmac{word}")
}
_GROUPS = {
    2: "modp1024", 5: "modp1536", 14: "modp2048", 15: "modp3072", 16: "modp4096", 17: "modp6144", 18: "modp8192",
    19: "ecp256", 20: "ecp384", 21: "ecp521", 31: "x25519",
}  # fmt: skip
_LATER = ("mlkem768", "mlkem1024")  # methods that not every library has
_METHODS = {**{name: name for name in (*_GROUPS.values(), *_LATER)}, "curve25519": "x25519"}
GROUP_NUMBERS = {name: number for number, name in _GROUPS.items()}
_WORDS: Words = {
    **{word: (Kind.ENCR, names) for word, names in _CIPHERS.items()},
    **{word: (Kind.INTEG, (name,)) for word, name in _HASHES.items()},
    **{f"prf{word}": (Kind.PRF, (f"prf{name}",)) for word, name in _HASHES.items()},
    **{f"dh{number}": (Kind.KE, (name,)) for number, name in _GROUPS.items()},
    **{word: (Kind.KE, (name,)) for word, name in _METHODS.items()},
    **{
        f"ke{number}{word}": (kind, (f"ke{number}_{name}",))
        for number, kind in enumerate(ADDITIONAL, 1)
        for word, name in {**_METHODS, **{f"dh{group}": name for group, name in _GROUPS.items()}}.items()
    },
    "esn": (Kind.ESN, ("esn",)),
    "noesn": (Kind.ESN, ("noesn",)),
}
# Of Libreswan alone: there aes is every size that is good.
LIBRESWAN = {"aes": (Kind.ENCR, ("aes256", "aes128")), "aescbc": (Kind.ENCR, ("aes256", "aes128"))}
_NONE = ("none", "modpnone", "dh0", "")
_OPTIONAL = re.compile(r"\bke([1-7])_none\b")
_APART = re.compile(r"\b(aes(?:_?cbc|_?ctr|_?[cg]cm(?:_[abc]|_?8|_?12|_?16)?)?|sha2)-(128|192|256|384|512)\b")
_ADDITIONAL = re.compile(r"addke(?P<number>[1-7])=(?P<methods>[^-;,]*)")

# What stands for the defaults of other programs; theirs for ESP have no key exchange.
IKE_DEFAULT = ("compat",)
ESP_DEFAULT = ("aes256gcm16-chacha20poly1305-aes128gcm16", "aes256-aes128-sha256-sha384-sha512")
AH_DEFAULT = ("sha256-sha384-sha512",)
# What both programs take where a proposal leaves it open.
_DEFAULT_GROUPS = ["x25519", "ecp256", "ecp384", "ecp521", "modp2048", "modp3072", "modp4096"]
_DEFAULT_HASHES = ["sha256", "sha384", "sha512"]


def ike(more: Words | None = None) -> Reader:
    """A reader of proposals for IKE; ``more`` are further words."""
    return lambda text, tell: _proposals(text, tell, {**_WORDS, **(more or {})}, _ike, IKE_DEFAULT)


def esp(more: Words | None = None) -> Reader:
    """A reader of proposals for ESP; ``more`` are further words."""
    return lambda text, tell: _proposals(text, tell, {**_WORDS, **(more or {})}, _esp, ESP_DEFAULT)


def group(number: int) -> str | None:
    """The name of a Diffie-Hellman group, None where it is not known here."""
    return _GROUPS.get(number)


def with_groups(proposals: Sequence[str], groups: Sequence[str]) -> list[str]:
    """ESP proposals that have a key exchange for rekeys; those with one of their own keep it."""
    names = set(_GROUPS.values())
    return [text if names & set(text.split("-")) else "-".join([text, *groups]) for text in proposals]


def ah(more: Words | None = None) -> Reader:
    """A reader of proposals for AH; ``more`` are further words."""
    return lambda text, tell: _proposals(text, tell, {**_WORDS, **(more or {})}, _ah, AH_DEFAULT)


def cut_short(proposals: Sequence[str]) -> Reader:
    """A reader of whether ESP of the peer has 96 bits of SHA-256 (``sha256_96``, ``sha2-truncbug``): then these
    proposals say so."""
    cut = ["-".join("sha256_96" if word == "sha256" else word for word in text.split("-")) for text in proposals]
    return yes_no(cut, list(proposals))


def groups_of(proposals: Sequence[str]) -> list[str]:
    """The key exchanges named in proposals, each once; the usual ones where none is."""
    names = set(_GROUPS.values())
    found = [word for text in proposals for word in text.split("-") if word in names]
    return list(dict.fromkeys(found)) or _DEFAULT_GROUPS


def _proposals(text: str, tell: Tell, words: Words, make: Make, default: Sequence[str]) -> list[str]:
    made: list[str] = []
    for item in text.split(","):
        proposal = item.strip().lower().removesuffix("!")
        if not proposal:
            continue
        if proposal in ("default", "%default"):
            made += default
            continue
        found, unknown = _sort(proposal, words)
        usable = make(found, bool(unknown), tell)
        optional = {ADDITIONAL[int(number) - 1] for number in _OPTIONAL.findall(_joined(proposal))}
        if optional:
            # A peer that makes no such exchange takes the proposal without it.
            without = {kind: [] if kind in optional else names for kind, names in found.items()}
            usable += make(without, bool(unknown), tell)
        if unknown:
            fate = "is not spoken here" if usable else "is not spoken here, so the whole proposal is left out"
            tell(LOST, f"{', '.join(unknown)} of {proposal} {fate}", "offer an algorithm that both ends know")
        made += usable
    if not made:
        raise Unfit(SKIPPED, "nothing of it is spoken here", "choose algorithms that this end knows as well")
    return list(dict.fromkeys(made))


def _sort(proposal: str, words: Words) -> tuple[Found, dict[str, None]]:
    """The algorithms of a proposal by kind, and the words that name none."""
    found: Found = {kind: [] for kind in Kind}
    unknown: dict[str, None] = {}
    for word in _joined(proposal).split("-"):
        plain = word.strip().replace("_", "")
        if plain in _NONE or _OPTIONAL.fullmatch(word):
            continue
        if plain not in words or _is_lacking(words[plain][1]):
            unknown[word.strip()] = None
            continue
        kind, names = words[plain]
        found[kind] += [name for name in names if name not in found[kind]]
    if any(_is_aead(name) for name in found[Kind.ENCR]):
        # Beside such a cipher the word says that there is no integrity algorithm.
        found[Kind.ENCR] = [name for name in found[Kind.ENCR] if name != "null"]
    return found, unknown


def _joined(proposal: str) -> str:
    """A proposal whose words all have a hyphen between them."""
    joined = _ADDITIONAL.sub(_additional_words, proposal).replace(";", "-").replace("+", "-")
    return _APART.sub(r"\1_\2", joined)  # a size may stand apart: aes_gcm_c-256


def _additional_words(match: re.Match[str]) -> str:
    """Libreswan's ``addke1=a+b`` as ``ke1_a-ke1_b``, which strongSwan writes."""
    return "-".join(f"ke{match['number']}_{method}" for method in match["methods"].split("+"))


def _is_lacking(names: tuple[str, ...]) -> bool:
    """Whether it is a method that the library of this host is too old for."""
    row = by_name(Kind.KE, names[0].split("_")[-1])
    return row is not None and row.name in _LATER and row.lacking != ""


def _is_aead(name: str) -> bool:
    return "gcm" in name or "ccm" in name or "poly" in name


def _split(found: Found) -> list[tuple[bool, list[str]]]:
    """(whether an AEAD, ciphers): both kinds do not mix in one proposal."""
    aead = [name for name in found[Kind.ENCR] if _is_aead(name)]
    others = [name for name in found[Kind.ENCR] if name not in aead]
    return [(flag, names) for flag, names in ((True, aead), (False, others)) if names]


def _ike(found: Found, damaged: bool, tell: Tell) -> list[str]:
    hashes = found[Kind.INTEG]
    if damaged and not all((found[Kind.ENCR], hashes or found[Kind.PRF] or _only_aead(found), found[Kind.KE])):
        return []
    groups = [*(found[Kind.KE] or _DEFAULT_GROUPS), *_additional(found)]
    made = []
    for aead, ciphers in _split(found):
        if aead:
            functions = found[Kind.PRF] or [f"prf{name}" for name in hashes or _DEFAULT_HASHES]
            made.append("-".join([*ciphers, *functions, *groups]))
        elif "null" not in ciphers:
            made.append("-".join([*ciphers, *(hashes or _DEFAULT_HASHES), *found[Kind.PRF], *groups]))
    return made


def _additional(found: Found) -> list[str]:
    return [name for kind in ADDITIONAL for name in found[kind]]


def _only_aead(found: Found) -> bool:
    return all(flag for flag, _names in _split(found))


def _ah(found: Found, damaged: bool, tell: Tell) -> list[str]:
    if damaged and not found[Kind.INTEG]:
        return []
    if found[Kind.ENCR]:
        tell(IGNORED, "AH has no cipher", "")
    rest = [*found[Kind.KE], *(_additional(found) if found[Kind.KE] else ()), *found[Kind.ESN]]
    return ["-".join([*(found[Kind.INTEG] or _DEFAULT_HASHES), *rest])]


def _esp(found: Found, damaged: bool, tell: Tell) -> list[str]:
    if damaged and not (found[Kind.ENCR] and (found[Kind.INTEG] or _only_aead(found))):
        return []
    made = []
    rest = [*found[Kind.KE], *(_additional(found) if found[Kind.KE] else ()), *found[Kind.ESN]]
    for aead, ciphers in _split(found):
        if aead:
            if found[Kind.INTEG] and _only_aead(found):
                tell(IGNORED, "beside such a cipher an integrity algorithm has no meaning", "")
            made.append("-".join([*ciphers, *rest]))
            continue
        # A null cipher is a proposal of its own here.
        for names in (["null"] if "null" in ciphers else [], [name for name in ciphers if name != "null"]):
            if names:
                made.append("-".join([*names, *(found[Kind.INTEG] or _DEFAULT_HASHES), *rest]))
    return made
