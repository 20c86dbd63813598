# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A kernel that is locked down gives zeros for keys: no SA is ever made of those."""

from __future__ import annotations

import errno
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest
from engine.classic import groups, manual
from engine.classic.manual_words import read_wish
from engine.errors import KernelError
from engine.kernel.client import Operation
from engine.kernel.installed import Installed, shows_keys
from engine.kernel.registry import MANUAL_FIRST, Manual, Registry
from engine.kernel.values import KernelSelector, Sa, SaState
from engine.kernel.xfrm import DELSA, NEWSA
from engine.secret import Secret

WISH: dict[str, Any] = {
    "said": "esp.115@192.0.2.2",
    "source": "192.0.2.1",
    "mode": "tunnel",
    "encryption": {"algorithm": "aes256", "key": "0x" + "5a" * 32},
    "integrity": {"algorithm": "sha256", "key": "0x" + "5b" * 32},
}
SAID = read_wish(WISH).said
EVERYTHING = KernelSelector(4, bytes(4), 0, bytes(4), 0)
NOTE = Manual("me", MANUAL_FIRST, "192.0.2.1")


def held(**keys: bytes) -> Sa:
    """The SA as it stands, in transport mode; by name, what the kernel shows for a key."""
    sa = read_wish(WISH).sa
    assert sa is not None
    shown = {name: getattr(sa, name)._replace(key=Secret(key)) for name, key in keys.items()}
    return replace(sa, mode="transport", reqid=NOTE.reqid, **shown)


HIDDEN = [{"encryption": bytes(32)}, {"integrity": bytes(32)}, {"encryption": bytes(32), "integrity": bytes(32)}]


class RefusingClient:
    """A kernel that deletes the SA and takes no other."""

    def __init__(self, sa: Sa) -> None:
        self._sa = sa
        self.done: list[int] = []

    def read_sa(self, *_name: object) -> Installed:
        sa = self._sa
        state = SaState(
            sa.source, sa.destination, sa.spi, sa.protocol, "transport", sa.reqid, 4, (), None, 0, False, False,
            0, 0, 0, 0, 0, 0, 0, EVERYTHING,
        )  # fmt: skip
        return Installed(sa, state, 0, 0, 0)

    def dump_sas(self) -> list[SaState]:
        return [self.read_sa().state]

    def dump_policies(self) -> list[object]:
        return []

    def do(self, operation: Operation) -> None:
        (outcome,) = self.batch([operation])
        if outcome is not None:
            raise outcome

    def batch(self, operations: list[Operation]) -> list[KernelError | None]:
        self.done += [operation.type for operation in operations]
        refused = KernelError("make an SA", errno.EINVAL, "refused")
        return [refused if operation.type == NEWSA else None for operation in operations]


@pytest.mark.parametrize("keys", HIDDEN)
def test_zeros_are_no_keys(keys: dict[str, bytes]) -> None:
    assert shows_keys(held()) and shows_keys(replace(held(), integrity=None))
    assert shows_keys(replace(held(), encryption=held().encryption._replace(key=Secret(b""))))  # type: ignore[union-attr]
    assert not shows_keys(held(**keys))


@pytest.mark.parametrize(("keys", "tried"), [({}, [DELSA, NEWSA, NEWSA]), *((keys, [DELSA, NEWSA]) for keys in HIDDEN)])
def test_what_could_not_be_made_anew_comes_back_with_its_own_keys_or_not_at_all(tmp_path, keys, tried) -> None:
    client: Any = RefusingClient(held(**keys))
    with closing(Registry(str(tmp_path))) as registry:
        with registry.changing():
            registry.put_manual(SAID, NOTE)

        def decide(seen: manual.Seen) -> manual.Plan:
            return manual.plan_present([read_wish(WISH)], "me", ["said"], seen)

        with pytest.raises(KernelError, match="refused"):
            manual.carry_out(client, registry, [SAID], decide)
        assert registry.manual_sas() == {SAID: NOTE}
    assert client.done == tried


@pytest.mark.parametrize("keys", HIDDEN)
def test_grouping_makes_no_sa_anew_whose_keys_it_cannot_read(tmp_path, keys) -> None:
    client: Any = RefusingClient(held(**keys))
    with closing(Registry(str(tmp_path))) as registry:
        with pytest.raises(KernelError, match="does not show its keys"):
            groups.carry_out(client, registry, lambda _seen: groups.Plan((SAID,), (SAID,)))
        assert registry.groups() == []
    assert client.done == []
