# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What makes SAs a group: rules for their names, their states and the packets of their policies."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from ..errors import InputError, RefusedError
from ..kernel.client import describe
from ..kernel.sa_chains import TUN, UNSPECIFIED, Chain
from ..kernel.values import AH, IPCOMP, Policy, SaState, said_of
from ..said import PROTOCOLS, Said

# As many templates as the kernel can use of those that a policy may have.
MAX_TRANSFORMS = 5
_TRANSFORMS = frozenset(PROTOCOLS[name] for name in ("esp", "ah", "comp"))
_FIRST_SPI = 0x100  # RFC 4303 section 2.1 keeps those below
_LAST_CPI = 0xFFFF  # RFC 3173 section 3.3: 16 bits


def check_name(said: Said, field: str) -> None:
    """Refuse what can be no member of a group, whatever the kernel has.

    :raises InputError: naming ``field``.
    """
    if said.magic:
        raise InputError(field, str(said), "is an action and no SA", "name SAs of protocol ah, esp, comp or tun")
    if said.protocol not in _TRANSFORMS | {TUN}:
        raise InputError(field, str(said), "is of an internal protocol", "name SAs of protocol ah, esp, comp or tun")
    if said.spi < _FIRST_SPI:
        raise InputError(field, str(said), "SPIs below 0x100 are reserved", "an SPI is 0x100 to 0xffffffff")
    if said.protocol == IPCOMP and said.spi > _LAST_CPI:
        raise InputError(
            field, str(said), "the SPI of IPComp has 16 bits", "name an IPComp SA with an SPI of 0x100 to 0xffff"
        )


def check_names(members: Sequence[Said], field: str) -> None:
    """Refuse lists that can be no group, whatever the kernel has.

    :raises InputError: naming the member as ``field[n]``.
    """
    if len(members) < 2:
        raise InputError(field, _text(members), "a group has two SAs or more", "name them all, the innermost first")
    transforms_ = sum(said.protocol != TUN for said in members)
    if transforms_ > MAX_TRANSFORMS:
        raise InputError(
            field, _text(members),
            f"these are {transforms_} of ah, esp and comp; the kernel applies at most {MAX_TRANSFORMS} to a packet",
            "leave out the outermost ones",
        )  # fmt: skip
    for number, said in enumerate(members):
        place = f"{field}[{number}]"
        check_name(said, place)
        if said in members[:number]:
            raise InputError(place, str(said), "is named twice", "name each SA once")
        if said.protocol == TUN:
            _check_tunnel(said, members[number + 1 : number + 2], place)


def _check_tunnel(said: Said, following: Sequence[Said], place: str) -> None:
    remedy = "name the ah, esp or comp SA that encapsulates right after tun"
    if not following:
        raise InputError(place, str(said), "no SA follows this tun, and a tunnel alone protects nothing", remedy)
    if following[0].protocol == TUN:
        raise InputError(place, str(said), "another tun follows this one", remedy)
    if following[0].destination != said.destination:
        raise InputError(
            place, str(said), f"the SA after it, {following[0]}, ends elsewhere",
            f"write tun with the destination {following[0].destination}",
        )  # fmt: skip


def check_states(members: Sequence[Said], sas: Mapping[Said, SaState], field: str) -> None:
    """Refuse members that the kernel has not, or that cannot follow one another.

    :raises InputError: naming the member as ``field[n]``.
    """
    for number, said in enumerate(members):
        if said.protocol != TUN and said not in sas:
            raise no_such_sa(said, f"{field}[{number}]")
    inner: SaState | None = None
    for number, said in enumerate(members):
        if said.protocol == TUN:
            continue
        sa, place = sas[said], f"{field}[{number}]"
        after_tunnel = number > 0 and members[number - 1].protocol == TUN
        if after_tunnel and sa.mode != "tunnel":
            raise InputError(
                place, str(said), f"is in {sa.mode} mode, and a live SA cannot change it",
                f"leave out {members[number - 1]}, or create the SA in tunnel mode",
            )  # fmt: skip
        if inner is not None:
            _check_step(inner, sa, place)
        inner = sa
    _check_ah(members, sas, field)


def _check_ah(members: Sequence[Said], sas: Mapping[Said, SaState], field: str) -> None:
    """AH proves the IP header too. On the way in the kernel compares it as it came, with the protocol of the outermost
    transform, so that AH under the same IP header but inside of another one is never found genuine. RFC 2401 section
    4.3 has AH outermost for that header as well.
    """
    outermost: Said | None = None
    for number in range(len(members) - 1, -1, -1):
        said = members[number]
        if said.protocol == TUN:
            continue
        outermost = outermost or said
        if said.protocol == AH and outermost.protocol != AH:
            raise InputError(
                f"{field}[{number}]", str(said),
                f"is inside of {outermost}, where the kernel of the other side cannot verify it",
                "put the ah SA outside of those in transport mode",
            )  # fmt: skip
        if sas[said].mode == "tunnel":
            outermost = None


def check_tunnels(
    members: Sequence[Said], sas: Mapping[Said, SaState], sources: Mapping[Said, str], field: str
) -> None:
    """Refuse a ``tun`` that was made from another address than the SA behind it.

    :param sources: of each ``tun`` that was made for itself; others have the addresses of what is behind them.
    :raises InputError: naming the member as ``field[n]``.
    """
    for number, said in enumerate(members):
        if said.protocol != TUN or said not in sources:
            continue
        sa = sas[members[number + 1]]
        if sources[said] != sa.source:
            raise InputError(
                f"{field}[{number}]", str(said),
                f"goes from {sources[said]}, but the SA behind it, {said_of(sa)}, from {sa.source}",
                "make the tun anew with the address of that SA",
            )  # fmt: skip


def _check_step(inner: SaState, sa: SaState, place: str) -> None:
    """Addresses, and with them the family, change in tunnel mode only."""
    if sa.if_id != inner.if_id:
        raise InputError(
            place, str(said_of(sa)), f"is of another interface than the SA inside of it, {said_of(inner)}",
            "group SAs of one interface, or of none",
        )  # fmt: skip
    if sa.mode == "tunnel":
        return
    if sa.destination != inner.destination or sa.source not in (inner.source, *UNSPECIFIED):
        raise InputError(
            place, str(said_of(sa)),
            f"goes from {sa.source} to {sa.destination}, but the SA inside of it, {said_of(inner)}, "
            f"from {inner.source} to {inner.destination}",
            "group SAs between the same two addresses; only an SA in tunnel mode may lead on to others",
        )  # fmt: skip


def check_family(policy: Policy, chain: Chain, place: Callable[[Said], str]) -> None:
    """The kernel compares the selector of every SA with the innermost packet, also of those that only see the header
    of a tunnel inside of them; an SA made for one family therefore blocks the packets of the other.

    :param place: what the user calls a member.
    :raises RefusedError: naming the member.
    """
    family = policy.selector.family
    for said, sa in chain:
        if sa is not None and not sa.larval and not sa.af_unspec and sa.selector.family != family:
            raise RefusedError(
                place(said), str(said),
                f"is for IPv{sa.selector.family} packets only, but the policy {describe(policy)} is for IPv{family}",
                "create the SA for both families (flag af-unspec)",
            )  # fmt: skip


def no_such_sa(said: Said, field: str) -> RefusedError:
    """The refusal of an SA that is not there."""
    return RefusedError(field, str(said), "the kernel has no such SA", "create it first, or see ip xfrm state")


def _text(members: Iterable[Said]) -> str:
    return " ".join(map(str, members))
