# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SAs keyed by hand as plain data, for results and diffs; never with a key."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict

from ..kernel.registry import Manual
from ..kernel.values import Sa
from ..said import Said
from .transforms import cipher_word, hash_word


def show_sa(
    said: Said, sa: Sa | None, note: Manual | None, differing: Collection[str] = (), word: str = ""
) -> dict[str, object]:
    """An SA in the words of the module; empty for one that is not there.

    :param differing: fields that change; for a key among them ``word`` stands in its place.
    """
    if sa is None:
        return {"said": str(said), "source": note.source} if note is not None and note.reqid == 0 else {}
    shown: dict[str, object] = {"said": str(said), "source": sa.source, "mode": sa.mode, "reqid": sa.reqid}
    cipher = sa.aead or sa.encryption
    if cipher is not None:
        key = {"key": word} if "encryption.key" in differing else {}
        icv_bits = sa.aead.icv_bits if sa.aead else 0
        shown["encryption"] = {"algorithm": cipher_word(cipher.name, len(cipher.key), icv_bits), **key}
    if sa.integrity is not None:
        key = {"key": word} if "integrity.key" in differing else {}
        shown["integrity"] = {"algorithm": hash_word(sa.integrity.name, sa.integrity.trunc_bits), **key}
    if sa.compression is not None:
        shown["compression"] = sa.compression
    else:
        shown["replay_window"] = sa.replay_window
    if sa.encapsulation is not None:
        source, destination = sa.encapsulation
        shown["encapsulation"] = {"source_port": source, "destination_port": destination}
    # The words are those of the option lifetime.
    limits = {name: value for name, value in asdict(sa.limits).items() if value}
    if limits:
        shown["lifetime"] = limits
    # Only where a program other than ours can have made it so.
    for name, odd in (("esn", sa.esn), ("one_family", not sa.af_unspec), ("if_id", sa.if_id)):
        if odd:
            shown[name] = odd
    return shown
