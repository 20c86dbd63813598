#!/usr/bin/python

# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: ipsec_tunnel
short_description: Define, start and stop IPsec tunnels
version_added: 0.1.0
author:
  - fleet.ipsec contributors (@fleet-ipsec)
description:
  - Defines tunnels in the gateway's tunnel manager, and starts, stops or removes them. One or thousands in one task.
  - All definitions of a task are checked before anything changes. One bad value, and nothing changes.
  - The tunnel manager must be running, see role P(fleet.ipsec.gateway#role).
extends_documentation_fragment:
  - fleet.ipsec.attributes
  - fleet.ipsec.manager
attributes:
  check_mode:
    support: full
    details: What would change is decided by the manager with the same code; nothing is waited for. O(state=rekeyed) says whether
      there is something up that could get fresh keys, not whether the peer would agree.
  diff_mode:
    support: full
options:
  name:
    description: Name of the tunnel. States are changed by names alone; numbers are for M(fleet.ipsec.ipsec_tunnel_info).
    type: str
  local: &local
    description: This end.
    type: dict
    suboptions:
      address:
        description: Our address. Any address of this host when left out.
        type: str
      id:
        description:
          - Our identity - a host name, C(user@host), an address, or V(TYPE:VALUE) with C(fqdn), C(email), C(keyid),
            C(dn) (a distinguished name such as V(dn:C=DE, O=Fleet, CN=gw)), C(ipv4), C(ipv6). The address when left out.
          - A key ID is text, which may have blanks, or V(keyid:#0a0b0c) in hexadecimal digits.
          - What other programs write otherwise (V(%any), V(@#0a0b0c), V(@@user@host)) and patterns (V(*.example.net)) are
            refused with the form that is meant.
        type: str
  remote: &remote
    description: The peer.
    type: dict
    suboptions:
      address:
        description:
          - The peer's address. When left out, and O(remote.addresses) as well, the peer always initiates.
          - Or its host name, which the gateway looks up whenever it begins a connection, and when the peer has gone. All addresses
            of the family of O(local.address) are tried in the order of the name service, and the peer may come from each of them.
            The name is what is defined; a name that stands for no address just now is a reason for the tunnel to be down.
        type: str
      addresses:
        description:
          - Several addresses or host names of the peer in place of O(remote.address), in order of preference. Where one does not answer within
            some seconds, or nothing comes of it, the next one is tried, and from the last one on the first again. What is up
            stays where it is until it goes. Then the most preferred one is tried first. A list of one is the same as O(remote.address).
            None when left out.
          - The peer may come from each of them.
          - Of a definition for many peers, see O(remote.id), the networks, ranges and addresses that they may come from, as
            V(198.51.100.0/24) or V(192.0.2.10-192.0.2.20). Anywhere when left out.
          - Give O(remote.id), too, which is the first of them when left out.
        type: list
        elements: str
        version_added: 0.2.0
      id:
        description:
          - The peer's identity. Its address when left out.
          - With O(auth.method=pubkey) and O(auth.ca) it may be a pattern, from release 0.2.0 on. V(any), or an identity in which an
            asterisk stands for a whole label of a name, or the whole value of an attribute - V(*.branch.example.net),
            V(*@example.net), V(dn:O=Example, CN=*). That makes it a definition for many peers. Each identity that proves itself has
            a tunnel of its own while it is there, which listings call NAME#IDENTITY, and of O(children[].remote) the networks that
            it asks for, unless another one has any of them.
          - Peers alone start such a tunnel. O(state=active) puts it into operation, starts nothing and waits for nothing. What
            belongs to no peer that is there is dropped.
        type: str
      max_instances:
        version_added: 0.2.0
        description: Of a definition for many peers, how many of them may be there at once, V(1) to V(10000). 256 when left out.
        type: int
      unique:
        version_added: 0.2.0
        description: Of a definition for many peers, what becomes of an identity that comes from a second address. V(replace) ends the
          first one, V(keep) refuses the second one, with V(never) they stand beside each other. V(replace) when left out. From
          the address where it is a peer may always prove itself anew.
        type: str
        choices: [replace, keep, never]
      port:
        description: UDP port of the peer's IKE. 500 when left out. The same as O(remote.natt_port), such as 4500, has IKE begin
          there, for networks that let nothing pass to port 500.
        type: int
      natt_port:
        description: UDP port of the peer's IKE and ESP when a NAT is between. 4500 when left out.
        type: int
  auth: &auth
    description: How the two ends prove who they are.
    type: dict
    suboptions:
      method:
        description:
          - V(psk) is a pre-shared key. V(psk) when left out.
          - V(pubkey) is a private key with a certificate, and authorities that vouch for the peer's certificate, or that certificate
            itself.
          - V(raw) is a private key here and the peer's public key, without any certificate (RFC 7670).
        type: str
        choices: [psk, pubkey, raw]
      secret:
        description: The pre-shared key. It is never returned.
        type: str
      also_accept:
        description: Keys that are taken from the peer besides, while a rotation is under way. None when left out.
        type: list
        elements: str
      secret_format:
        version_added: 0.2.0
        description:
          - How the keys are written. A key is octets; V(text) is those of its characters in UTF-8. V(hex) is two digits for each
            octet, and V(base64) what other programs write after C(0s), so that a key of any octets can be given. V(text) when left out.
          - A C(0x) or C(0s) before the digits is passed over. With V(text) it is a part of the key.
        type: str
        choices: [text, hex, base64]
      epoch:
        version_added: 0.2.0
        description:
          - Says that the keys were derived from a seed, as role P(fleet.ipsec.fleet#role) does, and which generation this is.
          - RV(fleet.ipsec.ipsec_tunnel_info#module:tunnels[].key) then has fingerprints, which tell nothing of such keys. Keys
            shorter than 43 characters are refused, since others could be guessed from a fingerprint.
        type: int
      ppk:
        version_added: 0.2.0
        description:
          - Post-quantum preshared keys (RFC 8784). One of them is mixed into the keys of the IKE SA and of all its children, so
            that who records what is sent today cannot read it when a quantum computer breaks the key exchange. None when left out.
          - The end that begins uses the first one; the other end finds it among its own by its O(auth.ppk[].id), so a new key is
            listed second at both ends, and then first.
          - As with O(auth.secret), what changes here is used by the next authentication; O(state=rekeyed) with
            O(phase=1) has it at once.
        type: list
        elements: dict
        suboptions:
          id:
            description: By which the two ends find the key, up to 255 octets. It goes over the wire, and is the same at both ends.
            type: str
            required: true
          secret:
            description: The key, 32 random octets or more. It is never returned.
            type: str
          secret_format:
            description: How O(auth.ppk[].secret) is written, as with O(auth.secret_format). V(text) when left out.
            type: str
            choices: [text, hex, base64]
          required:
            description:
              - Whether no IKE SA is made without one of those listed. With V(false) for all of them, and at the peer, the ends go on
                without where the peer has none, or not this one; who attacks both key exchange and authentication can bring
                that about. V(true) when left out.
            type: bool
      certificate:
        version_added: 0.2.0
        description:
          - Our certificate as PEM, and behind it those between it and its authority, or the path on the gateway of a file with them.
          - O(local.id) has to stand in it, as subject or subjectAltName.
        type: str
      key:
        version_added: 0.2.0
        description:
          - Path on the gateway of the file with our private key, in PEM, PKCS#8 or traditional. RSA of 2048 bits or more, ECDSA
            on P-256, P-384 or P-521, Ed25519 or Ed448.
          - The tunnel manager reads it. Its service sees nothing of C(/home), C(/root) and C(/tmp); C(/etc/fleet-ipsec/private)
            is a good place. A file that is written anew is noticed within 10 seconds, and used by the next authentication.
        type: str
      passphrase:
        version_added: 0.2.0
        description: Of our private key, where its file is encrypted. It is never returned.
        type: str
      ca:
        version_added: 0.2.0
        description: Authorities that the peer's certificate may come from, directly or through others. PEM, or paths on the gateway.
          None when left out. One that is not a root is trusted as it is.
        type: list
        elements: str
      crl:
        version_added: 0.2.0
        description: Revocation lists of the authorities and of those in between. PEM, or paths on the gateway. None when left out.
        type: list
        elements: str
      revocation:
        version_added: 0.2.0
        description: V(strict) refuses a peer where an authority of its path has no current list. V(relaxed) takes a missing or overdue
          list for no reason to refuse; what a list revokes is refused all the same. V(strict) where there is a O(auth.crl).
        type: str
        choices: [strict, relaxed]
      remote_ca:
        version_added: 0.2.0
        description: The one of O(auth.ca) that the peer's certificate has to come from, directly or through others. PEM, or a path on
          the gateway.
        type: str
      remote_certificate:
        version_added: 0.2.0
        description: The peer's certificate, where it is known beforehand. PEM, or a path on the gateway. Without O(auth.ca) it needs no
          authority, and with it both have to hold. The peer need not send it.
        type: str
      demands:
        version_added: 0.2.0
        description: How strong keys and signatures of the peer's certificates have to be, such as V(rsa-3072-sha256) or V(ecdsa-384);
          each has to meet one. None when left out. RSA of less than 2048 bits, other curves than P-256, P-384 and P-521, MD5 and
          SHA-1 are always refused.
        type: list
        elements: str
      send_cert:
        version_added: 0.2.0
        description: Whether our certificate is sent, V(always), only to peers that ask for certificates, or V(never). V(always) when left
          out.
        type: str
        choices: [always, asked, never]
      remote_key:
        version_added: 0.2.0
        description: The peer's public key as PEM (C(BEGIN PUBLIC KEY)), or the path on the gateway of a file with it.
        type: str
  role: &role
    description:
      - V(both) lets either side start. V(initiator) lets this side alone start; attempts of the peer are refused.
        V(responder) waits for the peer; only where the peer refuses fresh keys for what is up does it begin an IKE SA
        beside that.
        V(both) when left out.
    type: str
    choices: [both, initiator, responder]
  ike: &ike
    description: The IKE SA (phase 1).
    type: dict
    suboptions:
      version:
        description: IKE version. 2 when left out.
        type: int
      proposals:
        description:
          - A profile (V(modern), V(pq), V(compat), V(legacy)) or a list of proposals such as V(aes256gcm16-sha384-x25519), the
            preferred one first. V(modern) when left out.
          - V(modern) offers ML-KEM-768 beside x25519 where the gateway can compute it, and goes without where the peer has
            none. V(pq) demands it.
          - More key exchanges beside the first one are written V(ke1_mlkem768) to V(ke7_mlkem768), as in
            V(aes256gcm16-sha384-x25519-ke1_mlkem768); ML-KEM needs C(cryptography) 48 or newer on the gateway.
          - What only old peers need is taken by name, and warned of, V(3des), V(sha1), V(modp1024), V(modp1536), V(aes128ctr)
            to V(aes256ctr), and V(aes128ccm8) to V(aes256ccm16) with 8, 12 or 16 octets that prove integrity.
        type: list
        elements: str
      lifetime:
        description: Until the IKE SA has to be rekeyed. Seconds, or V(4h), V(30m), V(1d). 4 hours when left out.
        type: str
      reauth:
        version_added: 0.2.0
        description:
          - Until both ends prove anew who they are, V(0) for never. V(0) when left out. Rekeys of the IKE SA go on with the old proof.
          - Another IKE SA is made beside this one and takes over with all children before this one ends; no packet is lost. Where
            that fails, what is up goes on, and it is tried again every two minutes.
          - An end begins that may start the tunnel (O(role)); one is enough.
        type: str
      dpd_delay:
        description:
          - Silence before the peer is asked whether it is alive, V(0) for never. 30 seconds when left out.
          - It is asked at once when packets leave through the tunnel for some seconds and none come back.
          - When seven such questions in a row are not answered, in 7.5 seconds, a new IKE SA is tried beside the silent one,
            unless O(role) is V(responder), so that a peer that was restarted is found again at once.
        type: str
      retransmit_timeout:
        version_added: 0.2.0
        description: How long a request is repeated before the peer counts as unreachable and what is up with it ends. 60 seconds
          when left out. Until then a path that comes back finds everything as it was.
        type: str
      fragmentation:
        version_added: 0.2.0
        description:
          - V(auto) sends IKE messages that no packet has room for in fragments, and takes such, where the peer does so, too
            (RFC 7383). V(never) leaves that to IP, whose fragments many paths drop. V(auto) when left out.
          - The two ends agree on it when an IKE SA is opened.
        type: str
        choices: [auto, never]
      fragment_size:
        version_added: 0.2.0
        description: Octets of the largest packet that an IKE message is sent in, IP header included. 1280 when left out.
        type: int
      dscp:
        version_added: 0.2.0
        description: DSCP, V(0) to V(63), of the packets that carry IKE, by which routers on the way may prefer them. V(46) is
          expedited forwarding. 0 when left out.
        type: int
  encapsulation: &encapsulation
    description: V(auto) puts ESP into UDP when a NAT is found, V(force) always. V(auto) when left out.
    type: str
    choices: [auto, force]
  bypass: &bypass
    version_added: 0.2.0
    description:
      - What passes by the tunnel in clear, though its networks hold it.
      - V(local_links) lets the hosts on this host's own links, and this host, go on to reach each other when O(children[].remote)
        holds a link's network and more, such as V(0.0.0.0/0) or V(::/0). It follows the links as they change. What is for other
        hosts on the link towards the peer does not pass, unless it comes from this host itself.
      - Networks, which have to be a part of O(children[].remote), pass whatever link they are on.
      - V(none) lets nothing pass. With a tunnel to V(0.0.0.0/0) this host may then not be reached from its own networks.
      - V(local_links) when left out. A tunnel with O(interface) needs none.
    type: list
    elements: str
  interface: &interface
    version_added: 0.2.0
    description:
      - Makes the tunnel route-based. It gets an XFRM interface, and whatever is routed into that is protected by the
        tunnel's children, whose O(children[].remote) may then be V(0.0.0.0/0) and the same in several tunnels.
      - The interface stands as long as the tunnel is defined. What is routed into it while the tunnel is down is dropped.
      - Needs a kernel with XFRM interfaces (C(modprobe xfrm_interface), Linux 4.19 or newer).
    type: dict
    suboptions:
      name:
        description: Its name, up to 15 characters. The link of another program is never taken over.
        type: str
        required: true
      id:
        description: Its ID in the kernel, where other programs have to know it. Chosen and kept when left out.
        type: int
      addresses:
        description: Addresses of this end, as V(10.255.0.1/30). None when left out.
        type: list
        elements: str
      routes:
        description: Networks that are reached through it. The networks in O(children[].remote) when left out, but for
          V(0.0.0.0/0) and V(::/0).
        type: list
        elements: str
      mtu:
        description: Largest packet in octets, before it is protected. 1500 when left out.
        type: int
  groups: &groups
    version_added: 0.2.0
    description: Names under which several tunnels are started together - C(ike cmd=activate remid=GROUP). None when left out.
    type: list
    elements: str
  children: &children
    description: What the tunnel protects, one Child SA (phase 2) each; 256 at most.
    type: list
    elements: dict
    suboptions:
      name:
        description: Name of the child, unique in its tunnel.
        type: str
        required: true
      local:
        description: Networks on this side, as V(NETWORK) or V(NETWORK[PROTOCOL/PORT]). In transport mode our address when
          left out.
        type: list
        elements: str
      remote:
        description:
          - Networks behind the peer, written likewise. In transport mode its address when left out.
          - They may lie within those of another child or tunnel, or around them. The most specific one wins. Selectors that are
            the same, or that cross each other, are refused.
        type: list
        elements: str
      start:
        description: V(auto) starts with the tunnel, V(trap) with the first packet, V(manual) when asked. V(auto) when left out.
          O(state=active) starts all of them.
        type: str
        choices: [auto, trap, manual]
      close_action:
        version_added: 0.2.0
        description:
          - What becomes of the child when the peer closes it, or closes the IKE SA that it is in.
          - V(as_start) brings it back as O(children[].start) says. V(trap) has its next packet start it, V(start) this side at once.
            With V(none) it stays closed until the peer or an operator starts it, or until it is defined anew; its packets
            wait, and where O(children[].start) is V(trap) the next one starts it. V(as_start) when left out.
        type: str
        choices: [as_start, none, trap, start]
      inactivity:
        version_added: 0.2.0
        description:
          - Close the child when no packet has passed through it for so long, V(0) for never. V(0) when left out.
          - Its next packet starts it again; where O(children[].start) is V(manual) it waits for an operator. A peer that keeps the
            child up brings it back at once, so set O(children[].start) or O(children[].close_action) to V(trap) there.
        type: str
      mode:
        description:
          - Encapsulation mode. V(tunnel) when left out.
          - V(pass) and V(drop), from release 0.2.0 on, are no encapsulation. Nothing is negotiated, packets between O(children[].local)
            and O(children[].remote) leave and come in clear, or not at all, as long as the tunnel is V(active). Within each
            other the most specific networks win, so they are exceptions from a wider child.
        type: str
        choices: [tunnel, transport, pass, drop]
      protocol:
        description:
          - V(esp) encrypts packets and proves whose they are, V(ah) only proves that (RFC 4302), so that anybody on the way
            can read them. V(esp) when left out.
          - AH passes no NAT, so it does not go with O(encapsulation=force).
        type: str
        choices: [esp, ah]
        version_added: 0.2.0
      proposals:
        description:
          - A profile or a list of proposals such as V(aes256gcm16-x25519), the preferred one first. V(modern) when
            left out.
          - A proposal with a key exchange has each rekey make one (perfect forward secrecy), one without has it made out of
            the secrets of the IKE SA. With both, and in the profiles V(compat) and V(legacy), the peer may choose.
          - For O(children[].protocol=ah) without a cipher, V(sha256-x25519).
          - More key exchanges are written as in O(ike.proposals), V(aes256gcm16-x25519-ke1_mlkem768).
          - For old peers there are V(3des), V(sha1), V(aes128ctr), V(aes128ccm8) and their like, too, and V(sha256_96) for peers
            that send 96 bits of SHA-256 instead of 128 (C(sha2-truncbug) of Libreswan, C(sha256_96) of strongSwan). As the
            peer cannot be told which is meant, V(sha256) and V(sha256_96) do not go together in one child.
        type: list
        elements: str
      ipcomp:
        description:
          - Whether packets are compressed before they are protected (IPComp, RFC 3173), where the peer takes that, too.
            Packets that do not shrink go as they are. V(false) when left out.
          - Where the peer, or the kernel of either end, has no IPComp the child goes on without.
        type: bool
        version_added: 0.2.0
      priority:
        description:
          - Priority of its policies in the kernel, V(3) to V(65535). The lowest number wins, before every child that says none,
            of which the one with the most specific networks wins. 0 when left out, for none.
          - Eroutes set by hand have numbers of that range, too.
        type: int
        version_added: 0.2.0
      dscp:
        description:
          - What becomes of the DSCP of packets in a tunnel. V(copy) copies it to the packets that carry them, V(in) back to
            them when they are received, V(both) both ways, V(no) not at all. V(copy) when left out.
          - Routers on the way see what is copied.
        type: str
        choices: [copy, both, in, 'no']
        version_added: 0.2.0
      copy_df:
        description: Whether packets that carry one that must not be fragmented (DF) must not be either. V(true) when left out;
          V(false) helps where a path drops them and says nothing.
        type: bool
        version_added: 0.2.0
      copy_ecn:
        description: Whether marks of congestion (ECN) are copied to the packets that carry others, and back. V(true) when left
          out.
        type: bool
        version_added: 0.2.0
      offload:
        description:
          - V(none) has the processor encrypt, V(crypto) the network interface by which packets leave. V(none) when left out.
          - Where the interface cannot, the child does not come up, and its story names the interface.
        type: str
        choices: [none, crypto]
        version_added: 0.2.0
      lifetime:
        description: Until the Child SA has to be rekeyed. Seconds, or V(4h), V(30m), V(1d). 1 hour when left out.
        type: str
      lifetime_bytes:
        description: Octets until a rekey, V(0) for no limit. No limit when left out.
        type: int
      lifetime_packets:
        description: Packets until a rekey, V(0) for no limit. No limit when left out.
        type: int
      replay_window:
        description: Packets, V(0) for no replay protection. 128 when left out.
        type: int
  state:
    description:
      - V(present) defines and leaves running SAs alone.
      - V(enabled) also puts the tunnel into operation, each child as its O(children[].start) says - V(auto) comes up now and
        after every boot, V(trap) with the first packet, V(manual) when somebody starts it. What somebody started with
        V(active) stays up. Added in release 0.2.0.
      - V(active) also negotiates the IKE SA and all children that the tunnel has, whatever their O(children[].start) says,
        and waits for it, see O(wait). Tunnel and children are tried until they are up, now and after every boot, until
        somebody ends them, so a task that wants it once more changes nothing; what is not up yet is told in
        RV(ignore:pending).
      - V(inactive) takes the SAs down and keeps the definition.
      - V(absent) removes SAs and definition.
      - V(inactive) and V(absent) also remove the policies, so packets of the networks then leave in clear where a route takes
        them and no firewall stops them. A warning says so whenever a task does that. V(inactive) with O(phase=2) or
        O(only_children) keeps them, and packets are held.
      - For V(enabled), V(active), V(inactive) and V(absent) the name alone stands for a tunnel that is already defined.
      - V(rekeyed) gives what is up fresh keys now, and waits until they are in use; no packet is lost. The tunnels are named, and
        are defined already. It is no state to be in, so every such task is changed. One whose tunnel is not up, or whose peer
        refuses, fails with the reason; what is up goes on as it was. Added in release 0.2.0.
    type: str
    choices: [present, enabled, active, inactive, absent, rekeyed]
    default: present
  phase:
    description:
      - Limits O(state) to the IKE SA, phase V(1), or to the Child SAs, phase V(2).
      - O(state=active) with V(1) starts the IKE SA alone and leaves the children as they are; with V(2) all Child SAs, and
        the IKE SA first if it is not up. Either way packets of children that are down are held, and not sent in clear. To start some
        of them name them in O(only_children).
      - O(state=inactive) with V(1) ends the IKE SA and leaves its Child SAs in use until their lifetimes are over, but they
        get no fresh keys any more (state V(retiring)). Deleting an IKE SA would close its Child SAs at once, so it
        is kept for them, and deleted with the last, and the policies with it. With V(2) the Child SAs end, the IKE SA stays,
        and packets of their networks are held.
      - O(state=absent) with V(2) removes all children from the definition and keeps the tunnel.
      - O(state=rekeyed) with V(1) gives fresh keys to the IKE SA alone, with V(2) to the Child SAs that are up.
    type: int
    choices: [1, 2]
  reauthenticate:
    version_added: 0.2.0
    description:
      - With O(state=rekeyed), has both ends also prove who they are once more, by the secrets that are defined now. Another IKE SA
        takes over from the old one with all its children; if the peer refuses it, the old one goes on.
      - It shows that a new secret is in use, at both ends, after a rotation. Fresh keys alone are made without it.
    type: bool
    default: false
  only_children: &only_children
    version_added: 0.2.0
    description:
      - Names of children. Limits O(state) to these. They are started, and the IKE SA with them if it is not up; or they end,
        and stay down until they are started again; or they are removed from the definition.
      - They are children that are defined already, or in the same task.
    type: list
    elements: str
  owner:
    description:
      - Whose tunnels these are. A tunnel of one owner is neither redefined nor removed by another, and O(purge) keeps to its own.
    type: str
    default: ansible
  purge:
    description: Remove every tunnel of the same O(owner) that is not listed in O(tunnels).
    type: bool
    default: false
  purge_limit:
    version_added: 0.2.0
    description:
      - Percent of the tunnels of this O(owner) that O(purge) may remove at once. A purge of more is refused, before anything
        changes and in check mode too, with both numbers. An empty group or a list that came out too short is not to take
        tunnels down.
      - V(100) means whatever the list says. A tunnel to the same peer under another name takes the place of the old one,
        which does not count then.
    type: int
    default: 33
  keep_keys:
    version_added: 0.2.0
    description:
      - Names of tunnels whose peers do not get a new key at the same time. The task is refused, before anything changes, if it
        gives one of them a key with which neither end would authenticate to the other.
      - For all others that is a warning.
    type: list
    elements: str
    default: []
  wait:
    description: Wait until the tunnels are in a state. Not in check mode.
    type: dict
    suboptions:
      until:
        description:
          - V(defined) does not wait for any packet, V(established) until all that is wanted is up,
            V(down) until no SA is left.
          - Without it, O(state=enabled) and O(state=active) wait for V(established), O(state=inactive) for V(down), the others for V(defined).
          - O(state=rekeyed) waits for the fresh keys, but with V(defined), which only begins.
        type: str
        choices: [defined, established, down]
      timeout:
        description: Seconds. When they are over, the task fails with the reason and the remedy of each tunnel.
        type: float
        default: 30
  tunnels:
    description:
      - Many tunnels at once, instead of O(name) and the options of its definition.
      - An empty list together with O(purge) and O(purge_limit=100) removes all tunnels of the O(owner).
    type: list
    elements: dict
    suboptions:
      name:
        description: As O(name).
        type: str
        required: true
      local: *local
      remote: *remote
      auth: *auth
      role: *role
      ike: *ike
      encapsulation: *encapsulation
      interface: *interface
      bypass: *bypass
      groups: *groups
      children: *children
      only_children: *only_children
seealso:
  - module: fleet.ipsec.ipsec_tunnel_info
  - module: fleet.ipsec.ipsec_eroute_facts
"""

EXAMPLES = r"""
- name: Bring up one tunnel and wait for it
  fleet.ipsec.ipsec_tunnel:
    name: hq-branch1
    state: active
    local: {address: 203.0.113.1, id: hq.example.net}
    remote: {address: 203.0.113.9, id: branch1.example.net}
    auth: {method: psk, secret: "{{ vaulted_secret }}"}
    ike: {version: 2, proposals: modern, lifetime: 4h}
    children:
      - {name: lan, local: [10.1.0.0/16], remote: [10.9.0.0/24], start: auto}
    wait: {until: established, timeout: 30}

- name: Let all branches in that have a certificate of the authority for branches
  fleet.ipsec.ipsec_tunnel:
    name: branches
    state: present
    local: {address: 203.0.113.1, id: hub.example.net}
    remote: {id: "*.branch.example.net", max_instances: 200}
    auth:
      method: pubkey
      certificate: /etc/fleet-ipsec/private/hub.pem
      key: /etc/fleet-ipsec/private/hub.key
      ca: ["{{ lookup('file', 'branches-root.pem') }}"]
    children:
      - {name: lan, local: [10.1.0.0/16], remote: [10.64.0.0/10]}

- name: Let a tunnel come up as its children say, with the first packet for instance
  fleet.ipsec.ipsec_tunnel:
    name: hq-branch1
    state: enabled

- name: Take the Child SAs of a tunnel down, keep its IKE SA and its definition
  fleet.ipsec.ipsec_tunnel:
    name: hq-branch1
    state: inactive
    phase: 2

- name: Start one child of a tunnel that is defined, and its IKE SA if it is not up
  fleet.ipsec.ipsec_tunnel:
    name: hq-branch1
    state: active
    only_children: [voice]

- name: End the IKE SA, but let its Child SAs be used until their lifetimes are over
  fleet.ipsec.ipsec_tunnel:
    name: hq-branch1
    state: inactive
    phase: 1

- name: Remove a child from the definition of a tunnel, and take it down
  fleet.ipsec.ipsec_tunnel:
    name: hq-branch1
    state: absent
    only_children: [voice]

- name: Define all tunnels of this gateway, remove those that are no longer wanted
  fleet.ipsec.ipsec_tunnel:
    tunnels: "{{ all_of_them }}"
    state: active
    owner: office
    purge: true
    wait: {until: defined}

- name: Remove all tunnels of an owner
  fleet.ipsec.ipsec_tunnel:
    tunnels: []
    owner: office
    purge: true
    purge_limit: 100

- name: A route-based tunnel, whose routes say what goes through it
  fleet.ipsec.ipsec_tunnel:
    name: hq-branch2
    state: active
    local: {address: 203.0.113.1, id: hq.example.net}
    remote: {address: 203.0.113.17, id: branch2.example.net}
    auth: {method: psk, secret: "{{ vaulted_secret }}"}
    interface: {name: ipsec0, addresses: [10.255.0.1/30], routes: [10.17.0.0/16], mtu: 1400}
    children:
      - {name: any, local: [0.0.0.0/0], remote: [0.0.0.0/0]}

- name: Give a tunnel fresh keys now
  fleet.ipsec.ipsec_tunnel:
    name: hq-branch1
    state: rekeyed

- name: See that both ends use the secret of a rotation
  fleet.ipsec.ipsec_tunnel:
    name: hq-branch1
    state: rekeyed
    reauthenticate: true

- name: Remove a tunnel
  fleet.ipsec.ipsec_tunnel:
    name: hq-branch1
    state: absent
"""

RETURN = r"""
tunnels:
  description: One entry for each tunnel of the task, in its order, then those that O(purge) removed.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name of the tunnel.
      type: str
    number:
      description: Its number in the database, as C(ike cmd=list db) shows it. 0 for one that is only planned.
      type: int
    action:
      description:
        - V(created), V(changed), V(removed), V(started), V(stopped), V(repaired), V(rekeyed) or V(none).
        - V(repaired) is a tunnel that stays as it is defined, but of which another program removed something from the kernel,
          see RV(tunnels[].repaired). It counts as changed.
      type: str
    impact:
      description:
        - What that does to running SAs - V(none), V(hot) (nothing on the wire), V(rekey) (negotiated anew beside the running
          ones, or a child with other networks takes the place of the old one; no packet is lost), V(re-establish)
          (another IKE SA takes the place of the old one, which stays until the peer agrees to that).
      type: str
    packets:
      description: What that does to packets, in words.
      type: str
      version_added: 0.2.0
      sample: what runs goes on as it is
    changes:
      description: Options that differ, such as V(ike.lifetime) or V(children.lan.local).
      type: list
      elements: str
    repaired:
      description:
        - What another program removed of the tunnel from the kernel and what is put back, by this task or since the last one
          by the manager itself; each once, with how often where that was more than once. SAs are never put back, their
          children are negotiated anew. Each is told to one task.
      type: list
      elements: str
      sample: [the route to 10.9.0.0/24 (3 times)]
    missing:
      description:
        - What the kernel lacks of the tunnel now. In check mode a task would put it back, where that can be done.
        - Without check mode what could not be put back; RV(pending) says why. It does not count as changed.
      type: list
      elements: str
      sample: [the route to 10.9.0.0/24]
  sample:
    - {name: hq-branch1, number: 1, action: changed, impact: hot, changes: [ike.lifetime], repaired: [], missing: []}
pending:
  description:
    - The tunnels of the task that are not up, or not all of it. Each with its C(name), C(state), C(reason), C(story) and
      C(remedy).
    - A tunnel that was wanted already and is still down is told here, and does not count as changed.
  returned: success
  type: list
  elements: dict
  sample:
    - {name: hq-branch1, state: down, reason: port_closed, story: UDP port 500 of 203.0.113.9 is closed,
       remedy: "start the IKE daemon at the peer, check the port"}
before:
  description: Definitions of the tunnels that changed, by name, as they were. Without secrets. With O(state=rekeyed) the SPIs that
    were in use.
  returned: success
  type: dict
  sample: {}
after:
  description: Definitions of the tunnels that changed, by name, as they are now. Without secrets. With O(state=rekeyed) the SPIs that
    are in use.
  returned: success
  type: dict
  sample: {hq-branch1: {owner: ansible, wanted: active}}
impact:
  description: The severest impact among the tunnels.
  returned: success
  type: str
  sample: hot
waited:
  description: What was waited for, and where each tunnel stands.
  returned: when something was waited for
  type: dict
  contains:
    until:
      description: The state that was waited for.
      type: str
    seconds:
      description: How long it took.
      type: float
    tunnels:
      description: Each tunnel with its C(state), C(phase1), C(phase2), and for those that did not get there C(reason), C(story)
        and C(remedy).
      type: list
      elements: dict
problems:
  description: Every bad value of the input, each with its C(field), C(value), C(problem) and C(remedy).
  returned: when the manager refuses the input
  type: list
  elements: dict
"""

from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fleet.ipsec.plugins.module_utils.manager import ARGUMENTS, Manager
from ansible_collections.fleet.ipsec.plugins.module_utils.rekeying import REKEYED, misplaced, rekey
from ansible_collections.fleet.ipsec.plugins.module_utils.scrubbing import ManySecretsModule
from ansible_collections.fleet.ipsec.plugins.module_utils.tunnels import (
    CHOICE,
    DEFINITION,
    definition,
    misread,
    shown_arguments,
    shown_changes,
    unreached,
)

UNTIL = {
    "present": "defined",
    "enabled": "established",
    "active": "established",
    "inactive": "down",
    "absent": "defined",
}
# How Ansible says that a text stands where options by name should; it does not say where that is.
NOT_OPTIONS = ("dictionary requested", "unable to evaluate")
# The manager answers a wait at the latest when its time is up; beyond that it has hung.
ANSWER_SECONDS = 30

ARGUMENT_SPEC: dict[str, Any] = {
    "name": {"type": "str"},
    **DEFINITION,
    **CHOICE,
    "state": {"type": "str", "default": "present", "choices": [*UNTIL, REKEYED]},
    "phase": {"type": "int", "choices": [1, 2]},
    "reauthenticate": {"type": "bool", "default": False},
    "owner": {"type": "str", "default": "ansible"},
    "purge": {"type": "bool", "default": False},
    "purge_limit": {"type": "int", "default": 33},
    "keep_keys": {"type": "list", "elements": "str", "default": [], "no_log": False},
    "wait": {
        "type": "dict",
        "options": {
            "until": {"type": "str", "choices": ["defined", "established", "down"]},
            "timeout": {"type": "float", "default": 30},
        },
    },
    "tunnels": {
        "type": "list",
        "elements": "dict",
        "options": {"name": {"type": "str", "required": True}, **DEFINITION, **CHOICE},
    },
    **ARGUMENTS,
}


class TunnelModule(ManySecretsModule):
    """Failures of it show no definition: in a misspelled or misplaced option nobody would know a secret."""

    def fail_json(self, msg: str, **kwargs: Any) -> NoReturn:
        """Fail the task."""
        if msg.startswith(NOT_OPTIONS):
            msg = misread(self.params, ARGUMENT_SPEC)
        kwargs.setdefault("invocation", {"module_args": shown_arguments(self.params, ARGUMENT_SPEC)})
        super().fail_json(msg, **kwargs)


def change(params: dict[str, Any]) -> dict[str, Any]:
    """The parameters of ``tunnels.plan`` and ``tunnels.apply``."""
    given = params["tunnels"] if params["tunnels"] is not None else [params]
    return {
        "definitions": [definition(each) for each in given],
        "state": params["state"],
        "phase": params["phase"],
        "purge": params["purge"],
        "purge_limit": params["purge_limit"],
        **({"keep_keys": params["keep_keys"]} if params["keep_keys"] else {}),
        "owner": params["owner"],
    }


def wait(module: AnsibleModule, manager: Manager, tunnels: list[dict[str, Any]], result: dict[str, Any]) -> None:
    """Wait as the task says and add ``waited`` to the result; fails the module with it when the time is up."""
    asked = module.params["wait"] or {"until": None, "timeout": 30.0}
    until = asked["until"] or UNTIL[module.params["state"]]
    if until == "defined" or not tunnels:
        return
    outcome = manager.call(
        "tunnels.wait",
        {
            "names": [each["name"] for each in tunnels],
            "until": until,
            "phase": module.params["phase"],
            "only_children": [
                {"name": each["name"], "children": each["only_children"]} for each in tunnels if "only_children" in each
            ],
            "timeout": asked["timeout"],
        },
        asked["timeout"] + ANSWER_SECONDS,
    )
    result["waited"] = {"until": until, "seconds": outcome["waited"], "tunnels": outcome["tunnels"]}
    if not outcome["reached"]:
        module.fail_json(msg=unreached(until, asked["timeout"], outcome["tunnels"]), **result)


def main() -> None:
    """Entry point."""
    module = TunnelModule(
        argument_spec=ARGUMENT_SPEC,
        supports_check_mode=True,
        required_one_of=[["name", "tunnels"]],
        mutually_exclusive=[["tunnels", option] for option in ("name", *DEFINITION, *CHOICE)],
    )
    if module.params["purge"] and module.params["tunnels"] is None:
        module.fail_json(msg="purge: needs the list of tunnels that stay; write tunnels: [...] instead of name")
    if problem := misplaced(module.params):
        module.fail_json(msg=problem)
    manager = Manager(module)
    if module.params["state"] == REKEYED:
        rekey(module, manager, shown_arguments(module.params, ARGUMENT_SPEC))
    parameters = change(module.params)
    outcome = manager.call("tunnels.plan" if module.check_mode else "tunnels.apply", parameters, 300)
    for warning in outcome["warnings"]:
        module.warn(warning)
    result = {
        "changed": outcome["changed"],
        # All the definitions once more, secrets hidden one by one, would take longer than the task itself.
        "invocation": {"module_args": shown_arguments(module.params, ARGUMENT_SPEC)},
        **shown_changes(outcome["tunnels"]),
    }
    if not module.check_mode:
        wait(module, manager, parameters["definitions"], result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
