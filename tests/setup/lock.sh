#!/bin/sh
# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Resolves the requirements anew and writes the lock files: a maintainer's tool, run by hand.
set -eu
cd "$(dirname "$0")/../.."
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

lock() { # lock file, title, python, requirements…
    file=$1 title=$2 python=$3
    shift 3
    "$python" -m venv --clear "$scratch/venv"
    "$scratch/venv/bin/python" -m pip install --quiet "$@"
    { echo "# $title; do not edit."; "$scratch/venv/bin/python" -m pip freeze; } > "$file"
    echo "$file: $(grep -vc '^#' "$file") packages"
}

oldest=$(sh tests/setup/python.sh oldest 3.11 3.13)
newest=$(sh tests/setup/python.sh newest 3.12 3.14)
lock requirements/dev.txt "Locked from dev.in by tests/setup/lock.sh" "$oldest" -r requirements/dev.in
for version in 2.18 2.19; do
    lock "requirements/sanity-$version.txt" \
        "Locked by tests/setup/lock.sh: ansible-core $version, for ansible-test sanity" "$oldest" "ansible-core==$version.*"
done
lock requirements/sanity-2.21.txt \
    "Locked by tests/setup/lock.sh: ansible-core 2.21, for ansible-test sanity" "$newest" "ansible-core==2.21.*"
