#!/bin/sh
# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Runs pytest on the oldest Python and libraries that a gateway may have; a machine without that Python passes it over.
#   unit-oldest.sh ARGUMENT…
set -eu
python=$(sh tests/setup/python.sh oldest 3.9 3.9 2> /dev/null) ||
    { echo "unit-oldest: NOT RUN, there is no Python 3.9 here"; exit 0; }
sh tests/setup/venv.sh .cache/venv-oldest requirements/unit-oldest.txt "$python"
exec .cache/venv-oldest/bin/python -m pytest -q -rs -p no:cacheprovider "$@"
