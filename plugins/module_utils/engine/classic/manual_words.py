# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SAs keyed by hand as people write them, into what the kernel takes (RFC 4301 section 4.5.1).

Whatever the message, a key is never in it.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from ..child_sa import Limits
from ..errors import InputError
from ..kernel import sa_chains
from ..kernel.registry import MANUAL_FIRST, REQID_FIRST, REQID_LAST, SHUNT_FIRST
from ..kernel.values import AH, ESP, IPCOMP, Aead, Auth, Crypt, Sa
from ..kernel.xfrm import MAX_REPLAY_WINDOW
from ..newer_python import dataclass
from ..said import Said, parse_said
from ..secret import Secret
from . import group_rules
from .transforms import NULL, Cipher, Hash, find_cipher, find_hash

MODES = ("transport", "tunnel")
LIFETIMES = tuple(
    f"{end}_{what}" for what in ("bytes", "packets", "seconds", "use_seconds") for end in ("soft", "hard")
)
_TRANSFORM_WORDS = {
    ESP: ("encryption", "integrity", "encapsulation", "replay_window"),
    AH: ("integrity", "replay_window"),
    IPCOMP: ("compression",),
    sa_chains.TUN: (),
}
_ANY_PROTOCOL = ("encryption", "integrity", "compression", "encapsulation", "replay_window")
_HIDDEN = "(a key)"


@dataclass(frozen=True, slots=True)
class Wish:
    """An SA as somebody wants it.

    :ivar sa: mode and request ID in it are nothing to go by; None for a ``tun``.
    :ivar mode: None: as it is, and transport for a new one.
    :ivar reqid: None: as it is, and one of our own for a new one.
    :ivar warnings: what its owner should know, whatever the kernel has.
    """

    said: Said
    source: str
    sa: Sa | None
    mode: str | None = None
    reqid: int | None = None
    warnings: tuple[str, ...] = ()


def read_wish(words: Mapping[str, Any], place: str = "") -> Wish:
    """One SA out of plain data; a word that is None or missing was not given.

    :param words: ``said``, ``source``, ``mode``, ``encryption`` and ``integrity`` (each ``algorithm`` and ``key``),
        ``compression``, ``lifetime`` (see :data:`LIFETIMES`), ``replay_window``, ``encapsulation`` (``source_port``,
        ``destination_port``), ``reqid``.
    :param place: what stands before the names of fields in errors, such as ``sas[2].``.
    :raises InputError: naming the field.
    """
    said = read_said(words.get("said"), f"{place}said")
    source = _source(words.get("source"), said, f"{place}source")
    mode = words.get("mode")
    if mode not in (None, *MODES):
        raise InputError(f"{place}mode", mode, "is no mode", f"write {' or '.join(MODES)}")
    for word in _ANY_PROTOCOL:
        if words.get(word) is not None and word not in _TRANSFORM_WORDS[said.protocol]:
            shown = _HIDDEN if word in ("encryption", "integrity") else words[word]
            raise InputError(f"{place}{word}", shown, f"is nothing for {said}", "leave it out")
    if said.protocol == sa_chains.TUN:
        for word in ("mode", "lifetime", "reqid"):
            if words.get(word) is not None:
                raise InputError(
                    f"{place}{word}", words[word], f"is nothing for {said}, which is the name of a tunnel alone",
                    "give it to the SA that follows the tun in its group",
                )  # fmt: skip
        return Wish(said, source, None)
    sa, warnings = _transform(said, source, words, place)
    return Wish(said, source, sa, mode, _reqid(words.get("reqid"), f"{place}reqid"), warnings)


def read_said(text: object, field: str = "said") -> Said:
    """The name of an SA that can be keyed by hand.

    :raises InputError: naming ``field``.
    """
    if not isinstance(text, str) or not text:
        raise InputError(field, text, "names no SA", "write PROTOCOL.SPI@DESTINATION, such as esp.1a2b@192.0.2.1")
    said = parse_said(text, field)
    group_rules.check_name(said, field)
    return said


def _source(text: object, said: Said, field: str) -> str:
    if not isinstance(text, str) or not text:
        raise InputError(field, text, f"is needed for {said}", "write the address that its packets come from")
    # A SAID's destination is read the same way.
    try:
        source = parse_said(f"esp0x100@{text}", field).destination
    except InputError:
        raise InputError(field, text, "is not an address", "write an IPv4 or IPv6 address") from None
    if (":" in source) != (":" in said.destination):
        raise InputError(field, text, f"is of another family than {said.destination}", "an SA has both ends in one")
    return source


def _transform(said: Said, source: str, words: Mapping[str, Any], place: str) -> tuple[Sa, tuple[str, ...]]:
    warnings: list[str] = []
    cipher, cipher_key = _cipher(words.get("encryption"), said, f"{place}encryption")
    hash_, hash_key = _hash(words.get("integrity"), said, cipher, f"{place}integrity")
    compression = words.get("compression") or ("deflate" if said.protocol == IPCOMP else None)
    if compression not in (None, "deflate"):
        raise InputError(f"{place}compression", compression, "is no compression known here", "write deflate")
    if cipher is not None and not cipher.icv_bits and hash_ is None:
        if cipher.kernel == NULL.kernel:
            raise InputError(f"{place}encryption", "null", "alone protects nothing", "give integrity too")
        warnings.append(f"{said} encrypts without integrity, which lets an attacker change packets: add integrity")
    if cipher is not None and cipher.icv_bits:
        warnings.append(
            f"{said}: {cipher.name} breaks when a key is ever used again (RFC 4106 section 2): give new ones"
        )
    warnings += [f"{said}: {part.name} is outdated (RFC 8221)" for part in (cipher, hash_) if part and part.old]
    aead = cipher is not None and cipher.icv_bits > 0
    return Sa(
        source, said.destination, said.spi, said.protocol, "transport", 0,
        aead=Aead(cipher.kernel, cipher_key, cipher.icv_bits) if cipher and aead else None,
        encryption=Crypt(cipher.kernel, cipher_key) if cipher and not aead else None,
        integrity=Auth(hash_.kernel, hash_key, hash_.icv_bits) if hash_ else None,
        compression=compression,
        encapsulation=_encapsulation(words.get("encapsulation"), f"{place}encapsulation"),
        replay_window=_number(words.get("replay_window"), 0, MAX_REPLAY_WINDOW, f"{place}replay_window"),
        # One that is for either family goes into every group; the policies say which packets may have it.
        af_unspec=True,
        limits=_limits(words.get("lifetime"), f"{place}lifetime"),
    ), tuple(warnings)  # fmt: skip


def _cipher(words: Mapping[str, Any] | None, said: Said, field: str) -> tuple[Cipher | None, Secret]:
    if said.protocol != ESP:
        return None, Secret(b"")
    if not words or not words.get("algorithm"):
        raise InputError(
            f"{field}.algorithm", None, f"is needed for {said}", "name one such as aes256, or null for integrity alone"
        )
    cipher = find_cipher(words["algorithm"], f"{field}.algorithm")
    return cipher, _key(words.get("key"), cipher.name, cipher.key_octets, f"{field}.key")


def _hash(words: Mapping[str, Any] | None, said: Said, cipher: Cipher | None, field: str) -> tuple[Hash | None, Secret]:
    if not words or not words.get("algorithm"):
        if said.protocol == AH or words:
            raise InputError(f"{field}.algorithm", None, f"is needed for {said}", "name one such as sha256")
        return None, Secret(b"")
    hash_ = find_hash(words["algorithm"], f"{field}.algorithm")
    if cipher is not None and cipher.icv_bits:
        raise InputError(
            f"{field}.algorithm", hash_.name, f"cannot stand beside {cipher.name}, which proves integrity itself",
            "leave integrity out",
        )  # fmt: skip
    return hash_, _key(words.get("key"), hash_.name, (hash_.key_octets,), f"{field}.key")


def _key(text: object, algorithm: str, lengths: tuple[int, ...], field: str) -> Secret:
    if not text:
        if lengths == (0,):
            return Secret(b"")
        raise InputError(field, None, f"{algorithm} needs a key", _remedy(lengths))
    key = read_key(text, field)
    if len(key) not in lengths:
        raise InputError(field, _HIDDEN, f"has {len(key) * 8} bits, which {algorithm} does not take", _remedy(lengths))
    return key


def read_key(text: object, field: str) -> Secret:
    """Octets out of ``0x`` and hexadecimal digits or ``0s`` and base64, as spi(8) has them; ``_`` may divide.

    :raises InputError: naming ``field``, without the text.
    """
    if isinstance(text, str):
        digits = text[2:].replace("_", "") if text[:2] in ("0x", "0X") else text[2:]
        try:
            if text[:2] in ("0x", "0X"):
                return Secret(bytes.fromhex(digits))
            if text[:2] in ("0s", "0S"):
                return Secret(base64.b64decode(digits.encode("ascii"), validate=True))
        except (ValueError, binascii.Error):
            # The error of the conversion has the key in it: it must not even be the context of ours.
            pass
    raise InputError(field, _HIDDEN, "is no key", "write 0x and hexadecimal digits, or 0s and base64")


def _remedy(lengths: tuple[int, ...]) -> str:
    if lengths == (0,):
        return "leave the key out"
    if len(lengths) > 3:
        return f"give one of {lengths[0] * 8} to {lengths[-1] * 8} bits, as 0x and hexadecimal digits or 0s and base64"
    bits = " or ".join(str(length * 8) for length in lengths)
    salt = ", the salt of 32 at its end" if any(length % 8 == 4 and length > 16 for length in lengths) else ""
    return f"give one of {bits} bits{salt}, as 0x and hexadecimal digits or 0s and base64"


def _encapsulation(words: Mapping[str, Any] | None, field: str) -> tuple[int, int] | None:
    if not words:
        return None
    return (
        _number(words.get("source_port"), 1, 65535, f"{field}.source_port", 4500),
        _number(words.get("destination_port"), 1, 65535, f"{field}.destination_port", 4500),
    )


def _limits(words: Mapping[str, Any] | None, field: str) -> Limits:
    given = {word: _number((words or {}).get(word), 0, 1 << 63, f"{field}.{word}") for word in LIFETIMES}
    for word in LIFETIMES:
        end, _bar, what = word.partition("_")
        hard = given[f"hard_{what}"]
        if end == "soft" and hard and given[word] > hard:
            raise InputError(
                f"{field}.{word}", given[word], f"comes after the hard limit, {hard}", "let it come before"
            )
    return Limits(**given)


def _number(value: object, low: int, high: int, field: str, default: int = 0) -> int:
    if value is None:
        return default
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise InputError(field, value, "is out of range", f"write a number of {low} to {high}")
    return value


def _reqid(value: object, field: str) -> int | None:
    if value is None:
        return None
    reqid = _number(value, 1, 0xFFFFFFFF, field)
    if REQID_FIRST <= reqid < MANUAL_FIRST or SHUNT_FIRST <= reqid <= REQID_LAST:
        raise InputError(field, reqid, "is out of the range of tunnels and shunts", "choose another, or leave it out")
    return reqid
