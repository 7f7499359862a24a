#!/usr/bin/env bash
# GRE keepalives: a gateway that is killed takes the tunnel down, its routes give way to another
# path, and all comes back with it. Then a peer made by Scapy does as Cisco does.
set -uo pipefail
# shellcheck source=../lib/scene.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/scene.sh"
# shellcheck source=../lib/pair.sh
. "$lib/pair.sh"

flows=8

# Of a, a second line leads from its LAN to b's host: one of two next hops to b's LAN.
tunnel() {
    pair_tunnel "$1" "$2" "${wan4[$2]}" 'keepalive = { period = "1s", retries = 3 }'
    [ "$1" = a ] || { conf_route 10.77.0.0/24 10.2.0.10; return; }
    conf_port line 2 line0 overlay 10.9.0.1/24
    conf_route 10.78.0.0/24 gre
    printf '\n[[route]]\nprefix = "10.77.0.0/24"\nvia = ["gre", "10.9.0.2"]\n'
}

network() {
    pair_net
    net_link a line0 b-host line1
    net_addr b-host line1 10.9.0.2/24
    net_addr b-host eth0 10.77.0.1/32
    in_ns b-host ip route add 10.1.0.0/24 via 10.9.0.1
    local flow
    for ((flow = 1; flow <= flows; flow++)); do
        net_addr a-host eth0 10.1.0.$((100 + flow))/24
    done
    pair_use tunnel
}

# What `show tunnels` of gateway $1 has in $2.
shown() { gateway_ctl "$1" show tunnels --json | jq -r ".[0].$2"; }
is_up() { [ "$(shown "$1" up)" = true ]; }
is_down() { [ "$(shown "$1" up)" = false ]; }

up() {
    until_ok "$2" is_up "$1" || return 1
    detail="unanswered $(shown "$1" keepalive.unanswered)"
}

down_by_keepalive() {
    until_ok "$2" is_down "$1" || return 1
    detail="$(shown "$1" down_reason), unanswered $(shown "$1" keepalive.unanswered)"
    [ "$(shown "$1" down_reason)" = keepalive ]
}

# Whether flows of different hosts all reach 10.77.0.1; sets "passed" to those that do.
all_flows() {
    local flow
    passed=0
    for ((flow = 1; flow <= flows; flow++)); do
        in_ns a-host ping -n -q -c 2 -i 0.02 -W 1 -I 10.1.0.$((100 + flow)) 10.77.0.1 &&
            passed=$((passed + 1))
    done
    detail="$passed of $flows"
    [ $passed = $flows ]
}

sent_through() {
    case $1 in
    tunnel) shown a tx.packets ;;
    line) gateway_ctl a show ports --json | jq '.[] | select(.name == "line") | .tx.packets' ;;
    esac
}

# shared_by PATH...: each has carried some of the flows; the other path, if any, none.
shared_by() {
    local tunnel line
    tunnel=$(sent_through tunnel) line=$(sent_through line)
    all_flows || return 1
    tunnel=$(($(sent_through tunnel) - tunnel)) line=$(($(sent_through line) - line))
    detail+="; packets by the tunnel $tunnel, by the line $line"
    case $* in
    "tunnel line") [ $tunnel -ge 2 ] && [ $line -ge 2 ] ;;
    # The tunnel still carries a keepalive a second.
    line) [ $tunnel -le 2 ] && [ $line -ge $((2 * flows)) ] ;;
    esac
}

route_state() {
    detail=$(gateway_ctl a show routes --json |
        jq -r --arg prefix "$1" '.[] | select(.prefix == $prefix)
            | [.next_hops[].state] | join(" ")')
    [ "$detail" = "$2" ]
}

unreachable() {
    local out
    out=$(in_ns a-host ping -n -c 2 -i 0.1 -W 1 10.78.0.1)
    detail=$(sed -n 's/^From \(.*\) icmp_seq=1 \(.*\)/\1: \2/p' <<<"$out")
    [ "$detail" = "10.1.0.1: Destination Net Unreachable" ]
}

two_gateways() {
    network
    step "the gateways start" pair_start || return 1
    traffic_reach a-host 10.2.0.10
    step "a's tunnel is up" up a 3
    step "two next hops share $flows flows" shared_by tunnel line
    step "b is killed" gateway_kill b
    step "show tunnels says so, and why" down_by_keepalive a 5
    step "the route with two next hops: one down" route_state 10.77.0.0/24 "down resolved"
    step "all flows pass by the one that is left" shared_by line
    step "the route with one next hop: down" route_state 10.78.0.0/24 down
    step "its packets are answered as unreachable" unreachable
    step "b starts again" gateway_start b b
    step "a's tunnel is up again" up a 5
    step "the flows are shared again" shared_by tunnel line
    pair_stop
}

raw_config() {
    raw_peer_config
    conf_gre gre 198.51.100.2 'key = 7' 'keepalive = { period = "1s", retries = 3 }'
}

ignored() {
    local before rc=0 reason=$2
    before=$(gateway_drops gw "$reason")
    raw_peer keepalive_peer.py "$1" 5 || return 1
    gateway_dropped gw "$reason" "$before" 5 || rc=1
    detail+="; $reason $(($(gateway_drops gw "$reason") - before))"
    return $rc
}

a_cisco() {
    raw_peer_net
    raw_config | gateway_write gw
    step "a gateway with a peer that says nothing starts" gateway_start gw gw || return 1
    step "its tunnel goes down" down_by_keepalive gw 6
    step "the peer sends back what is inside 3 keepalives" raw_peer keepalive_peer.py bounce 3
    step "its tunnel is up" up gw 1
    step "the peer's own keepalives are answered" raw_peer keepalive_peer.py own 2
    step "not from another source" ignored source gre_unknown_tunnel
    step "not with a wrong key" ignored key gre_key_wrong
    step "not to bounce packets off to another address" ignored victim inner_loop
    step "they come too fast: answers stop, the gateway does not" \
        raw_peer keepalive_peer.py flood 200
    step "soon after they are answered again" raw_peer keepalive_peer.py own 1
}

scene_begin
two_gateways
a_cisco
