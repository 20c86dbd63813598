#!/bin/sh
# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Builds a guest kernel (User-Mode Linux) out of Debian's kernel source, for tests of what Debian's own has not,
# such as XFRM interfaces and simulated time. Takes some minutes and 2 GB once; afterwards the kernel alone is kept.
#   uml-kernel.sh FILE
set -eu
kernel=$1
here=$(dirname "$0")
requirements=$here/../../requirements
stamp=$(cat "$here/uml-kernel.config" "$here/uml-kernel.patch" "$requirements/debian-uml-source.txt" | sha256sum)
[ -x "$kernel" ] && [ "$(cat "$kernel.stamp" 2>/dev/null)" = "$stamp" ] && exit 0

sh "$here/packages.sh" "$requirements/debian-uml-kernel.txt"
mkdir -p "$(dirname "$kernel")"
scratch=$(mktemp -d "$(dirname "$kernel")/build.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
sh "$here/unpack.sh" "$scratch/package" "$requirements/debian-uml-source.txt"
mkdir "$scratch/tree"
tar -xJf "$scratch"/package/usr/src/linux-source-*.tar.xz -C "$scratch/tree" --strip-components=1
patch -s -p1 -d "$scratch/tree" < "$here/uml-kernel.patch"

echo "setup: building a guest kernel; this takes some minutes"
build() {
    nice -n 15 make -s -C "$scratch/tree" ARCH=um "$@" > "$scratch/log" 2>&1 || { tail -n 40 "$scratch/log" >&2; exit 1; }
}
build defconfig
(cd "$scratch/tree" && ARCH=um scripts/kconfig/merge_config.sh -m .config "$OLDPWD/$here/uml-kernel.config" > /dev/null)
build olddefconfig
# An option whose dependencies changed its mind would only be missed in a test that is skipped.
for option in XFRM_INTERFACE NET_SCH_NETEM INET_ESPINTCP OVERLAY_FS NF_TABLES_INET UML_TIME_TRAVEL_SUPPORT; do
    grep -q "^CONFIG_$option=y" "$scratch/tree/.config" || { echo "setup: the kernel would lack $option" >&2; exit 1; }
done
build -j"$(nproc)" linux
strip -o "$kernel" "$scratch/tree/linux"
echo "$stamp" > "$kernel.stamp"
