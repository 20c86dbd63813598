#!/bin/sh
# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Unpacks packages of Debian's newest suite into a folder, with all libraries that they need, down to the C library:
# whoever mounts the folder's usr over /usr runs them. Nothing is installed. About 8 MB.
# Where they cannot be had the folder holds a file "lacking" that says why, and it is tried again after a day.
#   newer-peers.sh FOLDER LIST
set -eu
folder=$1 list=$2 suite=sid
keys=/usr/share/keyrings/debian-archive-keyring.gpg
stamp="$suite $(sha256sum < "$list")"
[ "$(cat "$folder/.stamp" 2>/dev/null)" = "$stamp" ] && exit 0
[ -z "$(find "$folder/lacking" -mtime -1 2>/dev/null)" ] || exit 0
packages=$(grep -v '^#' "$list" | tr '\n' ' ')
echo "setup: $folder: Debian $suite's packages $packages"
mkdir -p "$(dirname "$folder")"
scratch=$(cd "$(dirname "$folder")" && mktemp -d "$PWD/$(basename "$folder").XXXXXX")
trap 'rm -rf "$scratch"' EXIT
mkdir -p "$scratch/apt/lists/partial" "$scratch/apt/archives/partial" "$scratch/tree"
: > "$scratch/apt/status"

own_apt() {
    apt-get -qq -o Dir::State="$scratch/apt" -o Dir::State::lists="$scratch/apt/lists" \
        -o Dir::State::status="$scratch/apt/status" -o Dir::Cache="$scratch/apt" \
        -o Dir::Etc::sourcelist="$scratch/apt/sources.list" -o Dir::Etc::sourceparts=/dev/null \
        -o Dir::Etc::preferencesparts=/dev/null -o APT::Sandbox::User=root -o APT::Install-Recommends=false \
        -o Debug::NoLocking=1 -o Acquire::http::Timeout=20 -o Acquire::Retries=1 "$@"
}

fetch() {
    # shellcheck disable=SC2016 # apt's words, not the shell's
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Origin: Debian' | head -n 1)
    [ -n "$mirror" ] || { echo "apt knows no mirror of Debian"; return 1; }
    echo "deb [signed-by=$keys] $mirror $suite main" > "$scratch/apt/sources.list"
    # shellcheck disable=SC2086 # a list of names
    own_apt update && own_apt install -y --download-only $packages
}

# shellcheck disable=SC2310 # it is the exit status that is asked for
if fetch > "$scratch/log" 2>&1; then
    for package in "$scratch"/apt/archives/*.deb; do
        dpkg -x "$package" "$scratch/tree"
    done
    echo "$stamp" > "$scratch/tree/.stamp"
else
    tail -n 3 "$scratch/log" > "$scratch/tree/lacking"
    echo "setup: $folder: not to be had: $(tail -n 1 "$scratch/log")"
fi
[ ! -e "$folder" ] || mv "$folder" "$scratch/old"
mv "$scratch/tree" "$folder"
