# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Key schedules of the IKE SA and of its children (RFC 7296 sections 2.14, 2.17, 2.18)."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import IkeError
from ..newer_python import dataclass
from ..secret import Secret
from ..wire.v2.numbers import NotifyType
from .hashes import Hmac
from .negotiation import Choice
from .prf import prf_plus
from .registry import PseudorandomFunction


@dataclass(frozen=True, slots=True)
class IkeKeys:
    """The seven keys of an IKE SA: SK_d, SK_ai, SK_ar, SK_ei, SK_er, SK_pi, SK_pr.

    The encryption keys carry an AEAD's salt behind the key; the integrity keys are empty then.
    """

    d: Secret
    ai: Secret
    ar: Secret
    ei: Secret
    er: Secret
    pi: Secret
    pr: Secret


@dataclass(frozen=True, slots=True)
class ChildKeys:
    """Keys of a pair of Child SAs: ``_i`` protects what the exchange's initiator sends, ``_r`` what it receives.

    The encryption keys carry an AEAD's salt behind the key, as the kernel wants them.
    """

    encr_i: Secret
    integ_i: Secret
    encr_r: Secret
    integ_r: Secret


def check_nonces(choice: Choice, *nonces: bytes) -> None:
    """Refuse nonces that no keys of an IKE SA are made of; to be asked before anything dear is done for them.

    :raises IkeError: one is shorter than half the PRF's key (section 2.10).
    """
    _check_nonces(_prf_of(choice), *nonces)


def derive_ike(choice: Choice, shared: Secret, nonce_i: bytes, nonce_r: bytes, spi_i: bytes, spi_r: bytes) -> IkeKeys:
    """Keys of a new IKE SA.

    :param shared: ``g^ir``. The nonces are the payloads' data; the SPIs 8 octets each.
    :raises IkeError: when a nonce is shorter than half the PRF's key (section 2.10).
    """
    check_nonces(choice, nonce_i, nonce_r)
    function = _prf_of(choice)
    nonces = nonce_i + nonce_r
    seed = function.digest(nonces, shared.reveal())
    return _expand(choice, function, seed, nonces + spi_i + spi_r)


def rederive_ike(
    old_prf: PseudorandomFunction,
    old_d: Secret,
    choice: Choice,
    shared: Secret,
    nonce_i: bytes,
    nonce_r: bytes,
    spi_i: bytes,
    spi_r: bytes,
    more: Sequence[Secret] = (),
) -> IkeKeys:
    """Keys of an IKE SA that replaces another: SKEYSEED comes from the old SA's PRF and SK_d (section 2.18).

    The roles, nonces and SPIs are those of the rekeying exchange and of the new SA. Likewise fresh keys of an IKE SA
    that has its nonces and SPIs already, after each additional key exchange of its handshake (RFC 9370 section 2.2.2).

    :param more: of the additional key exchanges of the rekey (RFC 9370 section 2.2.4).

    :raises IkeError: as :func:`derive_ike`.
    """
    function = _prf_of(choice)
    _check_nonces(function, nonce_i, nonce_r)
    nonces = nonce_i + nonce_r
    secrets = b"".join([secret.reveal() for secret in more])
    seed = old_prf.primitive.digest(old_d.reveal(), shared.reveal() + nonces + secrets)
    return _expand(choice, function, seed, nonces + spi_i + spi_r)


def child_keys(
    prf_row: PseudorandomFunction,
    d: Secret,
    choice: Choice,
    nonce_i: bytes,
    nonce_r: bytes,
    shared: Secret | None = None,
    more: Sequence[Secret] = (),
) -> ChildKeys:
    """Keys of a Child SA (section 2.17, RFC 9370 section 2.2.4).

    :param prf_row: PRF of the IKE SA; ``d`` its SK_d.
    :param shared: ``g^ir`` of the exchange's own key exchange, None without one; ``more``: of the additional ones.
    :raises IkeError: as :func:`derive_ike`.
    """
    function = prf_row.primitive
    _check_nonces(function, nonce_i, nonce_r)
    encr, integ = _key_sizes(choice)
    seed = nonce_i + nonce_r if shared is None else shared.reveal() + nonce_i + nonce_r
    if more:
        seed += b"".join([secret.reveal() for secret in more])
    stream = prf_plus(function, d.reveal(), seed, 2 * (encr + integ))
    half = encr + integ
    return ChildKeys(
        Secret(stream[:encr]),
        Secret(stream[encr:half]),
        Secret(stream[half : half + encr]),
        Secret(stream[half + encr :]),
    )


def _expand(choice: Choice, function: Hmac, skeyseed: bytes, seed: bytes) -> IkeKeys:
    encr, integ = _key_sizes(choice)
    size = function.size
    ends, end = [], 0
    for count in (size, integ, integ, encr, encr, size, size):
        ends.append((end, end + count))
        end += count
    stream = prf_plus(function, skeyseed, seed, end)
    return IkeKeys(*[Secret(stream[first:last]) for first, last in ends])


def _key_sizes(choice: Choice) -> tuple[int, int]:
    """Octets of an encryption key with its salt, and of an integrity key."""
    encr, integ = choice.encr, choice.integ
    return 0 if encr is None else encr.key_octets + encr.salt_octets, 0 if integ is None else integ.key_octets


def _prf_of(choice: Choice) -> Hmac:
    if choice.prf is None:
        raise ValueError("an IKE SA's keys need a choice made for an IKE SA")
    return choice.prf.primitive


def _check_nonces(function: Hmac, *nonces: bytes) -> None:
    shortest = min(map(len, nonces))
    if shortest * 2 < function.size:
        raise IkeError(
            NotifyType.INVALID_SYNTAX,
            f"a nonce of {shortest} octets is shorter than half the PRF's key of {function.size}",
        )
