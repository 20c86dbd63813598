#!/bin/sh
# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Process 1 of a machine that runs one command: runs it, reports its status, ends the machine.
. /etc/lab/job.env
ip link set lo up
if [ "$KERNEL" = guest ]; then
    stty -opost < /dev/tty0 > /dev/null 2>&1
    setsid -w /etc/lab/command < /dev/null > /dev/tty0 2>&1
    echo $? > /run/lab-share/status
    systemctl poweroff -ff > /dev/null 2>&1
    sleep 60
else
    /etc/lab/command < /dev/null
    echo $? > /run/lab-share/status
fi
