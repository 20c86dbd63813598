#!/bin/sh
# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Checks the types of the rooms that mypy.ini lists, under the names by which Ansible imports them.
set -eu
cd "$(dirname "$0")/../.."
mkdir -p build/types/ansible_collections/fleet
ln -sfn "$PWD" build/types/ansible_collections/fleet/ipsec
exec mypy "$@"
