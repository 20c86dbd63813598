# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Groups of SAs keyed by hand, undone and made again at one end: packets still pass; needs ESP, AH and IPComp."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from engine.classic import groups, manual
from engine.classic.manual_words import read_said, read_wish
from engine.cli import spi as spi_command
from engine.kernel.client import XfrmClient, create_policy, delete_policy
from engine.kernel.policies import kernel_selectors, policies, priority
from engine.kernel.values import Sa, Template
from engine.selector import parse_selector
from esp_site import Site
from group_site import INNER, OUTER, PAYLOADS, exchange

pytestmark = pytest.mark.usefixtures("whole_ipsec")

REQIDS = {"esp": 11, "ah": 12, "comp": 13}
SPIS = {"tun": 0x113, "comp": 0x114, "esp": 0x115, "ah": 0x116}
KEY = "0x" + "5a" * 32


class ChildRoutes:
    """SAs both ways between the sites, keyed by hand; ``family`` is that of packets and gateways."""

    def __init__(self, sites: tuple[Site, Site], tmp_path, family: int) -> None:
        self.sites, self.family = sites, family
        self.directories = [str(tmp_path / "a"), str(tmp_path / "b")]

    def said(self, name: str, way: int) -> str:
        destination = OUTER[self.family][1 - way]
        return f"{name}{':' if self.family == 6 else '.'}{SPIS[name] + 0x1000 * way:x}@{destination}"

    def words(self, name: str, way: int) -> dict[str, Any]:
        found: dict[str, Any] = {"said": self.said(name, way), "source": OUTER[self.family][way]}
        if name == "tun":
            return found
        secrets = {"encryption": {"algorithm": "aes256", "key": KEY}, "integrity": {"algorithm": "sha256", "key": KEY}}
        wanted = {"esp": secrets, "ah": {"integrity": secrets["integrity"]}, "comp": {"compression": "deflate"}}
        return found | wanted[name] | {"reqid": REQIDS[name]}

    def make(self, site: int, names: str) -> None:
        """As the classic words make them: without a mode."""
        for way in (0, 1):
            wishes = [read_wish(self.words(name, way)) for name in names.split()]
            decide = partial(manual.plan_present, wishes, "tests", [str(wish.said) for wish in wishes])
            with self.sites[site].space.entered():
                manual.perform(self.directories[site], [wish.said for wish in wishes], decide)

    def group(self, site: int, names: str) -> None:
        for way in (0, 1):
            members = tuple(read_said(self.said(name, way)) for name in names.split())
            with self.sites[site].space.entered():
                assert groups.perform(self.directories[site], partial(groups.plan_group, members)).changed

    def ungroup(self, site: int) -> None:
        for way in (0, 1):
            with self.sites[site].space.entered():
                plan = groups.perform(
                    self.directories[site], partial(groups.plan_ungroup, (read_said(self.said("ah", way)),))
                )
            assert plan.dissolved

    def lead(self, site: int, name: str, ends: tuple[str, str], put: bool = True) -> None:
        """Have packets between ``ends`` go through the SA ``name``, in the mode that it has, or no more."""
        sa = self.sa(site, name, site)
        local, remote = ends[site], ends[1 - site]
        selectors = kernel_selectors((parse_selector(f"{local}[udp]"),), (parse_selector(f"{remote}[udp]"),))
        template = Template(sa.source, sa.destination, 0, sa.protocol, sa.mode, sa.reqid)
        with self.sites[site].space.entered():
            client = XfrmClient()
            for policy in policies(selectors[0], priority(selectors[0]), template):
                client.do(create_policy(policy) if put else delete_policy(policy))
            client.close()

    def sa(self, site: int, name: str, way: int) -> Sa:
        said = read_said(self.said(name, way))
        with self.sites[site].space.entered():
            client = XfrmClient()
            held = client.read_sa(said.destination, said.spi, said.protocol)
            client.close()
        assert held is not None
        return held.sa

    def modes(self, site: int) -> list[str]:
        return [self.sa(site, "esp", way).mode for way in (0, 1)]

    def pass_(self, ends: tuple[str, str]) -> None:
        """Every packet arrives, through AH and ESP, or IPComp in the place of what it cannot compress."""
        for payloads, wire in exchange(self.sites, ends):
            assert payloads == PAYLOADS
            assert all([protocol for protocol, _spi in chain] == [51, 50] for chain in wire)


@pytest.fixture(params=[4, 6])
def ways(request, sites, tmp_path) -> ChildRoutes:
    return ChildRoutes(sites, tmp_path, request.param)


@pytest.mark.parametrize("names", ["tun esp ah", "esp ah", "tun comp esp ah"])
def test_packets_pass_after_ungrouping_and_grouping_at_one_end(ways: ChildRoutes, names: str) -> None:
    """Under the same policies, and once more with policies of their own."""
    ends = INNER[ways.family] if "tun" in names else OUTER[ways.family]
    first = "comp" if "comp" in names else "esp"
    for site in (0, 1):
        ways.make(site, names)
        ways.group(site, names)
        ways.lead(site, first, ends)
        ways.group(site, names)  # once more: it takes in the policies made since
    ways.pass_(ends)
    ways.ungroup(0)
    if first == "esp":  # else it only compresses, and spigrp warns of that
        (payloads, _wire), _back = exchange(ways.sites, ends)
        assert payloads == [], "the other end demands AH"
    ways.group(0, names)
    ways.pass_(ends)
    ways.ungroup(0)
    ways.lead(0, first, ends, put=False)
    ways.group(0, names)
    ways.lead(0, first, ends)
    ways.group(0, names)
    ways.pass_(ends)


def test_a_group_without_its_tun_is_what_it_is_when_made_afresh(ways: ChildRoutes) -> None:
    """``tun esp ah`` was used, and undone; as ``esp ah`` it understands an end that never had a tun."""
    inner, outer = INNER[ways.family], OUTER[ways.family]
    for site in (0, 1):
        ways.make(site, "tun esp ah")
        ways.group(site, "tun esp ah")
        ways.lead(site, "esp", inner)
        ways.group(site, "tun esp ah")
    ways.pass_(inner)
    ways.lead(0, "esp", inner, put=False)
    sent = ways.sites[0].space.run("ip -s xfrm state").count("oseq 0x4")
    assert ways.modes(0) == ["tunnel", "tunnel"]
    ways.ungroup(0)
    assert ways.modes(0) == ["transport", "transport"]
    assert ways.sites[0].space.run("ip -s xfrm state").count("oseq 0x4") == sent, "no sequence number comes twice"
    # The other end has forgotten all, and never hears of a tun.
    ways.lead(1, "esp", inner, put=False)
    with ways.sites[1].space.entered():
        assert spi_command.main(["--runtime-dir", ways.directories[1], "--clear", "--owner", "tests"]) == 0
    ways.make(1, "esp ah")
    for site in (0, 1):
        ways.group(site, "esp ah")
        ways.lead(site, "esp", outer)
        ways.group(site, "esp ah")
    ways.pass_(outer)


@pytest.mark.parametrize("ways", [4], indirect=True)
def test_the_mode_is_shown_and_said(ways: ChildRoutes, capsys) -> None:
    ways.make(0, "tun esp ah")
    ways.group(0, "tun esp ah")
    said, directory = ways.said("esp", 0), ways.directories[0]
    with ways.sites[0].space.entered():
        spi_command.main(["--runtime-dir", directory])
        (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("esp0x115@")]
        assert line.endswith(" mode=tunnel")
        words = ["--said", said, "--src", OUTER[ways.family][0], "--esp", "aes256-sha2-256-128", "--owner", "tests"]
        keys = ["--enckey", KEY, "--authkey", KEY]
        assert spi_command.main(["--runtime-dir", directory, *words, *keys]) == 0
        assert f"{said} is in tunnel mode, which a group with tun gave it" in capsys.readouterr().err
    assert ways.modes(0) == ["tunnel", "tunnel"]


@pytest.mark.parametrize("ways", [4], indirect=True)
def test_a_member_that_expired_is_made_again_as_its_group_needs_it(ways: ChildRoutes) -> None:
    """Nothing is dropped for good: neither in its group, nor once that is undone under a policy."""
    inner = INNER[ways.family]
    for site in (0, 1):
        ways.make(site, "tun esp ah")
        ways.group(site, "tun esp ah")
        ways.lead(site, "esp", inner)
        ways.group(site, "tun esp ah")
    for site in (0, 1):
        ways.sites[site].space.run("ip xfrm state flush proto esp")
        ways.make(site, "tun esp ah")
        assert ways.modes(site) == ["tunnel", "tunnel"]
    ways.pass_(inner)
    for site in (0, 1):
        ways.sites[site].space.run("ip xfrm state flush proto esp")
        ways.ungroup(site)
        ways.make(site, "tun esp ah")
    assert [payloads for payloads, _wire in exchange(ways.sites, inner)] == [PAYLOADS, PAYLOADS], "by ESP alone"
