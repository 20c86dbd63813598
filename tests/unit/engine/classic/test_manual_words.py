# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SAs keyed by hand as people write them: what is read, what is refused, and that no key is ever told."""

from __future__ import annotations

import traceback
from typing import Any

import pytest
from engine.classic.manual import differing
from engine.classic.manual_show import show_sa
from engine.classic.manual_words import read_key, read_wish
from engine.classic.transforms import CIPHERS, HASHES, find_cipher, find_hash, split_classic
from engine.errors import InputError
from engine.kernel.values import Sa

KEY = "0x" + "5a" * 32
GOOD = {
    "said": "esp.115@192.0.2.2",
    "source": "192.0.2.1",
    "encryption": {"algorithm": "aes256", "key": KEY},
    "integrity": {"algorithm": "sha256", "key": KEY},
}
TUN = {"said": "tun.113@192.0.2.2", "source": "192.0.2.1"}


def words(**changes: Any) -> dict[str, Any]:
    return {**GOOD, **changes}


@pytest.mark.parametrize(
    ("wish", "problem"),
    [
        (words(said=None), "said: names no SA"),
        (words(said="%drop"), "said: is an action and no SA"),
        (words(said="esp.ff@192.0.2.2"), "said: SPIs below 0x100 are reserved"),
        (words(said="esp.1ffffffff@192.0.2.2"), "said: SPI does not fit in 32 bits"),
        (words(source=None), "source: is needed for esp.115@192.0.2.2"),
        (words(source="2001:db8::1"), "source: is of another family than 192.0.2.2"),
        (words(mode="beet"), "mode: is no mode"),
        (words(encryption=None), "encryption.algorithm: is needed"),
        (words(encryption={"algorithm": "rot13", "key": KEY}), "encryption.algorithm: is no cipher known here"),
        (words(encryption={"algorithm": "aes200", "key": KEY}), "encryption.algorithm: is no cipher known here"),
        (words(encryption={"algorithm": "aes256"}), "encryption.key: aes256 needs a key"),
        (words(encryption={"algorithm": "aes256", "key": KEY[2:]}), "encryption.key: is no key"),
        (words(encryption={"algorithm": "aes256", "key": "0s" + KEY}), "encryption.key: is no key"),
        (words(encryption={"algorithm": "aes256gcm16", "key": KEY}), "give one of 288 bits, the salt of 32 at its end"),
        (words(encryption={"algorithm": "null", "key": KEY}), "encryption.key: has 256 bits, which null does not take"),
        (
            words(encryption={"algorithm": "aes256gcm16", "key": "0x" + "5a" * 36}),
            "integrity.algorithm: cannot stand beside aes256gcm16",
        ),
        (words(encryption={"algorithm": "null"}, integrity=None), "encryption: alone protects nothing"),
        (words(integrity={"algorithm": "crc32", "key": KEY}), "integrity.algorithm: is no integrity algorithm"),
        (
            words(integrity={"algorithm": "sha512", "key": KEY}),
            "integrity.key: has 256 bits, which sha512 does",
        ),
        (words(said="ah.115@192.0.2.2"), "encryption: is nothing for ah.115@192.0.2.2"),
        (words(said="ah.115@192.0.2.2", encryption=None, integrity=None), "integrity.algorithm: is needed"),
        (words(said="comp.115@192.0.2.2"), "encryption: is nothing for comp.115@192.0.2.2"),
        (words(compression="deflate"), "compression: is nothing for esp.115@192.0.2.2"),
        ({**TUN, "mode": "tunnel"}, "mode: is nothing for tun.113@192.0.2.2, which is the name of a tunnel alone"),
        ({**TUN, "reqid": 7}, "reqid: is nothing for tun.113@192.0.2.2"),
        ({"said": "comp.12345@192.0.2.2", "source": "192.0.2.1"}, "said: the SPI of IPComp has 16 bits"),
        ({"said": "comp.115@192.0.2.2", "source": "192.0.2.1", "compression": "lzs"}, "compression: is no compression"),
        (words(replay_window=5000), "replay_window: is out of range"),
        (words(lifetime={"hard_packets": -1}), "lifetime.hard_packets: is out of range"),
        (words(encapsulation={"source_port": 0}), "encapsulation.source_port: is out of range"),
        (words(encapsulation={"destination_port": 70000}), "encapsulation.destination_port: is out of range"),
        (words(reqid=0x66000001), "reqid: is out of the range of tunnels and shunts"),
        (words(reqid=0x66800000), "reqid: is out of the range of tunnels and shunts"),
        (words(reqid=0), "reqid: is out of range"),
    ],
)
def test_what_is_wrong_is_named_without_a_key(wish: dict[str, Any], problem: str) -> None:
    with pytest.raises(InputError) as caught:
        read_wish(wish, "sas[1].")
    assert str(caught.value).startswith("sas[1].") and problem in str(caught.value)
    text = "".join(traceback.format_exception(caught.value))
    assert "5a5a" not in text.replace(repr(wish), "") and "5a5a" not in repr(caught.value)


@pytest.mark.parametrize(
    "text", ["0x" + "0f" * 16, "0X" + "0F" * 16, "0sDw8PDw8PDw8PDw8PDw8PDw==", "0x0f0f0f0f_0f0f0f0f_" + "0f" * 8]
)
def test_keys_in_hexadecimal_and_base64(text: str) -> None:
    assert read_key(text, "key").reveal() == b"\x0f" * 16


@pytest.mark.parametrize("text", ["", "0f" * 16, "0x0", "0xzz", "0s!!", "0s%", None, 7])
def test_other_texts_are_no_keys(text: object) -> None:
    with pytest.raises(InputError) as caught:
        read_key(text, "--enckey")
    assert caught.value.__cause__ is None and caught.value.__context__ is None


@pytest.mark.parametrize(
    ("word", "kernel", "bits"),
    [
        ("aes256gcm16", "rfc4106(gcm(aes))", {288}),
        ("chacha20poly1305", "rfc7539esp(chacha20,poly1305)", {288}),
        ("aes", "cbc(aes)", {128, 192, 256}),
        ("aes128", "cbc(aes)", {128}),
        ("3des", "cbc(des3_ede)", {192}),
        ("twofish128", "cbc(twofish)", {128}),
        ("camellia", "cbc(camellia)", {128, 192, 256}),
        ("null", "ecb(cipher_null)", {0}),
    ],
)
def test_ciphers_by_their_names(word: str, kernel: str, bits: set[int]) -> None:
    cipher = find_cipher(word, "esp")
    assert cipher.kernel == kernel and {octets * 8 for octets in cipher.key_octets} == bits


@pytest.mark.parametrize(
    ("word", "kernel", "icv"),
    [
        ("sha256", "hmac(sha256)", 128),
        ("hmac-md5-96", "hmac(md5)", 96),
        ("md5-96", "hmac(md5)", 96),
        ("hmac-sha1-96", "hmac(sha1)", 96),
        ("sha2-512-256", "hmac(sha512)", 256),
    ],
)
def test_hashes_by_their_names(word: str, kernel: str, icv: int) -> None:
    assert (find_hash(word, "ah").kernel, find_hash(word, "ah").icv_bits) == (kernel, icv)


def test_classic_transforms_are_a_cipher_and_a_hash() -> None:
    assert split_classic("3des-md5-96", "--esp") == ("3des", "md5-96")
    assert split_classic("aes", "--esp") == ("aes", "")
    for word in ("3des-", "md5-96", "3des-crc-32", "-md5-96", "3DES-md5-96"):
        with pytest.raises(InputError) as caught:
            split_classic(word, "--esp")
        assert caught.value.field == "--esp"


def test_what_is_weak_is_warned_of() -> None:
    assert read_wish(GOOD).warnings == ()
    assert "without integrity" in read_wish(words(integrity=None)).warnings[0]
    old = words(
        encryption={"algorithm": "3des", "key": "0x" + "40" * 24},
        integrity={"algorithm": "md5", "key": "0x" + "40" * 16},
    )
    assert ["outdated" in warning for warning in read_wish(old).warnings] == [True, True]
    gcm = words(encryption={"algorithm": "aes128gcm16", "key": "0x" + "40" * 20}, integrity=None)
    assert "breaks when a key is ever used again" in read_wish(gcm).warnings[0]


def test_only_what_the_kernel_shows_is_compared() -> None:
    one, other = made(GOOD), made(words(encryption={"algorithm": "aes256", "key": "0x" + "77" * 32}))
    assert differing(one, other, keys_hidden=False) == ("encryption.key",)
    assert differing(one, other, keys_hidden=True) == ()
    assert differing(one, one, keys_hidden=False) == ()


def made(wish: dict[str, Any]) -> Sa:
    sa = read_wish(wish).sa
    assert sa is not None
    return sa


@pytest.mark.parametrize("cipher", CIPHERS)
def test_no_key_is_shown(cipher: str) -> None:
    octets = CIPHERS[cipher].key_octets[0]
    key = "0x" + "5a" * octets if octets else None
    integrity = None if CIPHERS[cipher].icv_bits else GOOD["integrity"]
    wish = read_wish(words(encryption={"algorithm": cipher, "key": key}, integrity=integrity))
    assert wish.sa is not None
    shown = show_sa(wish.said, wish.sa, None, ("encryption.key", "integrity.key"), "another one")
    assert "5a5a" not in repr(wish) + repr(shown) and shown["encryption"]["key"] == "another one"


def test_names_of_algorithms_are_unique_to_the_kernel() -> None:
    assert len({(hash_.kernel, hash_.icv_bits) for hash_ in HASHES.values()}) == len(HASHES)
