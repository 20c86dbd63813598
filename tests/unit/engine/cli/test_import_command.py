# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``ipsec import``: what it writes, what it leaves alone, and that it tells no secret."""

from __future__ import annotations

import getpass
import io
import json
import os
import stat
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, NoEncryption, pkcs12
from engine.cli import ipsec
from engine.crypto.pkcs12 import read_bundle
from engine.definition.authenticators import Authenticators
from engine.definition.parsing import parse_definition
from engine.errors import InputError
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.issued import authority, intermediate
from tests.signing_keys import key, private_pem

KIND, HOST, WORD = "ecdsa256", "hq.example.net", b"hush hush"


def certificate(pem: bytes) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pem)


OWN = intermediate(KIND).issue(HOST)
CHAIN = [intermediate(KIND).pem, authority(KIND).pem]


def archive(
    passphrase: bytes = WORD, which: int | None = 0, own: bytes | None = OWN, others: list[bytes] | None = None
) -> bytes:
    encryption = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    return pkcs12.serialize_key_and_certificates(
        b"hq",
        None if which is None else key(KIND, which),
        None if own is None else certificate(own),
        [certificate(pem) for pem in (CHAIN if others is None else others)],
        encryption,
    )


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "hq.p12").write_bytes(archive())
    (tmp_path / "word").write_bytes(WORD + b"\n")
    return tmp_path


def imported(place: Path, *words: str, file: str = "hq.p12") -> int:
    given = ["import", "--directory", f"{place}/out", str(place / file), *words]
    return ipsec.main(given)


def with_word(place: Path, *words: str, **more: Any) -> int:
    return imported(place, "--passphrase-file", f"{place}/word", *words, **more)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_key_chain_and_root_become_files(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert with_word(place, "--json") == 0
    said = json.loads(capsys.readouterr().out)
    out = place / "out"
    assert said["changed"] and said["written"] == [f"{out}/hq.key", f"{out}/hq.pem", f"{out}/hq-ca.pem"]
    assert (out / "hq.pem").read_bytes() == OWN + CHAIN[0]
    assert (out / "hq-ca.pem").read_bytes() == CHAIN[1]
    assert (out / "hq.key").read_bytes() == private_pem(KIND)
    assert (mode(out / "hq.key"), mode(out)) == (0o600, 0o700)
    ends = {"local": {"id": HOST}, "remote": {"address": "192.0.2.9"}}
    children = [{"name": "c", "local": ["10.1.0.0/16"], "remote": ["10.2.0.0/16"]}]
    definition = parse_definition({"name": "t", **ends, "auth": said["auth"], "children": children})
    assert Authenticators(lambda path, _field: Path(path).read_bytes(), None).make(definition)


def test_a_second_time_nothing_is_written(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert with_word(place) == 0
    before = {path: path.stat().st_ino for path in (place / "out").iterdir()}
    capsys.readouterr()
    assert with_word(place) == 0
    assert capsys.readouterr().out.count("as it was") == 3
    assert before == {path: path.stat().st_ino for path in (place / "out").iterdir()}


def test_check_writes_nothing(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert with_word(place, "--check") == 0
    assert capsys.readouterr().out.count("would be written") == 3 and not (place / "out").exists()


@pytest.mark.parametrize("name", ["hq.key", "hq.pem", "hq-ca.pem"])
@pytest.mark.parametrize("link", [True, False])
def test_what_is_there_already_is_not_overwritten(
    place: Path, capsys: pytest.CaptureFixture[str], name: str, link: bool
) -> None:
    (place / "out").mkdir(mode=0o700)
    if link:
        (place / "out" / name).symlink_to(place / "elsewhere")
    else:
        (place / "out" / name).write_bytes(b"something else")
    assert with_word(place) == 1
    assert f"out/{name} is there already, with something else" in capsys.readouterr().err
    assert [path.name for path in (place / "out").iterdir()] == [name] and not (place / "elsewhere").exists()


def test_a_key_that_others_may_read_is_written_anew(place: Path) -> None:
    assert with_word(place) == 0
    (place / "out" / "hq.key").chmod(0o644)
    assert with_word(place) == 0
    assert mode(place / "out" / "hq.key") == 0o600


def test_files_have_the_name_that_is_given(place: Path) -> None:
    assert with_word(place, "--name", "other") == 0
    assert {path.name for path in (place / "out").iterdir()} == {"other.key", "other.pem", "other-ca.pem"}


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".x", "-x", "a\nb"])
def test_a_name_that_no_file_can_have_is_refused(place: Path, name: str) -> None:
    assert with_word(place, f"--name={name}") == 64


def test_without_roots_there_is_no_file_of_them(place: Path) -> None:
    (place / "hq.p12").write_bytes(archive(others=[]))
    assert with_word(place) == 0
    assert not (place / "out" / "hq-ca.pem").exists()


def test_what_is_no_part_of_the_path_is_told(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "hq.p12").write_bytes(archive(others=[*CHAIN, authority(KIND).issue("other.example.net", which=3)]))
    assert with_word(place) == 0
    assert "other.example.net" in capsys.readouterr().err
    assert (place / "out" / "hq.pem").read_bytes() == OWN + CHAIN[0]


# The passphrase


def test_a_file_without_a_passphrase_needs_none(place: Path) -> None:
    (place / "hq.p12").write_bytes(archive(b""))
    assert imported(place) == 0


def test_the_passphrase_may_come_from_standard_input(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(WORD + b"\nmore\n")))
    assert imported(place, "--passphrase-file", "-") == 0


def test_the_passphrase_is_asked_for_at_a_terminal(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    asked: list[str] = []
    monkeypatch.setattr(getpass, "getpass", lambda prompt: asked.append(prompt) or WORD.decode())
    assert imported(place) == 0
    assert asked == [f"Passphrase of {place}/hq.p12: "]


def test_without_a_terminal_it_is_not_waited_for(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    assert imported(place) == 1
    assert "--passphrase-file" in capsys.readouterr().err


def test_a_wrong_passphrase_is_told_and_not_shown(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "word").write_bytes(b"another one\n")
    assert with_word(place) == 1
    said = capsys.readouterr()
    assert "is not opened by this passphrase" in said.err and "another one" not in said.out + said.err
    assert not (place / "out").exists()


# Files made to hurt


def several_keys() -> bytes:
    """Two files in clear as one: OpenSSL takes the first key and says nothing of the other."""
    from engine import der

    contents = []
    for which in (0, 1):
        octets = archive(b"", which, authority(KIND).issue(f"h{which}", which=which), [])
        _version, content, *_mac = der.elements(der.only(octets, der.SEQUENCE))
        octets = der.only(der.elements(content.value)[1].value, der.OCTET_STRING)
        contents.append(der.only(octets, der.SEQUENCE))
    safe = der.element(der.OCTET_STRING, der.element(der.SEQUENCE, b"".join(contents)))
    data = der.element(der.OID, der.oid_octets("1.2.840.113549.1.7.1")) + der.element(0xA0, safe)
    return der.element(der.SEQUENCE, der.element(der.INTEGER, b"\x03") + der.element(der.SEQUENCE, data))


@pytest.mark.parametrize(
    ("octets", "why"),
    [
        (archive(which=None), "holds no private key"),
        (archive(own=None, others=[]), "holds no certificate"),
        (private_pem(KIND), "it is PEM"),
        (OWN, "it is PEM"),
        (b"", "is no PKCS#12"),
        (b"\xff" * 999, "is no PKCS#12"),
        (b"0" * (2 << 20), "has more than 1 MiB"),
        (archive()[:-9], "is not opened"),
        (b"0\x80" + b"\x00" * 40, "is not opened"),
    ],
    ids=["no key", "no certificate", "PEM of a key", "PEM", "empty", "noise", "huge", "cut", "BER"],
)
def test_what_is_not_as_it_has_to_be(place: Path, capsys: pytest.CaptureFixture[str], octets: bytes, why: str) -> None:
    (place / "hq.p12").write_bytes(octets)
    assert with_word(place) == 1
    assert why in capsys.readouterr().err and not (place / "out").exists()


def test_of_several_keys_none_is_taken(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "hq.p12").write_bytes(several_keys())
    assert imported(place) == 1
    assert "holds several private keys" in capsys.readouterr().err and not (place / "out").exists()


IN_CLEAR = archive(b"")


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(IN_CLEAR) - 1), st.integers(0, 255)), min_size=1, max_size=3))
def test_damage_anywhere_is_one_clear_error(places: list[tuple[int, int]]) -> None:
    octets = bytearray(IN_CLEAR)
    for place, octet in places:
        octets[place] = octet
    try:
        read_bundle(bytes(octets), None, "FILE")
    except InputError as problem:
        assert str(problem).startswith("FILE: ")


def test_a_file_that_is_not_there_or_a_pipe(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert with_word(place, file="none.p12") == 1
    os.mkfifo(place / "pipe")
    assert with_word(place, file="pipe") == 1
    assert "is no plain file" in capsys.readouterr().err


def test_a_directory_where_others_may_write_is_refused(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "out").mkdir()
    (place / "out").chmod(0o777)
    assert with_word(place) == 1
    assert "out" in capsys.readouterr().err and not list((place / "out").iterdir())
