# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Socket options that let IKE through and ESP in UDP in."""

from __future__ import annotations

import errno
import socket

from ..errors import MissingError
from . import xfrm
from .values import IN, OUT, KernelSelector, Policy

_IP_XFRM_POLICY, _IPV6_XFRM_POLICY = 17, 35
_UDP_ENCAP = 100


def bypass_policies(sock: socket.socket) -> None:
    """Let what this UDP socket sends and receives pass by every policy: IKE must never wait for the SA it negotiates.

    :raises MissingError: without CAP_NET_ADMIN or without XFRM in the kernel.
    """
    level, option, version = _LEVELS[sock.family]
    everything = KernelSelector(version, bytes(_OCTETS[version]), 0, bytes(_OCTETS[version]), 0)
    for direction in (OUT, IN):
        _set(sock, level, option, xfrm.pack_policy(Policy(everything, direction, 0)), "let IKE pass by the policies")


def bypass_where_allowed(sock: socket.socket) -> None:
    """The same as far as this process may: without the permission, or without XFRM, the socket stays as it is."""
    try:
        bypass_policies(sock)
    except MissingError:
        return


def decapsulate_esp(sock: socket.socket) -> None:
    """Let the kernel take ESP in UDP (RFC 3948) that arrives at this socket; IKE behind its marker still reaches us.

    :raises MissingError: without the permission or the kernel's support.
    """
    _set(sock, socket.IPPROTO_UDP, _UDP_ENCAP, xfrm.UDP_ENCAP_ESPINUDP, "receive ESP in UDP")


_LEVELS = {
    socket.AF_INET: (socket.IPPROTO_IP, _IP_XFRM_POLICY, 4),
    socket.AF_INET6: (socket.IPPROTO_IPV6, _IPV6_XFRM_POLICY, 6),
}
_OCTETS = {4: 4, 6: 16}


def _set(sock: socket.socket, level: int, option: int, value: int | bytes, purpose: str) -> None:
    try:
        sock.setsockopt(level, option, value)
    except OSError as exc:
        if exc.errno == errno.EPERM:
            raise MissingError(f"no permission to {purpose}", "run as root (become: true)") from None
        if exc.errno in (errno.ENOPROTOOPT, errno.EOPNOTSUPP):
            raise MissingError(f"this kernel cannot {purpose}", "use a kernel with CONFIG_XFRM") from None
        raise
