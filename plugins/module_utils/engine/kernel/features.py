# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What this kernel can do for IPsec, found out by trying; nothing stays behind."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import NamedTuple

from ..errors import EngineError, KernelError, MissingError
from ..secret import Secret
from .client import XfrmClient, add_sa, delete_sa
from .values import AH, ESP, IPCOMP, PROTOCOL_NAMES, Auth, Crypt, Sa

# The loopback never carries SAs of this kind, and an IPComp CPI has 16 bits.
_ADDRESSES = {4: "127.0.0.1", 6: "::1"}
_LARVAL_DROP = Path("/proc/sys/net/core/xfrm_larval_drop")
_TRIAL_SPI = {ESP: 0xFEED0001, AH: 0xFEED0002, IPCOMP: 0xFEED}


class Feature(NamedTuple):
    """One transform and family.

    :ivar name: such as ``ESP for IPv4``.
    :ivar problem: what is missing, empty when available.
    :ivar remedy: how to get it.
    """

    name: str
    available: bool
    problem: str = ""
    remedy: str = ""


def probe(client: XfrmClient) -> list[Feature]:
    """ESP, AH and IPComp for IPv4 and IPv6: each is tried with an SA on the loopback that is deleted at once.

    :raises MissingError: without the permission to try.
    """
    return [_try(client, protocol, family) for protocol in (ESP, AH, IPCOMP) for family in (4, 6)]


def require_esp(client: XfrmClient) -> None:
    """Fail early where no tunnel could ever work.

    :raises MissingError: no ESP for IPv4, with the remedy; or no permission.
    """
    require(client, ESP, 4)


def require(client: XfrmClient, protocol: int, family: int) -> None:
    """Fail where there can be no SA of a protocol.

    :raises MissingError: with the remedy; or no permission.
    """
    found = _try(client, protocol, family)
    if not found.available:
        raise MissingError(found.problem, found.remedy)


def holding() -> Feature:
    """Whether this kernel keeps the first packets of a trap until its SA stands; else the first one is lost."""
    name = "holding of first packets"
    try:
        text = _LARVAL_DROP.read_text(encoding="ascii")
    except OSError:
        # Network namespaces of an unprivileged user have no such setting.
        return Feature(name, False, f"there is no {_LARVAL_DROP}", "the sender repeats a packet that is lost")
    if text.strip() == "0":
        return Feature(name, True)
    remedy = "sysctl net.core.xfrm_larval_drop=0 (role gateway: fleet_ipsec_gateway_hold_packets: true)"
    return Feature(name, False, "the kernel drops a packet that waits for its SA", remedy)


def _try(client: XfrmClient, protocol: int, family: int) -> Feature:
    name = f"{PROTOCOL_NAMES[protocol]} for IPv{family}"
    sa = _trial(protocol, family)
    try:
        client.do(add_sa(sa))
    except MissingError as exc:
        if "permission" in exc.what:
            raise
        return Feature(name, False, exc.what, exc.remedy)
    except KernelError as exc:
        if exc.errno == errno.EEXIST:  # another probe is at it: then the kernel has it
            return Feature(name, True)
        return Feature(name, False, str(exc), "see the kernel log (dmesg)")
    _remove(client, sa)
    return Feature(name, True)


def _remove(client: XfrmClient, sa: Sa) -> None:
    try:
        client.do(delete_sa(sa.destination, sa.spi, sa.protocol))
    except EngineError as exc:
        if not isinstance(exc, KernelError) or exc.errno != errno.ESRCH:
            raise


def _trial(protocol: int, family: int) -> Sa:
    address = _ADDRESSES[family]
    null = Crypt("ecb(cipher_null)", Secret(b"")) if protocol == ESP else None
    integrity = Auth("hmac(sha256)", Secret(bytes(32)), 128) if protocol != IPCOMP else None
    return Sa(
        address,
        address,
        _TRIAL_SPI[protocol],
        protocol,
        "transport",
        0,
        encryption=null,
        integrity=integrity,
        compression="deflate" if protocol == IPCOMP else None,
    )
