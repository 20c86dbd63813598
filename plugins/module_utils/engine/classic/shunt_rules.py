# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What XFRM cannot do for a shunt, by nftables: the ICMP of a %reject, and counting. One table of our own, no other.

Where a packet meets what: XFRM drops a forwarded packet before the hook ``forward``, so that it has to be rejected,
and what is to be dropped counted, at ``prerouting``. What a local program sends is refused before there is a packet.
What goes into SAs, held packets among it, passes ``postrouting`` before the first of them, which it knows by then.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from ..errors import KernelError, MissingError
from ..kernel import nftables
from ..kernel.nftables import PROBE, SHUNTS
from ..kernel.policies import network
from ..kernel.values import IN, KernelSelector
from .shunt import DROP, IPSEC, PASS, REJECT, TRAP, Shunt, rank

_MARK = "fleet.ipsec"

# After the destination NAT (-100), as XFRM sees the packet.
_CHAINS = {
    "forwarded": "type filter hook prerouting priority -90; policy accept;",
    "passed": "type filter hook forward priority -90; policy accept;",
    "sent": "type filter hook output priority -90; policy accept;",
    "protected": "type filter hook postrouting priority -90; policy accept;",
}
# There only with rules: tables that earlier releases made have none.
_OPTIONAL = "protected"
# What is no packet of a policy: what stays here; what has been through its SAs, and IKE, which passes all policies.
_HEADS = {
    "forwarded": ("fib daddr type != unicast return",),
    "sent": ("meta l4proto { 50, 51, 108 } return", "udp sport { 500, 4500 } return"),
}
_REJECT = "reject with icmpx admin-prohibited"
_IN_CLEAR = "rt ipsec missing"

# A shunt, and the request ID of the SA that it leads to; 0 where it leads to none.
Counter = tuple[int, int]


class Rule(NamedTuple):
    """One rule.

    :ivar chain: the chain it is in.
    :ivar number: of the shunt.
    :ivar counted: whether it counts, into the counter of the shunt.
    :ivar match: which packets, in the words of nft; ``verdict`` likewise.
    :ivar reqid: of the SA that these packets go into, 0 for none.
    """

    chain: str
    number: int
    counted: bool
    match: str
    verdict: str
    reqid: int = 0

    @property
    def counter(self) -> Counter:
        """What it counts into."""
        return self.number, self.reqid

    @property
    def text(self) -> str:
        """The rule in the words of nft."""
        parts = [self.match, f"counter name {_name(self.counter)}" if self.counted else "", self.verdict]
        return " ".join(filter(None, parts))

    @property
    def tag(self) -> str:
        """The comment by which a rule is known again."""
        return f"{_MARK} {self.number:x} {hashlib.sha256(self.text.encode()).hexdigest()[:12]}"


class State(NamedTuple):
    """The table as it stands.

    :ivar tags: of each chain, the comments of its rules in order.
    :ivar packets: of each counter.
    :ivar tampered: whether it is dormant, or has rules that are nobody's of ours.
    """

    tags: Mapping[str, Sequence[str]]
    packets: Mapping[Counter, int]
    tampered: bool = False


def countable(shunt: Shunt) -> bool:
    """Whether its packets can be told from those of more specific tunnels."""
    return shunt.direction != IN and (shunt.action == PASS or (shunt.first and shunt.action in (DROP, REJECT, TRAP)))


def rules_of(shunts: Mapping[int, Shunt], ways: Mapping[int, int]) -> list[Rule]:
    """The rules that these shunts take, in the order of their policies; none when no rule has anything to do.

    :param ways: request IDs of the SAs that counted ones lead to, by number of the shunt.
    """
    outgoing = [
        (rank(s), number, s)
        for number, s in shunts.items()
        if s.direction != IN and (s.action != IPSEC or number in ways)
    ]
    if not any(s.counted or s.action == REJECT for _rank, _number, s in outgoing):
        return []
    ranked = sorted(outgoing, key=lambda o: o[:2])
    return [rule for _rank, number, shunt in ranked for rule in _rules(number, shunt, ways.get(number, 0))]


def _rules(number: int, shunt: Shunt, reqid: int) -> Iterable[Rule]:
    """Those that need none themselves have some, so that later rules do not take their packets."""
    match = _match(shunt.selector)
    if shunt.action == IPSEC:
        yield Rule("protected", number, True, f"{match} ipsec out reqid {reqid}", "return", reqid)
        return
    passing, trapping = shunt.action == PASS, shunt.action == TRAP
    if shunt.first:
        here = shunt.counted and not passing
        yield Rule("forwarded", number, here, match, _REJECT if shunt.action == REJECT else "return")
    else:
        match = f"{match} {_IN_CLEAR}"
    if passing:
        yield Rule("passed", number, shunt.counted, match, "return")
    if passing or trapping:
        yield Rule("sent", number, shunt.counted, match, "return")


def _match(s: KernelSelector) -> str:
    word = "ip6" if s.family == 6 else "ip"
    parts = [f"meta nfproto ipv{s.family}"]
    for side, address, prefix in (("saddr", s.source, s.source_prefix), ("daddr", s.destination, s.destination_prefix)):
        if prefix:
            parts.append(f"{word} {side} {network(address, prefix)}")
    if s.protocol:
        parts.append(f"meta l4proto {s.protocol}")
    for side, port in (("sport", s.source_port), ("dport", s.destination_port)):
        if port:
            parts.append(f"th {side} {port}")
    return " ".join(parts)


def matches(state: State | None, rules: Sequence[Rule]) -> bool:
    """Whether the table stands as these rules want it."""
    if state is None or not rules or state.tampered:
        return state is None and not rules
    wanted: dict[str, list[str]] = {chain: [] for chain in _chains(rules)}
    for rule in rules:
        wanted[rule.chain].append(rule.tag)
    return {chain: list(tags) for chain, tags in state.tags.items() if tags or chain != _OPTIONAL} == wanted


def _chains(rules: Sequence[Rule]) -> list[str]:
    return [chain for chain in _CHAINS if chain != _OPTIONAL or any(rule.chain == chain for rule in rules)]


def read() -> State | None:
    """The table as it stands; None when there is none, or nothing that could have made one."""
    entries = nftables.list_table(SHUNTS)
    return None if entries is None else _state(entries)


def read_packets() -> Mapping[Counter, int]:
    """The counters alone, which are many times shorter than their rules; empty when there are none."""
    return _state(nftables.list_counters(SHUNTS)).packets


def _state(entries: Iterable[dict[str, Any]]) -> State:
    tags: dict[str, list[str]] = {}
    packets: dict[Counter, int] = {}
    nameless: dict[str, int] = {}
    dormant = False
    for entry in entries:
        if "table" in entry:
            dormant = bool(entry["table"].get("flags"))  # no other one is ever there
        elif "chain" in entry:
            tags[entry["chain"]["name"]] = []
        elif "counter" in entry and (counter := _counter(entry["counter"]["name"])) is not None:
            packets[counter] = entry["counter"]["packets"]
        elif "rule" in entry and (comment := entry["rule"].get("comment", "")):
            tags[entry["rule"]["chain"]].append(comment)
        elif "rule" in entry:
            nameless[entry["rule"]["chain"]] = nameless.get(entry["rule"]["chain"], 0) + 1
    heads = {chain: len(_HEADS[chain]) for chain in _HEADS if chain in tags}
    return State(tags, packets, dormant or nameless != heads)


def require() -> None:
    """Find out by trying whether this host can do all that a rule may ask for; nothing stays.

    :raises MissingError: naming what is lacking.
    """
    rules = [Rule("forwarded", 1, False, "meta nfproto ipv4", _REJECT)]
    rules += [Rule(chain, 1, True, f"meta nfproto ipv6 {_IN_CLEAR}", "return") for chain in ("passed", "sent")]
    _try(rules, "nft_reject_inet nft_fib_inet")


def require_ways() -> None:
    """The same of counting what goes into an SA.

    :raises MissingError: naming what is lacking.
    """
    _try([*_rules_of_ways()], "nft_xfrm")


def _rules_of_ways() -> Iterable[Rule]:
    return (Rule("protected", 1, True, f"meta nfproto ipv{family} ipsec out reqid 1", "return", 1) for family in (4, 6))


def _try(rules: Sequence[Rule], modules: str) -> None:
    try:
        nftables.apply(_script(PROBE, rules, State({}, {})) + f"delete table inet {PROBE}\n", "try rules of nftables")
    except KernelError as exc:
        raise MissingError(
            f"this kernel does not take the rules of nftables that are needed: {exc.detail}",
            f"load its modules: modprobe -a {modules} (Linux 5.9 or newer), and run as root",
        ) from None


def apply(rules: Sequence[Rule], state: State | None) -> None:
    """Let the table have exactly these rules, in one step; without any it goes. Counters of shunts that stay go on.

    :param state: the table as it stands.
    :raises KernelError: the kernel refused, and nothing changed. MissingError: no nft.
    """
    if rules:
        nftables.apply(_script(SHUNTS, rules, state or State({}, {})), "set the rules of nftables")
    else:
        nftables.drop_tables([SHUNTS])


def _script(table: str, rules: Sequence[Rule], state: State) -> str:
    """What nft reads, which also wakes a table that is dormant.

    :param state: what there is already.
    """
    lines = [f"add table inet {table}"]
    lines += [f"add chain inet {table} {chain} {{ {_CHAINS[chain]} }}" for chain in _chains(rules)]
    lines.append(f"flush table inet {table}")
    lines += [f"delete chain inet {table} {chain}" for chain in state.tags if chain not in _CHAINS]
    counting = dict.fromkeys(rule.counter for rule in rules if rule.counted)
    lines += [f"add counter inet {table} {_name(counter)}" for counter in counting]
    lines += [f"add rule inet {table} {chain} {head}" for chain, heads in _HEADS.items() for head in heads]
    lines += [f'add rule inet {table} {rule.chain} {rule.text} comment "{rule.tag}"' for rule in rules]
    lines += [f"delete counter inet {table} {_name(counter)}" for counter in state.packets if counter not in counting]
    return "\n".join(lines) + "\n"


def _name(counter: Counter) -> str:
    number, reqid = counter
    return f"s{number:x}_{reqid:x}" if reqid else f"s{number:x}"


def _counter(name: str) -> Counter | None:
    number, _line, reqid = name.removeprefix("s").partition("_")
    try:
        return int(number, 16), int(reqid or "0", 16)
    except ValueError:
        return None
