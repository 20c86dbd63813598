# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Child SA in the kernel's values: its two SAs and its policies."""

from __future__ import annotations

import errno

from ..child_sa import ChildSa
from ..errors import KernelError
from .policies import passes, policies, ranked_selectors, shunts
from .values import IN, OUT, Aead, Auth, Crypt, Policy, Sa, Template

# Outbound SAs check no replay; ESN asks for a window of at least one packet all the same (RFC 4303 section 3.3.3).
_OUTBOUND_ESN_WINDOW = 1
PASS, DROP = "pass", "drop"


def inbound_sa(child: ChildSa) -> Sa:
    """The SA that receives."""
    ports = child.encapsulation and (child.encapsulation[1], child.encapsulation[0])
    return _sa(child, IN, child.remote_address, child.local_address, child.spi_in, ports, child.replay_window)


def outbound_sa(child: ChildSa) -> Sa:
    """The SA that sends."""
    window = _OUTBOUND_ESN_WINDOW if child.esn else 0
    return _sa(child, OUT, child.local_address, child.remote_address, child.spi_out, child.encapsulation, window)


def _sa(
    child: ChildSa, direction: str, source: str, destination: str, spi: int, ports: tuple[int, int] | None, window: int
) -> Sa:
    if child.esn and not window:
        raise KernelError(f"add the SA 0x{spi:x}", errno.EINVAL, "ESN needs a replay window of at least one packet")
    if child.offload != "none" and not child.device:
        raise KernelError(f"add the SA 0x{spi:x}", errno.ENODEV, "there is no way to the peer, whose device encrypts")
    encryption_key, integrity_key = (
        (child.encryption_in, child.integrity_in) if direction == IN else (child.encryption_out, child.integrity_out)
    )
    aead = cipher = auth = None
    if child.encryption is not None and child.encryption.aead:
        aead = Aead(child.encryption.kernel, encryption_key, child.encryption.icv_bits)
    elif child.encryption is not None:
        cipher = Crypt(child.encryption.kernel, encryption_key)
    if child.integrity is not None:
        auth = Auth(child.integrity.kernel, integrity_key, child.integrity.icv_bits)
    return Sa(
        source, destination, spi, child.protocol, child.mode, child.reqid, aead, cipher, auth,
        encapsulation=ports, replay_window=window, esn=child.esn, af_unspec=child.mode == "tunnel",
        limits=child.lifetime, if_id=child.if_id, copied=child.copied,
        device=child.device if child.offload != "none" else 0, receives=direction == IN,
    )  # fmt: skip


def child_policies(child: ChildSa) -> list[Policy]:
    """The policies that a child wants: without an SPI they hold its place."""
    template = Template(
        child.local_address, child.remote_address, child.spi_out, child.protocol, child.mode, child.reqid
    )
    negotiated = child.local_selectors, child.remote_selectors
    ranks = ranked_selectors(negotiated, child.defined or negotiated, child.priority)
    if child.mode in (PASS, DROP):
        return shunts(ranks, template._replace(mode="tunnel") if child.mode == DROP else None)
    found = [policy for selector, rank in ranks.items() for policy in policies(selector, rank, template)]
    if child.if_id:
        return [policy._replace(if_id=child.if_id) for policy in found]
    if child.passes:
        passing = passes(child.passes, child.defined or negotiated, own=child.priority)
        # Whatever a peer narrows to: what passes by goes on to do so.
        taken = {(policy.selector, policy.direction) for policy in passing}
        found = [policy for policy in found if (policy.selector, policy.direction) not in taken]
        return passing + found
    return found
