# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``ipsec spigrp``: the listing."""

from __future__ import annotations

import json

import pytest
from engine.cli import spigrp
from engine.cli.ipsec import main as ipsec
from engine.kernel.registry import Registry
from engine.kernel.values import KernelSelector, SaState
from engine.said import parse_said

ANY = KernelSelector(4, bytes(4), 0, bytes(4), 0)
GROUP = ("tun.3d0@192.0.2.2", "esp.187a101b@192.0.2.2", "ah.187a101a@192.0.2.2")


def sa(spi: int, protocol: int, destination: str = "192.0.2.2", larval: bool = False) -> SaState:
    return SaState(
        "192.0.2.1", destination, spi, protocol, "tunnel", 0, 4, (), None, 0, False, larval, 0, 0, 0, 0, 0, 0, 0, ANY
    )


class Kernel:
    def dump_sas(self) -> list[SaState]:
        return [
            sa(0xC0000002, 50, "2001:db8::1"),
            sa(0xC0000001, 50),
            sa(0x187A101A, 51),
            sa(0x187A101B, 50),
            sa(0xC0000009, 50, larval=True),
        ]

    def close(self) -> None:
        pass


@pytest.fixture
def runtime(monkeypatch, tmp_path) -> str:
    monkeypatch.setattr(spigrp, "XfrmClient", Kernel)
    registry = Registry(str(tmp_path))
    registry.add_group(tuple(parse_said(text) for text in GROUP))
    registry.close()
    return str(tmp_path)


def test_groups_then_single_sas(runtime, capsys):
    assert ipsec(["spigrp", "--runtime-dir", runtime]) == 0
    assert capsys.readouterr().out == (
        "tun0x3d0@192.0.2.2 esp0x187a101b@192.0.2.2 ah0x187a101a@192.0.2.2\n"
        "esp0xc0000001@192.0.2.2\n"
        "esp0xc0000002@2001:db8::1\n"
    )


def test_json_has_canonical_saids(runtime, capsys):
    assert spigrp.main(["--json", "--runtime-dir", runtime]) == 0
    assert json.loads(capsys.readouterr().out) == [
        list(GROUP),
        ["esp.c0000001@192.0.2.2"],
        ["esp:c0000002@2001:db8::1"],
    ]


def test_empty_table_prints_nothing(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(spigrp, "XfrmClient", Kernel)
    monkeypatch.setattr(Kernel, "dump_sas", lambda self: [])
    assert spigrp.main(["--runtime-dir", str(tmp_path)]) == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("words", [["inet", "192.0.2.2", "0x113", "tun"], ["--said", "esp.1@192.0.2.2"], ["--bogus"]])
def test_words_that_would_group_are_refused_with_the_way_to_do_it(words, capsys):
    assert spigrp.main(words) == 64
    assert "ipsec_spigrp" in capsys.readouterr().err
