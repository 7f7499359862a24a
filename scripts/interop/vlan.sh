#!/usr/bin/env bash
# VLANs of a port, on both sides, with tagged hosts that Scapy plays: each VLAN is an interface of
# its own, with its addresses, neighbours and tunnel.
set -uo pipefail
# shellcheck source=../lib/scene.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/scene.sh"

# NAME PARENT VLAN ROLE ADDRESS
vlan_port() {
    printf '\n[[port]]\nname = "%s"\nparent = "%s"\nvlan = %s\n' "$1" "$2" "$3"
    printf 'role = "%s"\naddresses = ["%s"]\n' "$4" "$5"
}

config() {
    gateway_core 0
    conf_system gw "$core" "$(gateway_socket gw)"
    conf_port wan 0 wan0 underlay ""
    conf_port lan 1 lan0 overlay 10.1.0.1/24
    vlan_port wan.100 wan 100 underlay 198.51.100.1/24
    vlan_port lan.10 lan 10 overlay 10.10.0.1/24
    vlan_port lan.20 lan 20 overlay 10.20.0.1/24
    cat <<'TOML'

[[tunnel]]
name = "gre"
mode = "gre"
source = "wan.100"
remote = "198.51.100.2"
TOML
    conf_route 10.2.0.0/24 gre
}

# One Scapy process plays all hosts: it sees the other end of both links.
network() {
    net_ns hosts gw
    net_link hosts wan gw wan0
    net_link hosts lan gw lan0
}

play() { detail=$(in_ns hosts timeout 30 "$lib/../interop/vlan_hosts.py" "$@" 2>&1); }

dropped() {
    local before rc=0
    before=$(gateway_drops gw unknown_vlan)
    play "$1" 10 || return 1
    until_ok 2 gateway_dropped gw unknown_vlan "$before" 10 || rc=1
    detail+="; unknown_vlan $(($(gateway_drops gw unknown_vlan) - before))"
    return $rc
}

shown() {
    detail=$(gateway_ctl gw show ports --json |
        jq -r '[.[] | select(.vlan) | "\(.name) \(.parent) \(.vlan)"] | join(", ")')
    [ "$detail" = "wan.100 wan 100, lan.10 lan 10, lan.20 lan 20" ]
}

scene_begin
network
config | gateway_write gw
step "the gateway starts" gateway_start gw gw || exit 1
step "show ports" shown
step "ARP is answered with the tag that it came with" play arp
step "the gateway answers ping on each VLAN, and without tag" play ping 5
step "from one VLAN to another" play between 10
step "from a VLAN into the tunnel and back, tagged on both sides" play tunnel 10
step "a tag that no VLAN has is dropped" dropped unknown
step "tagged for the underlay, but of no VLAN there" dropped underlay
step "priority tags (VLAN 0) belong to the port itself" play priority 5
