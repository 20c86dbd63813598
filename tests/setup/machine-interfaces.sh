#!/bin/sh
# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Whether the machine's own kernel has ESP and XFRM interfaces; the lab then uses that one.
exec unshare --net sh -c 'ip link add x type xfrm if_id 1 && ip xfrm state add src 127.0.0.1 dst 127.0.0.1 proto esp spi 0x1000 \
    aead "rfc4106(gcm(aes))" 0x0000000000000000000000000000000000000000 128' > /dev/null 2>&1
