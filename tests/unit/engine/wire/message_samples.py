# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Messages as octets and as values, and one that is sealed by hand."""

from __future__ import annotations

from engine.identity import Identity
from engine.wire.header import INITIATOR
from engine.wire.v2.auth import AUTH
from engine.wire.v2.ident import IDi
from engine.wire.v2.ke import KE
from engine.wire.v2.message import (
    encode_message,
    encode_payloads,
)
from engine.wire.v2.nonce import Nonce
from engine.wire.v2.sa import SA
from engine.wire.v2.sealed import Sealed

SPI_I = bytes(range(1, 9))
SPI_R = bytes(range(0x11, 0x19))
# What strongSwan 5.9.8 answered to an IKE_SA_INIT.
CHARON = bytes.fromhex(
    "0102030405060708325d7b5939243842212022200000000000000188220000300000002c010100040300000c0100000c800e0080"
    "030000080300000c0300000802000005000000080400000e28000108000e0000c04fd3679fd1b062d1c8c8c9e9653240dd064d76"
    "da07871eb0a54ac48d503b2a28e10f1bf0f17eca3b74c8009a21c780fced8f49fcb2e5d70d67688b060192c462308c05e20a719f"
    "c3977e97e5b2abd810368e9465e95e3ff96eb2f80c6804f4fcf8ee7e6079e202574236d888fbff0bf12b09df105dffad10a151b6"
    "a8d0563416868cbdd3fdde6b67735db6886e35a1c54ac46ae729a72a5a510c060bc53521cffd24ff0e3d474565974a9eb9a626bb"
    "60be4feb62d88a9862879d689aade9cf5f8552310b4484db4cf057ce86f939ecf83753aa7803841f06514de04f3eb2af0868fd16"
    "c15f27ab7b5bdc24c21c70d95c961aad26289318eaad66ef5d16e047290000247ea021b0d8782bcf8c107cb9fb15ec3de23023c3"
    "521892b16ee2a33e6aefe7d429000008000040220000000800004014"
)


def encode_sealed_by_hand(payloads: tuple) -> bytes:
    """A message around payloads that encode_message leaves open: the last one's next payload field is filled in."""
    first, chain = encode_payloads(payloads)
    last = payloads[-1]
    at = len(chain) - len(last.encode()) - 4
    chain = chain[:at] + bytes((last.inner_next_payload,)) + chain[at + 1 :]
    return (
        encode_message(SPI_I, SPI_R, 35, INITIATOR, 1, ())[:16]
        + bytes((first,))
        + (bytes.fromhex("20 23 08 00000001") + (28 + len(chain)).to_bytes(4, "big") + chain)
    )


KE_1, NONCE_1, IDI_1 = KE(31, b"k"), Nonce(bytes(16)), IDi(Identity(2, b"a"))
ONCE = [SA(()), KE_1, NONCE_1, IDI_1, AUTH(2, b"a"), Sealed(0, b"a")]
