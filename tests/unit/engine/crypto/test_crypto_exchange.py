# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Key exchanges: known answers, hostile values, agreement."""

from __future__ import annotations

from functools import partial

import pytest
from engine.crypto.diffie_hellman import Modp
from engine.crypto.entropy import SystemEntropy
from engine.crypto.exchange import answer_key_exchange, key_exchange_from, new_key_exchange
from engine.crypto.groups import modp_prime
from engine.crypto.registry import ALGORITHMS, Kind, by_name
from engine.errors import MESSAGE, IkeError
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.seeded_entropy import SeededEntropy

ROWS = [row for row in ALGORITHMS if row.kind is Kind.KE and not row.lacking]
MODP = [row for row in ROWS if row.name.startswith("modp")]
ECP = [row for row in ROWS if row.name.startswith("ecp")]
INVALID_SYNTAX = 7

# group, private i, public i, private r, public r, shared
KNOWN = {
    "x25519, RFC 7748 section 6.1": (
        31,
        "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a",
        "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a",
        "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb",
        "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f",
        "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742",
    ),
    "ecp256, RFC 5903 section 8.1": (
        19,
        "c88f01f510d9ac3f70a292daa2316de544e9aab8afe84049c62a9c57862d1433",
        (
            "dad0b65394221cf9b051e1feca5787d098dfe637fc90b9ef945d0c3772581180"
            "5271a0461cdb8252d61f1c456fa3e59ab1f45b33accf5f58389e0577b8990bb3"
        ),
        "c6ef9c5d78ae012a011164acb397ce2088685d8f06bf9be0b283ab46476bee53",
        (
            "d12dfb5289c8d4f81208b70270398c342296970a0bccb74c736fc7554494bf63"
            "56fbf3ca366cc23e8157854c13c58d6aac23f046ada30f8353e74f33039872ab"
        ),
        "d6840f6b42f6edafd13116e0e12565202fef8e9ece7dce03812464d04b9442de",
    ),
    "ecp256, RFC 5114 appendix A.6": (
        19,
        "814264145f2f56f2e96a8e337a1284993faf432a5abce59e867b7291d507a3af",
        (
            "2af502f3be8952f2c9b5a8d4160d09e97165be50bc42ae4a5e8d3b4ba83aeb15"
            "eb0faf4ca986c4d38681a0f9872d79d56795bd4bff6e6de3c0f5015ece5efd85"
        ),
        "2ce1788ec197e096db95a200cc0ab26a19ce6bccad562b8eee1b593761cf7f41",
        (
            "b120de4aa36492795346e8de6c2c8646ae06aaea279fa775b3ab0715f6ce51b0"
            "9f1b7eece20d7b5ed8ec685fa3f071d83727027092a8411385c34dde5708b2b6"
        ),
        "dd0f5396219d1ea393310412d19a08f1f5811e9dc8ec8eea7f80d21c820c2788",
    ),
    "ecp384, RFC 5114 appendix A.7": (
        20,
        "d27335ea71664af244dd14e9fd1260715dfd8a7965571c48d709ee7a7962a156d706a90cbcb5df2986f05feadb9376f1",
        (
            "793148f1787634d5da4c6d9074417d05e057ab62f82054d10ee6b0403d627954"
            "7e6a8ea9d1fd77427d016fe27a8b8c66c6c41294331d23e6f480f4fb4cd40504"
            "c947392e94f4c3f06b8f398bb29e42368f7a685923de3b67bacED214a1a1d128"
        ),
        "52d1791fdb4b70f89c0f00d456c2f7023b6125262c36a7df1f80231121cce3d39be52e00c194a4132c4a6c768bcd94d2",
        (
            "5cd42ab9c41b5347f74b8d4efb708b3d5b36db65915359b44abc17647b6b9999"
            "789d72a84865ae2f223f12b5a1abc120e171458feaa939aaa3a8bfac46b404bd"
            "8f6d5b348c0fa4d80ceca16356ca933240bde8723415a8ece035b0edf36755de"
        ),
        "5ea1fc4af7256d2055981b110575e0a8cae53160137d904c59d926eb1b8456e427aa8a4540884c37de159a58028abc0e",
    ),
    "ecp521, RFC 5114 appendix A.8": (
        21,
        (
            "0113f82da825735e3d97276683b2b74277bad27335ea71664af2430cc4f33459"
            "b9669ee78b3ffb9b8683015d344dcbfef6fb9af4c6c470be254516cd3c1a1fb4"
            "7362"
        ),
        (
            "01ebb34dd75721abf8adc9dbed17889cbb9765d90a7c60f2cef007bb0f2b26e1"
            "4881fd4442e689d61cb2dd046ee30e3ffd20f9a45bbdf6413d583a2dbf59924f"
            "d35c00f6b632d194c0388e22d8437e558c552ae195adfd153f92d74908351b2f"
            "8c4eda94edb0916d1b53c020b5eecaed1a5fc38a233e4830587bb2ee3489b3b4"
            "2a5a86a4"
        ),
        (
            "00cee3480d8645a17d249f2776d28bae616952d1791fdb4b70f7c3378732aa1b"
            "22928448bcd1dc2496d435b01048066ebe4f72903c361b1a9dc1193dc2c9d089"
            "1b96"
        ),
        (
            "010ebfafc6e85e08d24bfffcc1a4511db0e634beeb1b6dec8c5939ae44766201"
            "af6200430ba97c8ac6a0e9f08b33ce7e9feeb5ba4ee5e0d81510c24295b8a08d"
            "023500a4a6ec300df9e257b0372b5e7abfef093436719a77887ebb0b18cf8099"
            "b9f4212b6e30a1419c18e029d36863cc9d448f4dba4d2a0e60711be572915fbd"
            "4fef2695"
        ),
        (
            "00cdea89621cfa46b132f9e4cfe2261cde2d4368eb5656634c7cc98c7a00cde5"
            "4ed1866a0dd3e6126c9d2f845daff82ceb1da08f5d87521bb0ebeca77911169c"
            "20cc"
        ),
    ),
}


@pytest.mark.parametrize("name", KNOWN)
def test_known_answers(name):
    group, *values = KNOWN[name]
    private_i, public_i, private_r, public_r, shared = (bytes.fromhex(value) for value in values)
    initiator, responder = key_exchange_from(group, private_i), key_exchange_from(group, private_r)
    assert (initiator.public, responder.public) == (public_i, public_r)
    assert initiator.finish(public_r).reveal() == shared
    assert responder.finish(public_i).reveal() == shared


@pytest.mark.parametrize("row", MODP, ids=str)
def test_modp_against_integer_arithmetic(row):
    prime = modp_prime(row.public_octets * 8)
    exponent = int.from_bytes(b"\x5a" * 28, "big")
    exchange = new_key_exchange(row.transform_id)
    public = pow(2, exponent, prime).to_bytes(row.public_octets, "big")
    expected = pow(int.from_bytes(exchange.public, "big"), exponent, prime)
    assert exchange.finish(public).reveal() == expected.to_bytes(row.public_octets, "big")


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_both_sides_agree(row):
    entropy = SystemEntropy()
    initiator = entropy.key_exchange(row.transform_id)
    public, shared = entropy.answer(row.transform_id, initiator.public)
    assert initiator.group == row.transform_id
    assert (len(initiator.public), len(public)) == (row.public_octets, row.answer_octets)
    assert initiator.finish(public) == shared
    assert initiator.public != public


def test_modp_values_keep_their_leading_zeros():
    """Public value and secret are as long as the prime even when they are small (RFC 7296 sections 2.14, 3.4)."""
    exchange = key_exchange_from(14, b"\x07")
    assert exchange.public == (2**7).to_bytes(256, "big")
    assert exchange.finish((2**5).to_bytes(256, "big")).reveal() == (2**35).to_bytes(256, "big")


@pytest.mark.parametrize("row", MODP, ids=str)
@pytest.mark.parametrize("hostile", ["zero", "one", "p-1", "p", "p+1", "all ones"])
def test_modp_hostile_values(row, hostile):
    prime, size = modp_prime(row.public_octets * 8), row.public_octets
    value = {"zero": 0, "one": 1, "p-1": prime - 1, "p": prime, "p+1": prime + 1, "all ones": 256**size - 1}[hostile]
    with pytest.raises(IkeError) as caught:
        new_key_exchange(row.transform_id).finish(value.to_bytes(size, "big"))
    assert caught.value.notify == INVALID_SYNTAX
    assert row.name in caught.value.story


@pytest.mark.parametrize("row", ECP, ids=str)
@pytest.mark.parametrize("hostile", ["zero", "off the curve", "x too large", "compressed"])
def test_ecp_hostile_values(row, hostile):
    half = row.public_octets // 2
    exchange = new_key_exchange(row.transform_id)
    good = new_key_exchange(row.transform_id).public
    value = {
        "zero": bytes(2 * half),
        "off the curve": good[:-1] + bytes([good[-1] ^ 1]),
        "x too large": b"\xff" * half + good[half:],
        "compressed": b"\x02" + good[: 2 * half - 1],
    }[hostile]
    with pytest.raises(IkeError) as caught:
        exchange.finish(value)
    assert caught.value.notify == INVALID_SYNTAX


# Points of small order (RFC 7748 section 6.1): all lead to the all-zero secret.
@pytest.mark.parametrize(
    "value",
    [
        "00" * 32,
        "01" + "00" * 31,
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ],
)
def test_x25519_small_order(value):
    with pytest.raises(IkeError) as caught:
        new_key_exchange(31).finish(bytes.fromhex(value))
    assert caught.value.notify == INVALID_SYNTAX


@pytest.mark.parametrize("row", ROWS, ids=str)
@pytest.mark.parametrize("change", [-1, 1, None])
def test_wrong_size(row, change):
    exchange = new_key_exchange(row.transform_id)
    sides = ((row.answer_octets, exchange.finish), (row.public_octets, partial(answer_key_exchange, row.transform_id)))
    for size, take in sides:
        octets = size + change if change is not None else 0
        with pytest.raises(IkeError) as caught:
            take(b"\x05" * octets)
        assert (caught.value.notify, caught.value.scope) == (INVALID_SYNTAX, MESSAGE)
        assert str(octets) in caught.value.story


@pytest.mark.parametrize("value", [b"short", b"\xff" * 1024])
def test_a_value_outside_of_the_group_costs_no_key_generation(monkeypatch, value):
    def generate(_self):
        raise AssertionError("generated a key pair")

    monkeypatch.setattr(Modp, "generate", generate)
    with pytest.raises(IkeError):
        answer_key_exchange(18, value)


@pytest.mark.parametrize("group", [0, 1, 22, 24, 1024, 65535])
def test_unknown_groups(group):
    with pytest.raises(IkeError):
        new_key_exchange(group)
    with pytest.raises(IkeError):
        answer_key_exchange(group, b"")


@pytest.mark.parametrize("group", [31, 19, 20, 21, 14])
def test_only_ike_errors_escape(group):
    exchange = new_key_exchange(group)
    size = next(row.public_octets for row in ROWS if row.transform_id == group)

    @settings(max_examples=60, deadline=None)
    @given(st.one_of(st.binary(max_size=300), st.binary(min_size=size, max_size=size)))
    def attempt(value):
        try:
            assert exchange.finish(value).reveal() != b""
        except IkeError as exc:
            assert exc.notify == INVALID_SYNTAX

    attempt()


@pytest.mark.parametrize("name", ["x25519", "ecp256", "ecp384", "ecp521", "modp2048"])
def test_seeded_entropy_repeats_itself(name):
    group = by_name(Kind.KE, name).transform_id
    first, second, other = SeededEntropy(7), SeededEntropy(7), SeededEntropy(8)
    assert first.octets(40) == second.octets(40) != other.octets(40)
    assert first.key_exchange(group).public == second.key_exchange(group).public
    assert first.key_exchange(group).public != other.key_exchange(group).public
    theirs = new_key_exchange(group)
    public, shared = SeededEntropy(9).answer(group, theirs.public)
    assert (public, shared) == SeededEntropy(9).answer(group, theirs.public)
    assert theirs.finish(public) == shared


def test_system_entropy_does_not():
    entropy = SystemEntropy()
    assert len(entropy.octets(32)) == 32
    assert entropy.octets(32) != entropy.octets(32)
    assert entropy.key_exchange(31).public != entropy.key_exchange(31).public


def test_nothing_shows_the_secret():
    exchange = key_exchange_from(31, bytes(range(32)))
    shared = exchange.finish(new_key_exchange(31).public)
    assert shared.reveal().hex() not in repr(shared) + repr(exchange)
    assert repr(exchange) == "<KeyExchange x25519>"
