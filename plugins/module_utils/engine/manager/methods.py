# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every method of the control socket in one table: what it does, what it takes, what it answers.

The same rows validate the parameters of each call and are what ``engine methods`` prints.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ..definition.formats import FORMATS
from ..definition.options import DEFINITION, NAME
from ..definition.schema import Problems, Schema, conform
from ..errors import InputError

API = 1

LEVELS = ["error", "warning", "info", "debug"]
STATES = ["present", "enabled", "active", "inactive", "absent"]
ACTIONS = ["created", "changed", "removed", "started", "stopped", "repaired", "none"]
UNTIL = ["defined", "established", "down"]


class Method(NamedTuple):
    """One row: ``params`` and ``result`` are JSON Schemas."""

    summary: str
    params: Schema
    result: Schema


def _object(**properties: Schema) -> Schema:
    return {"type": "object", "properties": properties}


def _text(description: str, **more: Any) -> Schema:
    return {"type": "string", "description": description} | more


def _number(description: str, **more: Any) -> Schema:
    return {"type": "integer", "description": description} | more


def _flag(description: str) -> Schema:
    return {"type": "boolean", "default": False, "description": description}


def _texts(description: str) -> Schema:
    return {"type": "array", "items": {"type": "string"}, "description": description}


_NAMES = _texts("Tunnel names; all when left out.")

_ONLY = _texts("Limit active, inactive or absent to these children; the IKE SA comes with them and stays without.")
_ITEM = DEFINITION | {"properties": DEFINITION["properties"] | {"only_children": _ONLY}}

_CHANGE = {
    "definitions": {
        "type": "array",
        # Checked one by one in plan.py, so that the problems of each carry its tunnel's name.
        "items": {"type": "object", "anyOf": [_ITEM, _object(name=NAME, only_children=_ONLY)]},
        "default": [],
        "description": "Tunnels. A name alone stands for what is already defined, but for state present.",
    },
    "state": _text(
        "What is wanted of them. active starts every child, whatever its start says; enabled each as its start says.",
        enum=STATES,
        default="present",
    ),
    "phase": _number(
        "Limit active or inactive to the IKE SA (1) or to the Child SAs (2), absent to the children (2). "
        "An IKE SA that alone is made inactive lets its Child SAs live until their lifetime is over.",
        enum=[1, 2],
    ),
    "purge": _flag("Remove every tunnel of this owner that is not listed."),
    "purge_limit": _number(
        "Percent of this owner's tunnels that purge may remove at once; those that others of the call to the same peer"
        " replace do not count.",
        minimum=0,
        maximum=100,
        default=100,
    ),
    "keep_keys": _texts(
        "Tunnels whose key may not be replaced by one with which the peer's of now cannot authenticate."
    )
    | {"default": []},
    "owner": _text("Whose tunnels these are; purge keeps to them.", default="", format="owner"),
    "keep_secrets": _flag("A definition without a secret keeps the one that is stored under its name."),
}

_OUTCOME = _object(
    changed={"type": "boolean", "description": "Whether anything differs from before."},
    tunnels={
        "type": "array",
        "items": _object(
            name=_text("Tunnel."),
            number=_number("Its phase 1 number in the database, 0 before it is defined."),
            manager_number=_number("Its phase 1 number in the manager afterwards, 0 if it does not run."),
            action=_text("What is done.", enum=ACTIONS),
            impact=_text("What that does to running SAs.", enum=["none", "hot", "rekey", "re-establish"]),
            changes=_texts("Paths of the options that differ."),
            repaired=_texts("What others removed of it from the kernel since the last call, and is put back."),
            missing=_texts("What the kernel lacks of it now; tunnels.apply could not put it back."),
            before={
                "type": "object",
                "description": "Definition before; {} if none, or if nothing is done. No secrets.",
            },
            after={"type": "object", "description": "Definition after; {} if none, or if nothing is done. No secrets."},
            state=_text("State of the whole afterwards, as in tunnels.list; unknown where there is no such tunnel."),
            reason=_text("Why it is not up, else empty."),
            story=_text("What happened."),
            remedy=_text("What to do."),
        ),
    },
    warnings=_texts("What is allowed but unwise."),
)

_ONLY_OF_SOME = {
    "type": "array",
    "items": _object(name=_text("Tunnel."), children=_texts("The names of its children."))
    | {"required": ["name", "children"]},
    "description": "Tunnels of which only these children are meant.",
}

_KEYS = _object(
    ike=_texts("SPIs of the IKE SA, those of the two ends."),
    children={"type": "object", "description": "SPIs in use, of each child by name."},
)

_AGES = {
    "established_seconds": {
        "type": ["number", "null"],
        "description": "For how long it is up, through fresh keys; null where it is not.",
    },
    "last_traffic_seconds": {
        "type": ["number", "null"],
        "description": "Since a packet last passed; null if that is not known, or none has.",
    },
}

_CHILD_VIEW = _object(
    number=_number("Phase 2 number in the source asked for; 0 for one that the manager does not run."),
    database_number=_number("Phase 2 number in the database."),
    manager_number=_number("Phase 2 number in the manager, 0 if it does not run."),
    name=_text("Child."),
    wanted={"type": "boolean", "description": "Whether this side is to keep it up."},
    refresh={"type": "boolean", "description": "Whether it gets fresh keys in time; false while it is retiring."},
    state=_text("dormant, trapped, negotiating, active or expired."),
    role=_text("Of the exchange that made it: initiator, responder or empty."),
    local=_texts("Selectors on this side."),
    remote=_texts("Selectors behind the peer."),
    **_AGES,
)

_REPAIRS = _object(
    count=_number("How often something was put back that others removed."),
    last={"type": ["object", "null"], "description": "The last time: what, time (Unix), and culprit, if known."},
)

_RELEASE = {
    "version": _text("Of the collection that the engine came with."),
    "release": _text("Digest of the engine's release; empty where it was not deployed."),
    "uptime": {"type": "number", "description": "Seconds since the manager began."},
}

_UNKNOWN_PEERS = {
    "type": "array",
    "items": _object(
        address=_text("Where it asks from."),
        times=_number("How often."),
        last_seconds={"type": "number", "description": "Seconds since it last did."},
        story=_text("What it asked for."),
        remedy=_text("What to do."),
    ),
    "description": "Who asked for a tunnel that is not defined here within the last quarter of an hour.",
}

METHODS: dict[str, Method] = {
    "manager.info": Method(
        "Who answers: version, process, counts and what the kernel can do.",
        _object(),
        _object(
            **_RELEASE,
            api=_number("Of this table; grows when a method changes incompatibly."),
            pid=_number("Process."),
            ports=_object(ike=_number("UDP port."), natt=_number("UDP port of NAT traversal.")),
            counts={"type": "object", "description": "Tunnels by state, IKE SAs, Child SAs, datagrams, events."},
            unknown_peers=_UNKNOWN_PEERS,
            repairs=_REPAIRS | {"description": "Of what is no tunnel's: rules of nftables, eroutes set by hand."},
            features={"type": "object", "description": "What the kernel offers, by name."},
        ),
    ),
    "manager.stop": Method(
        "End the manager: as SIGTERM does, or with everything closed.",
        _object(
            keep={
                "type": "boolean",
                "default": True,
                "description": "Leave what is up as it is, for the next manager to go on with. Else the peers are told"
                " and the kernel is cleared; the definitions stay.",
            }
        ),
        _object(stopping={"type": "boolean", "description": "Always true."}),
    ),
    "tunnels.plan": Method(
        "What tunnels.apply with the same parameters would do; changes nothing.", _object(**_CHANGE), _OUTCOME
    ),
    "tunnels.apply": Method("Bring tunnels into a state, all or (on bad input) none.", _object(**_CHANGE), _OUTCOME),
    "tunnels.wait": Method(
        "Wait until tunnels are in a state, or the time is up.",
        _object(
            names={"type": "array", "items": {"type": "string"}, "description": "Tunnel names; all when left out."},
            until=_text("What to wait for.", enum=UNTIL, default="established"),
            phase=_number("Look at the IKE SA (1) or the Child SAs (2) only.", enum=[1, 2]),
            only_children=_ONLY_OF_SOME,
            timeout={"type": "number", "default": 30, "minimum": 0, "maximum": 86400, "description": "Seconds."},
        ),
        _object(
            reached={"type": "boolean", "description": "Whether all of them are."},
            waited={"type": "number", "description": "Seconds."},
            tunnels={
                "type": "array",
                "items": _object(
                    name=_text("Tunnel."),
                    reached={"type": "boolean", "description": "Whether it is in the state waited for."},
                    state=_text("unknown, inactive, dormant, negotiating, active, degraded, down or retiring."),
                    phase1=_text("State of the IKE SA."),
                    phase2={"type": "object", "description": "State of each child, by name."},
                    reason=_text("Key of the closed list of reasons why it is down, else empty."),
                    story=_text("What happened, in one sentence."),
                    remedy=_text("What to do about it."),
                ),
            },
        ),
    ),
    "tunnels.rekey": Method(
        "Give what is up fresh keys now, and wait until they are in use. No packet is lost, nor if the peer refuses.",
        _object(
            names=_texts("Tunnel names."),
            phase=_number("The IKE SA (1) or the Child SAs (2) only.", enum=[1, 2]),
            only_children=_ONLY_OF_SOME,
            reauthenticate=_flag(
                "Have both ends prove anew who they are, by the secrets that are defined now, in an IKE SA that takes"
                " over from the old one with all children. Fresh keys alone do not show whether the secrets agree."
            ),
            check=_flag("Only say what would get them; nothing is done."),
            timeout={"type": "number", "default": 30, "minimum": 0, "maximum": 86400, "description": "Seconds."},
        )
        | {"required": ["names"]},
        _object(
            reached={"type": "boolean", "description": "Whether all of them have fresh keys (with check: would try)."},
            waited={"type": "number", "description": "Seconds."},
            tunnels={
                "type": "array",
                "items": _object(
                    name=_text("Tunnel."),
                    manager_number=_number("Its phase 1 number in the manager."),
                    reached={"type": "boolean", "description": "Whether fresh keys are in use for all that was meant."},
                    before=_KEYS,
                    after=_KEYS,
                    state=_text("State of the whole."),
                    reason=_text("Key of the closed list of reasons why there are none, else empty."),
                    story=_text("What happened."),
                    remedy=_text("What to do."),
                ),
            },
        ),
    ),
    "tunnels.list": Method(
        "Tunnels as the manager runs them, or as the database defines them.",
        _object(
            source=_text(
                "manager: what runs; database: what is defined.", enum=["manager", "database"], default="manager"
            ),
            names=_NAMES,
            numbers={
                "type": "array",
                "items": {"type": "integer"},
                "description": "Phase 1 numbers of that source; with phase 2: phase 2 numbers.",
            },
            phase=_text(
                "1, 2, or 1+: phase 1 tunnels with their phase 2 tunnels.", enum=["1", "1+", "2"], default="1+"
            ),
            role=_text(
                "Only those started here (initiator) or by the peer (responder).", enum=["initiator", "responder"]
            ),
            owner=_text("Only those of this owner."),
            verbose=_flag("With algorithms, SPIs, counters, lifetimes and the definition."),
        ),
        _object(
            tunnels={
                "type": "array",
                "items": _object(
                    number=_number("Phase 1 number in the source asked for; 0 for one that the manager does not run."),
                    database_number=_number("Phase 1 number in the database."),
                    manager_number=_number("Phase 1 number in the manager, 0 if it does not run."),
                    name=_text("Tunnel."),
                    owner=_text("Owner tag."),
                    wanted=_text("active, ike (IKE SA only), present or inactive."),
                    state=_text(
                        "State of the whole: inactive, dormant, negotiating, active, degraded, down or retiring."
                    ),
                    phase1=_text("State of the IKE SA: dormant, negotiating, active or expired."),
                    role=_text("initiator, responder or empty."),
                    refresh={"type": "boolean", "description": "Whether it gets fresh keys in time."},
                    instance_of=_text("Of an instance of a definition for many peers, the name of that; else null."),
                    instances={
                        "type": "object",
                        "description": "Of such a definition, count and max of peers; else null.",
                    },
                    groups=_texts("Names under which it is started together with others."),
                    local={"type": "object", "description": "Our address and id."},
                    remote={"type": "object", "description": "The peer's address and id."},
                    children={"type": "array", "items": _CHILD_VIEW},
                    reason=_text("Why it is down, or why it is not going to stay up; else empty."),
                    story=_text("What happened."),
                    remedy=_text("What to do."),
                    ends_at={
                        "type": ["string", "null"],
                        "description": "When something of it ends, if the peer goes on refusing: date and time, UTC.",
                    },
                    repairs=_REPAIRS,
                    key={
                        "type": ["object", "null"],
                        "description": "Of a derived key what both ends can compare: epoch, fingerprint, also_accept.",
                    },
                    expiring=_texts("What of its certificates and revocation lists ends soon, or has."),
                    **_AGES,
                ),
            },
            manager=_object(**_RELEASE),
            unknown_peers=_UNKNOWN_PEERS,
        ),
    ),
    "log.level": Method(
        "Set how much is logged; without a level, tell it.",
        _object(level=_text("New level.", enum=LEVELS)),
        _object(level=_text("Level from now on.", enum=LEVELS), before=_text("Level until now.", enum=LEVELS)),
    ),
    "subscribe": Method(
        "Stream events on this connection, as notifications named event.",
        _object(names=_NAMES),
        _object(subscribed={"type": "boolean", "description": "Always true."}),
    ),
}


def check_params(method: str, params: Any) -> dict[str, Any]:
    """Canonical parameters of a call.

    :raises Problems: every bad parameter.
    """
    problems: list[InputError] = []
    checked: dict[str, Any] = conform(params, METHODS[method].params, "", problems, FORMATS)
    if problems:
        raise Problems(problems)
    return checked


def catalogue() -> dict[str, Any]:
    """The table as plain data, for machines and for ``engine methods``."""
    return {
        "api": API,
        "methods": {name: row._asdict() for name, row in METHODS.items()},
    }
