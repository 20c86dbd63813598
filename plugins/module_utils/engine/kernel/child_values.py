# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Child SA in the kernel's values: its two SAs and its policies."""

from __future__ import annotations

import errno
from dataclasses import replace

from ..child_sa import ChildSa
from ..errors import KernelError
from .policies import passes, policies, ranked_selectors, shunts
from .values import IN, IPCOMP, OUT, Aead, Auth, Crypt, Policy, Sa, Template

# Outbound SAs check no replay; ESN asks for a window of at least one packet all the same (RFC 4303 section 3.3.3).
_OUTBOUND_ESN_WINDOW = 1
DEFLATE = "deflate"
PASS, DROP = "pass", "drop"
HOLD = "hold"  # of a definition for many peers: what none of them has is dropped, unless it passes by


def inbound_sas(child: ChildSa) -> list[Sa]:
    """The SAs that receive, innermost first."""
    ports = child.encapsulation and (child.encapsulation[1], child.encapsulation[0])
    ends = child.remote_address, child.local_address
    return [*_compressing(child, *ends, child.cpi_in), _sa(child, IN, *ends, child.spi_in, ports, child.replay_window)]


def outbound_sas(child: ChildSa) -> list[Sa]:
    """The SAs that send, innermost first."""
    window = _OUTBOUND_ESN_WINDOW if child.esn else 0
    ends = child.local_address, child.remote_address
    return [
        *_compressing(child, *ends, child.cpi_out),
        _sa(child, OUT, *ends, child.spi_out, child.encapsulation, window),
    ]


def _compressing(child: ChildSa, source: str, destination: str, cpi: int) -> list[Sa]:
    """The IPComp SA of one direction; in tunnel mode the kernel makes a state of its own beside it, by which packets
    that do not shrink come as IP in IP."""
    if not cpi:
        return []
    tunnel = child.mode == "tunnel"
    made = Sa(source, destination, cpi, IPCOMP, child.mode, child.reqid, compression=DEFLATE, af_unspec=tunnel)
    return [replace(made, if_id=child.if_id, copied=child.copied)]


def _mode(child: ChildSa) -> str:
    """That of ESP or AH: the innermost SA is the one that tunnels."""
    return "transport" if child.cpi_out else child.mode


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
        source, destination, spi, child.protocol, _mode(child), child.reqid, aead, cipher, auth,
        encapsulation=ports, replay_window=window, esn=child.esn, af_unspec=child.mode == "tunnel",
        limits=child.lifetime, if_id=child.if_id, copied=child.copied,
        device=child.device if child.offload != "none" else 0, receives=direction == IN,
    )  # fmt: skip


def child_policies(child: ChildSa) -> list[Policy]:
    """The policies that a child wants: without an SPI they hold its place."""
    ends = child.local_address, child.remote_address
    chain = [Template(*ends, child.spi_out, child.protocol, _mode(child), child.reqid)]
    if child.cpi_out:
        chain.insert(0, Template(*ends, child.cpi_out, IPCOMP, child.mode, child.reqid))
    negotiated = child.local_selectors, child.remote_selectors
    ranks = ranked_selectors(negotiated, child.defined or negotiated, child.priority)
    if child.mode in (PASS, DROP):
        return shunts(ranks, chain[0]._replace(mode="tunnel") if child.mode == DROP else None)
    if child.mode == HOLD:
        found = shunts(ranks, chain[0]._replace(mode="tunnel"))
    else:
        found = [policy for selector, rank in ranks.items() for policy in policies(selector, rank, *chain)]
    if child.if_id:
        return [policy._replace(if_id=child.if_id) for policy in found]
    if child.passes:
        passing = passes(child.passes, child.defined or negotiated, own=child.priority)
        # Whatever a peer narrows to: what passes by goes on to do so.
        taken = {(policy.selector, policy.direction) for policy in passing}
        found = [policy for policy in found if (policy.selector, policy.direction) not in taken]
        return passing + found
    return found
