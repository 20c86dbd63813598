# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The grammar of what is read and written here as the XML of ikedb, for people and for tools that check XML."""

from __future__ import annotations

DTD = """\
<!-- Elements and attributes that ikedb of fleet.ipsec reads and writes. References and order are checked, too. -->
<!ELEMENT AIX_VPN (IKEProtection | IKETunnel | IPSecProposal | IPSecProtection | IPSecTunnel | IKEGroup
                   | IKEPresharedKey)*>
<!ATTLIST AIX_VPN Version CDATA "2.0">

<!-- Phase 1: a policy with its proposals in order of preference, and the tunnels that name it. -->
<!ELEMENT IKEProtection (IKETransform*)>
<!ATTLIST IKEProtection
  IKE_ProtectionName            CDATA #REQUIRED
  IKE_Role                      (Both | Initiator | Responder) "Both"
  IKE_XCHGMode                  (Main | Aggressive | IKEv2) "Main"
  IKE_KeyOverlap                CDATA "10"
  IKE_Flags_UseCRL              (Yes | No) "No"
  IKE_Flags_UseLifeSize         (Yes | No) "No"
  IKE_ResponderKeyRefreshMinMinutes CDATA #IMPLIED
  IKE_ResponderKeyRefreshMaxMinutes CDATA #IMPLIED
  IKE_ResponderKeyRefreshMinKB  CDATA #IMPLIED
  IKE_ResponderKeyRefreshMaxKB  CDATA #IMPLIED
  IKE_TunnelLifeTimeMinutes     CDATA #IMPLIED
  IKE_TunnelLifeTimeKB          CDATA #IMPLIED
  IKE_IPSecDefaultProtectionRef CDATA #IMPLIED
  IKE_IPSecDefaultAllowedTypes  CDATA #IMPLIED>
<!ELEMENT IKETransform EMPTY>
<!ATTLIST IKETransform
  IKE_AuthenticationMethod CDATA #REQUIRED
  IKE_Encryption           CDATA #REQUIRED
  IKE_Hash                 CDATA #IMPLIED
  IKE_PRF                  CDATA #IMPLIED
  IKE_DHGroup              CDATA #REQUIRED
  IKE_KeyRefreshMinutes    CDATA #IMPLIED
  IKE_KeyRefreshKB         CDATA #IMPLIED>
<!ELEMENT IKETunnel (IKELocalIdentity, IKERemoteIdentity)>
<!ATTLIST IKETunnel
  IKE_TunnelName                   CDATA #REQUIRED
  IKE_ProtectionRef                CDATA #REQUIRED
  IKE_Flags_AutoStart              (Yes | No) "No"
  IKE_Flags_MakeRuleWithOptionalIP (Yes | No) "No">
<!ENTITY % phase1 "IPV4_Address | IPV6_Address | FQDN | User_FQDN | ASN1_DN | KEY_ID">
<!ELEMENT IKELocalIdentity (%phase1;)>
<!ELEMENT IKERemoteIdentity (%phase1; | IKEGroupRef)>

<!-- Phase 2: proposals, policies that name them, and the tunnels that name a policy and their phase 1 tunnel. -->
<!ELEMENT IPSecProposal (IPSecESPProtocol | IPSecAHProtocol)*>
<!ATTLIST IPSecProposal IPSec_ProposalName CDATA #REQUIRED>
<!ELEMENT IPSecESPProtocol EMPTY>
<!ATTLIST IPSecESPProtocol
  ESP_Encryption        CDATA #REQUIRED
  ESP_Authentication    CDATA #IMPLIED
  ESP_EncapsulationMode (Tunnel | Transport) "Tunnel"
  ESP_KeyRefreshMinutes CDATA #IMPLIED
  ESP_KeyRefreshKB      CDATA #IMPLIED
  ESP_ExtendedSeqNum    CDATA #IMPLIED>
<!ELEMENT IPSecAHProtocol EMPTY>
<!ATTLIST IPSecAHProtocol
  AH_Authentication    CDATA #REQUIRED
  AH_EncapsulationMode (Tunnel | Transport) "Tunnel"
  AH_KeyRefreshMinutes CDATA #IMPLIED
  AH_KeyRefreshKB      CDATA #IMPLIED>
<!ELEMENT IPSecProtection EMPTY>
<!ATTLIST IPSecProtection
  IPSec_ProtectionName        CDATA #REQUIRED
  IPSec_ProposalRefs          CDATA #REQUIRED
  IPSec_Role                  (Both | Initiator | Responder) "Both"
  IPSec_KeyOverlap            CDATA "10"
  IPSec_InitiatorDHGroup      CDATA "0"
  IPSec_ResponderDHGroup      CDATA "NO_PFS"
  IPSec_Flags_UseLifeSize     (Yes | No) "No"
  IPSec_Flags_UseCommitBit    (Yes | No) "No"
  IPSec_TunnelLifeTimeMinutes CDATA #IMPLIED
  IPSec_TunnelLifeTimeKB      CDATA #IMPLIED
  IPSec_ResponderKeyRefreshMinMinutes CDATA #IMPLIED
  IPSec_ResponderKeyRefreshMaxMinutes CDATA #IMPLIED
  IPSec_ResponderKeyRefreshMinKB      CDATA #IMPLIED
  IPSec_ResponderKeyRefreshMaxKB      CDATA #IMPLIED>
<!ELEMENT IPSecTunnel (IPSecLocalIdentity, IPSecRemoteIdentity)>
<!ATTLIST IPSecTunnel
  IPSec_TunnelName      CDATA #REQUIRED
  IKE_TunnelName        CDATA #REQUIRED
  IPSec_ProtectionRef   CDATA #REQUIRED
  IPSec_Flags_AutoStart (Yes | No) "No"
  IPSec_Flags_OnDemand  (Yes | No) "No">
<!ENTITY % phase2 "IPV4_Address | IPV6_Address | IPV4_Subnet | IPV6_Subnet | IPV4_Address_Range | IPV6_Address_Range">
<!ENTITY % packets 'Protocol CDATA "0" Port CDATA "0" EndPort CDATA "65535"'>
<!ELEMENT IPSecLocalIdentity (%phase2;)>
<!ATTLIST IPSecLocalIdentity %packets;>
<!ELEMENT IPSecRemoteIdentity (%phase2; | IKEGroupRef)>
<!ATTLIST IPSecRemoteIdentity %packets;>

<!-- Identities. A name may have the address of its end inside. -->
<!ENTITY % value "Value CDATA #REQUIRED">
<!ELEMENT IPV4_Address EMPTY> <!ATTLIST IPV4_Address %value;>
<!ELEMENT IPV6_Address EMPTY> <!ATTLIST IPV6_Address %value;>
<!ELEMENT IPV4_Subnet EMPTY> <!ATTLIST IPV4_Subnet %value; Netmask CDATA #REQUIRED>
<!ELEMENT IPV6_Subnet EMPTY> <!ATTLIST IPV6_Subnet %value; Netmask CDATA #REQUIRED>
<!ELEMENT IPV4_Address_Range EMPTY> <!ATTLIST IPV4_Address_Range From_IPAddr CDATA #REQUIRED To_IPAddr CDATA #REQUIRED>
<!ELEMENT IPV6_Address_Range EMPTY> <!ATTLIST IPV6_Address_Range From_IPAddr CDATA #REQUIRED To_IPAddr CDATA #REQUIRED>
<!ELEMENT FQDN (IPV4_Address | IPV6_Address)?> <!ATTLIST FQDN %value;>
<!ELEMENT User_FQDN (IPV4_Address | IPV6_Address)?> <!ATTLIST User_FQDN %value;>
<!ELEMENT ASN1_DN (IPV4_Address | IPV6_Address)?> <!ATTLIST ASN1_DN %value;>
<!ELEMENT KEY_ID (IPV4_Address | IPV6_Address)?> <!ATTLIST KEY_ID %value;>

<!-- A set of peers, each of which gets a tunnel; and pre-shared keys, which are read and never written. -->
<!ELEMENT IKEGroup (%phase1;)+>
<!ATTLIST IKEGroup IKE_GroupName CDATA #REQUIRED>
<!ELEMENT IKEGroupRef EMPTY>
<!ATTLIST IKEGroupRef IKE_GroupName CDATA #REQUIRED>
<!ELEMENT IKEPresharedKey (%phase1; | IKEPresharedRemoteID | IKEPresharedLocalID)*>
<!ATTLIST IKEPresharedKey Format (ASCII | Hex) "ASCII" Value CDATA #REQUIRED>
<!ELEMENT IKEPresharedRemoteID (%phase1;)+>
<!ELEMENT IKEPresharedLocalID (%phase1;)+>
"""
