# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The optional features: to add one is to add a file and its row here."""

from __future__ import annotations

from . import childless, cookies, fragmentation, initial_contact, intermediate, ipcomp, nat, ppk, signatures, transport
from .feature import Features

# In the order in which they speak.
ROWS = (
    cookies.FEATURE,
    nat.FEATURE,
    fragmentation.FEATURE,
    signatures.FEATURE,
    intermediate.FEATURE,
    ppk.FEATURE,
    childless.FEATURE,
    initial_contact.FEATURE,
    transport.FEATURE,
    ipcomp.FEATURE,
)
FEATURES = Features(ROWS)
