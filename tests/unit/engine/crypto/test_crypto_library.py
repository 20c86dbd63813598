# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The seam to the cryptography package: the only one, and quiet when the package is not there."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import cryptography
import pytest
from engine.crypto import library, proposals
from engine.crypto.exchange import new_key_exchange
from engine.crypto.proposals import ike_proposals
from engine.crypto.registry import ALGORITHMS, Kind, by_name, names
from engine.errors import IkeError, InputError

VERSION = int(cryptography.__version__.split(".")[0])
MODULE_UTILS = Path(__file__).resolve().parents[4] / "plugins" / "module_utils"
ENGINE = MODULE_UTILS / "engine"
GROUND_AND_WIRE = {path.stem for path in ENGINE.glob("*.py")} | {"", "wire"}  # "": a module of the ground by its name


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module or ""


def test_one_file_imports_cryptography():
    users = [
        path for path in ENGINE.rglob("*.py") if any(name.split(".")[0] == "cryptography" for name in imported(path))
    ]
    assert users == [ENGINE / "crypto" / "library.py"]


def test_this_floor_imports_nothing_above_it():
    for path in (ENGINE / "crypto").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.level == 2:
                assert (node.module or "").split(".")[0] in GROUND_AND_WIRE, path.name


WITHOUT = """
import sys
sys.modules["cryptography"] = None
sys.path.insert(0, {path!r})
from engine.crypto import auth, entropy, exchange, keys, library, negotiation, prf, proposals, registry, sealer
from engine.errors import MissingError
from engine.secret import Secret
row = registry.by_name(registry.Kind.ENCR, {cipher!r})
integ = registry.by_name(registry.Kind.INTEG, "sha256")
for call in (
    lambda: proposals.ike_proposals("modern"),
    lambda: proposals.esp_proposals("modern"),
    lambda: exchange.new_key_exchange(31),
    lambda: exchange.new_key_exchange(14),
    lambda: sealer.Sealer(row, integ, Secret(bytes(36)), Secret(b"")).seal(b"", b"", entropy.SystemEntropy()),
):
    try:
        call()
    except MissingError as exc:
        assert "python3-cryptography" in exc.remedy, exc
    else:
        raise SystemExit("no error")
print("ok")
"""


@pytest.mark.parametrize("cipher", ["aes256gcm16", "aes256"])
def test_without_the_package(cipher):
    script = WITHOUT.format(path=str(MODULE_UTILS), cipher=cipher)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("ok\n", "")


def forget(monkeypatch, *names):
    """What was found out about these algorithms before."""
    monkeypatch.setattr(proposals, "_known", {})
    for row in ALGORITHMS:
        if row.name in names and row.primitive is not None:
            vars(row.primitive).pop("available", None)


@pytest.fixture
def absent(monkeypatch):
    """``absent(part, *names)``: a version of the library without a part, which these algorithms need."""

    def without(part, *names):
        monkeypatch.setattr(library, part, library._ABSENT)
        forget(monkeypatch, *names)

    yield without
    monkeypatch.undo()
    forget(monkeypatch, *[row.name for row in ALGORITHMS])


def lacking(name):
    kinds = (Kind.ENCR, Kind.KE)
    return next(row.lacking for row in (by_name(kind, name) for kind in kinds) if row is not None)


def test_without_finite_field_diffie_hellman(absent):
    """A release that drops it leaves a profile without the MODP groups, and names the group that was asked for."""
    absent("dh", *names(Kind.KE))
    by_name(Kind.KE, "modp2048").primitive._made = None
    assert "finite-field" in lacking("modp2048")
    assert not lacking("x25519")
    assert "modp" not in "".join(str(proposal) for proposal in ike_proposals("legacy"))
    with pytest.raises(InputError, match="no modp2048.* install a python3-cryptography that has finite-field"):
        ike_proposals("aes256-sha256-modp2048")


def test_without_triple_des(absent):
    absent("TripleDES", "3des")
    assert "Triple DES" in lacking("3des")
    with pytest.raises(InputError, match="no 3des"):
        ike_proposals("3des-sha1-modp1536")


@pytest.mark.parametrize("name", ["mlkem768", "mlkem1024"])
def test_before_ml_kem(absent, name):
    """Versions before 48 say which one is needed; nothing is negotiated that cannot be computed."""
    absent("mlkem", name)
    with pytest.raises(InputError, match=f"no {name}.* install python3-cryptography 48 or newer"):
        ike_proposals(f"aes256gcm16-sha384-{name}")
    with pytest.raises(IkeError, match="cannot compute"):
        new_key_exchange(by_name(Kind.KE, name).transform_id)


@pytest.mark.skipif(hasattr(library.mlkem, "MLKEM512PrivateKey"), reason="this version has it")
def test_ml_kem_512_is_named_as_unavailable():
    with pytest.raises(InputError, match="no mlkem512.* that has ML-KEM-512"):
        ike_proposals("aes256gcm16-sha384-mlkem512")


def test_no_warning_reaches_the_user():
    script = f"""
import sys
sys.path.insert(0, {str(MODULE_UTILS)!r})
from engine.crypto.entropy import SystemEntropy
exchange = SystemEntropy().key_exchange(14)
SystemEntropy().answer(14, exchange.public)
print("ok")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("ok\n", "")


@pytest.mark.parametrize(
    "row",
    [
        row
        for row in ALGORITHMS
        if row.kind in (Kind.ENCR, Kind.KE) and row.name != "3des" and not row.name.startswith("mlkem")
    ],
    ids=str,
)
def test_versions_in_use_offer_every_row(row):
    assert row.lacking == ""


@pytest.mark.skipif(VERSION < 48, reason="ML-KEM came with 48")
@pytest.mark.parametrize("name", ["mlkem768", "mlkem1024"])
def test_newer_versions_offer_ml_kem(name):
    assert by_name(Kind.KE, name).lacking == ""


@pytest.mark.parametrize("value", [0, 1])
def test_the_range_of_modp_values_is_ours_to_check(value):
    """Whatever a version of the library checks by itself."""
    with pytest.raises(ValueError, match=r"outside 2\.\.p-2"):
        by_name(Kind.KE, "modp2048").primitive.read(value.to_bytes(256, "big"))
