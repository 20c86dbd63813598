# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Others flush nftables, or eroutes that were set by hand: a manager puts them back within a second, and says so."""

from __future__ import annotations

import re
import shutil
import signal
import time
from collections.abc import Iterator
from functools import partial
from ipaddress import ip_network
from pathlib import Path

import pytest
from engine.classic import shunts
from engine.classic.shunt import BOTH, REJECT, Shunt, selector_of
from engine.classic.shunt_plan import plan_present
from engine.classic.shunt_wish import Wish
from manager_site import Manager
from namespaces import Namespace

from tests.waiting import eventually

MENDED = 10.0  # seconds within which it stands again, on a busy machine too: well before everything is compared anyway

FOREIGN = "table inet other { chain c { type filter hook forward priority 0; counter accept; }; }"
GUARD = """
table inet fleet_ipsec
delete table inet fleet_ipsec
table inet fleet_ipsec {
    set protected_ipv4 {
        type ipv4_addr
        flags interval
        elements = { 10.0.0.0/8 }
    }
    chain output {
        type filter hook output priority filter; policy accept;
        ip daddr @protected_ipv4 counter drop comment "fleet.ipsec 0123456789ab 1"
    }
}
"""


@pytest.fixture
def gateway(space: Namespace, tmp_path: Path) -> Iterator[Manager]:
    if not shutil.which("nft"):
        pytest.skip("needs nft")
    guard = tmp_path / "firewall.nft"
    guard.write_text(GUARD)
    manager = Manager(space, tmp_path / "run", 1)
    manager.more = ["--guard", str(guard)]
    space.run(f"nft -f {guard}; nft '{FOREIGN}'")
    manager.start()
    yield manager
    manager.process.kill()
    manager.process.wait(20)
    assert "internal error" not in (manager.folder / "log").read_text()


def rules(space: Namespace) -> str:
    return re.sub(r"counter packets \d+ bytes \d+", "counter", space.run("nft list ruleset"))


def reject(manager: Manager) -> None:
    """An eroute by hand that takes policies and rules of nftables."""
    selector = selector_of(ip_network("10.1.0.0/24"), ip_network("10.2.0.0/24"), 0, 0, 0)
    wish = Wish(Shunt(selector, BOTH, REJECT, "tests"), str, counted=True)
    with manager.space.entered():
        shunts.perform(str(manager.folder), partial(plan_present, wishes=[wish], owner="tests"))


RULE = "$(nft -a list chain inet fleet_ipsec output | sed -n 's/.*comment.*handle //p')"

# What takes from the table, and what puts something in that disarms it.
TAKES = (
    "nft flush ruleset",
    "nft delete table inet fleet_ipsec",
    "nft flush table inet fleet_ipsec",
    "nft delete element inet fleet_ipsec protected_ipv4 { 10.0.0.0/8 }",
    "nft insert rule inet fleet_ipsec output accept",
    f"nft replace rule inet fleet_ipsec output handle {RULE} accept comment '\"fleet.ipsec 0123456789ab 1\"'",
    "nft 'add table inet fleet_ipsec { flags dormant; }'",
    "nft add element inet fleet_ipsec protected_ipv4 { 192.0.2.0/24 }",
    "nft 'add chain inet fleet_ipsec more { type filter hook output priority 5; }'",
    "nft add set inet fleet_ipsec more '{ type ipv4_addr; }'",
)


def test_the_table_that_guards_protected_networks_is_put_back(gateway: Manager) -> None:
    before = gateway.space.run("nft -s list table inet fleet_ipsec")
    for count, command in enumerate(TAKES, 1):
        gateway.space.run(command)
        list_table = "nft -s list table inet fleet_ipsec || true"
        eventually(lambda list_table=list_table: gateway.space.run(list_table) == before, MENDED)
        assert "table inet other" not in rules(gateway.space), "others' are theirs to mend"
        eventually(lambda count=count: gateway.call("manager.info")["repairs"]["count"] == count, MENDED)
        info = gateway.call("manager.info")
        assert "fleet_ipsec of nftables" in info["repairs"]["last"]["what"]
        assert info["repairs"]["last"]["culprit"].startswith("nft (process ")
        time.sleep(1.2)
        assert gateway.call("manager.info")["counts"]["repaired"] == {"rules": count}, "its own doing is no loss"
    assert "removed by somebody else" in (gateway.folder / "log").read_text()


@pytest.mark.parametrize(
    "disarmed", ["insert rule inet fleet_ipsec output accept", "'add table inet fleet_ipsec { flags dormant; }'"]
)
def test_a_table_that_was_disarmed_while_no_manager_ran_is_put_back_by_the_next(
    gateway: Manager, disarmed: str
) -> None:
    before = gateway.space.run("nft -s list table inet fleet_ipsec")
    gateway.end(signal.SIGKILL)
    gateway.space.run(f"nft {disarmed}")
    gateway.start()
    eventually(lambda: gateway.space.run("nft -s list table inet fleet_ipsec") == before, MENDED)


def test_whoever_loads_the_same_rules_anew_or_removes_them_with_their_file_is_let_be(gateway: Manager) -> None:
    guard = gateway.folder.parent / "firewall.nft"
    gateway.space.run(f"nft -f {guard}")
    time.sleep(0.5)
    assert gateway.call("manager.info")["repairs"]["count"] == 0
    guard.unlink()
    gateway.space.run("nft delete table inet fleet_ipsec")
    time.sleep(0.5)
    assert "fleet_ipsec" not in rules(gateway.space)


VANDALS = (
    "ip xfrm policy flush",
    "ip xfrm policy delete src 10.1.0.0/24 dst 10.2.0.0/24 dir out",
    "ip xfrm policy update src 10.1.0.0/24 dst 10.2.0.0/24 dir out priority 5 action allow",
    "ip xfrm policy update src 10.1.0.0/24 dst 10.2.0.0/24 dir out priority 5"
    " tmpl src 192.0.2.1 dst 192.0.2.77 proto esp reqid 7 mode tunnel",
    "nft flush ruleset",
)


def test_the_rules_of_an_eroute_are_put_back_as_they_were(gateway: Manager) -> None:
    reject(gateway)
    before = rules(gateway.space)
    time.sleep(0.5)
    for count, command in enumerate(
        (
            "nft insert rule inet fleet_ipsec_shunts forwarded accept",
            "nft 'add table inet fleet_ipsec_shunts { flags dormant; }'",
            "nft 'add chain inet fleet_ipsec_shunts more { type filter hook output priority 5; }'",
        ),
        1,
    ):
        gateway.space.run(command)
        eventually(lambda: rules(gateway.space) == before, MENDED)
        time.sleep(1.2)
        assert gateway.call("manager.info")["counts"]["repaired"] == {"rules": count}, "its own doing is no loss"


def test_an_eroute_set_by_hand_is_put_back(gateway: Manager) -> None:
    reject(gateway)

    def stands() -> tuple[list[tuple[str, ...]], str]:
        text = gateway.space.run("ip xfrm policy list nosock")
        return sorted(re.findall(r"src (10\S+ dst \S+).*\n\s+dir (\w+) action (\w+)", text)), rules(gateway.space)

    before = stands()
    assert len(before[0]) >= 2 and "fleet_ipsec_shunts" in before[1]
    time.sleep(0.5)
    assert gateway.call("manager.info")["repairs"]["count"] == 0, "who sets one by hand removes nothing"
    for count, command in enumerate(VANDALS, 1):
        gateway.space.run(command)
        eventually(lambda: stands()[0] == before[0] and "fleet_ipsec_shunts" in stands()[1], MENDED)
        eventually(lambda count=count: gateway.call("manager.info")["repairs"]["count"] >= count, MENDED)
        time.sleep(1.2)  # what comes sooner is slowed
    assert "removed by somebody else" in (gateway.folder / "log").read_text()
