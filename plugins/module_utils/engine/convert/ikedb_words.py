# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Words of the XML of AIX's ikedb: attributes, values, identities, algorithms.

Elements and attributes are as AIX's manuals name them; those that could not be confirmed on an AIX host are said to be
so in the documentation.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import product

from ..crypto.proposals import AH_PROFILES, ESP_PROFILES, IKE_PROFILES
from . import words
from .algorithms import GROUP_NUMBERS
from .report import IGNORED, LOST
from .rows import Carried, Left, Rows, Tell

ROOT = "AIX_VPN"
REMARK = "fleet-ipsec"  # target of the processing instructions that hold what AIX has no words for
MAX_TRANSFORMS = 64

_FLAG = re.compile(r"(?i)yes|no|0|1|true|false")
_COUNT = re.compile(r"\d{1,10}", re.ASCII)
_ROLE = re.compile(r"(?i)both|initiator|responder")

# What an attribute's value has to look like, by the end of its name.
VALUES: tuple[tuple[str, re.Pattern[str], str], ...] = (
    ("_Role", _ROLE, "write Both, Initiator or Responder"),
    ("_XCHGMode", re.compile(r"(?i)main|aggressive|(ike)?v?2(mode)?|ike_?v2"), "write Main, Aggressive or IKEv2"),
    ("KeyOverlap", re.compile(r"\d\d?|100", re.ASCII), "write a percentage, 0 to 100"),
    ("Minutes", _COUNT, "write a number of minutes"),
    ("KB", _COUNT, "write a number of kilobytes"),
    ("ExtendedSeqNum", re.compile(r"[01]|(?i:yes|no)", re.ASCII), "write 0 or 1"),
    ("EncapsulationMode", re.compile(r"(?i)(esp_|ah_)?(tunnel|transport)"), "write Tunnel or Transport"),
    ("AuthenticationMethod", re.compile(r"(?i)[a-z0-9_ -]+"), "write Preshared_key"),
    ("DHGroup", re.compile(r"(?i)(\s*(no_pfs|(group_?)?\d{1,5})[\s,]*)+"), "write numbers of groups, 0 for none"),
    ("Port", re.compile(r"\d{1,5}", re.ASCII), "write a port, 0 to 65535"),
    ("Protocol", re.compile(r"(?i)[a-z0-9]+", re.ASCII), "write the number of a protocol, 0 for all"),
    ("Format", re.compile(r"(?i)ascii|hex"), "write ASCII or Hex"),
)
FLAGS = re.compile(r"_Flags_")


def fault(attribute: str, value: str) -> str | None:
    """What to write instead, where an attribute has a value that cannot be; None where all is well."""
    if FLAGS.search(attribute):
        return None if _FLAG.fullmatch(value) else "write Yes or No"
    for ending, pattern, remedy in VALUES:
        if attribute.endswith(ending):
            return None if pattern.fullmatch(value) else remedy
    return None


def _minutes(text: str, tell: Tell) -> int | None:
    """A lifetime; 0 is for none of its own."""
    return words.duration(10, "m")(text, tell) if int(text) else None


def _kilobytes(text: str, tell: Tell) -> int:
    return int(text) * 1024


_REFRESH = Left(IGNORED, "the responder's bounds are not checked")
_OVERLAP = Left(IGNORED, "the engine chooses its own margin", silent=("10",))
_TUNNEL_LIFE = Left(LOST, "a tunnel stays until it is ended", "", ("0", "43200", "44640"))
_NO_SIZE = Left(LOST, "an IKE SA is rekeyed by time alone", silent=("no", "0", "false"))

PROTECTION: Rows = {
    "IKE_Role": Carried("role", words.choice({"both": "both", "initiator": "initiator", "responder": "responder"})),
    "IKE_KeyOverlap": _OVERLAP,
    "IKE_TunnelLifeTimeMinutes": _TUNNEL_LIFE,
    "IKE_TunnelLifeTimeKB": Left(LOST, "a tunnel stays until it is ended", "", ("0",)),
    "IKE_Flags_UseCRL": Left(IGNORED, "it has no meaning with pre-shared keys"),
    "IKE_Flags_UseLifeSize": _NO_SIZE,
    "IKE_IPSecDefaultProtectionRef": Left(LOST, "what no phase 2 tunnel names is refused", "define a tunnel for it"),
    "IKE_IPSecDefaultAllowedTypes": Left(LOST, "what no phase 2 tunnel names is refused", "define a tunnel for it"),
    **{f"IKE_ResponderKeyRefresh{end}": _REFRESH for end in ("MinMinutes", "MaxMinutes", "MinKB", "MaxKB")},
}
TRANSFORM: Rows = {
    "IKE_KeyRefreshMinutes": Carried("ike.lifetime", _minutes),
    "IKE_KeyRefreshKB": Left(LOST, "an IKE SA is rekeyed by time alone", silent=("0",)),
}
TUNNEL: Rows = {
    "IKE_Flags_MakeRuleWithOptionalIP": Left(IGNORED, "no filter rules are made"),
}
IPSEC_PROTECTION: Rows = {
    "IPSec_Role": Left(LOST, "the role of the phase 1 tunnel counts", silent=("both",)),
    "IPSec_KeyOverlap": _OVERLAP,
    "IPSec_Flags_UseCommitBit": Left(IGNORED, "IKEv2 has no commit bit"),
    "IPSec_ResponderDHGroup": Left(LOST, "the initiator's groups count for both", "see that they are the same"),
    "IPSec_TunnelLifeTimeMinutes": _TUNNEL_LIFE,
    "IPSec_TunnelLifeTimeKB": Left(LOST, "a tunnel stays until it is ended", "", ("0",)),
    **{f"IPSec_ResponderKeyRefresh{end}": _REFRESH for end in ("MinMinutes", "MaxMinutes", "MinKB", "MaxKB")},
}


def _of_protocol(name: str) -> Rows:
    modes = {f"{kind}{mode}": mode for kind in ("", f"{name.lower()}_") for mode in ("tunnel", "transport")}
    return {
        f"{name}_KeyRefreshMinutes": Carried("lifetime", _minutes),
        f"{name}_KeyRefreshKB": Carried("lifetime_bytes", _kilobytes),
        f"{name}_EncapsulationMode": Carried("mode", words.choice(modes)),
    }


ESP, AH = _of_protocol("ESP"), _of_protocol("AH")

# Which of them a child has once for all proposals, and what holds where nothing is said; behind ESP_ or AH_.
OF_ALL = {"EncapsulationMode": "tunnel", "KeyRefreshMinutes": "0", "KeyRefreshKB": "0"}

# Algorithms that AIX knows, by our names.
CIPHERS = {
    "aes256gcm16": "AES-GCM-256", "aes192gcm16": "AES-GCM-192", "aes128gcm16": "AES-GCM-128",
    "aes256": "AES-CBC-256", "aes192": "AES-CBC-192", "aes128": "AES-CBC-128", "3des": "3DES-CBC", "null": "NULL",
}  # fmt: skip
HASHES = {"sha1": "SHA", "sha256": "SHA2-256"}
GROUPS = {name: number for name, number in GROUP_NUMBERS.items() if number in (2, 5, 14, 19)}

Transform = tuple[str, str, str, str]  # cipher, hash, PRF, group; by our names, empty for none


def ike_transforms(proposals: str | list[str]) -> list[Transform]:
    """What of an IKE SA's proposals AIX can be told: every combination is a transform there."""
    found: list[Transform] = []
    for names in _words(proposals, IKE_PROFILES):
        ciphers = [name for name in names if name in CIPHERS and name != "null"]
        hashes = [name for name in names if name in HASHES]
        functions = [name[3:] for name in names if name.startswith("prf") and name[3:] in HASHES]
        groups = [name for name in names if name in GROUPS]
        aead = any("gcm" in name for name in ciphers)
        middle = [("", name) for name in functions or hashes] if aead else product(hashes, functions or [""])
        found += [(cipher, *pair, group) for cipher, pair, group in product(ciphers, list(middle), groups)]
    return list(dict.fromkeys(found))[:MAX_TRANSFORMS]


def esp_transforms(proposals: str | list[str]) -> tuple[list[Transform], list[str]]:
    """What of a child's proposals AIX can be told, and the key exchanges of its rekeys."""
    found: list[Transform] = []
    groups: list[str] = []
    for names in _words(proposals, ESP_PROFILES):
        ciphers = [name for name in names if name in CIPHERS]
        hashes = [name for name in names if name in HASHES]
        groups += [name for name in names if name in GROUPS]
        aead = any("gcm" in name for name in ciphers)
        esn = "esn" if "noesn" not in names or "esn" in names else "noesn"
        found += [(cipher, integrity, "", esn) for cipher, integrity in product(ciphers, [""] if aead else hashes)]
    return list(dict.fromkeys(found))[:MAX_TRANSFORMS], list(dict.fromkeys(groups))


def ah_transforms(proposals: str | list[str]) -> tuple[list[str], list[str]]:
    """What of the proposals of a child with AH AIX can be told, and the key exchanges of its rekeys."""
    listed = _words(proposals, AH_PROFILES)
    hashes = dict.fromkeys(name for names in listed for name in names if name in HASHES)
    groups = dict.fromkeys(name for names in listed for name in names if name in GROUPS)
    return list(hashes)[:MAX_TRANSFORMS], list(groups)


def _words(proposals: str | list[str], profiles: Mapping[str, tuple[str, ...]]) -> list[list[str]]:
    texts = [proposals] if isinstance(proposals, str) else proposals
    listed = [item.strip().lower() for text in texts for item in text.split(",")]
    return [words.split("-") for item in listed for words in profiles.get(item, (item,))]
