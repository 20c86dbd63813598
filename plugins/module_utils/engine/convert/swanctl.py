# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""swanctl.conf into definitions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..definition.table import PUBKEY
from . import proofs
from . import swanctl_options as options
from .algorithms import ESP_DEFAULT, IKE_DEFAULT, cut_short
from .assemble import Draft, finish, version
from .files import Files
from .here import NOWHERE, Here, settle
from .keys import SharedKey, decoded, owner
from .report import IGNORED, LOST, SKIPPED, Conversion, Entry, Report, Unfit
from .rows import Carried, Part, Rows
from .shelves import NO_SECRETS, Folders, KeyFile, Secrets, Shelf
from .swanctl_syntax import Section, read, resolve

FORMAT = "swanctl"
_KEYS = ("ike", "ppk", *options.PRIVATE_KEYS)
_SIDES = ("local", "remote")
_FOLDERS = Folders("x509", "x509ca", "x509crl", "pubkey", options.PRIVATE_KEYS)
_NESTED = {"cert": "certs", "cacert": "cacerts"}  # sections of one file each, and the option that names several


def convert(
    text: str,
    file: str,
    files: Files,
    report: Report,
    secrets: Secrets = NO_SECRETS,
    upgrade: bool = False,
    here: Here = NOWHERE,
) -> Conversion:
    """The connections of a swanctl.conf.

    :param file: its path; includes count from there.
    :param secrets: besides those in the file.
    :param upgrade: whether connections of IKEv1 become tunnels of IKEv2.
    :param here: the host that the file is for.
    :raises InputError: it is no such file, naming file and line.
    """
    root = read(text, file, files)
    templates = resolve(root)
    top = Part("", root.place, report)
    for entry in root.settings.values():
        top.tell(entry, LOST, "stands outside of every section", "put it into the connection it is meant for")
    for name, section in root.sections.items():
        if name not in ("connections", "secrets", "authorities", *templates):
            top.take(options.TOP, name, section.place)
    found = _secrets(root.sections.get("secrets"), top)
    shelf = _shelf(root.sections.get("authorities"), [*secrets.files, *found.files], files, file, report)
    connections = root.sections.get("connections")
    drafts = [
        _connection(name, section, report, upgrade, here, shelf)
        for name, section in (connections.sections.items() if connections else ())
    ]
    for entry in connections.settings.values() if connections else ():
        top.tell(entry, LOST, "stands outside of every connection", "put it into the connection it is meant for")
    tunnels = finish(drafts, [*secrets.shared, *found.shared], report, files.octets)
    return Conversion(FORMAT, tunnels, tuple(report.notes))


def _shelf(section: Section | None, keys: Sequence[KeyFile], files: Files, file: str, report: Report) -> Shelf:
    """The folders beside the file, and what it says of authorities."""
    certificates: list[str] = []
    lists: list[str] = []
    for name, inner in section.sections.items() if section else ():
        part = Part(f"authority {name}", inner.place, report)
        for option, entry in _given(inner).items():
            part.take(options.AUTHORITY, option, entry)
        certificates += part.document.get("certificates", ())
        lists += part.document.get("lists", ())
    return Shelf(files, file, _FOLDERS, keys, certificates, lists)


def _connection(name: str, section: Section, report: Report, upgrade: bool, here: Here, shelf: Shelf) -> Draft:
    draft = Draft(name, section.place, report)
    ends = [inner for option, inner in section.sections.items() if option.startswith(_SIDES)]
    for damage in (each.damage for each in (section, *ends, section.sections.get("children", section))):
        if damage is not None:
            draft.tell(*damage.told())
            return draft
    draft.document["ike"] = {"proposals": list(IKE_DEFAULT)}
    given = _given(section)
    rounds = {side: _round(side, section, draft) for side in _SIDES}
    methods = {side: _method(side, inner) for side, inner in rounds.items()}
    kind = proofs.agreed(draft, list(methods.values())) or PUBKEY
    rows = options.CONNECTIONS[kind]
    for option, entry in given.items():
        if option == "version":
            _version(entry, draft, upgrade)
        else:
            draft.take(rows, option, entry)
    for side, inner in rounds.items():
        _end(side, inner, draft, options.ENDS[kind][side])
    for option, inner in section.sections.items():
        if option == "children":
            for child, inside in inner.sections.items():
                _child(child, inside, draft)
        elif not option.startswith(_SIDES):
            draft.take(rows, option, inner.place)
    if kind == PUBKEY:
        proofs.settle(draft, shelf, methods["local"])
    settle(draft, here, given.get("local_addrs", section.place))
    return draft


def _given(section: Section) -> dict[str, Entry]:
    """The settings of a section without those that are empty: these have their defaults."""
    return {option: entry for option, entry in section.settings.items() if entry.value.strip()}


def _version(entry: Entry, draft: Draft, upgrade: bool) -> None:
    if entry.value not in ("0", "1", "2"):
        draft.tell(entry, LOST, "the default is taken", "write 1, 2 or 0 for either")
        return
    if entry.value == "0":
        draft.tell(entry, IGNORED, "the tunnel speaks IKEv2, as it would have begun with")
    version(entry, draft, int(entry.value) or 2, upgrade)


def _round(side: str, section: Section, draft: Draft) -> Section:
    """Who one end is and how it proves that: the first of the sections ``local…`` or ``remote…``."""
    rounds = [inner for name, inner in section.sections.items() if name.startswith(side)]
    if len(rounds) > 1:
        draft.tell(rounds[1].place, SKIPPED, "there is one round of authentication", proofs.EITHER)
    return rounds[0] if rounds else Section(section.place)


def _method(side: str, inner: Section) -> Entry:
    """How an end proves who it is."""
    place = inner.place
    return _given(inner).get("auth") or Entry(f"{side}.auth", "pubkey, the default", place.file, place.line)


def _end(side: str, inner: Section, draft: Draft, rows: Rows) -> None:
    for option, entry in _given(inner).items():
        draft.take(rows, option, entry, side)
    listed: dict[str, list[str]] = {}
    for option, nested in inner.sections.items():
        row = next((row for prefix, row in _NESTED.items() if option.startswith(prefix)), option)
        file = _given(nested).get("file")
        if row not in _NESTED.values():
            draft.take(rows, row, nested.place, side)
        elif file is not None:
            listed.setdefault(row, []).append(file.value)
            draft.take(rows, row, replace(file, value=", ".join(listed[row])), side)
        else:
            draft.tell(
                nested.place, SKIPPED, "it is in a token, which is not read", "put it into a file, and name that"
            )


def _child(name: str, section: Section, draft: Draft) -> None:
    child = draft.child(name, section.place)
    if section.damage is not None:
        child.tell(*section.damage.told())
        return
    child.document["proposals"] = list(ESP_DEFAULT)
    given = _limited(_given(section), child)
    _protocol(given, child)
    cut = given.pop("sha256_96", None)
    for option, entry in given.items():
        child.take(options.CHILD, option, entry)
    if cut is not None:
        child.take({"sha256_96": Carried("proposals", cut_short(child.document["proposals"]))}, "sha256_96", cut)
    for option, inner in section.sections.items():
        child.take(options.CHILD, option, inner.place)


def _protocol(given: dict[str, Entry], child: Part) -> None:
    """ESP or AH: a child here has one of them."""
    authentic = given.pop("ah_proposals", None)
    if authentic is not None and "esp_proposals" in given:
        child.tell(authentic, LOST, "ESP alone is offered", "write one of both at both ends")
    elif authentic is not None:
        child.document["protocol"] = "ah"
        child.take(options.AH, "ah_proposals", authentic)


def _limited(given: dict[str, Entry], child: Part) -> dict[str, Entry]:
    """The options of a child, of which one alone says how much it carries: ``rekey_…``, or ``life_…`` without that."""
    for limit in ("time", "bytes", "packets"):
        rekey, life = f"rekey_{limit}", f"life_{limit}"
        if rekey not in given or life not in given:
            continue
        if given[rekey].value in options.NEVER:
            child.tell(given.pop(rekey), LOST, f"it is rekeyed before its {life} is over")
        else:
            child.tell(given.pop(life), IGNORED, "the engine chooses its own margin")
    return given


def _secrets(section: Section | None, top: Part) -> Secrets:
    found = Secrets([], [])
    for entry in section.settings.values() if section else ():
        where = Entry("a setting", "", entry.file, entry.line)
        top.tell(where, LOST, "stands outside of every secret", "write ike-NAME { secret = … }")
    for name, inner in section.sections.items() if section else ():
        kind = next((kind for kind in (*_KEYS, *options.SECRETS) if name.startswith(kind)), "")
        # The name may be the secret itself.
        shown = name if kind in options.SECRETS or kind in options.PRIVATE_KEYS else kind
        where = Entry(f"secrets.{shown}", "", inner.place.file, inner.place.line)
        if kind not in _KEYS:
            top.take(options.SECRETS, kind or name, where)
            continue
        if inner.damage is not None:
            where, _severity, problem, remedy = inner.damage.told()
            top.tell(where, LOST, f"the key is not taken, as this {problem}", remedy)
            continue
        secret = inner.settings.get("secret")
        if secret is None:
            top.tell(where, LOST, "it has no secret", "give it one")
            continue
        try:
            if kind in options.PRIVATE_KEYS:
                found.files.append(_key_file(inner, where, secret))
            else:
                found.shared.append(_shared(kind, inner, secret))
        except Unfit as unfit:
            top.tell(secret, LOST, unfit.instead, unfit.remedy)
    return found


def _shared(kind: str, inner: Section, secret: Entry) -> SharedKey:
    named = [entry.value for option, entry in _given(inner).items() if option.startswith("id")]
    if kind == "ppk":
        return SharedKey(secret, (), decoded(secret.value), tuple(name.strip() for name in named))
    return SharedKey(secret, tuple(owner(text) for text in named), decoded(secret.value))


def _key_file(inner: Section, where: Entry, secret: Entry) -> KeyFile:
    """The passphrase of a file with a private key."""
    file = _given(inner).get("file")
    if file is None:
        raise Unfit(LOST, "it names no file", "write file = NAME")
    return KeyFile(where, file.value, decoded(secret.value).secret)
