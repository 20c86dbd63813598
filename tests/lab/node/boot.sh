#!/bin/sh
# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# First process of a lab machine, in a guest kernel or in namespaces: lays an overlay
# over the machine's own tree, so that nothing written inside stays, and hands over.
#
# Environment: NODE   directory with files/ (laid over the tree) and root/ (mount point)
#              HANDOVER the program that goes on as process 1 in the new tree
#              SHARE  optional directory of the machine, visible as /run/lab-share
#              LAYER  optional directory of the machine whose files are laid over the tree
#              WORK   optional directory of the machine that must be seen (the machine's kernel only)
#              KERNEL guest | machine
#              MODULES comma-separated kernel modules to load (guests only; a machine loads its own)
set -e
PATH=/usr/sbin:/usr/bin:/sbin:/bin
export PATH
# /proc, /dev and what else lies under the root of the new tree is never the machine's.
PSEUDO=' proc sysfs devtmpfs devpts tmpfs cgroup cgroup2 overlay mqueue hugetlbfs debugfs tracefs bpf fusectl configfs securityfs pstore autofs rpc_pipefs binfmt_misc efivarfs nsfs ramfs squashfs '

lay_overlay() { # lower directory, mount point
    number=$((number + 1))
    mkdir -p "$scratch/$number/upper" "$scratch/$number/work"
    mount -t overlay -o "lowerdir=$1,upperdir=$scratch/$number/upper,workdir=$scratch/$number/work" overlay "$2"
}

number=0
tree=$NODE/root/tree
if [ "$KERNEL" = guest ]; then
    mount -t proc proc /proc
    modules=/usr/lib/uml/modules/$(uname -r)
    # A kernel of our own has everything built in.
    grep -qw overlay /proc/filesystems || insmod "$modules/kernel/fs/overlayfs/overlay.ko"
fi
mount -t tmpfs -o mode=755 tmpfs "$NODE/root"
scratch=$NODE/root/scratch
mkdir "$scratch" "$tree"
lay_overlay / "$tree"
[ -z "$LAYER" ] || cp -a "$LAYER/." "$tree/"
if [ "$KERNEL" = machine ]; then
    # An overlay of / does not reach into other file systems mounted below it.
    while read -r _ point type _; do
        case "$PSEUDO" in *" $type "*) continue ;; esac
        case "$point" in / | /run/* | /tmp/* | /proc/* | /sys/* | /dev/*) continue ;; esac
        [ -d "$point" ] && [ -d "$tree$point" ] && lay_overlay "$point" "$tree$point"
    done < /proc/self/mounts
fi

if [ -n "$WORK" ] && [ ! -d "$tree$WORK" ]; then
    mkdir -p "$tree$WORK"
    lay_overlay "$WORK" "$tree$WORK"
fi

mount -t proc proc "$tree/proc"
mount -t sysfs sysfs "$tree/sys"
mount -t tmpfs -o mode=755 tmpfs "$tree/run"
if [ "$KERNEL" = guest ]; then
    mount -t devtmpfs devtmpfs "$tree/dev"
    mkdir -p "$tree/lib/modules"
    ln -sfn "$modules" "$tree/lib/modules/$(uname -r)"
else
    mount -t tmpfs -o mode=755 tmpfs "$tree/dev"
    mkdir "$tree/dev/net"
    for device in null:1:3 zero:1:5 full:1:7 random:1:8 urandom:1:9 tty:5:0 net/tun:10:200; do
        (IFS=: && set -- $device && mknod -m 666 "$tree/dev/$1" c "$2" "$3")
    done
    ln -s pts/ptmx "$tree/dev/ptmx"
    ln -s /proc/self/fd "$tree/dev/fd"
    # A private set of control groups lets the service manager inside keep its own tree.
    mount -t cgroup2 cgroup2 "$tree/sys/fs/cgroup"
fi
if [ -n "$SHARE" ]; then
    mkdir "$tree/run/lab-share"
    case $KERNEL in
        guest) mount -t hostfs -o "$SHARE" share "$tree/run/lab-share" ;;
        machine) mount --bind "$SHARE" "$tree/run/lab-share" ;;
    esac
fi
mkdir -p "$tree/dev/pts" "$tree/dev/shm"
mount -t devpts -o newinstance,ptmxmode=666,mode=620 devpts "$tree/dev/pts"
mount -t tmpfs -o mode=1777 tmpfs "$tree/dev/shm"

# Login files only slow every command down; a locked root could not log in at all.
rm -f "$tree/root/.bashrc" "$tree/root/.profile" "$tree/root/.bash_profile" "$tree/root/.bash_login"
sed -i 's/^root:!*/root:/' "$tree/etc/shadow"
# The machine's own services are not the lab's.
rm -rf "$tree"/etc/systemd/system/*.wants "$tree"/etc/systemd/system/*.requires
for target in sysinit local-fs sockets timers multi-user basic graphical getty; do
    rm -rf "$tree/lib/systemd/system/$target.target.wants"
done
cp -a "$NODE/files/." "$tree/"

if [ -n "$MODULES" ]; then
    echo "$MODULES" | tr , '\n' | chroot "$tree" xargs modprobe -a 2>/dev/null || true
fi

cd "$tree"
pivot_root . .
umount -l .
exec chroot . "$HANDOVER"
