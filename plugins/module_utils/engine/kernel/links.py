# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel's routing netlink, the one place that imports pyroute2: links, addresses and routes.

Imported at the first use: it costs a tenth of a second that tasks without routes need not pay.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

from ..errors import KernelError, MissingError
from .addresses import packed

# Marks our routes (rtm_protocol): a number that no routing daemon has been given.
ROUTE_PROTOCOL = 166

_TENTATIVE = 0x40


class Links:
    """One socket to the links, addresses and routes of this network namespace.

    :raises MissingError: without pyroute2.
    """

    def __init__(self) -> None:
        self._pyroute2 = _pyroute2()
        # strict: the kernel picks the rows of a listing, instead of handing all of them over.
        self._socket = self._pyroute2.IPRoute(strict_check=True)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def do(self, what: str, verb: str, *arguments: Any, **words: Any) -> list[Any]:
        """One request of pyroute2's ``IPRoute``, and the rows of its answer.

        :param what: says the request in words for the error.
        :raises KernelError: in the kernel's words.
        """
        try:
            return list(getattr(self._socket, verb)(*arguments, **words))
        except self._pyroute2.NetlinkError as exc:
            raise KernelError(what, exc.code, str(exc)) from None

    def addresses(self) -> list[str]:
        """Every address that packets to others can come from but link-local ones, in the kernel's order."""
        found = []
        for row in self.do("list the addresses", "get_addr"):
            flags = row.get_attr("IFA_FLAGS") or row["flags"]
            # With a peer address IFA_ADDRESS is the other end's.
            address = row.get_attr("IFA_LOCAL") or row.get_attr("IFA_ADDRESS")
            if address and not flags & _TENTATIVE and not _is_local(address):
                found.append(address)
        return found


def _is_local(address: str) -> bool:
    """Whether an address means nothing on other hosts (loopback) or on other links (link-local)."""
    octets = packed(address)
    if len(octets) == 4:
        return octets[0] == 127 or octets[:2] == b"\xa9\xfe"
    return octets == bytes(15) + b"\x01" or (octets[0] == 0xFE and octets[1] & 0xC0 == 0x80)


def _pyroute2() -> ModuleType:
    try:
        return importlib.import_module("pyroute2")
    except ImportError:
        raise MissingError("the Python package pyroute2 is missing", "install the package python3-pyroute2") from None
