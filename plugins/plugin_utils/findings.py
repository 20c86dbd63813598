# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What role verify has seen at a host, judged: what is wrong there, what may become so, what is proven."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ansible_collections.fleet.ipsec.plugins.module_utils.engine.definition.credentials import fingerprint

from .checks import left_out
from .eroutes import Finding, eroute_findings
from .topology import Roster, host_peers, host_tunnels

Seen = Mapping[str, Any]

_SILENT = {
    "timeout": "let UDP ports 500 and 4500 pass between the two, and look whether fleet-ipsec-manager runs there",
    "port closed": "its host lives: start fleet-ipsec-manager there",
    "unreachable": "look at the route to it",
    "name not found": "give an address",
}
_UNREACHED = Finding("", "out of reach, or failed: nothing of it is known", "see what is said of it further up")
_BOTH = "run fleet.ipsec.site for both ends in one run"
_NAME_SOMEBODY = "name who answers there in check_address, which may be a list"


def host_findings(
    roster: Roster, host: str, owner: str, seen: Mapping[str, Seen], seed: Any = None, epoch: Any = 1
) -> dict[str, Any]:
    """What became of a host's checks: ``wrong``, ``warnings`` and ``unproven`` as rows of tunnel, text and remedy;
    ``figures`` of what is proven; ``keys``, which tell the keys of its tunnels from others.

    :param owner: whose tunnels the inventory means; those of others are left alone.
    :param seen: results of the tasks ``alive``, ``rules``, ``eroutes``, ``states`` and ``wire``. One that failed lacks
        what it returns otherwise, and has the reason in ``msg``.
    :param seed: what keys are derived from, with ``epoch``; without it they are compared between the ends alone.
    """
    tunnels = host_tunnels(roster, host, seed, epoch)
    states = seen["states"].get("tunnels")
    own = [state for state in states or () if state.get("owner", owner) == owner]
    wrong = [*_manager(seen["states"]), *_silent_peers(roster, host, seen["alive"]), *_guard(seen["rules"])]
    eroutes = (seen["eroutes"].get("ansible_facts") or {}).get("ipsec_eroutes")
    if eroutes is None:
        wrong.append(Finding("", f"its eroutes cannot be read: {_said(seen['eroutes'])}", "run fleet.ipsec.site here"))
    else:
        wrong += eroute_findings(eroutes, tunnels, states, owner)
    keys = {state["name"]: state["key"] for state in own if state.get("key")}
    if seed:
        wrong += _other_keys(tunnels, keys)
    wrong += _wire(seen["wire"], {finding.tunnel for finding in wrong if finding.tunnel})
    return {
        "wrong": [list(finding) for finding in _merged(wrong)],
        "warnings": [list(finding) for state in own for finding in _warnings(state)],
        "unproven": [list(finding) for finding in _unproven(roster, host, seen["wire"])],
        "figures": _figures(seen, eroutes, owner),
        "keys": [
            {"tunnel": peer["tunnel"], "peer": peer["host"], "community": peer["community"], **keys[peer["tunnel"]]}
            for peer in host_peers(roster, host)
            if peer["tunnel"] in keys
        ],
    }


def _other_keys(tunnels: Iterable[Mapping[str, Any]], keys: Mapping[str, Mapping[str, Any]]) -> Iterator[Finding]:
    """Tunnels that the gateway has another key of than the inventory makes of the seed."""
    for tunnel in tunnels:
        key, auth = keys.get(tunnel["name"]), tunnel["auth"]
        if key is None or "epoch" not in auth or key["fingerprint"] == fingerprint(auth["secret"].encode()):
            continue
        if key["epoch"] != auth["epoch"]:
            what = f"its key is of epoch {key['epoch']}, that of the inventory of epoch {auth['epoch']}"
            yield Finding(tunnel["name"], what, f"{_BOTH}, which rotates it")
        else:
            what = f"its key is another than that of the inventory, though both are of epoch {key['epoch']}"
            yield Finding(tunnel["name"], what, f"bring back the seed that this gateway has its keys of; else {_BOTH}")


def _merged(findings: Iterable[Finding]) -> list[Finding]:
    """The same, what is wrong with many tunnels alike told once."""
    alike: dict[tuple[str, str], list[str]] = {}
    for tunnel, problem, remedy in findings:
        alike.setdefault((problem, remedy), []).append(tunnel)
    return [
        Finding(tunnels[0] + (f" and {len(tunnels) - 1} more" if len(tunnels) > 1 else ""), problem, remedy)
        for (problem, remedy), tunnels in alike.items()
    ]


def _said(result: Seen) -> str:
    return str(result.get("msg") or "the task said nothing")


def _manager(states: Seen) -> Iterator[Finding]:
    if "tunnels" not in states:
        remedy = "systemctl start fleet-ipsec-manager; journalctl -u fleet-ipsec-manager says why it ended"
        yield Finding("", f"the tunnel manager does not answer: {_said(states)}", remedy)


def _silent_peers(roster: Roster, host: str, alive: Seen) -> Iterator[Finding]:
    if alive.get("skipped"):
        return
    if "targets" not in alive:
        yield Finding("", f"the peers cannot be asked: {_said(alive)}", "see docs/ikeping.md")
        return
    silent = {target["target"]: target for target in alive["targets"] if not target["alive"]}
    for peer in host_peers(roster, host):
        target = None if peer["moving"] else silent.get(peer["address"])
        if target is not None:
            what = f"the IKE daemon of {peer['host']} ({peer['address']}) does not answer: {target['detail']}"
            yield Finding(peer["tunnel"], what, _SILENT.get(target["reason"], "look at the way to it"))


def _guard(rules: Seen) -> Iterator[Finding]:
    if rules.get("skipped") or rules.get("rules_state") == "same":
        return
    state = rules.get("rules_state")
    how = "not as role gateway wrote it" if state == "different" else "not in the kernel" if state else _said(rules)
    yield Finding(
        "",
        f"gateway_protected_networks is not guarded: the table inet fleet_ipsec of nftables is {how}",
        "run fleet.ipsec.site, which puts it back, and find who flushed or changed it (nft monitor)",
    )


def _wire(wire: Seen, told: set[str]) -> Iterator[Finding]:
    """What the pings and the packets on the wire say.

    :param told: tunnels of which something is wrong already: that nobody answers through them follows from it.
    """
    if "findings" not in wire:
        yield Finding("", f"nothing can be proven by pings: {_said(wire)}", "mend that and run this again")
    for found in wire.get("findings", ()):
        if not (found["kind"] == "unanswered" and found["tunnel"] in told):
            yield Finding(found["tunnel"] or "", found["problem"], found["remedy"])


def _warnings(state: Mapping[str, Any]) -> Iterator[Finding]:
    """What goes on all the same."""
    repairs = state.get("repairs") or {}
    if repairs.get("count"):
        last = repairs["last"]
        yield Finding(
            state["name"],
            f"{repairs['count']} times other programs removed something of it from the kernel, which was put back; the "
            f"last time {last['what']}, by {last['culprit'] or 'nobody knows whom'}",
            "end that program, or keep it from what is ours; gateway_protected_networks holds packets back meanwhile",
        )
    if state.get("ends_at"):
        yield Finding(state["name"], f"it ends at {state['ends_at']}: {state['story']}", state["remedy"])
    elif state["state"] in ("active", "retiring") and state.get("reason"):
        yield Finding(state["name"], f"{state['state']} [{state['reason']}]: {state['story']}", state["remedy"])


def _unproven(roster: Roster, host: str, wire: Seen) -> Iterator[Finding]:
    for network in left_out(roster, host):
        yield Finding(network["tunnel"], f"{network['network']} of {network['host']} was not pinged", _NAME_SOMEBODY)
    for ping in wire.get("pings", ()):
        if not ping["must_answer"] and not ping["received"]:
            what = f"nobody answers at {ping['destination']}, a further network of {ping['host']}"
            yield Finding(ping["tunnel"], what, _NAME_SOMEBODY)


def _figures(seen: Mapping[str, Seen], eroutes: Iterable[Mapping[str, Any]] | None, owner: str) -> dict[str, str]:
    """What a host's line in the table of proofs says, by the titles of its columns."""
    targets = seen["alive"].get("targets", ())
    wire = seen["wire"]
    pings, esp = wire.get("pings", ()), wire.get("esp", ())
    return {
        "PEERS ALIVE": _share([target["alive"] for target in targets]),
        "EROUTES": str(sum(1 for each in eroutes or () if each.get("tunnel") and each.get("owner", owner) == owner)),
        "PINGS ANSWERED": _share([bool(ping["received"]) for ping in pings]),
        "ESP PACKETS": str(sum(each["packets"] for each in esp)),
        "SPIS": str(len({each["spi"] for each in esp})),
        "IN CLEAR": str(sum(each["packets"] for each in wire["in_clear"])) if "in_clear" in wire else "?",
    }


def _share(answers: list[bool]) -> str:
    return f"{sum(answers)} of {len(answers)}"


def fleet_report(found: Mapping[str, Mapping[str, Any]], hosts: Iterable[str]) -> list[str]:
    """One table for all hosts, as lines: what is proven, what is wrong where and what to do, what else there is to say.

    :param found: :func:`host_findings` of each host that was reached.
    :param hosts: all that were to be.
    """
    rows = {host: [Finding(*row) for row in found[host]["wrong"]] if host in found else [_UNREACHED] for host in hosts}
    wrong = [(host, finding) for host, findings in rows.items() for finding in findings]
    wrong += list(_apart(found))
    figures = [{"HOST": host, **found[host]["figures"]} for host in rows if host in found]
    lines = _columns([list(figures[0]), *([*row.values()] for row in figures)]) if figures else []
    bad = len({host for host, _finding in wrong})
    if wrong:
        lines += ["", f"WRONG: {_count(len(wrong), 'finding')} at {bad} of {_count(len(rows), 'host')}", *_table(wrong)]
    else:
        lines += ["", f"nothing is wrong at {_count(len(rows), 'host')}"]
    for key, title in (("warnings", "WARNINGS"), ("unproven", "NOT PROVEN")):
        others = [(host, Finding(*row)) for host in rows if host in found for row in found[host][key]]
        if others:
            lines += ["", f"{title}: {len(others)}", *_table(others)]
    return lines


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _apart(found: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, Finding]]:
    """Pairs whose two ends have keys that do not go together, each told once, at the end that is named first."""
    keys = {(host, key["community"], key["peer"]): key for host, each in found.items() for key in each["keys"]}
    for (host, community, peer), mine in keys.items():
        theirs = keys.get((peer, community, host))
        if theirs is None or host > peer:
            continue
        if mine["fingerprint"] in (theirs["fingerprint"], *theirs["also_accept"]):
            continue
        if theirs["fingerprint"] not in mine["also_accept"]:
            what = f"its key here and its key at {peer} differ: the next authentication fails, and cuts the two off"
            yield host, Finding(mine["tunnel"], what, _BOTH)


def _table(rows: list[tuple[str, Finding]]) -> list[str]:
    """A line for each finding under a line with titles, its remedy below it."""
    widths = [max(len(host) for host, _finding in rows), max(len(finding.tunnel) for _host, finding in rows)]
    widths = [max(width, len(title)) for width, title in zip(widths, ("HOST", "TUNNEL"), strict=True)]
    lines = [f"{'HOST':{widths[0]}}  {'TUNNEL':{widths[1]}}  WHAT, AND WHAT TO DO"]
    for host, finding in rows:
        lines.append(f"{host:{widths[0]}}  {finding.tunnel or '-':{widths[1]}}  {finding.problem}")
        if finding.remedy:
            lines.append(f"{'':{widths[0]}}  {'':{widths[1]}}  -> {finding.remedy}")
    return lines


def _columns(rows: list[list[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(f"{text:{width}}" for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]
