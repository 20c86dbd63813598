# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PRFs against RFC 4231, prf+ against RFC 5869 (HKDF-Expand is the same construction)."""

from __future__ import annotations

import hashlib
import hmac

import pytest
from engine.crypto.prf import prf_plus
from engine.crypto.registry import Kind, by_name

FUNCTIONS = {name: by_name(Kind.PRF, name).primitive for name in ("sha1", "sha256", "sha384", "sha512")}

# RFC 4231 test cases 1, 2 and 6: key, data, {hash: digest}
RFC_4231 = [
    (
        b"\x0b" * 20,
        b"Hi There",
        {
            "sha256": "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
            "sha384": "afd03944d84895626b0825f4ab46907f15f9dadbe4101ec682aa034c7cebc59c"
            "faea9ea9076ede7f4af152e8b2fa9cb6",
            "sha512": "87aa7cdea5ef619d4ff0b4241a1d6cb02379f4e2ce4ec2787ad0b30545e17cde"
            "daa833b7d6b8a702038b274eaea3f4e4be9d914eeb61f1702e696c203a126854",
        },
    ),
    (
        b"Jefe",
        b"what do ya want for nothing?",
        {
            "sha256": "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            "sha384": "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e"
            "8e2240ca5e69e2c78b3239ecfab21649",
            "sha512": "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554"
            "9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737",
        },
    ),
    (
        b"\xaa" * 131,
        b"Test Using Larger Than Block-Size Key - Hash Key First",
        {
            "sha256": "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
            "sha384": "4ece084485813e9088d2c63a041bc5b44f9ef1012a2b588f3cd11f05033ac4c6"
            "0c2ef6ab4030fe8296248df163f44952",
            "sha512": "80b24263c7c1a3ebb71493c1dd7be8b49b46d1f41b4aeec1121b013783f8f352"
            "6b56d037e05f2598bd0fd2215d6a1e5295e64f73f63f0aec8b915a985d786598",
        },
    ),
]

# RFC 5869 test cases 1, 2 (SHA-256) and 4 (SHA-1): hash, key (PRK), seed (info), stream (OKM)
RFC_5869 = [
    (
        "sha256",
        "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5",
        bytes(range(0xF0, 0xFA)),
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
    ),
    (
        "sha256",
        "06a6b88c5853361a06104c9ceb35b45cef760014904671014a193f40c15fc244",
        bytes(range(0xB0, 0x100)),
        (
            "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c"
            "59045a99cac7827271cb41c65e590e09da3275600c2f09b8367793a9aca3db71"
            "cc30c58179ec3e87c14c01d5c1f3434f1d87"
        ),
    ),
    (
        "sha1",
        "9b6c18c432a7bf8f0e71c8eb88f4b30baa2ba243",
        bytes(range(0xF0, 0xFA)),
        "085a01ea1b10f36933068b56efa5ad81a4f14b822f5b091568a9cdd4f155fda2c22e422478d305f3f896",
    ),
]


@pytest.mark.parametrize("name", ["sha256", "sha384", "sha512"])
@pytest.mark.parametrize(("key", "data", "digests"), RFC_4231)
def test_prf_known_answers(name, key, data, digests):
    function = FUNCTIONS[name]
    assert function.digest(key, data).hex() == function.keyed(key)(data).hex() == digests[name]
    assert function.size == len(digests[name]) // 2


def test_prf_sha1_rfc_2202():
    assert FUNCTIONS["sha1"].digest(b"Jefe", b"what do ya want for nothing?").hex() == (
        "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"
    )


@pytest.mark.parametrize(("name", "key", "seed", "stream"), RFC_5869)
def test_prf_plus_known_answers(name, key, seed, stream):
    expected = bytes.fromhex(stream)
    assert prf_plus(FUNCTIONS[name], bytes.fromhex(key), seed, len(expected)) == expected


@pytest.mark.parametrize("name", list(FUNCTIONS))
def test_prf_plus_follows_the_definition(name):
    """T1 = prf(K, S | 1), Tn = prf(K, Tn-1 | S | n), written down a second time."""
    expected, block = b"", b""
    for number in range(1, 256):
        block = hmac.new(b"key", block + b"seed" + bytes([number]), getattr(hashlib, name)).digest()
        expected += block
    function = FUNCTIONS[name]
    for count in (1, function.size - 1, function.size, function.size + 1, 255 * function.size):
        assert prf_plus(function, b"key", b"seed", count) == expected[:count]
    assert prf_plus(function, b"key", b"seed", 0) == b""


def test_prf_plus_ends_with_its_counter():
    function = FUNCTIONS["sha256"]
    with pytest.raises(ValueError, match="255"):
        prf_plus(function, b"key", b"seed", 255 * 32 + 1)
