# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose software answers: what its vendor IDs say, how it repeats an answer, what it puts into one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from .answers import ECHO_REPLY, PROPOSAL, Answer
from .backoffs import who_repeats
from .vendors import known

# What is asked besides the probe that was answered; the rest says nothing about who answers.
QUESTIONS = ("ikev2", "ikev1_main")
# An answer to these that opens a phase 1 is repeated by many who hear nothing more.
REPEATED = ("ikev1_main", "ikev1_aggressive")

_LISTENER = "an ikeping listener"
_US = "fleet.ipsec"


class Trait(NamedTuple):
    """What somebody puts into his answer to a probe of ours.

    :ivar says: the names of its notifies and vendor IDs, in their order.
    :ivar source: ``measured`` by us with that version, or ``read`` in its public source code.
    """

    probe: str
    by: str
    says: tuple[str, ...]
    implementation: str
    source: str


TRAITS: tuple[Trait, ...] = (
    Trait("echo", "UNSUPPORTED-EXCHANGE-TYPE", ("UNSUPPORTED-EXCHANGE-TYPE",), "Libreswan", "measured: 4.10"),
    Trait("echo", "INVALID-MAJOR-VERSION", ("INVALID-MAJOR-VERSION",), "Libreswan", "measured: 4.10"),
    Trait("echo", "PAYLOAD-MALFORMED", ("PAYLOAD-MALFORMED",), "Openswan", "read: 2.4 to 2.6.35"),
    Trait("echo_classic", "INVALID-MAJOR-VERSION", ("INVALID-MAJOR-VERSION",), "Openswan", "read: 2.4 to 3.0"),
    Trait("ikev2", PROPOSAL, ("CHILDLESS_IKEV2_SUPPORTED", "MULTIPLE_AUTH_SUPPORTED"), "strongSwan",
          "measured: 5.9.8"),
    Trait("ikev2", PROPOSAL, ("IKEV2_FRAGMENTATION_SUPPORTED", "NAT_DETECTION_SOURCE_IP",
                              "NAT_DETECTION_DESTINATION_IP", "CHILDLESS_IKEV2_SUPPORTED"), "Libreswan",
          "measured: 4.10"),
    Trait("ikev2", PROPOSAL, ("CHILDLESS_IKEV2_SUPPORTED",), _US, "measured"),
    Trait("ikev1_main", PROPOSAL, ("XAUTH", "DPD (RFC 3706)", "NAT-T (RFC 3947)"), "strongSwan", "measured: 5.9.8"),
    Trait("ikev1_main", PROPOSAL, ("IKE fragmentation", "DPD (RFC 3706)", "NAT-T (RFC 3947)"), "Libreswan",
          "measured: 4.10"),
    # Last: a daemon that replies to an echo tells more by its other answers.
    Trait("echo", ECHO_REPLY, (), _LISTENER, "measured"),
    Trait("echo_classic", ECHO_REPLY, (), _LISTENER, "measured"),
)  # fmt: skip


class Rhythm(NamedTuple):
    """How one answer was repeated: seconds between its copies, and how long nothing came after the last one."""

    gaps: tuple[float, ...]
    quiet: float


def verdict(answers: Sequence[tuple[str, Answer]], rhythm: Rhythm | None) -> dict[str, Any]:
    """Whose software it seems to be.

    :param answers: name of the probe and what answered it, each probe once.
    :param rhythm: of the answer to an IKEv1 probe; None when there was nothing to be repeated.
    :returns: ``implementation`` (None when unknown), ``confidence`` (high: a vendor ID names it; medium: it alone
        repeats like that; low: its answers look like that; none), ``vendor_ids``, ``backoff`` (``gaps``, ``quiet``,
        ``guesses``; None without a rhythm) and ``evidence``, a sentence each.
    """
    vendor_ids = list(
        {row["hex"]: row for _probe, found in answers for row in found.details.get("vendor_ids", ())}.values()
    )
    backoff = _backoff(rhythm)
    named = [
        row for row in (known(bytes.fromhex(vendor["hex"])) for vendor in vendor_ids) if row and row.implementation
    ]
    traits = [trait for trait in TRAITS if any(_shows(trait, probe, found) for probe, found in answers)]
    guesses = backoff["guesses"] if backoff and len(backoff["guesses"]) == 1 else []
    # The best evidence comes first; what is told later only supports it, or not.
    told = [("high", row.implementation, f"vendor ID {row.says}") for row in sorted(named, key=_exactness)]
    told += [("medium", name, f"repeats its answer like {name}") for name in guesses]
    told += [("low", row.implementation, f"answers {row.probe} like {row.implementation}") for row in traits]
    confidence, implementation = told[0][:2] if told else ("none", None)
    return {
        "implementation": implementation,
        "confidence": confidence,
        "vendor_ids": vendor_ids,
        "backoff": backoff,
        "evidence": list(dict.fromkeys(sentence for _confidence, _name, sentence in told)),
    }


def _exactness(row: Any) -> int:
    return -len(row.prefix)


def _backoff(rhythm: Rhythm | None) -> dict[str, Any] | None:
    if rhythm is None:
        return None
    return {
        "gaps": [round(gap, 3) for gap in rhythm.gaps],
        "quiet": round(rhythm.quiet, 3),
        "guesses": who_repeats(rhythm.gaps, rhythm.quiet),
    }


def _shows(trait: Trait, probe: str, found: Answer) -> bool:
    says = (*found.details.get("notifies", ()), *(row["name"] for row in found.details.get("vendor_ids", ())))
    return (trait.probe, trait.by, trait.says) == (probe, found.by, says)
