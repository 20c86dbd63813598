# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The library warns at every use of a MODP group; pytest undoes the filter that the engine installs for it."""

from __future__ import annotations


def pytest_configure(config):
    config.addinivalue_line("filterwarnings", "ignore:Diffie-Hellman over finite fields")
