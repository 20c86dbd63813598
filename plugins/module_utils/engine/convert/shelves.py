# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The keys and certificates of another program's folders, found as that program finds them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from ..crypto.certificate_files import as_pem as as_certificate_pem
from ..crypto.certificate_files import read_certificates, read_lists
from ..crypto.certificates import Certificate, between
from ..crypto.private_keys import read_private_key
from ..crypto.public_keys import as_pem, read_any_public_key
from ..crypto.revocation_lists import RevocationList
from ..errors import InputError, MissingError, a_few
from ..identity import Identity
from ..secret import Secret
from .files import Files
from .keys import SharedKey, decoded
from .report import SKIPPED, Entry, Unfit

_BESIDE = "put its file beside the others, and convert again"
_WRITTEN_OUT = ("0s", "0x")


class Folders(NamedTuple):
    """Where a program has them, below the folder of its configuration.

    :ivar private: of private keys.
    :ivar subject_counts: whether the subject of a certificate stands for an identity that is not in it.
    :ivar bundles: whether all certificates of an authority's file count, not the first alone.
    :ivar ending: of the files of certificates, where names have none.
    :ivar lacking: what to do about a certificate that is not there, and ``lacking_key`` about a private key without
        one; empty where that says itself.
    """

    certificates: str
    authorities: str
    lists: str
    public_keys: str
    private: tuple[str, ...]
    subject_counts: bool = False
    bundles: bool = False
    ending: str = ""
    lacking: str = ""
    lacking_key: str = ""


class KeyFile(NamedTuple):
    """What a configuration says of a file with a private key.

    :ivar name: of the file, as written; ``passphrase`` is None where it has none.
    """

    place: Entry
    name: str
    passphrase: Secret | None


class Secrets(NamedTuple):
    """What a configuration or a file beside it has of secrets.

    :ivar shared: pre-shared keys; ``files``: passphrases of files with private keys.
    """

    shared: list[SharedKey]
    files: list[KeyFile]


NO_SECRETS = Secrets([], [])


class OwnKey(NamedTuple):
    """A private key that was found.

    :ivar passphrase: None where its file is not encrypted.
    """

    path: str
    passphrase: Secret | None


class PublicPart(NamedTuple):
    """A public key.

    :ivar text: the path of its file, or PEM.
    :ivar info: SubjectPublicKeyInfo, octets of DER.
    """

    text: str
    info: bytes


class Authority(NamedTuple):
    """A certificate of an authority.

    :ivar text: the path of its file, or PEM where others are in that which do not count.
    """

    text: str
    certificate: Certificate


class Shelf:
    """What there is for the tunnels of one configuration.

    :param file: the configuration's path.
    :param keys: what it says of private keys.
    :param authorities: names of files with further authorities, and ``lists``: paths of further revocation lists.
    """

    def __init__(
        self,
        files: Files,
        file: str,
        folders: Folders,
        keys: Sequence[KeyFile] = (),
        authorities: Sequence[str] = (),
        lists: Sequence[str] = (),
    ) -> None:
        self._files = files
        self._file = file
        self._base = os.path.dirname(os.path.abspath(file))
        self.folders = folders
        self._keys = keys
        self._authorities = authorities
        self._lists = lists
        self._private: dict[bytes, OwnKey] | None = None
        self._parsed: dict[str, tuple[Certificate, ...]] = {}
        self._parsed_lists: list[tuple[str, tuple[RevocationList, ...]]] | None = None
        self._unreadable_lists: list[Unfit] = []
        self._unusable: list[Unfit] = []

    def certificate_path(self, name: str) -> str:
        """The path of a certificate that is named."""
        return self.path(self.folders.certificates, f"{name}{self.folders.ending}")

    def path(self, folder: str, name: str) -> str:
        """The path of a file that is named."""
        return os.path.join(self._base, folder, name)

    def certificates(self, path: str) -> tuple[Certificate, ...]:
        """Those of a file, one at least.

        :raises Unfit: it has none that can be read.
        """
        if path not in self._parsed:
            try:
                self._parsed[path] = read_certificates(self._files.octets(path, path), path)
            except (InputError, MissingError) as problem:
                raise self._unfit(problem) from None
        return self._parsed[path]

    def public_key(self, name: str) -> PublicPart:
        """A public key by the name of its file, or written out.

        :raises Unfit: there is none.
        """
        try:
            if name[:2].lower() in _WRITTEN_OUT:
                key = read_any_public_key(decoded(name).secret.reveal(), "the key that is written out")
                return PublicPart(as_pem(key), key.info)
            path = self.path(self.folders.public_keys, name)
            return PublicPart(path, read_any_public_key(self._files.octets(path, path), path).info)
        except (InputError, MissingError) as problem:
            raise self._unfit(problem) from None

    def roots(self) -> list[Authority]:
        """The authorities that the program trusts where none is named: those that are nobody's but their own."""
        return [each for each in self._all_authorities() if each.certificate.self_issued]

    def of_name(self, subject: Identity) -> list[Authority]:
        """The authorities with a name."""
        return [each for each in self._all_authorities() if each.certificate.subject.matches(subject)]

    def of_file(self, name: str) -> list[Authority]:
        """The authorities of a file that is named.

        :raises Unfit: it has none that can be read.
        """
        return self._of_path(self.path(self.folders.authorities, name))

    def _of_path(self, path: str) -> list[Authority]:
        found = self.certificates(path)
        if self.folders.bundles or len(found) == 1:
            return [Authority(path, one) for one in found]
        return [Authority(as_certificate_pem(found[:1]), found[0])]

    def between(self, certificate: Certificate, others: Sequence[Certificate]) -> list[Certificate]:
        """The certificates between one and its root, as far as they are there.

        :param others: where to look first.
        """
        return between(certificate, [*others, *(each.certificate for each in self._all_authorities())])

    def lists(self, authorities: Iterable[Certificate]) -> list[str]:
        """The files with revocation lists of these authorities, or of others that are there."""
        issuers = {each.subject.key for each in authorities}
        issuers |= {each.certificate.subject.key for each in self._all_authorities()}
        found = [path for path, lists in self._all_lists() if any(each.issuer.key in issuers for each in lists)]
        return list(dict.fromkeys(found))

    def unreadable_lists(self) -> Sequence[Unfit]:
        """Why files are not looked into that ought to be revocation lists."""
        self._all_lists()
        return self._unreadable_lists

    def _all_lists(self) -> Sequence[tuple[str, tuple[RevocationList, ...]]]:
        if self._parsed_lists is None:
            self._parsed_lists = []
            for path in (*self._files.listed(self.path(self.folders.lists, "")), *self._lists):
                try:
                    self._parsed_lists.append((path, read_lists(self._files.octets(path, path), path)))
                except (InputError, MissingError) as problem:
                    self._unreadable_lists.append(self._unfit(problem))
        return self._parsed_lists

    def proving(self, identity: Identity) -> str | None:
        """The file of a certificate that proves an identity, and whose private key is there."""
        for path in self._files.listed(self.path(self.folders.certificates, "")):
            try:
                certificate = self.certificates(path)[0]
            except Unfit:
                continue
            fits = any(name.matches(identity) for name in certificate.identities)
            if fits and certificate.key_octets in self._own_keys():
                return path
        return None

    def private_key(self, info: bytes, whose: str, remedy: str = "") -> OwnKey:
        """The private key that belongs to a public one.

        :param info: SubjectPublicKeyInfo, octets of DER; ``whose``: for people.
        :param remedy: where it is known beforehand.
        :raises Unfit: there is none that can be used.
        """
        found = self._own_keys().get(info)
        if found is None:
            tried = dict.fromkeys(problem.instead for problem in self._unusable)
            also = f" (and {a_few(tried)})" if tried else ""
            instead = self._unusable[0].remedy if self._unusable else _BESIDE
            raise Unfit(SKIPPED, f"no private key of {whose} is found{also}", remedy or instead)
        return found

    def _all_authorities(self) -> Iterator[Authority]:
        named = (self.path(self.folders.authorities, name) for name in self._authorities)
        for path in dict.fromkeys((*self._files.listed(self.path(self.folders.authorities, "")), *named)):
            try:
                yield from self._of_path(path)
            except Unfit:
                continue  # as that program passes over it

    def _own_keys(self) -> dict[bytes, OwnKey]:
        """All private keys, by the public keys that belong to them."""
        if self._private is None:
            self._private = {}
            passphrases = {path: key.passphrase for key in self._keys for path in self._paths_of(key)}
            for path in dict.fromkeys((*self._listed_keys(), *passphrases)):
                self._take_key(path, passphrases.get(path), self._private)
        return self._private

    def _listed_keys(self) -> Iterator[str]:
        for folder in self.folders.private:
            yield from self._files.listed(self.path(folder, ""))

    def _paths_of(self, key: KeyFile) -> Iterator[str]:
        """The files that it may be about: of a relative name, in any of the folders."""
        for folder in self.folders.private:
            path = self.path(folder, key.name)
            if os.path.isfile(path):
                yield path

    def _take_key(self, path: str, passphrase: Secret | None, found: dict[bytes, OwnKey]) -> None:
        try:
            octets = self._files.octets(path, path)
            needed = passphrase if b"ENCRYPTED" in octets else None
            key = read_private_key(octets, needed, path, f"the passphrase of {path}")
        except (InputError, MissingError) as problem:
            self._unusable.append(self._unfit(problem))
        else:
            found.setdefault(key.public.info, OwnKey(path, needed))

    def _unfit(self, problem: InputError | MissingError) -> Unfit:
        if isinstance(problem, MissingError):
            return Unfit(SKIPPED, problem.what, problem.remedy)
        lacking = self.folders.lacking if not os.path.lexists(problem.field) else ""
        return Unfit(SKIPPED, f"{problem.field} {problem.problem}", lacking or problem.remedy)
