# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Post-quantum preshared keys (RFC 8784): what is recorded today stays secret when its key exchange is broken."""

from __future__ import annotations

from dataclasses import replace

from ..newer_python import dataclass
from ..secret import Secret
from .keys import IkeKeys
from .prf import prf_plus
from .registry import PseudorandomFunction


@dataclass(frozen=True, slots=True)
class Ppk:
    """A key that both ends have besides what they authenticate with.

    :ivar name: its PPK_ID, by which the initiator says in clear text to the responder which one it mixes in.
    """

    name: bytes
    secret: Secret


def mix(prf: PseudorandomFunction, keys: IkeKeys, ppk: Ppk) -> IkeKeys:
    """The keys with a PPK in SK_d, SK_pi and SK_pr; those that protect messages stay (RFC 8784 section 3)."""
    function, secret = prf.primitive, ppk.secret.reveal()

    def mixed(key: Secret) -> Secret:
        return Secret(prf_plus(function, secret, key.reveal(), function.size))

    return replace(keys, d=mixed(keys.d), pi=mixed(keys.pi), pr=mixed(keys.pr))
