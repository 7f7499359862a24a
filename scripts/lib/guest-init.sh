#!/bin/busybox sh
# shellcheck shell=dash
# The first process of a guest (guest.sh). It starts on the host's file system, mounted read-only,
# gives the guest a root of its own that is forgotten at its end, and then, as "agent" in that
# root, runs what the host asks for: each line on ttyS0 names a job, a script in /greyhound.
#
#   /greyhound/JOB.job    the script
#   /greyhound/JOB.out    what it said, and after that
#   /greyhound/JOB.rc     its status
#
# From the kernel's command line: GUEST_ROOT, the folder with the guest's Debian on the host;
# GUEST_SHARE, the folder that is /greyhound in the guest.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin

give_up() {
    echo "guest: $*"
    /bin/busybox poweroff -f
}

new_root() {
    modules=/usr/lib/uml/modules base=/mnt root=/mnt/root
    # The shell finds its own commands by /proc/self/exe.
    /bin/busybox mount -t proc proc /proc || give_up "no /proc"
    insmod "$modules/$(uname -r)/kernel/fs/overlayfs/overlay.ko"
    mount -t tmpfs guest $base || give_up "no tmpfs"
    mkdir $base/debian $base/changes $base/work $root
    mount -t hostfs -o "$GUEST_ROOT" none $base/debian || give_up "no $GUEST_ROOT"
    mount -t overlay -o lowerdir=$base/debian,upperdir=$base/changes,workdir=$base/work \
        none $root || give_up "no overlay"
    mkdir -p $root/greyhound $root/lib/modules $root/before
    mount -t hostfs -o "$modules" none $root/lib/modules || give_up "no modules"
    mount -t hostfs -o "$GUEST_SHARE" none $root/greyhound || give_up "no $GUEST_SHARE"
    mount -t devtmpfs none $root/dev
    mount -t proc none $root/proc
    mount -t sysfs none $root/sys
    mount -t tmpfs none $root/run
    mount -t tmpfs none $root/tmp
    cd $root || give_up "no new root"
    # Not chroot: the kernel looks for modprobe and modules in the root of the first process.
    pivot_root . before || give_up "no pivot_root"
    exec /bin/busybox sh /greyhound/guest-init.sh agent </dev/null
}

agent() {
    cd /
    umount -l /before
    # What the kernel would load by itself it would load without GLIBC_TUNABLES.
    modprobe -a ip_gre iptable_filter iptable_nat iptable_raw xt_MASQUERADE xt_hashlimit xt_NFLOG \
        nfnetlink_log
    sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1 \
        net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0
    ip link set lo up
    stty -F /dev/ttyS0 -echo
    exec 9</dev/ttyS0
    echo >/greyhound/ready
    while read -r job <&9; do
        # In the guest's memory first: a daemon that the job leaves behind keeps the file open.
        timeout 60 /bin/sh "/greyhound/$job.job" >"/run/$job" 2>&1 </dev/null
        status=$?
        cp "/run/$job" "/greyhound/$job.out"
        echo "$status" >"/greyhound/$job.rc"
        rm "/run/$job"
    done
    give_up "nobody asks any more"
}

if [ "${1-}" = agent ]; then agent; else new_root; fi
