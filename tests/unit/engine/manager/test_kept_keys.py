# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A key that takes the place of another one: what cuts a peer off is said, and refused where that is asked for."""

from __future__ import annotations

import pytest
from engine.errors import InputError
from manager_lab import definition
from planning import plan, row

OLD, NEW, OTHER = ("o" * 43, "n" * 43, "x" * 43)


def keyed(secret: str, *also_accept: str, **more: object) -> dict:
    return definition() | {"auth": {"secret": secret, "also_accept": list(also_accept), **more}}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (keyed(OLD), keyed(OLD)),
        (keyed(OLD), keyed(NEW, OLD)),  # a rotation
        (keyed(NEW, OLD), keyed(OLD)),  # and back
        (keyed(NEW, OLD), keyed(NEW)),
        (keyed(OLD), keyed(OLD, epoch=1)),
    ],
)
def test_keys_with_which_the_two_ends_still_meet(before: dict, after: dict) -> None:
    outcome = plan(after, have=[row(before)], keep_keys=[after["name"]])
    assert not outcome.warnings


@pytest.mark.parametrize(("before", "after"), [(keyed(OLD), keyed(NEW)), (keyed(OLD), keyed(NEW, OTHER))])
def test_another_key_is_said_and_refused_where_the_peer_cannot_get_it(before: dict, after: dict) -> None:
    name = after["name"]
    (warning,) = plan(after, have=[row(before)]).warnings
    assert warning.startswith(f"the peer of {name} has to get the new key, too")
    (warning,) = plan(after, have=[row(before)], keep_keys=["another"]).warnings
    with pytest.raises(InputError, match=f"keep_keys: each of these 1 gets another key .*{name}.*fleet_new_keys"):
        plan(after, have=[row(before)], keep_keys=[name, "another"])
    assert NEW not in warning


def test_where_an_identity_changes_both_ends_are_told_anyhow() -> None:
    renamed = keyed(NEW) | {"remote": definition()["remote"] | {"id": "renamed.example.net"}}
    assert not plan(renamed, have=[row(keyed(OLD))], keep_keys=[renamed["name"]]).warnings
