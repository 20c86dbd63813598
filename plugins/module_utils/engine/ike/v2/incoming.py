# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A message of the peer, as handlers get it."""

from __future__ import annotations

from typing import NamedTuple

from ...wire.header import Header
from ...wire.v2.payloads import Payloads
from ..actions import Path


class Incoming(NamedTuple):
    """A message of the peer, opened: its header, payloads, octets as received, and the way it came.

    :ivar datagram: the first one, of a message in fragments; ``chain``: the payloads in clear, of a protected one.
    """

    header: Header
    payloads: Payloads
    datagram: bytes
    path: Path
    chain: bytes = b""
