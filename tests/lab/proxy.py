# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ssh's way into the lab: connect from inside the internet namespace, hand ssh the socket.

Used as ``ProxyCommand`` with ``ProxyUseFdpass yes``, started by nsenter in the right
namespace; it is gone as soon as the connection stands.
"""

from __future__ import annotations

import socket
import sys


def main(address: str, port: str) -> None:
    """Connect and pass the connection's descriptor over standard output, which ssh made a socket."""
    connection = socket.create_connection((address, int(port)), timeout=10)
    connection.setblocking(True)
    with socket.socket(fileno=1) as to_ssh:
        socket.send_fds(to_ssh, [b"\0"], [connection.fileno()])


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
