# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the credential of a definition to what the protocol authenticates with: keys and certificates are read here.

Who reads files is handed in, and the time. What was read once is not parsed again: a fleet has one key and one store of
authorities in many tunnels.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from ..crypto.auth import Authenticator, PresharedKey
from ..crypto.certificate_advice import Given, check_given, check_lasting, naming
from ..crypto.certificate_checks import check_authority, check_identity, check_key, check_time
from ..crypto.certificate_files import read_certificates, read_lists
from ..crypto.certificate_life import ending_of, ending_of_list
from ..crypto.certificates import Certificate
from ..crypto.demands import Demand
from ..crypto.private_keys import PrivateKey, read_private_key
from ..crypto.public_keys import public_key_of, read_public_key
from ..crypto.revocation_lists import RevocationList
from ..crypto.signature_auth import (
    KnownCertificate,
    KnownKey,
    PeerKey,
    Signature,
    Vouched,
    own_certificates,
    own_raw_key,
)
from ..crypto.trust import TrustStore
from ..errors import InputError, MissingError
from ..identity import Identity
from ..secret import Secret
from .credentials import Certified, Preshared, RawKeys
from .formats import MARK
from .parsing import Definition

# The octets of a file, by its path and the field that names it; raises InputError.
Read = Callable[[str, str], bytes]
T = TypeVar("T")
Placed = tuple[str, T]  # with the field that it stands in

_MOST_PARSED = 4096  # files, of as many as a gateway has


class Authenticators:
    """Makes them.

    :param read: reads a file of this host.
    :param now: Unix seconds, for what is not valid any more or not yet; None for what was defined before, which is
        taken as it is: the clock may be behind.
    """

    def __init__(self, read: Read, now: float | None) -> None:
        self._read = read
        self._now = now
        self._parsed: dict[bytes, Any] = {}

    def make(self, definition: Definition, prefix: str = "") -> Authenticator:
        """What the credential of a definition makes, with the files as they are now.

        :param prefix: of its fields, for problems.
        :raises InputError: naming the option whose file or value cannot be used, and the remedy.
        :raises MissingError: a package is lacking that it takes.
        """
        credential = definition.credential
        if isinstance(credential, Preshared):
            return PresharedKey(credential.secret, credential.also_accept)
        if isinstance(credential, RawKeys):
            return self._raw(credential, f"{prefix}auth")
        if isinstance(credential, Certified):
            ours = f"{prefix}local.id", Identity.parse(definition.document["local"]["id"])
            return self._certified(credential, f"{prefix}auth", ours, definition.document["remote"]["id"])
        raise TypeError(f"no authenticator for {type(credential).__name__}")

    def _raw(self, credential: RawKeys, field: str) -> Signature:
        key = self._private(credential.key, credential.passphrase, field)
        where = f"{field}.remote_key"
        octets = self._content(credential.remote_key, where)
        peer = self._once("public", octets, lambda: read_public_key(octets, where))
        if peer.info == key.public.info:
            raise InputError(where, None, f"is that of {field}.key itself", "give the public key of the peer")
        return Signature(own_raw_key(key), KnownKey(peer), "a raw public key", "key")

    def _certified(self, credential: Certified, field: str, identity: Placed[Identity], remote_id: str) -> Signature:
        key = self._private(credential.key, credential.passphrase, field)
        chain = self._certificates(credential.certificate, f"{field}.certificate")
        authorities = self._each(credential.ca, f"{field}.ca", self._certificates)
        lists = self._each(credential.crl, f"{field}.crl", self._lists)
        given = Given(
            [(f"{field}.certificate", one) for one in chain],
            (f"{field}.key", key.public.key),
            identity,
            authorities,
            lists,
            credential.revocation,
            field,
        )
        if self._now is None:
            check_lasting(given)
        else:
            check_given(given, self._now)
        known = self._one(credential.remote_certificate, f"{field}.remote_certificate")
        peer = self._peer(credential, field, known, authorities, lists)
        certificates = [*chain, *(one for _field, one in authorities)]
        if known is not None:
            certificates.append(known)
            _check_peer(known, key, remote_id if authorities else None, field)
        own = own_certificates(key, chain, credential.send_cert)
        endings = [*map(ending_of, certificates), *(ending_of_list(one) for _field, one in lists)]
        return Signature(own, peer, "a certificate", "signature", tuple(endings))

    def _peer(
        self,
        credential: Certified,
        field: str,
        known: Certificate | None,
        authorities: list[Placed[Certificate]],
        lists: list[Placed[RevocationList]],
    ) -> PeerKey:
        """How the peer is known; ``known`` is its certificate, where that is given."""
        if known is not None:
            self._check_known(known, f"{field}.remote_certificate")
        through = self._one(credential.remote_ca, f"{field}.remote_ca")
        if through is not None:
            with naming(f"{field}.remote_ca"):
                check_authority(through)
        demands = [Demand.parse(word, f"{field}.demands[{at}]") for at, word in enumerate(credential.demands)]
        if not authorities and known is not None:
            return KnownCertificate(known, public_key_of(known.key))
        contents = [one.der for _field, one in authorities], [one.der for _field, one in lists]
        rest = credential.revocation, demands, through
        store = self._once(
            "store",
            repr((contents, *rest)).encode(),
            lambda: TrustStore.of([one for _f, one in authorities], [one for _f, one in lists], *rest),
        )
        return Vouched.by(store, known)

    def _check_known(self, certificate: Certificate, field: str) -> None:
        with naming(field):
            check_key(certificate)
            if self._now is not None:
                check_time(certificate, self._now)

    # What files hold

    def _private(self, path: str, passphrase: Secret | None, field: str) -> PrivateKey:
        octets = self._read(path, f"{field}.key")
        secret = b"" if passphrase is None else passphrase.reveal()
        where = f"{field}.key", f"{field}.passphrase"
        return self._once("private", secret + b"\0" + octets, lambda: read_private_key(octets, passphrase, *where))

    def _certificates(self, text: str, field: str) -> tuple[Certificate, ...]:
        octets = self._content(text, field)
        return self._once("certificates", octets, lambda: read_certificates(octets, field))

    def _lists(self, text: str, field: str) -> tuple[RevocationList, ...]:
        octets = self._content(text, field)
        return self._once("lists", octets, lambda: read_lists(octets, field))

    def _one(self, text: str | None, field: str) -> Certificate | None:
        """The certificate of an option that has one at most."""
        return None if text is None else self._certificates(text, field)[0]

    def _each(self, texts: Iterable[str], field: str, read: Callable[[str, str], Iterable[T]]) -> list[Placed[T]]:
        """What is in all texts of a list, each with its place."""
        return [
            (f"{field}[{place}]", one) for place, text in enumerate(texts) for one in read(text, f"{field}[{place}]")
        ]

    def _content(self, text: str, field: str) -> bytes:
        """What an option is that has PEM or the path of a file."""
        return text.encode() if MARK in text else self._read(text, field)

    def _once(self, kind: str, octets: bytes, parse: Callable[[], T]) -> T:
        """What these octets are; parsed the first time."""
        digest = hashlib.sha256(kind.encode() + octets).digest()
        found: T | None = self._parsed.get(digest)
        if found is None:
            if len(self._parsed) >= _MOST_PARSED:
                self._parsed.clear()
            found = self._parsed[digest] = parse()
        return found


def _check_peer(known: Certificate, own: PrivateKey, remote_id: str | None, field: str) -> None:
    """That a certificate which is known to be the peer's can be that.

    :param remote_id: whom an authority vouches for by it; None without one: then it proves whomever it is given for.
    :raises InputError: naming ``remote_certificate``.
    """
    where = f"{field}.remote_certificate"
    if public_key_of(known.key).info == own.public.info:
        raise InputError(where, None, f"is for the key of {field}.key", "give the certificate of the peer")
    if remote_id is not None:
        with naming(where):
            check_identity(known, Identity.parse(remote_id))


def usable(authenticators: Authenticators, definition: Definition) -> Authenticator | str:
    """What a credential makes, or why it makes nothing."""
    try:
        return authenticators.make(definition)
    except (InputError, MissingError) as exc:
        return str(exc)
