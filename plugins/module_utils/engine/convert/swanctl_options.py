# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of swanctl.conf(5) as rows."""

from __future__ import annotations

from ..definition.table import PSK, PUBKEY, SHUNTS
from . import algorithms, ppk_keys, proofs, route_based, words
from .report import IGNORED, LOST, SKIPPED, Unfit
from .rows import Carried, Left, Row, Rows, Tell

_NO = words.FALSE
_YES = words.TRUE
_OTHER_AUTH = "agree on a pre-shared key with the peer"
_SCRIPT = "do it in a play, or in a unit that starts after the tunnel manager"
NEVER = tuple(f"0{unit}" for unit in ("", "s", "m", "h", "d"))


def _start(text: str, tell: Tell) -> str:
    actions = {"none": "manual", "": "manual", "trap": "trap", "start": "auto", "route": "trap"}
    found = {actions.get(word) for word in text.lower().split("|")}
    if None in found:
        tell(LOST, "it is started by hand", "known are none, trap, start and trap|start")
        return "manual"
    if found == {"trap", "auto"}:
        tell(LOST, "it starts at once, and is not trapped before", "start: trap waits for the first packet instead")
        return "auto"
    return next(iter(found)) or "manual"


def _mode(text: str, tell: Tell) -> str | None:
    mode = text.lower()
    if mode in ("tunnel", "transport", *SHUNTS):
        return mode
    raise Unfit(SKIPPED, "only tunnel and transport mode are supported", "choose one of them at both ends")


CONNECTION: dict[str, Row] = {
    "local_addrs": Carried("local.address", words.address),
    "remote_addrs": Carried("remote.address", words.peer_address),
    "remote_port": Carried("remote.port remote.natt_port", words.peer_port),
    "proposals": Carried("ike.proposals", algorithms.ike()),
    "encap": Carried("encapsulation", words.yes_no("force", "auto")),
    "dpd_delay": Carried("ike.dpd_delay", words.duration(0)),
    "rekey_time": Carried("ike.lifetime", words.duration()),
    "local_port": Left(LOST, "the tunnel manager has one port for all tunnels", "set gateway_listen", ("500",)),
    "vips": Left(SKIPPED, "virtual addresses are not supported", "give the ends fixed networks"),
    "pools": Left(SKIPPED, "virtual addresses are not supported", "give the ends fixed networks"),
    "aggressive": Left(IGNORED, "IKEv2 has no such mode"),
    "pull": Left(IGNORED, "IKEv2 has no such mode"),
    "dscp": Carried("ike.dscp", words.dscp),
    "mobike": Left(LOST, "the tunnel stays with its addresses", "a peer that moves starts the tunnel anew", _NO),
    "dpd_timeout": Left(IGNORED, "with IKEv2 retransmissions decide when a peer is dead"),
    "fragmentation": Carried("ike.fragmentation", words.fragmentation),
    "childless": Left(LOST, "children are made with the IKE SA", "", ("allow", "never")),
    **ppk_keys.SWANCTL,
    "keyingtries": Left(IGNORED, "the manager keeps trying"),
    "unique": Left(LOST, "a new IKE SA of the same peer replaces the old one", "", ("no", "replace")),
    "reauth_time": Carried("ike.reauth", words.duration(0)),
    "over_time": Left(IGNORED, "the engine chooses its own margin"),
    "rand_time": Left(IGNORED, "the engine chooses its own margin"),
    "if_id_in": Carried("device.if_id_in", route_based.raw),
    "if_id_out": Carried("device.if_id_out", route_based.raw),
    "mediation": Left(SKIPPED, "mediation is not supported", "connect the peers directly", _NO),
    "mediated_by": Left(SKIPPED, "mediation is not supported", "connect the peers directly"),
    "mediation_peer": Left(SKIPPED, "mediation is not supported", "connect the peers directly"),
}

END: dict[str, Row] = {
    "id": Carried("{side}.id", words.identity),
    "round": Left(IGNORED, "there is one round"),
    "groups": Left(LOST, "membership in groups is not asked", "give each peer a tunnel of its own"),
    "eap_id": Left(SKIPPED, "EAP is not supported", _OTHER_AUTH),
    "aaa_id": Left(SKIPPED, "EAP is not supported", _OTHER_AUTH),
    "xauth_id": Left(SKIPPED, "XAuth is not supported", _OTHER_AUTH),
}

# Where each end has a key of its own.
_KEYED: dict[str, Row] = {
    "send_certreq": Left(LOST, "the peer is asked for its certificate", "", _YES),
    "send_cert": Carried("proof.send_cert", words.choice({
        **dict.fromkeys(("always", *_YES), "always"), **dict.fromkeys(("never", *_NO), "never"), "ifasked": "asked",
    })),
    "ocsp": Left(LOST, "nobody is asked who is revoked", "give the lists as auth.crl", ("never",)),
}  # fmt: skip
_OURS: dict[str, Row] = {
    "auth": Carried("proof.local.told", proofs.signing),
    "certs": Carried("proof.local.certificates", words.listed),
    "pubkeys": Carried("proof.local.public_keys", words.listed),
    **dict.fromkeys(("cacerts", "ca_id", "revocation", "cert_policy"), Left(IGNORED, "it is for the peer's end")),
}
_THEIRS: dict[str, Row] = {
    "id": Carried("remote.id", words.identity_or_pattern),
    "auth": Carried("proof.remote.demands", proofs.demands),
    "certs": Carried("proof.remote.certificates", words.listed),
    "pubkeys": Carried("proof.remote.public_keys", words.listed),
    "cacerts": Carried("proof.remote.authorities", words.listed),
    "ca_id": Left(SKIPPED, "an authority is not chosen by its identity", "name its file in cacerts"),
    "revocation": Carried("proof.remote.revocation", proofs.revocation),
    "cert_policy": Left(SKIPPED, "no policy of certificates is known", "trust an authority that has one alone"),
}
_NO_MEANING = Left(IGNORED, "it has no meaning with pre-shared keys")
_SHARED: dict[str, Row] = {
    **dict.fromkeys({*_THEIRS} - {*END}, _NO_MEANING),
    "auth": Left(IGNORED, "", "", (), ("psk", "secret")),
}

# By how the ends prove who they are.
CONNECTIONS: dict[str, Rows] = {
    PSK: {**CONNECTION, **dict.fromkeys(_KEYED, _NO_MEANING)},
    PUBKEY: {**CONNECTION, **_KEYED},
}
ENDS: dict[str, dict[str, Rows]] = {
    PSK: {"local": {**END, **_SHARED}, "remote": {**END, **_SHARED}},
    PUBKEY: {"local": {**END, **_OURS}, "remote": {**END, **_THEIRS}},
}

CHILD: dict[str, Row] = {
    "esp_proposals": Carried("proposals", algorithms.esp()),
    "local_ts": Carried("local", words.selectors),
    "remote_ts": Carried("remote", words.selectors),
    "rekey_time": Carried("lifetime", words.duration()),
    "rekey_bytes": Carried("lifetime_bytes", words.size),
    "rekey_packets": Carried("lifetime_packets", words.size),
    "mode": Carried("mode", _mode),
    "start_action": Carried("start", _start),
    "replay_window": Carried("replay_window", words.number(0, 4096)),
    # Taken where there is no rekey_….
    "life_time": Carried("lifetime", words.duration()),
    "life_bytes": Carried("lifetime_bytes", words.size),
    "life_packets": Carried("lifetime_packets", words.size),
    "rand_time": Left(IGNORED, "the engine chooses its own margin"),
    "rand_bytes": Left(IGNORED, "the engine chooses its own margin"),
    "rand_packets": Left(IGNORED, "the engine chooses its own margin"),
    "updown": Left(LOST, "no script is run", _SCRIPT),
    "icmp": Left(LOST, "errors from hosts outside of the networks do not pass", "", _NO),
    "hostaccess": Left(IGNORED, "no script is run that would open the firewall"),
    "policies": Carried("policies", route_based.no_policies),
    "policies_fwd_out": Left(LOST, "no outbound forward policy is made", "", _NO),
    "dpd_action": Left(LOST, "a dead peer's tunnel is tried again as its start says", "", ("trap", "restart", "start")),
    "close_action": Carried("close_action", words.close_action),
    "ipcomp": Carried("ipcomp", words.yes_no(True, False)),
    "inactivity": Carried("inactivity", words.duration(0)),
    "reqid": Left(IGNORED, "the manager chooses its own request IDs"),
    "priority": Carried("priority", words.number(0, 0xFFFF)),
    "interface": Left(LOST, "policies hold on every interface", "restrict it with nftables"),
    "mark_in": Carried("device.mark_in", route_based.raw),
    "mark_in_sa": Left(LOST, "packets are not chosen by mark", "", _NO),
    "mark_out": Carried("device.mark_out", route_based.raw),
    "set_mark_in": Left(LOST, "no mark is set", "set it with nftables", ("0",)),
    "set_mark_out": Left(LOST, "no mark is set", "set it with nftables", ("0",)),
    "if_id_in": Carried("device.if_id_in", route_based.raw),
    "if_id_out": Carried("device.if_id_out", route_based.raw),
    "label": Left(LOST, "no security label is negotiated", ""),
    "label_mode": Left(LOST, "no security label is negotiated", ""),
    "tfc_padding": Left(LOST, "packets are not padded", "", ("0",)),
    "hw_offload": Carried("offload", words.offload),
    "copy_df": Carried("copy_df", words.yes_no(True, False)),
    "copy_ecn": Carried("copy_ecn", words.yes_no(True, False)),
    "copy_dscp": Carried("dscp", words.choice({"out": "copy", "in": "in", "yes": "both", "no": "no"})),
    "per_cpu_sas": Left(LOST, "all processors share one SA", "", _NO),
    "per_cpu_sas_encap": Left(LOST, "all processors share one SA", "", _NO),
    "iptfs": Left(LOST, "packets are not aggregated", "", _NO),
}

# Of a child that has no esp_proposals.
AH: dict[str, Row] = {"ah_proposals": Carried("proposals", algorithms.ah())}

# Sections beside connections and secrets, and kinds of secrets other than ike.
TOP: Rows = {
    "pools": Left(LOST, "virtual addresses are not supported", "give the ends fixed networks"),
}
AUTHORITY: dict[str, Row] = {
    "cacert": Carried("certificates", words.listed),
    "file": Carried("certificates", words.listed),
    "crl_uris": Carried("lists", proofs.files_of_lists),
    "ocsp_uris": Left(
        LOST, "nobody is asked who is revoked", "fetch lists by a timer, and give their file as auth.crl"
    ),
    "cert_uri_base": Left(IGNORED, "certificates are sent, not fetched"),
    **dict.fromkeys(("handle", "slot", "module"), Left(LOST, "tokens are not read", "put its certificate into a file")),
}
# What a secret is for that is none of IKE's keys.
SECRETS: Rows = {
    **dict.fromkeys(("eap", "xauth", "ntlm"), Left(IGNORED, "it is no key of IKE")),
    "pkcs12": Left(
        LOST, "its key and certificates are not taken out", "ipsec import FILE takes them out; then name their files"
    ),
    "token": Left(LOST, "tokens are not read", "make a key in a file, and have a certificate issued for it"),
}
PRIVATE_KEYS = ("private", "rsa", "ecdsa", "pkcs8")  # kinds of secrets that are passphrases of files
