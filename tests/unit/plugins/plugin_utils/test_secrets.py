# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys of pairs: HKDF as the RFC has it, the same at both ends, different for everything else."""

from __future__ import annotations

import base64

from ansible_collections.fleet.ipsec.plugins.plugin_utils.secrets import KEY_OCTETS, SALT, extract, pair_secret
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given
from hypothesis import strategies as st

NAMES = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=20)


@given(NAMES, NAMES, NAMES, st.integers(1, 1000))
def test_it_is_hkdf(seed: str, community: str, name: str, epoch: int) -> None:
    info = "\0".join([community, *sorted([name.lower(), "b.example"]), str(epoch)]).encode()
    judge = HKDF(hashes.SHA256(), KEY_OCTETS, SALT, info).derive(seed.encode())
    secret = pair_secret(extract(seed), community, (name, "b.example"), epoch)
    assert base64.urlsafe_b64decode(secret + "=") == judge


@given(NAMES, NAMES)
def test_both_ends_get_the_same(one: str, other: str) -> None:
    key = extract("seed")
    assert pair_secret(key, "c", (one, other), 1) == pair_secret(key, "c", (other.upper(), one.lower()), 1)


def test_everything_else_gets_another() -> None:
    key = extract("seed")
    secrets = {
        pair_secret(key, "c", ("a", "b"), 1),
        pair_secret(key, "c", ("a", "b"), 2),
        pair_secret(key, "d", ("a", "b"), 1),
        pair_secret(key, "c", ("a", "bb"), 1),
        pair_secret(key, "c", ("aa", "b"), 1),
        pair_secret(key, "ca", ("", "b"), 1),
        pair_secret(extract("seeds"), "c", ("a", "b"), 1),
    }
    assert len(secrets) == 7


def test_the_value_never_changes() -> None:
    """A gateway that was set up with an earlier release has to agree with one set up with this one."""
    assert pair_secret(extract("seed"), "c", ("a", "b"), 1) == "1KwtEU26Jw1D1PHyFv1U3DZ9ROjcm_z_O0HO59mfyf0"
