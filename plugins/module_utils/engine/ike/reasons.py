# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The closed list of reasons why a tunnel is down, each with what to do about it."""

from __future__ import annotations

from typing import NamedTuple


class Reason(NamedTuple):
    """What went wrong, in words, and the remedy."""

    text: str
    remedy: str


REASONS: dict[str, Reason] = {
    "not_started": Reason("the tunnel is defined but nobody has started it", "start it with state: active"),
    "negotiating": Reason("it is being negotiated", "nothing to do; what hinders it is told as soon as it is known"),
    "waiting_for_peer": Reason("this side only answers; the peer has not started yet", "start the tunnel at the peer"),
    "waiting_for_peers": Reason(
        "this definition is for many peers, and none of them is there", "start the tunnel at the peers"
    ),
    "waiting_for_traffic": Reason(
        "the child starts with the first packet that needs it", "send traffic, or set start: auto"
    ),
    "started_by_hand": Reason(
        "none of its children starts by itself", "start it with state: active, or set start of a child to auto or trap"
    ),
    "no_answer": Reason(
        "the peer does not answer",
        "check its address, that its IKE daemon runs and that UDP 500 and 4500 pass both ways (ikeping tells)",
    ),
    "name_not_found": Reason(
        "the peer's host name stands for no address",
        "check the name and this host's name service (getent ahosts PEER asks it); it is looked up again by itself",
    ),
    "no_local_address": Reason(
        "this host cannot send from the tunnel's local address",
        "set local.address to an address of this host (ip address lists them) at which the manager listens, "
        "or leave it out",
    ),
    "port_closed": Reason(
        "the peer's host answers, but nothing listens on its IKE port",
        "start the IKE daemon at the peer, check the port",
    ),
    "no_proposal_chosen": Reason(
        "the two ends have no algorithm set in common",
        "make ike.proposals or the child's proposals overlap at both ends; ipsec ikeping --probe ikev2 PEER tells "
        "what the peer takes of what is usual in an IKE SA",
    ),
    "invalid_key_exchange": Reason(
        "the peer insists on a key exchange group that this end does not allow",
        "add the group to the proposals, or remove it there",
    ),
    "authentication_failed": Reason(
        "the peer refused our identity or secret",
        "compare the secret and both ids at the two ends; is this tunnel defined at the peer?",
    ),
    "peer_not_authenticated": Reason(
        "the peer's identity or secret is not the one defined here", "compare the secret and both ids at the two ends"
    ),
    "certificate_missing": Reason(
        "the peer proves itself by a certificate, and sends none",
        "have the peer send its certificate (send_cert), or give it here as remote_certificate",
    ),
    "certificate_unreadable": Reason(
        "a certificate of the peer cannot be read",
        "have it issued anew, as X.509 in DER",
    ),
    "certificate_unknown_authority": Reason(
        "no authority given here has issued the peer's certificate",
        "add the authority to ca of this tunnel, or have the peer send the certificates between it and its own",
    ),
    "certificate_untrusted": Reason(
        "the path of the peer's certificate breaks a rule of X.509",
        "see the story; have the certificate that it names issued anew",
    ),
    "certificate_expired": Reason(
        "a certificate has expired",
        "renew the certificate that the story names, or set the clock of this host",
    ),
    "certificate_not_yet_valid": Reason(
        "the clock of this host stands before the start of a certificate",
        "set the clock of this host (timedatectl tells it), or have the certificate issued for now",
    ),
    "certificate_weak": Reason(
        "a certificate has a key or a signature that proves nothing any more",
        "have it issued for RSA of 3072 bits, ECDSA P-256 or Ed25519, signed with SHA-256 or stronger",
    ),
    "certificate_wrong_use": Reason(
        "a certificate is for something else than IKE",
        "have it issued with the usages that the story names, or without any",
    ),
    "certificate_other_identity": Reason(
        "the peer's certificate does not prove the identity that it claims",
        "use as id at both ends what is in the certificate, or have it issued with the id",
    ),
    "certificate_too_weak_here": Reason(
        "the peer's path is weaker than what is demanded here",
        "have the certificates that the story names issued so, or demand less here",
    ),
    "certificate_other_authority": Reason(
        "the peer's path does not lead to the authority that is wanted of it",
        "have the peer's certificate issued by the authority of remote_ca, or correct remote_ca",
    ),
    "certificate_revoked": Reason(
        "an authority has revoked a certificate",
        "have another one issued; where it is a mistake, have the authority make a new list",
    ),
    "crl_missing": Reason(
        "there is no revocation list of an authority, and revocation is strict",
        "add the list of the authority that the story names to crl, or set revocation: relaxed",
    ),
    "crl_overdue": Reason(
        "a revocation list is overdue, and revocation is strict",
        "get a newer one from the authority, or set revocation: relaxed until there is one",
    ),
    "crl_not_yet_valid": Reason(
        "the clock of this host stands before the time of a revocation list",
        "set the clock of this host (timedatectl tells it)",
    ),
    "crl_unusable": Reason(
        "a revocation list does not tell about the certificate",
        "get it anew from the authority, for all certificates and all reasons, or set revocation: relaxed",
    ),
    "ppk_missing": Reason(
        "one end insists on a post-quantum preshared key (PPK) that the other end does not have",
        "give both ends the same auth.ppk, id and secret; required: false at both goes on without until they have it",
    ),
    "ppk_differs": Reason(
        "the two ends have another secret for the same post-quantum preshared key (PPK)",
        "give both ends the same secret for this id in auth.ppk; mind secret_format",
    ),
    "signature_refused": Reason(
        "the peer signs in a way that is not accepted here, such as with SHA-1",
        "have the peer sign as RFC 7427 has it, with SHA2-256 or better, or with Ed25519",
    ),
    "signature_not_taken": Reason(
        "the peer takes no signature that this end's key can make",
        "use a key of another kind here, or have the peer take SHA2-256 (RFC 7427)",
    ),
    "credentials_unusable": Reason(
        "this end's key or certificates cannot be used",
        "see the story for the file and what is wrong with it; it is read again when it changes",
    ),
    "no_matching_tunnel": Reason(
        "no tunnel is defined for this peer and identity", "define it, or correct remote.address and remote.id"
    ),
    "selectors_refused": Reason(
        "the two ends protect different networks", "make local and remote of the child mirror those of the peer"
    ),
    "selectors_taken": Reason(
        "the peer asks for packets that another peer of the same definition has",
        "give each peer networks of its own, and have it ask for these alone; what a lost peer had stays taken until "
        "dpd_delay and retransmit_timeout are over",
    ),
    "mode_refused": Reason("tunnel and transport mode do not agree", "set the same mode at both ends"),
    "ah_behind_nat": Reason(
        "AH cannot pass the NAT between the two ends", "set protocol: esp of the child at both ends"
    ),
    "kernel_refused": Reason(
        "the kernel did not take the SA", "see the story; is ESP, or AH, in the kernel (modprobe esp4 esp6 ah4 ah6)?"
    ),
    "kernel_disturbed": Reason(
        "another program removes what the tunnel has in this host's kernel; it is put back, once a second at most",
        "find that program (the journal names it where it can) and end it: another IKE daemon, a script with "
        "ip xfrm ... flush or ip route flush, systemd-networkd (ManageForeignRoutes=no)",
    ),
    "peer_unreachable": Reason("the peer stopped answering", "check the path and the peer; the tunnel is retried"),
    "peer_deleted": Reason(
        "the peer closed the tunnel", "see the peer's log; it comes back when either side starts it"
    ),
    "expired": Reason(
        "the lifetime ended without a successful rekey", "see the peer's log for why it refused the rekey"
    ),
    "replaced": Reason("a newer SA of the same tunnel took over", "nothing to do"),
    "stopped": Reason("an operator stopped it", "start it with state: active"),
    "retiring": Reason(
        "an operator removed its IKE SA; what is up stays in use until its lifetime is over, and gets no fresh keys",
        "nothing to do; state: active has it go on",
    ),
    "peer_unchanged": Reason(
        "the definition changed at this end alone: what was agreed before goes on until the peer knows the new one",
        "change the peer's definition likewise, or this one back; state: inactive ends it at once",
    ),
    "unreadable_definition": Reason(
        "its stored definition cannot be read by this release; its packets are held",
        "define it anew in full, or install the release that wrote it; state: absent removes it, policies too",
    ),
    "peer_busy": Reason("the peer had no time for it just now", "nothing to do; it is retried"),
    "no_additional_sas": Reason(
        "the peer makes no further SA within this IKE SA",
        "see the peer's log and its limits; fresh keys come with another IKE SA, which is tried by itself",
    ),
    "too_many_requests": Reason(
        "the peer asks for more SAs than it may in so short a time",
        "see the peer's log for why it asks so often; it is answered again in a moment",
    ),
    "too_many_sas": Reason(
        "the peer has more SAs at once than it may; the oldest end",
        "see the peer's log for why it makes so many and closes none",
    ),
    "too_many_instances": Reason(
        "as many peers as remote.max_instances allows are there already",
        "raise remote.max_instances, or see in the listing who they are",
    ),
    "identity_in_use": Reason(
        "another peer with the same identity is there, and it is the first one that is kept (remote.unique)",
        "give each peer a certificate of its own; or set remote.unique to replace or never",
    ),
    "identity_too_long": Reason(
        "the peer's identity is longer than the name of an instance may be",
        "have it use another identity of its certificate, of 256 characters or fewer",
    ),
    "protocol_error": Reason(
        "the peer sent something that breaks the protocol", "see the story; report it with a journal"
    ),
}
