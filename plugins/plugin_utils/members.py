# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the inventory says of one gateway (``fleet_ipsec``) or of an external peer, checked and made canonical."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from typing import Any, TypedDict

from ansible_collections.fleet.ipsec.plugins.module_utils.engine.definition.bypass import read_bypass
from ansible_collections.fleet.ipsec.plugins.module_utils.engine.definition.formats import FORMATS
from ansible_collections.fleet.ipsec.plugins.module_utils.engine.definition.options import CHILD, DEFINITION
from ansible_collections.fleet.ipsec.plugins.module_utils.engine.definition.ppks import PPK, read_ppks
from ansible_collections.fleet.ipsec.plugins.module_utils.engine.definition.schema import conform
from ansible_collections.fleet.ipsec.plugins.module_utils.engine.definition.secret_formats import read_secret
from ansible_collections.fleet.ipsec.plugins.module_utils.engine.definition.table import BASE64, HEX, PSK, TEXT
from ansible_collections.fleet.ipsec.plugins.module_utils.engine.errors import InputError
from ansible_collections.fleet.ipsec.plugins.module_utils.engine.foreign_identities import foreign
from ansible_collections.fleet.ipsec.plugins.module_utils.engine.identity import Identity

from .booleans import flag
from .networks import Network
from .problems import Problems, unknown_keys

# What a member may say about itself.
HOST_KEYS = (
    "address",
    "local_address",
    "id",
    "networks",
    "nat",
    "dynamic",
    "check_address",
    "profile",
    "ike",
    "child",
    "bypass",
)
# An external peer has no NAT of ours to care for, but a secret that was agreed upon.
PEER_KEYS = ("address", "id", "networks", "dynamic", "check_address", "port", "profile", "ike", "child", "auth")
# Of a tunnel's options those that two ends may agree upon, by the variable that holds them.
IKE_KEYS = tuple(DEFINITION["properties"]["ike"]["properties"])
# What is agreed upon with somebody else is derived from no seed.
AUTH_KEYS = tuple(key for key in DEFINITION["properties"]["auth"]["properties"] if key != "epoch")
# Whom a child protects comes of the networks.
CHILD_KEYS = tuple(key for key in CHILD["properties"] if key not in ("name", "local", "remote"))


# Lists that stand for something when left out, so that an empty one would mean that: what, and what to write.
_LISTS = {
    "networks": ("the member itself", "[NETWORK, …]"),
    "check_address": ("the first addresses of its networks", "ADDRESS or [ADDRESS, …]"),
    "bypass": ("local_links", "local_links, none or [NETWORK, …]"),
}
# The variables that hosts and external peers are written in.
_HOST, _PEER = "fleet_ipsec of {}", "fleet_ipsec_external_peers.{}"


class Member(TypedDict):
    """A gateway or an external peer in canonical form, as a play keeps it: texts and plain values.

    :ivar address: that peers reach it by, None where it has no fixed one; ``local_address``: that it has itself.
    :ivar moving: whether nobody can reach it before it speaks.
    :ivar check_addresses: who answers pings behind it; ``check_address`` the first of them.
    :ivar bypass: what passes by its tunnels, None where nothing was said.
    """

    name: str
    external: bool
    address: str | None
    local_address: str | None
    id: str
    networks: list[str]
    moving: bool
    port: int | None
    check_address: str | None
    check_addresses: list[str]
    profile: Any
    ike: dict[str, Any]
    child: dict[str, Any]
    bypass: list[str] | None


def member_networks(members: Mapping[str, Member], names: Iterable[str]) -> list[Network]:
    """The networks of some members, in order."""
    return [ipaddress.ip_network(text) for name in names for text in members[name]["networks"]]


def variable_of(member: Member) -> str:
    """The variable that a member is written in, by its name and whose it is."""
    return _PEER.format(member["name"]) if member["external"] else _HOST.format(member["name"])


def read_host(host: str, given: Any, problems: Problems) -> Member | None:
    """One gateway of the fleet, or None if it is unusable."""
    variable = _HOST.format(host)
    if given is None:
        problems.add(
            f"{host} is a member of a community but has no fleet_ipsec",
            f"define fleet_ipsec: {{address: …, id: …, networks: [...]}} in host_vars/{host}.yml, "
            "or take the host out of the community",
        )
        return None
    return _read(host, variable, given, HOST_KEYS, problems)


def read_peer(name: str, given: Any, problems: Problems) -> Member | None:
    """One external peer, or None if it is unusable; its secret stays where it is."""
    variable = _PEER.format(name)
    member = _read(name, variable, given, PEER_KEYS, problems)
    if member is None:
        return None
    auth = given.get("auth")
    if isinstance(auth, Mapping) and (auth.get("method") or PSK) != PSK:
        return {**member, "external": True}  # what belongs to another method its gateway checks, which has the files
    if not isinstance(auth, Mapping) or not auth.get("secret"):
        problems.add(
            f"external peer {name} has no credential: the seed of the fleet is not shared with others",
            f"set {variable}.auth: {{secret: …}} (vaulted)",
            given,
        )
        return None
    _check_secret(f"{variable}.auth", auth, problems)
    _check_ppks(f"{variable}.auth.{PPK}", auth.get(PPK), problems)
    return {**member, "external": True}


def _check_secret(variable: str, auth: Mapping[str, Any], problems: Problems) -> None:
    """Whether the key of an external peer is written as it says."""
    form = auth.get("secret_format") or TEXT
    if form not in (TEXT, HEX, BASE64):
        problems.add(f"{variable}.secret_format is none that there is", f"write {TEXT}, {HEX} or {BASE64}", form)
        return
    try:
        read_secret(str(auth["secret"]), form, f"{variable}.secret")
    except InputError as error:
        problems.add(f"{variable}.secret {error.problem}", error.remedy, auth["secret"])


def _check_ppks(variable: str, given: Any, problems: Problems) -> None:
    """Whether the post-quantum preshared keys of an external peer are written as the manager takes them."""
    if given is None:
        return
    found: list[InputError] = []
    ppks = conform(given, DEFINITION["properties"]["auth"]["properties"][PPK], variable, found, FORMATS)
    if not found:
        read_ppks(ppks, variable, found)
    for error in found:
        problems.add(f"{error.field} {error.problem}", error.remedy, given)


def _read(name: str, variable: str, given: Any, keys: tuple[str, ...], problems: Problems) -> Member | None:
    if not isinstance(given, Mapping):
        problems.add(f"{variable} is not a dictionary", "write {address: …, id: …, networks: [...]}", given)
        return None
    before = problems.count
    _check_keys(variable, given, keys, problems)
    given = _without_empty(variable, given, problems)
    for key, known in (("ike", IKE_KEYS), ("child", CHILD_KEYS), ("auth", AUTH_KEYS)):
        if isinstance(given.get(key), Mapping):
            _check_keys(f"{variable}.{key}", given[key], known, problems)
    nat, dynamic = (flag(variable, key, given, problems) for key in ("nat", "dynamic"))
    address = _address(variable, "address", given, problems)
    if address is None and given.get("address") is None and not dynamic and not nat:
        problems.add(
            f"{variable}.address is missing",
            "give the address that peers reach it by, or dynamic: true if it has no fixed one",
            given,
        )
    local = _address(variable, "local_address", given, problems)
    if address is not None and local is not None and address.version != local.version:
        remedy = "give both an IPv4 or both an IPv6 address"
        problems.add(
            f"{variable}: local_address is not of the family of address", remedy, given["local_address"], given
        )
    checks = _addresses(variable, "check_address", given, problems)
    identity = _identity(variable, given, address, problems)
    bypass = _bypass(variable, given, problems)
    networks = _networks(variable, given, address, problems)
    if problems.count > before:
        return None
    return {
        "name": name,
        "external": False,
        # A dynamic address may be told for the record, but nobody can rely on it.
        "address": None if dynamic or address is None else str(address),
        "local_address": str(local) if local else None if nat or dynamic or address is None else str(address),
        "id": identity,
        "networks": [str(network) for network in networks],
        "moving": nat or dynamic,
        "port": given.get("port"),
        "check_address": checks[0] if checks else None,
        "check_addresses": checks,
        "profile": given.get("profile"),
        "ike": dict(given.get("ike") or {}),
        "child": dict(given.get("child") or {}),
        "bypass": bypass,
    }


def _check_keys(variable: str, given: Mapping[Any, Any], known: tuple[str, ...], problems: Problems) -> None:
    for key, remedy in unknown_keys(given, known):
        # What is nearly no key of those that hold a secret may be the secret itself.
        shown = "" if "secret" in known and not remedy.startswith("did you mean") else f" {key!r}"
        problems.add(f"{variable} has an unknown key{shown}", remedy, key, given)


def _without_empty(variable: str, given: Mapping[str, Any], problems: Problems) -> Mapping[str, Any]:
    """Refuse lists that are there and say nothing, and go on without them: a template that was not filled.

    A key of nothing is one that was left out, but for networks: with them go the policies that protect their packets.
    """
    empty = {
        key
        for key in _LISTS.keys() & given.keys()
        if given[key] in ("", [], (), [None], [""]) or (given[key] is None and key == "networks")
    }
    for key in sorted(empty):
        meant, words = _LISTS[key]
        remedy = f"write {key}: {words}; if {meant} is meant, leave {key} out"
        problems.add(f"{variable}.{key} is empty (got {given[key]!r})", remedy, given[key], given)
    return {key: value for key, value in given.items() if key not in empty} if empty else given


def _address(variable: str, key: str, given: Mapping[str, Any], problems: Problems) -> Any:
    value = given.get(key)
    if value is None:
        return None
    try:
        return ipaddress.ip_address(str(value).strip())
    except ValueError:
        remedy = "write an address such as 203.0.113.9 or 2001:db8::9"
        problems.add(f"{variable}.{key} is not an IP address (got {str(value)!r})", remedy, value, given)
        return None


def _addresses(variable: str, key: str, given: Mapping[str, Any], problems: Problems) -> list[str]:
    """One address or a list of them."""
    value = given.get(key)
    values = value if isinstance(value, (list, tuple)) else [value]
    found = (_address(variable, key, {key: each}, problems) for each in values)
    return [str(address) for address in found if address is not None]


def _identity(variable: str, given: Mapping[str, Any], address: Any, problems: Problems) -> str:
    value = given.get("id")
    if value is None:
        if address is None and not given.get("address"):
            problems.add(f"{variable}.id is missing", "give an identity such as gw.example.net", given)
        return str(address)
    try:
        Identity.parse(str(value))
    except InputError as error:
        problems.add(f"{variable}.id: {error.problem} (got {str(value)!r})", error.remedy, value, given)
    else:
        found = foreign(str(value))
        if found is not None:
            problems.add(f"{variable}.id {found.problem} (got {str(value)!r})", found.remedy, value, given)
    return str(value).strip()


def _bypass(variable: str, given: Mapping[str, Any], problems: Problems) -> list[str] | None:
    value = given.get("bypass")
    if value is None:
        return None
    try:
        return read_bypass(value, "bypass")
    except InputError as error:
        problems.add(f"{variable}.bypass {error.problem} (got {error.value!r})", error.remedy, value, given)
        return None


def _networks(variable: str, given: Mapping[str, Any], address: Any, problems: Problems) -> list[Network]:
    value = given.get("networks")
    if value is None:
        # A gateway without networks protects itself.
        if address is not None:
            return [ipaddress.ip_network(str(address))]
        if not given.get("address"):
            problems.add(
                f"{variable} has neither networks nor an address to protect", "give networks: [NETWORK, …]", given
            )
        return []
    if isinstance(value, str) or not isinstance(value, (list, tuple)):
        problems.add(f"{variable}.networks is not a list", "write networks: [NETWORK, …]", value, given)
        return []
    networks = []
    for text in value:
        try:
            networks.append(ipaddress.ip_network(str(text).strip()))
        except ValueError as error:
            problems.add(
                f"{variable}.networks: {error} (got {str(text)!r})", "write a network such as 10.1.0.0/16", text, given
            )
    return networks
