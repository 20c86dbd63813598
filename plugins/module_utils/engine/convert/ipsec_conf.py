# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ipsec.conf and ipsec.secrets into definitions."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from ..definition.credentials import Preshared
from ..definition.kernel_limits import MOST_CHILDREN
from ..definition.table import PUBKEY
from . import ipsec_options as options
from . import proofs
from .algorithms import AH_DEFAULT, ESP_DEFAULT, IKE_DEFAULT, cut_short, groups_of, with_groups
from .assemble import Draft, finish, version
from .files import Files
from .here import NOWHERE, Here, settle
from .ipsec_syntax import SecretLine, Section, inherited, read, read_secrets
from .keys import SharedKey, decoded, of_text, owner
from .report import IGNORED, LOST, SKIPPED, Conversion, Entry, Report, Unfit
from .rows import Carried, Part, put
from .shelves import NO_SECRETS, KeyFile, Secrets, Shelf
from .words import DYNAMIC, TRUE, items, protoport, yes_no

FORMAT = "ipsec_conf"
# Kinds of secrets of those programs besides pre-shared keys, and what is said of them.
_UNUSED: dict[str, tuple[str, str, str]] = {
    **dict.fromkeys(("EAP", "XAUTH", "NTLM", "PPK"), (IGNORED, "it is no key of IKE that is used here", "")),
    **dict.fromkeys(("P12", "PKCS12"), (LOST, "its key and certificates are not taken out", proofs.FROM_PKCS12)),
    "PIN": (LOST, "tokens are not read", "make a key in a file, and have a certificate issued for it"),
    **dict.fromkeys(("BLISS", "PUBKEY"), (LOST, "keys of this kind have no place here", "make one of another kind")),
}
_PRIVATE_KEYS = ("RSA", "ECDSA", "EDDSA", "PKCS1", "PKCS8", "PRIVATE")
OTHER_KINDS = frozenset((*_UNUSED, *_PRIVATE_KEYS))
_PPKS = "PPKS"  # with a name; those of kind PPK are used once each, and stand in a file of their own
_KINDS = ("PSK", _PPKS)
_OTHER = {"left": "right", "right": "left"}
Options = dict[str, Entry]


def convert(
    text: str,
    file: str,
    files: Files,
    report: Report,
    secrets: Secrets = NO_SECRETS,
    here: Here = NOWHERE,
    upgrade: bool = False,
) -> Conversion:
    """The connections of an ipsec.conf.

    :param file: its path; includes count from there.
    :param secrets: of the ipsec.secrets that goes with it.
    :param here: the host that the file is for; its addresses tell which end is local. Without one that fits, left is.
    :param upgrade: whether connections of IKEv1 become tunnels of IKEv2.
    :raises InputError: it is no such file, naming file and line, or a local address is none.
    """
    found = read(text, file, files)
    top = Part("", Entry("file", "", file, 1), report)
    setup = found.of("config").get("setup")
    if setup is not None and setup.damage is not None:
        top.tell(setup.damage.entry, LOST, setup.damage.problem, setup.damage.remedy)
    for option, entry in (setup.options if setup else {}).items():
        if entry.value.strip():
            top.take(options.SETUP, option, entry)
    connections = found.of("conn")
    libreswan = any(
        option in options.LIBRESWAN_ONLY for section in found.sections.values() for option in section.options
    )
    templates = {entry.value for section in connections.values() for entry in section.also}
    shelf = _shelf(found.of("ca"), secrets.files, files, file, report, libreswan)
    whole = _Whole(report, here, libreswan, upgrade, shelf, top.document.get("revocation"))
    drafts = [
        _connection(connections[name], given, whole)
        for name, given in inherited(connections, report).items()
        if not (name in templates and _is_template(given))
    ]
    return Conversion(FORMAT, finish(drafts, secrets.shared, report, files.octets), tuple(report.notes))


class _Whole(NamedTuple):
    """What holds for every connection of a file.

    :ivar libreswan: whether it is of that program.
    :ivar upgrade: whether connections of IKEv1 become tunnels of IKEv2.
    :ivar revocation: what is asked of revocation lists; None where nothing is said.
    """

    report: Report
    here: Here
    libreswan: bool
    upgrade: bool
    shelf: Shelf
    revocation: str | None


def _shelf(
    sections: dict[str, Section],
    keys: Sequence[KeyFile],
    files: Files,
    file: str,
    report: Report,
    libreswan: bool,
) -> Shelf:
    """The folders of the program, and what the file says of authorities."""
    folders = options.LIBRESWANS_FOLDERS if libreswan else options.FOLDERS
    certificates: list[str] = []
    lists: list[str] = []
    for name, given in inherited(sections, report).items():
        part = Part(f"ca {name}", sections[name].place, report)
        for option, entry in given.items():
            if entry.value.strip():
                part.take(options.AUTHORITY, option, entry)
        certificates += part.document.get("certificates", ())
        lists += [*part.document.get("lists", ()), *part.document.get("more_lists", ())]
    return Shelf(files, file, folders, keys, certificates, lists)


def _is_template(given: Options) -> bool:
    """Others take its options on, and it is not to be loaded by itself."""
    auto = given.get("auto")
    return auto is None or auto.value.lower() == "ignore" or not ("left" in given and "right" in given)


def _connection(section: Section, given: Options, whole: _Whole) -> Draft:
    draft = Draft(section.name, section.place, whole.report)
    child = draft.child(section.name, section.place)
    # An empty value is the default.
    given = {option: entry for option, entry in given.items() if entry.value.strip()}
    local = _local_side(draft, given, whole.here.addresses)
    rest = dict(given)
    _version(draft, rest, section, whole.upgrade)
    how = _methods(draft, rest, section, local)
    kind = proofs.agreed(draft, list(how.values())) or PUBKEY
    _algorithms(draft, child, rest, whole.libreswan)
    _reauthentication(draft, rest, whole.libreswan)
    _dscp(child, rest)
    networks = {side: _networks(side, child, rest) for side in _OTHER}
    auto = rest.get("auto")
    if auto is not None and auto.value.lower() == "ignore":
        child.tell(auto, IGNORED, "it is defined, and started by hand")
    for option, entry in rest.items():
        _take(draft, child, option, entry, local, kind)
    _children(draft, child, networks[local], networks[_OTHER[local]])
    if kind == PUBKEY:
        if whole.revocation:
            put(draft.document, "proof.remote.revocation", whole.revocation)
        proofs.settle(draft, whole.shelf, how["local"])
    settle(draft, whole.here, given.get(local, section.place))
    return draft


def _reauthentication(draft: Draft, rest: Options, libreswan: bool) -> None:
    """Take how long an IKE SA lasts for how long what its ends have proven does, where that is asked for."""
    wish, names = rest.get("reauth"), ("ikelifetime", "ike-lifetime")
    if wish is not None and wish.value.lower() in TRUE:
        del rest["reauth"]
        given = next((rest[name].value for name in names if name in rest), options.LIFETIMES[libreswan])
        draft.take(options.REAUTHENTICATED, "reauth", replace(wish, value=given))


def _take(draft: Draft, child: Part, option: str, entry: Entry, local: str, kind: str) -> None:
    """Do with an option what the table that has it says."""
    if option.startswith(("x-", "x_")):
        draft.tell(entry, IGNORED, "is a remark")
        return
    for side in _OTHER:
        name = option.removeprefix(side)
        which = "local" if side == local else "remote"
        rows = options.ENDS[kind][which]
        if option.startswith(side) and name in rows:
            draft.take(rows, name, entry, which)
            return
    if option in options.CHILD:
        child.take(options.CHILD, option, entry)
    else:
        draft.take(options.CONNECTION, option, entry)


def _local_side(draft: Draft, given: Options, ours: Collection[str]) -> str:
    values = {side: given[side].value.lower() if side in given else "" for side in _OTHER}
    fitting = [side for side, value in values.items() if any(_normal(item) in ours for item in items(value))]
    fitting = fitting or [side for side, value in values.items() if value == "%defaultroute"]
    if len(fitting) == 2:
        draft.tell(given["right"], SKIPPED, "both ends are this host", "give the addresses of one host alone")
    if not fitting and ours:
        instead = "neither end is a local address, left is taken for this host"
        draft.tell(given.get("left", draft.place), LOST, instead, "check which end this host is")
    return fitting[0] if fitting else "left"


def _normal(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text.strip()))
    except ValueError:
        return text.strip().lower()


_IKEV2 = {
    **dict.fromkeys(("insist", "yes", "propose", "always", "true", "on", "y"), 2),
    **dict.fromkeys(("no", "never", "permit", "false", "off", "n"), 1),
}
_EXCHANGE = {"ike": 2, "ikev2": 2, "ikev1": 1}


def _version(draft: Draft, rest: Options, section: Section, upgrade: bool) -> None:
    exchange, ikev2 = rest.pop("keyexchange", None), rest.pop("ikev2", None)
    wanted = None
    for entry, table in ((exchange, _EXCHANGE), (ikev2, _IKEV2)):
        if entry is None:
            continue
        number = table.get(entry.value.lower())
        if number is None:
            draft.tell(entry, LOST, "is no version, IKEv2 is taken", f"known are: {', '.join(table)}")
        elif entry is ikev2 or entry.value.lower() != "ike" or wanted is None:
            wanted = (entry, number)
    if wanted is None:
        draft.tell(section.place, IGNORED, "no IKE version is given, IKEv2 is taken", "see that the peer speaks it")
    else:
        version(wanted[0], draft, wanted[1], upgrade)


def _methods(draft: Draft, rest: Options, section: Section, local: str) -> dict[str, Entry]:
    """How each end proves who it is, by ``local`` and ``remote``."""
    both = rest.pop("authby", None)
    if both is None:
        both = Entry("authby", "public keys, the default", section.place.file, section.place.line)
    methods = [method.strip().lower() for method in both.value.replace("|", ",").split(",")]
    if len(methods) > 1 and {"secret", "psk"} & set(methods):
        draft.tell(both, LOST, "only the pre-shared key is offered")
        both = replace(both, value="secret")
    return {"local": rest.get(f"{local}auth", both), "remote": rest.get(f"{_OTHER[local]}auth", both)}


def _algorithms(draft: Draft, child: Part, rest: Options, libreswan: bool) -> None:
    """Proposals of both kinds; with PFS a child's rekey has the key exchanges of the IKE SA."""
    draft.document["ike"] = {**draft.document.get("ike", {}), "proposals": list(IKE_DEFAULT)}
    ah = _is_ah(child, rest)
    child.document["proposals"] = list(AH_DEFAULT if ah else ESP_DEFAULT)
    from_file = {"ike": Carried("ike.proposals", options.IKE[libreswan])}
    if "ike" in rest:
        draft.take(from_file, "ike", rest.pop("ike"))
    for option in ("esp", "ah", "phase2alg"):
        if option in rest:
            reader = (options.AH if ah else options.ESP)[libreswan]
            child.take({option: Carried("proposals", reader)}, option, rest.pop(option))
    for option in ("sha2-truncbug", "sha2_truncbug", "sha256_96"):
        if option in rest:
            cut = Carried("proposals", cut_short(child.document["proposals"]))
            child.take({option: cut}, option, rest.pop(option))
    group, pfs = rest.pop("pfsgroup", None), rest.pop("pfs", None)
    groups = groups_of(draft.document["ike"]["proposals"])
    if group is not None:
        child.tell(group, LOST, "rekeys take the key exchanges of the IKE SA", "write them into the proposals")
    if pfs.value.lower() in TRUE if pfs else libreswan:
        child.document["proposals"] = with_groups(child.document["proposals"], groups)
    esn = rest.pop("esn", None)
    if esn is not None:
        numbers = {"yes": "-esn", "no": "-noesn", "either": "-esn-noesn"}.get(esn.value.lower(), "")
        child.document["proposals"] = [f"{text}{numbers}" for text in child.document["proposals"]]
        if not numbers:
            child.tell(esn, LOST, "is not known, both kinds of sequence numbers will do", "write yes, no or either")


def _dscp(child: Part, rest: Options) -> None:
    """Where DSCP is copied to: there is an option for each way."""
    ways = {"encap-dscp": True, "decap-dscp": False}
    for option in ways:
        if option in rest:
            found = _read(child, rest.pop(option), yes_no(True, False))
            ways[option] = ways[option] if found is None else found
    if tuple(ways.values()) != (True, False):
        child.document["dscp"] = options.DSCP[ways["encap-dscp"], ways["decap-dscp"]]


def _is_ah(child: Part, rest: Options) -> bool:
    """Whether it is AH; an option that says so without naming algorithms is gone then."""
    for option in ("phase2", "auth"):
        if option in rest:
            child.take(options.CHILD, option, rest.pop(option))
    if "ah" in rest:
        child.document["protocol"] = "ah"
        if "esp" in rest:
            child.tell(rest.pop("esp"), LOST, "AH alone is offered", "write one of both at both ends")
    return child.document.get("protocol") == "ah"


def _networks(side: str, child: Part, rest: Options) -> list[list[str]]:
    """The networks of one end: a list for each child to be made."""
    port = rest.pop(f"{side}protoport", None)
    single, many = rest.pop(f"{side}subnet", None), rest.pop(f"{side}subnets", None)
    ending = _read(child, port, protoport) if port is not None else ""
    if many and single:
        child.tell(single, LOST, f"the networks of {side}subnets count alone", "write it among them")
    given = many or single
    listed = _read(child, given, options.NETWORKS) if given else [DYNAMIC]
    if child.skipped:
        return [[DYNAMIC]]
    networks = [_ended(network, f"[{ending}]" if ending else "") for network in listed or [DYNAMIC]]
    return [[network] for network in networks] if many else [networks]


def _read(child: Part, entry: Entry, reader: Callable[..., Any]) -> Any:
    """What a reader makes of an option; None and a note where it can make nothing."""
    try:
        return reader(entry.value, lambda *words: child.tell(entry, *words))
    except Unfit as unfit:
        child.tell(entry, unfit.severity, unfit.instead, unfit.remedy)
        return None


def _ended(network: str, ending: str) -> str:
    return network if network.endswith("]") else network + ending


def _children(draft: Draft, child: Part, local: list[list[str]], remote: list[list[str]]) -> None:
    """Each list of networks here with each of the peer is a child of its own."""
    if child.skipped or len(local) * len(remote) == 1:
        child.document |= {"local": local[0], "remote": remote[0]}
        return
    if len(local) * len(remote) > MOST_CHILDREN:
        child.tell(
            child.place,
            SKIPPED,
            f"has more than {MOST_CHILDREN} pairs of networks",
            "write larger networks, or several conns",
        )
        return
    draft.children.remove(child)
    for one, ours in enumerate(local, 1):
        for other, theirs in enumerate(remote, 1):
            part = draft.child(f"{child.document['name']}-{one}x{other}", child.place)
            part.document = {**child.document, **part.document, "start": child.document["start"]}
            part.document |= {"local": ours, "remote": theirs}


def secrets_of(text: str, file: str, files: Files, report: Report) -> Secrets:
    """The secrets of an ipsec.secrets; of lines that are none is told, never what stands there."""
    top = Part("", Entry("file", "", file, 1), report)
    found = Secrets([], [])
    for line in read_secrets(text, file, files, report):
        if line.kind not in OTHER_KINDS and line.kind not in _KINDS:
            # The word may be a key itself.
            top.tell(line.place, LOST, "is of no kind that is known, and none is taken from it", 'write : PSK "secret"')
            continue
        where = Entry(f"secret of kind {line.kind}", "", line.place.file, line.place.line)
        if line.kind in _UNUSED:
            top.tell(where, *_UNUSED[line.kind])
            continue
        try:
            if line.kind in _PRIVATE_KEYS:
                found.files.append(_key_file(line, where))
            else:
                owners = tuple(owner(text) for text in line.owners)
                found.shared.append(SharedKey(line.place, owners, _secret(line), _ppk_names(line)))
        except Unfit as unfit:
            top.tell(where if line.kind in _PRIVATE_KEYS else line.place, LOST, unfit.instead, unfit.remedy)
    return found


def _key_file(line: SecretLine, where: Entry) -> KeyFile:
    """A file with a private key, and behind it its passphrase."""
    words = line.words
    if not words or words[0] in ("{", "}"):
        raise Unfit(LOST, "a key that is written out is not taken", "write it into a file in PEM, and name that")
    if len(words) > 2:
        raise Unfit(LOST, "more than a file and a passphrase stand there", "put them into quotes")
    name = words[0].strip("\"'")
    if len(words) == 1 or words[1].lower() == "%prompt":
        return KeyFile(where, name, None)
    return KeyFile(where, name, _word(words[1]).secret)


def _ppk_names(line: SecretLine) -> tuple[str, ...]:
    """The name of a post-quantum preshared key, which stands before it."""
    return (line.words[0].strip("\"'"),) if line.kind == _PPKS else ()


def _secret(line: SecretLine) -> Preshared:
    words = line.words[1:] if line.kind == _PPKS else line.words
    if len(words) != 1:
        raise Unfit(LOST, "the key is not taken, it is not one word", "put it into quotes")
    return _word(words[0])


def _word(word: str) -> Preshared:
    # Quotes protect a key that looks like digits, and 0t says that it is text.
    if word[0] in "\"'":
        return of_text(word[1:-1])
    return of_text(word[2:]) if word[:2].lower() == "0t" else decoded(word)
