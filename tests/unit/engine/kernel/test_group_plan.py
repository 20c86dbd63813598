# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What grouping decides from what it sees, without a kernel."""

from __future__ import annotations

from dataclasses import replace

import pytest
from engine.errors import InputError
from engine.kernel.groups import Plan, Snapshot, plan_group
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
        (seen(sa(ESP, packets=1), **{"esp.115": NOTE}), "packets went through it"),
        (seen(sa(ESP), policies=(LED,), **{"esp.115": NOTE}), "a policy leads to it"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_sa_is_not_made_anew_when(snapshot: Snapshot, why: str) -> None:
    with pytest.raises(InputError, match="is in transport mode, and a live SA cannot change it"):
        group(f"tun.113@{B} {ESP}", snapshot)


def test_an_unused_sa_keyed_by_hand_is_made_anew_for_its_tun() -> None:
    snapshot = seen(sa(ESP), sa(AH), **{"esp.115": NOTE, "ah.116": NOTE, "tun.113": NOTE._replace(reqid=0)})
    plan = group(f"tun.113@{B} {ESP} {AH}", snapshot)
    assert plan.remade == (parse_said(ESP),), "the one behind the tun alone"
    assert group(f"{ESP} {AH}", snapshot).remade == ()


def test_a_tun_that_was_made_must_come_from_where_its_sa_does() -> None:
    snapshot = seen(sa(ESP, "tunnel"), sa(AH), **{"tun.113": Manual("tests", 0, "192.0.2.9")})
    with pytest.raises(InputError, match=f"sas.0.: goes from 192.0.2.9, but the SA behind it, {ESP}, from {A}"):
        group(f"tun.113@{B} {ESP} {AH}", snapshot)
