# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Algorithms of SAs keyed by hand: those that IKE negotiates, by the same names, and those of the classic tools.

Whether the kernel has one is for the kernel to say. RFC 8221 tells what became of them: sections 5 and 6.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from ..crypto.registry import ALGORITHMS, Encryption, Integrity, Status
from ..errors import InputError


class Cipher(NamedTuple):
    """What encrypts.

    :ivar kernel: XFRM name; ``key_octets``: the lengths its key may have, an AEAD's salt of 4 included.
    :ivar icv_bits: of an AEAD, 0 for others; ``iv_octets``: in each packet.
    :ivar old: whether it is there for old peers only.
    """

    name: str
    kernel: str
    key_octets: tuple[int, ...]
    icv_bits: int = 0
    iv_octets: int = 0
    old: bool = False


class Hash(NamedTuple):
    """What proves integrity; ``icv_bits`` of ``digest_bits`` travel."""

    name: str
    kernel: str
    key_octets: int
    icv_bits: int
    digest_bits: int
    old: bool = False


_BLOCKS = (16, 24, 32)
_CIPHERS = [
    Cipher(row.name, row.kernel, (row.key_octets + row.salt_octets,), row.icv_bits, row.iv_octets, row.name == "3des")
    for row in ALGORITHMS
    if isinstance(row, Encryption)
] + [
    Cipher("aes", "cbc(aes)", _BLOCKS, 0, 16),
    Cipher("camellia", "cbc(camellia)", _BLOCKS, 0, 16, True),
    Cipher("serpent", "cbc(serpent)", _BLOCKS, 0, 16, True),
    Cipher("twofish", "cbc(twofish)", _BLOCKS, 0, 16, True),
    Cipher("blowfish", "cbc(blowfish)", tuple(range(5, 57)), 0, 8, True),
    Cipher("cast", "cbc(cast5)", (16,), 0, 8, True),
    Cipher("des", "cbc(des)", (8,), 0, 8, True),
]
_HASHES = [
    Hash(row.name, row.kernel, row.key_octets, row.icv_bits, row.key_octets * 8, row.status is Status.LEGACY)
    for row in ALGORITHMS
    if isinstance(row, Integrity)
] + [Hash("md5", "hmac(md5)", 16, 96, 128, True), Hash("aesxcbc", "xcbc(aes)", 16, 96, 128)]

CIPHERS = {cipher.name: cipher for cipher in _CIPHERS}
HASHES = {hash_.name: hash_ for hash_ in _HASHES}
NULL = CIPHERS["null"]

# As spi(8) spells them, with or without hmac- before.
_CLASSIC_HASHES = {
    "md5-96": "md5",
    "sha1-96": "sha1",
    "sha2-256-128": "sha256",
    "sha2-256-96": "sha256_96",
    "sha2-384-192": "sha384",
    "sha2-512-256": "sha512",
}
_NUMBERED = re.compile(r"([a-z]+)(128|192|256)")


def find_cipher(word: str, field: str) -> Cipher:
    """By name; ``twofish128`` is ``twofish`` with a key of 128 bits.

    :raises InputError: naming ``field``.
    """
    if word in CIPHERS:
        return CIPHERS[word]
    numbered = _NUMBERED.fullmatch(word)
    name, octets = (numbered[1], int(numbered[2]) // 8) if numbered else ("", 0)
    cipher = CIPHERS.get(name)
    if cipher is None or octets not in cipher.key_octets:
        raise InputError(field, word, "is no cipher known here", f"known are: {', '.join(CIPHERS)}")
    return cipher._replace(name=word, key_octets=(octets,))


def find_hash(word: str, field: str) -> Hash:
    """By name, or as spi(8) spells it (``hmac-md5-96``).

    :raises InputError: naming ``field``.
    """
    found = HASHES.get(_CLASSIC_HASHES.get(word.removeprefix("hmac-"), word))
    if found is None:
        known = ", ".join((*HASHES, *_CLASSIC_HASHES))
        raise InputError(field, word, "is no integrity algorithm known here", f"known are: {known}")
    return found


def split_classic(word: str, field: str) -> tuple[str, str]:
    """(cipher, integrity or nothing) of a transform such as ``3des-md5-96``.

    :raises InputError: naming ``field``.
    """
    cipher, dash, rest = word.partition("-")
    find_cipher(cipher, field)
    if dash:
        find_hash(rest, field)
    return cipher, rest


_PROC_CIPHERS = {
    "ecb(cipher_null)": "NULL",
    "cbc(des3_ede)": "3DES",
    "cbc(cast5)": "CAST",
    "rfc4106(gcm(aes))": "AES_GCM",
    "rfc7539esp(chacha20,poly1305)": "CHACHA20_POLY1305",
    "rfc4309(ccm(aes))": "AES_CCM",
    "rfc3686(ctr(aes))": "AES_CTR",
}
_PROC_HASHES = {
    "hmac(sha256)": "HMAC_SHA2_256",
    "hmac(sha384)": "HMAC_SHA2_384",
    "hmac(sha512)": "HMAC_SHA2_512",
    "xcbc(aes)": "AES_XCBC",
}
_BY_KERNEL = {cipher.kernel: cipher for cipher in reversed(_CIPHERS)}
_HASH_BY_KERNEL = {hash_.kernel: hash_ for hash_ in reversed(_HASHES)}


def proc_cipher(kernel: str) -> str:
    """The word of ``/proc/net/ipsec_spi``: ``3DES`` for ``cbc(des3_ede)``."""
    return _PROC_CIPHERS.get(kernel) or _plain(kernel.partition("(")[2].rstrip(")") or kernel)


def proc_hash(kernel: str) -> str:
    """The word of ``/proc/net/ipsec_spi``: ``HMAC_MD5`` for ``hmac(md5)``."""
    return _PROC_HASHES.get(kernel) or _plain(kernel)


def _plain(kernel: str) -> str:
    return re.sub(r"[^A-Z0-9]+", "_", kernel.upper()).strip("_")


def iv_bits(kernel: str) -> int:
    """Of the initialisation vector in each packet; 0 when it is not known."""
    return _BY_KERNEL[kernel].iv_octets * 8 if kernel in _BY_KERNEL else 0


def digest_bits(kernel: str) -> int:
    """Of the whole digest; 0 when it is not known."""
    return _HASH_BY_KERNEL[kernel].digest_bits if kernel in _HASH_BY_KERNEL else 0


def cipher_word(kernel: str, key_octets: int, icv_bits: int = 0) -> str:
    """Our name for what an SA of the kernel has: ``aes256`` for ``cbc(aes)`` with 32 octets."""
    kin = (c for c in _CIPHERS if c.kernel == kernel and icv_bits in (c.icv_bits, 0))
    return next((c.name for c in kin if key_octets in (*c.key_octets, 0)), kernel)


def hash_word(kernel: str, icv_bits: int) -> str:
    """Our name for what an SA of the kernel has, whatever bits of it travel where none of ours has as many."""
    kin = [h for h in _HASHES if h.kernel == kernel]
    return next((h.name for h in kin if h.icv_bits == icv_bits), kin[0].name if kin else kernel)
