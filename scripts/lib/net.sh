# shellcheck shell=bash
# Network namespaces, links and processes, each recorded before it is used, so that net_down ends
# and removes exactly these, also after a crash of the script that made them. Needs say.sh.
#
#   net_begin LAB PREFIX     takes the lab for this script; removes what an earlier run has left
#   net_down                 ends the recorded processes, removes the recorded namespaces
#   net_ns NAME...           makes namespaces (PREFIX is put before each NAME, here and below)
#   net_link NS IF NS IF     a veth pair, up, without offloads
#   net_bridge NS BR IF...   a bridge of interfaces
#   net_addr NS IF ADDR...   addresses; IPv6 ones without duplicate address detection
#   net_host NS IF ADDR GW   addresses (comma-separated) and default gateways of a host
#   in_ns NS COMMAND...      runs a command in a namespace
#   net_spawn NAME NS CMD... starts a process in the background; its output is in net_log NAME
#   net_stop NAME [SECONDS]  ends it: SIGTERM, then SIGKILL after SECONDS (default 3)
#   net_wait NAME SECONDS    waits until it has ended by itself
#   net_alive NAME           whether it runs; sets "pid"
#
# A lab's files are in $net_state, which only its owner can read.

net_begin() {
    local lab=$1
    net_prefix=$2
    net_state=/run/greyhound-$lab
    [ "$(id -u)" = 0 ] || die "needs root: it makes network namespaces"
    install -d -m 700 "$net_state" || die "cannot make $net_state"
    exec {net_lock}>"$net_state.lock"
    flock -n "$net_lock" || die "another script is using the lab \"$lab\" at this moment"
    net_down
    install -d -m 700 "$net_state/run" "$net_state/log"
}

net_down() {
    local record name
    for record in "$net_state"/run/*.pid; do
        [ -e "$record" ] || continue
        name=${record##*/}
        net_stop "${name%.pid}"
    done
    if [ -e "$net_state/namespaces" ]; then
        while read -r name; do
            ip netns del "$name" 2>/dev/null
        done <"$net_state/namespaces"
    fi
    rm -rf "${net_state:?}"/*
}

net_ns() {
    local name full
    for name; do
        full=$net_prefix$name
        [ ! -e "/run/netns/$full" ] || die "the namespace $full exists, and is not of this script"
        echo "$full" >>"$net_state/namespaces"
        ip netns add "$full" || die "cannot make the namespace $full"
        # Nothing that the kernel says by itself may be mistaken for traffic of a gateway.
        in_ns "$name" sysctl -qw net.ipv6.conf.all.disable_ipv6=1 \
            net.ipv6.conf.default.disable_ipv6=1 net.ipv6.conf.default.accept_ra=0 \
            net.ipv6.conf.default.router_solicitations=0 net.ipv4.conf.all.rp_filter=0 \
            net.ipv4.conf.default.rp_filter=0 || die "cannot set up the namespace $full"
        in_ns "$name" ip link set lo up
    done
}

in_ns() {
    local ns=$1
    shift
    ip netns exec "$net_prefix$ns" "$@"
}

net_link() {
    ip link add "$2" netns "$net_prefix$1" type veth peer name "$4" netns "$net_prefix$3" ||
        die "cannot link $1 $2 and $3 $4"
    net_plain "$1" "$2"
    net_plain "$3" "$4"
}

# A poll-mode driver takes frames as they are on the wire: no checksums left to the device, no
# segments larger than the MTU.
net_plain() {
    in_ns "$1" ethtool -K "$2" rx off tx off tso off gso off gro off >/dev/null 2>&1
    in_ns "$1" ip link set "$2" up
}

net_bridge() {
    local ns=$1 bridge=$2 port
    shift 2
    in_ns "$ns" ip link add "$bridge" type bridge mcast_snooping 0 || die "cannot make $bridge"
    for port; do
        in_ns "$ns" ip link set "$port" master "$bridge" || die "cannot put $port into $bridge"
    done
    net_plain "$ns" "$bridge"
}

net_addr() {
    local ns=$1 dev=$2 address
    shift 2
    for address; do
        if [[ $address = *:* ]]; then
            in_ns "$ns" sysctl -qw "net.ipv6.conf.$dev.disable_ipv6=0"
            in_ns "$ns" ip addr add "$address" dev "$dev" nodad || die "no address $address on $dev"
        else
            in_ns "$ns" ip addr add "$address" dev "$dev" || die "no address $address on $dev"
        fi
    done
}

net_host() {
    local ns=$1 dev=$2 address gateway
    for address in ${3//,/ }; do
        net_addr "$ns" "$dev" "$address"
    done
    for gateway in ${4//,/ }; do
        in_ns "$ns" ip route add default via "$gateway" dev "$dev" || die "no route by $gateway"
    done
}

net_log() { echo "$net_state/log/$1"; }

# Sets "born" to the start time of a process. Together with the pid it names the process for good:
# a pid alone may have been given to another one meanwhile.
net_born() {
    local stat
    read -r stat 2>/dev/null <"/proc/$1/stat" || return 1
    read -r -a stat <<<"${stat##*) }"
    [[ ${stat[0]} != [ZX] ]] && born=${stat[19]}
}

net_spawn() {
    local name=$1 ns=$2 born
    shift 2
    net_alive "$name" && die "$name already runs"
    (
        # Not inherited: the lock ends with the script, though the process may stay.
        exec {net_lock}>&-
        exec setsid ip netns exec "$net_prefix$ns" "$@" </dev/null >"$(net_log "$name")" 2>&1
    ) &
    net_born "$!" && echo "$! $born" >"$net_state/run/$name.pid"
}

net_alive() {
    local since born
    read -r pid since 2>/dev/null <"$net_state/run/$1.pid" || return 1
    net_born "$pid" && [ "$born" = "$since" ]
}

net_ended() { ! net_alive "$1"; }
net_wait() { until_ok "$2" net_ended "$1"; }

net_stop() {
    local pid
    if net_alive "$1"; then
        kill -TERM "$pid" 2>/dev/null
        # A short first look: most processes end at once.
        sleep 0.02
        net_wait "$1" "${2:-3}" || { kill -KILL "$pid" 2>/dev/null; net_wait "$1" 2; }
    fi
    rm -f "$net_state/run/$1.pid"
}

# Whether something listens on a TCP port in a namespace.
net_listens() { in_ns "$1" ss -Hltn "sport = :$2" | grep -q .; }
