# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Chains of SAs, and the templates by which a policy demands one.

Members stand innermost first, as templates do (RFC 4301 section 4.4.1.2). A ``tun`` is no SA of the kernel: it is the
name of the tunnel mode of the SA after it.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Mapping, Sequence
from typing import Optional

from ..newer_python import zip
from ..said import PROTOCOLS, Said
from .values import IPCOMP, OUT, KernelSelector, Policy, SaState, Template

TUN = PROTOCOLS["tun"]
UNSPECIFIED = ("0.0.0.0", "::")

# Members with their states; None where the kernel has no such SA any more.
Chain = Sequence[tuple[Said, Optional[SaState]]]


def transforms(members: Iterable[Said], sas: Mapping[Said, SaState]) -> Chain:
    """The members that are SAs of the kernel."""
    return [(said, sas.get(said)) for said in members if said.protocol != TUN]


def leads_to(policy: Policy, sa: SaState, sas: Iterable[SaState]) -> bool:
    """Whether ``sa`` is what the kernel takes for the first template of ``policy``.

    A template without an SPI takes the newest SA that fits it.
    """
    if not policy.templates:
        return False
    first = policy.templates[0]
    if not _fits(first, sa, policy, first=True):
        return False
    if first.spi:
        return True
    rank = (not sa.larval, sa.add_time)
    return not any((not o.larval, o.add_time) > rank and _fits(first, o, policy, first=True) for o in sas)


def demands(policy: Policy, sa: SaState) -> bool:
    """Whether ``policy`` may have packets go through ``sa``, at whatever place."""
    return any(_fits(template, sa, policy, first=place == 0) for place, template in enumerate(policy.templates))


def carries(policy: Policy, chain: Chain) -> bool:
    """Whether ``policy`` demands exactly this chain; where an SA is gone, its name must do."""
    if len(policy.templates) != len(chain):
        return False
    sure = False
    for place, (template, (said, sa)) in enumerate(zip(policy.templates, chain, strict=True)):
        if sa is not None:
            if not _fits(template, sa, policy, first=place == 0):
                return False
            sure = True
            continue
        if template.protocol != said.protocol or template.spi not in (0, said.spi):
            return False
        if template.mode == "tunnel" and template.destination != said.destination:
            return False
        sure = sure or template.spi == said.spi
    return sure


def with_chain(policy: Policy, chain: Chain) -> Policy:
    """``policy`` with the templates of ``chain``; the first one stays as it is, for :func:`without_chain`.

    On the way out each SA is named by its SPI. On the way in none is, so that policies outlive a change of SPI, and
    IPComp is optional: what does not shrink travels without it (RFC 3173 section 2.2).
    """
    inbound = policy.direction != OUT
    first = policy.templates[0]
    if inbound and first.protocol == IPCOMP:
        first = first._replace(optional=True)
    rest = [
        Template(
            sa.source, sa.destination, 0 if inbound else sa.spi, sa.protocol, sa.mode, sa.reqid,
            inbound and sa.protocol == IPCOMP,
        )
        for _said, sa in chain[1:] if sa is not None
    ]  # fmt: skip
    return policy._replace(templates=(first, *rest))


def without_chain(policy: Policy) -> Policy:
    """``policy`` with the first SA alone."""
    return policy._replace(templates=policy.templates[:1])


def _fits(template: Template, sa: SaState, policy: Policy, *, first: bool) -> bool:
    """Whether the kernel may take ``sa`` for ``template``."""
    inbound = policy.direction != OUT
    if (template.protocol, template.mode) != (sa.protocol, sa.mode) or template.spi not in (0, sa.spi):
        return False
    if policy.if_id != sa.if_id:
        return False
    if template.reqid != sa.reqid and not (inbound and template.reqid == 0):
        return False
    if template.destination not in UNSPECIFIED:
        return template.destination == sa.destination and template.source in (sa.source, *UNSPECIFIED)
    # Transport mode: the addresses are those of the packet; after another template, of that one's.
    return template.mode != "tunnel" and (not first or _host(policy.selector) == sa.destination)


def _host(s: KernelSelector) -> str | None:
    """The one address that the packets of a selector go to, None when there are several."""
    if s.destination_prefix != len(s.destination) * 8:
        return None
    return socket.inet_ntop(socket.AF_INET6 if s.family == 6 else socket.AF_INET, s.destination)
