# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A kernel that lacks something: named, with what to load."""

from __future__ import annotations

import errno
import socket

import pytest
from engine.errors import MissingError
from engine.kernel.client import Operation, _problem

FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}


@pytest.mark.parametrize(
    ("number", "version", "missing", "module", "option"),
    [
        (50, 4, "ESP for IPv4", "esp4", "CONFIG_INET_ESP"),
        (50, 6, "ESP for IPv6", "esp6", "CONFIG_INET6_ESP"),
        (51, 4, "AH for IPv4", "ah4", "CONFIG_INET_AH"),
        (51, 6, "AH for IPv6", "ah6", "CONFIG_INET6_AH"),
        (108, 4, "IPComp for IPv4", "ipcomp", "CONFIG_INET_IPCOMP"),
        (108, 6, "IPComp for IPv6", "ipcomp6", "CONFIG_INET6_IPCOMP"),
    ],
)
def test_a_kernel_without_a_protocol_says_which_and_what_to_load(number, version, missing, module, option):
    operation = Operation(0, 0, b"", "add an SA", number, FAMILIES[version])
    found = _problem(operation, errno.EPROTONOSUPPORT, "Protocol not supported")
    assert isinstance(found, MissingError)
    assert found.what == f"this kernel has no {missing}"
    assert found.remedy == f"load it: modprobe {module} (kernel option {option})"


def test_no_permission_is_said_of_listings_too():
    found = _problem(Operation(0, 0, b"", "list"), errno.EPERM, "Operation not permitted")
    assert isinstance(found, MissingError) and "to read or change" in found.what and "root" in found.remedy
