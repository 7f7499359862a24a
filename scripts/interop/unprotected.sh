#!/usr/bin/env bash
# A protected tunnel is protected: before it has SAs, after they are deleted, after their lifetime
# and after a restart of the peer nothing leaves in clear; and in clear nothing comes in.
set -uo pipefail
# shellcheck source=../lib/scene.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/scene.sh"
# shellcheck source=../lib/pair.sh
. "$lib/pair.sh"

# Of what is sent here in clear on purpose.
intruder_mac=02:00:00:00:00:99
has_sas=
declare -A lifetime

tunnel() {
    pair_tunnel "$1" "$2" "${wan4[$2]}" 'protection = "site"'
    conf_profile site transport aes256gcm16 true
    [ -z "${lifetime[$1]-}" ] || echo "lifetime = ${lifetime[$1]}"
    [ -z "$has_sas" ] || pair_sas "$1" site
}

# Both gateways anew, with fresh keys.
anew() {
    pair_stop
    pair_keys
    pair_use tunnel
    pair_start
}

# Pings from a's host that nobody answers, and that a drops for $1; of them no packet, in clear or
# not, goes from a to b.
silent() {
    local before now
    before=$(gateway_drops a "$1")
    capture_start silent inet br0 0 "ip and src ${wan4[a]} and dst ${wan4[b]}" || return 1
    ! in_ns a-host ping -n -q -c 10 -i 0.02 -W 0.5 10.2.0.10 || return 1
    capture_stop silent || return 1
    capture_show silent
    now=$(gateway_drops a "$1")
    detail="$1 $((now - before)), on the wire $(capture_count silent)"
    [ $((now - before)) = 10 ] && [ "$(capture_count silent)" = 0 ]
}

sa_add() { gateway_ctl "$1" sa add --profile site "${@:2}"; }

sas_added() {
    local way from to
    for way in "${!pair_spi[@]}"; do
        from=${way%-*} to=${way#*-}
        set -- --spi "${pair_spi[$way]}" --key-file "$net_state/$way.key"
        sa_add "$from" --direction out --remote "${wan4[$to]}" "$@" || return 1
        sa_add "$to" --direction in --remote "${wan4[$from]}" "$@" || return 1
    done
}

# A key is used by one SA only: a deleted one gets a fresh one.
sa_renewed() {
    gateway_key "$net_state/a-b.key" 36
    pair_spi[a-b]=0x3003
    gateway_ctl b sa del --direction in --spi 0x3001 || return 1
    set -- --spi 0x3003 --key-file "$net_state/a-b.key"
    sa_add b --direction in --remote "${wan4[a]}" "$@" || return 1
    sa_add a --direction out --remote "${wan4[b]}" "$@"
}

state_of() {
    gateway_ctl "$1" show sa --json |
        jq -r --arg way "$2" '.[] | select(.direction == $way) | .state'
}

# Of 60 packets 50 pass, no more.
fifty() {
    local out
    out=$(in_ns a-host ping -n -q -c 60 -i 0.01 -W 1 10.2.0.10)
    detail=$(grep -o '[0-9]* received' <<<"$out")", then $(state_of a out)"
    [[ $detail = "50 received, then expired" ]]
}

# The SAs of b last 3 seconds.
expired_b() { [ "$(state_of b in)" = expired ]; }
timed_out() {
    local before
    until_ok 5 expired_b || return 1
    before=$(gateway_drops b sa_expired)
    ! in_ns a-host ping -n -q -c 10 -i 0.02 -W 0.5 10.2.0.10 || return 1
    detail="sa_expired at b: $(($(gateway_drops b sa_expired) - before))"
    [ $(($(gateway_drops b sa_expired) - before)) = 10 ]
}

# b's counter starts at 1 again, under the keys of before: for a these are replays.
restarted() {
    gateway_kill b || return 1
    ! in_ns a-host ping -n -q -c 10 -i 0.02 -W 0.5 10.2.0.10 || return 1
    gateway_start b b
}
replays() {
    local before
    before=$(gateway_drops a replay_duplicate)
    ! in_ns a-host ping -n -q -c 10 -i 0.02 -W 0.5 10.2.0.10 || return 1
    detail="replay_duplicate $(($(gateway_drops a replay_duplicate) - before))"
    [ $(($(gateway_drops a replay_duplicate) - before)) = 10 ]
}

intruded() {
    local before mac
    before=$(gateway_drops a cleartext_from_protected)
    mac=$(gateway_ctl a show ports --json | jq -r '.[0].mac')
    capture_start intruded a-host eth0 0 'host 10.2.0.66' || return 1
    in_ns inet "$lib/../interop/clear_gre.py" br0 $intruder_mac "$mac" 50 || return 1
    until_ok 2 gateway_dropped a cleartext_from_protected "$before" 50
    capture_stop intruded
    detail="cleartext_from_protected $(($(gateway_drops a cleartext_from_protected) - before)),"
    detail+=" $(capture_count intruded) passed"
    [ $(($(gateway_drops a cleartext_from_protected) - before)) = 50 ] &&
        [ "$(capture_count intruded)" = 0 ]
}

# What the watch saw with the MAC filter $1.
watched() { tcpdump -nr "$(capture_file watch)" "$1 ether src $intruder_mac" 2>/dev/null; }
watch_end() {
    capture_stop watch
    watched not
    detail="$(watched not | wc -l) packets in clear by the gateways,"
    detail+=" $(watched "" | wc -l) by others"
    # Those of others show that the watch would have seen them.
    [ "$(watched not | wc -l)" = 0 ] && [ "$(watched "" | wc -l)" = 50 ]
}

scene_begin
pair_net
pair_use tunnel
# Neighbour discovery is not of the tunnel.
step "a watch for whatever is not ESP" capture_start watch inet br0 0 \
    'not (esp or arp or (icmp6 and ip6[40] >= 133))' || exit 1
step "the gateways start, without an SA" pair_start || exit 1
sleep 0.5
step "no SA yet: nothing leaves" silent no_sa
pair_keys
step "sa add, four times" sas_added
traffic_reach a-host 10.2.0.10
step "ping" traffic_ping a-host 10.2.0.10 5
step "GRE in clear from b's address is dropped" intruded
step "a's outbound SA is deleted" gateway_ctl a sa del --direction out --spi 0x3001
step "no SA any more: nothing leaves" silent no_sa
step "a fresh SA" sa_renewed
step "ping" traffic_ping a-host 10.2.0.10 5

pair_spi[a-b]=0x3001 has_sas=1
lifetime[a]='{ packets = 50 }' lifetime[b]=
step "both anew; a's SAs last 50 packets" anew
step "50 pings of 60 pass" fifty
step "an expired SA: nothing leaves" silent sa_expired

lifetime[a]='' lifetime[b]='{ time = "3s" }'
step "both anew; b's SAs last 3 seconds" anew
traffic_reach a-host 10.2.0.10
step "ping" traffic_ping a-host 10.2.0.10 5
step "after their time b drops what comes" timed_out

lifetime[b]=
step "both anew" anew
traffic_reach a-host 10.2.0.10
# More than are sent after it: those are replays then.
step "ping" traffic_ping a-host 10.2.0.10 20
step "b is killed and starts again, with the same keys" restarted
step "what it sends is taken for replays" replays
step "nothing in clear was on the wire in all this" watch_end
