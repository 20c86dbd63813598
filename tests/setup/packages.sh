#!/bin/sh
# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Installs the Debian packages of a list that are lacking; says nothing when none is.
# Starts no service and leaves none enabled that was not there before.
#   packages.sh LIST
set -eu
lacking=
for package in $(grep -v '^#' "$1" | tr '\n' ' '); do
    state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$state" = installed ] || lacking="$lacking $package"
done
[ -n "$lacking" ] || exit 0

if [ "$(id -u)" != 0 ]; then
    echo "setup: these Debian packages are lacking:$lacking" >&2
    echo "setup: run as root, or: sudo apt-get install --no-install-recommends$lacking" >&2
    exit 1
fi
echo "setup: installing Debian packages:$lacking"
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' > "$policy"
    chmod 755 "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
install() {
    # shellcheck disable=SC2086 # a list of names
    apt-get install -y -qq --no-install-recommends -o Dpkg::Use-Pty=0 $lacking > "$log" 2>&1
}
log=$(mktemp)
install || { apt-get update -qq && install; } || { cat "$log" >&2; exit 1; }
rm -f "$log"
case "$lacking" in
    *openssh-server*) deb-systemd-helper disable ssh.service ssh.socket > /dev/null 2>&1 || true ;;
esac
