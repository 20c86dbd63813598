# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The seam to the cryptography package: the only one, and quiet when the package is not there."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from engine.crypto import library, proposals
from engine.crypto.proposals import ike_proposals
from engine.crypto.registry import ALGORITHMS, Kind
from engine.errors import InputError

MODULE_UTILS = Path(__file__).resolve().parents[4] / "plugins" / "module_utils"
ENGINE = MODULE_UTILS / "engine"


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
                assert (node.module or "").split(".")[0] in {"errors", "secret", "wire"}, path.name


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


def test_without_finite_field_diffie_hellman(monkeypatch):
    """A release that drops it leaves a profile without the MODP groups, and names the group that was asked for."""
    monkeypatch.setattr(library, "dh", None)
    monkeypatch.setattr(library, "_available_cache", {})
    monkeypatch.setattr(proposals, "_known", {})
    assert library.available("modp2048") is False
    assert library.available("x25519") is True
    assert "modp" not in "".join(str(proposal) for proposal in ike_proposals("legacy"))
    with pytest.raises(InputError, match="modp2048"):
        ike_proposals("aes256-sha256-modp2048")


def test_without_triple_des(monkeypatch):
    monkeypatch.setattr(library, "TripleDES", None)
    monkeypatch.setattr(library, "_available_cache", {})
    monkeypatch.setattr(proposals, "_known", {})
    assert library.available("3des-cbc") is False
    with pytest.raises(InputError, match="3des"):
        ike_proposals("3des-sha1-modp1536")


def test_no_warning_reaches_the_user():
    script = f"""
import sys
sys.path.insert(0, {str(MODULE_UTILS)!r})
from engine.crypto.entropy import SystemEntropy
from engine.crypto.exchange import answer_key_exchange
exchange = SystemEntropy().key_exchange(14)
answer_key_exchange(14, exchange.public, SystemEntropy())
print("ok")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("ok\n", "")


@pytest.mark.parametrize(
    "row", [row for row in ALGORITHMS if row.kind in (Kind.ENCR, Kind.KE) and row.name not in ("null", "3des")], ids=str
)
def test_versions_in_use_offer_every_row(row):
    assert library.available(row.primitive) is True


@pytest.mark.parametrize("value", [0, 1])
def test_the_range_of_modp_values_is_ours_to_check(value):
    """Whatever a version of the library checks by itself."""
    with pytest.raises(ValueError, match=r"outside 2\.\.p-2"):
        library.read_public("modp2048", value.to_bytes(256, "big"))
