# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Vendor IDs as rows: what they say, whose software sends them, and how that is known.

A vendor ID is what the peer says of itself (RFC 2408 section 3.16, RFC 7296 section 3.12):
anybody can send any of them.
"""

from __future__ import annotations

from typing import NamedTuple


class VendorId(NamedTuple):
    """One row.

    :ivar prefix: its first octets in hexadecimal; versions and flags may follow.
    :ivar says: what it says, for people.
    :ivar implementation: whose software sends it; empty when that of many does.
    :ivar source: how it is known: ``MD5 of TEXT`` and ``text TEXT`` prove themselves; ``ike-scan 1.9.5`` stands for the
        observations in that program's data, ``seen`` for what the maker's own log shows.
    """

    prefix: str
    says: str
    implementation: str
    source: str


_WINDOWS, _SCREENOS = "Microsoft Windows", "Juniper ScreenOS"
_FREESWAN = "FreeS/WAN, Openswan or Libreswan"

VENDOR_IDS: tuple[VendorId, ...] = (
    # Abilities that many have.
    VendorId("afcad71368a1f1c96b8696fc7757", "DPD (RFC 3706)", "", "RFC 3706 section 5.1"),
    VendorId("09002689dfd6b712", "XAUTH", "", "draft-beaulieu-ike-xauth-02 section 3"),
    VendorId("4a131c81070358455c5728f20e95452f", "NAT-T (RFC 3947)", "", "MD5 of RFC 3947"),
    VendorId("4485152d18b6bbcd0be8a8469579ddcc", "NAT-T (draft 00)", "", "MD5 of draft-ietf-ipsec-nat-t-ike-00"),
    VendorId("cd60464335df21f87cfdb2fc68b6a448", "NAT-T (draft 02)", "", "MD5 of draft-ietf-ipsec-nat-t-ike-02"),
    VendorId("90cb80913ebb696e086381b5ec427b1f", "NAT-T (draft 02)", "", "MD5 of draft-ietf-ipsec-nat-t-ike-02\n"),
    VendorId("7d9419a65310ca6f2c179d9215529d56", "NAT-T (draft 03)", "", "MD5 of draft-ietf-ipsec-nat-t-ike-03"),
    VendorId("4df37928e9fc4fd1b3262170d515c662", "NAT-T (draft)", "", "MD5 of draft-ietf-ipsec-nat-t-ike"),
    VendorId("4048b7d56ebce88525e7de7f00d6c2d3", "IKE fragmentation", "", "MD5 of FRAGMENTATION"),
    VendorId("621b04bb09882ac1e15935fefa24aeee", "GSS-API authentication", "", "MD5 of GSSAPI"),
    # Others say it too, to be treated like Cisco's own.
    VendorId("12f5f28c457168a9702d9fe274cc", "Cisco Unity", "", "MD5 of CISCO-UNITY"),
    VendorId("4865617274426561745f4e6f74696679", "HeartBeat_Notify", "", "text HeartBeat_Notify"),
    # Implementations.
    VendorId("882fe56d6fd20dbc2251613b2ebe5beb", "strongSwan", "strongSwan", "MD5 of strongSwan"),
    VendorId("9e10a0d4205edc6c90bd5381a53c2d2b", "strongSwan 5.1.1", "strongSwan", "MD5 of strongSwan 5.1.1"),
    VendorId("4f452d4c6962726573776", "Libreswan", "Libreswan", "text OE-Libreswan"),
    VendorId("4f45", _FREESWAN, _FREESWAN, "text OE"),
    VendorId("4f5357", "Openswan", "Openswan", "text OSW"),
    VendorId("7003cbc1097dbe9c2600ba6983bc8b35", "racoon", "racoon", "MD5 of KAME/racoon"),
    VendorId("434953434f28434f5059524947485429", "Cisco", "Cisco", "text CISCO(COPYRIGHT)"),
    VendorId("434953434f2d44454c4554452d524541534f4e", "Cisco delete reason", "Cisco", "text CISCO-DELETE-REASON"),
    VendorId("434953434f2d44594e414d49432d524f555445", "Cisco dynamic route", "Cisco", "text CISCO-DYNAMIC-ROUTE"),
    VendorId("434953434f56504e2d5245562d3032", "Cisco VPN revision 2", "Cisco", "text CISCOVPN-REV-02"),
    VendorId("464c455856504e2d535550504f52544544", "Cisco FlexVPN", "Cisco", "text FLEXVPN-SUPPORTED"),
    VendorId("1f07f70eaa6514d3b0fa96542a", "Cisco VPN 3000", "Cisco", "ike-scan 1.9.5"),
    VendorId("1e2b516905991c7d7c96fcbfb587e461", _WINDOWS, _WINDOWS, "MD5 of MS NT5 ISAKMPOAKLEY"),
    VendorId("fb1de3cdf341b7ea16b7e5be0855f120", _WINDOWS, _WINDOWS, "MD5 of MS-Negotiation Discovery Capable"),
    VendorId("26244d38eddb61b3172a36e3d0cfb819", _WINDOWS, _WINDOWS, "MD5 of Vid-Initial-Contact"),
    VendorId("214ca4faffa7f32d6748e5303395ae83", _WINDOWS, _WINDOWS, "MD5 of MS-MamieExists"),
    VendorId("e3a5966a76379fe707228231e5ce8652", _WINDOWS, _WINDOWS, "MD5 of IKE CGA version 1"),
    VendorId("72872b95fcda2eb708efe322119b4971", _WINDOWS, _WINDOWS, "MD5 of NLBS_PRESENT"),
    VendorId("4d6163204f53582031302e78", "Mac OS X", "Apple", "text Mac OSX 10.x"),
    VendorId("f4ed19e0c114eb516faaac0ee37daf2807b4381f", "Check Point", "Check Point", "ike-scan 1.9.5"),
    VendorId("8299031757a36082c6a621de", "FortiGate", "Fortinet FortiGate", "seen in FortiOS"),
    VendorId("1d6e178f6c2c0be284985465450fe9d4", "FortiGate", "Fortinet FortiGate", "ike-scan 1.9.5"),
    *(
        VendorId(prefix, _SCREENOS, _SCREENOS, "ike-scan 1.9.5")
        for prefix in (
            "299ee8289f40a8973bc78687e2e7226b532c3b76", "3a15e1f3cf2a63582e3ac82d1c64cbe3b6d779e7",
            "47d2b126bfcd83489760e2cf8c5d4d5a03497c15", "4a4340b543e02b84c88a8b96a8af9ebe77d9accc",
            "64405f46f03b7660a23be116a1975058e69e8387", "699369228741c6d4ca094c93e242c9de19e7b7c6",
            "8c0dc6cf62a0ef1b5c6eabd1b67ba69866adf16a", "92d27a9ecb31d99246986d3453d0c3d57a222a61",
            "9b096d9ac3275a7d6fe8b91c583111b09efed1a0", "bf03746108d746c904f1f3547de24f78479fed12",
            "c2e80500f4cc5fbf5daaeed3bb59abaeee56c652", "c8660a62b03b1b6130bf781608d32a6a8d0fb89f",
            "f885da40b1e7a9abd17655ec5bbec0f21f0ed52e", "2a2bcac19b8e91b426107807e02e7249569d6fd3",
            "166f932d55eb64d8e4df4fd37e2313f0d0fd8451", "a35bfd05ca1ac0b3d2f24e9e82bfcbff9c9e52b5",
        )
    ),
    VendorId("5b362bc820f6", "SonicWall", "SonicWall", "ike-scan 1.9.5"),
    VendorId("404bf439522ca3f6", "SonicWall", "SonicWall", "ike-scan 1.9.5"),
    VendorId("424e4553", "Nortel Contivity", "Nortel Contivity", "ike-scan 1.9.5"),
    VendorId("c573b056d7faca36c2fba28374127cbf", "StoneGate", "StoneGate", "ike-scan 1.9.5"),
    VendorId("baeb239037e17787d730eed9d95d48aa", "StoneGate", "StoneGate", "ike-scan 1.9.5"),
    VendorId("b858d1addd08c1e8adafea150608aa4497aa6cc8", "ZyXEL ZyWALL", "ZyXEL", "ike-scan 1.9.5"),
    VendorId("f758f22668750f03b08df6ebe1d0", "ZyXEL ZyWALL USG", "ZyXEL", "ike-scan 1.9.5"),
    VendorId("625027749d5ab97f5616c1602765cf480a3b7d0b", "ZyXEL ZyWALL", "ZyXEL", "ike-scan 1.9.5"),
    VendorId("47bbe7c993f1fc13b4e6d0db565c68e5", "SafeNet SoftRemote", "SafeNet", "ike-scan 1.9.5"),
    VendorId("526170746f7220506f77657256706e20536572766572", "Symantec Raptor", "Symantec Raptor",
             "text Raptor PowerVpn Server"),
    VendorId("54494d4553544550", "TimeStep", "TimeStep", "text TIMESTEP"),
)  # fmt: skip


def known(vendor_id: bytes) -> VendorId | None:
    """The row of a vendor ID, the one that says most; None when we do not know it."""
    text = vendor_id.hex()
    return max(
        (row for row in VENDOR_IDS if text.startswith(row.prefix)), key=lambda row: len(row.prefix), default=None
    )


def vendor_name(vendor_id: bytes) -> str:
    """What a vendor ID says; empty when we do not know it."""
    row = known(vendor_id)
    return row.says if row else ""
