# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Identities in the XML of ikedb: of phase 1 ends, and of what phase 2 protects."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable

from .. import dn
from ..definition.peer import is_name
from ..errors import InputError
from ..identity import ID_DER_ASN1_DN, ID_FQDN, ID_IPV4_ADDR, ID_IPV6_ADDR, ID_KEY_ID, ID_RFC822_ADDR, Identity
from ..selector import Selector, parse_selector
from .report import IGNORED, Entry, refuse
from .xml_reader import Element, escaped

_TAGS = {
    ID_IPV4_ADDR: "IPV4_Address", ID_IPV6_ADDR: "IPV6_Address", ID_FQDN: "FQDN", ID_RFC822_ADDR: "User_FQDN",
    ID_DER_ASN1_DN: "ASN1_DN", ID_KEY_ID: "KEY_ID",
}  # fmt: skip
_PREFIXES = {"FQDN": "fqdn", "User_FQDN": "email", "ASN1_DN": "dn", "KEY_ID": "keyid"}
_ADDRESSES = ("IPV4_Address", "IPV6_Address")
_TRANSPORT = ("Protocol", "Port", "EndPort")
GROUPS = ("IKEGroupRef", "Group", "IKEGroup")

End = dict[str, str]


def read_end(element: Element) -> End:
    """``id`` and, where it is told, ``address`` of a phase 1 end; its first identity.

    :raises Refused: an identity that is none.
    """
    _check_one(element)
    for child in element.children:
        tag = child.tag.removeprefix("PK_")
        if tag in _ADDRESSES:
            address = _address(child)
            return {"id": address, "address": address}
        if tag in _PREFIXES:
            return _named(child, tag)
    raise refuse(element.entry(), "has no identity", f"give it one of {', '.join(_TAGS.values())}")


def _check_one(element: Element) -> None:
    """Refuse identities that would be passed over.

    :raises Refused: there is more than one.
    """
    if len(element.children) > 1:
        raise refuse(element.children[1].entry(), "is one identity too many", "make a tunnel for each")


def _named(child: Element, tag: str) -> End:
    value = child.attributes.get("Value", "").strip()
    typed = f"{_PREFIXES[tag]}:{value}"
    try:
        identity = Identity.parse(typed)
    except InputError as problem:
        raise refuse(child.entry("Value"), problem.problem, problem.remedy) from None
    # Names are written plainly wherever that means the same.
    end = {"id": value if tag != "KEY_ID" and _plainly(value) == identity else typed}
    for inner in child.children:
        if inner.tag in _ADDRESSES:
            end["address"] = _address(inner)
    return end


def _plainly(value: str) -> Identity | None:
    try:
        return Identity.parse(value)
    except InputError:
        return None


def _address(element: Element) -> str:
    text = element.attributes.get("Value", "")
    try:
        address = ipaddress.ip_address(text.strip())
    except ValueError:
        address = None
    if address is None or f"IPV{address.version}_Address" != element.tag.removeprefix("PK_"):
        raise refuse(element.entry("Value"), f"is no address of {element.tag}", "write an address")
    return str(address)


def write_end(end: dict[str, str | None]) -> str:
    """A phase 1 end as XML on one line."""
    identity = Identity.parse(str(end["id"]))
    address = end.get("address")
    # An interface after % is for this host alone.
    inner = address.partition("%")[0] if address and not is_name(address) else None
    tag = _TAGS[identity.type]
    if identity.type in (ID_IPV4_ADDR, ID_IPV6_ADDR):
        return f'<{tag} Value="{identity}"/>'
    value = escaped(_value(identity))
    if inner is None:
        return f'<{tag} Value="{value}"/>'
    kind = f"IPV{ipaddress.ip_address(inner).version}_Address"
    return f'<{tag} Value="{value}"><{kind} Value="{inner}"/></{tag}>'


def _value(identity: Identity) -> str:
    if identity.type == ID_DER_ASN1_DN:
        return dn.text_of(identity.data) or identity.data.hex()
    if identity.type == ID_KEY_ID:
        return str(identity).removeprefix("keyid:")
    return identity.data.decode("utf-8", "replace")


def read_selector(element: Element, tell: Callable[[Entry, str, str], None]) -> str:
    """What a phase 2 identity protects, as a selector's text.

    :param tell: takes what is to be told of it: (entry, severity, what happens instead).
    :raises Refused: it is none.
    """
    _check_one(element)
    for attribute in element.attributes:
        if attribute not in _TRANSPORT:
            remedy = f"known are: {', '.join(_TRANSPORT)}"
            raise refuse(element.entry(attribute), "is not an attribute of it, and may say what is protected", remedy)
    for child in element.children:
        kind, slash, rest = child.tag.partition("_")
        if kind in ("IPV4", "IPV6") and slash:
            entry = child.entry("Value")
            text = _network(child, rest)
            network = _cut(text)
            if network != text:
                tell(entry, IGNORED, f"{text} has host bits, {network} is meant")
                text = network
            try:
                selector = parse_selector(text + _transport(element))
            except InputError as problem:
                raise refuse(entry if entry.value else child.entry(), problem.problem, problem.remedy) from None
            if f"IPV{selector.family}" != kind:
                raise refuse(entry, f"is not of {child.tag}", "write an address of that family")
            return str(selector)
    raise refuse(element.entry(), "has no identity", "give it an address, a subnet or a range")


def _cut(text: str) -> str:
    """A subnet without the host bits that AIX forgives; any other text as it is."""
    if "/" not in text:
        return text
    try:
        interface = ipaddress.ip_interface(text)
    except ValueError:
        return text
    return str(interface.network) if interface.ip != interface.network.network_address else text


def _network(child: Element, kind: str) -> str:
    given = child.attributes
    if kind == "Address":
        return given.get("Value", "")
    if kind == "Subnet":
        return f"{given.get('Value', '')}/{given.get('Netmask', given.get('PrefixLength', ''))}"
    if kind == "Address_Range":
        return f"{given.get('From_IPAddr', '')}-{given.get('To_IPAddr', '')}"
    raise refuse(child.entry(), "is no identity of phase 2", "give an address, a subnet or a range")


def _transport(element: Element) -> str:
    protocol = element.attributes.get("Protocol", "0").lower()
    low = int(element.attributes.get("Port", "0"))
    high = int(element.attributes.get("EndPort", "65535"))
    if not low and high in (0, 65535):
        return "" if protocol in ("0", "any", "all") else f"[{protocol}]"
    return f"[{protocol}/{low}-{high}]" if low != high else f"[{protocol}/{low}]"


def write_selector(tag: str, text: str) -> str:
    """A selector as the XML of a phase 2 identity, on one line."""
    selector = parse_selector(text)
    ports = f'Protocol="{selector.protocol}" Port="{selector.first_port}" EndPort="{selector.last_port}"'
    return f"<{tag} {ports}>{_range(selector)}</{tag}>"


def _range(selector: Selector) -> str:
    family = f"IPV{selector.family}"
    networks = selector.networks()
    first, last = ipaddress.ip_address(selector.first), ipaddress.ip_address(selector.last)
    if first == last:
        return f'<{family}_Address Value="{first}"/>'
    if len(networks) > 1:
        return f'<{family}_Address_Range From_IPAddr="{first}" To_IPAddr="{last}"/>'
    mask = networks[0].netmask if selector.family == 4 else networks[0].prefixlen
    return f'<{family}_Subnet Value="{first}" Netmask="{mask}"/>'
