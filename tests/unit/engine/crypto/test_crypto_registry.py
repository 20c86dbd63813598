# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of algorithms: consistent in itself and with the sizes that the RFCs give."""

from __future__ import annotations

import hashlib
import re

import pytest
from engine.crypto.groups import modp_prime
from engine.crypto.proposals import AH_PROFILES, ESP_PROFILES, IKE_PROFILES
from engine.crypto.registry import ALGORITHMS, Kind, Status, by_name, by_transform, names

# SHA-256 of the primes of RFC 2409 (1024) and RFC 3526, big-endian; equal to OpenSSL's modp_1536 ... modp_8192.
PRIMES = {
    1024: "3f35a3f5f6c4376a744acad409bb22f8d897f949d2311d885adaa890981b67a0",
    1536: "64fcc83ec403930bf18393dbc883ccaa1fbb08ac876f77f7aa99748ca945019b",
    2048: "d66436f79bbd6b2e38c0ffbd079be904d2641415e2e67140e09448be9a60890e",
    3072: "48cf8b092fbce4359d9871abf74f98e25b6163379eaa15cd9087e800c6d1c55c",
    4096: "4ee95187682bcb230ad26a95205f6920e84708f6251b3894329b09ec23919e33",
    6144: "d1bfe6d0925ce7e4da262b62861514a7755e35831e429f343e7b864848657efd",
    8192: "39ab4feab950a3128fb71accb9fc3965d857012e081998a85996e3ea8b3c3bcf",
}


@pytest.mark.parametrize("row", ALGORITHMS, ids=repr)
def test_rows_are_found_by_name_and_by_transform(row):
    assert by_name(row.kind, row.name) is row
    on_the_wire = by_name(Kind.INTEG, "sha256") if row.name == "sha256_96" else row
    assert by_transform(int(row.kind), row.transform_id, row.key_length) is on_the_wire


def test_names_and_transforms_are_unique():
    assert len({(row.kind, row.name) for row in ALGORITHMS}) == len(ALGORITHMS)
    transforms = {(row.kind, row.transform_id, row.key_length) for row in ALGORITHMS if row.name != "sha256_96"}
    assert len(transforms) == len(ALGORITHMS) - 1


def test_unknown_is_none():
    assert by_name(Kind.ENCR, "rot13") is None
    assert by_name(Kind.KE, "aes256") is None
    assert by_transform(Kind.KE, 1024) is None
    assert by_transform(99, 1) is None


@pytest.mark.parametrize("transform_id", [12, 13, 14, 15, 16, 20])
def test_aes_needs_its_key_length(transform_id):
    assert by_transform(Kind.ENCR, transform_id) is None
    assert by_transform(Kind.ENCR, transform_id, 257) is None
    assert by_transform(Kind.ENCR, transform_id, 128).key_octets == 16


def test_fixed_key_ciphers_take_no_key_length():
    assert by_transform(Kind.ENCR, 28, 256) is None
    assert by_transform(Kind.ENCR, 3, 192) is None
    assert by_transform(Kind.ENCR, 28).name == "chacha20poly1305"


@pytest.mark.parametrize(
    ("name", "key", "salt", "iv", "icv"),
    [
        ("aes128gcm16", 16, 4, 8, 16),
        ("aes192gcm16", 24, 4, 8, 16),
        ("aes256gcm16", 32, 4, 8, 16),
        ("chacha20poly1305", 32, 4, 8, 16),
        ("aes128ccm8", 16, 3, 8, 8),
        ("aes192ccm12", 24, 3, 8, 12),
        ("aes256ccm16", 32, 3, 8, 16),
        ("aes128ctr", 16, 4, 8, 0),
        ("aes256", 32, 0, 16, 0),
        ("3des", 24, 0, 8, 0),
        ("null", 0, 0, 0, 0),
    ],
)
def test_cipher_sizes(name, key, salt, iv, icv):
    row = by_name(Kind.ENCR, name)
    assert (row.key_octets, row.salt_octets, row.iv_octets, row.icv_octets) == (key, salt, iv, icv)
    assert row.aead is bool(icv)


@pytest.mark.parametrize(
    ("name", "number", "key", "icv"),
    [
        ("sha1", 2, 20, 96),
        ("sha256", 12, 32, 128),
        ("sha256_96", 12, 32, 96),
        ("sha384", 13, 48, 192),
        ("sha512", 14, 64, 256),
    ],
)
def test_integrity_sizes(name, number, key, icv):
    row = by_name(Kind.INTEG, name)
    assert (row.transform_id, row.key_octets, row.icv_bits, row.icv_octets * 8) == (number, key, icv, icv)
    assert row.kernel == f"hmac({name.partition('_')[0]})"


def test_legacy_rows():
    legacy = {(row.kind.name, row.name) for row in ALGORITHMS if row.status is Status.LEGACY}
    old = {("ENCR", f"aes{bits}{mode}") for bits in (128, 192, 256) for mode in ("ctr", "ccm8", "ccm12", "ccm16")}
    old |= {("ENCR", "3des"), ("PRF", "sha1"), ("INTEG", "sha1"), ("INTEG", "sha256_96")}
    assert legacy == old | {("KE", "modp1536"), ("KE", "modp1024")}


def test_what_only_old_peers_need_is_in_no_profile():
    assert IKE_PROFILES.keys() == ESP_PROFILES.keys() == AH_PROFILES.keys()
    words = "-".join(
        text for table in (IKE_PROFILES, ESP_PROFILES, AH_PROFILES) for texts in table.values() for text in texts
    )
    assert not re.search("ccm|ctr|_96", words)


def test_every_cipher_and_integrity_row_has_a_kernel_name():
    assert all(row.kernel for row in ALGORITHMS if row.kind in (Kind.ENCR, Kind.INTEG))
    assert names(Kind.ESN) == ("esn", "noesn")


@pytest.mark.parametrize("bits", PRIMES)
def test_modp_primes(bits):
    prime = modp_prime(bits)
    assert prime.bit_length() == bits
    assert hashlib.sha256(prime.to_bytes(bits // 8, "big")).hexdigest() == PRIMES[bits]
    if bits <= 4096:  # a Fermat test of the larger ones takes seconds
        assert pow(3, prime - 1, prime) == 1
        assert pow(3, prime // 2 - 1, prime // 2) == 1
