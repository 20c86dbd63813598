# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""YAML without a library is read alike by one."""

from __future__ import annotations

from typing import Any

import pytest
from engine.convert import yaml_writer
from engine.definition.parsing import parse_definition
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import SECRET, documents, read

yaml = pytest.importorskip("yaml", reason="PyYAML is not here to read what was written")


class Loader(yaml.SafeLoader):
    """Reads what Ansible marks as unsafe as plain text."""


Loader.add_constructor("!unsafe", lambda loader, node: loader.construct_scalar(node))


def load(text: str) -> Any:
    return yaml.load(text, Loader)


# A key on one line has at most 1024 characters (YAML 1.2, 7.4.2), escapes included.
KEYS = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(st.characters(exclude_categories=["Cs"]))),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(KEYS, inner)),
    max_leaves=20,
)


@settings(max_examples=100, deadline=None)
@given(VALUES)
def test_what_is_written_is_read_alike(value):
    assert load(yaml_writer.dump(value)) == value


@pytest.mark.parametrize(
    "text",
    ["yes", "No", "on", "null", "~", "1e3", "0x1f", "1_000", "012", ".5", "2026-11-21", "12:30:45", "", " x", "x ",
     "- a", "a: b", "#c", "!x", "&x", "*x", "@x", "%x", "{x}", "[x]", "x,y", "'", '"', "\\", "\n", "\x00", "\x7f",
     "\x85", "\u2028", "\ufeff", "\U0001f680", "=", "<<", "y", "N", "True", "null."],
)  # fmt: skip
def test_awkward_texts(text):
    assert load(yaml_writer.dump({"k": text, text: [text]})) == {"k": text, text: [text]}


@pytest.mark.parametrize("text", ["{{ lookup('pipe', 'id') }}", "a{% if %}", "{# x #}"])
def test_templates_from_outside_are_marked_unsafe(text):
    assert yaml_writer.scalar(text).startswith("!unsafe ")
    assert load(yaml_writer.dump([text])) == [text]
    assert not yaml_writer.scalar(yaml_writer.Reference(text)).startswith("!")


@settings(max_examples=20, deadline=None)
@given(documents())
def test_definitions_are_ready_for_the_module(document):
    text = yaml_writer.playable(
        [{**document, "auth": {"method": "psk", "secret": SECRET, "also_accept": [SECRET]}}], ["a\nb"]
    )
    assert SECRET not in text
    (tunnel,) = load(text)["ipsec_tunnels"]
    assert tunnel["auth"] == {"method": "psk", "secret": f"{{{{ ipsec_tunnel_secrets['{document['name']}'] }}}}"}
    tunnel["auth"]["secret"] = SECRET
    assert parse_definition(tunnel).document == document


def test_a_converted_site_is_ready_for_the_module():
    found = read("site.swanctl.conf")
    text = yaml_writer.playable([tunnel.document for tunnel in found.tunnels])
    for tunnel in load(text)["ipsec_tunnels"]:
        parse_definition({**tunnel, "auth": {"secret": SECRET}})
    assert "Tr0ub4dor" not in text
