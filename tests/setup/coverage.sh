#!/bin/sh
# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Runs the engine's unit tests under coverage.py: what they miss as a list and as pages, and whether it is over the floor.
#   coverage.sh [PYTEST ARGUMENTS…]
set -eu
cd "$(dirname "$0")/../.."
rules=$PWD/tests/setup/coverage.ini
rm -rf build/coverage
mkdir -p build/coverage
failed=0
python -m coverage run --rcfile "$rules" -m pytest -q -rs -p no:cacheprovider "$@" || failed=1
python -m coverage combine --rcfile "$rules" -q
python -m coverage html --rcfile "$rules" -q --fail-under 0
python -m coverage report --rcfile "$rules" || failed=1
total=$(python -m coverage report --rcfile "$rules" --format total --precision 0 --fail-under 0)
floor=$(sed -n 's/^fail_under = //p' "$rules")
[ "$total" -le "$floor" ] || echo "coverage: $total percent are more than the floor of $floor: raise fail_under in $rules"
echo "coverage: pages of each file are in build/coverage/html"
exit $failed
