# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which files and links a gateway gets."""

from __future__ import annotations

import yaml
from ansible_collections.fleet.ipsec.plugins.plugin_utils.files import gateway_files, gateway_links

from ..conftest import CHECKOUT

SHARE = CHECKOUT / "plugins/module_utils/engine/cli/share"
NAMES = [str(path.relative_to(SHARE)) for path in SHARE.rglob("*") if path.is_file()]
COMMANDS = {name: f"/usr/sbin/{name}" for name in ("fleet-ipsec-manager", "ike", "ikedb", "ipsec")}


def links(**changes: str) -> list[dict[str, str]]:
    return gateway_links(NAMES, "/e/current/engine", "/usr/local/share", COMMANDS | changes)


def test_everything_that_the_engine_has_for_people_is_linked() -> None:
    wanted = gateway_files(links(), "systemd")
    assert len(wanted) == len(NAMES) > 10
    page = "man/man8/ipsec_eroute.8"
    assert {
        "path": f"/usr/local/share/{page}",
        "link": f"/e/current/engine/cli/share/{page}",
        "mode": "0644",
    } in wanted


def test_the_role_looks_into_every_folder() -> None:
    looked = yaml.safe_load((CHECKOUT / "roles/gateway/vars/main.yml").read_text())["gateway_shared"]
    for name in NAMES:
        assert f"gateway_share_source ~ '/{name.rpartition('/')[0]}/*'" in looked


def test_a_command_that_is_not_installed_has_no_page() -> None:
    gone = [row["path"] for row in gateway_files(links(ipsec=""), "systemd") if row.get("state") == "absent"]
    assert gone and all("/ipsec" in path or path.endswith("_ipsec") for path in gone)


def test_nothing_is_linked_nowhere_and_everything_goes() -> None:
    assert gateway_links(NAMES, "/e/current/engine", "", COMMANDS) == []
    assert {row.get("state") for row in gateway_files(links())} == {"absent"}
