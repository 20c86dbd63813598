# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Definitions as the XML of AIX's ikedb."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from ..definition.parsing import parse_stored
from ..definition.table import SHUNTS
from ..newer_python import zip
from . import ikedb_words as words
from .algorithms import GROUP_NUMBERS
from .ikedb import Database, drafts
from .ikedb_identities import write_end, write_selector
from .ikedb_remarks import remarks
from .paths import tidy
from .report import Report
from .xml_reader import escaped, read

Document = dict[str, Any]

_PLACEHOLDER = "stands for the secret, which is not written"

_HEAD = """\
<?xml version="1.0" encoding="UTF-8"?>
<!-- Tunnels of fleet.ipsec as ikedb writes them. Pre-shared keys are not in here: give them with the import.
     Nor are post-quantum ones: the tunnels that have them are to be defined anew. -->
<AIX_VPN Version="2.0">
"""
_UNKNOWN = "  <!-- AIX knows none of the algorithms of this tunnel -->"
_ROLES = {"both": "Both", "initiator": "Initiator", "responder": "Responder"}


class Block(NamedTuple):
    """An element directly under the root.

    :ivar lines: its text; ``name`` is not escaped.
    """

    tag: str
    name: str
    lines: list[str]


def blocks(documents: Iterable[Document]) -> Iterator[Block]:
    """The elements of these definitions.

    :param documents: canonical, as :attr:`Definition.document`; secrets in them are not written.
    """
    for document in documents:
        # How the ends authenticate is no matter for a remark: it may hold secrets.
        yield from _tunnel({key: value for key, value in document.items() if key != "auth"})


def canonical(document: Document) -> Document:
    """The complete form of a document as converters give it, or as the manager lists it; without secrets.

    :raises Problems: it is no definition.
    """
    return parse_stored({**document, "auth": {"secret": _PLACEHOLDER}}).document


def plain(found: Iterable[Block]) -> Iterator[Block]:
    """The elements in AIX's own words alone."""
    for block in found:
        yield block._replace(lines=[line for line in block.lines if not line.lstrip().startswith(("<?", "<!"))])


def text_of(found: Iterable[Block]) -> str:
    """The elements as a file."""
    body = "".join(f"  {line}\n" for block in found for line in block.lines)
    return f"{_HEAD}{body}</{words.ROOT}>\n"


def write(documents: Iterable[Document]) -> str:
    """The whole database of these definitions."""
    return text_of(blocks(documents))


def _tunnel(document: Document) -> list[Block]:
    """All elements of one tunnel; what the XML cannot say is found out by reading it back."""
    said = _read_back(list(_elements(document, [], [[] for _child in document["children"]])))
    needed = tidy(document)
    own = list(remarks(said, document, needed))
    of_children = [
        list(remarks(heard, child, wanted))
        for heard, child, wanted in zip(said["children"], document["children"], needed["children"], strict=True)
    ]
    return list(_elements(document, own, of_children))


def _read_back(found: list[Block]) -> Document:
    report = Report()
    (draft,) = drafts(Database([read(text_of(found), "")], report), report)
    return {**draft.document, "children": [child.document for child in draft.children]}


def _elements(document: Document, own: list[str], of_children: list[list[str]]) -> Iterator[Block]:
    name = document["name"]
    yield _protection(document, name)
    for child in document["children"]:
        yield from _policy(child, f"{name}:{child['name']}")
    starts = _flag(any(child["start"] == "auto" for child in document["children"]))
    head = f'IKE_TunnelName="{escaped(name)}" IKE_ProtectionRef="{escaped(name)}" IKE_Flags_AutoStart="{starts}"'
    lines = [
        f"<IKETunnel {head}>",
        f"  <IKELocalIdentity>{write_end(document['local'])}</IKELocalIdentity>",
        f"  <IKERemoteIdentity>{write_end(document['remote'])}</IKERemoteIdentity>",
        *(f"  {remark}" for remark in own),
        "</IKETunnel>",
    ]
    yield Block("IKETunnel", name, lines)
    for child, inner in zip(document["children"], of_children, strict=True):
        yield _phase_2(child, name, inner)


def _flag(value: bool) -> str:
    return "Yes" if value else "No"


def _protection(document: Document, name: str) -> Block:
    mode = "IKEv2" if document["ike"]["version"] == 2 else "Main"
    minutes = _minutes(document["ike"]["lifetime"])
    lines = []
    for cipher, integrity, function, group in words.ike_transforms(document["ike"]["proposals"]):
        parts = [f'IKE_Encryption="{words.CIPHERS[cipher]}"']
        parts += [f'IKE_Hash="{words.HASHES[integrity]}"'] if integrity else []
        parts += [f'IKE_PRF="{words.HASHES[function]}"'] if function else []
        parts += [f'IKE_DHGroup="{words.GROUPS[group]}"', f'IKE_KeyRefreshMinutes="{minutes}"']
        lines.append(f'  <IKETransform IKE_AuthenticationMethod="Preshared_key" {" ".join(parts)}/>')
    head = (
        f'<IKEProtection IKE_ProtectionName="{escaped(name)}" IKE_Role="{_ROLES[document["role"]]}" '
        f'IKE_XCHGMode="{mode}" IKE_KeyOverlap="10" IKE_Flags_UseLifeSize="No">'
    )
    return Block("IKEProtection", name, [head, *(lines or [_UNKNOWN]), "</IKEProtection>"])


def _minutes(seconds: int) -> int:
    return max(1, round(seconds / 60))


def _policy(child: Document, name: str) -> Iterator[Block]:
    """The proposals and the policy of a child."""
    protocols, groups = _ah(child) if child["protocol"] == "ah" else _esp(child)
    names = []
    for number, line in enumerate(protocols, 1):
        names.append(f"{name}:{number}")
        yield _proposal(names[-1], line)
    if not names:
        names.append(f"{name}:1")
        yield _proposal(names[0], _UNKNOWN)
    numbers = " ".join(str(GROUP_NUMBERS[group]) for group in groups) or "0"
    line = (
        f'<IPSecProtection IPSec_ProtectionName="{escaped(name)}" IPSec_ProposalRefs="{escaped(" ".join(names))}" '
        f'IPSec_Role="Both" IPSec_KeyOverlap="10" IPSec_InitiatorDHGroup="{numbers}" '
        f'IPSec_ResponderDHGroup="{numbers}" IPSec_Flags_UseLifeSize="{_flag(child["lifetime_bytes"] > 0)}"/>'
    )
    yield Block("IPSecProtection", name, [line])


def _esp(child: Document) -> tuple[list[str], list[str]]:
    """An element for each of its proposals, and the key exchanges of rekeys."""
    transforms, groups = words.esp_transforms(child["proposals"])
    lines = []
    for cipher, integrity, _function, esn in transforms:
        parts = [f'ESP_Encryption="ESP_{words.CIPHERS[cipher].replace("-", "_")}"']
        parts += [f'ESP_Authentication="HMAC-{words.HASHES[integrity]}"'] if integrity else []
        parts += [*_of_all("ESP", child), f'ESP_ExtendedSeqNum="{int(esn == "esn")}"']
        lines.append(f"  <IPSecESPProtocol {' '.join(parts)}/>")
    return lines, groups


def _ah(child: Document) -> tuple[list[str], list[str]]:
    """The same for AH."""
    hashes, groups = words.ah_transforms(child["proposals"])
    rest = " ".join(_of_all("AH", child))
    return [f'  <IPSecAHProtocol AH_Authentication="HMAC-{words.HASHES[name]}" {rest}/>' for name in hashes], groups


def _of_all(prefix: str, child: Document) -> list[str]:
    # AIX has no child that lets packets pass, or drops them: what it is stands in a remark.
    mode = "tunnel" if child["mode"] in SHUNTS else child["mode"]
    return [
        f'{prefix}_EncapsulationMode="{mode.capitalize()}"',
        f'{prefix}_KeyRefreshMinutes="{_minutes(child["lifetime"])}"',
        f'{prefix}_KeyRefreshKB="{-(-child["lifetime_bytes"] // 1024)}"',
    ]


def _proposal(name: str, line: str) -> Block:
    head = f'<IPSecProposal IPSec_ProposalName="{escaped(name)}">'
    return Block("IPSecProposal", name, [head, line, "</IPSecProposal>"])


def _phase_2(child: Document, tunnel: str, inner: list[str]) -> Block:
    name = f"{tunnel}:{child['name']}"
    negotiated = child["mode"] not in SHUNTS
    starts, traps = _flag(negotiated and child["start"] == "auto"), _flag(negotiated and child["start"] == "trap")
    lines = [
        f'<IPSecTunnel IPSec_TunnelName="{escaped(name)}" IKE_TunnelName="{escaped(tunnel)}" '
        f'IPSec_ProtectionRef="{escaped(name)}" IPSec_Flags_AutoStart="{starts}" IPSec_Flags_OnDemand="{traps}">',
        # AIX has one selector on each side; further ones are in a remark.
        f"  {write_selector('IPSecLocalIdentity', child['local'][0])}",
        f"  {write_selector('IPSecRemoteIdentity', child['remote'][0])}",
        *(f"  {remark}" for remark in inner),
        "</IPSecTunnel>",
    ]
    return Block("IPSecTunnel", name, lines)
