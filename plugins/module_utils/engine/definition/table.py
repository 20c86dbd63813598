# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of a tunnel: one row each, which everything that knows options is made of, or tested against.

The manager checks, compares and builds by these rows; the argument specs of modules, the variables of role ``fleet``
and the converters take them from here, and a test compares what is written out for people: the documentation of the
modules and the tables of the role. To add an option is to add its row, the place that uses it, their tests, and that
documentation.

Modules read this file with whatever Python a gateway has, to say so where it is too old: so it imports nothing of ours.
"""

from __future__ import annotations

from typing import Any, NamedTuple

# Mildest first. hot: nothing on the wire; rekey: negotiated anew within the running IKE SA, no packet is lost;
# re-establish: there has to be another IKE SA (or child); the old one stays until that is there.
IMPACTS = ("none", "hot", "rekey", "re-establish")

MAX_SECONDS = 30 * 86400
MAX_CARRIED = 2**63 - 1  # octets or packets: the kernel counts in 64 bits, of which all ones are for no limit

# How a manager says that it does not know something. A collection that does takes these words for those of an older
# manager, so they are the same in every release.
UNKNOWN_OPTION, UNKNOWN_CHOICE = "is not a known option", "is not one of the choices"


class Option(NamedTuple):
    """One option, or a section of options.

    :ivar path: its keys from the outermost on; what is under ``children`` is of each child.
    :ivar schema: JSON Schema of its value, as far as ``schema.py`` knows it, without what other columns tell.
    :ivar impact: what a change does to what runs: one of :data:`IMPACTS`, empty for a section, whose options say it,
        and for a name, by which its owner is found.
    :ivar since: the release of the collection that has it first.
    :ivar text: what it means, for people.
    :ivar required: whether its section is no good without it.
    :ivar only: the values of its section's ``tag`` that it belongs to, empty for all.
    """

    path: str
    schema: dict[str, Any]
    impact: str
    since: str
    text: str
    required: bool = False
    only: tuple[str, ...] = ()


def _integer(**limits: int) -> dict[str, Any]:
    return {"type": "integer", **limits}


def _text(form: str, **more: Any) -> dict[str, Any]:
    return {"type": "string", "format": form, **more}


def _choice(default: str, *others: str) -> dict[str, Any]:
    return {"type": "string", "enum": [default, *others], "default": default}


def _texts(form: str, **more: Any) -> dict[str, Any]:
    return {"type": "array", "items": {"type": "string", "format": form}, **more}


def _words(form: str, default: Any) -> dict[str, Any]:
    """One text or several."""
    return {
        "type": ["string", "array"],
        "items": {"type": "string"},
        "format": form,
        "default": default,
        "minItems": 1,
    }


def _duration(default: int, minimum: int) -> dict[str, Any]:
    limits = {"minimum": minimum, "maximum": MAX_SECONDS}
    return {"type": ["integer", "string"], "format": "duration", "default": default, **limits}


PSK, PUBKEY, RAW = "psk", "pubkey", "raw"
SHUNTS = ("pass", "drop")  # modes of children of which nothing is negotiated
TEXT, HEX, BASE64 = "text", "hex", "base64"

_SECTION: dict[str, Any] = {"type": "object"}
_NAME = _text("name", remedy="give each a name")
_NETWORKS = _texts("selector", minItems=1, remedy="list at least one network, such as 10.1.0.0/16")
_SECRET = _text("secret", writeOnly=True, remedy="give the pre-shared key (from a vault)")
_HOW_LONG = " Seconds, or a text such as 4h, 30m, 90s, 1d."

OPTIONS = (
    Option("name", _NAME, "", "0.1.0", "Its name.", required=True),
    Option("local", _SECTION, "", "0.1.0", "This end."),
    Option(
        "local.address", _text("address"), "re-establish", "0.1.0", "Our address; any of this host's when left out."
    ),
    Option("local.id", _text("identity"), "re-establish", "0.1.0", "Our identity; the address when left out."),
    Option("remote", _SECTION, "", "0.1.0", "The peer."),
    Option(
        "remote.address",
        _text("host"),
        "re-establish",
        "0.1.0",
        "The peer's, or its host name; left out: the peer always initiates.",
    ),
    # The next start uses them; a running SA stays where it is.
    Option(
        "remote.addresses",
        _texts("peer address", default=[]),
        "hot",
        "0.2.0",
        "Several of the peer's in place of address, in order of preference: where one does not answer the next is "
        "tried. The peer may come from each of them. Of a definition for many peers the networks, ranges and addresses "
        "that they may come from, anywhere when left out.",
    ),
    Option(
        "remote.id",
        _text("identity"),
        "re-establish",
        "0.1.0",
        "The peer's identity; the address when left out. With certificates also a pattern, which makes it a definition "
        "for many peers: any, or an identity with * for whole parts (*.branch.example.net, dn:O=Example, CN=*).",
    ),
    Option(
        "remote.max_instances",
        _integer(minimum=1, maximum=10000),
        "hot",
        "0.2.0",
        "Of a definition for many peers: how many of them may be there at once; 256 when left out.",
    ),
    Option(
        "remote.unique",
        {"type": "string", "enum": ["replace", "keep", "never"]},
        "hot",
        "0.2.0",
        "Of a definition for many peers: what becomes of an identity that comes from a second address. replace: the "
        "first one ends; keep: the second one is refused; never: they stand beside each other. replace when left out.",
    ),
    # The next start uses the ports; a running SA follows its peer.
    Option(
        "remote.port",
        _integer(default=500, minimum=1, maximum=65535),
        "hot",
        "0.1.0",
        "UDP port of its IKE. The same as natt_port: IKE begins there.",
    ),
    Option(
        "remote.natt_port",
        _integer(default=4500, minimum=1, maximum=65535),
        "hot",
        "0.1.0",
        "UDP port of its IKE and ESP when a NAT is between.",
    ),
    Option(
        "auth",
        # The method decides what else there is. A secret in the wrong place is not shown either.
        {"type": "object", "tag": "method", "writeOnly": True, "remedy": "give auth: {method: psk, secret: …}"},
        "",
        "0.1.0",
        "How the two ends prove who they are.",
        required=True,
    ),
    Option("auth.method", _choice(PSK, PUBKEY, RAW), "re-establish", "0.1.0", "How both ends prove who they are."),
    # The next authentication uses the keys, so that a rotation loses nothing.
    Option("auth.secret", _SECRET, "hot", "0.1.0", "Pre-shared key.", required=True, only=(PSK,)),
    Option(
        "auth.also_accept",
        {
            "type": "array",
            "writeOnly": True,
            "items": {"type": "string", "format": "secret", "writeOnly": True},
            "default": [],
        },
        "hot",
        "0.1.0",
        "Keys taken from the peer besides, while a rotation is under way.",
        only=(PSK,),
    ),
    # The same octets are the same key, however they are written.
    Option(
        "auth.secret_format",
        _choice(TEXT, HEX, BASE64),
        "none",
        "0.2.0",
        "How the keys are written: as text, or as octets in hexadecimal digits or base64.",
        only=(PSK,),
    ),
    Option(
        "auth.epoch",
        _integer(minimum=1),
        "hot",
        "0.2.0",
        "Generation of a key that was derived from a seed: its fingerprint may be shown, which tells nothing of it.",
        only=(PSK,),
    ),
    # With any method. As with the keys, the next authentication uses them.
    Option(
        "auth.ppk",
        {
            "type": "array",
            "writeOnly": True,
            "items": {"type": "object", "writeOnly": True},
            "remedy": "list them: auth: {ppk: [{id: …, secret: …}]}",
        },
        "",
        "0.2.0",
        "Post-quantum preshared keys (RFC 8784), of which one is mixed into the keys of the IKE SA.",
    ),
    Option(
        "auth.ppk.id",
        _text("ppk_id", remedy="give it the name that the peer has for it"),
        "hot",
        "0.2.0",
        "By which the two ends find it: it goes over the wire, and is the same at both.",
        required=True,
    ),
    Option(
        "auth.ppk.secret",
        _text("secret", writeOnly=True, remedy="give the post-quantum preshared key (from a vault)"),
        "hot",
        "0.2.0",
        "The key, of 32 octets or more that nobody can guess.",
        required=True,
    ),
    Option(
        "auth.ppk.secret_format",
        _choice(TEXT, HEX, BASE64),
        "none",
        "0.2.0",
        "How it is written: as text, or as octets in hexadecimal digits or base64.",
    ),
    Option(
        "auth.ppk.required",
        {"type": "boolean", "default": True},
        "hot",
        "0.2.0",
        "Whether there is no IKE SA without one of those listed.",
    ),
    # So do keys that sign: a renewed one is used by the next authentication.
    Option(
        "auth.certificate",
        _text("PEM or path", remedy="give our certificate"),
        "hot",
        "0.2.0",
        "Our certificate, and behind it those between it and its authority: PEM, or the path on the gateway of a file.",
        required=True,
        only=(PUBKEY,),
    ),
    Option(
        "auth.key",
        _text("path", remedy="name the file on the gateway with our private key"),
        "hot",
        "0.2.0",
        "Path on the gateway of our private key: PEM, PKCS#8 or traditional.",
        required=True,
        only=(PUBKEY, RAW),
    ),
    Option(
        "auth.passphrase",
        _text("passphrase", writeOnly=True),
        "hot",
        "0.2.0",
        "Of our private key, where its file is encrypted.",
        only=(PUBKEY, RAW),
    ),
    Option(
        "auth.ca",
        _texts("PEM or path", default=[]),
        "hot",
        "0.2.0",
        "Authorities that the peer's certificate may come from: PEM, or paths of files.",
        only=(PUBKEY,),
    ),
    Option(
        "auth.crl",
        _texts("PEM or path", default=[]),
        "hot",
        "0.2.0",
        "Revocation lists of these authorities, and of those in between: PEM, or paths of files.",
        only=(PUBKEY,),
    ),
    Option(
        "auth.revocation",
        {"type": "string", "enum": ["strict", "relaxed"]},
        "hot",
        "0.2.0",
        "strict: each authority has to have a current list; relaxed: a missing or overdue list is no reason to refuse. "
        "strict where there is a crl.",
        only=(PUBKEY,),
    ),
    Option(
        "auth.remote_ca",
        _text("PEM or path"),
        "hot",
        "0.2.0",
        "The one of these authorities that the peer's certificate has to come from, directly or not.",
        only=(PUBKEY,),
    ),
    Option(
        "auth.remote_certificate",
        _text("PEM or path"),
        "hot",
        "0.2.0",
        "The peer's certificate, where it is known beforehand: without ca it needs no authority.",
        only=(PUBKEY,),
    ),
    Option(
        "auth.demands",
        _texts("demand", default=[]),
        "hot",
        "0.2.0",
        "How strong keys and signatures of the peer's certificates have to be, such as rsa-3072-sha256.",
        only=(PUBKEY,),
    ),
    Option(
        "auth.send_cert",
        _choice("always", "asked", "never"),
        "hot",
        "0.2.0",
        "Whether our certificate is sent: always, only to who asks for certificates, or never.",
        only=(PUBKEY,),
    ),
    Option(
        "auth.remote_key",
        _text("PEM or path", remedy="give the peer's public key"),
        "hot",
        "0.2.0",
        "The peer's public key (RFC 7670), as PEM, or the path on the gateway of a file with it.",
        required=True,
        only=(RAW,),
    ),
    Option(
        "role",
        _choice("both", "initiator", "responder"),
        "hot",
        "0.1.0",
        "both: either side starts; initiator: this side alone, the peer's attempts are refused; "
        "responder: waits for the peer.",
    ),
    Option("ike", _SECTION, "", "0.1.0", "The IKE SA (phase 1)."),
    Option("ike.version", {"type": "integer", "enum": [2], "default": 2}, "re-establish", "0.1.0", "IKE version."),
    Option(
        "ike.proposals",
        _words("words", "modern"),
        "rekey",
        "0.1.0",
        "IKE algorithms: a profile (modern, pq, compat, legacy), or proposals in order of preference.",
    ),
    Option("ike.lifetime", _duration(14400, 10), "hot", "0.1.0", "Until the IKE SA has to be rekeyed." + _HOW_LONG),
    Option(
        "ike.reauth",
        _duration(0, 0),
        "hot",
        "0.2.0",
        "Until both ends prove anew who they are, in another IKE SA beside this one, 0 for never." + _HOW_LONG,
    ),
    Option(
        "ike.dpd_delay", _duration(30, 0), "hot", "0.1.0", "Silence before a liveness check, 0 for none." + _HOW_LONG
    ),
    Option(
        "ike.retransmit_timeout",
        _duration(60, 5),
        "hot",
        "0.2.0",
        "How long a request is repeated before the peer counts as unreachable." + _HOW_LONG,
    ),
    # Agreed on when an IKE SA is opened.
    Option(
        "ike.fragmentation",
        _choice("auto", "never"),
        "hot",
        "0.2.0",
        "Whether IKE messages that no packet has room for go in fragments where the peer takes them (RFC 7383).",
    ),
    Option(
        "ike.fragment_size",
        _integer(default=1280, minimum=256, maximum=65535),
        "hot",
        "0.2.0",
        "Octets of the largest packet that an IKE message is sent in, IP header included.",
    ),
    Option(
        "ike.dscp",
        _integer(default=0, minimum=0, maximum=63),
        "hot",
        "0.2.0",
        "DSCP of the packets that carry IKE, by which routers on the way may prefer them.",
    ),
    Option(
        "encapsulation", _choice("auto", "force"), "re-establish", "0.1.0", "ESP in UDP when a NAT is found, or always."
    ),
    Option(
        "interface",
        # Left out is not the same as empty: such a tunnel has none.
        {"type": "object", "default": None},
        "",
        "0.2.0",
        "An XFRM interface for a route-based tunnel: what is routed into it is protected.",
    ),
    Option(
        "interface.name",
        _text("interface", remedy="give it a name such as ipsec0"),
        "re-establish",
        "0.2.0",
        "Its name, up to 15 characters; made, owned and removed by the manager.",
        required=True,
    ),
    # SAs and policies are tied to it.
    Option(
        "interface.id",
        _integer(minimum=1, maximum=0xFFFFFFFF),
        "re-establish",
        "0.2.0",
        "Interface ID in the kernel (if_id); chosen and kept when left out.",
    ),
    Option(
        "interface.addresses",
        _texts("interface address", default=[]),
        "hot",
        "0.2.0",
        "Addresses of this end, as ADDRESS/PREFIX.",
    ),
    Option(
        "interface.routes",
        _texts("network"),
        "hot",
        "0.2.0",
        "Networks reached through it; the remote networks of the children when left out, but for 0.0.0.0/0 and ::/0.",
    ),
    Option(
        "interface.mtu",
        _integer(default=1500, minimum=1280, maximum=65535),
        "hot",
        "0.2.0",
        "Largest packet in octets, before it is protected.",
    ),
    Option(
        "bypass",
        _words("bypass", ["local_links"]),
        "hot",
        "0.2.0",
        "What passes by it in clear: local_links (the networks of this host's own links, where the remote "
        "networks hold them and more), networks, or none.",
    ),
    Option(
        "groups",
        _texts("name", default=[]),
        "hot",
        "0.2.0",
        "Names under which several tunnels are started together: ike cmd=activate remid=GROUP.",
    ),
    Option(
        "children",
        {"type": "array", "items": {"type": "object"}, "minItems": 1, "remedy": "list at least one child"},
        "",
        "0.1.0",
        "What the tunnel protects (phase 2).",
        required=True,
    ),
    Option("children.name", _NAME, "", "0.1.0", "Its name.", required=True),
    Option(
        "children.local",
        _NETWORKS,
        "rekey",
        "0.1.0",
        "Networks on this side, as NETWORK[PROTOCOL/PORT]; transport mode: the local address when left out.",
    ),
    Option(
        "children.remote",
        _NETWORKS,
        "rekey",
        "0.1.0",
        "Networks behind the peer; transport mode: its address when left out.",
    ),
    Option(
        "children.start",
        _choice("auto", "trap", "manual"),
        "hot",
        "0.1.0",
        "auto: with the tunnel; trap: at the first packet; manual: when asked.",
    ),
    Option(
        "children.close_action",
        _choice("as_start", "none", "trap", "start"),
        "hot",
        "0.2.0",
        "When the peer closes it: as_start: as start says; none: it stays closed; trap: its next packet starts it; "
        "start: it is started at once.",
    ),
    Option(
        "children.inactivity",
        _duration(0, 0),
        "hot",
        "0.2.0",
        "Closed when no packet passed for so long, until the next one, 0 for never." + _HOW_LONG,
    ),
    Option(
        "children.mode",
        _choice("tunnel", "transport", *SHUNTS),
        "re-establish",
        "0.1.0",
        "Encapsulation mode; pass and drop are no encapsulation: such packets leave in clear, or not at all.",
    ),
    Option(
        "children.protocol",
        _choice("esp", "ah"),
        "re-establish",
        "0.2.0",
        "esp: packets are encrypted; ah: they are only proven to be the peer's, and anybody on the way can read them.",
    ),
    Option(
        "children.proposals",
        _words("words", "modern"),
        "rekey",
        "0.1.0",
        "Algorithms of its protocol: a profile, or proposals in order of preference.",
    ),
    Option(
        "children.ipcomp",
        {"type": "boolean", "default": False},
        "rekey",
        "0.2.0",
        "Whether packets are compressed before they are protected, where the peer does so, too (IPComp).",
    ),
    Option(
        "children.priority",
        _integer(default=0, minimum=0, maximum=0xFFFF),
        "rekey",
        "0.2.0",
        "Priority of its policies, the lowest number first; 0 for one behind them that puts specific networks first.",
    ),
    Option(
        "children.dscp",
        _choice("copy", "both", "in", "no"),
        "rekey",
        "0.2.0",
        "Whether the DSCP of packets is copied to what carries them (copy), back again (in), both ways or not at all.",
    ),
    Option(
        "children.copy_df",
        {"type": "boolean", "default": True},
        "rekey",
        "0.2.0",
        "Whether what carries a packet that must not be fragmented must not be either.",
    ),
    Option(
        "children.copy_ecn",
        {"type": "boolean", "default": True},
        "rekey",
        "0.2.0",
        "Whether marks of congestion (ECN) are copied to what carries a packet, and back.",
    ),
    Option(
        "children.offload",
        _choice("none", "crypto"),
        "rekey",
        "0.2.0",
        "none: the processor encrypts; crypto: the network interface by which packets leave does.",
    ),
    Option(
        "children.lifetime", _duration(3600, 10), "hot", "0.1.0", "Until the Child SA has to be rekeyed." + _HOW_LONG
    ),
    Option(
        "children.lifetime_bytes",
        _integer(default=0, minimum=0, maximum=MAX_CARRIED),
        "hot",
        "0.1.0",
        "Octets until a rekey, 0 for no limit.",
    ),
    Option(
        "children.lifetime_packets",
        _integer(default=0, minimum=0, maximum=MAX_CARRIED),
        "hot",
        "0.1.0",
        "Packets until a rekey, 0 for no limit.",
    ),
    Option(
        "children.replay_window",
        _integer(default=128, minimum=0, maximum=4096),
        "rekey",
        "0.1.0",
        "Packets, 0 for no replay protection.",
    ),
)
