# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings of the protocol engine that are not of one tunnel. Seconds unless said otherwise."""

from __future__ import annotations

from ..newer_python import dataclass


@dataclass(frozen=True, slots=True)
class Settings:
    """Ports, patience and limits.

    :ivar retransmit: pauses after each sending of a request (RFC 7296 section 2.4), as far as the patience of its
        tunnel goes (``Connection.retransmit_timeout``); the last one repeats. There are seven sendings in 7.5 s: where
        a tenth of all datagrams is lost, one request in a hundred thousand gets no answer to any of them.
    :ivar suspicious_tries: with which sending of a request, when none of those before was answered, another IKE SA is
        tried beside a silent one; as many of the first one of all go unanswered until another address is tried, where
        the peer has several.
    :ivar silent_pause: how long after a sign of life packets without any in return are a reason to ask for another.
    :ivar nat_delay: silence before a liveness check where we are behind a NAT, if the tunnel's is longer: only what we
        send tells the peer where we are by now.
    :ivar cookie_threshold: half-open SAs from which on an initiator has to return a cookie (section 2.6).
        ``_per_peer`` is that of one address; where a large key exchange is asked for, a tenth of either will do.
    :ivar half_open_limit: half-open SAs from which on nothing new is answered; ``_per_peer`` for one address. Both are
        far above the thresholds, so nobody gets there with forged addresses and locks others out.
    :ivar half_open_lifetime: how long an unauthenticated SA is kept.
    :ivar rekey_margin: fraction of a lifetime left when the rekey begins; ``rekey_fuzz`` more at random.
    :ivar busy_pause: how long to wait after the first TEMPORARY_FAILURE (section 2.25); ``refused_pause``: after any
        other refusal of a rekey; each time twice as long, within ``shortest_pause`` and ``longest_pause``.
    :ivar switch_pause: after which the peer is asked for a proof that it has a child that it had us make beside others,
        when it has not repeated its request meanwhile: who has no answer does so.
    :ivar doubt_ends: age of such a child from which on a repetition is not heeded: anybody can repeat a message.
    :ivar duplicate_pause: how long two IKE SAs of one tunnel, or two children of one definition, may stand beside each
        other when both are up.
    :ivar move_pause: how old a Child SA has to be to be rekeyed because the peer's NAT made a new mapping.
    :ivar max_children: Child SAs in one IKE SA; ``max_children_of_peer``: in all IKE SAs of a tunnel with one peer, of
        which each has them all for a while when they are made anew one beside the other.
    :ivar ike_sas_of_peer: IKE SAs of a tunnel with one peer that stand beside each other. Two are enough for a new one
        in place of an old one, three where both ends begin at once, and those that changes of definitions leave behind
        go as soon as their children do; peers that need more have lost count, and the oldest goes.
    :ivar children_alike: Child SAs of one definition for the same packets that the peer has had us make in one IKE SA;
        as few as that, and for the same reason.
    :ivar sas_at_once: SAs, of either kind, that the peer of a tunnel may ask for at once; who asks for more is told to
        try again later. It may have ``sas_per_second`` more a second after that.
    :ivar children_refused: Child SAs that this host could not take, and of which the peer is still to be told, from
        which on it gets no others: each of these Deletes waits for the answer to the one before, and is kept so long.
    :ivar incomplete_octets: of messages in fragments that are not whole yet, in all; ``_of_tunnel``: of those of one
        tunnel, which is two of the longest there are; ``_of_strangers``: of all whose peers are not authenticated.
        Beyond that the oldest are dropped. An honest one is whole within moments, unless a fragment of it is lost.
    :ivar due_at_once: IKE SAs that one tick looks at; thousands may be due at one moment, and others want their turn.
    """

    ike_port: int = 500
    natt_port: int = 4500
    retransmit: tuple[float, ...] = (0.5, 0.6, 0.8, 1.0, 1.2, 1.5, 1.9, 4.0, 8.0, 16.0, 30.0)
    suspicious_tries: int = 8
    silent_pause: float = 5.0
    nat_delay: float = 20.0
    cookie_threshold: int = 100
    cookie_threshold_per_peer: int = 20
    half_open_limit: int = 2000
    half_open_per_peer: int = 200
    half_open_lifetime: float = 30.0
    rekey_margin: float = 0.1
    rekey_fuzz: float = 0.1
    rekeyed_lifetime: float = 60.0
    busy_pause: float = 5.0
    refused_pause: float = 60.0
    shortest_pause: float = 2.0
    longest_pause: float = 120.0
    switch_pause: float = 3.0
    doubt_ends: float = 30.0
    duplicate_pause: float = 30.0
    move_pause: float = 10.0
    max_children: int = 256
    max_children_of_peer: int = 1024
    ike_sas_of_peer: int = 16
    children_alike: int = 8
    children_refused: int = 8
    sas_at_once: int = 512
    sas_per_second: float = 8.0
    incomplete_octets: int = 16 << 20
    incomplete_octets_of_tunnel: int = 256 << 10
    incomplete_octets_of_strangers: int = 4 << 20
    due_at_once: int = 64
