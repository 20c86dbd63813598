# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The seam to the OpenSSL package: quiet where it is not there, and at home in the manager's sandbox."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from authorities import NOW, Authority
from engine.crypto import openssl
from engine.crypto.trust import TrustStore
from engine.errors import MissingError

HERE = Path(__file__).resolve().parent
MODULE_UTILS = HERE.parents[3] / "plugins" / "module_utils"
START = f"import sys; sys.path[:0] = [{str(MODULE_UTILS)!r}, {str(HERE)!r}]\n"


def run(script):
    done = subprocess.run([sys.executable, "-c", START + script], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return done.stdout


WITHOUT = """
sys.modules["OpenSSL"] = None
from authorities import Authority
from engine.crypto.trust import TrustStore
from engine.errors import MissingError
root = Authority().certificate
try:
    TrustStore.of([root])
except MissingError as exc:
    print(root, exc.remedy)
"""


def test_without_the_package():
    """Certificates are read all the same, and what to install is named where a path is to be verified."""
    assert run(WITHOUT) == f"O=Fleet, CN=Root {openssl.REMEDY}\n"
    assert "apt install python3-openssl" in openssl.REMEDY


def test_who_verifies_no_path_does_not_import_it():
    assert run("import engine.crypto.trust; print('OpenSSL' in sys.modules)") == "False\n"


@pytest.fixture
def forgotten():
    """What was found out about the package before."""
    openssl._import.cache_clear()
    yield
    openssl._import.cache_clear()


def test_a_version_that_is_too_old(forgotten, monkeypatch):
    from OpenSSL import crypto

    monkeypatch.delattr(crypto.X509StoreContext, "get_verified_chain")
    with pytest.raises(MissingError, match="older than 20"):
        TrustStore.of([Authority().certificate])


def test_a_version_that_does_not_suit_the_cryptography_beside_it(forgotten, monkeypatch):
    """An old one asks a newer library for a name that it has dropped: AttributeError, as it is imported."""

    class Torn:
        def __getattr__(self, name):
            raise AttributeError(f"module 'lib' has no attribute {name!r}")

    monkeypatch.setitem(sys.modules, "OpenSSL", Torn())
    with pytest.raises(MissingError, match="cannot be used"):
        openssl.require()


SANDBOX = f"""
import ctypes, mmap
if ctypes.CDLL(None).prctl(65, 1, 0, 0, 0):  # PR_SET_MDWE, which systemd's MemoryDenyWriteExecute sets, too
    print("unknown")
    raise SystemExit
try:
    mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
except OSError:
    pass
else:
    raise SystemExit("memory is executable")
from authorities import Authority
from engine.crypto.revocation_lists import RevocationList
from engine.crypto.trust import TrustStore
from engine.errors import CertificateError
from engine.identity import Identity
root = Authority()
between = root.below()
leaf, other = between.issue(), between.issue()
lists = [RevocationList.parse(octets) for octets in (root.revoke(), between.revoke(other))]
store = TrustStore.of([root.certificate], lists)
print(len(store.verify([leaf, between.certificate], Identity.parse("gw.example.net"), {NOW})))
try:
    store.verify([other, between.certificate], Identity.parse("gw.example.net"), {NOW})
except CertificateError as error:
    print(error.reason)
"""


def test_memory_that_is_never_executable():
    """The manager's unit has MemoryDenyWriteExecute: a callback into the library would end it."""
    said = run(SANDBOX)
    if said == "unknown\n":
        pytest.skip("this kernel has no PR_SET_MDWE (Linux 6.3)")
    assert said == "3\ncertificate_revoked\n"
