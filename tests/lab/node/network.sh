#!/bin/sh
# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# A gateway's addresses, its default route, and the host behind it.
# Everything in one process each: starting one is dear in a guest.
set -e
. /etc/lab/gateway.env
sysctl -q -w net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.all.accept_dad=0 || true
if [ -e /sys/class/net/vec0 ]; then ip link set vec0 name wire; fi
ip netns add behind
ip -batch - <<END
link set lo up
addr add $ADDRESS dev wire
addr add $ADDRESS6 dev wire nodad
link set wire up
route add default via $ROUTER
route add default via $ROUTER6
link add lan type veth peer name lan netns behind
addr add $LAN_ADDRESS dev lan
addr add $LAN_ADDRESS6 dev lan nodad
link set lan up
END
ip -n behind -batch - <<END
link set lo up
addr add $HOST_ADDRESS dev lan
addr add $HOST_ADDRESS6 dev lan nodad
link set lan up
route add default via ${LAN_ADDRESS%/*}
route add default via ${LAN_ADDRESS6%/*}
END
