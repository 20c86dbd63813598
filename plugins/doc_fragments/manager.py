# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a module reaches the tunnel manager."""

from __future__ import annotations


class ModuleDocFragment:
    """Options of the modules that talk to the tunnel manager."""

    DOCUMENTATION = r"""
options:
  control_socket:
    description:
      - Path of the tunnel manager's control socket on the gateway.
    type: path
    default: /run/fleet-ipsec/control.sock
"""
