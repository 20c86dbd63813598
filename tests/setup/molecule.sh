#!/bin/sh
# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Runs the Molecule scenarios with a lab of their own.  Molecule writes its own ansible.cfg, so what the
# lab's would say is said by environment here.
#   molecule.sh [MOLECULE ARGUMENTS…]     (default: test)
set -eu
cd "$(dirname "$0")/../../extensions"
export LAB_DIR="${LAB_DIR:-/run/fleet-ipsec-molecule}"
export ANSIBLE_HOME="$PWD/../.cache/ansible"
export ANSIBLE_COLLECTIONS_PATH="$LAB_DIR/collections"
export ANSIBLE_SSH_ARGS="-F $LAB_DIR/ssh_config"
export ANSIBLE_PIPELINING=true
export ANSIBLE_PYTHON_INTERPRETER=/usr/bin/python3
export ANSIBLE_INVENTORY_UNPARSED_WARNING=false ANSIBLE_LOCALHOST_WARNING=false
# The password is made with the lab; before that there is nothing to open.
ANSIBLE_VAULT_PASSWORD_FILE=$PWD/../tests/lab/vault-password
export ANSIBLE_VAULT_PASSWORD_FILE
[ -t 1 ] || export NO_COLOR=1 PY_COLORS=0 ANSIBLE_FORCE_COLOR=0
[ $# -eq 0 ] || exec molecule "$@"

# In a session of its own, so that an interruption reaches it through us, and the lab goes after it.
setsid molecule test &
run=$!
interrupted() {
    trap '' INT TERM
    kill -TERM "-$run"
    wait "$run" || true
    cd .. && python3 -m tests.lab down
    exit "$1"
}
trap 'interrupted 130' INT
trap 'interrupted 143' TERM
wait "$run"
