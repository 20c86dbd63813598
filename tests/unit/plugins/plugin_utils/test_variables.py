# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Misspelt variables are told from those that a user has for himself."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ansible_collections.fleet.ipsec.plugins.plugin_utils.variables import known, nearest, options

ROLES = Path(__file__).resolve().parents[4] / "roles"


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
    ],
)
def test_a_name_of_the_users_own(name: str) -> None:
    assert nearest(name, [name]) == ""


def test_a_name_that_the_right_one_is_made_of_is_the_users_own() -> None:
    assert nearest("fleet_seed", ["fleet_seed"]) == "fleet_ipsec_seed"
    assert nearest("fleet_seed", ["fleet_seed", "fleet_ipsec_seed"]) == ""


def test_whatever_a_role_sets_or_takes_is_known() -> None:
    words = set()
    for file in ROLES.glob("*/*/*.yml"):
        words |= set(re.findall(r"\b(?:fleet|gateway|verify)_[a-z_]+\b", file.read_text(encoding="utf-8")))
    # Parts of other words: names of filters' arguments, of files, of modules.
    assert {word for word in words - known() if nearest(word, [word])} == set()
    assert {"fleet_ipsec", "gateway_python", "verify_ping_count"} <= options() <= known()
