# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What operators write: profiles, words, and an error for each mistake."""

from __future__ import annotations

from dataclasses import replace

import pytest
from engine.crypto import proposals
from engine.crypto.proposals import esp_proposals, ike_proposals, legacy_names
from engine.crypto.registry import Kind, Status, by_name
from engine.errors import InputError

PROFILES = ("modern", "compat", "legacy")
needs_ml_kem = pytest.mark.skipif(by_name(Kind.KE, "mlkem768").lacking != "", reason="this cryptography has no ML-KEM")


def ike_text(spec):
    return [str(proposal) for proposal in ike_proposals(spec)]


def esp_text(spec):
    return [str(proposal) for proposal in esp_proposals(spec)]


def names(rows):
    return [row.name for row in rows]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("aes256gcm16-sha384-x25519", ["aes256gcm16-prfsha384-x25519"]),
        ("aes256gcm16-prfsha384-x25519", ["aes256gcm16-prfsha384-x25519"]),
        ("aes256-sha256-modp2048", ["aes256-prfsha256-sha256-modp2048"]),
        ("aes256-sha256-prfsha512-modp2048", ["aes256-prfsha512-sha256-modp2048"]),
        (" AES256GCM16-SHA384-X25519 ", ["aes256gcm16-prfsha384-x25519"]),
        ("aes256gcm16-sha384-x25519-x25519", ["aes256gcm16-prfsha384-x25519"]),
        (
            "aes256gcm16-sha384-x25519, aes128-sha256-ecp256",
            ["aes256gcm16-prfsha384-x25519", "aes128-prfsha256-sha256-ecp256"],
        ),
        (
            ["aes256gcm16-sha384-x25519", "aes256gcm16-sha384-x25519", "aes128-sha256-ecp256"],
            ["aes256gcm16-prfsha384-x25519", "aes128-prfsha256-sha256-ecp256"],
        ),
        (
            "chacha20poly1305-aes128gcm16-sha512-sha256-ecp521-modp4096",
            ["chacha20poly1305-aes128gcm16-prfsha512-prfsha256-ecp521-modp4096"],
        ),
    ],
)
def test_ike_words(spec, expected):
    assert ike_text(spec) == expected


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("aes256gcm16", ["aes256gcm16-esn-noesn"]),
        ("aes256gcm16-x25519", ["aes256gcm16-x25519-esn-noesn"]),
        ("aes256-sha256-modp2048-noesn", ["aes256-sha256-modp2048-noesn"]),
        ("aes256gcm16-esn", ["aes256gcm16-esn"]),
        ("null-sha256", ["null-sha256-esn-noesn"]),
    ],
)
def test_esp_words(spec, expected):
    assert esp_text(spec) == expected


def test_the_first_word_of_a_kind_is_preferred():
    (proposal,) = ike_proposals("chacha20poly1305-aes256gcm16-sha512-sha384-ecp384-x25519")
    assert names(proposal.encr) == ["chacha20poly1305", "aes256gcm16"]
    assert names(proposal.prf) == ["sha512", "sha384"]
    assert names(proposal.ke) == ["ecp384", "x25519"]
    assert proposal.integ == ()


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("parse", [ike_proposals, esp_proposals])
def test_profiles_read_back_as_words(profile, parse):
    proposals = parse(profile)
    assert parse([str(proposal) for proposal in proposals]) == proposals
    for proposal in proposals:
        assert {row.aead for row in proposal.encr} == {not proposal.integ}


@pytest.mark.parametrize("parse", [ike_proposals, esp_proposals])
def test_only_legacy_has_legacy_algorithms(parse):
    assert legacy_names(parse("modern")) == legacy_names(parse("compat")) == ()
    assert {"sha1", "modp1536", "modp1024"} <= set(legacy_names(parse("legacy")))


def without_ml_kem(monkeypatch):
    monkeypatch.setitem(vars(by_name(Kind.KE, "mlkem768").primitive), "available", False)
    monkeypatch.setattr(proposals, "_known", {})


@needs_ml_kem
def test_modern_offers_ml_kem_and_goes_without_where_the_peer_has_none():
    with_it, without = ike_proposals("modern")
    assert [names(rows) for rows in with_it.more] == [["mlkem768"]] and without.more == ()
    assert replace(with_it, more=()) == without
    assert ike_proposals("pq") == (with_it,)
    assert [names(rows) for rows in esp_proposals("pq")[0].more] == [["mlkem768"]]


def test_without_ml_kem_modern_is_what_it_was_and_pq_names_what_it_needs(monkeypatch):
    without_ml_kem(monkeypatch)
    (proposal,) = ike_proposals("modern")
    assert str(proposal) == "aes256gcm16-chacha20poly1305-prfsha384-prfsha512-x25519-ecp384"
    for parse in (ike_proposals, esp_proposals):
        with pytest.raises(InputError) as caught:
            parse(["pq"], "ike.proposals")
        assert caught.value.field == "ike.proposals[0]" and "profile pq" in caught.value.problem
        assert "cryptography 48" in caught.value.remedy and "write modern" in caught.value.remedy
    assert ike_proposals(["modern", "compat"])[0] == proposal


def test_modern_is_what_it_says(monkeypatch):
    without_ml_kem(monkeypatch)
    (proposal,) = ike_proposals("modern")
    assert names(proposal.encr) == ["aes256gcm16", "chacha20poly1305"]
    assert names(proposal.prf) == ["sha384", "sha512"]
    assert names(proposal.ke) == ["x25519", "ecp384"]
    (child,) = esp_proposals("modern")
    assert names(child.ke) == ["x25519", "ecp384"]


def test_compat_has_every_must():
    """RFC 8247 and RFC 8221: AES-CBC 128 and 256, HMAC-SHA2-256, group 14; AES-GCM for ESP."""
    aead, cbc = ike_proposals("compat")
    assert {"aes256", "aes128"} <= set(names(cbc.encr))
    assert "sha256" in names(cbc.integ)
    assert all("sha256" in names(p.prf) and "modp2048" in names(p.ke) for p in (aead, cbc))
    assert {"aes128gcm16", "aes256gcm16"} <= set(names(esp_proposals("compat")[0].encr))


def test_legacy_by_name():
    proposals = ike_proposals("aes128-sha1-modp1536")
    assert legacy_names(proposals) == ("sha1", "modp1536")
    assert all(row.status is Status.LEGACY for row in (*proposals[0].integ, *proposals[0].ke))


BAD_IKE = [
    ("aes256gcm-sha384-x25519", "'aes256gcm'"),
    ("modernn", "'modernn'"),
    ("aes256gcm16--x25519", "''"),
    ("null-sha256-x25519", "'null'"),
    ("aes256gcm16-sha384-x25519-esn", "'esn'"),
    ("sha384-x25519", "encryption"),
    ("aes256gcm16-sha384", "key exchange"),
    ("aes256gcm16-x25519", "PRF"),
    ("aes256-x25519", "integrity"),
    ("aes256-prfsha256-x25519", "integrity"),
    ("aes256gcm16-aes256-sha256-x25519", "do not mix"),
    ("aes256gcm16-sha256-prfsha384-x25519", "AEAD"),
    ("", "empty"),
    ("modern,", "empty"),
]
BAD_ESP = [
    ("aes256gcm16-sha256", "AEAD"),
    ("aes256", "integrity"),
    ("sha256", "encryption"),
    ("null", "integrity"),
    ("null-aes256-sha256", "null"),
    ("aes256gcm16-prfsha256", "'prfsha256'"),
    ("aes256gcm16-aes256-sha256", "do not mix"),
]


@pytest.mark.parametrize(
    ("parse", "text", "named"),
    [(ike_proposals, *row) for row in BAD_IKE] + [(esp_proposals, *row) for row in BAD_ESP],
)
def test_bad_words(parse, text, named):
    with pytest.raises(InputError) as caught:
        parse(text, "children[0].proposals")
    assert caught.value.field == "children[0].proposals"
    assert named in str(caught.value)
    assert caught.value.remedy


@pytest.mark.parametrize("parse", [ike_proposals, esp_proposals])
def test_an_error_lists_what_is_valid(parse):
    with pytest.raises(InputError) as caught:
        parse("aes257", "f")
    assert "chacha20poly1305" in caught.value.remedy
    assert "modern" in caught.value.remedy


def test_an_error_names_the_item_of_a_list():
    with pytest.raises(InputError) as caught:
        ike_proposals(["modern", "rot13"], "ike.proposals")
    assert caught.value.field == "ike.proposals[1]"


@pytest.mark.parametrize("spec", [[], [7], ["modern", None], [{}], None, 7, {"modern": 1}])
def test_what_is_not_text(spec):
    with pytest.raises(InputError):
        ike_proposals(spec)


def test_the_same_words_are_the_same_value():
    assert ike_proposals("modern", "a") is ike_proposals([" Modern "], "b")
    assert ike_proposals("aes256gcm16-sha384-x25519") != esp_proposals("aes256gcm16-x25519")


@pytest.mark.parametrize("parse", [ike_proposals, esp_proposals])
def test_an_error_names_its_field_every_time(parse):
    for field in ("first", "second"):
        with pytest.raises(InputError) as caught:
            parse("rot13", field)
        assert caught.value.field == field


def test_more_than_one_octet_can_number():
    hashes = ("sha256", "sha384", "sha512")
    groups = ("x25519", "ecp256", "ecp384", "ecp521", "modp2048", "modp3072", "modp4096", "modp6144")
    many = [
        f"{encr}-{integ}-prf{prf}-{ke}"
        for encr in ("aes128", "aes192", "aes256")
        for integ in hashes
        for prf in (*hashes, "sha1")
        for ke in groups
    ]
    assert len(ike_proposals(many[:255])) == 255
    with pytest.raises(InputError, match="255"):
        ike_proposals(many[:256])


def test_what_the_library_lacks(monkeypatch):
    """By name it is an error that says so; a profile goes on without it."""
    monkeypatch.setattr(proposals, "_known", {})
    lacking = (Kind.ENCR, "3des"), (Kind.KE, "modp2048"), (Kind.ENCR, "chacha20poly1305"), (Kind.KE, "mlkem768")
    for kind, name in lacking:
        monkeypatch.setitem(vars(by_name(kind, name).primitive), "available", False)
    with pytest.raises(InputError, match="no 3des"):
        ike_proposals("3des-sha1-modp1536")
    with pytest.raises(InputError, match="no modp2048"):
        esp_proposals("aes256gcm16-modp2048")
    (proposal,) = ike_proposals("modern")
    assert names(proposal.encr) == ["aes256gcm16"]
    assert "3des" not in legacy_names(ike_proposals("legacy"))
    # ESP's ciphers are the kernel's.
    assert names(esp_proposals("3des-sha1")[0].encr) == ["3des"]


def test_what_old_peers_need_is_named_and_warned_of():
    assert legacy_names(esp_proposals("aes128ccm8")) == ("aes128ccm8",)
    assert legacy_names(esp_proposals("aes128-sha256_96")) == ("sha256_96",)
    assert legacy_names(ike_proposals("aes128ctr-sha1-modp2048")) == ("aes128ctr", "sha1")
    assert not legacy_names(ike_proposals("compat")) and not legacy_names(esp_proposals("compat"))


def test_what_the_peer_cannot_tell_apart_is_refused():
    for spec in ("aes128-sha256-sha256_96", ["aes128-sha256", "aes256-sha256_96"]):
        with pytest.raises(InputError, match="one number to the peer"):
            esp_proposals(spec)
    with pytest.raises(InputError, match="'sha256_96' is no algorithm"):
        ike_proposals("aes128-sha256_96-modp2048")


@pytest.mark.parametrize("parse", [ike_proposals, esp_proposals])
def test_additional_key_exchanges(parse):
    hashed = "prfsha384-" if parse is ike_proposals else ""
    words = f"aes256gcm16-{hashed}x25519-ke1_ecp384-ke1_ecp521-ke2_modp2048"
    (proposal,) = parse(words)
    assert [names(rows) for rows in proposal.more] == [["ecp384", "ecp521"], ["modp2048"]]
    assert words.split("-") == [word for word in str(proposal).split("-") if word not in ("esn", "noesn")]
    assert parse(str(proposal)) == (proposal,)


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ("aes256gcm16-sha384-x25519-ke2_ecp384", "ke2_ecp384 is one more key exchange, but there is none before it"),
        ("aes256gcm16-sha384-x25519-ke1_x25519", "x25519 is named for two"),
        ("aes256gcm16-sha384-x25519-ke1_ecp384-ke2_ecp384", "ecp384 is named for two"),
        ("aes256gcm16-sha384-x25519-ke8_ecp384", "'ke8_ecp384' is no algorithm"),
        ("aes256gcm16-sha384-x25519-ke1_aes256", "'ke1_aes256' is no algorithm"),
        ("aes256gcm16-sha384-x25519-ke1_", "'ke1_' is no algorithm"),
        ("aes256gcm16-sha384-x25519-ke1_mlkem512", "offers no mlkem512"),
    ],
)
def test_mistakes_with_additional_key_exchanges(words, problem):
    with pytest.raises(InputError, match=problem):
        ike_proposals(words)


def test_an_additional_key_exchange_needs_one_before_it():
    with pytest.raises(InputError, match="add a key exchange"):
        esp_proposals("aes256gcm16-ke1_ecp384")


def test_what_the_library_lacks_is_named(monkeypatch):
    row = by_name(Kind.KE, "mlkem768")
    monkeypatch.setattr(row.primitive, "available", False)
    monkeypatch.setattr(proposals, "_known", {})
    with pytest.raises(InputError, match="offers no mlkem768.*install python3-cryptography 48 or newer"):
        ike_proposals("aes256gcm16-sha384-x25519-ke1_mlkem768")
