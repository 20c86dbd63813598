# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Misspelt variables are told from those that a user has for himself."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from ansible_collections.fleet.ipsec.plugins.plugin_utils.variables import known, misspelt_variables, nearest, options

ROLES = Path(__file__).resolve().parents[4] / "roles"
PLAYBOOKS = ROLES.parent / "playbooks"


@pytest.mark.parametrize(
    ("name", "right"),
    [
        ("fleet_ipsec_epcoh", "fleet_ipsec_epoch"),
        ("fleet_ipsec_comunities", "fleet_ipsec_communities"),
        ("fleet_communities", "fleet_ipsec_communities"),
        ("fleet_ipsek", "fleet_ipsec"),
        ("fleet_wiat", "fleet_wait"),
        ("fleet_ipsec_owner", "fleet_owner"),
        ("gateway_protected_network", "gateway_protected_networks"),
        ("gateway_loglevel", "gateway_log_level"),
        ("verify_ping_cmd", "verify_ping_command"),
        ("teardown_everthing", "teardown_everything"),
        ("teardown_all_everything", "teardown_everything"),
        ("teardwon_everything", "teardown_everything"),
        ("ipsec_fleet_seed", "fleet_ipsec_seed"),
        ("ipsec_fleet_sede", "fleet_ipsec_seed"),
        ("ipsec_fleet_communities", "fleet_ipsec_communities"),
        ("flet_ipsec_seed", "fleet_ipsec_seed"),
        ("flete_hosts", "fleet_hosts"),
        ("fleet_hots", "fleet_hosts"),
        ("fleetipsec_epoch", "fleet_ipsec_epoch"),
        ("fleet_ipsecseed", "fleet_ipsec_seed"),
        ("FLEET_IPSEC_EPOCH", "fleet_ipsec_epoch"),
        ("getway_protected_networks", "gateway_protected_networks"),
        ("gateways_log_level", "gateway_log_level"),
        ("verfiy_ike_wait", "verify_ike_wait"),
    ],
)
def test_a_misspelt_name(name: str, right: str) -> None:
    assert nearest(name, [name]) == right


@pytest.mark.parametrize(
    "name",
    [
        "gateway_ip",
        "gateway_name",
        "gateway_interface",
        "gateway_address",
        "gateway_networks",
        "verify_ssl",
        "verify_certs",
        "verify_hosts",
        "fleet_name",
        "fleet_region",
        "fleet_hostname",
        "fleet_ipsec_peers",
        "fleet_ipsec_vaulted_seed",
        "gateway",
        "fleet_host",
        "gate_path",
        "ipsec_seed",
        "ipsec_owner",
        "ipsec_fleet",
        "ipsec_fleet_region",
        "my_fleet_seed",
        "site_gateway_path",
        "fleets_region",
        "default_gateway",
        "gateways",
        "gateways_ip",
        "teardown",
        "teardown_timeout",
        "teardown_everyone",
        "import_hosts",
        "import_format",
        "hosts",
        "owner",
        "ansible_host",
        "verified_path",
        "feet_region",
        "_fleet",
        "",
    ],
)
def test_a_name_of_the_users_own(name: str) -> None:
    assert nearest(name, [name]) == ""


def test_a_name_that_the_right_one_is_made_of_is_the_users_own() -> None:
    assert nearest("fleet_seed", ["fleet_seed"]) == "fleet_ipsec_seed"
    assert nearest("fleet_seed", ["fleet_seed", "fleet_ipsec_seed"]) == ""


def test_a_name_of_the_same_words_may_be_what_the_right_one_is_made_of() -> None:
    assert nearest("ipsec_fleet_seed", ["ipsec_fleet_seed", "fleet_ipsec_seed"]) == ""
    assert nearest("flet_ipsec_seed", ["fleet_ipsec_seed"]) == "fleet_ipsec_seed"


def test_misspelt_variables_of_some_hosts_in_words() -> None:
    given = {"g0": {"teardown_everthing": True}, "g1": {"getway_path": "/x"}, "g2": {}}
    (said,) = misspelt_variables(given, ["g0", "g2", "gone"])
    assert said.startswith(
        "the variable teardown_everthing (of g0) is none of fleet.ipsec; did you mean teardown_every"
    )
    assert (
        misspelt_variables(given | {"g0": given["g0"] | {"fleet_own_variables": ["teardown_everthing"]}}, ["g0"]) == []
    )


def test_variables_of_a_playbook_are_looked_at_where_it_runs() -> None:
    text = (PLAYBOOKS / "import.yml").read_text(encoding="utf-8")
    words = set(re.findall(r"\bimport_[a-z0-9_]+\b", text)) - {"import_misspelt", "import_names", "import_found"}
    names = yaml.safe_load(text)[0]["tasks"][0]["vars"]["import_names"]
    assert words == set(names)
    slips = {"import_host": 1, "import_local_address": 1, "import_formt": 1, "import_upgrade_ikev": 1}
    others = {"import_dir": 1, "import_found": 1, "import_misspelt": 1, "import_names": 1, "exports_src": 1}
    said = misspelt_variables({"g0": {**slips, **others, **dict.fromkeys(names)}}, ["g0"], names)
    assert len(said) == len(slips) and "did you mean import_local_addresses?" in said[1]


def test_whatever_a_role_sets_or_takes_is_known() -> None:
    words = set()
    for file in [*ROLES.glob("*/*/*.yml"), *PLAYBOOKS.glob("*.yml")]:
        words |= set(re.findall(r"\b(?:fleet|gateway|verify|teardown)_[a-z_]+\b", file.read_text(encoding="utf-8")))
    # Parts of other words: names of filters' arguments, of files, of modules.
    assert {word for word in words - known() if nearest(word, [word])} == set()
    assert {"fleet_ipsec", "gateway_python", "verify_ping_count"} <= options() <= known()
