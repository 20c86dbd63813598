#!/bin/sh
# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Builds what guest kernels need on a processor with AMX (see tests/lab/guest_registers.c); nothing elsewhere.
#   guest-registers.sh FILE
set -eu
library=$1
here=$(dirname "$0")
source=$here/../lab/guest_registers.c
grep -qw amx_tile /proc/cpuinfo || exit 0
stamp=$(sha256sum < "$source")
[ -e "$library" ] && [ "$(cat "$library.stamp" 2>/dev/null)" = "$stamp" ] && exit 0
command -v cc > /dev/null || sh "$here/packages.sh" "$here/../../requirements/debian-compiler.txt"
mkdir -p "$(dirname "$library")"
cc -O2 -Wall -Wextra -shared -fPIC -o "$library.new" "$source"
mv "$library.new" "$library"
echo "$stamp" > "$library.stamp"
