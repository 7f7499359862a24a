# shellcheck shell=bash
# What each scene of scripts/interop starts with: a lab of its own, and its end.
#
#   scene_begin      takes the lab, builds the gateway (as tests do; GREYHOUND names another)
#   raw_peer_net     one gateway "gw" between a raw peer (Scapy) and a host:
#                      peer eth0 198.51.100.2 --- wan0 gw lan0 --- host eth0 10.1.0.10
#   raw_peer_config  its system and ports
#   raw_peer SCRIPT ARGUMENTS...    runs a Python peer in the peer's namespace
#
# Each step of the scene is one of say.sh; the scene passes if all did.

lib=$(dirname "${BASH_SOURCE[0]}")
# shellcheck source=all.sh
. "$lib/all.sh"

scene_begin() {
    gateway_build debug || die "cannot build the gateway"
    net_begin interop ghi-
    trap 'scene_end' EXIT
    trap 'exit 130' INT TERM
}

scene_end() {
    local status=$?
    trap - EXIT INT TERM
    gateway_deaths
    net_down
    steps_end || status=1
    exit "$status"
}

raw_peer_net() {
    net_ns peer gw host
    net_link peer eth0 gw wan0
    net_link gw lan0 host eth0
    net_host host eth0 10.1.0.10/24 10.1.0.1
    # The kernel of the peer answers ARP. It has no route back, so it says nothing else about
    # protocols that it does not know.
    net_addr peer eth0 198.51.100.2/32
}

raw_peer_config() {
    gateway_core 0
    conf_system gw "$core" "$(gateway_socket gw)"
    conf_port wan 0 wan0 underlay 198.51.100.1/24
    conf_port lan 1 lan0 overlay 10.1.0.1/24
}

raw_peer() {
    local script=$1
    shift
    detail=$(in_ns peer timeout 60 "$lib/../interop/$script" "$@" 2>&1)
}
