# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of ipsec.conf(5) as rows, of strongSwan's, Libreswan's and FreeS/WAN's pages."""

from __future__ import annotations

from ..definition.table import PSK, PUBKEY
from . import algorithms, ppk_keys, proofs, route_based, words
from .report import IGNORED, LOST, SKIPPED, Unfit
from .rows import Carried, Left, Row, Tell
from .shelves import Folders

_NO = words.FALSE
_YES = words.TRUE
_V1 = "it is of IKEv1 alone"
_CERTIFICATES = "it has no meaning with pre-shared keys"
_OTHER_AUTH = "agree on a pre-shared key with the peer"
_VIRTUAL = "virtual addresses are not supported"
_FIXED = "give the ends fixed networks"
_SCRIPT = "do it in a play, or in a unit that starts after the tunnel manager"
_MARGIN = "the engine chooses its own margin"
_ONE_ROUND = "there is one round of authentication"
_DAEMON = "it is a setting of that daemon"


def _kind(text: str, tell: Tell) -> str | None:
    kind = text.lower()
    if kind in ("tunnel", "transport"):
        return kind
    if kind in ("passthrough", "pass", "drop", "reject"):
        action = "pass" if kind == "passthrough" else kind
        raise Unfit(SKIPPED, "it is no tunnel", f"define it with fleet.ipsec.ipsec_eroute, action {action}")
    raise Unfit(SKIPPED, "only tunnel and transport mode are supported", "choose one of them at both ends")


def _networks(text: str, tell: Tell) -> list[str] | None:
    """A network; FreeS/WAN wrote several in braces."""
    return words.selectors(text.strip("{}").replace(" ", ","), tell) or None


_LIFETIME = Carried("lifetime", words.duration())
_LIFEBYTES = Carried("lifetime_bytes", words.size)
_LIFEPACKETS = Carried("lifetime_packets", words.size)
_PROTOCOL = Carried("protocol", words.choice({"esp": "esp", "ah": "ah", "default": "esp"}))
_REPLAY = Carried("replay_window", words.number(0, 4096))

# Of the tunnel.
CONNECTION: dict[str, Row] = {
    "ikelifetime": Carried("ike.lifetime", words.duration()),
    "dpddelay": Carried("ike.dpd_delay", words.duration(0)),
    "forceencaps": Carried("encapsulation", words.yes_no("force", "auto")),
    "encapsulation": Carried("encapsulation", words.choice({"yes": "force", "auto": "auto"})),
    "dpdtimeout": Left(IGNORED, "with IKEv2 retransmissions decide when a peer is dead"),
    "ikev1-dpdtimeout": Left(IGNORED, _V1),
    "mobike": Left(LOST, "the tunnel stays with its addresses", "a peer that moves starts the tunnel anew", _NO),
    "fragmentation": Carried("ike.fragmentation", words.fragmentation),
    "ike-frag": Carried("ike.fragmentation", words.fragmentation),
    "ike_frag": Carried("ike.fragmentation", words.fragmentation),
    "aggressive": Left(IGNORED, _V1),
    "aggrmode": Left(IGNORED, _V1),
    "keyingtries": Left(IGNORED, "the manager keeps trying"),
    "rekey": Left(LOST, "the tunnel is rekeyed before its lifetime ends", "", _YES),
    # What is said with yes is taken from elsewhere; see ``REAUTHENTICATED``.
    "reauth": Left(IGNORED, "IKE SAs are rekeyed, not authenticated again"),
    "rekeymargin": Left(IGNORED, _MARGIN),
    "margintime": Left(IGNORED, _MARGIN),
    "rekeyfuzz": Left(IGNORED, _MARGIN),
    "retransmit-timeout": Carried("ike.retransmit_timeout", words.duration(5)),
    "retransmit-interval": Left(IGNORED, "the first repetition of a request comes after half a second"),
    "xauth": Left(SKIPPED, "XAuth is not supported", _OTHER_AUTH),
    "xauth_identity": Left(SKIPPED, "XAuth is not supported", _OTHER_AUTH),
    "xauthby": Left(IGNORED, _V1),
    "xauthfail": Left(IGNORED, _V1),
    "eap_identity": Left(SKIPPED, "EAP is not supported", _OTHER_AUTH),
    "aaa_identity": Left(SKIPPED, "EAP is not supported", _OTHER_AUTH),
    "mediation": Left(SKIPPED, "mediation is not supported", "connect the peers directly", _NO),
    "mediated_by": Left(SKIPPED, "mediation is not supported", "connect the peers directly"),
    "me_peerid": Left(SKIPPED, "mediation is not supported", "connect the peers directly"),
    "modeconfig": Left(IGNORED, _V1),
    **ppk_keys.LIBRESWAN,
    "intermediate": Left(IGNORED, "IKE_INTERMEDIATE is spoken where the proposals have additional key exchanges"),
    "narrowing": Left(LOST, "a peer may narrow the networks", "", _YES),
    "send-redirect": Left(LOST, "peers are not redirected", "", _NO),
    "redirect-to": Left(LOST, "peers are not redirected", ""),
    "accept-redirect": Left(LOST, "redirects are not followed", "", _NO),
    "accept-redirect-to": Left(LOST, "redirects are not followed", ""),
    "initial-contact": Left(IGNORED, "the engine decides by what it knows of the peer"),
    "initial_contact": Left(IGNORED, "the engine decides by what it knows of the peer"),
    "pam-authorize": Left(SKIPPED, "PAM is not asked", _OTHER_AUTH, _NO),
    "enable-tcp": Left(SKIPPED, "IKE over TCP is not supported", "let the peer use UDP", _NO),
    "tcp-remoteport": Left(SKIPPED, "IKE over TCP is not supported", "let the peer use UDP"),
    "session-resumption": Left(IGNORED, "a tunnel that comes back is negotiated in full"),
    "overlapip": Left(IGNORED, "of networks within each other the most specific wins; equal ones are refused"),
    "sendca": Left(IGNORED, "what stands between our certificate and its authority is sent with it"),
    "require-id-on-certificate": Left(LOST, "an identity has to be in the certificate that proves it", "", _YES),
    "dns-match-id": Left(IGNORED, "no identity is looked up in the DNS"),
    "installpolicy": Carried("policies", route_based.no_policies),
    "mark": Carried("device.mark", route_based.raw),
    **dict.fromkeys(("mark_in", "mark-in"), Carried("device.mark_in", route_based.raw)),
    **dict.fromkeys(("mark_out", "mark-out"), Carried("device.mark_out", route_based.raw)),
    "vti-interface": Carried("device.name", route_based.name),
    "vti-routing": Carried("device.routes", route_based.routing),
    "vti-shared": Left(LOST, "each tunnel has an interface of its own", "", _NO),
    "ipsec-interface": Carried("device.ipsec", route_based.numbered),
    "ipsec-interface-managed": Left(LOST, "the tunnel manager makes the interface", "", _YES),
    "connaddrfamily": Left(IGNORED, "the addresses tell"),
    "hostaddrfamily": Left(IGNORED, "the addresses tell"),
    "clientaddrfamily": Left(IGNORED, "the networks tell"),
    "connalias": Left(IGNORED, "a tunnel has one name"),
    "ikedscp": Carried("ike.dscp", words.dscp),
    "clones": Left(LOST, "all processors share one SA", "", ("0", "1")),
    "share-lease": Left(LOST, _VIRTUAL, _FIXED, _NO),
    "cisco-split": Left(IGNORED, _V1),
    "loopback": Left(SKIPPED, "both ends are this host", "define it where the peer is another host", _NO),
    "alsoflip": Left(SKIPPED, "sections with both ends exchanged are not taken on", "write their options here"),
    "eap": Left(SKIPPED, "EAP is not supported", _OTHER_AUTH),
    "reject-simultaneous-ike-auth": Left(IGNORED, "of two IKE SAs made at the same time one is closed again"),
    "send-supported-auth-methods": Left(IGNORED, "both ends have one way to prove who they are"),
    "signature-hash-algorithms": Left(IGNORED, "the strongest signature that the peer takes is made"),
    "debug": Left(IGNORED, "ike cmd=log sets what is logged"),
    "plutodebug": Left(IGNORED, "ike cmd=log sets what is logged"),
    "failureshunt": Left(LOST, "packets wait for the tunnel or are dropped, never in clear", "", ("drop", "hold")),
    "negotiationshunt": Left(LOST, "packets wait for the tunnel or are dropped", "", ("drop", "hold")),
    "disablearrivalcheck": Left(LOST, "what arrives has to fit the policies", "", _NO),
    **dict.fromkeys(
        ("ikev1-natt", "nat-ikev1-method", "nat_ikev1_method", "ikepad", "cisco-unity", "cisco_unity",
         "remote-peer-type", "remote_peer_type", "send-vendorid", "send_vendorid", "fake-strongswan",
         "nm-configured", "nm_configured", "ms-dh-downgrade", "pfs-rekey-workaround", "sareftrack"),
        Left(IGNORED, "it is for peculiar peers, or for that program's own surroundings"),
    ),
    **dict.fromkeys(("nat-keepalive", "nat_keepalive"), Left(IGNORED, "keepalives are sent where a NAT is found")),
    **dict.fromkeys(
        ("modecfgpull", "modecfgdns", "modecfgdns1", "modecfgdns2", "modecfgdomain", "modecfgdomains",
         "modecfgbanner", "modecfgwins1", "modecfgwins2", "ignore-peer-dns"),
        Left(LOST, _VIRTUAL, _FIXED),
    ),
}  # fmt: skip

# With reauth=yes an IKE SA is authenticated anew when it would have been rekeyed.
REAUTHENTICATED: dict[str, Row] = {"reauth": Carried("ike.reauth", words.duration(0))}
LIFETIMES = {False: "3h", True: "8h"}  # of an IKE SA, where nothing is said: strongSwan's, and Libreswan's

# Of its child.
CHILD: dict[str, Row] = {
    "type": Carried("mode", _kind),
    "auto": Carried("start", words.choice({
        "ignore": "manual", "manual": "manual", "add": "manual", "keep": "manual", "route": "trap",
        "ondemand": "trap", "start": "auto", "up": "auto",
    })),
    "keylife": _LIFETIME, "lifetime": _LIFETIME, "salifetime": _LIFETIME, "ipsec-lifetime": _LIFETIME,
    "lifebytes": _LIFEBYTES, "ipsec-max-bytes": _LIFEBYTES,
    "lifepackets": _LIFEPACKETS, "ipsec-max-packets": _LIFEPACKETS,
    "replay_window": _REPLAY, "replay-window": _REPLAY,
    "phase2": _PROTOCOL, "auth": _PROTOCOL,
    "marginbytes": Left(IGNORED, _MARGIN),
    "marginpackets": Left(IGNORED, _MARGIN),
    "compress": Carried("ipcomp", words.yes_no(True, False)),
    "inactivity": Carried("inactivity", words.duration(0)),
    "dpdaction": Left(LOST, "a dead peer's tunnel is tried again as auto= says", "",
                      ("restart", "restart_by_peer", "hold", "none")),
    "closeaction": Carried("close_action", words.close_action),
    "reqid": Left(IGNORED, "the manager chooses its own request IDs"),
    "priority": Carried("priority", words.number(0, 0xFFFF)),
    "mtu": Left(LOST, "the kernel chooses the MTU", "set it on the route"),
    "metric": Left(LOST, "the manager chooses the metric of its routes"),
    "tfc": Left(LOST, "packets are not padded", "", ("0",)),
    **dict.fromkeys(("send-no-esp-tfc", "send-esp-tfc-padding-not-supported"),
                    Left(IGNORED, "packets are not padded")),
    "nopmtudisc": Carried("copy_df", words.yes_no(False, True)),
    "nic-offload": Carried("offload", words.offload),
    **dict.fromkeys(("nflog", "nflog-group"),
                    Left(LOST, "packets are not logged", "log them with nftables", (*_NO, "0"))),
    **dict.fromkeys(("sec-label", "policy-label", "policy_label", "labeled-ipsec", "labeled_ipsec"),
                    Left(LOST, "no security label is negotiated")),
    **dict.fromkeys(("iptfs", "iptfs-dont-frag", "iptfs-fragmentation", "iptfs-packet-size", "iptfs-max-queue-size",
                     "iptfs-init-delay", "iptfs-reorder-window", "iptfs-drop-time"),
                    Left(LOST, "packets are not aggregated", "", _NO)),
}  # fmt: skip

# Of one end, without left or right; the empty name is left= and right= itself.
END: dict[str, Row] = {
    "": Carried("{side}.address", words.address),
    "id": Carried("{side}.id", words.identity),
    "nexthop": Left(IGNORED, "the kernel's routes tell the way"),
    "sourceip": Left(LOST, "local packets take an address inside of the network"),
    "natip": Left(LOST, "no network is translated", "translate with nftables"),
    "allowany": Left(LOST, "the peer has to come from its address", "leave the address out", _NO),
    "firewall": Left(LOST, "no firewall is opened", "open it in a play", _NO),
    "hostaccess": Left(IGNORED, "no firewall is opened"),
    "updown": Left(LOST, "no script is run", _SCRIPT, ("%disabled",)),
    "updown-config": Left(IGNORED, "no script is run"),
    "addresspool": Left(SKIPPED, _VIRTUAL, _FIXED),
    "dns": Left(LOST, _VIRTUAL, _FIXED),
    "interface-ip": Carried("device.{side}", route_based.address),
    "vti": Carried("device.{side}", route_based.address),
    "subnetwithin": Left(SKIPPED, "networks that the peer chooses are not possible", "list the networks"),
    "id2": Left(SKIPPED, "there is one round of authentication", _OTHER_AUTH),
    "auth2": Left(SKIPPED, "there is one round of authentication", _OTHER_AUTH),
    "cert2": Left(IGNORED, _ONE_ROUND),
    "ca2": Left(IGNORED, _ONE_ROUND),
    "groups": Left(LOST, "membership in groups is not asked", "give each peer a tunnel of its own"),
    "groups2": Left(LOST, "membership in groups is not asked", "give each peer a tunnel of its own"),
    "groundhog": Left(IGNORED, "it is a setting for tests of that program"),
    "cat": Left(LOST, "client addresses are not translated", "translate with nftables", _NO),
    "autheap": Left(SKIPPED, "EAP is not supported", _OTHER_AUTH, ("none",)),
    "username": Left(IGNORED, _V1),
    **dict.fromkeys(("xauthserver", "xauthclient", "xauthname", "xauthusername", "modecfgserver", "modecfgclient"),
                    Left(LOST, _VIRTUAL, _FIXED, _NO)),
    **dict.fromkeys(("modecfgdns1", "modecfgdns2", "modecfgwins1", "modecfgwins2"), Left(LOST, _VIRTUAL, _FIXED)),
}  # fmt: skip
_CERTIFICATE = Carried("proof.{side}.certificates", words.listed)
_KEYS = dict.fromkeys(
    ("rsasigkey", "sigkey", "ecdsakey", "eddsakey", "pubkey"), Carried("proof.{side}.public_keys", proofs.public_keys)
)
_PEERS = Left(IGNORED, "it is for the peer's end")
_OURS: dict[str, Row] = {
    "auth": Carried("proof.local.told", proofs.signing),
    "cert": _CERTIFICATE,
    "sendcert": Carried("proof.send_cert", words.choice({
        **dict.fromkeys(("never", *_NO), "never"), **dict.fromkeys(("ifasked", "sendifasked"), "asked"),
        **dict.fromkeys(("always", "alwayssend", *_YES), "always"),
    })),
    "certpolicy": _PEERS,
    "ca": _PEERS,
    "id": Carried("local.id", proofs.own_identity),
    **_KEYS,
}  # fmt: skip
_THEIRS: dict[str, Row] = {
    "id": Carried("remote.id", words.identity_or_pattern),
    "auth": Carried("proof.remote.demands", proofs.demands),
    "cert": _CERTIFICATE,
    "sendcert": Left(IGNORED, "the peer decides what it sends"),
    "certpolicy": Left(SKIPPED, "no policy of certificates is known", "trust an authority that has one alone"),
    "ca": Carried("proof.remote.authority", proofs.authority),
    **_KEYS,
}
_FURTHER: dict[str, Row] = {
    **dict.fromkeys(
        ("rsasigkey1", "rsasigkey2"), Left(LOST, "one key is taken of each end", "define a tunnel for each")
    ),
    "ckaid": Left(IGNORED, "a key is found by its certificate"),
}
_NO_MEANING: dict[str, Row] = dict.fromkeys({*_THEIRS, *_FURTHER} - {*END}, Left(IGNORED, _CERTIFICATES))
_NO_MEANING["auth"] = Left(IGNORED, _CERTIFICATES, "", (), ("psk", "secret"))
_PLACES: dict[str, dict[str, Row]] = {
    "local": {
        "ikeport": Left(LOST, "the tunnel manager has one port for all tunnels", "set gateway_listen", ("500",)),
    },
    "remote": {
        "": Carried("remote.address", words.peer_address),
        "ikeport": Carried("remote.port remote.natt_port", words.peer_port),
    },
}

# Of one of both ends, by how they prove who they are.
ENDS: dict[str, dict[str, dict[str, Row]]] = {
    PSK: {side: {**END, **place, **_NO_MEANING} for side, place in _PLACES.items()},
    PUBKEY: {
        side: {**END, **_PLACES[side], **_FURTHER, **rows} for side, rows in (("local", _OURS), ("remote", _THEIRS))
    },
}

# Of a section of an authority.
AUTHORITY: dict[str, Row] = {
    "cacert": Carried("certificates", words.listed),
    **dict.fromkeys(("crluri", "crluri1"), Carried("lists", proofs.files_of_lists)),
    "crluri2": Carried("more_lists", proofs.files_of_lists),
    **dict.fromkeys(("ocspuri", "ocspuri1", "ocspuri2"), Left(LOST, "nobody is asked who is revoked", proofs.LISTS)),
    "certuribase": Left(IGNORED, "certificates are sent, not fetched"),
    "auto": Left(IGNORED, "it counts for all tunnels"),
    "ldaphost": Left(IGNORED, proofs.NOT_FETCHED),
}

# Of config setup.
SETUP: dict[str, Row] = {
    **dict.fromkeys(("ikeport", "nat-ikeport", "nat_ikeport", "listen", "listen-tcp", "listen-udp"),
                    Left(LOST, "the role gateway sets where the manager listens", "set gateway_listen")),
    **dict.fromkeys(("virtual-private", "virtual_private"), Left(IGNORED, "networks are listed in each tunnel")),
    **dict.fromkeys(("uniqueids",), Left(LOST, "a new IKE SA of the same peer replaces the old one", "",
                                         (*_YES, "replace"))),
    **dict.fromkeys(("nat_traversal", "nat-traversal"), Left(LOST, "a NAT is always looked for", "", _YES)),
    **dict.fromkeys(
        ("strictcrlpolicy", "crl-strict", "crl_strict"),
        Carried("revocation", words.choice({
            **dict.fromkeys(_YES, "strict"), **dict.fromkeys(("ifuri", *_NO), "relaxed"),
        })),
    ),
    **dict.fromkeys(("ocsp-enable", "ocsp_enable", "ocsp-strict", "ocsp_strict"),
                    Left(LOST, "nobody is asked who is revoked", proofs.LISTS, _NO)),
    **dict.fromkeys(
        ("crlcheckinterval", "cachecrls", "nocrsend",
         "ocsp-uri", "ocsp_uri", "ocsp-timeout", "ocsp_timeout",
         "ocsp-trustname", "ocsp_trust_name", "ocsp-cache-size", "ocsp-cache-min-age", "ocsp-cache-max-age",
         "ocsp-method", "curl-iface", "curl_iface", "curl-timeout", "curl_timeout", "crl-timeout",
         "nssdir", "pkcs11module", "pkcs11initargs", "pkcs11keepstate", "pkcs11proxy"),
        Left(IGNORED, "keys and certificates are in files, and revocation lists are not fetched"),
    ),
    **dict.fromkeys(("overridemtu", "fragicmp", "hidetos"), Left(LOST, "the kernel decides")),
    **dict.fromkeys(
        (
            "interfaces", "protostack", "klipsdebug", "plutodebug", "charondebug", "debug", "logfile",
            "plutostderrlog", "logtime", "plutostderrlogtime", "logappend", "logip", "syslog", "audit-log",
            "statsbin", "dumpdir", "ipsecdir", "secretsfile", "nhelpers", "seedbits", "keep-alive", "keep_alive",
            "force_keepalive", "shuntlifetime", "xfrmlifetime", "ddos-mode", "ddos-ike-threshold",
            "ddos-ike-treshold", "max-halfopen-ike", "force-busy", "force_busy", "ike-socket-bufsize",
            "ike-socket-errqueue", "seccomp", "dnssec-enable", "dnssec-rootkey-file", "dnssec-anchors",
            "global-redirect", "global-redirect-to", "ikev1-policy", "myid", "myvendorid", "nflog-all",
            "drop-oppo-null", "plutofork", "plutorestartoncrash", "plutoopts", "plutowait", "plutoload",
            "plutostart", "charonstart", "pluto", "prepluto", "postpluto", "perpeerlog", "perpeerlogdir",
            "packetdefault", "oe", "forwardcontrol", "rp_filter", "disable_port_floating", "manualstart",
            "pluto_load", "pluto_start", "expire-lifetime", "expire-shunt-interval", "ipsec-interface-managed",
            "secctx-attr-type", "secctx-attr-value", "secctx_attr_value", "ikev1-secctx-attr-type", "dns-resolver",
            "exampledir", "rundir", "loglimit", "logstderr", "retransmits", "seeddev", "ldaphost", "ldapbase",
        ), Left(IGNORED, _DAEMON),
    ),
}  # fmt: skip

FOLDERS = Folders(
    "ipsec.d/certs", "ipsec.d/cacerts", "ipsec.d/crls", "ipsec.d/certs", ("ipsec.d/private",), subject_counts=True
)
# Where ``ipsec import`` puts what was in Libreswan's database, under the names that certificates have there.
_IMPORTED = "/etc/fleet-ipsec/private"
LIBRESWANS_FOLDERS = Folders(
    _IMPORTED, _IMPORTED, "ipsec.d/crls", _IMPORTED, (_IMPORTED,), subject_counts=True, bundles=True, ending=".pem",
    lacking="take it out of Libreswan's database by the certificate's name: pk12util -o NAME.p12 -n NAME "
    "-d sql:/var/lib/ipsec/nss, then ipsec import NAME.p12, and convert again",
    lacking_key="Libreswan's database gives out none without a certificate: make one (openssl genpkey), give the peer "
    "its public key, and define the tunnel by hand (certificates.md)",
)  # fmt: skip

# Options that only Libreswan knows: where one of them stands, its defaults count.
LIBRESWAN_ONLY = frozenset({
    "ikev2", "phase2", "phase2alg", "protostack", "virtual-private", "salifetime", "ipsec-lifetime",
    "leftsubnets", "rightsubnets", "ike-frag", "initial-contact", "sha2-truncbug", "narrowing",
    "hostaddrfamily", "logfile", "ipsec-interface", "vti-interface", "nic-offload", "encapsulation",
    "ikev1-policy", "ipsec-max-bytes", "nssdir", "sendca", "leftckaid", "rightckaid", "require-id-on-certificate",
})  # fmt: skip
IKE = {False: algorithms.ike(), True: algorithms.ike(algorithms.LIBRESWAN)}
ESP = {False: algorithms.esp(), True: algorithms.esp(algorithms.LIBRESWAN)}
# Whether DSCP is copied on the way out, and on the way in.
DSCP = {(True, False): "copy", (True, True): "both", (False, True): "in", (False, False): "no"}
AH = {False: algorithms.ah(), True: algorithms.ah(algorithms.LIBRESWAN)}
NETWORKS = _networks
