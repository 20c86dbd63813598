# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One table has the options of a tunnel: whatever is written out elsewhere says the same as its rows.

Whoever adds an option is told here where it is still to be written.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.fleet.ipsec.plugins.module_utils.engine.convert import (
    ikedb_words,
    ikedb_write,
    ipsec_options,
    swanctl_options,
    yaml_writer,
)
from ansible_collections.fleet.ipsec.plugins.module_utils.engine.convert.files import Files
from ansible_collections.fleet.ipsec.plugins.module_utils.engine.convert.importing import Source, Wishes, convert
from ansible_collections.fleet.ipsec.plugins.module_utils.engine.convert.paths import leaves
from ansible_collections.fleet.ipsec.plugins.module_utils.engine.convert.report import Report
from ansible_collections.fleet.ipsec.plugins.module_utils.engine.convert.rows import Carried
from ansible_collections.fleet.ipsec.plugins.module_utils.engine.definition.options import CHILD, DEFINITION
from ansible_collections.fleet.ipsec.plugins.module_utils.engine.definition.parsing import parse_definition
from ansible_collections.fleet.ipsec.plugins.module_utils.engine.definition.table import IMPACTS, OPTIONS, Option
from ansible_collections.fleet.ipsec.plugins.modules import ipsec_tunnel
from ansible_collections.fleet.ipsec.plugins.plugin_utils.members import AUTH_KEYS, CHILD_KEYS, IKE_KEYS

ROOT = Path(__file__).resolve().parents[3]
TABLE = ROOT / "plugins" / "module_utils" / "engine" / "definition" / "table.py"
DOCUMENTED = yaml.safe_load(ipsec_tunnel.DOCUMENTATION)["options"]
FIRST = "0.1.0"
ROWS = {row.path: row for row in OPTIONS}
OPEN = {row.path: row for row in OPTIONS if row.path != "name"}  # the module's own option is also for names alone
PLACES = {"the task's own": "", "those of tunnels": "tunnels"}

# Of each option a value that is not its default; what has no row here is a new option: give it one.
OTHER: dict[str, Any] = {
    "local.address": "203.0.113.1", "local.id": "here.example.net", "remote.address": "203.0.113.9",
    "remote.addresses": ["203.0.113.9", "203.0.113.10"],
    "remote.id": "there.example.net", "remote.port": 5500, "remote.natt_port": 5501, "role": "initiator",
    "ike.version": 2, "ike.proposals": ["aes256gcm16-prfsha384-x25519"], "ike.lifetime": 5000, "ike.dpd_delay": 77,
    "ike.reauth": 86400,
    "ike.retransmit_timeout": 88, "ike.fragmentation": "never", "ike.fragment_size": 600,
    "encapsulation": "force", "interface.name": "ipsec7", "interface.id": 77,
    "interface.addresses": ["10.255.0.1/30"], "interface.routes": ["10.9.1.0/24"], "interface.mtu": 1333,
    "bypass": ["local_links"], "groups": ["night"], "children.name": "voice", "children.local": ["10.1.0.0/16"],
    "children.remote": ["10.9.0.0/16"], "children.start": "manual",
    "children.close_action": "trap", "children.inactivity": 900,
    "children.mode": "tunnel", "children.protocol": "esp",
    "children.ipcomp": True, "ike.dscp": 46, "children.offload": "crypto",
    "children.priority": 7, "children.dscp": "both", "children.copy_df": False, "children.copy_ecn": False,
    "children.proposals": ["aes256gcm16-x25519"], "children.lifetime": 999, "children.lifetime_bytes": 1 << 30,
    "children.lifetime_packets": 777, "children.replay_window": 64, "name": "whole",
}  # fmt: skip
# Written apart, or not at all.
SECRETS = {path for path in ROWS if path.startswith("auth.")} - {"auth.ppk"}
# Of definitions for many peers, which have certificates: see tests/unit/engine/definition/test_many.py.
OF_MANY = {"remote.max_instances", "remote.unique"}
# What an interface leaves no choice in, or where there is none.
FIXED = {"bypass", "ike.version", "children.mode", "children.protocol"}


def at(options: dict[str, Any], path: str, inner: str) -> dict[str, Any]:
    """The entry of an option in a documentation or an argument spec; ``inner`` is how that calls what is inside."""
    *outer, last = path.split(".")
    for key in outer:
        options = options[key][inner]
    return options[last]


def paths(options: dict[str, Any], inner: str, prefix: str = "") -> Iterator[str]:
    for key, entry in options.items():
        yield f"{prefix}{key}"
        yield from paths(entry.get(inner, {}), inner, f"{prefix}{key}.")


def of_place(options: dict[str, Any], inner: str, place: str) -> dict[str, Any]:
    return options[place][inner] if place else options


def definitions_only(found: Iterator[str], place: str) -> set[str]:
    others = {"name", "only_children"} if place else set(ipsec_tunnel.ARGUMENT_SPEC) - OPEN.keys()
    return {path for path in found if path.partition(".")[0] not in others}


def is_section(row: Option) -> bool:
    return any(path.startswith(f"{row.path}.") for path in ROWS)


def said(row: Option) -> tuple[str, ...]:
    """How the documentation of a module may write the default of an option; empty where nothing is to be said."""
    default = row.schema.get("default")
    if default is None:
        return ()
    if default == []:
        return ("None",)
    if row.schema.get("format") == "duration" and not default:
        return ("V(0)",)
    if row.schema.get("format") == "duration":
        hours = default // 3600
        return (f"{hours} hour{'s' * (hours > 1)}",) if hours and not default % 3600 else (f"{default} seconds",)
    if isinstance(default, bool):
        return (f"V({str(default).lower()})",)
    if isinstance(default, int):
        return (str(default),) if default else ("0", "No limit")
    return (f"V({default[0] if isinstance(default, list) else default})",)


def text_of(entry: dict[str, Any]) -> str:
    described = entry["description"]
    return " ".join((described if isinstance(described, str) else " ".join(described)).split())


# The table itself


def test_every_row_is_whole():
    assert len(ROWS) == len(OPTIONS), "an option has two rows"
    for row in OPTIONS:
        outer, _dot, last = row.path.rpartition(".")
        assert not outer or OPTIONS.index(ROWS[outer]) < OPTIONS.index(row), f"{row.path}: its section comes first"
        assert row.text.strip() and row.text[0].isalnum(), row.path
        assert re.fullmatch(r"\d+\.\d+\.\d+", row.since), row.path
        assert row.impact in (IMPACTS if not is_section(row) and last != "name" else ("", *IMPACTS)), row.path
        assert not {"description", "required", "only"} & row.schema.keys(), f"{row.path}: that has a column"
        if row.only:
            tag = ROWS[f"{outer}.{ROWS[outer].schema['tag']}"]
            assert set(row.only) <= set(tag.schema["enum"]) and not tag.only, row.path


def test_what_a_module_imports_at_once_is_read_by_pythons_that_are_too_old():
    """It has to come so far as to say that they are."""
    known = {"__future__", "collections.abc", "typing", "table"}
    for file in (TABLE, TABLE.with_name("options.py")):
        tree = ast.parse(file.read_text(), feature_version=(3, 8))
        assert {node.module for node in tree.body if isinstance(node, ast.ImportFrom)} <= known
        # What Python 3.9 brought, outside of annotations.
        assert not any(isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr) for node in ast.walk(tree))
        assert not re.search(r"= (dict|list|tuple)\[", file.read_text())


# The module


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_the_argument_spec_has_the_options_of_the_table(place):
    spec = of_place(ipsec_tunnel.ARGUMENT_SPEC, "options", place)
    assert definitions_only(paths(spec, "options"), place) == set(OPEN)
    for path, row in OPEN.items():
        entry = at(spec, path, "options")
        assert "default" not in entry, f"{path}: the manager fills defaults in"
        if isinstance(row.schema.get("type"), str) and row.schema["type"] == "string":
            assert entry.get("choices") == row.schema.get("enum"), path
        secret = row.schema.get("writeOnly") and not is_section(row)
        assert bool(entry.get("no_log")) == bool(secret), path


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_the_documentation_has_the_options_of_the_table(place):
    documented = of_place(DOCUMENTED, "suboptions", place)
    spec = of_place(ipsec_tunnel.ARGUMENT_SPEC, "options", place)
    assert definitions_only(paths(documented, "suboptions"), place) == set(OPEN)
    for path, row in OPEN.items():
        entry, argument = at(documented, path, "suboptions"), at(spec, path, "options")
        for key in ("type", "elements", "choices", "required", "default"):
            assert entry.get(key) == argument.get(key), f"{path}: {key}"
        outer = path.rpartition(".")[0]
        since = row.since if row.since not in (FIRST, ROWS[outer].since if outer else FIRST) else None
        assert entry.get("version_added") == since, f"{path}: version_added"
        phrases = [f"{phrase} when left out" for phrase in said(row)]
        assert not phrases or any(phrase in text_of(entry) for phrase in phrases), f"{path}: say {phrases[0]!r}"


# The role


def test_the_role_says_which_settings_a_community_may_have():
    page = (ROOT / "roles" / "fleet" / "README.md").read_text()
    (listed,) = re.findall(r"^\| `ike`, `child` \| all \|.*$", page, re.MULTILINE)
    ike, child = (set(re.search(rf"`{key}: {{([^}}]*)}}`", listed)[1].split(", ")) for key in ("ike", "child"))
    assert ike == set(IKE_KEYS) == {row.path[4:] for row in OPTIONS if row.path.startswith("ike.")}
    assert child == set(CHILD_KEYS) == set(CHILD["properties"]) - {"name", "local", "remote"}
    kept = {"auth.epoch"}  # says that a key is derived, which what is agreed upon with others never is
    of_auth = {row.path for row in OPTIONS if row.path.startswith("auth.") and row.path.count(".") == 1}
    assert of_auth - kept == {f"auth.{key}" for key in AUTH_KEYS}
    for given in re.findall(r"`ike: {([^}]*)}`", page):
        assert set(given.split(", ")) <= ike


def test_the_argument_specs_of_roles_have_no_settings_of_their_own():
    known = {"ike": set(IKE_KEYS), "child": set(CHILD_KEYS), "auth": set(AUTH_KEYS)}
    for file in sorted((ROOT / "roles").glob("*/meta/argument_specs.yml")):
        for spec in yaml.safe_load(file.read_text())["argument_specs"].values():
            for path in paths(spec["options"], "options"):
                outer, _dot, last = path.rpartition(".")
                section = outer.rpartition(".")[2]
                assert section not in known or last in known[section], f"{file.parent.parent.name}: {path}"


# The converters


def carried() -> Iterator[str]:
    of_tunnels = (ikedb_words.PROTECTION, ikedb_words.TRANSFORM, ikedb_words.TUNNEL, swanctl_options.CONNECTION)
    of_tunnels += (ipsec_options.CONNECTION, swanctl_options.END, ipsec_options.END, *ipsec_options.ENDS.values())
    of_children = (ikedb_words.IPSEC_PROTECTION, ikedb_words.ESP, swanctl_options.CHILD, ipsec_options.CHILD)
    for tables, prefix in ((of_tunnels, ""), (of_children, "children.")):
        for row in (row for table in tables for row in table.values() if isinstance(row, Carried)):
            for side in ("local", "remote"):
                yield from (prefix + path for path in row.path.format(side=side).split())


def test_converters_write_options_of_the_table():
    # What route_based.py makes an interface of, or a refusal; keys that ppk_keys.py looks for.
    apart = {path for path in carried() if re.match(r"(children\.)?(device\.|policies$)|ppk\.", path)}
    assert set(carried()) - apart <= set(ROWS)
    assert {path for path in carried() if path.startswith("ike.")}, "the tables were looked at"


def whole() -> dict[str, Any]:
    """A definition in which everything is another than its default."""
    document: dict[str, Any] = {"auth": {"secret": "no matter which"}}
    child: dict[str, Any] = {}
    for path, value in OTHER.items():
        *outer, last = path.split(".")
        place = child if outer == ["children"] else document
        for key in outer if place is document else ():
            place = place.setdefault(key, {})
        place[last] = value
    return parse_definition({**document, "children": [child]}).document


def test_every_option_has_another_value_here():
    assert set(OTHER) | SECRETS | OF_MANY == {path for path, row in ROWS.items() if not is_section(row)}
    for path in set(OTHER) - FIXED:
        assert OTHER[path] != ROWS[path].schema.get("default"), path


def test_the_yaml_of_converters_has_every_option():
    document = whole()
    (written,) = yaml.safe_load(yaml_writer.playable([document]))["ipsec_tunnels"]
    found = set(leaves(written)) | {f"children.{path}" for path in leaves(written["children"][0])}
    assert found - SECRETS == set(OTHER) - FIXED
    assert parse_definition({**written, "auth": {"secret": "no matter which"}}).document == document


def test_the_xml_of_ikedb_has_every_option():
    document = whole()
    report = Report()
    text = ikedb_write.write([document])
    (tunnel,) = convert(Source(text, "x"), "ikedb", Files(report, follow=False), report, None, Wishes()).tunnels
    again = parse_definition({**tunnel.document, "auth": {"secret": "no matter which"}}).document
    assert again == document


# What is written for people


PAGES = [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md", *sorted((ROOT / "roles").glob("*/README.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_pages_name_options_of_the_table(page):
    sections = "|".join(sorted(path for path, row in ROWS.items() if is_section(row)))
    for path in re.findall(rf"`((?:{sections})\.[a-z_]+)`", page.read_text()):
        assert path in ROWS, path
    for block in re.findall(r"^```ya?ml\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL):
        for arguments in tasks_of(yaml.safe_load(block.replace("…", "x"))):
            known = set(paths(ipsec_tunnel.ARGUMENT_SPEC, "options"))
            assert set(given(arguments)) <= known, page


def test_the_examples_of_the_module_have_options_of_the_table():
    found = list(tasks_of(yaml.safe_load(ipsec_tunnel.EXAMPLES)))
    known = set(paths(ipsec_tunnel.ARGUMENT_SPEC, "options"))
    assert found and all(set(given(arguments)) <= known for arguments in found)


def tasks_of(value: Any) -> Iterator[dict[str, Any]]:
    """The arguments of every task of ipsec_tunnel."""
    if isinstance(value, dict):
        for key, each in value.items():
            if key == "fleet.ipsec.ipsec_tunnel":
                yield each
            else:
                yield from tasks_of(each)
    elif isinstance(value, list):
        for each in value:
            yield from tasks_of(each)


def given(arguments: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in arguments.items():
        yield f"{prefix}{key}"
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, dict):
                yield from given(each, f"{prefix}{key}.")


def test_the_manager_fills_in_every_default_of_the_table():
    document = parse_definition(
        {
            "name": "a",
            "local": {"id": "a.example.net"},
            "remote": {"id": "b.example.net"},
            "auth": {"secret": "no matter which"},
            "children": [{"name": "lan", "local": ["10.1.0.0/16"], "remote": ["10.2.0.0/16"]}],
        }
    ).document
    found = leaves(document) | {f"children.{path}": value for path, value in leaves(document["children"][0]).items()}
    expected = {
        path: row.schema["default"]
        for path, row in ROWS.items()
        if row.schema.get("default") is not None and not path.startswith("interface") and path not in SECRETS
    }
    # A peer whose address is not known begins.
    assert expected | {"role": "responder"} == {path: found[path] for path in expected}
    assert DEFINITION["properties"]["ike"]["properties"].keys() == document["ike"].keys()
