# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""IKE identities (RFC 7296 section 3.5) and their text form."""

from __future__ import annotations

import functools
import ipaddress

from . import dn
from .errors import InputError
from .newer_python import dataclass

ID_IPV4_ADDR = 1
ID_FQDN = 2
ID_RFC822_ADDR = 3
ID_IPV6_ADDR = 5
ID_DER_ASN1_DN = 9
ID_KEY_ID = 11

# Octets of identification data: several times the longest name that anybody has.
LONGEST = 2048

_PREFIXES = {
    "fqdn": ID_FQDN,
    "email": ID_RFC822_ADDR,
    "keyid": ID_KEY_ID,
    "ipv4": ID_IPV4_ADDR,
    "ipv6": ID_IPV6_ADDR,
    "dn": ID_DER_ASN1_DN,
}
_NAMES = {number: name for name, number in _PREFIXES.items()}


@dataclass(frozen=True, slots=True)
class Identity:
    """Who an end claims to be.

    :ivar type: ID type number.
    :ivar data: identification data as on the wire, octets.
    """

    type: int
    data: bytes

    @classmethod
    def parse(cls, text: str, field: str = "id") -> Identity:
        """Read an address, a host name, ``user@host`` or ``TYPE:VALUE`` (fqdn, email, keyid, dn, ipv4, ipv6).

        A distinguished name is written ``dn:C=DE, O=Fleet, CN=gw``, or as the hexadecimal digits of its DER; a key ID
        as text, or ``keyid:#0a0b0c`` where it is no text.

        :raises InputError: naming ``field``.
        """
        try:
            return cls._read(text)
        except InputError as problem:
            raise InputError(field, problem.value, problem.problem, problem.remedy) from None

    # Checking a definition reads each of its texts several times over.
    @classmethod
    @functools.lru_cache(maxsize=1024)
    def _read(cls, text: str, field: str = "") -> Identity:
        value = text.strip()
        prefix, colon, rest = value.partition(":")
        if colon and prefix.lower() in _PREFIXES and rest:
            return cls._typed(_PREFIXES[prefix.lower()], rest, text, field)
        try:
            address = ipaddress.ip_address(value)
        except ValueError:
            pass
        else:
            return cls(ID_IPV4_ADDR if address.version == 4 else ID_IPV6_ADDR, address.packed)
        if value.startswith("@"):
            return cls._typed(ID_FQDN, value[1:], text, field)
        return cls._typed(ID_RFC822_ADDR if "@" in value else ID_FQDN, value, text, field)

    @classmethod
    def _typed(cls, number: int, value: str, text: str, field: str) -> Identity:
        if number in (ID_IPV4_ADDR, ID_IPV6_ADDR):
            try:
                address = ipaddress.ip_address(value)
            except ValueError as exc:
                raise InputError(field, text, str(exc), "write an address after the type") from None
            if (address.version == 4) != (number == ID_IPV4_ADDR):
                raise InputError(field, text, "the address is of the other family", "use ipv4: or ipv6: to match")
            return cls(number, address.packed)
        if number == ID_DER_ASN1_DN:
            return cls(number, _dn_octets(value, field))
        if len(value) > LONGEST:
            raise InputError(
                field, f"{text[:40]}…", "is longer than any identity", f"write no more than {LONGEST} octets"
            )
        if number == ID_KEY_ID and value.startswith("#"):
            return cls(number, _key_id_octets(value[1:], field))
        # A key ID is whatever both ends call it.
        first = " " if number == ID_KEY_ID else "!"
        if not value or any(char < first or char == "\x7f" or "\ud800" <= char <= "\udfff" for char in value):
            raise InputError(field, text, "an identity has no blanks or control characters", _instead(number, value))
        return cls(number, value.encode())

    def matches(self, other: Identity) -> bool:
        """Whether both name the same end: same type, same octets; names without regard to case."""
        return self == other or self.key == other.key

    @property
    def key(self) -> tuple[int, bytes]:
        """The same for identities that match each other, to look them up by."""
        if self.type in (ID_FQDN, ID_RFC822_ADDR):
            return self.type, self.data.lower()
        return self.type, dn.key(self.data) if self.type == ID_DER_ASN1_DN else self.data

    @property
    def canonical(self) -> str:
        """The same text for identities that match each other, without anything that a terminal would interpret."""
        if self.type in (ID_FQDN, ID_RFC822_ADDR):
            return str(Identity(self.type, self.data.lower()))
        name = dn.folded_text(self.data) if self.type == ID_DER_ASN1_DN else None
        return str(self) if name is None else f"dn:{name}"

    def __str__(self) -> str:
        if (self.type == ID_IPV4_ADDR and len(self.data) == 4) or (self.type == ID_IPV6_ADDR and len(self.data) == 16):
            return str(ipaddress.ip_address(self.data))
        if self.type in (ID_FQDN, ID_RFC822_ADDR):
            # Peers choose these octets: print nothing a terminal or a log would interpret.
            return "".join(chr(o) if 0x21 <= o < 0x7F else f"\\x{o:02x}" for o in self.data)
        if self.type == ID_KEY_ID:
            return f"keyid:{_key_id_text(self.data)}"
        name = dn.text_of(self.data) if self.type == ID_DER_ASN1_DN else None
        return f"{_NAMES.get(self.type, self.type)}:{name or self.data.hex()}"


def _instead(number: int, value: str) -> str:
    """What to write where a name has characters that none has."""
    if number == ID_KEY_ID:
        return "write keyid:# and hexadecimal digits"
    if "=" in value:
        return f"write dn:{value} if it is a distinguished name"
    return "write a host name, user@host or address; keyid:TEXT may have blanks"


def _key_id_octets(digits: str, field: str) -> bytes:
    """The octets of a key ID that is given as hexadecimal digits."""
    try:
        octets = bytes.fromhex(digits)
    except ValueError:
        octets = b""
    if not octets:
        remedy = "write an even number of hexadecimal digits after keyid:#, as in keyid:#0a0b0c"
        raise InputError(field, f"keyid:#{digits}", "is no key ID in hexadecimal digits", remedy)
    return octets


def _key_id_text(octets: bytes) -> str:
    """A key ID as it is read again: as text where nothing in it could be taken for something else."""
    plain = all(0x21 <= octet < 0x7F for octet in octets) and not octets.startswith(b"#")
    return octets.decode("ascii") if plain and octets else f"#{octets.hex()}"


def _dn_octets(value: str, field: str) -> bytes:
    """The DER of a name given as text or as hexadecimal digits."""
    if "=" in value:
        return dn.encode(value, field)
    try:
        octets = bytes.fromhex(value)
    except ValueError:
        octets = b""
    if dn.decode(octets) is None:
        raise InputError(
            field, f"dn:{value}", "is not a distinguished name", "write it such as dn:C=DE, O=Fleet, CN=gw"
        )
    return octets
