# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Definitions: what is refused, how it is said, and the canonical form."""

from __future__ import annotations

import pytest
from engine.definition.parsing import parse_definition
from engine.definition.schema import Problems
from engine.manager.methods import METHODS, catalogue, check_params
from engine.manager.request_reader import read_wishes
from engine.manager.store import Put
from manager_lab import SECRET, definition


def problems(raw: object) -> dict[str, Problems]:
    with pytest.raises(Problems) as caught:
        parse_definition(raw)
    return {problem.field: problem for problem in caught.value.problems}


def child(**changes: object) -> dict:
    return {"children": [{"name": "lan", "local": ["10.1.0.0/16"], "remote": ["10.9.0.0/24"]} | changes]}


# What is wrong, where, and a word that the message has to have.
BAD = [
    ({"nmae": "x"}, "nmae", "did you mean name?"),
    ({"local": {"adress": "10.0.0.1"}}, "local.adress", "did you mean address?"),
    (child(lokal=["10.0.0.0/8"]), "children[0].lokal", "did you mean local?"),
    ({"local": {"address": "203.0.113.300"}}, "local.address", "not an IP address"),
    ({"local": {"address": "gw.example.net"}}, "local.address", "not an IP address"),
    ({"remote": {"address": "0.0.0.0", "id": "x"}}, "remote.address", "not the address of a host"),
    ({"remote": {"address": "203.0.113.1", "id": "x"}}, "remote.address", "also local.address"),
    ({"remote": {"address": "2001:db8::9"}}, "remote.address", "family"),
    ({"remote": {"address": "203.0.113.9", "id": "hq.example.net"}}, "remote.id", "also local.id"),
    ({"remote": {"address": "203.0.113.9", "id": "two words"}}, "remote.id", "no blanks"),
    ({"remote": {"address": "203.0.113.9", "port": 0}}, "remote.port", "too small"),
    ({"remote": {"address": "203.0.113.9", "port": "500"}}, "remote.port", "not of type integer"),
    ({"remote": {}}, "remote.id", "no address to stand for it"),
    ({"remote": {"id": "roaming"}, "role": "initiator"}, "role", "without remote.address"),
    ({"auth": {}}, "auth.secret", "is missing"),
    ({"auth": None}, "auth", "is missing"),
    ({"auth": {"secret": ""}}, "auth.secret", "is empty"),
    ({"auth": {"secret": SECRET, "method": "rsa"}}, "auth.method", "did you mean|known are: psk"),
    ({"auth": {"secret": SECRET, "also_accept": [""]}}, "auth.also_accept[0]", "is empty"),
    ({"role": "resonder"}, "role", "did you mean responder?"),
    ({"ike": {"version": 3}}, "ike.version", "not one of the choices"),
    ({"ike": {"lifetime": "4 hours"}}, "ike.lifetime", "not a duration"),
    ({"ike": {"lifetime": "1s"}}, "ike.lifetime", "at least 10"),
    ({"ike": {"lifetime": "9w"}}, "ike.lifetime", "at most"),
    ({"ike": {"lifetime": True}}, "ike.lifetime", "not of type integer or string"),
    ({"encapsulation": "always"}, "encapsulation", "known are: auto, force"),
    ({"name": "-x"}, "name", "not a usable name"),
    ({"name": "a/b"}, "name", "not a usable name"),
    ({"children": []}, "children", "is empty"),
    ({"children": None}, "children", "is missing"),
    (child(local=["10.1.0.5/16"]), "children[0].local[0]", "has host bits set"),
    (child(local=["10.1.0.0/33"]), "children[0].local[0]", "write a network"),
    (child(local=["10.1.0.0/16[tcp/70000]"]), "children[0].local[0]", "ports are 0-65535"),
    (child(local=None), "children[0].local", "is missing"),
    (child(local=[]), "children[0].local", "list at least one network"),
    (child(local="10.1.0.0/16"), "children[0].local", "not of type array"),
    (child(remote=["2001:db8::/32"]), "children[0].remote", "mixes families"),
    (child(mode="transport"), "children[0].local", "as transport mode needs"),
    (child(start="always"), "children[0].start", "known are: auto, manual, trap"),
    (child(replay_window=-1), "children[0].replay_window", "at least 0"),
    (child(lifetime_bytes=2**63), "children[0].lifetime_bytes", "at most 9223372036854775807"),
    (child(lifetime_packets=10**30), "children[0].lifetime_packets", "too large"),
    (child(proposals=[]), "children[0].proposals", "names no proposal"),
    (child(proposals=[""]), "children[0].proposals", "names no proposal"),
    ({"children": child()["children"] * 2}, "children[1].name", "used twice"),
]


@pytest.mark.parametrize(
    ("changes", "field", "words"), BAD, ids=[f"{field}-{n}" for n, (_unused, field, _unused) in enumerate(BAD)]
)
def test_bad_input_names_field_and_remedy(changes, field, words):
    found = problems(definition() | changes)
    assert field in found, list(found)
    assert any(word in str(found[field]) for word in words.split("|")), str(found[field])
    assert found[field].remedy


def test_all_problems_come_at_once():
    found = problems(definition(nmae=1) | {"local": {"address": "x"}, "auth": {}} | child(local=["10.1.0.5/16"]))
    assert {"nmae", "local.address", "auth.secret", "children[0].local[0]"} <= found.keys()


def test_many_problems_are_told_in_few_lines():
    raw = definition() | {"children": [{"name": f"c{n}", "local": ["x"], "remote": ["y"]} for n in range(100)]}
    with pytest.raises(Problems) as caught:
        parse_definition(raw)
    assert len(caught.value.problems) == 200
    assert str(caught.value).endswith("and 180 problems more")


MISPLACED = [
    {"auth": SECRET},
    {"auth": {"secret": [SECRET]}},
    {"auth": {"secret": "x", "also_accept": SECRET}},
    {"auth": {"secret": "x", "also_accept": [[SECRET]]}},
    {"secret": SECRET},
    {"auth": {"sekret": SECRET}},
]


@pytest.mark.parametrize("place", MISPLACED)
def test_a_secret_in_the_wrong_place_is_not_told(place):
    for problem in problems(definition() | place).values():
        assert SECRET not in str(problem) and SECRET not in repr(problem.value)


def test_defaults_and_canonical_form():
    parsed = parse_definition(definition() | {"ike": {"lifetime": "2h", "dpd_delay": 0}})
    document = parsed.public()
    assert document["ike"] == {
        "version": 2,
        "proposals": "modern",
        "lifetime": 7200,
        "reauth": 0,
        "dpd_delay": 0,
        "retransmit_timeout": 60,
        "fragmentation": "auto",
        "fragment_size": 1280,
        "dscp": 0,
    }
    assert (document["role"], document["encapsulation"], document["remote"]["port"]) == ("both", "auto", 500)
    assert document["children"][0]["lifetime"] == 3600
    assert document["auth"] == {
        "method": "psk", "secret": "hidden", "also_accept": [], "secret_format": "text"
    }  # fmt: skip


def test_same_meaning_same_form():
    """The spelling of addresses, durations and single-item lists makes no difference."""
    one = (
        definition()
        | {"ike": {"lifetime": "4h", "proposals": ["modern"]}}
        | child(local=["10.1.0.1"], remote=["2001:DB8::/32", "10.2.0.0/24"][1:])
    )
    two = (
        definition()
        | {"ike": {"lifetime": 14400, "proposals": "modern"}}
        | child(local=["10.1.0.1/32"], remote=["10.2.0.0/24"])
    )
    assert parse_definition(one).document == parse_definition(two).document


def test_identities_default_to_the_addresses():
    parsed = parse_definition(definition() | {"local": {"address": "2001:DB8::1"}, "remote": {"address": "2001:db8::2"}}
                              | child(local=["2001:db8:1::/48"], remote=["2001:db8:2::/48"]))  # fmt: skip
    assert parsed.document["local"]["id"] == "2001:db8::1" and parsed.document["remote"]["id"] == "2001:db8::2"


def test_a_peer_without_address_always_initiates():
    assert parse_definition(definition() | {"remote": {"id": "roaming"}}).document["role"] == "responder"


def test_transport_mode_takes_the_addresses():
    parsed = parse_definition(definition() | {"children": [{"name": "host", "mode": "transport"}]})
    assert parsed.document["children"][0]["local"] == ["203.0.113.1/32"]


def test_stored_form_reads_back_the_same():
    first = parse_definition(definition() | {"auth": {"secret": "schlüssel ünd mehr davon", "also_accept": ["b" * 20]}})
    again = parse_definition(first.stored())
    assert again.document == first.document and again.credential == first.credential
    assert "schlüssel" not in repr(first) + repr(Put("", "active", first))


def test_short_secrets_are_warned_of():
    (warning,) = parse_definition(definition() | {"auth": {"secret": "short"}}).warnings()
    assert "hq-b1" in warning and "short" not in warning.replace("shorter", "")


def wishes(*raw: dict, stored: dict | None = None, **params: object):
    given = {"definitions": list(raw), "state": "present", "purge": False, "owner": ""} | params
    return read_wishes(given, stored or {})


def test_bad_words_in_proposals_are_named():
    with pytest.raises(Problems) as caught:
        wishes(definition() | {"ike": {"proposals": "aes256gcm17-x25519"}} | child(proposals=["modern", "rot13"]))
    fields = [problem.field for problem in caught.value.problems]
    assert fields == ["definitions[hq-b1].ike.proposals", "definitions[hq-b1].children[0].proposals"] or all(
        field.startswith("definitions[hq-b1].") and "proposals" in field for field in fields
    )
    assert "rot13" in str(caught.value) and "aes256gcm17" in str(caught.value)


def test_no_replay_window_with_extended_sequence_numbers():
    with pytest.raises(Problems, match="extended sequence numbers"):
        wishes(definition() | child(replay_window=0))
    wishes(definition() | child(replay_window=0, proposals="aes256gcm16-noesn"))


def test_duplicate_names_and_ends():
    with pytest.raises(Problems, match="listed twice"):
        wishes(definition("a", 1), definition("a", 2))
    with pytest.raises(Problems, match="same addresses and ids as tunnel a"):
        wishes(definition("a", 1), definition("b", 1) | child(remote=["10.77.0.0/16"]))


OVERLAPS = [
    (["10.9.0.0/24"], ["10.9.0.0/24"], True),
    (["10.9.0.0/24"], ["10.9.0.128/25"], False),
    (["10.9.0.0/16"], ["10.9.3.0/24"], False),
    (["10.9.0.0/24"], ["10.9.1.0/24"], False),
    (["10.9.0.0/24[tcp/80]"], ["10.9.0.0/24[tcp/443]"], False),
    (["10.9.0.0/24[tcp/80]"], ["10.9.0.0/24"], False),
    (["10.9.0.0/24[tcp/80]"], ["10.9.0.0/25"], True),
    (["10.9.0.0/24"], ["0.0.0.0/0"], False),
    (["0.0.0.0/0"], ["0.0.0.0/0"], True),
    (["10.9.0.5-10.9.0.9"], ["10.9.0.9-10.9.0.12"], True),
    (["10.9.0.5-10.9.0.9"], ["10.9.0.5-10.9.0.9"], True),
    (["10.9.0.0-10.9.0.9"], ["10.9.0.3-10.9.0.4"], False),
    # A range is several policies for the kernel, of which the other one is one.
    (["10.9.0.1-10.9.0.6"], ["10.9.0.2/31"], True),
    (["10.9.0.0/24[tcp/80-90]"], ["10.9.0.0/24[tcp/85-95]"], True),
    (["10.9.0.0/24[icmp/8]"], ["10.9.0.0/24[icmp]"], False),
]


@pytest.mark.parametrize(("one", "other", "overlap"), OVERLAPS)
def test_overlapping_selectors(one, other, overlap):
    for first, second in ((one, other), (other, one)):
        pair = definition("a", 1) | child(remote=first), definition("b", 2) | child(remote=second)
        if not overlap:
            wishes(*pair)
            continue
        with pytest.raises(Problems) as caught:
            wishes(*pair)
        said = str(caught.value)
        assert "overlaps" in said and "definitions[a]" in said and "tunnel b" in said or "tunnel a" in said


CROSSING = [
    (("10.1.0.0/24", "10.0.0.0/8"), ("10.1.0.0/16", "10.9.0.0/16")),
    (("10.1.0.0/24", "0.0.0.0/0"), ("10.0.0.0/8", "10.9.0.0/16")),
    (("10.1.0.0/16[tcp/80]", "10.9.0.0/16"), ("10.1.0.0/16", "10.9.0.0/16[tcp/443]")),
    (("2001:db8::/32", "2001:db8:9::/48"), ("2001:db8:1::/48", "2001:db8::/32")),
]


@pytest.mark.parametrize(("one", "other"), CROSSING)
def test_selectors_that_cross_leave_open_whose_a_packet_is(one, other):
    first, second = (
        definition(*n) | child(local=[s[0]], remote=[s[1]]) for n, s in ((("a", 1), one), (("b", 2), other))
    )
    with pytest.raises(Problems, match="of child lan of tunnel [ab], and neither lies within the other"):
        wishes(first, second)


def test_the_protocol_of_a_pair_may_stand_on_either_side():
    one = definition("a", 1) | child(local=["10.1.0.0/16[tcp]"], remote=["10.9.0.0/16"])
    for remote in ("10.9.0.0/16[tcp/443]", "10.9.0.0/16[udp]"):
        wishes(one, definition("b", 2) | child(local=["10.1.0.0/16"], remote=[remote]))


def test_children_of_one_tunnel_must_not_overlap_either():
    two = [{"name": name, "local": ["10.1.0.0/16"], "remote": ["10.9.0.0/24"]} for name in "ab"]
    with pytest.raises(Problems, match="of child [ab] of tunnel hq-b1"):
        wishes(definition() | {"children": two})


def test_check_params_and_catalogue():
    with pytest.raises(Problems, match="did you mean definitions"):
        check_params("tunnels.apply", {"definition": []})
    with pytest.raises(Problems, match="did you mean active"):
        check_params("tunnels.apply", {"state": "activ"})
    with pytest.raises(Problems, match="not one of the choices"):
        check_params("tunnels.apply", {"phase": 3})
    assert check_params("tunnels.wait", {}) == {"until": "established", "timeout": 30}
    assert catalogue()["methods"].keys() == METHODS.keys()
    for name, row in METHODS.items():
        assert row.summary.endswith("."), name


@pytest.mark.parametrize("identity", ["\ud800", "@\udcff.example", "user@\udc80", "keyid:\udcff", "dn:CN=\ud800"])
def test_half_a_character_is_no_part_of_an_identity(identity):
    # Octets that are no UTF-8 come from the command line and from Ansible as these.
    with pytest.raises(Problems, match=r"remote\.id"):
        parse_definition(definition(remote={"address": "192.0.2.1", "id": identity}))
