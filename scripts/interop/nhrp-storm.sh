#!/usr/bin/env bash
# Ten thousand spokes register with a hub at once, as after its restart, and renew at once. Each is
# a peer then; what the hub forwards meanwhile does not suffer.
set -uo pipefail
# shellcheck source=../lib/scene.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/scene.sh"

spokes=10000

config() {
    gateway_core 0
    conf_system gw "$core" "$(gateway_socket gw)"
    conf_port wan 0 wan0 underlay 198.51.100.1/24 198.51.100.2
    conf_port lan 1 lan0 overlay 10.1.0.1/24
    cat <<TOML

[[tunnel]]
name = "dmvpn"
mode = "mgre"
source = "wan"
key = 42
addresses = ["10.255.0.1/16"]

[tunnel.nhrp]
authentication = "s3cret"
redirect = true
TOML
}

# Milliseconds of CPU of the gateway, and its resident memory in kB.
cpu_ms() {
    local pid fields
    net_alive gw || return 1
    read -ra fields <"/proc/$pid/stat"
    echo $(((fields[13] + fields[14]) * 1000 / $(getconf CLK_TCK)))
}
resident_kb() {
    local pid
    net_alive gw && awk '/^VmRSS/ { print $2 }' "/proc/$pid/status"
}

storm() {
    local mac cpu memory
    mac=$(gateway_ctl gw show ports --json | jq -r '.[0].mac')
    cpu=$(cpu_ms) memory=$(resident_kb)
    raw_peer nhrp_storm.py eth0 "$mac" 198.51.100.1 $spokes 42 s3cret "$1" || return 1
    detail=$(tr '\n' ';' <<<"$detail")
    detail+=" CPU $(($(cpu_ms) - cpu)) ms, memory +$(($(resident_kb) - memory)) kB"
}

all_there() {
    detail="$(gateway_ctl gw show nhrp cache --json | jq length) bindings,"
    detail+=" $(gateway_ctl gw show peers --json | jq '[.[] | select(.next_hop == "resolved")] |
        length') resolved peers"
    [ "$detail" = "$spokes bindings, $spokes resolved peers" ]
}

scene_begin
raw_peer_net
config | gateway_write gw
step "the hub starts" gateway_start gw gw || exit 1
step "$spokes spokes register at once" storm 1
step "each of them is a peer" all_there
step "they renew, twice" storm 2
step "they are still there" all_there
step "the hub still answers its host" traffic_ping host 10.1.0.1 20
