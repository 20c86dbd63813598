#!/bin/sh
# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Unpacks the Debian packages of a list into a folder, beside the system: nothing is installed,
# no service is set up, and packages that conflict with the machine's do not matter.
#   unpack.sh FOLDER LIST
set -eu
folder=$1 list=$2
stamp=$(sha256sum < "$list")
[ "$(cat "$folder/.stamp" 2>/dev/null)" = "$stamp" ] && exit 0
packages=$(grep -v '^#' "$list" | tr '\n' ' ')
echo "setup: $folder: Debian packages $packages"
mkdir -p "$(dirname "$folder")"
scratch=$(mktemp -d "$folder.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
download() {
    # shellcheck disable=SC2086 # a list of names
    (cd "$scratch" && apt-get download -qq -o APT::Sandbox::User=root $packages)
}
download 2> /dev/null || { apt-get update -qq && download; }
for package in "$scratch"/*.deb; do
    dpkg -x "$package" "$scratch/tree"
done
# Debian's packages still say /lib where the system has a link to /usr/lib.
for part in bin sbin lib; do
    [ -d "$scratch/tree/$part" ] || continue
    mkdir -p "$scratch/tree/usr/$part"
    cp -a "$scratch/tree/$part/." "$scratch/tree/usr/$part/"
    rm -rf "$scratch/tree/${part:?}"
done
echo "$stamp" > "$scratch/tree/.stamp"
# In one step: a guest that starts meanwhile sees the old or the new ones.
[ ! -e "$folder" ] || mv "$folder" "$scratch/old"
mv "$scratch/tree" "$folder"
