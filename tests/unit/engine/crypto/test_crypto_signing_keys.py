# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys from files: every usual form, and every mistake with one message that names the field and shows no key."""

from __future__ import annotations

import pickle

import pytest
from cryptography.hazmat.primitives.asymmetric import x25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from engine.crypto.private_keys import read_private_key
from engine.crypto.public_keys import read_public_key
from engine.errors import InputError
from engine.secret import Secret

from tests.signing_keys import KINDS, key, private_pem, public_pem

FIELDS = "auth.key", "auth.passphrase"
WORD = Secret(b"open, please")


@pytest.mark.parametrize("kind", KINDS)
def test_every_form_of_a_private_key_is_read(kind: str) -> None:
    forms = [(private_pem(kind), None), (private_pem(kind, passphrase=WORD.reveal()), WORD)]
    if not kind.startswith("ed"):
        forms += [(private_pem(kind, traditional=True), None)]
        forms += [(private_pem(kind, passphrase=WORD.reveal(), traditional=True), WORD)]
    public = read_public_key(public_pem(kind), "auth.remote_key")
    for octets, word in forms:
        found = read_private_key(octets, word, *FIELDS)
        assert found.public.info == public.info
        assert "PRIVATE" not in repr(found) and repr(found).startswith("PrivateKey(")
        with pytest.raises(TypeError):
            pickle.dumps(found)


@pytest.mark.parametrize("kind", KINDS)
def test_a_public_key_may_be_der(kind: str) -> None:
    found = read_public_key(public_pem(kind), "f")
    assert read_public_key(found.info, "f").info == found.info


RSA = private_pem("rsa2048")
CERTIFICATE = b"-----BEGIN CERTIFICATE-----\nMII=\n-----END CERTIFICATE-----\n"
LOCKED = private_pem("rsa2048", passphrase=b"another one")
OPENSSH = key("ed25519").private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
DER = key("rsa2048").private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
X25519 = x25519.X25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@pytest.mark.parametrize(
    ("octets", "passphrase", "field", "problem"),
    [
        (LOCKED, None, "auth.key", "is encrypted, and there is no passphrase"),
        (private_pem("rsa2048", passphrase=b"w", traditional=True), None, "auth.key", "is encrypted"),
        (LOCKED, WORD, "auth.passphrase", "does not decrypt the key of auth.key"),
        (private_pem("rsa2048", passphrase=b"w", traditional=True), WORD, "auth.passphrase", "does not decrypt"),
        (RSA, WORD, "auth.passphrase", "is for a key that is encrypted, and this one is not"),
        (RSA[:300] + b"\n-----END PRIVATE KEY-----\n", None, "auth.key", "cannot be read"),
        (CERTIFICATE, None, "auth.key", "a certificate, not a private"),
        (public_pem("rsa2048"), None, "auth.key", "holds no private key"), (b"\0" * 999, None, "auth.key", "holds no"),
        (X25519, None, "auth.key", "cannot sign"), (private_pem("rsa1024"), None, "auth.key", "RSA with 1024 bits"),
        (private_pem("rsa2048e3"), None, "auth.key", "its public exponent is not"),
        (private_pem("ecdsa224"), None, "auth.key", "only the curves"),
        (OPENSSH, None, "auth.key", "in the form of OpenSSH; .* ssh-keygen -p -m PKCS8"),
        (DER, None, "auth.key", "holds no private key; .* openssl pkey -inform DER"),
    ],
)  # fmt: skip
def test_a_private_key_that_cannot_be_used(octets: bytes, passphrase: Secret, field: str, problem: str) -> None:
    with pytest.raises(InputError, match=problem) as refused:
        read_private_key(octets, passphrase, *FIELDS)
    assert refused.value.field == field and refused.value.remedy
    lines = octets.decode("latin-1").splitlines()[1:-1]
    assert not any(len(line) > 8 and line in str(refused.value) for line in lines)


@pytest.mark.parametrize(
    ("octets", "problem"),
    [
        (RSA, "is a private key, which nobody else"), (b"-----BEGIN PUBLIC KEY-----\nAAAA", "is no public key"),
        (b"", "is no public key"), (b"\x30\x82" * 99, "is no public key"), (public_pem("rsa1024"), "with 1024 bits"),
    ],
)  # fmt: skip
def test_a_public_key_that_cannot_be_used(octets: bytes, problem: str) -> None:
    with pytest.raises(InputError, match=problem) as refused:
        read_public_key(octets, "auth.remote_key")
    assert refused.value.field == "auth.remote_key"


def test_a_key_of_a_kind_that_nobody_signs_with_is_named() -> None:
    public = x25519.X25519PrivateKey.generate().public_key()
    with pytest.raises(InputError, match="only RSA, ECDSA, Ed25519 and Ed448 count"):
        read_public_key(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo), "f")
