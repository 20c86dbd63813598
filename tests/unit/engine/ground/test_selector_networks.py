# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Address ranges as networks; the standard library's search judges. And what is no protocol or port of one."""

from __future__ import annotations

import ipaddress

import pytest
from engine.errors import InputError
from engine.selector import Selector, parse_selector
from hypothesis import given
from hypothesis import strategies as st


def searched(selector: Selector) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    first, last = ipaddress.ip_address(selector.first), ipaddress.ip_address(selector.last)
    return list(ipaddress.summarize_address_range(first, last))


@given(st.sampled_from([4, 16]), st.data())
def test_any_range(octets: int, data: st.DataObject) -> None:
    number = st.binary(min_size=octets, max_size=octets)
    selector = Selector(*sorted((data.draw(number), data.draw(number))))
    assert selector.networks() == searched(selector)


@given(st.binary(min_size=4, max_size=4), st.integers(0, 32))
def test_any_network(address: bytes, prefix: int) -> None:
    network = ipaddress.IPv4Network((address, prefix), strict=False)
    assert Selector.from_network(network).networks() == [network]


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("0.0.0.0/0", 1),
        ("::/0", 1),
        ("10.0.0.1-10.0.0.1", 1),
        ("10.0.0.0-10.0.0.255", 1),
        ("10.0.0.1-10.0.0.2", 2),  # as many as a /31, but across its border
        ("10.0.0.128-10.0.1.127", 2),
        ("2001:db8::-2001:db8::ff", 1),
    ],
)
def test_borders(text: str, count: int) -> None:
    selector = parse_selector(text)
    assert selector.networks() == searched(selector)
    assert len(selector.networks()) == count


@pytest.mark.parametrize("transport", ["²", "٣", "9" * 5000, "tcp/²", "tcp/1-²", "tcp/" + "9" * 5000, "256", "-1"])
def test_what_is_no_protocol_or_port_is_refused(transport: str) -> None:
    with pytest.raises(InputError, match=r"^field: (unknown protocol|bad port)"):
        parse_selector(f"10.0.0.0/8[{transport}]", "field")
