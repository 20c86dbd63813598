# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An IKEv1 responder for every loopback address at once, which refuses every proposal.

``python -m tests.bench.ike_responder`` prints its UDP port and answers until its standard input ends.
"""

from __future__ import annotations

import os
import select
import socket
import struct

NO_PROPOSAL_CHOSEN = 14
_INFORMATIONAL, _NOTIFICATION, _VERSION = 5, 11, 0x10
_IP_PKTINFO = 8
_RCVBUFFORCE = 33  # larger than the host allows others
_BUFFER = 8 << 20
# RFC 2408 sections 3.1 and 3.14: what follows both cookies.
_REST = struct.pack(
    "!BBBBII BxHIBBH", _NOTIFICATION, _VERSION, _INFORMATIONAL, 0, 0, 40, 0, 12, 1, 1, 0, NO_PROPOSAL_CHOSEN
)


def answer(datagram: bytes) -> bytes:
    """The refusal of the proposal in ``datagram``, with a cookie of our own."""
    return datagram[:8] + datagram[7::-1] + _REST


def main() -> None:
    """Serve."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
        sock.setsockopt(socket.SOL_SOCKET, _RCVBUFFORCE, _BUFFER)
        sock.bind(("0.0.0.0", 0))
        print(sock.getsockname()[1], flush=True)
        while True:
            ready = select.select([sock, 0], [], [])[0]
            if 0 in ready and not os.read(0, 1):
                return
            _serve(sock)


def _serve(sock: socket.socket) -> None:
    while True:
        try:
            datagram, ancillary, _flags, source = sock.recvmsg(2048, 64, socket.MSG_DONTWAIT)
            (level, kind, octets) = ancillary[0]
            # The answer comes from the address that was asked.
            origin = struct.pack("=I4s4s", 0, octets[4:8], bytes(4))
            sock.sendmsg([answer(datagram)], [(level, kind, origin)], 0, source)
        except BlockingIOError:
            return


if __name__ == "__main__":
    main()
