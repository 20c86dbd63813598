# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The mode of SAs keyed by hand, which comes and goes with their group.

The classic tools knew no mode of an SA: a ``tun`` before it made it a tunnel. So grouping behind a ``tun`` puts an SA
that was keyed by hand into tunnel mode, and it is in transport mode again when it stands behind none. The kernel
changes no mode, so the SA is made anew, and goes on from where it stands.
"""

from __future__ import annotations

import errno
from contextlib import ExitStack
from dataclasses import replace

from ..errors import InputError, KernelError
from ..kernel import sa_chains
from ..kernel.client import XfrmClient, delete_sa, describe, go_on_with_sa
from ..kernel.installed import shows_keys
from ..kernel.values import Policy, SaState
from ..newer_python import pairwise, zip
from ..said import Said
from .group_snapshot import Members, Snapshot


def to_tunnel(members: Members, seen: Snapshot) -> dict[Said, SaState]:
    """The SAs behind a ``tun`` that can be made anew in tunnel mode, as they will be: those keyed by hand to which no
    policy leads.
    """
    found = {}
    for tunnel, said in pairwise(members):
        sa = _by_hand(said, seen)
        if tunnel.protocol != sa_chains.TUN or sa is None or sa.mode != "transport":
            continue
        if not any(sa_chains.leads_to(policy, sa, ()) for policy in seen.policies):
            found[said] = replace(sa, mode="tunnel")
    return found


def to_transport(members: Members, seen: Snapshot, name: str) -> dict[Said, SaState]:
    """The SAs behind no ``tun`` that are in tunnel mode because an earlier group had them so, as they will be.

    :raises InputError: a policy goes on leading to one, and its packets need the tunnel.
    """
    found = {}
    for number, said in enumerate(members):
        sa = _by_hand(said, seen)
        if said not in seen.tunnelled or sa is None or sa.mode != "tunnel" or seen.group_of(said):
            continue
        if number and members[number - 1].protocol == sa_chains.TUN:
            continue
        led = next((policy for policy in seen.policies if sa_chains.demands(policy, sa)), None)
        if led is not None:
            raise InputError(
                f"{name}[{number}]", str(said),
                f"is in tunnel mode, from a group that it was in, and {describe(led)} needs it so",
                "name a tun before it, or remove that eroute first",
            )  # fmt: skip
        found[said] = replace(sa, mode="transport")
    return found


def _by_hand(said: Said, seen: Snapshot) -> SaState | None:
    """The SA, if it was keyed by hand here and nobody has taken its name since."""
    sa, note = seen.sas.get(said), seen.noted.get(said)
    return sa if sa is not None and note is not None and sa.reqid == note.reqid else None


def stray_tunnels(members: Members, seen: Snapshot) -> tuple[str, ...]:
    """What to say of SAs keyed by hand in tunnel mode without a ``tun``; IKE agrees on the mode with the peer."""
    return tuple(
        f"{said} is in tunnel mode though no tun stands before it: its packets are tunnelled, and the other end needs "
        "the same mode"
        for before, said in zip((None, *members), members, strict=False)
        if (sa := _by_hand(said, seen)) is not None
        and sa.mode == "tunnel"
        and (before is None or before.protocol != sa_chains.TUN)
    )


def needs_tunnel(policy: Policy, said: Said, seen: Snapshot) -> bool:
    """Whether ``policy`` still has packets go through this SA in tunnel mode, or would once it is made again."""
    sa = seen.sas.get(said)
    if sa is not None:
        return sa_chains.demands(policy, sa)
    reqid = seen.noted[said].reqid if said in seen.noted else 0
    return any((t.protocol, t.reqid, t.mode) == (said.protocol, reqid, "tunnel") for t in policy.templates)


def remake(client: XfrmClient, said: Said, mode: str, undo: ExitStack) -> bool:
    """Make an SA anew in another mode, with the keys that it has; False where that cannot be: it is gone, or this
    kernel does not show its keys.

    :raises KernelError: the kernel refused it.
    """
    held = client.read_sa(said.destination, said.spi, said.protocol)
    if held is None or not shows_keys(held.sa):
        return False
    delete = delete_sa(said.destination, said.spi, said.protocol)
    client.do(delete)
    undo.callback(client.batch, [go_on_with_sa(held.sa, held)])
    client.do(go_on_with_sa(replace(held.sa, mode=mode, af_unspec=True), held))
    undo.callback(client.batch, [delete])
    return True


def must_remake(client: XfrmClient, said: Said, mode: str, undo: ExitStack) -> None:
    """As :func:`remake`, where the group cannot be without it.

    :raises KernelError: also where it cannot be made anew.
    """
    if not remake(client, said, mode, undo):
        detail = f"it has just gone, or this kernel does not show its keys: delete it, and make it in {mode} mode"
        raise KernelError(f"make {said} anew", errno.EPERM, detail)
