# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the ends of a converted tunnel prove who they are: by a key that both have, or each by one of its own."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from typing import Any

from ..crypto.certificate_checks import check_authority, check_key, check_time
from ..crypto.certificate_files import as_pem
from ..crypto.certificates import Certificate
from ..definition.authenticators import Authenticators
from ..definition.many import is_pattern
from ..definition.parsing import Definition
from ..definition.table import PSK, PUBKEY, RAW
from ..errors import CertificateError, InputError, MissingError
from ..identity import Identity
from ..identity_pattern import ANY
from ..newer_python import zip
from .report import IGNORED, LOST, SKIPPED, Entry, Unfit
from .rows import Part, Tell
from .shelves import Authority, OwnKey, Shelf
from .words import identity, items

EITHER = "agree on certificates or on a pre-shared key with the peer, at both ends alike"
NOT_FETCHED = "revocation lists are not fetched"
FROM_PKCS12 = "ipsec import FILE takes them out; then name their files"
LISTS = "have a timer fetch them into a file, and give that as auth.crl"
_FILE = "file://"
_PUBLIC = re.compile(r"pubkey|public key|rsa|ecdsa|eddsa|ed25519|ed448|cert|signature|^any$")
_HASHES = ("sha256", "sha384", "sha512")
_ALONE = ("ed25519", "ed448")
SAME = "%same"  # the peer's authority is ours
_LONGEST_SHOWN = 60
_LEAST_RSA = 2048  # what is less is refused without any demand


def kind(text: str) -> str:
    """Which of both kinds an option names that says how an end authenticates: PSK, or PUBKEY for keys of their own.

    :raises Unfit: neither.
    """
    word = text.strip().lower()
    if word in ("psk", "secret"):
        return PSK
    if not word.startswith(("eap", "xauth", "hybrid")) and _PUBLIC.search(word):
        return PUBKEY
    raise Unfit(SKIPPED, "only pre-shared keys, certificates and public keys are taken over", EITHER)


def agreed(part: Part, given: Sequence[Entry]) -> str:
    """The one kind that both ends have; empty where there is none, which is noted and loses the tunnel."""
    found = []
    for entry in given:
        try:
            found.append((kind(entry.value), entry))
        except Unfit as unfit:
            part.tell(entry, unfit.severity, unfit.instead, unfit.remedy)
    kinds = {each for each, _entry in found}
    if len(kinds) > 1:
        what = "one end has a pre-shared key and the other a key of its own, and here both have the same"
        part.tell(dict(found)[PUBKEY], SKIPPED, what, EITHER)
    return kinds.pop() if len(kinds) == 1 and not part.skipped else ""


def demands(text: str, tell: Tell) -> list[str] | None:
    """The demands in words such as ``rsa-3072-ecdsa-384-sha256``; None without any."""
    of_path, _colon, of_ike = text.strip().lower().partition("ike:")
    if of_ike:
        tell(LOST, "of the signature of IKE itself no more is demanded than SHA-256", "")
    words = [word.partition("/")[0] for word in re.split(r"[-,\s]+", of_path) if word]
    hashes = [word for word in words if word in _HASHES]
    families: dict[str, str] = {}
    for word, after in zip(words, [*words[1:], ""], strict=True):
        if word in ("rsa", "ecdsa", *_ALONE):
            size = after if after.isascii() and after.isdigit() and len(after) < 6 else ""
            families[word] = "" if word == "rsa" and size and int(size) < _LEAST_RSA else size
    if hashes and not families:
        families = dict.fromkeys(("rsa", "ecdsa", *_ALONE), "")
    known = (*families, *_HASHES, "pubkey", "any", "rsasig")
    if not all(word in known or word.isdigit() for word in words):
        # The word may be a key in the wrong place.
        tell(LOST, "a word of it is not demanded", "known are rsa, ecdsa, ed25519, ed448 and hashes of SHA-2")
    made = [
        "-".join(part for part in (family, size, min(hashes, default="") if family not in _ALONE else "") if part)
        for family, size in families.items()
    ]
    return made or None


def public_keys(text: str, tell: Tell) -> list[str] | None:
    """Reader of public keys of an ipsec.conf: the path of a file, or the key itself."""
    key = text.strip()
    if key.lower() in ("%cert", "%none", ""):
        return None
    if key.startswith("%"):
        raise Unfit(SKIPPED, "no key is looked up in the DNS", "write the key itself, or name its file")
    if key.lower().startswith("ssh:"):
        raise Unfit(SKIPPED, "keys in the form of OpenSSH are not read", "name a file in PEM: ssh-keygen -e -m PKCS8")
    return [key.partition(":")[2] if key.lower().startswith("dns:") else key]


def own_identity(text: str, tell: Tell) -> str | None:
    """Reader of who this end is, None where its certificate says it."""
    return None if text.strip().lower() == "%fromcert" else identity(text, tell)


def authority(text: str, tell: Tell) -> str | None:
    """Reader of the authority that the peer's certificate has to come from: its name, :data:`SAME`, or any."""
    name = text.strip()
    if name.lower() == "%any":
        return None
    return SAME if name.lower() == SAME else identity(name, tell)


def signing(text: str, tell: Tell) -> None:
    """Reader of how this end authenticates, where it has a key of its own."""
    if re.search(r"sha|ike:|/", text.lower()):
        tell(IGNORED, "the strongest signature that the peer takes is made", "")


def revocation(text: str, tell: Tell) -> str:
    """Reader of what is asked of revocation lists, in the words of strongSwan."""
    word = text.strip().lower()
    if word not in ("strict", "ifuri", "relaxed"):
        raise Unfit(LOST, "has no counterpart, relaxed is taken", "known are: strict, ifuri, relaxed")
    if word == "ifuri":
        tell(LOST, f"{NOT_FETCHED}, so relaxed is taken", LISTS)
    return "strict" if word == "strict" else "relaxed"


def files_of_lists(text: str, tell: Tell) -> list[str] | None:
    """Reader of where revocation lists are: those in files are read."""
    found = items(text)
    local = [each[len(_FILE) :] for each in found if each.lower().startswith(f"{_FILE}/")]
    if len(local) < len(found):
        tell(LOST, NOT_FETCHED, LISTS)
    return local or None


def settle(part: Part, shelf: Shelf, place: Entry) -> None:
    """Find keys and certificates of a tunnel whose ends have keys of their own; what is wrong with them is noted.

    Its identities are those of the certificates where none is given.

    :param place: where the file says how they authenticate.
    """
    wanted = part.document.pop("proof", {})
    if part.skipped:
        return
    local, remote = wanted.get("local", {}), wanted.get("remote", {})
    try:
        if local.get("public_keys") or remote.get("public_keys"):
            _raw(part, shelf, local, remote, place)
        else:
            _certified(part, shelf, wanted, place)
    except Unfit as unfit:
        part.tell(place, SKIPPED, unfit.instead, unfit.remedy)


def _raw(part: Part, shelf: Shelf, local: dict[str, Any], remote: dict[str, Any], place: Entry) -> None:
    if local.get("certificates") or remote.get("certificates") or not remote.get("public_keys"):
        raise Unfit(SKIPPED, "one end has a certificate and the other a key without one", EITHER)
    theirs = shelf.public_key(_first(part, remote["public_keys"], place))
    if not local.get("public_keys"):
        remedy = "name the public key that belongs to it, or define the tunnel by hand (certificates.md)"
        raise Unfit(SKIPPED, "which private key is this end's is not said", remedy)
    ours = _first(part, local["public_keys"], place)
    _hold(part, shelf.private_key(shelf.public_key(ours).info, shown(ours), shelf.folders.lacking_key))
    part.document["auth"] |= {"method": RAW, "remote_key": theirs.text}


def _certified(part: Part, shelf: Shelf, wanted: dict[str, Any], place: Entry) -> None:
    local, remote = wanted.get("local", {}), wanted.get("remote", {})
    path, chain = _own(part, shelf, local.get("certificates", ()), place)
    _hold(part, shelf.private_key(chain[0].key_octets, path, shelf.folders.lacking))
    auth = part.document["auth"]
    auth |= {"method": PUBKEY, "certificate": path, **_given(wanted, "send_cert")}
    _name(part, shelf, "local", chain[0])
    between = shelf.between(chain[0], chain[1:])
    if any(each not in chain for each in between):
        auth["certificate"] = as_pem([chain[0], *between])
        instead = "our certificate is written out, with those between it and its authority"
        part.tell(place, LOST, instead, "when it is renewed, define it anew; or put them all into one file")
    if remote.get("certificates"):
        auth["remote_certificate"] = shelf.certificate_path(_first(part, remote["certificates"], place))
        _name(part, shelf, "remote", shelf.certificates(auth["remote_certificate"])[0])
    _settle_peers(part, place)
    _trust(part, shelf, remote, place, [chain[0], *between])


def _settle_peers(part: Part, place: Entry) -> None:
    """Who the peer is where neither the file nor a certificate says it; those of a pattern have no one address."""
    remote = part.document.setdefault("remote", {})
    if not remote.get("id") and remote.get("address"):
        remedy = "give the identity that its certificate has"
        part.tell(place, LOST, "any peer with a certificate would do there; here its address has to be in it", remedy)
    elif not remote.get("id"):
        remote["id"] = ANY
    if is_pattern(remote) and remote.get("address"):
        remote["addresses"] = [remote.pop("address")]


def _given(wanted: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: wanted[name] for name in names if name in wanted}


def _hold(part: Part, key: OwnKey) -> None:
    auth = part.document["auth"] = {"key": key.path}
    if key.passphrase is not None:
        try:
            auth["passphrase"] = key.passphrase.reveal().decode()
        except UnicodeDecodeError:
            remedy = "write the key anew, without one: openssl pkey -in OLD -out NEW"
            raise Unfit(SKIPPED, f"the passphrase of {key.path} is no text", remedy) from None


def _first(part: Part, names: Sequence[str], place: Entry) -> str:
    if len(names) > 1:
        told = ", ".join(map(shown, names))
        part.tell(place, LOST, f"of {told} only the first is taken", "define a tunnel for each")
    return names[0]


def shown(name: str) -> str:
    """The name of a file for people, or the beginning of a key that is written out."""
    return name if len(name) <= _LONGEST_SHOWN else f"{name[:_LONGEST_SHOWN]}…"


def _own(part: Part, shelf: Shelf, names: Sequence[str], place: Entry) -> tuple[str, tuple[Certificate, ...]]:
    """The file of our certificate, and what it has."""
    if names:
        path = shelf.certificate_path(_first(part, names, place))
        return path, shelf.certificates(path)
    identity = part.document.get("local", {}).get("id")
    found = shelf.proving(Identity.parse(identity)) if identity else None
    if found is None:
        what = f"no certificate is named, and none that has {identity or 'an identity'} is there with its private key"
        raise Unfit(SKIPPED, what, "name it, and convert again where the files are")
    return found, shelf.certificates(found)


def _name(part: Part, shelf: Shelf, side: str, certificate: Certificate) -> None:
    """Who an end is, where only its certificate says it."""
    end = part.document.setdefault(side, {})
    given = end.get("id")
    confirmed = given and any(name.matches(Identity.parse(given)) for name in certificate.identities)
    if not given or (shelf.folders.subject_counts and not confirmed):
        end["id"] = str(certificate.subject)


def _trust(part: Part, shelf: Shelf, remote: dict[str, Any], place: Entry, ours: Sequence[Certificate]) -> None:
    """What the peer's certificate has to come from, unless that is known."""
    auth = part.document["auth"]
    named = [each for name in remote.get("authorities", ()) for each in shelf.of_file(name)]
    if remote.get("authority"):
        wanted = ours[-1].issuer if remote["authority"] == SAME else Identity.parse(remote["authority"])
        named = shelf.of_name(wanted)
        if not named:
            remedy = f"put its certificate into {shelf.path(shelf.folders.authorities, '')}"
            raise Unfit(SKIPPED, f"the authority {wanted} is not there", remedy)
    if not named and "remote_certificate" not in auth:
        named = _valid_roots(part, shelf, place)
        if not named:
            remedy = f"put the authority of the peer's certificate into {shelf.path(shelf.folders.authorities, '')}"
            raise Unfit(SKIPPED, "there is no authority that the peer's certificate could come from", remedy)
    if named:
        auth["ca"] = list(dict.fromkeys(each.text for each in named))
        _look_up(part, shelf, [each.certificate for each in named], remote.get("revocation"), place)
        auth |= _given(remote, "demands")
    elif remote.get("demands") or remote.get("revocation"):
        part.tell(place, IGNORED, "the peer's certificate is known, and nothing else is demanded of it")


def _valid_roots(part: Part, shelf: Shelf, place: Entry) -> list[Authority]:
    found = []
    for each in shelf.roots():
        try:
            check_authority(each.certificate)
            check_key(each.certificate)
            check_time(each.certificate, time.time())
        except CertificateError as problem:
            part.tell(place, IGNORED, f"an authority is not trusted: {problem.story}", problem.remedy)
        else:
            found.append(each)
    return found


def _look_up(
    part: Part, shelf: Shelf, authorities: Sequence[Certificate], revocation: str | None, place: Entry
) -> None:
    """Have revocation lists looked into that are there; other programs take certificates that none is of."""
    auth = part.document["auth"]
    for unfit in shelf.unreadable_lists():
        part.tell(place, LOST, f"it is not looked into: {unfit.instead}", unfit.remedy)
    lists = shelf.lists(authorities)
    if lists:
        auth |= {"crl": lists, "revocation": revocation or "relaxed"}
    elif revocation == "strict":
        remedy = f"fetch them into {shelf.path(shelf.folders.lists, '')}, and convert again"
        raise Unfit(SKIPPED, "each certificate has to be in no revocation list, and there are none", remedy)


def unread(path: str, field: str) -> bytes:
    """Reads nothing.

    :raises InputError: always.
    """
    raise InputError(field, path, "was not read", "convert where the file is")


def check(part: Part, definition: Definition, authenticators: Authenticators) -> None:
    """Look at the files of a definition as the manager would; what cannot be used is noted, and loses the tunnel."""
    try:
        authenticators.make(definition)
    except InputError as problem:
        where = Entry(problem.field, "", part.place.file, part.place.line)
        part.tell(where, SKIPPED, problem.problem, problem.remedy)
    except MissingError as problem:
        part.tell(part.place, SKIPPED, problem.what, problem.remedy)
