# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Groups on the machine's own kernel, with reserved SPIs for SAs; ``ip xfrm`` is the judge of what the kernel has."""

from __future__ import annotations

import errno
import re
import socket
import sqlite3
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest
from engine.classic import groups
from engine.classic.groups import Plan, carry_out, perform, plan_group, plan_ungroup, preview, read_listing
from engine.cli import spigrp
from engine.errors import EngineError, InputError, KernelError, MissingError
from engine.kernel.client import Operation, XfrmClient
from engine.kernel.gateway import Gateway
from engine.kernel.registry import REQID_FIRST, Child, Registry, RegistryView
from engine.said import Said, parse_said
from namespaces import Namespace

HERE, THERE = "192.0.2.1", "192.0.2.2"
ESP, AH, COMP = "esp.115@192.0.2.2", "ah.116@192.0.2.2", "comp.117@192.0.2.2"
TUN = "tun.113@192.0.2.2"


def said(text: str) -> tuple[Said, ...]:
    return tuple(parse_said(word) for word in text.split())


class Host:
    """A namespace, its registry, and SAs as reserved SPIs."""

    def __init__(self, space: Namespace, directory: str) -> None:
        self.space, self.directory = space, directory

    def reserve(
        self, text: str, mode: str = "transport", source: str = HERE, reqid: int = 7, ends: str | None = None
    ) -> None:
        name = parse_said(text)
        with self.space.entered():
            client = XfrmClient()
            client.reserve_spi(source, ends or name.destination, name.protocol, mode, reqid, name.spi, name.spi)
            client.close()

    def group(self, text: str) -> Plan:
        with self.space.entered():
            return perform(self.directory, partial(plan_group, said(text)))

    def ungroup(self, text: str) -> Plan:
        with self.space.entered():
            return perform(self.directory, partial(plan_ungroup, said(text)))

    def groups(self) -> list[str]:
        view = RegistryView(self.directory)
        try:
            return [" ".join(map(str, members)) for members in view.groups()]
        finally:
            view.close()

    def policies(self) -> str:
        """``ip xfrm policy`` with every run of blanks as one."""
        text = self.space.run("ip xfrm policy")
        # A policy that was replaced is listed first, as if it were new.
        return " ".join(sorted(" ".join(each.split()) for each in re.split(r"^(?=src)", text, flags=re.M)))

    def state(self) -> tuple[str, list[str]]:
        return self.policies(), self.groups()


@pytest.fixture
def host(space: Namespace, tmp_path) -> Host:
    made = Host(space, str(tmp_path / "run"))
    made.reserve(ESP, "tunnel")
    made.reserve(AH)
    made.reserve(COMP)
    space.run(
        "ip xfrm policy add src 10.1.0.0/24 dst 10.2.0.0/24 dir out priority 900"
        " tmpl src 192.0.2.1 dst 192.0.2.2 proto esp spi 0x115 reqid 7 mode tunnel;"
        "ip xfrm policy add src 10.9.0.0/24 dst 10.2.0.0/24 dir out"
        " tmpl src 192.0.2.1 dst 192.0.2.9 proto esp mode tunnel"
    )
    return made


def test_the_policy_demands_the_sas_in_the_order_given(host: Host) -> None:
    plan = host.group(f"{TUN} {ESP} {AH}")
    assert plan.changed and len(plan.changes) == 1
    assert host.groups() == [f"{TUN} {ESP} {AH}"]
    assert (
        "src 10.1.0.0/24 dst 10.2.0.0/24 dir out priority 900 ptype main "
        "tmpl src 192.0.2.1 dst 192.0.2.2 proto esp spi 0x00000115 reqid 7 mode tunnel "
        "tmpl src 192.0.2.1 dst 192.0.2.2 proto ah spi 0x00000116 reqid 7 mode transport"
    ) in host.policies()
    assert host.policies().count("proto ah") == 1


def test_policies_in_and_forward_get_the_list_without_spis(space: Namespace, tmp_path) -> None:
    host = Host(space, str(tmp_path))
    for text, mode in (("comp.117@192.0.2.1", "tunnel"), ("esp.115@192.0.2.1", "transport")):
        host.reserve(text, mode, source=THERE)
    for way in ("in", "fwd"):
        space.run(f"ip xfrm policy add src 10.2.0.0/24 dst 10.1.0.0/24 dir {way}"
                  " tmpl src 192.0.2.2 dst 192.0.2.1 proto comp reqid 7 mode tunnel")  # fmt: skip
    host.group("tun.113@192.0.2.1 comp.117@192.0.2.1 esp.115@192.0.2.1")
    templates = (
        "tmpl src 192.0.2.2 dst 192.0.2.1 proto comp reqid 7 mode tunnel level use "
        "tmpl src 192.0.2.2 dst 192.0.2.1 proto esp reqid 7 mode transport"
    )
    assert host.policies().count(templates) == 2
    host.ungroup("esp.115@192.0.2.1")
    assert "proto esp" not in host.policies() and host.policies().count("proto comp reqid 7 mode tunnel") == 2


def test_grouping_again_changes_nothing_but_takes_in_policies_made_since(host: Host) -> None:
    host.group(f"{TUN} {ESP} {AH}")
    before = host.state()
    assert not host.group(f"{TUN} {ESP} {AH}").changed
    assert host.state() == before
    host.space.run("ip xfrm policy add src 10.5.0.0/24 dst 10.2.0.0/24 dir out"
                   " tmpl src 192.0.2.1 dst 192.0.2.2 proto esp reqid 7 mode tunnel")  # fmt: skip
    plan = host.group(f"{TUN} {ESP} {AH}")
    assert plan.changed and not plan.made and len(plan.changes) == 1
    assert host.policies().count("proto ah") == 2


@pytest.mark.parametrize("member", [TUN, ESP, AH])
def test_any_member_ungroups_the_whole_group_and_policies_are_as_before(host: Host, member: str) -> None:
    before = host.state()
    host.group(f"{TUN} {ESP} {AH}")
    plan = host.ungroup(member)
    assert plan.dissolved == (said(f"{TUN} {ESP} {AH}"),)
    assert host.state() == before
    assert not host.ungroup(member).changed  # also for the tun, which is gone with its group


def test_a_single_sa_stays_as_it_is(host: Host) -> None:
    before = host.state()
    assert not host.ungroup(AH).changed
    assert host.state() == before


CANNOT_BE_GROUPED = [
    (f"{ESP}", "a group has two SAs or more"),
    (f"{ESP} ah.999@192.0.2.2", "the kernel has no such SA (got 'ah.999@192.0.2.2')"),
    (f"esp.998@192.0.2.2 {AH}", "sas[0]: the kernel has no such SA"),
    (
        " ".join(f"esp.{spi}@192.0.2.2" for spi in range(115, 121)),
        "these are 6 of ah, esp and comp; the kernel applies at most 5",
    ),
    (f"{ESP} {TUN}", "sas[1]: no SA follows this tun"),
    (f"{TUN} tun.114@192.0.2.2 {ESP}", "another tun follows"),
    (f"tun.113@192.0.2.9 {ESP}", "ends elsewhere"),
    (f"{TUN} {AH} {COMP}", "is in transport mode"),
    (f"{ESP} comp.12345@192.0.2.2", "the SPI of IPComp has 16 bits"),
    (f"{ESP} {ESP}", "is named twice"),
    (f"{ESP} %trap", "is an action and no SA"),
    (f"{ESP} ah.20@192.0.2.2", "SPIs below 0x100 are reserved"),
    (f"{ESP} int.1000@192.0.2.2", "internal protocol"),
    (f"{ESP} ah.555@192.0.2.9", "from 192.0.2.1 to 192.0.2.9"),
    (f"{ESP} ah.556@192.0.2.2", "from 192.0.2.77 to 192.0.2.2"),
    (f"{ESP} ah:557@2001:db8::2", "only an SA in tunnel mode may lead on"),
    (f"{AH} {COMP}", f"sas[0]: is inside of {COMP}, where the kernel of the other side cannot verify it"),
    (f"{TUN} {ESP} {AH} {COMP}", f"sas[2]: is inside of {COMP}"),
]


def test_what_cannot_be_grouped_is_refused_and_nothing_changes(host: Host) -> None:
    host.reserve("ah.555@192.0.2.9")
    host.reserve("ah.556@192.0.2.2", source="192.0.2.77")
    host.reserve("ah:557@2001:db8::2", source="2001:db8::1")
    before = host.state()
    for text, problem in CANNOT_BE_GROUPED:
        with pytest.raises(InputError) as caught:
            host.group(text)
        assert problem in str(caught.value), text
        assert host.state() == before, text


@pytest.mark.parametrize("text", [f"{COMP} {AH}", f"{ESP} {COMP}", f"{TUN} {ESP}", f"{TUN} {ESP} {COMP}"])
def test_an_sa_in_a_group_is_not_grouped_again(host: Host, text: str) -> None:
    host.group(f"{TUN} {ESP} {AH}")
    before = host.state()
    with pytest.raises(InputError, match="is in the group tun.113@192.0.2.2 .*; ungroup it first"):
        host.group(text)
    assert host.state() == before


def test_ungrouping_what_is_not_there_is_refused(host: Host) -> None:
    with pytest.raises(InputError, match="the kernel has no such SA"):
        host.ungroup("esp.998@192.0.2.2")


def test_nested_tunnels_may_have_other_destinations_and_families(space: Namespace, tmp_path) -> None:
    host = Host(space, str(tmp_path))
    host.reserve("esp.115@192.0.2.2", "tunnel")
    host.reserve("esp:118@2001:db8::2", "tunnel", source="2001:db8::1")
    space.run("ip xfrm policy add src 10.1.0.0/24 dst 10.2.0.0/24 dir out"
              " tmpl src 192.0.2.1 dst 192.0.2.2 proto esp reqid 7 mode tunnel")  # fmt: skip
    host.group("tun.113@192.0.2.2 esp.115@192.0.2.2 tun:113@2001:db8::2 esp:118@2001:db8::2")
    assert (
        "tmpl src 192.0.2.1 dst 192.0.2.2 proto esp reqid 7 mode tunnel "
        "tmpl src 2001:db8::1 dst 2001:db8::2 proto esp spi 0x00000118 reqid 7 mode tunnel"
    ) in host.policies()


class Failing(XfrmClient):
    """A kernel that refuses the second change of a batch."""

    def batch(self, operations: Sequence[Operation]) -> list[EngineError | None]:
        outcomes = super().batch(operations[:1])
        if len(operations) > 1:
            outcomes += [KernelError(operations[1].what, errno.ENOMEM, "out of memory")] * (len(operations) - 1)
        return outcomes


def test_a_policy_that_is_refused_leaves_no_partial_group(host: Host) -> None:
    host.space.run("ip xfrm policy add src 10.5.0.0/24 dst 10.2.0.0/24 dir out"
                   " tmpl src 192.0.2.1 dst 192.0.2.2 proto esp reqid 7 mode tunnel")  # fmt: skip
    before = host.state()
    with host.space.entered():
        client, registry = Failing(), Registry(host.directory)
        with pytest.raises(KernelError, match="out of memory"):
            carry_out(client, registry, partial(plan_group, said(f"{TUN} {ESP} {AH}")))
        registry.close()
        client.close()
    assert host.state() == before


def test_a_registry_that_cannot_be_written_undoes_the_policies(host: Host) -> None:
    """As on a full disk: what is noted cannot be committed."""
    Registry(host.directory).close()
    before = host.state()
    with host.space.entered():
        client, registry = XfrmClient(), Registry(host.directory)
        registry._database = Uncommitting(registry._database)
        with pytest.raises(MissingError, match="disk is full"):
            carry_out(client, registry, partial(plan_group, said(f"{TUN} {ESP} {AH}")))
        client.close()
        registry.close()
    assert host.state() == before


class Uncommitting:
    def __init__(self, database: sqlite3.Connection) -> None:
        self.database = database

    def execute(self, text: str, *values: object) -> sqlite3.Cursor:
        if text == "COMMIT":
            raise sqlite3.OperationalError("database or disk is full")
        return self.database.execute(text, *values)

    def __getattr__(self, name: str) -> object:
        return getattr(self.database, name)


def test_looking_ahead_changes_and_creates_nothing(host: Host, tmp_path) -> None:
    before = host.policies()
    with host.space.entered():
        plan = preview(host.directory, partial(plan_group, said(f"{TUN} {ESP} {AH}")))
    assert plan.changed and [c.wanted.templates[1].spi for c in plan.changes] == [0x116]
    assert host.policies() == before
    assert not (tmp_path / "run").exists()


def test_an_sa_deleted_behind_our_back_shows_as_missing_and_frees_the_others(host: Host) -> None:
    host.group(f"{TUN} {ESP} {AH}")
    host.space.run("ip xfrm state delete src 192.0.2.1 dst 192.0.2.2 proto esp spi 0x115")
    with host.space.entered():
        (group,) = read_listing(host.directory)
    assert group.sas == said(f"{TUN} {ESP} {AH}") and group.missing == said(ESP)
    with pytest.raises(InputError, match="no such SA"):
        host.group(f"{TUN} {ESP} {AH}")
    plan = host.group(f"{COMP} {AH}")
    assert plan.dissolved == (said(f"{TUN} {ESP} {AH}"),)
    assert host.groups() == [f"{COMP} {AH}"]
    # The policy was of the group that ended.
    assert "proto ah" not in host.policies() and "proto esp spi 0x00000115" in host.policies()


def test_a_group_whose_sas_are_all_gone_can_be_ungrouped(host: Host) -> None:
    before = host.state()
    host.group(f"{TUN} {ESP} {AH}")
    host.space.run("ip xfrm state deleteall")
    assert host.ungroup(AH).changed
    assert host.state() == before


def test_deleting_an_sa_of_ours_dissolves_its_group(space: Namespace, tmp_path) -> None:
    host = Host(space, str(tmp_path))
    registry = Registry(host.directory)
    registry.record(REQID_FIRST, Child("tests", "hq", "lan"))
    host.reserve(ESP, reqid=REQID_FIRST)
    host.reserve(AH)
    host.group(f"{ESP} {AH}")
    with space.entered():
        gateway = Gateway(registry)
        gateway.cleanup()
        gateway.close()
    assert host.groups() == []


def test_direction_tells_on_which_side_we_are(host: Host) -> None:
    host.space.run("ip addr add 192.0.2.1/32 dev lo")
    host.reserve("esp.118@192.0.2.1", source=THERE)
    host.reserve("ah.119@192.0.2.1", source=THERE)
    host.group(f"{ESP} {AH}")
    host.group("esp.118@192.0.2.1 ah.119@192.0.2.1")
    with host.space.entered():
        found = {str(group.sas[0]): group.direction for group in read_listing(host.directory)}
    assert found == {ESP: "out", "esp.118@192.0.2.1": "in"}


def test_two_runs_at_once_do_not_share_an_sa(host: Host) -> None:
    """The second one waits for the first and then sees its group."""
    with host.space.entered():
        client, registry = XfrmClient(), Registry(host.directory)
        other = sqlite3.connect(f"{host.directory}/kernel.sqlite", isolation_level=None, timeout=0)

        def decide(seen: groups.Snapshot) -> Plan:
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                other.execute("BEGIN IMMEDIATE")
            return plan_group(said(f"{ESP} {AH}"), seen)

        carry_out(client, registry, decide)
        client.close()
    with pytest.raises(InputError, match="is in the group"):
        host.group(f"{COMP} {AH}")


# The command


def command(host: Host, *words: str) -> int:
    with host.space.entered():
        return spigrp.main(["--runtime-dir", host.directory, *words])


POSITIONAL = [word for sa in ("0x113 tun", "0x115 esp", "278 ah") for word in ("inet", THERE, *sa.split())]


@pytest.mark.parametrize("words", [POSITIONAL, ["--said", TUN, "esp0x115@192.0.2.2", "ah278@192.0.2.2"]])
def test_the_command_groups_and_ungroups_without_a_word(host: Host, capsys, words: list[str]) -> None:
    before = host.state()
    assert command(host, *words) == 0
    assert host.groups() == [f"{TUN} {ESP} {AH}"]
    assert capsys.readouterr() == ("", "")
    assert command(host) == 0
    assert capsys.readouterr() == ("tun0x113@192.0.2.2 esp0x115@192.0.2.2 ah0x116@192.0.2.2\n", "")
    assert command(host, "--said", AH) == 0
    assert host.state() == before


def reserve_ipv6(host: Host) -> None:
    # Kernels since 6.17 want the SPIs of one protocol to differ whatever their destination.
    for spi, protocol, mode in ((0x215, "esp", "tunnel"), (0x216, "ah", "transport"), (0x217, "comp", "transport")):
        host.reserve(f"{protocol}:{spi:x}@2001:db8::2", mode, source="2001:db8::1")


@pytest.mark.parametrize("names", ["tun esp", "tun esp ah", "esp comp", "esp comp ah", "tun esp comp ah"])
@pytest.mark.parametrize(
    ("family", "address"), [("inet", THERE), pytest.param("inet6", "2001:db8::2", marks=pytest.mark.nightly)]
)
def test_both_forms_of_the_command_make_the_same_group(
    host: Host, capsys, names: str, family: str, address: str
) -> None:
    reserve_ipv6(host)
    series = "1" if family == "inet" else "2"
    spis = {"tun": f"{series}13", "esp": f"{series}15", "ah": f"{series}16", "comp": f"{series}17"}
    before = host.state()
    positional = [word for name in names.split() for word in (family, address, f"0x{spis[name]}", name)]
    one_word = [f"{name}{'.' if family == 'inet' else ':'}{spis[name]}@{address}" for name in names.split()]
    assert command(host, *positional) == 0
    made = host.state()
    assert made != before and host.groups() == [" ".join(one_word)]
    assert command(host, "--said", one_word[-1]) == 0 and host.state() == before
    assert command(host, "--said", *one_word) == 0 and host.state() == made
    assert capsys.readouterr() == ("", "")


PAGE_4 = "inet gw2 0x113 tun inet gw2 0x115 esp inet gw2 0x116 ah"
PAGE_6 = "inet6 3049:1::1 0x233 tun inet6 3049:1::1 0x235 esp inet6 3049:1::1 0x236 ah"


@pytest.mark.parametrize(
    ("words", "group"),
    [
        (PAGE_4, f"{TUN} {ESP} {AH}"),
        ("--said tun.113@gw2 esp.115@gw2 ah.116@gw2", f"{TUN} {ESP} {AH}"),
        (PAGE_6, "tun:233@3049:1::1 esp:235@3049:1::1 ah:236@3049:1::1"),
        (
            "--said tun:233@3049:1::1 esp:235@3049:1::1 ah:236@3049:1::1",
            "tun:233@3049:1::1 esp:235@3049:1::1 ah:236@3049:1::1",
        ),
    ],
)
def test_the_examples_of_the_page(host: Host, monkeypatch, words: str, group: str) -> None:
    """With gw2 being 192.0.2.2."""
    ask = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda name, *rest: ask({"gw2": THERE}.get(name, name), *rest))
    host.reserve("esp:235@3049:1::1", "tunnel", source="3049:1::2")
    host.reserve("ah:236@3049:1::1", source="3049:1::2")
    assert command(host, *words.split()) == 0
    assert host.groups() == [group]


def test_the_same_sas_in_another_order_are_refused(host: Host) -> None:
    host.group(f"{ESP} {COMP}")
    before = host.state()
    with pytest.raises(InputError, match=f"sas.0.: is in the group {ESP} {COMP} .*; ungroup it first"):
        host.group(f"{COMP} {ESP}")
    assert host.state() == before


def test_the_group_is_known_by_its_first_sa(space: Namespace, tmp_path) -> None:
    """The eroute names it, and the listing begins with it."""
    host = Host(space, str(tmp_path))
    host.reserve(ESP, "tunnel")
    host.reserve(AH)
    host.group(f"{TUN} {ESP} {AH}")
    with space.entered():
        (found,) = read_listing(host.directory)
        client = XfrmClient()
        seen = groups.look(client, RegistryView(host.directory))
        client.close()
    assert str(found.sas[0]) == TUN and seen.group_of(parse_said(TUN)) == found.sas


def test_a_tool_that_starts_later_knows_the_group(host: Host) -> None:
    """In a process of its own, with nothing but the registry."""
    host.group(f"{TUN} {ESP} {AH}")
    engine = str(Path(groups.__file__).parents[2])
    out = host.space.run(
        f"PYTHONPATH={engine} {sys.executable} -m engine.cli.ipsec spigrp --runtime-dir {host.directory}"
    )
    assert out == "tun0x113@192.0.2.2 esp0x115@192.0.2.2 ah0x116@192.0.2.2\n"


def test_listing_changes_nothing(host: Host, capsys, tmp_path) -> None:
    before = host.space.run("ip xfrm state; ip xfrm policy")
    for words in ([], ["--json"], ["--each-sa"]):
        assert command(host, *words) == 0
    assert host.space.run("ip xfrm state; ip xfrm policy") == before and not (tmp_path / "run").exists()


def test_the_command_says_what_it_did_when_asked(host: Host, capsys) -> None:
    assert command(host, "--debug", "--label", "nightly", *POSITIONAL) == 0
    assert capsys.readouterr().err.splitlines() == [
        f"spigrp --label nightly: - {ESP}",
        f"spigrp --label nightly: - {AH}",
        "spigrp --label nightly: - out 10.1.0.0/24 -> 10.2.0.0/24: ESP 0x115 tunnel",
        f"spigrp --label nightly: + {TUN} {ESP} {AH}",
        "spigrp --label nightly: + out 10.1.0.0/24 -> 10.2.0.0/24: ESP 0x115 tunnel, AH 0x116 transport",
    ]


def test_the_command_names_what_is_wrong_and_exits_1(host: Host, capsys) -> None:
    before = host.state()
    assert command(host, "--label", "nightly", "--said", ESP, "ah.999@192.0.2.2") == 1
    assert capsys.readouterr().err == (
        "spigrp --label nightly: SA: the kernel has no such SA (got 'ah.999@192.0.2.2'); "
        "create it first, or see ip xfrm state\n"
    )
    assert host.state() == before


def test_a_tun_that_nobody_made_is_a_slip_of_the_name(host: Host, capsys) -> None:
    before = host.state()
    assert command(host, "--said", "tun.9999@192.0.2.2") == 1
    assert "SA: no such tun was made, and no group has it (got 'tun.9999@192.0.2.2')" in capsys.readouterr().err
    assert command(host, "--said", TUN, ESP, AH) == 0 and command(host, "--said", TUN) == 0
    assert host.state() == before


def test_the_command_tells_of_missing_sas(host: Host, capsys) -> None:
    command(host, "--said", ESP, AH)
    host.space.run("ip xfrm state delete src 192.0.2.1 dst 192.0.2.2 proto ah spi 0x116")
    assert command(host) == 0
    out, err = capsys.readouterr()
    assert out == "esp0x115@192.0.2.2 ah0x116@192.0.2.2\n"
    assert err == f"spigrp: {AH} of the group {ESP} is gone; ungroup it\n"


def test_ungrouping_compression_from_encryption_warns(space: Namespace, tmp_path, capsys) -> None:
    host = Host(space, str(tmp_path))
    host.reserve(COMP)
    host.reserve(ESP)
    space.run("ip xfrm policy add src 192.0.2.1/32 dst 192.0.2.2/32 dir out tmpl proto comp reqid 7 mode transport")
    assert command(host, "--said", COMP, ESP) == 0
    assert "proto esp spi 0x00000115" in host.policies()
    assert command(host, "--said", ESP) == 0
    assert "compresses only from now on" in capsys.readouterr().err


def test_is_local_knows_this_host(space: Namespace) -> None:
    with space.entered():
        assert groups.is_local("127.0.0.1") and not groups.is_local("192.0.2.1")
        assert socket.has_ipv6 and groups.is_local("::1") and not groups.is_local("2001:db8::1")
