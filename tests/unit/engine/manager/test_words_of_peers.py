# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A peer's own words are harmless wherever they are told: in the log, as JSON, on a terminal."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from crowd import CREATE, Crowd
from engine.cli.tunnels import long_form, short_form
from engine.crypto.negotiation import offer_esp
from engine.crypto.proposals import esp_proposals
from engine.identity import Identity
from engine.ike.context import LONGEST_STORY
from engine.manager.listing import listing, look
from engine.manager.methods import check_params
from engine.selector import parse_selector
from engine.wire.v2.nonce import Nonce
from engine.wire.v2.sa import SA
from engine.wire.v2.ts import TSi, TSr

EVIL = {
    "escape sequence": "\x1b]0;owned\x07\x1b[2J",
    "new line": "a\n<0>all is lost\r\n",
    "bidirectional": "\u202egro.live\u2066",
    "C1 controls": "\u009b31m\u0090",
    "quotes": "a' \" tunnel=x `id` $(id)",
    "markup": "<script>alert(1)</script>&amp;",
    "nothing": "\x00\x7f\xad\u200b",
    "long": "x" * 1900,
}
LIST = check_params("tunnels.list", {"verbose": True, "names": ["t"]})
FQDN, MAIL, NAME, KEY = 2, 3, 9, 11


def dn(text: str) -> bytes:
    """C=..., with this as its CN, in DER."""

    def tlv(tag: int, value: bytes) -> bytes:
        size, more = len(value), (len(value).bit_length() + 7) // 8
        length = bytes((size,)) if size < 128 else bytes((0x80 | more,)) + size.to_bytes(more, "big")
        return bytes((tag,)) + length + value

    attribute = tlv(0x30, tlv(6, bytes((0x55, 4, 3))) + tlv(0x0C, text.encode("utf-8", "surrogatepass")))
    return tlv(0x30, tlv(0x31, attribute))


def identity(kind: int, text: str) -> Identity:
    octets = text.encode("utf-8")
    return Identity(kind, dn(text) if kind == NAME else octets)


def tells(crowd: Crowd) -> list[str]:
    """All that the manager tells of its tunnels, as JSON and on a terminal."""
    right = crowd.right
    found = [look(right.tunnels, row) for row in right.tunnels.rows.values()]
    views = {"t": right.endpoint.of_tunnel("t")}
    (entry,) = listing(right.tunnels, found, views, {}, LIST, crowd.world.now, right.traffic)
    text = json.dumps(entry, ensure_ascii=False)
    return [text, short_form([entry], "both", True), long_form([entry], "both")]


def harmless(text: str) -> bool:
    """Whether a terminal shows it as it is, from left to right."""
    return all(sign in "\n\t" or (sign.isprintable() and sign.isascii()) or sign in "…—" for sign in text)


@pytest.mark.parametrize("kind", [FQDN, MAIL, NAME, KEY])
@pytest.mark.parametrize("words", EVIL)
def test_the_identity_of_a_stranger(tmp_path: Path, kind: int, words: str) -> None:
    crowd = Crowd(tmp_path)
    engine = crowd.engine()
    connection = engine.connections.get("t")
    engine.define(replace(connection, local_id=identity(kind, EVIL[words])))
    crowd.hand(engine, engine.start("t", crowd.world.now))
    log = crowd.world.log.getvalue()
    assert "ike failed" in log and ("no tunnel is defined here for peer identity" in log or "has a NUL inside" in log)
    assert harmless(log)
    lines = log.splitlines()
    assert len(lines) == crowd.counts().lines and max(map(len, lines)) < LONGEST_STORY + 200
    assert all(line.split(" ", 2)[1] in ("info", "warning", "debug") for line in lines)
    assert all(map(harmless, tells(crowd)))


@pytest.mark.parametrize("words", EVIL)
def test_the_name_of_a_peer_that_is_known(tmp_path: Path, words: str) -> None:
    name = identity(NAME, EVIL[words][:150])
    crowd = Crowd(tmp_path, peer=f"dn:{name.data.hex()}")
    crowd.open()
    (sa,) = crowd.right.endpoint.of_tunnel("t")
    assert sa.peer == name
    assert all(map(harmless, [crowd.world.log.getvalue(), *tells(crowd)]))


def test_selectors_without_end_make_a_short_story(tmp_path: Path, calls: Callable[..., int]) -> None:
    costs = []
    for number in (1, 200):
        (tmp_path / str(number)).mkdir()
        crowd = Crowd(tmp_path / str(number), child={"proposals": ["aes256gcm16"]})
        engine = crowd.open()
        offer = SA(offer_esp(esp_proposals("aes256gcm16", "p"), b"\xe0\0\0\1", with_ke=False))
        asked = [parse_selector(f"172.16.{each}.0-172.16.{each}.77[udp/{each}-60000]") for each in range(number)]
        payloads: list[Any] = [offer, Nonce(bytes(32)), TSi(tuple(asked)), TSr(tuple(asked))]
        costs.append(calls(crowd.say, engine, CREATE, payloads))
        (line,) = [line for line in crowd.world.log.getvalue().splitlines() if "the peer asks for" in line]
        assert len(line) < LONGEST_STORY + 200
    assert costs[1] < costs[0] + 200 * 80
