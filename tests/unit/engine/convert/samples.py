# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shared by the tests of conversion: the sample files, the manager's own check, and definitions of every kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from engine.convert.files import Files
from engine.convert.importing import Source, Wishes, convert
from engine.convert.report import Conversion, Report, Tunnel
from engine.crypto.proposals import ESP_WORDS, IKE_WORDS
from engine.definition.build import check_proposals
from engine.definition.parsing import Definition, parse_definition
from engine.definition.schema import Problems
from engine.manager.request_reader import read_wishes
from hypothesis import strategies as st

DATA = Path(__file__).with_name("data")
SECRET = "a key of the tests, long enough for all"


def read(name: str, secrets: str | None = None, format: str = "auto", **wishes: Any) -> Conversion:
    """Convert a sample file."""
    report = Report()
    files = Files(report)
    path = str(DATA / name)
    keys = Source(files.read(str(DATA / secrets)), secrets) if secrets else None
    return convert(Source(files.read(path), path), format, files, report, keys, Wishes(**wishes))


def read_text(text: str, format: str, secrets: str | None = None, **wishes: Any) -> Conversion:
    """Convert a text that has no place."""
    report = Report()
    keys = Source(secrets, "secrets") if secrets is not None else None
    return convert(Source(text, "text"), format, Files(report, follow=False), report, keys, Wishes(**wishes))


def manager_takes(tunnel: Tunnel) -> Definition:
    """The definition, checked as the manager does."""
    complete = tunnel.complete()
    if tunnel.credential is None:
        complete["auth"] = {**complete["auth"], "secret": SECRET}
    definition = parse_definition(complete)
    check_proposals(definition)
    return definition


def told(conversion: Conversion, option: str) -> list[tuple[str, str]]:
    """(severity, tunnel) of the notes about an option."""
    return [(note.severity, note.tunnel) for note in conversion.notes if note.option == option]


# Definitions of every kind, as hypothesis makes them up.

_names = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.:@-]{0,20}", fullmatch=True)
_hosts = st.from_regex(r"[a-z][a-z0-9-]{0,10}(\.[a-z]{2,8}){0,2}", fullmatch=True)
_identities = st.one_of(
    _hosts,
    _hosts.map(lambda host: f"fqdn:{host}"),
    _hosts.map(lambda host: f"ops@{host}"),
    st.text(st.characters(min_codepoint=0x20, max_codepoint=0x2FF, exclude_characters="\x7f"), min_size=1, max_size=20)
    .filter(lambda text: text.isprintable() and not text.startswith("#") and text.strip())
    .map(lambda text: f"keyid:{text}".strip()),
    st.binary(min_size=1, max_size=20).map(lambda octets: f"keyid:#{octets.hex()}"),
    st.tuples(_hosts, _hosts).map(lambda pair: f"dn:C=DE, O={pair[0]} & Söhne <1>, CN={pair[1]}"),
    st.ip_addresses(v=4).map(lambda address: f"ipv4:{address}"),
)


def _networks(family: int) -> st.SearchStrategy[str]:
    width = 32 if family == 4 else 128
    plain = st.tuples(st.ip_addresses(v=family), st.integers(0, width)).map(lambda pair: f"{pair[0]}/{pair[1]}")
    cut = plain.map(lambda text: str(__import__("ipaddress").ip_network(text, strict=False)))
    ranges = st.tuples(st.ip_addresses(v=family), st.ip_addresses(v=family)).map(
        lambda pair: f"{min(pair)}-{max(pair)}"
    )
    ports = st.sampled_from(["", "[tcp]", "[tcp/443]", "[udp/5060-5070]", "[icmp/0]", "[17/0]", "[0/80]", "[47]"])
    return st.tuples(st.one_of(cut, ranges), ports).map("".join)


def _proposals(words: tuple[str, ...]) -> st.SearchStrategy[Any]:
    profiles = st.sampled_from(["modern", "compat", "legacy"])
    ike = "prfsha256" in words
    aead = st.sampled_from(["aes256gcm16", "aes128gcm16", "aes256gcm16-aes192gcm16", "aes128gcm16"])
    cbc = st.sampled_from(["aes256-sha256", "aes128-aes192-sha1", "3des-sha1", "aes256-sha384-sha512"])
    groups = st.sampled_from(["ecp256", "modp2048-ecp384", "x25519", "modp1024"])
    if ike:
        made = st.one_of(
            st.tuples(aead, st.just("prfsha256-prfsha384"), groups).map("-".join),
            st.tuples(cbc, groups).map("-".join),
            st.tuples(cbc, st.just("prfsha512"), groups).map("-".join),
        )
    else:
        ends = st.sampled_from(["", "-esn", "-noesn", "-modp2048", "-ecp256-ecp384-noesn-esn"])
        made = st.one_of(st.tuples(st.one_of(aead, cbc), ends).map("".join), st.just("null-sha256"))
    return st.one_of(profiles, made, st.lists(st.one_of(profiles, made), min_size=1, max_size=3, unique=True))


def _child(name: str, family: int) -> st.SearchStrategy[dict[str, Any]]:
    lists = st.lists(_networks(family), min_size=1, max_size=3)
    return st.fixed_dictionaries(
        {"name": st.just(name), "local": lists, "remote": lists},
        optional={
            "start": st.sampled_from(["auto", "trap", "manual"]),
            "proposals": _proposals(ESP_WORDS),
            "lifetime": st.integers(10, 86400),
            "lifetime_bytes": st.one_of(st.just(0), st.integers(1, 10**12)),
            "lifetime_packets": st.integers(0, 10**9),
            "replay_window": st.integers(1, 4096),
        },
    )


_interfaces = st.fixed_dictionaries(
    {"name": st.just("ipsec7")},
    optional={
        "id": st.integers(1, 0x65FFFFFF),
        "mtu": st.integers(1280, 9000),
        "addresses": st.just(["10.255.0.1/30", "2001:db8:ffff::1/64"]),
        "routes": st.just([]),
    },
)


@st.composite
def documents(draw: st.DrawFn, name: str = "") -> dict[str, Any]:
    """The canonical document of a definition."""
    family = draw(st.sampled_from([4, 6]))
    ours, theirs = (f"192.0.2.{n}" if family == 4 else f"2001:db8::{n}" for n in (1, 9))
    inside = draw(st.sampled_from([4, 6]))
    names = draw(st.lists(_names, min_size=1, max_size=3, unique=True))
    local = draw(st.fixed_dictionaries({}, optional={"address": st.just(ours)}))
    remote = draw(
        st.fixed_dictionaries(
            {}, optional={"address": st.just(theirs), "port": st.integers(1, 65535), "natt_port": st.integers(1, 65535)}
        )
    )
    if "address" not in local or draw(st.booleans()):
        local["id"] = draw(_identities)
    if "address" not in remote or draw(st.booleans()):
        remote["id"] = draw(_identities.filter(lambda text: text != local.get("id")))
    raw = {
        "name": name or draw(_names),
        "local": local,
        "remote": remote,
        "auth": {"secret": SECRET},
        "role": draw(st.sampled_from(["both", "responder"] + (["initiator"] if "address" in remote else []))),
        "encapsulation": draw(st.sampled_from(["auto", "force"])),
        "ike": draw(
            st.fixed_dictionaries(
                {},
                optional={
                    "proposals": _proposals(IKE_WORDS),
                    "lifetime": st.integers(10, 86400),
                    "dpd_delay": st.integers(0, 3600),
                    "retransmit_timeout": st.integers(5, 3600),
                },
            )
        ),
        "groups": draw(st.lists(_names, max_size=2, unique=True)),
        "children": [draw(_child(one, inside)) for one in names],
    }
    if draw(st.booleans()):
        raw["interface"] = draw(_interfaces)
    try:
        read_wishes({"definitions": [raw], "state": "present", "purge": False, "owner": ""}, {})
    except Problems:
        # Children that claim the same packets are refused, and ranges that would take too many policies.
        simple = {"local": ["10.1.0.0/16[tcp]"], "remote": ["10.2.0.0-10.2.0.9"]}
        raw["children"] = [{**raw["children"][0], **simple}]
    return parse_definition(raw).document
