# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ML-KEM as a key exchange: known answers, two values of different sizes, hostile values."""

from __future__ import annotations

import hashlib

import pytest
from engine.crypto.exchange import answer_key_exchange, key_exchange_from, new_key_exchange
from engine.crypto.registry import Kind, by_name
from engine.errors import MESSAGE, IkeError

from tests.ml_kem_reference import Q, encapsulate
from tests.seeded_entropy import SeededEntropy

ROWS = [row for row in (by_name(Kind.KE, "mlkem768"), by_name(Kind.KE, "mlkem1024")) if not row.lacking]
SIZES = {36: 768, 37: 1024}
INVALID_SYNTAX = 7

pytestmark = pytest.mark.skipif(not ROWS, reason="this cryptography has no ML-KEM")
each = pytest.mark.parametrize("row", ROWS, ids=str)

# Wycheproof, mlkem_768_keygen_seed_test.json and mlkem_1024_keygen_seed_test.json, first test: SHA-256 of the key.
SEED = bytes.fromhex(
    "7c9935a0b07694aa0c6d10e4db6b1add2fd81a25ccb148032dcd739936737f2d"
    "8626ed79d451140800e03b59b956f8210e556067407d13dc90fa9e8b872bfb8f"
)
KEYS = {
    36: "86adbca81f4fee893e2fb58fb98aa2fe188f501fed268d7f4056f8c05c4e53c4",
    37: "61b95ec8c32ae85ad7a17ae5b9c2dfb083e05f767da3ba9a0a8092ea6b4cbf7a",
}


def test_sizes():
    """FIPS 203, table 3; draft-ietf-ipsecme-ikev2-mlkem: transform IDs 35, 36 and 37."""
    rows = [by_name(Kind.KE, name) for name in ("mlkem512", "mlkem768", "mlkem1024")]
    assert [(row.transform_id, row.public_octets, row.answer_octets) for row in rows] == [
        (35, 800, 768),
        (36, 1184, 1088),
        (37, 1568, 1568),
    ]


@each
def test_the_key_of_a_known_seed(row):
    exchange = key_exchange_from(row.transform_id, SEED)
    assert hashlib.sha256(exchange.public).hexdigest() == KEYS[row.transform_id]
    assert exchange.private.reveal() == SEED


@each
def test_opens_what_the_standards_own_algorithm_encapsulates(row):
    """The reference yields what all of Wycheproof's encapsulation tests expect."""
    exchange = key_exchange_from(row.transform_id, SEED)
    for number in range(5):
        ciphertext, shared = encapsulate(SIZES[row.transform_id], exchange.public, bytes([number]) * 32)
        assert exchange.finish(ciphertext).reveal() == shared


@each
def test_both_sides_agree_on_a_secret_of_their_own(row):
    first, second = new_key_exchange(row.transform_id), new_key_exchange(row.transform_id)
    answer, shared = answer_key_exchange(row.transform_id, first.public)
    assert (len(first.public), len(answer)) == (row.public_octets, row.answer_octets)
    assert first.finish(answer) == shared
    assert len(shared) == 32
    assert second.finish(answer) != shared
    assert answer_key_exchange(row.transform_id, first.public)[1] != shared, "each is another one"


@each
def test_what_was_not_encapsulated_for_us_yields_a_secret_that_nobody_else_has(row):
    """FIPS 203, algorithm 18: SHAKE256(z | c). It is authentication that fails then, as it is with any other secret."""
    exchange = key_exchange_from(row.transform_id, SEED)
    forged = bytes(row.answer_octets)
    assert exchange.finish(forged).reveal() == hashlib.shake_256(SEED[32:] + forged).digest(32)


@each
def test_it_can_be_finished_later(row):
    before = new_key_exchange(row.transform_id)
    after = key_exchange_from(row.transform_id, before.private.reveal())
    assert after.public == before.public
    answer, shared = answer_key_exchange(row.transform_id, before.public)
    assert after.finish(answer) == shared


@each
@pytest.mark.parametrize("change", [-1, 1, None])
def test_a_value_of_the_other_sides_size_or_none(row, change):
    sizes = (row.public_octets, row.answer_octets)
    exchange = new_key_exchange(row.transform_id)
    for size, take in zip(sizes, (lambda octets: answer_key_exchange(row.transform_id, octets), exchange.finish)):
        with pytest.raises(IkeError) as caught:
            take(bytes(0 if change is None else size + change))
        assert (caught.value.notify, caught.value.scope) == (INVALID_SYNTAX, MESSAGE)


def test_the_values_of_the_two_sides_are_not_interchangeable():
    exchange = new_key_exchange(36)
    with pytest.raises(IkeError, match="1184 octets instead of 1088"):
        exchange.finish(exchange.public)
    with pytest.raises(IkeError, match="1088 octets instead of 1184"):
        answer_key_exchange(36, bytes(1088))


@each
@pytest.mark.parametrize("coefficient", [Q, Q + 1, 4095])
@pytest.mark.parametrize("place", [0, 1, -1])
def test_a_coefficient_that_is_not_reduced(row, coefficient, place):
    """The modulus check (FIPS 203 section 7.2)."""
    packed = bytearray(new_key_exchange(row.transform_id).public)
    at = 384 * (row.public_octets // 384) * 8 - 12 if place < 0 else 12 * place
    number = int.from_bytes(packed, "little") & ~(4095 << at) | coefficient << at
    with pytest.raises(IkeError, match="not valid"):
        answer_key_exchange(row.transform_id, number.to_bytes(len(packed), "little"))


@each
def test_seeded_entropy_repeats_itself(row):
    group = row.transform_id
    assert SeededEntropy(7).key_exchange(group).public == SeededEntropy(7).key_exchange(group).public
    theirs = new_key_exchange(group)
    answer, shared = SeededEntropy(7).answer(group, theirs.public)
    assert (answer, shared) == SeededEntropy(7).answer(group, theirs.public)
    assert (answer, shared) != SeededEntropy(8).answer(group, theirs.public)
    assert theirs.finish(answer) == shared
