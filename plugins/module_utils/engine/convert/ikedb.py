# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The XML of AIX's ikedb into definitions."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from ..definition.options import CHILD, DEFINITION
from ..identity import Identity
from . import algorithms
from . import ikedb_words as words
from .assemble import Draft, finish, version
from .ikedb_identities import GROUPS, End, read_end, read_selector
from .ikedb_remarks import apply
from .keys import SharedKey, decoded, of_text
from .report import IGNORED, LOST, SKIPPED, Conversion, Entry, Refused, Report, Unfit, refuse
from .rows import Part, Reader, Rows
from .xml_reader import Element, read

FORMAT = "ikedb"
_OWNER_TAGS = ("IKEPresharedRemoteID", "IKEPresharedLocalID", "IKERemoteIdentity", "IKELocalIdentity")
_PSK = ("preshared_key", "preshared", "psk", "pre_shared_key")


class Database:
    """The elements of one or several files, by name.

    What is wrong with one of them loses the tunnels that name it, and no other.

    :raises Refused: a file is none of ikedb.
    """

    _NAMES = {
        "IKEProtection": "IKE_ProtectionName",
        "IKETunnel": "IKE_TunnelName",
        "IPSecProposal": "IPSec_ProposalName",
        "IPSecProtection": "IPSec_ProtectionName",
        "IPSecTunnel": "IPSec_TunnelName",
        "IKEGroup": "IKE_GroupName",
    }

    def __init__(self, roots: list[Element], report: Report) -> None:
        self.named: dict[str, dict[str, Element]] = {tag: {} for tag in self._NAMES}
        self.keys: list[Element] = []
        self._faults: dict[tuple[str, str], Refused] = {}
        for root in roots:
            if root.tag != words.ROOT:
                raise refuse(root.entry(), "is not the element of ikedb", f"the outermost element is {words.ROOT}")
            for element in root.children:
                self._add(element, report)

    def _add(self, element: Element, report: Report) -> None:
        if element.tag == "IKEPresharedKey":
            self.keys.append(element)
            return
        if element.tag not in self._NAMES:
            report.tell(element.entry(), LOST, "is not an element that this converter knows")
            return
        attribute = self._NAMES[element.tag]
        name = element.attributes.get(attribute, "").strip()
        if not name:
            report.tell(element.entry(), SKIPPED, f"has no {attribute}", "give it")
        elif name in self.named[element.tag]:
            fault = refuse(element.entry(attribute), "is used twice", "give each its own name")
            self._faults[element.tag, name] = fault
        else:
            self.named[element.tag][name] = element
            try:
                check_values(element)
            except Refused as refused:
                self._faults[element.tag, name] = refused

    def get(self, tag: str, element: Element, attribute: str) -> Element:
        """The element that an attribute names.

        :raises Refused: there is none of that name, or something is wrong with it.
        """
        return self.find(tag, _required(element, attribute), element.entry(attribute))

    def find(self, tag: str, name: str, where: Entry) -> Element:
        """The element of that name; ``where`` it is named.

        :raises Refused: as :meth:`get`.
        """
        found = self.named[tag].get(name)
        if found is None:
            raise refuse(where, f"names {tag} {name}, which is not there", "define it in the same file")
        self.check(tag, name)
        return found

    def check(self, tag: str, name: str) -> None:
        """Refuse the element of that name where something is wrong with it.

        :raises Refused: so it is.
        """
        if (tag, name) in self._faults:
            raise self._faults[tag, name]


def check_values(element: Element) -> None:
    """Refuse values that cannot be, in the whole element.

    :raises Refused: there is one.
    """
    for attribute, value in element.attributes.items():
        remedy = words.fault(attribute, value)
        if remedy is not None:
            raise refuse(element.entry(attribute), "is not a value of it", remedy)
    for child in element.children:
        check_values(child)


def _required(element: Element, attribute: str) -> str:
    value = element.attributes.get(attribute, "").strip()
    if not value:
        raise refuse(element.entry(), f"has no {attribute}", "give it")
    return value


def convert(
    sources: Sequence[tuple[str, str]],
    report: Report,
    keys: Sequence[SharedKey] = (),
    upgrade: bool = False,
    group_refused: str = "",
) -> Conversion:
    """The tunnels of a database.

    :param sources: (text, path) of each file; they may name each other's elements.
    :param keys: besides those in the files.
    :param upgrade: whether phase 1 tunnels of main or aggressive mode become tunnels of IKEv2.
    :param group_refused: why a group as the peer is refused, empty where it is not.
    :raises InputError: it is no such file.
    """
    database = Database([read(text, path) for text, path in sources], report)
    keys = [*keys, *_keys(database, report)]
    made = drafts(database, report, upgrade, group_refused)
    return Conversion(FORMAT, finish(made, keys, report), tuple(report.notes))


def drafts(database: Database, report: Report, upgrade: bool = False, group_refused: str = "") -> list[Draft]:
    """What the tunnels say, before it is checked; without those that cannot be read, of which is told."""
    of_phase_1: dict[str, list[Element]] = {name: [] for name in database.named["IKETunnel"]}
    for name, element in database.named["IPSecTunnel"].items():
        phase_1 = element.attributes.get("IKE_TunnelName", "").strip()
        if phase_1 in of_phase_1:
            of_phase_1[phase_1].append(element)
        else:
            instead = f"names IKETunnel {phase_1}, which is not there" if phase_1 else "has no IKE_TunnelName"
            report.tell(element.entry("IKE_TunnelName"), SKIPPED, instead, "define it in the same file", name)
    made: list[Draft] = []
    for name, element in database.named["IKETunnel"].items():
        try:
            database.check("IKETunnel", name)
            made += _tunnels(name, element, of_phase_1[name], database, report, upgrade, group_refused)
        except Refused as refused:
            report.tell(*refused.told(), tunnel=name)
    return made


def _tunnels(
    name: str,
    element: Element,
    children: list[Element],
    database: Database,
    report: Report,
    upgrade: bool,
    group_refused: str,
) -> Iterator[Draft]:
    """A tunnel, or one for each member of the group that is its peer."""
    protection = database.get("IKEProtection", element, "IKE_ProtectionRef")
    local = read_end(_child(element, "IKELocalIdentity"))
    remote = _child(element, "IKERemoteIdentity")
    peers, group = _peers(remote, database)
    if group and group_refused:
        raise refuse(element.entry("IKE_TunnelName"), f"has the group {group} as its peer", group_refused)
    for number, peer in enumerate(peers, 1):
        draft = Draft(f"{name}-{number}" if group else name, element.entry("IKE_TunnelName"), report)
        draft.document |= {"local": dict(local), "remote": dict(peer)}
        if group:
            draft.document["groups"] = [re.sub(r"[^A-Za-z0-9_.:@-]", "_", group)]
        _tell_others(draft, element, ("IKELocalIdentity", "IKERemoteIdentity"))
        _protect(draft, protection, upgrade)
        _flags(draft, words.TUNNEL, element, {"IKE_TunnelName", "IKE_ProtectionRef", "IKE_Flags_AutoStart"})
        if _is_set(element, "IKE_Flags_AutoStart") and not any(_starts(child) for child in children):
            instead = "no phase 2 tunnel starts by itself, so phase 1 does not either"
            draft.tell(element.entry("IKE_Flags_AutoStart"), LOST, instead, "let a phase 2 tunnel start by itself")
        apply(draft, element, DEFINITION)
        for child in children:
            _phase_2(draft, name, child, peer if group else None, database)
        yield draft


def _child(element: Element, tag: str) -> Element:
    found = list(element.all(tag))
    if not found:
        raise refuse(element.entry(), f"has no {tag}", "give it")
    if len(found) > 1:
        raise refuse(found[1].entry(), "stands there twice", "make a tunnel for each")
    return found[0]


def _tell_others(part: Part, element: Element, tags: tuple[str, ...]) -> None:
    """Tell of elements that are not read where they stand."""
    for child in element.children:
        if child.tag not in tags:
            part.tell(child.entry(), LOST, f"has no meaning within {element.tag}", "put it where it belongs")


def _peers(remote: Element, database: Database) -> tuple[list[End], str]:
    """The peers, and the name of the group that they are."""
    for tag in GROUPS:
        reference = remote.first(tag)
        if reference is not None:
            name = next((value for value in reference.attributes.values() if value.strip()), "").strip()
            group = database.find("IKEGroup", name, reference.entry())
            return [_member(child, group) for child in group.children], name
    return [read_end(remote)], ""


def _member(child: Element, group: Element) -> End:
    return read_end(Element(group.tag, group.file, child.line, {}, [child]))


def _flags(part: Part, rows: Rows, element: Element, taken: set[str]) -> None:
    """Do with every attribute that is not read elsewhere what its row says."""
    for attribute in element.attributes:
        if attribute not in taken:
            part.take(rows, attribute, element.entry(attribute))


def _protect(draft: Draft, protection: Element, upgrade: bool) -> None:
    """The phase 1 policy."""
    mode = protection.attributes.get("IKE_XCHGMode", "Main")
    one = mode.lower() in ("main", "aggressive")
    version(protection.entry("IKE_XCHGMode"), draft, 1 if one else 2, upgrade)
    _flags(draft, words.PROTECTION, protection, {"IKE_ProtectionName", "IKE_XCHGMode"})
    transforms = list(protection.all("IKETransform"))
    taken = {"IKE_AuthenticationMethod", "IKE_Encryption", "IKE_Hash", "IKE_PRF", "IKE_DHGroup"}
    proposals: list[str] = []
    lifetimes = set()
    others = 0
    for transform in transforms:
        method = transform.attributes.get("IKE_AuthenticationMethod", "Preshared_key").lower().replace(" ", "_")
        if method not in _PSK:
            others += 1
            severity = LOST if others < len(transforms) else SKIPPED
            where = transform.entry("IKE_AuthenticationMethod")
            draft.tell(
                where, severity, "only pre-shared keys are taken over", "agree on a pre-shared key with the peer"
            )
            continue
        spoken = _proposal(draft, transform, _ike_text(transform), algorithms.ike())
        if spoken:
            proposals += spoken
            lifetimes.add(transform.attributes.get("IKE_KeyRefreshMinutes", "0"))
            _flags(draft, words.TRANSFORM, transform, taken)
    if len(lifetimes) > 1:
        draft.tell(protection.entry(), LOST, "one lifetime counts for all transforms, the last")
    if proposals:
        draft.document.setdefault("ike", {})["proposals"] = list(dict.fromkeys(proposals))
    elif transforms and not draft.skipped:
        draft.tell(protection.entry(), SKIPPED, "none of its transforms is spoken here", "choose newer algorithms")


def _ike_text(transform: Element) -> str:
    """A transform in the words of a proposal."""
    given = transform.attributes
    group = _groups(given.get("IKE_DHGroup", ""))
    function = given.get("IKE_PRF", "").replace("-", "_")
    parts = [given.get("IKE_Encryption", "").replace("-", "_"), given.get("IKE_Hash", "").replace("-", "_")]
    return "-".join([*parts, *([f"prf{function.removeprefix('PRF_')}"] if function else []), *group])


def _groups(text: str) -> list[str]:
    """Diffie-Hellman groups as words of a proposal."""
    numbers = [int(number) for number in re.findall(r"\d+", text)]
    return [algorithms.group(number) or f"group{number}" for number in numbers if number]


def _proposal(part: Part, element: Element, text: str, reader: Reader) -> list[str]:
    """What a reader makes of a transform; nothing, and a note, where it can make nothing."""
    where = Entry(element.tag, text, element.file, element.line)
    try:
        return list(reader(text, lambda *told: part.tell(where, *told)))
    except Unfit as unfit:
        part.tell(where, LOST, f"the transform is left out, {unfit.instead}", unfit.remedy)
        return []


def _phase_2(draft: Draft, tunnel: str, element: Element, member: End | None, database: Database) -> None:
    """A phase 2 tunnel as a child; ``member`` where it is for one of a group."""
    name = element.attributes["IPSec_TunnelName"].strip()
    child = draft.child(name.removeprefix(f"{tunnel}:") or name, element.entry("IPSec_TunnelName"))
    flags = {
        "auto": _is_set(element, "IPSec_Flags_AutoStart"),
        "trap": _is_set(element, "IPSec_Flags_OnDemand"),
    }
    child.document["start"] = next((start for start, flag in flags.items() if flag), "manual")
    taken = {
        "IPSec_TunnelName",
        "IKE_TunnelName",
        "IPSec_ProtectionRef",
        "IPSec_Flags_AutoStart",
        "IPSec_Flags_OnDemand",
    }
    _flags(child, {}, element, taken)
    try:
        _fill(child, name, element, member, database)
    except Refused as refused:
        child.tell(*refused.told())


def _fill(child: Part, name: str, element: Element, member: End | None, database: Database) -> None:
    """What a child protects, and how.

    :raises Refused: it cannot be read.
    """
    database.check("IPSecTunnel", name)
    _tell_others(child, element, ("IPSecLocalIdentity", "IPSecRemoteIdentity"))
    for side, tag in (("local", "IPSecLocalIdentity"), ("remote", "IPSecRemoteIdentity")):
        identity = _child(element, tag)
        if side == "remote" and member is not None and any(identity.first(group) for group in GROUPS):
            if "address" not in member:
                child.tell(identity.entry(), SKIPPED, "this member of the group has no address", "give it one")
            else:
                child.document[side] = [member["address"]]
        else:
            child.document[side] = [read_selector(identity, child.tell)]
    _protect_child(child, database.get("IPSecProtection", element, "IPSec_ProtectionRef"), database)
    apply(child, element, CHILD)


def _starts(element: Element) -> bool:
    return _is_set(element, "IPSec_Flags_AutoStart")


def _is_set(element: Element, attribute: str) -> bool:
    return element.attributes.get(attribute, "No").lower() in ("yes", "1", "true")


def _protect_child(child: Part, protection: Element, database: Database) -> None:
    """The phase 2 policy."""
    taken = {"IPSec_ProtectionName", "IPSec_ProposalRefs", "IPSec_InitiatorDHGroup", "IPSec_Flags_UseLifeSize"}
    responder = protection.attributes.get("IPSec_ResponderDHGroup", "")
    groups = _groups(protection.attributes.get("IPSec_InitiatorDHGroup", ""))
    same = _groups(responder) == groups
    _flags(child, words.IPSEC_PROTECTION, protection, taken | ({"IPSec_ResponderDHGroup"} if same else set()))
    proposals: list[str] = []
    spoken: list[Element] = []
    named = [
        database.find("IPSecProposal", name, protection.entry("IPSec_ProposalRefs"))
        for name in re.split(r"[\s,]+", _required(protection, "IPSec_ProposalRefs"))
    ]
    seen = [element for proposal in named for element in proposal.children]
    ah = bool(seen) and all(element.tag == "IPSecAHProtocol" for element in seen)
    for element in seen:
        made = _ah(child, element, groups) if ah else _esp(child, element, groups)
        proposals += made
        spoken += [element] if made else []
    if ah:
        child.document["protocol"] = "ah"
    prefix = "AH_" if ah else "ESP_"
    for option, default in words.OF_ALL.items():
        values = {element.attributes.get(prefix + option, default).lower() for element in spoken}
        if len({value.removeprefix(prefix.lower()) for value in values}) > 1:
            child.tell(spoken[-1].entry(prefix + option), LOST, "one counts for all proposals, the last that is given")
    size = child.document.pop("lifetime_bytes", 0)
    if size and _is_set(protection, "IPSec_Flags_UseLifeSize"):
        child.document["lifetime_bytes"] = size
    elif size:
        child.tell(protection.entry("IPSec_Flags_UseLifeSize"), IGNORED, "the size in the proposals does not count")
    if proposals:
        child.document["proposals"] = list(dict.fromkeys(proposals))
    elif seen and not child.skipped:
        child.tell(protection.entry(), SKIPPED, "none of its proposals is spoken here", "choose newer algorithms")


def _ah(child: Part, element: Element, groups: list[str]) -> list[str]:
    """AH of a proposal as words."""
    text = "-".join([element.attributes.get("AH_Authentication", "").replace("-", "_"), *groups])
    made = _proposal(child, element, text, algorithms.ah())
    if made:
        _flags(child, words.AH, element, {"AH_Authentication"})
    return made


def _esp(child: Part, element: Element, groups: list[str]) -> list[str]:
    """ESP of a proposal as words."""
    if element.tag != "IPSecESPProtocol":
        child.tell(element.entry(), LOST, "ESP alone is offered", "write one of both at both ends")
        return []
    given = element.attributes
    parts = [
        given.get("ESP_Encryption", "").upper().removeprefix("ESP_").replace("-", "_"),
        given.get("ESP_Authentication", "").replace("-", "_"),
        *groups,
    ]
    if "ESP_ExtendedSeqNum" in given:
        parts += ["esn", "noesn"] if _is_set(element, "ESP_ExtendedSeqNum") else ["noesn"]
    made = _proposal(child, element, "-".join(part for part in parts if part), algorithms.esp())
    if made:
        _flags(child, words.ESP, element, {"ESP_Encryption", "ESP_Authentication", "ESP_ExtendedSeqNum"})
    return made


def _keys(database: Database, report: Report) -> list[SharedKey]:
    found = []
    for element in database.keys:
        place = Entry("IKEPresharedKey", "", element.file, element.line, secret=True)
        text = element.attributes.get("Value", "")
        is_hex = element.attributes.get("Format", "ASCII").lower() == "hex"
        try:
            check_values(element)
            owners = tuple(Identity.parse(end["id"]).key for end in _owners(element))
            key = decoded(f"0x{text.removeprefix('0x')}") if is_hex else of_text(text)
        except Unfit as unfit:
            report.tell(place, LOST, unfit.instead, unfit.remedy)
        except Refused as refused:
            where = replace(refused.entry, secret=True)  # it stands where a key does
            report.tell(where, LOST, f"the key is not taken, {refused.problem}", refused.remedy)
        else:
            if not owners:
                report.tell(place, IGNORED, "it belongs to nobody, so that it fits every tunnel")
            found.append(SharedKey(place, owners, key))
    return found


def _owners(element: Element) -> Iterator[End]:
    """The identities of a key: its children, or theirs."""
    for child in element.children:
        inner = child.children if child.tag in _OWNER_TAGS else [child]
        for each in inner:
            yield read_end(Element(element.tag, element.file, each.line, {}, [each]))
