#!/usr/bin/env bash
# What the outer header says: TTL, DSCP, ECN, DF and fragments, by each tunnel's own policy. And
# what is spread or copied: two routes to one prefix, broadcasts. In clear, so that Scapy sees all
# of it on the wire.
set -uo pipefail
# shellcheck source=../lib/scene.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/scene.sh"

# All hosts and the peer are Scapy, in one namespace; the kernel there has no addresses.
network() {
    net_ns hosts gw
    net_link hosts wan gw wan0
    net_link hosts lan gw lan0
    net_link hosts lan2 gw lan1
}

# NAME KEY PREFIX [LINE...]
policy_tunnel() {
    conf_gre "$1" 198.51.100.2 "key = $2" "${@:4}"
    conf_route "$3" "$1"
}

# ADDRESS LINK
neighbor() {
    local mac
    mac=$(in_ns hosts cat "/sys/class/net/$2/address")
    echo "neighbors = [{ address = \"$1\", mac = \"$mac\" }]"
}

config() {
    gateway_core 0
    conf_system gw "$core" "$(gateway_socket gw)"
    conf_port wan 0 wan0 underlay 198.51.100.1/24
    neighbor 198.51.100.2 wan
    conf_port lan 1 lan0 overlay 10.1.0.1/24
    neighbor 10.1.0.10 lan
    echo 'directed_broadcast = true'
    conf_port lan2 2 lan1 overlay 10.5.0.1/24
    policy_tunnel default 20 10.20.0.0/24
    policy_tunnel fixed 21 10.21.0.0/24 'dscp = 46' 'ttl = 17' 'df = "set"'
    policy_tunnel never-df 22 10.22.0.0/24 'df = "clear"'
    policy_tunnel after 23 10.23.0.0/24 'fragment = "after"' 'mtu = 1500' 'df = "clear"'
    # Two routes to one prefix: flows are shared between them.
    conf_route 10.30.0.0/24 default
    conf_route 10.30.0.0/24 never-df
    printf '\n[[multicast]]\ngroups = ["255.255.255.255"]\ninterfaces = ["lan", "default"]\n'
}

play() { detail=$(in_ns hosts timeout 30 "$lib/../interop/policy_peer.py" "$@" 2>&1); }

dropped() {
    local reason=$1 count=$2 before rc=0
    before=$(gateway_drops gw "$reason")
    shift 2
    play "$@" || return 1
    until_ok 2 gateway_dropped gw "$reason" "$before" "$count" || rc=1
    detail+="; $reason $(($(gateway_drops gw "$reason") - before))"
    return $rc
}

scene_begin
network
config | gateway_write gw
step "the gateway starts" gateway_start gw gw || exit 1
step "outbound: TTL, DSCP, ECN and DF of three tunnels" play outbound
step "inbound: ECN, all 16 combinations (RFC 6040)" dropped ecn_invalid 1 inbound
step "two routes to one prefix share flows; each keeps its path" play ecmp
step "directed broadcast, where it is enabled" play directed
step "and where it is not" dropped directed_broadcast 1 not-directed
step "limited broadcast, both ways, by a rule" play limited
step "fragment = \"after\": the outer packet is cut" play fragment-after
step "outer fragments of a peer are put together" play reassemble
