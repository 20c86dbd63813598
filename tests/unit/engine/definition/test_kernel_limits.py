# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the kernel cannot have is refused when it is defined."""

from __future__ import annotations

from typing import Any

import pytest
from engine.definition.kernel_limits import MOST_CHILDREN, check_policies
from engine.definition.parsing import parse_definition
from engine.definition.schema import Problems
from engine.ike.settings import Settings


def check(*children: tuple[list[str], list[str]]) -> list[str]:
    raw: dict[str, Any] = {
        "name": "t",
        "local": {"address": "203.0.113.1"},
        "remote": {"address": "203.0.113.9"},
        "auth": {"secret": "a key of the tests, long enough for all"},
        "children": [{"name": f"c{n}", "local": here, "remote": there} for n, (here, there) in enumerate(children)],
    }
    try:
        check_policies(parse_definition(raw), "definitions[0].")
    except Problems as found:
        return [str(problem) for problem in found.problems]
    return []


def networks(count: int, second: int) -> list[str]:
    return [f"10.{second}.{n}.0/24" for n in range(count)]


def test_as_many_policies_as_the_kernel_floor_allows_are_taken() -> None:
    assert not check((networks(16, 1), networks(16, 2)), (networks(255, 3), ["10.4.0.0/16"]))


@pytest.mark.parametrize(
    ("here", "there", "words"),
    [
        (networks(17, 1), networks(16, 2), "needs more than 256 policies"),
        (["10.1.0.1-10.1.255.254"], ["10.2.0.1-10.2.255.254"], "needs more than 256 policies"),
        (["10.1.0.0/16[tcp]"], ["10.2.0.0/16[udp]"], "no family or protocol in common"),
        (networks(250, 1) + networks(6, 5), ["10.2.0.0/16"], "children[1].local: is more than IKE can name (got 256)"),
    ],
)
def test_a_child_that_cannot_have_its_policies_is_named(here: list[str], there: list[str], words: str) -> None:
    (problem,) = check((["10.9.0.0/24"], ["10.8.0.0/24"]), (here, there))
    assert words in problem and "definitions[0].children[1]" in problem


def test_a_tunnel_has_no_more_children_than_an_ike_sa_takes() -> None:
    assert Settings().max_children == MOST_CHILDREN
    many = [([f"10.1.{n}.0/24"], [f"10.2.{n}.0/24"]) for n in range(MOST_CHILDREN)]
    assert not check(*many)
    (problem,) = check(*many, (["10.3.0.0/24"], ["10.4.0.0/24"]))
    assert problem.startswith("definitions[0].children: is more than an IKE SA can have (got 257); at most 256")
