# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The closed list of events that the protocol engine reports."""

from __future__ import annotations

KINDS: dict[str, str] = {
    "ike_connecting": "negotiation of an IKE SA begins (data: role)",
    "ike_established": "an IKE SA is up",
    "ike_rekeyed": "an IKE SA was replaced by a new one with fresh keys (data: old)",
    "ike_failed": "an IKE SA could not be set up (data: reason, story; peer and may_be, as below, where it began it)",
    "ike_down": "an established IKE SA ended (data: reason, story)",
    "child_up": "a Child SA is installed",
    "child_rekeyed": "a Child SA was replaced by a new one with fresh keys (data: old)",
    "child_failed": "a Child SA could not be set up (data: reason, story)",
    "child_down": "a Child SA ended (data: reason, story)",
    "retransmit": "a request is sent again for want of an answer (data: exchange, tries; size, hint if large)",
    "rekey_refused": "the peer refused fresh keys for what lives (data: child, reason, story, ends_in: seconds)",
    "setback": "an attempt met an obstacle but goes on (data: reason, story)",
    "moved": "the peer is now reached along another path (data: path)",
    "rejected": "a message was refused (data: reason, story, peer; may_be: the tunnels it may be about, if several)",
}
