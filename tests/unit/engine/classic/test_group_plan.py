# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What grouping decides from what it sees, without a kernel."""

from __future__ import annotations

from dataclasses import replace

import pytest
from engine.classic.groups import Plan, Snapshot, plan_group, plan_ungroup
from engine.errors import InputError
from engine.kernel.registry import Manual
from engine.kernel.values import KernelSelector, Policy, SaState, Template
from engine.said import Said, parse_said

A, B = "192.0.2.1", "192.0.2.2"
ANY = KernelSelector(4, bytes(4), 0, bytes(4), 0)
LAN = KernelSelector(4, bytes([10, 1, 0, 0]), 24, bytes([10, 2, 0, 0]), 24)
HOSTS = KernelSelector(4, bytes([192, 0, 2, 1]), 32, bytes([192, 0, 2, 2]), 32)


def sa(text: str, mode: str = "transport", **fields: object) -> SaState:
    said = parse_said(text)
    state = SaState(
        A, said.destination, said.spi, said.protocol, mode, 7, 4, ("x",), None, 0, False, False, 0, 0, 1, 0, 0, 0, 0,
        ANY, True,
    )  # fmt: skip
    return replace(state, **fields)


def seen(*sas: SaState, policies: tuple[Policy, ...] = (), **noted: Manual) -> Snapshot:
    found = {Said(each.protocol, each.spi, each.destination): each for each in sas}
    return Snapshot(found, policies, (), {parse_said(f"{name}@{B}"): note for name, note in noted.items()})


def group(text: str, snapshot: Snapshot) -> Plan:
    return plan_group(tuple(parse_said(word) for word in text.split()), snapshot)


ESP, AH = f"esp.115@{B}", f"ah.116@{B}"
NOTE = Manual("tests", 7, A)


def test_five_transforms_and_any_number_of_tuns_are_a_group() -> None:
    names = [f"{name}.{0x200 + number:x}@{B}" for number, name in enumerate(("esp", "ah", "esp", "ah", "ah"))]
    sas = [sa(names[0], "tunnel"), *(sa(name) for name in names[1:])]
    assert len(group(f"tun.1ff@{B} {' '.join(names)}", seen(*sas)).made) == 6
    with pytest.raises(InputError, match="these are 6 of ah, esp and comp; the kernel applies at most 5"):
        group(" ".join([*names, AH]), seen(*sas, sa(AH)))


@pytest.mark.parametrize(
    ("text", "inside"),
    [
        (f"{AH} {ESP}", ESP),
        (f"tun.113@{B} {AH} {ESP}", ESP),
        (f"{ESP} {AH} comp.117@{B}", f"comp.117@{B}"),
        (f"comp.117@{B} {AH} {ESP}", ESP),
    ],
)
def test_ah_is_outermost_under_its_ip_header(text: str, inside: str) -> None:
    first_is_tunnel = text.startswith("tun")
    snapshot = seen(sa(AH, "tunnel" if first_is_tunnel else "transport"), sa(ESP), sa(f"comp.117@{B}"))
    with pytest.raises(InputError, match=f"is inside of {inside}, where the kernel of the other side cannot verify it"):
        group(text, snapshot)


def test_every_ip_header_has_an_outermost_ah_of_its_own() -> None:
    """AH, in ESP in tunnel mode, which begins a new header; and AH in ESP in AH, whose header says AH."""
    assert group(f"{AH} {ESP}", seen(sa(AH), sa(ESP, "tunnel"))).made
    outer = f"ah.118@{B}"
    assert group(f"{AH} {ESP} {outer}", seen(sa(AH), sa(ESP), sa(outer))).made


def test_sas_of_two_interfaces_are_no_group() -> None:
    with pytest.raises(InputError, match=f"sas.1.: is of another interface than the SA inside of it, {ESP}"):
        group(f"{ESP} {AH}", seen(sa(ESP, if_id=42), sa(AH)))
    assert group(f"{ESP} {AH}", seen(sa(ESP, if_id=42), sa(AH, if_id=42))).made


def test_policies_of_another_interface_do_not_lead_to_the_group() -> None:
    template = Template(A, B, 0x115, 50, "tunnel", 7)
    policies = tuple(Policy(LAN, "out", 1, "allow", (template,), if_id=if_id) for if_id in (0, 42))
    plan = group(f"{ESP} {AH}", seen(sa(ESP, "tunnel", if_id=42), sa(AH, if_id=42), policies=policies))
    assert [change.held.if_id for change in plan.changes] == [42]


LED = Policy(HOSTS, "out", 1, "allow", (Template("0.0.0.0", "0.0.0.0", 0, 50, "transport", 7),))


@pytest.mark.parametrize(
    ("snapshot", "why"),
    [
        (seen(sa(ESP)), "nobody keyed it by hand"),
        (seen(sa(ESP), **{"esp.115": NOTE._replace(reqid=8)}), "another program has its name now"),
        (seen(sa(ESP), policies=(LED,), **{"esp.115": NOTE}), "a policy leads to it"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_sa_is_not_made_anew_when(snapshot: Snapshot, why: str) -> None:
    with pytest.raises(InputError, match="is in transport mode, and a live SA cannot change it"):
        group(f"tun.113@{B} {ESP}", snapshot)


def test_an_sa_keyed_by_hand_is_made_anew_for_its_tun() -> None:
    snapshot = seen(sa(ESP, packets=1), sa(AH), **{"esp.115": NOTE, "ah.116": NOTE, "tun.113": NOTE._replace(reqid=0)})
    plan = group(f"tun.113@{B} {ESP} {AH}", snapshot)
    assert plan.remade == (parse_said(ESP),), "the one behind the tun alone"
    assert group(f"{ESP} {AH}", snapshot).remade == ()


def test_a_tun_that_was_made_must_come_from_where_its_sa_does() -> None:
    snapshot = seen(sa(ESP, "tunnel"), sa(AH), **{"tun.113": Manual("tests", 0, "192.0.2.9")})
    with pytest.raises(InputError, match=f"sas.0.: goes from 192.0.2.9, but the SA behind it, {ESP}, from {A}"):
        group(f"tun.113@{B} {ESP} {AH}", snapshot)


def by_group(*sas: SaState, groups: tuple[str, ...] = (), **more: object) -> Snapshot:
    """ESP by hand, in tunnel mode for a group with a tun, and AH."""
    found = seen(*sas, **{"esp.115": NOTE, "ah.116": NOTE}, **more)
    made = tuple(tuple(parse_said(word) for word in text.split()) for text in groups)
    return replace(found, groups=made, tunnelled=frozenset({parse_said(ESP)}))


def ungroup(snapshot: Snapshot) -> Plan:
    return plan_ungroup((parse_said(AH),), snapshot)


GROUP = f"tun.113@{B} {ESP} {AH}"
TUNNELLED = Template(A, B, 0x115, 50, "tunnel", 7)
OTHERS = Policy(LAN, "out", 1, "allow", (TUNNELLED, Template("0.0.0.0", "0.0.0.0", 0x999, 51, "transport", 7)))


def test_ungrouping_gives_an_sa_the_mode_that_it_had() -> None:
    sas = sa(ESP, "tunnel", packets=9), sa(AH)
    assert ungroup(by_group(*sas, groups=(GROUP,))).restored == (parse_said(ESP),)
    chosen = replace(by_group(*sas, groups=(GROUP,)), tunnelled=frozenset())
    assert ungroup(chosen).restored == (), "somebody made it in tunnel mode"


@pytest.mark.parametrize("policy", [Policy(LAN, "out", 1, "allow", (TUNNELLED,)), OTHERS], ids=["alone", "chain"])
def test_an_sa_stays_in_tunnel_mode_as_long_as_a_policy_needs_it(policy: Policy) -> None:
    sas = sa(ESP, "tunnel"), sa(AH)
    assert ungroup(by_group(*sas, groups=(GROUP,), policies=(policy,))).restored == ()
    gone = by_group(sa(AH), groups=(GROUP,), policies=(policy,))
    assert ungroup(gone).restored == (), "one that expired is made again as the policy knows it"
    with pytest.raises(
        InputError, match=r"sas.0.: is in tunnel mode, from a group .* 10.1.0.0/24 .* name a tun before"
    ):
        group(f"{ESP} {AH}", by_group(*sas, policies=(policy,)))
    assert group(GROUP, by_group(*sas, policies=(policy,))).restored == ()


def test_behind_no_tun_it_is_in_transport_mode_again() -> None:
    plan = group(f"{ESP} {AH}", by_group(sa(ESP, "tunnel", packets=9), sa(AH)))
    assert (plan.restored, plan.warnings) == ((parse_said(ESP),), ())


def test_a_tunnel_without_a_tun_is_told() -> None:
    plan = group(f"{ESP} {AH}", seen(sa(ESP, "tunnel"), sa(AH), **{"esp.115": NOTE}))
    assert plan.restored == () and f"{ESP} is in tunnel mode though no tun stands before it" in plan.warnings[0]
    child = seen(sa(ESP, "tunnel", reqid=0x66000001), sa(AH))
    assert group(f"{ESP} {AH}", child).warnings == (), "IKE agreed on it with the peer"
    assert group(GROUP, seen(sa(ESP, "tunnel"), sa(AH))).warnings == ()
