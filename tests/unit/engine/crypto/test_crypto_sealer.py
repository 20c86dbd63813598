# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Encrypted payload's body: published vectors, scapy's ESP as an independent judge, tampering."""

from __future__ import annotations

import hmac

import pytest
from engine.crypto.entropy import SystemEntropy
from engine.crypto.registry import Kind, by_name
from engine.crypto.sealer import Sealer
from engine.errors import MESSAGE, IkeError
from engine.secret import Secret
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.seeded_entropy import SeededEntropy

GCMS = ["aes128gcm16", "aes192gcm16", "aes256gcm16"]
AEADS = [*GCMS, "chacha20poly1305", "aes128ccm8", "aes192ccm12", "aes256ccm16"]
CBCS = [("aes128", "sha256"), ("aes192", "sha384"), ("aes256", "sha512"), ("3des", "sha1")]
COUNTERS = [("aes128ctr", "sha1"), ("aes256ctr", "sha256")]
SUITES = [(name, None) for name in AEADS] + CBCS + COUNTERS


def sealer(encryption, integrity=None, key=None, integrity_key=None):
    encr = by_name(Kind.ENCR, encryption)
    integ = by_name(Kind.INTEG, integrity) if integrity else None
    key = bytes(range(encr.key_octets + encr.salt_octets)) if key is None else key
    if integrity_key is None:
        integrity_key = bytes(range(100, 100 + integ.key_octets)) if integ else b""
    return Sealer(encr, integ, Secret(key), Secret(integrity_key))


def test_rfc_7634_ikev2_example():
    """Appendix B: an INFORMATIONAL with one Notify payload."""
    key = bytes(range(0x80, 0xA4))
    head = bytes.fromhex("c0c1c2c3c4c5c6c7d0d1d2d3d4d5d6d72e202500000000090000004529000029")
    plaintext = bytes.fromhex("0000000c000040010000000a")
    iv, sealed = "1011121314151617", "610394701f8d017f7c129248896b71bfe25236efd7cdc67066906315b2"
    body = bytes.fromhex(iv + sealed)
    ours = sealer("chacha20poly1305", key=key)
    ours.messages = 0x1011121314151617
    assert ours.seal(head, plaintext, SystemEntropy()) == body
    assert sealer("chacha20poly1305", key=key).open(head, body) == plaintext


# McGrew & Viega, "The Galois/Counter Mode of Operation", test cases 4, 10 and 16: same plaintext, IV and AAD.
GCM = {
    "aes128gcm16": (
        "feffe9928665731c6d6a8f9467308308",
        (
            "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e"
            "21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091"
        ),
        "5bc94fbc3221a5db94fae95ae7121a47",
    ),
    "aes192gcm16": (
        "feffe9928665731c6d6a8f9467308308feffe9928665731c",
        (
            "3980ca0b3c00e841eb06fac4872a2757859e1ceaa6efd984628593b40ca1e19c"
            "7d773d00c144c525ac619d18c84a3f4718e2448b2fe324d9ccda2710"
        ),
        "2519498e80f1478f37ba55bd6d27618c",
    ),
    "aes256gcm16": (
        "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
        (
            "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
            "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"
        ),
        "76fc6ece0f4e1768cddf8853bb2d551b",
    ),
}


@pytest.mark.parametrize("name", GCM)
def test_gcm_known_answers(name):
    """The vector's last octet, 0x39, reads as a pad length of 57: two octets are left."""
    key, ciphertext, tag = (bytes.fromhex(value) for value in GCM[name])
    salt, iv = bytes.fromhex("cafebabe"), bytes.fromhex("facedbaddecaf888")
    head = bytes.fromhex("feedfacedeadbeeffeedfacedeadbeefabaddad2")
    assert sealer(name, key=key + salt).open(head, iv + ciphertext + tag) == bytes.fromhex("d931")


SCAPY = {
    "aes128gcm16": ("AES-GCM", "NULL"),
    "aes256gcm16": ("AES-GCM", "NULL"),
    "chacha20poly1305": ("CHACHA20-POLY1305", "NULL"),
    "aes128ccm16": ("AES-CCM", "NULL"),
    "aes256ccm16": ("AES-CCM", "NULL"),
    "aes128ctr": ("AES-CTR", "SHA2-256-128"),
    "aes256ctr": ("AES-CTR", "HMAC-SHA1-96"),
    "aes256": ("AES-CBC", "SHA2-256-128"),
    "aes128": ("AES-CBC", "SHA2-512-256"),
    "3des": ("3DES", "HMAC-SHA1-96"),
}
SCAPY_INTEGRITY = {"NULL": None, "SHA2-256-128": "sha256", "SHA2-512-256": "sha512", "HMAC-SHA1-96": "sha1"}


@pytest.mark.parametrize("name", SCAPY)
def test_opens_what_scapy_seals_and_the_reverse(name):
    """ESP has the same body behind SPI and sequence number; its last octet, the next header, plays the pad length."""
    ipsec = pytest.importorskip("scapy.layers.ipsec")
    inet = pytest.importorskip("scapy.layers.inet")
    cipher, auth = SCAPY[name]
    if ipsec.CRYPT_ALGOS[cipher].cipher is None:
        pytest.skip(f"this scapy cannot do {cipher}")
    row = by_name(Kind.ENCR, name)
    integrity = SCAPY_INTEGRITY[auth]
    key = bytes(range(1, 1 + row.key_octets + row.salt_octets))
    auth_key = bytes(range(50, 50 + by_name(Kind.INTEG, integrity).key_octets)) if integrity else b""
    sa = ipsec.SecurityAssociation(
        ipsec.ESP, spi=0xC0FFEE01, crypt_algo=cipher, crypt_key=key, auth_algo=auth, auth_key=auth_key or None
    )
    packet = inet.IP(src="192.0.2.1", dst="192.0.2.2") / inet.UDP(sport=1000, dport=2000) / (b"payload " * 5)
    protected = bytes(sa.encrypt(packet, seq_num=77)[ipsec.ESP])
    head, body = protected[:8], protected[8:]
    ours = sealer(name, integrity, key, auth_key)
    opened = ours.open(head, body)
    segment = bytes(packet[inet.UDP])
    assert len(opened) > len(segment) - 17  # the 17 octets that the next header (UDP) takes for padding
    assert segment.startswith(opened[: len(segment)])

    # The other way: a segment whose last octets serve as ESP's trailer: pad length 0, next header 17.
    block = row.block_octets
    inner = segment + bytes(range(1, 1 + (-(len(segment) + 2)) % max(block, 4)))
    inner += bytes([len(inner) - len(segment)])
    sealed = _seal_with_last_octet(ours, head, inner, 17)
    again = sa.decrypt(inet.IP(src="192.0.2.1", dst="192.0.2.2", proto=50) / ipsec.ESP(head + sealed))
    assert bytes(again[inet.UDP]) == segment


def _seal_with_last_octet(ours, head, inner, last):
    """Seal through the mode below the padding, which is all that ESP and the Encrypted payload do differently."""
    return ours._mode.seal(head, inner + bytes([last]), SystemEntropy())


# RFC 3686 section 6, test vectors 1 and 7: key, nonce, IV, plaintext, ciphertext.
CTR = {
    "aes128ctr": (
        "ae6852f8121067cc4bf7a5765577f39e", "00000030", "0000000000000000",
        b"Single block msg".hex(), "e4095d4fb7a7b3792d6175a3261311b8",
    ),
    "aes256ctr": (
        "776beff2851db06f4c8a0542c8696f6c6a81af1eec96b4d37fc1d689e6c1c104", "00000060", "db5672c97aa8f0b2",
        b"Single block msg".hex(), "145ad01dbf824ec7560863dc71e3e0c0",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CTR)
def test_counter_mode_known_answers(name):
    key, nonce, iv, plaintext, ciphertext = (bytes.fromhex(value) for value in CTR[name])
    cipher = by_name(Kind.ENCR, name).primitive
    assert cipher.encrypt(key + nonce, iv, plaintext) == ciphertext
    assert cipher.decrypt(key + nonce, iv, ciphertext) == plaintext


def test_counter_mode_counts_its_ivs():
    """An IV that comes twice under one key gives both messages away: who resumes an SA goes on counting."""
    ours = sealer("aes128ctr", "sha256")
    ivs = [ours.seal(b"head", b"inner", SeededEntropy(1))[:8] for _message in range(3)]
    again = sealer("aes128ctr", "sha256")
    again.messages = ours.messages
    ivs.append(again.seal(b"head", b"inner", SeededEntropy(1))[:8])
    assert [int.from_bytes(iv, "big") for iv in ivs] == [0, 1, 2, 3]


def test_cbc_is_encrypt_then_mac_over_the_head():
    ours = sealer("aes256", "sha256")
    body = ours.seal(b"head", b"inner payloads", SeededEntropy(1))
    key = bytes(range(100, 132))
    assert body[-16:] == hmac.digest(key, b"head" + body[:-16], "sha256")[:16]
    assert body[:16] == SeededEntropy(1).octets(16)


@pytest.mark.parametrize(("encryption", "integrity"), SUITES)
def test_round_trip_of_every_length(encryption, integrity):
    ours, theirs = sealer(encryption, integrity), sealer(encryption, integrity)
    entropy = SystemEntropy()
    for count in range(50):
        plaintext = bytes(range(count))
        body = ours.seal(b"head", plaintext, entropy)
        assert len(body) == ours.sealed_length(count)
        assert theirs.open(b"head", body) == plaintext
    assert ours.messages == 50


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(SUITES), st.binary(max_size=200), st.binary(max_size=3000))
def test_round_trip(suite, head, plaintext):
    body = sealer(*suite).seal(head, plaintext, SystemEntropy())
    assert sealer(*suite).open(head, body) == plaintext


@pytest.mark.parametrize(("encryption", "integrity"), SUITES)
def test_every_flipped_bit_is_noticed(encryption, integrity):
    ours = sealer(encryption, integrity)
    head, body = b"header and generic header", ours.seal(b"header and generic header", b"inner", SystemEntropy())
    for octet in range(len(head)):
        flipped = head[:octet] + bytes([head[octet] ^ 1]) + head[octet + 1 :]
        with pytest.raises(IkeError):
            ours.open(flipped, body)
    for bit in range(len(body) * 8):
        octet = bit // 8
        with pytest.raises(IkeError) as caught:
            ours.open(head, body[:octet] + bytes([body[octet] ^ (1 << bit % 8)]) + body[octet + 1 :])
        assert (caught.value.notify, caught.value.scope) == (0, MESSAGE)


@pytest.mark.parametrize(("encryption", "integrity"), SUITES)
def test_truncated_and_extended(encryption, integrity):
    ours = sealer(encryption, integrity)
    body = ours.seal(b"head", b"inner", SystemEntropy())
    for count in range(len(body)):
        with pytest.raises(IkeError):
            ours.open(b"head", body[:count])
    with pytest.raises(IkeError):
        ours.open(b"head", body + b"\0")


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(SUITES), st.binary(max_size=100), st.binary(max_size=400))
def test_only_ike_errors_escape(suite, head, body):
    with pytest.raises(IkeError):
        sealer(*suite).open(head, body)


@pytest.mark.parametrize(("encryption", "integrity"), SUITES)
def test_padding_longer_than_the_content(encryption, integrity):
    """Authentic, and still nonsense: the peer holds the key and sends a pad length that does not fit."""
    ours = sealer(encryption, integrity)
    block = by_name(Kind.ENCR, encryption).block_octets
    content = bytes(15) if block > 1 else bytes(3)
    body = _seal_with_last_octet(ours, b"head", content, 200)
    with pytest.raises(IkeError, match="padding"):
        ours.open(b"head", body)


@pytest.mark.parametrize(("encryption", "integrity"), SUITES)
def test_padding_of_any_content_and_length_is_accepted(encryption, integrity):
    """RFC 7296 section 3.14: the sender chooses how much, and the recipient must accept any."""
    ours = sealer(encryption, integrity)
    body = _seal_with_last_octet(ours, b"head", b"payloads" + b"\xab" * 23, 23)
    assert ours.open(b"head", body) == b"payloads"


@pytest.mark.parametrize("encryption", AEADS)
def test_an_aead_iv_never_repeats(encryption):
    ours = sealer(encryption)
    ivs = [ours.seal(b"", b"same", SeededEntropy(0))[:8] for _unused in range(100)]
    assert ivs == [number.to_bytes(8, "big") for number in range(100)]


def test_a_cipher_without_integrity_is_refused():
    with pytest.raises(ValueError, match="integrity"):
        sealer("aes256", None, integrity_key=b"")


def test_a_message_of_the_other_direction_is_refused():
    ours, theirs = sealer("aes256gcm16"), sealer("aes256gcm16", key=bytes(36))
    with pytest.raises(IkeError):
        theirs.open(b"head", ours.seal(b"head", b"inner", SystemEntropy()))


def test_nothing_shows_a_key():
    key = bytes(range(36))
    assert repr(sealer("aes256gcm16", key=key)) == "<Sealer 0 messages>"
