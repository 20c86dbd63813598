# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Messages: what was given is in them, what was not is not, and long lists are cut."""

from __future__ import annotations

from engine.errors import InputError, a_few


def test_a_value_is_shown_and_a_missing_one_is_not():
    assert str(InputError("port", "x", "is no number", "write one")) == "port: is no number (got 'x'); write one"
    assert str(InputError("port", "", "is no number", "write one")) == "port: is no number (got ''); write one"
    assert str(InputError("port", None, "is missing", "give it")) == "port: is missing; give it"


def test_a_private_key_is_shown_neither_as_a_value_nor_as_a_field_nor_among_others():
    key = "-----BEGIN EC PRIVATE KEY-----\nMHcC\n-----END EC PRIVATE KEY-----\n"
    for value in (key, [key], {"a": {key: 1}}):
        problem = InputError(f"auth.{key}", value, "is no option", "leave it out")
        assert str(problem) == "auth.hidden: is no option (got 'hidden'); leave it out"
        assert problem.value == "hidden" and problem.field == "auth.hidden"


def test_lists_are_cut_where_nobody_reads_on():
    assert a_few(["a"]) == "a"
    assert a_few(range(20)) == ", ".join(map(str, range(20)))
    assert a_few(range(5000), ",") == ",".join(map(str, range(20))) + " and 4980 more"
