# shellcheck shell=bash
# Traffic between hosts, and what is seen of it on the way; each sets "detail". Needs say.sh and
# net.sh.
#
#   traffic_ping NS ADDRESS [COUNT [OPTIONS...]]     all answered, or it fails
#   traffic_file FROM_NS TO_NS ADDRESS FILE          a file over TCP, checksums compared
#   traffic_iperf FROM_NS TO_NS ADDRESS SECONDS      TCP both ways, one after the other
#   traffic_mss FROM_NS TO_NS ADDRESS MSS            MSS option that reaches the other host
#   traffic_df FROM_NS ADDRESS MTU                   a too long packet with DF teaches the MTU
#   traffic_ttl FROM_NS ADDRESS TTL BY...            TTL runs out at one of these addresses
#   capture_start NAME NS IF COUNT FILTER            tcpdump into capture_file NAME; 0: no limit
#   capture_stop NAME, capture_count NAME

traffic_lib=$(dirname "${BASH_SOURCE[0]}")

traffic_ping() {
    local out
    out=$(in_ns "$1" ping -n -q -c "${3:-3}" -i 0.05 -W 2 "${@:4}" "$2")
    echo "$out"
    detail=$(sed -n 's/.*, \(.* received\), .*/\1/p; s/^rtt [^=]*= [^/]*\/\([^/]*\)\/.*/\1 ms/p' \
        <<<"$out" | paste -sd, | sed 's/,/, /')
    grep -q ' 0% packet loss' <<<"$out"
}

# The first packet of a path may be lost while neighbours are asked for: tried until it is there.
traffic_reach() {
    until_ok "${3:-5}" in_ns "$1" ping -n -q -c 1 -W 1 "$2" >/dev/null
}

traffic_file() {
    local from=$1 to=$2 address=$3 file=$4 port=5001 sum size start now ms
    size=$(stat -c %s "$file")
    sum=$(sha256sum <"$file")
    net_spawn receiver "$to" bash -c "set -o pipefail
        socat -u -T 20 TCP6-LISTEN:$port,reuseaddr,ipv6-v6only=0 STDOUT | sha256sum"
    until_ok 5 net_listens "$to" $port || return 1
    now_ms
    start=$now
    in_ns "$from" timeout 60 socat -u "FILE:$file" "TCP:$address:$port,connect-timeout=5" &&
        net_wait receiver 20
    now_ms
    ms=$((now - start + 1))
    net_stop receiver
    detail="$((size / 1000000)) MB in $((ms / 1000)).$((ms / 100 % 10)) s,"
    detail+=" $((size * 8 / ms / 1000)) Mbit/s"
    [ "$(cat "$(net_log receiver)")" = "$sum" ] && return 0
    detail+="; what arrived is not what was sent"
    return 1
}

traffic_iperf() {
    local way rate
    net_spawn iperf "$2" iperf3 -s -f m
    until_ok 5 net_listens "$2" 5201 || return 1
    detail=
    for way in "" -R; do
        # shellcheck disable=SC2086
        rate=$(in_ns "$1" timeout $(($4 + 15)) iperf3 -c "$3" -t "$4" -J $way |
            jq -r '(.end.sum_received.bits_per_second / 1e6 | floor | tostring)
                + " Mbit/s (" + (.end.sum_sent.retransmits | tostring) + " retransmits)"')
        [ -n "$rate" ] || { net_stop iperf; return 1; }
        detail+="${way:+, back }$rate"
    done
    net_stop iperf
    ! [[ $detail =~ (^|back\ )0\ Mbit ]]
}

traffic_mss() {
    local seen
    capture_start syn "$2" eth0 1 'tcp[tcpflags] & (tcp-syn | tcp-ack) == tcp-syn' || return 1
    # Nobody needs to listen: the SYN is enough.
    in_ns "$1" nc -n -z -w 1 "$3" 5002
    net_wait syn 3
    seen=$(tcpdump -nr "$(capture_file syn)" 2>/dev/null | sed -n 's/.*mss \([0-9]*\).*/\1/p')
    net_stop syn
    detail="${seen:-no SYN} arrives"
    [ "$seen" = "$4" ]
}

traffic_df() {
    local out
    in_ns "$1" ip route flush cache
    # 28 octets of headers: a packet as large as the LAN takes.
    out=$(in_ns "$1" ping -n -c 2 -i 0.2 -W 1 -M "do" -s 1472 "$2" 2>&1)
    echo "$out"
    detail=$(grep -o -m 1 'Frag needed and DF set (mtu = [0-9]*)' <<<"$out")
    in_ns "$1" ip route get "$2"
    [ "$detail" = "Frag needed and DF set (mtu = $3)" ] || return 1
    in_ns "$1" ip route get "$2" | grep -q "mtu $3" || return 1
    in_ns "$1" ping -n -q -c 1 -W 2 -M "do" -s $(($3 - 28)) "$2" || return 1
    detail+="; one of $3 octets passes"
}

traffic_ttl() {
    local from=$1 address=$2 ttl=$3 out by
    shift 3
    out=$(in_ns "$from" ping -n -c 1 -W 2 -t "$ttl" "$address")
    echo "$out"
    by=$(sed -n 's/^From \([^ ]*\) .*Time to live exceeded$/\1/p' <<<"$out")
    detail="by ${by:-nobody}"
    [[ -n $by && " $* " = *" $by "* ]]
}

capture_file() { echo "$net_state/$1.pcap"; }

capture_start() {
    local name=$1 ns=$2 dev=$3 count=$4 limit=()
    [ "$count" = 0 ] || limit=(-c "$count")
    rm -f "$(capture_file "$name")"
    net_spawn "$name" "$ns" tcpdump -Z root -i "$dev" -n -U -s 0 -B 8192 --immediate-mode \
        "${limit[@]}" -w "$(capture_file "$name")" "$5"
    until_ok 5 grep -qs 'listening on' "$(net_log "$name")"
}

capture_stop() {
    # What tcpdump has not fetched yet from the kernel would be lost.
    sleep 0.3
    net_stop "$1"
    ! grep -E '^[1-9][0-9]* packets? dropped by kernel' "$(net_log "$1")"
}

capture_count() { tcpdump -nr "$(capture_file "$1")" 2>/dev/null | wc -l; }

# Everything in a capture, as a program that knows nothing of ours reads it.
capture_show() { tcpdump -nr "$(capture_file "$1")" 2>/dev/null | head -n "${2:-5}"; }

# decrypt.py on a capture; its line becomes the detail.
capture_decrypt() {
    local name=$1
    shift
    detail=$("$traffic_lib/decrypt.py" "$(capture_file "$name")" "$@" 2>&1)
}

# A multicast stream FROM_NS OWN_ADDRESS COUNT PER_SECOND, received in each of NS=ADDRESS...
traffic_multicast() {
    local from=$1 own=$2 count=$3 rate=$4 group=239.1.2.3 port=5003 receiver failed=0 line
    shift 4
    for receiver; do
        net_spawn "mcast-${receiver%=*}" "${receiver%=*}" "$traffic_lib/mcast.py" receive \
            $group $port "${receiver#*=}" "$count" $((count / rate + 4))
        until_ok 5 grep -qs ready "$(net_log "mcast-${receiver%=*}")" || return 1
    done
    in_ns "$from" "$traffic_lib/mcast.py" send $group $port "$own" "$count" "$rate"
    detail=
    for receiver; do
        receiver=${receiver%=*}
        net_wait "mcast-$receiver" $((count / rate + 6))
        line=$(grep ' of ' "$(net_log "mcast-$receiver")")
        detail+="${detail:+; }$receiver ${line:-nothing}"
        [ "$line" = "$count of $count, 0 twice" ] || failed=1
        net_stop "mcast-$receiver"
    done
    return $failed
}
