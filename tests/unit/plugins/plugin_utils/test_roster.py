# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every mistake in an inventory is found before anything changes, and says who and what to change."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.fleet.ipsec.plugins.plugin_utils.problems import Origin, PlanError
from ansible_collections.fleet.ipsec.plugins.plugin_utils.roster import make_roster, read_fleet
from ansible_collections.fleet.ipsec.plugins.plugin_utils.secrets import guessable
from ansible_collections.fleet.ipsec.plugins.plugin_utils.topology import host_tunnels

from .inventories import SEED, host, hosts

MESH = {"name": "c", "topology": "mesh", "members": "all"}
STAR = {"name": "s", "topology": "hub_spoke", "hubs": ["g0"], "spokes": ["g1", "g2"]}
PEER = {"address": "203.0.113.9", "id": "px.example", "networks": ["172.20.0.0/16"], "auth": {"secret": "x"}}


def refusal(communities: Any, variables: dict[str, Any], externals: Any = None, seed: Any = SEED) -> str:
    """What make_roster says against an inventory."""
    with pytest.raises(PlanError) as caught:
        make_roster(communities, variables, {"all": sorted(variables)}, externals, seed)
    return str(caught.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"members": ["g0", "nobody"]}, ["community c", "'nobody' is unknown"]),
        ({"members": None}, ["members is missing"]),
        ({"topology": "ring"}, ["topology 'ring'", "mesh, hub_spoke, pairs"]),
        ({"memberz": "all"}, ["unknown key 'memberz'", "did you mean members?"]),
        ({"ike": {"lifetme": 3}}, ["unknown key 'lifetme'", "did you mean lifetime?"]),
        ({"name": "a b"}, ["name 'a b' is not usable"]),
        ({"child": {"proposals": "aes256gcm17"}}, ["no common proposal", "aes256gcm17"]),
        ({"profile": "modernn"}, ["modernn"]),
        ({"hubs": "all"}, ["unknown key 'hubs'"]),
    ],
)
def test_a_community_that_makes_no_sense(change: dict[str, Any], words: list[str]) -> None:
    said = refusal([{**MESH, **change}], hosts(2))
    for word in words:
        assert word in said


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"address": "198.51.100.300"}, ["fleet_ipsec of g1", "address", "not an IP address", "198.51.100.300"]),
        ({"networks": ["10.9.0.1/24"]}, ["fleet_ipsec of g1", "host bits set"]),
        ({"networks": "10.9.0.0/24"}, ["networks is not a list"]),
        ({"netwrks": []}, ["unknown key 'netwrks'", "did you mean networks?"]),
        ({"id": "a b"}, ["fleet_ipsec of g1.id", "no blanks"]),
        ({"address": None}, ["address is missing", "dynamic: true"]),
        ({"id": "GW0.example"}, ["duplicate identity", "g0 and g1"]),
        ({"address": "198.51.0.0"}, ["duplicate address", "g0 and g1"]),
        ({"networks": ["10.0.0.0/24"]}, ["duplicate network", "g0 and g1 both have 10.0.0.0/24"]),
        ({"address": "2001:db8::1"}, ["g0 and g1", "different families"]),
        ({"profile": "legacy", "ike": {"proposals": "aes128-sha1-modp2048"}}, ["no common proposal", "g0", "g1"]),
    ],
)
def test_a_host_that_does_not_fit(change: dict[str, Any], words: list[str]) -> None:
    said = refusal([MESH], {"g0": host(0), "g1": host(1, **change)})
    for word in words:
        assert word in said


ANY_MEMBER = ["fleet_ipsec of g1", "fleet_ipsec_external_peers.px"]


@pytest.mark.parametrize("variable", ANY_MEMBER)
@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("networks", []), ("networks", None), ("networks", ""), ("networks", [None]),
        ("check_address", []), ("check_address", ""), ("check_address", [None]),
    ],
)  # fmt: skip
def test_a_list_that_is_empty_does_not_mean_what_it_means_when_left_out(variable: str, key: str, value: Any) -> None:
    pair = {"name": "p", "topology": "pairs", "pairs": [{"left": "g0", "right": "px"}]}
    variables = hosts(2)
    mine = variable == ANY_MEMBER[0]
    if mine:
        variables["g1"]["fleet_ipsec"][key] = value
    said = refusal([MESH, pair], variables, {"px": {**PEER, **({} if mine else {key: value})}})
    (line,) = said.splitlines()
    assert f"{variable}.{key} is empty (got {value!r}); write {key}: " in line and f"leave {key} out" in line


def test_what_passes_by_is_not_empty_either() -> None:
    for value in ([], ""):
        assert "bypass is empty" in refusal([MESH], {"g0": host(0), "g1": host(1, bypass=value)})
    fits([MESH], {"g0": host(0), "g1": host(1, bypass="none")})


def test_summaries_of_a_community_that_are_empty() -> None:
    star = {**STAR, "spoke_to_spoke": "via_hub"}
    for value in ([], None):
        said = refusal([{**star, "networks": value}], hosts(3))
        assert "community s: networks is empty" in said and "leave networks out" in said
    fits([star], hosts(3))


def fits(communities: Any, variables: dict[str, Any]) -> dict[str, Any]:
    """The roster of an inventory that has nothing wrong."""
    return make_roster(communities, variables, {"all": sorted(variables)}, None, SEED)


def test_a_network_may_lie_within_another_ones() -> None:
    made = fits([MESH], {"g0": host(0), "g1": host(1, networks=["10.0.0.0/16"])})
    assert [made["members"][name]["networks"] for name in ("g0", "g1")] == [["10.0.0.0/24"], ["10.0.0.0/16"]]


def test_a_hub_cannot_pass_on_between_networks_of_which_one_lies_within_another() -> None:
    variables = {"g0": host(0), "g1": host(1, networks=["10.0.0.0/16"]), "g2": host(2)}
    said = refusal([{**STAR, "spoke_to_spoke": "via_hub"}], variables)
    assert "10.0.2.0/24 of g2 lies within 10.0.0.0/16 of g1, and g0 cannot pass on between them" in said
    fits([{**STAR, "spoke_to_spoke": "direct"}], variables)
    # The hub itself may have the sum of all.
    variables = {"g0": host(0, networks=["10.0.0.0/16"]), "g1": host(1), "g2": host(2)}
    fits([{**STAR, "spoke_to_spoke": "via_hub"}], variables)


def test_a_member_without_variables() -> None:
    said = refusal([MESH], {"g0": host(0), "g1": {}})
    assert "g1 is a member of a community but has no fleet_ipsec" in said
    assert "host_vars/g1.yml" in said


def test_two_ends_that_cannot_find_each_other() -> None:
    said = refusal([MESH], {"g0": host(0, dynamic=True), "g1": host(1), "g2": host(2, nat=True)})
    assert "g0 and g2 both have no address" in said


@pytest.mark.skipif(Origin is None, reason="ansible-core before 2.19 keeps no lines of loaded documents")
def test_a_moving_end_is_found_in_its_file() -> None:
    at = Origin(path="/inventory/host_vars/g0.yml", line_num=3)
    variables = {"g0": host(0, dynamic=True), "g1": host(1, nat=True)}
    variables["g0"]["fleet_ipsec"] = at.tag(variables["g0"]["fleet_ipsec"])
    assert "/inventory/host_vars/g0.yml:3" in refusal([MESH], variables)


def test_two_moving_spokes_of_a_fixed_hub_are_fine() -> None:
    variables = {"g0": host(0), "g1": host(1, dynamic=True), "g2": host(2, nat=True)}
    assert len(make_roster([STAR], variables, {}, None, SEED)["members"]) == 3


@pytest.mark.parametrize(
    "other",
    [
        {"name": "o", "topology": "mesh", "members": ["g1", "g0"]},
        {"name": "o", "topology": "pairs", "pairs": [{"left": "g2", "right": "g0"}]},
        {"name": "o", "topology": "hub_spoke", "hubs": ["g1"], "spokes": ["g0", "g3"]},
    ],
)
def test_a_pair_claimed_twice(other: dict[str, Any]) -> None:
    said = refusal([STAR, other], hosts(4))
    assert "communities s and o both join g" in said


@pytest.mark.parametrize(
    "other",
    [
        {"name": "o", "topology": "mesh", "members": ["g1", "g2"]},
        {"name": "o", "topology": "hub_spoke", "hubs": ["g3"], "spokes": ["g1", "g2"]},
        {"name": "o", "topology": "pairs", "pairs": [{"left": "g0", "right": "g3"}]},
    ],
)
def test_communities_may_share_hosts(other: dict[str, Any]) -> None:
    assert make_roster([STAR, other], hosts(4), {}, None, SEED)


def test_two_communities_of_one_name() -> None:
    said = refusal([STAR, {"name": "s", "topology": "mesh", "members": ["g1", "g2"]}], hosts(3))
    assert "two communities are named s" in said


@pytest.mark.parametrize(
    ("pairs", "words"),
    [
        ([{"left": "g0"}], "is not a pair"),
        ([{"left": "g0", "right": "g0"}], "paired with itself"),
        ([{"left": "g0", "right": "g1"}, {"left": "g1", "right": "g0"}], "listed twice"),
        ([{"left": "g0", "right": "all"}], "stands for 3 hosts"),
        ([{"left": "g0", "right": "nobody"}], "'nobody' is unknown"),
        ("g0", "pairs is not a list"),
        ([], "joins nobody"),
    ],
)
def test_pairs_that_are_none(pairs: Any, words: str) -> None:
    assert words in refusal([{"name": "p", "topology": "pairs", "pairs": pairs}], hosts(3))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"hubs": ["g0", "g1"]}, "g1 is both hub and spoke"),
        ({"spoke_to_spoke": "by_pigeon"}, "via_hub, direct, none"),
        ({"networks": ["10.0.0.0/8"]}, "set spoke_to_spoke: via_hub"),
        ({"spoke_to_spoke": "via_hub", "networks": ["10.0.0.0/7x"]}, "10.0.0.0/7x"),
        ({"spoke_to_spoke": "via_hub", "child": {"mode": "transport"}}, "transport mode reaches no network"),
    ],
)
def test_a_star_that_makes_no_sense(change: dict[str, Any], words: str) -> None:
    assert words in refusal([{**STAR, **change}], hosts(3))


def test_more_networks_than_a_tunnel_takes() -> None:
    variables = {f"g{n}": host(n, networks=[f"10.{n}.0.0/24"]) for n in range(256)}
    spokes = [name for name in variables if name != "g0"]
    star = {**STAR, "spokes": spokes, "spoke_to_spoke": "via_hub"}
    said = refusal([star], variables)
    assert "networks: [10.0.0.0/8]" in said
    assert make_roster([{**star, "networks": ["10.0.0.0/8"]}], variables, {}, None, SEED)


@pytest.mark.parametrize(("seed", "words"), [(None, "fleet_ipsec_seed is not set"), ("short", "shorter than 32")])
def test_a_missing_credential(seed: Any, words: str) -> None:
    said = refusal([MESH], hosts(2), seed=seed)
    assert words in said
    assert "ansible-vault" in said


def test_the_seed_is_never_said_nor_kept() -> None:
    assert "tiny" not in refusal([MESH], hosts(2), seed="tiny")
    assert SEED not in str(make_roster([MESH], hosts(2), {"all": ["g0", "g1"]}, None, SEED))


def test_an_external_peer_needs_its_own_credential() -> None:
    pair = {"name": "p", "topology": "pairs", "pairs": [{"left": "g0", "right": "px"}]}
    peer = {key: value for key, value in PEER.items() if key != "auth"}
    said = refusal([pair], hosts(1), {"px": peer}, None)
    assert "external peer px has no credential" in said
    assert "fleet_ipsec_external_peers.px.auth" in said


@pytest.mark.parametrize(
    ("auth", "words"),
    [
        ({"secret": "0xhush", "secret_format": "hex"}, "px.auth.secret is not hexadecimal"),
        ({"secret": "hush!", "secret_format": "base64"}, "px.auth.secret is not base64"),
        ({"secret": "hush", "secret_format": "octal"}, "px.auth.secret_format is none that there is"),
        ({"secret": "no matter", "ppk": [{"secret": "hush"}]}, "px.auth.ppk[0].id is missing"),
        (
            {"secret": "no matter", "ppk": [{"id": "a", "secret": "0xhush", "secret_format": "hex"}]},
            "px.auth.ppk[0].sec",
        ),
        ({"secret": "no matter", "ppk": "hush"}, "px.auth.ppk is not of type array"),
    ],
)
def test_a_key_that_is_not_written_as_it_says_is_refused_before_anything_changes(auth: Any, words: str) -> None:
    pair = {"name": "x", "topology": "pairs", "pairs": [{"left": "g0", "right": "px"}]}
    peer = {"address": "203.0.113.9", "id": "px.example", "networks": ["172.20.0.0/16"], "auth": auth}
    said = refusal([pair], hosts(1), {"px": peer}, None)
    assert words in said and "hush" not in said


@pytest.mark.parametrize(("given", "words"), [("%any", "leave it out"), ("@#0a0b", "write keyid:#0a0b")])
def test_an_identity_in_the_words_of_other_programs_is_refused(given: str, words: str) -> None:
    pair = {"name": "x", "topology": "pairs", "pairs": [{"left": "g0", "right": "px"}]}
    said = refusal([pair], hosts(1), {"px": {**PEER, "id": given}}, None)
    assert "fleet_ipsec_external_peers.px.id" in said and words in said


def test_external_peers_are_not_joined_with_each_other() -> None:
    other = {**PEER, "address": "203.0.113.10", "id": "py.example", "networks": ["172.21.0.0/16"]}
    said = refusal([{**MESH, "members": ["g0", "px", "py"]}], hosts(1), {"px": PEER, "py": other})
    assert "px and py are both external peers" in said


def test_everything_is_said_at_once() -> None:
    said = refusal([{**MESH, "nme": 1}], {"g0": host(0, address="x"), "g1": host(1, networks=["y"])})
    assert len(said.splitlines()) == 3


def test_a_host_name_that_no_tunnel_can_have() -> None:
    said = refusal([MESH], {"g0": host(0), "büro2": host(1)})
    assert "the tunnels to büro2 would be named c-büro2" in said
    assert "rename it in the inventory" in said


EMPTY = {"all": ["g0", "g1", "g2"], "none": []}


@pytest.mark.parametrize(
    ("community", "words"),
    [
        ({**MESH, "members": "none"}, "'none' is a group without a host"),
        ({**MESH, "members": ["g0", "g1", "none"]}, "'none' is a group without a host"),
        ({**MESH, "members": ["g0"]}, "joins nobody"),
        ({**MESH, "members": []}, "joins nobody"),
        ({**STAR, "spokes": "none"}, "'none' is a group without a host"),
        ({**STAR, "spokes": []}, "joins nobody"),
        ({**STAR, "hubs": []}, "joins nobody"),
        ({"name": "p", "topology": "pairs", "pairs": []}, "joins nobody"),
    ],
)
def test_a_community_without_pairs_is_refused_unless_it_says_so(community: dict[str, Any], words: str) -> None:
    with pytest.raises(PlanError, match=words) as caught:
        make_roster([community], hosts(3), EMPTY, None, SEED)
    assert "allow_empty: true" in str(caught.value)
    assert make_roster([{**community, "allow_empty": "yes"}], hosts(3), EMPTY, None, SEED)


@pytest.mark.parametrize("communities", [[], None])
def test_a_fleet_without_communities_is_refused_unless_it_is_meant(communities: Any) -> None:
    assert "fleet_allow_empty: true" in refusal(communities, hosts(2))
    assert not make_roster(communities, hosts(2), {}, None, SEED, allow_empty=True)["members"]


@pytest.mark.parametrize("word", ["false", "no", "off", False, 0])
def test_booleans_are_read_as_ansible_reads_them(word: Any) -> None:
    variables = {"g0": host(0, dynamic=word, nat=word), "g1": host(1, dynamic="yes")}
    made = make_roster([{**MESH, "interfaces": word}], variables, {"all": ["g0", "g1"]}, None, SEED)
    assert [made["members"][name]["moving"] for name in ("g0", "g1")] == [False, True]
    assert made["communities"][0]["interfaces"] is False


@pytest.mark.parametrize("key", ["nat", "dynamic"])
@pytest.mark.parametrize("word", ["maybe", "", 2, ["true"]])
def test_what_is_no_boolean_is_refused(key: str, word: Any) -> None:
    said = refusal([MESH], {"g0": host(0), "g1": host(1, **{key: word})})
    assert f"fleet_ipsec of g1: {key} is neither true nor false" in said


@pytest.mark.parametrize(
    ("community", "more"),
    [
        (MESH, {}),
        ({**STAR, "spokes": ["g1"]}, {}),
        ({**STAR, "spokes": ["g1"], "spoke_to_spoke": "via_hub"}, {}),
        ({"name": "p", "topology": "pairs", "pairs": [{"left": "g0", "right": "g1"}]}, {}),
    ],
)
def test_two_ends_without_a_common_family(community: dict[str, Any], more: dict[str, Any]) -> None:
    said = refusal([community], {"g0": host(0, networks=["fd00:1::/64"]), "g1": host(1)})
    assert "no networks of a common family" in said
    assert "g0 and g1" in said


def test_through_a_hub_of_another_family_spokes_reach_each_other() -> None:
    variables = {"g0": host(0, networks=["fd00:1::/64"]), "g1": host(1), "g2": host(2)}
    assert make_roster([{**STAR, "spoke_to_spoke": "via_hub"}], variables, {}, None, SEED)


@pytest.mark.parametrize("epoch", [0, "two", -1, "²", True, 1.5, None])
def test_an_epoch_that_is_none(epoch: Any) -> None:
    for variables, default in ((hosts(2), epoch), ({"g0": host(0), "g1": {**host(1), "fleet_ipsec_epoch": epoch}}, 1)):
        with pytest.raises(PlanError, match="is no number from 1"):
            make_roster([MESH], variables, {"all": ["g0", "g1"]}, None, SEED, default)
    if epoch is not None:
        assert "is no number from 1" in refusal([{**MESH, "epoch": epoch}], hosts(2))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"ike": {"lifetime": "4 moons"}}, ["ike.lifetime", "'4 moons'"]),
        ({"child": {"replay_window": "wide"}}, ["replay_window", "int"]),
        ({"child": {"start": "sometimes"}}, ["start", "auto, trap, manual"]),
        ({"ike": {"version": 3}}, ["ike.version"]),
    ],
)
def test_what_a_manager_would_refuse_is_refused_here(change: dict[str, Any], words: list[str]) -> None:
    own = refusal([MESH], {"g0": host(0), "g1": host(1), "g2": host(2, **change)})
    general = refusal([{**MESH, **change}], hosts(2))
    for word in words:
        assert word in own and word in general
    assert "of g2 to" in own


def test_settings_are_converted_as_the_module_converts_them() -> None:
    child = {"replay_window": "64", "lifetime": 3600, "proposals": "modern"}
    assert make_roster([{**MESH, "child": child}], hosts(2), {"all": ["g0", "g1"]}, None, SEED)


@pytest.mark.skipif(Origin is None, reason="ansible-core before 2.19 keeps no lines of loaded documents")
def test_what_a_manager_would_refuse_is_found_in_its_file() -> None:
    lifetime = Origin(path="/inventory/host_vars/g1.yml", line_num=7).tag("4 moons")
    said = refusal([MESH], {"g0": host(0), "g1": host(1, ike={"lifetime": lifetime})})
    assert "/inventory/host_vars/g1.yml:7" in said


@pytest.mark.parametrize("spelling", [str, str.upper, lambda text: f" {text}\n"])
def test_a_seed_of_an_example_is_refused(spelling: Any) -> None:
    # What stood in docs/examples; nobody may build a fleet on it.
    seed = spelling("00112233445566778899aabbccddeeff" * 2)
    said = refusal([MESH], hosts(2), seed=seed)
    assert "is the one of an example" in said and "openssl rand" in said
    assert seed.strip() not in said
    made = make_roster([MESH], hosts(2), {"all": ["g0", "g1"]}, None, SEED)
    with pytest.raises(PlanError, match="is the one of an example"):
        host_tunnels(made, "g0", seed)


@pytest.mark.parametrize(
    "seed",
    ["0" * 64, "changeme" * 8, ("changeme" * 8)[:61], "CHANGEMEchangeme" * 3, "ab" * 32, "0" * 60 + "1234",
     "correcthorse" * 4, f" {'x' * 40}\n", "aaaaaaaabbbbbbbbccccccccddddddddeeeeeeee"],
)  # fmt: skip
def test_a_seed_that_nobody_drew_at_random_is_refused(seed: str) -> None:
    said = refusal([MESH], hosts(2), seed=seed)
    assert "fleet_ipsec_seed is easily guessed" in said and "openssl rand -hex 32" in said
    assert seed.strip() not in said
    made = make_roster([MESH], hosts(2), {"all": ["g0", "g1"]}, None, SEED)
    with pytest.raises(PlanError, match="fleet_ipsec_seed of g0 is easily guessed"):
        host_tunnels(made, "g0", seed)


@pytest.mark.parametrize("draw", [secrets.token_hex, secrets.token_urlsafe])
def test_a_seed_that_was_drawn_at_random_will_do(draw: Callable[[int], str]) -> None:
    for _each in range(1000):
        assert not guessable(draw(32))
    assert not guessable("".join(secrets.choice("0123456789") for _each in range(64)))


def test_a_secret_of_an_example_is_refused() -> None:
    pair = {"name": "p", "topology": "pairs", "pairs": [{"left": "g0", "right": "px"}]}
    peer = {**PEER, "auth": {"secret": "replace-me-with-what-you-agreed-upon"}}
    assert "secret of external peer px is the one of an example" in refusal([pair], hosts(1), {"px": peer}, None)


def test_a_misspelt_variable_is_named_with_the_right_one() -> None:
    variables = {"g0": host(0), "g1": {**host(1), "fleet_ipsec_epcoh": 2}}
    said = refusal([MESH], variables)
    assert "fleet_ipsec_epcoh (of g1)" in said and "did you mean fleet_ipsec_epoch?" in said
    variables["g1"]["fleet_own_variables"] = ["fleet_ipsec_epcoh"]
    assert make_roster([MESH], variables, {"all": ["g0", "g1"]}, None, SEED)


def test_variables_of_hosts_of_the_play_are_looked_at_also_without_members() -> None:
    variables = {"g0": {**host(0), "fleet_ipsec_comunities": [MESH]}}
    with pytest.raises(PlanError, match="did you mean fleet_ipsec_communities"):
        make_roster([], variables, {}, None, SEED, hosts=["g0"])


def test_a_tunnel_name_that_is_too_long() -> None:
    said = refusal([{**MESH, "name": "c" * 32}], {"a" * 40: host(1), "b": host(2)})
    assert "longer than 64 characters" in said


STRANGER = {"address": "203.0.113.9", "id": "px.example", "networks": ["172.20.0.0/16"], "auth": {"secret": "x" * 32}}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"id": "gw0.example"}, "change id in fleet_ipsec of g0 or in fleet_ipsec_external_peers.px"),
        ({"networks": ["10.0.0.0/24"]}, "change networks in fleet_ipsec of g0 or in fleet_ipsec_external_peers.px"),
        ({"networks": ["fd00::/64"]}, "see fleet_ipsec of g0 and fleet_ipsec_external_peers.px"),
        ({"ike": {"dpd_delay": "soon"}}, "ike.dpd_delay in fleet_ipsec_external_peers.px"),
        ({"child": {"proposals": "rot13"}}, "of fleet_ipsec_external_peers.px or of the community overlap"),
        ({"port": 99999}, "port in fleet_ipsec_external_peers.px"),
    ],
)
def test_what_is_wrong_with_an_external_peer_is_said_by_its_own_variable(change: dict[str, Any], words: str) -> None:
    pair = {"name": "p", "topology": "pairs", "pairs": [{"left": "g0", "right": "px"}]}
    with pytest.raises(PlanError) as caught:
        make_roster([pair], hosts(1), {}, {"px": STRANGER | change}, SEED)
    assert words in str(caught.value)


def test_what_is_wrong_may_be_looked_at() -> None:
    pair = {"name": "p", "topology": "pairs", "pairs": [{"left": "g0", "right": "px"}]}
    well = read_fleet([pair], hosts(1), {}, {"px": STRANGER}, SEED)
    assert well == {**make_roster([pair], hosts(1), {}, {"px": STRANGER}, SEED), "problems": []}
    broken = read_fleet([pair], hosts(1), {}, {"px": STRANGER | {"id": "gw0.example", "networks": 5}}, SEED)
    assert broken["members"] == {} and len(broken["problems"]) == 1


HUSH = "hush0hush1hush2hush3"
PAIR = {"name": "p", "topology": "pairs", "pairs": [{"left": "g0", "right": "px"}]}


@pytest.mark.parametrize(
    "change",
    [
        {"auth": HUSH},
        {"auth": [HUSH]},
        {"auth": {"secrt": HUSH}},
        {"auth": {HUSH: None}},
        {"auth": {"secret": {"vault": HUSH}}},
        {"auth": {"secret": [HUSH]}},
        {"auth": {"secret": "x", "also": HUSH}},
        {"secret": HUSH},
        {"psk": {"secret": HUSH}},
        HUSH,
        [HUSH],
    ],
)
def test_a_secret_in_the_wrong_place_is_not_told(change: Any) -> None:
    peer = {**PEER, "auth": None, **change} if isinstance(change, dict) else change
    try:
        made = make_roster([PAIR], hosts(1), {"all": ["g0"]}, {"px": peer}, SEED)
        host_tunnels(made, "g0", SEED, 1, {"px": peer})
    except PlanError as error:
        assert HUSH not in str(error)


def test_a_seed_that_is_too_short_is_not_told() -> None:
    assert HUSH not in refusal([MESH], hosts(2), seed=HUSH)
