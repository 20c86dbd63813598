#!/bin/sh
# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Prints the path of a Python between two versions (major.minor, both included):
#   python.sh oldest|newest|system LOW HIGH
# "system" is the distribution's own when it fits (pyenv's builds are half as fast), else the newest.
# Shims are passed over: what counts is an interpreter that runs.
set -eu
want=$1 low=${2#3.} high=${3#3.}

fits() {
    [ -x "$1" ] && "$1" -c "import sys, venv; sys.exit(not (3, $low) <= sys.version_info[:2] <= (3, $high))" 2>/dev/null
}

if [ "$want" = system ]; then
    if fits /usr/bin/python3; then echo /usr/bin/python3; exit 0; fi
    want=newest
fi
minor=$low step=1
[ "$want" = newest ] && minor=$high step=-1
while [ "$minor" -ge "$low" ] && [ "$minor" -le "$high" ]; do
    for python in "/usr/bin/python3.$minor" "/usr/local/bin/python3.$minor" \
            "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3."$minor".*/bin/"python3.$minor"; do
        if fits "$python"; then echo "$python"; exit 0; fi
    done
    minor=$((minor + step))
done
echo "setup: no Python from $2 to $3 found; install one, for example: apt-get install python3 python3-venv" >&2
exit 1
