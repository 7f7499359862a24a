#!/usr/bin/env bash
# A DMVPN over an IPv6 underlay that carries IPv4 and IPv6: each spoke registers an address of both
# families with the hub, and each family has shortcuts of its own. A spoke that leaves takes all
# of it back.
#
#   hub 2001:db8::1 --- [ inet ] --- spoke1 2001:db8::11, spoke2 2001:db8::12
#   tunnel 10.255.0.0/24, fd00:255::/64; LANs 10.1.0.0/24, fd00:1::/64, and 11 and 12
set -uo pipefail
# shellcheck source=../lib/scene.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/scene.sh"
# shellcheck source=../lib/shortcut.sh
. "$lib/shortcut.sh"

gateways=(hub spoke1 spoke2)
declare -A number=([hub]=1 [spoke1]=11 [spoke2]=12)
holdtime=10

net() {
    local gateway
    net_ns inet
    for gateway in "${gateways[@]}"; do
        local n=${number[$gateway]}
        net_ns "$gateway" "$gateway-host"
        net_link inet "to-$gateway" "$gateway" wan0
        net_link "$gateway" lan0 "$gateway-host" eth0
        net_host "$gateway-host" eth0 "10.$n.0.10/24,fd00:$n::10/64" "10.$n.0.1,fd00:$n::1"
    done
    net_bridge inet br0 to-hub to-spoke1 to-spoke2
}

config() {
    local self=$1 n=${number[$1]} core=$2 spoke
    gateway_core "$core"
    conf_system "$self" "$core" "$(gateway_socket "$self")"
    conf_port wan 0 wan0 underlay "2001:db8::$n/64"
    conf_port lan 1 lan0 overlay "10.$n.0.1/24,fd00:$n::1/64"
    cat <<TOML

[[tunnel]]
name = "dmvpn"
mode = "mgre"
source = "wan"
family = "ipv6"
key = 42
addresses = ["10.255.0.$n/24", "fd00:255::$n/64"]

[tunnel.nhrp]
authentication = "s3cret"
holdtime = "${holdtime}s"
TOML
    if [ "$self" = hub ]; then
        echo 'redirect = true'
        for spoke in 11 12; do
            conf_route "10.$spoke.0.0/24" "10.255.0.$spoke"
            conf_route "fd00:$spoke::/64" "fd00:255::$spoke"
        done
    else
        cat <<TOML
shortcut = true
nhs = [
    { nbma = "2001:db8::1", protocol = "10.255.0.1" },
    { nbma = "2001:db8::1", protocol = "fd00:255::1" },
]
TOML
        conf_route 10.0.0.0/8 10.255.0.1
        conf_route fd00::/16 fd00:255::1
    fi
}

# What the hub has registered, as PROTOCOL=NBMA, sorted.
all_registered() {
    gateway_ctl hub show nhrp cache --json |
        jq -r '.[] | select(.kind == "registered") | "\(.protocol)=\(.nbma)"' | sort | paste -sd ' '
}
# What it should have registered of these spokes.
of_spokes() {
    local spoke
    for spoke; do
        printf '%s=2001:db8::%s\n' "10.255.0.$spoke" "$spoke" "fd00:255::$spoke" "$spoke"
    done | sort | paste -sd ' '
}
both_registered() {
    detail=$(all_registered)
    [ "$detail" = "$(of_spokes 11 12)" ]
}
only_first() {
    detail=$(all_registered)
    [ "$detail" = "$(of_spokes 11)" ]
}

all_start() {
    local gateway
    for gateway in "${gateways[@]}"; do
        gateway_start "$gateway" "$gateway" || return 1
    done
    until_ok 5 both_registered
}

has_shortcut() { shortcuts "$1" | grep -qx "$2=2001:db8::$3"; }
v4_both() { has_shortcut spoke1 10.12.0.0/24 12 && has_shortcut spoke2 10.11.0.0/24 11; }
v6_both() { has_shortcut spoke1 fd00:12::/64 12 && has_shortcut spoke2 fd00:11::/64 11; }
no_v6() { ! shortcuts spoke1 | grep -q '^fd00:'; }
none() { [ -z "$(shortcuts spoke1)" ]; }

leaves() { net_stop spoke2 && within 1 only_first && within 3 none; }
returns() { gateway_start spoke2 spoke2 && until_ok 5 both_registered; }

scene_begin
net
core=0
for gateway in "${gateways[@]}"; do
    config "$gateway" $core | gateway_write "$gateway"
    core=$((core + 1))
done
step "the gateways start, and both spokes register both families" all_start || exit 1
traffic_reach spoke1-host 10.1.0.10 && traffic_reach spoke1-host fd00:1::10
traffic_reach spoke2-host 10.1.0.10 && traffic_reach spoke2-host fd00:1::10
step "ping, spoke 1 to hub, IPv4" traffic_ping spoke1-host 10.1.0.10 20
step "ping, spoke 1 to hub, IPv6" traffic_ping spoke1-host fd00:1::10 20
step "ping, hub to spoke 2, IPv4" traffic_ping hub-host 10.12.0.10 20
step "ping, hub to spoke 2, IPv6" traffic_ping hub-host fd00:12::10 20
step "a shortcut for IPv4 forms under traffic" \
    shortcut_forms spoke1-host 10.12.0.10 2000 v4_both
step "and none for IPv6" no_v6
step "the hub stands still" past_the_hub spoke1-host 10.12.0.10 50
step "a shortcut for IPv6 forms under traffic" \
    shortcut_forms spoke1-host fd00:12::10 2000 v6_both
step "the hub stands still" past_the_hub spoke1-host fd00:12::10 50
step "spoke 2 leaves: all of its addresses and shortcuts go" leaves
step "it returns, with both addresses" returns
step "ping, spoke 1 to spoke 2, IPv4" traffic_reach spoke1-host 10.12.0.10
step "ping, spoke 1 to spoke 2, IPv6" traffic_reach spoke1-host fd00:12::10
