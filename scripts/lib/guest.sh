# shellcheck shell=bash
# Guests: a Linux kernel of their own, in user mode, for what the host's kernel may lack (GRE) and
# for peers of another release of Debian than the host's. Needs say.sh and net.sh.
#
#   guest_setup              installs what is missing: the kernel, and a root with FRR in the cache
#   guest_complete           whether nothing is missing
#   guest_tap NS TAP...      taps for guests
#   guest_boot NAME NS TAP...    starts a guest; the taps are its eth0, eth1...
#   guest_ready NAME         waits until it takes commands
#   guest_run NAME SCRIPT    runs lines of shell in it: their output, their status
#   guest_stop NAME          ends it
#
# The root is a Debian trixie, whose FRR 10.3 knows NHRP's authentication, as that of Debian 12
# does not. Guests change nothing in it. A guest's process is one of net_spawn.

guest_lib=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
guest_cache=/var/cache/greyhound-peers
guest_root=$guest_cache/trixie
guest_packages=(user-mode-linux busybox-static debootstrap)
guest_memory=160
# A guest's kernel does not save the registers of AVX: see without_xstate.py.
guest_tunables=glibc.cpu.hwcaps=-AVX,-AVX2,-AVX512F,-AVX512VL,-AVX512BW
guest_taps=0

guest_setup() {
    local lock status
    guest_complete && return 0
    [ "$(id -u)" = 0 ] || { echo "needs root to install"; return 1; }
    mkdir -p "$guest_cache" || return 1
    exec {lock}>"$guest_cache/lock"
    flock "$lock"
    guest_kernel && guest_debian
    status=$?
    exec {lock}>&-
    return $status
}

guest_complete() { guest_has_kernel && [ -e "$guest_root" ]; }

guest_has_kernel() {
    command -v linux.uml busybox debootstrap >/dev/null && [ -d /usr/lib/uml/modules ]
}

guest_kernel() {
    local policy=/usr/sbin/policy-rc.d made='' status
    guest_has_kernel && return 0
    # No daemon starts because its package comes with these.
    if [ ! -e $policy ]; then
        guest_policy $policy
        made=1
    fi
    apt-get update -q=2
    DEBIAN_FRONTEND=noninteractive apt-get install -q=2 -y --no-install-recommends \
        "${guest_packages[@]}"
    status=$?
    [ -z "$made" ] || rm -f $policy
    return $status
}

guest_policy() { printf '#!/bin/sh\nexit 101\n' >"$1" && chmod 755 "$1"; }

# The root of guests, from the mirror that this machine's apt uses, or debootstrap's own. Only a
# whole one gets its name.
guest_debian() {
    local new=$guest_root.new mirror
    [ ! -e "$guest_root" ] || return 0
    # shellcheck disable=SC2016
    mirror=$(apt-get indextargets --format '$(SITE)' 'Label: Debian' | head -n 1)
    rm -rf --one-file-system "$new"
    debootstrap --variant=minbase --include=iproute2,kmod,busybox-static,procps,iptables \
        trixie "$new" ${mirror:+"$mirror"} &&
        guest_policy "$new/usr/sbin/policy-rc.d" &&
        DEBIAN_FRONTEND=noninteractive chroot "$new" \
            apt-get install -q=2 -y --no-install-recommends frr &&
        mv "$new" "$guest_root" && return 0
    rm -rf --one-file-system "$new"
    return 1
}

guest_tap() {
    local ns=$1 tap
    shift
    for tap; do
        in_ns "$ns" ip tuntap add dev "$tap" mode tap || die "cannot make the tap $tap"
        net_plain "$ns" "$tap"
    done
}

guest_share() { echo "$net_state/guest-$1"; }

guest_boot() {
    local name=$1 ns=$2 share number=0 tap options=() first=()
    share=$(guest_share "$name")
    shift 2
    mkdir -p "$share" "$share.uml" || return 1
    cp "$guest_lib/guest-init.sh" "$share/" || return 1
    [ -p "$share.bell" ] || mkfifo "$share.bell" || return 1
    for tap; do
        guest_taps=$((guest_taps + 1))
        options+=("eth$number=tuntap,$tap,02:00:5e:00:53:$(printf %02x $guest_taps)")
        number=$((number + 1))
    done
    # A system call in a guest is two context switches on the host. Beside gateways that poll,
    # each would wait for its turn.
    chrt -r 1 true 2>/dev/null && first=(chrt -r 1)
    # In a namespace of processes: with the one that is recorded, all of the guest end.
    TMPDIR=$(guest_memory_dir) net_spawn "$name" "$ns" "${first[@]}" \
        unshare --pid --fork --kill-child=KILL setarch -R "$guest_lib/without_xstate.py" linux.uml \
        mem=${guest_memory}M umid="$name" uml_dir="$share.uml/" "${options[@]}" \
        root=/dev/root rootfstype=hostfs rootflags=/ ro init="$guest_lib/guest-init.sh" \
        GUEST_ROOT="$guest_root" GUEST_SHARE="$share" GLIBC_TUNABLES="$guest_tunables" \
        con=null con0=null,fd:1 ssl=null ssl0=fd:7,null loglevel=4 panic=-1 7<>"$share.bell"
}

# Where the guest's memory may be a file that is mapped executable.
guest_memory_dir() {
    local room
    room=$(df -Pm /dev/shm 2>/dev/null | awk 'NR == 2 { print $4 }')
    if [ "${room:-0}" -gt $((4 * guest_memory)) ] &&
        ! findmnt -no OPTIONS -T /dev/shm | grep -qw noexec; then
        echo /dev/shm
    else
        echo /tmp
    fi
}

guest_ready() {
    until_ok 30 guest_answers "$1" && net_alive "$1" && return 0
    detail="the guest $1 did not start"
    tail -n 12 "$(net_log "$1")"
    return 1
}

guest_answers() { [ -e "$(guest_share "$1")/ready" ] || net_ended "$1"; }

guest_run() {
    local name=$1 share job pid status
    share=$(guest_share "$name")
    job=$BASHPID-${EPOCHREALTIME/[.,]/}
    net_alive "$name" || { echo "the guest $name does not run"; return 125; }
    printf '%s\n' "$2" >"$share/$job.job"
    echo "$job" 1<>"$share.bell"
    until_ok 70 test -s "$share/$job.rc" || { echo "no answer from the guest $name"; return 125; }
    cat "$share/$job.out"
    read -r status <"$share/$job.rc"
    rm -f "$share/$job".*
    return "$status"
}

guest_stop() {
    local share pid
    share=$(guest_share "$1")
    if net_alive "$1" && [ -e "$share/ready" ]; then
        echo '/bin/busybox poweroff -f' >"$share/off.job"
        echo off 1<>"$share.bell"
        net_wait "$1" 3
    fi
    # It takes no SIGTERM.
    net_stop "$1" 0
    rm -f "$share/ready"
}
