#!/bin/sh
# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# A virtual environment on the distribution's own Python that sees the distribution's own libraries
# and adds only the test tools; falls back on nothing: without /usr/bin/python3 it fails.
#   venv-debian.sh FOLDER LOCK
set -eu
folder=$1 lock=$2
stamp="$(sha256sum < "$lock") $(/usr/bin/python3 --version)"
[ -x "$folder/bin/python" ] && [ "$(cat "$folder/.stamp" 2>/dev/null)" = "$stamp" ] && exit 0
echo "setup: $folder: test tools beside the distribution's own libraries"
rm -rf "$folder"
/usr/bin/python3 -m venv --system-site-packages "$folder"
"$folder/bin/python" -m pip install --quiet --disable-pip-version-check --no-input --no-deps -r "$lock" > "$folder/install.log" 2>&1 ||
    { grep -v '^WARNING: Location' "$folder/install.log" >&2; exit 1; }
echo "$stamp" > "$folder/.stamp"
