# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""swanctl.conf into definitions."""

from __future__ import annotations

import re
from collections.abc import Sequence

from . import swanctl_options as options
from .algorithms import ESP_DEFAULT, IKE_DEFAULT, cut_short
from .assemble import Draft, finish, version
from .files import Files
from .here import NOWHERE, Here, settle
from .keys import SharedKey, decoded, owner
from .report import IGNORED, LOST, SKIPPED, Conversion, Entry, Report, Unfit
from .rows import Carried, Part
from .swanctl_syntax import Section, read, resolve

FORMAT = "swanctl"
_SIDES = ("local", "remote")


def convert(
    text: str,
    file: str,
    files: Files,
    report: Report,
    keys: Sequence[SharedKey] = (),
    upgrade: bool = False,
    here: Here = NOWHERE,
) -> Conversion:
    """The connections of a swanctl.conf.

    :param file: its path; includes count from there.
    :param keys: besides those in the file.
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
        if name not in ("connections", "secrets", *templates):
            top.take(options.TOP, name, section.place)
    keys = [*keys, *_keys(root.sections.get("secrets"), top)]
    connections = root.sections.get("connections")
    drafts = [
        _connection(name, section, report, upgrade, here)
        for name, section in (connections.sections.items() if connections else ())
    ]
    for entry in connections.settings.values() if connections else ():
        top.tell(entry, LOST, "stands outside of every connection", "put it into the connection it is meant for")
    return Conversion(FORMAT, finish(drafts, keys, report), tuple(report.notes))


def _connection(name: str, section: Section, report: Report, upgrade: bool, here: Here) -> Draft:
    draft = Draft(name, section.place, report)
    ends = [inner for option, inner in section.sections.items() if option.startswith(_SIDES)]
    for damage in (each.damage for each in (section, *ends, section.sections.get("children", section))):
        if damage is not None:
            draft.tell(*damage.told())
            return draft
    draft.document["ike"] = {"proposals": list(IKE_DEFAULT)}
    given = _given(section)
    for option, entry in given.items():
        if option == "version":
            _version(entry, draft, upgrade)
        else:
            draft.take(options.CONNECTION, option, entry)
    for side in _SIDES:
        _end(side, section, draft)
    for option, inner in section.sections.items():
        if option == "children":
            for child, inside in inner.sections.items():
                _child(child, inside, draft)
        elif not option.startswith(_SIDES):
            draft.take(options.CONNECTION, option, inner.place)
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


def _end(side: str, section: Section, draft: Draft) -> None:
    """Who one end is and how it proves that: the sections ``local…`` or ``remote…``."""
    rounds = [inner for name, inner in section.sections.items() if name.startswith(side)]
    if len(rounds) > 1:
        draft.tell(rounds[1].place, SKIPPED, "there is one round of authentication", "agree on a pre-shared key alone")
    if not any("auth" in _given(inner) for inner in rounds):
        place = rounds[0].place if rounds else section.place
        where = Entry(f"{side}.auth", "pubkey, the default", place.file, place.line)
        draft.take(options.END, "auth", where, side)
    for inner in rounds[:1]:
        for option, entry in _given(inner).items():
            draft.take(options.END, option, entry, side)
        for option, nested in inner.sections.items():
            row = "certs" if re.match("(ca)?cert", option) else option
            draft.take(options.END, row, nested.place, side)


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


def _keys(section: Section | None, top: Part) -> list[SharedKey]:
    keys = []
    for entry in section.settings.values() if section else ():
        where = Entry("a setting", "", entry.file, entry.line)
        top.tell(where, LOST, "stands outside of every secret", "write ike-NAME { secret = … }")
    for name, inner in section.sections.items() if section else ():
        kind = next((kind for kind in ("ike", "ppk", *options.SECRETS) if name.startswith(kind)), "")
        # The name may be the secret itself.
        shown = name if kind in options.SECRETS else kind
        where = Entry(f"secrets.{shown}", "", inner.place.file, inner.place.line)
        if kind not in ("ike", "ppk"):
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
            named = [entry.value for option, entry in _given(inner).items() if option.startswith("id")]
            if kind == "ppk":
                keys.append(SharedKey(secret, (), decoded(secret.value), tuple(name.strip() for name in named)))
            else:
                keys.append(SharedKey(secret, tuple(owner(text) for text in named), decoded(secret.value)))
        except Unfit as unfit:
            top.tell(secret, LOST, unfit.instead, unfit.remedy)
    return keys
