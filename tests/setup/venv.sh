#!/bin/sh
# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Makes a virtual environment from a lock file; at once done when it is there and the lock is the same.
#   venv.sh FOLDER LOCK PYTHON
set -eu
folder=$1 lock=$2 python=$3
stamp="$(sha256sum < "$lock") $(readlink -f "$python")"
[ -x "$folder/bin/python" ] && [ "$(cat "$folder/.stamp" 2>/dev/null)" = "$stamp" ] && exit 0
echo "setup: $folder: $(grep -vc '^#' "$lock") Python packages from $lock, with $("$python" --version)"
rm -rf "$folder"
"$python" -m venv "$folder"
log=$folder/install.log
"$folder/bin/python" -m pip install --quiet --disable-pip-version-check --no-input --no-deps -r "$lock" > "$log" 2>&1 ||
    { grep -v '^WARNING: Location' "$log" >&2; exit 1; }
"$folder/bin/python" -m pip check --disable-pip-version-check
echo "$stamp" > "$folder/.stamp"
