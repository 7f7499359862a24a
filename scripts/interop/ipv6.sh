#!/usr/bin/env bash
# IPv6 inside and IPv6 outside: both families of hosts over a protected tunnel, first over an IPv4
# underlay, then over an IPv6 one.
set -uo pipefail
# shellcheck source=../lib/scene.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/scene.sh"
# shellcheck source=../lib/pair.sh
. "$lib/pair.sh"

over4() {
    pair_tunnel "$1" "$2" "${wan4[$2]}" 'protection = "site"'
    conf_profile site transport aes256gcm16 true
    pair_sas "$1" site V4
}

over6() {
    pair_tunnel "$1" "$2" "${wan6[$2]}" 'protection = "site"'
    conf_profile site transport aes256gcm16 true
    pair_sas "$1" site V6
}

# FUNCTION FAMILY
underlay() {
    pair_keys
    pair_use "$1"
    step "the gateways start, $2 underlay" pair_start || return
    traffic_reach a-host 10.2.0.10
    traffic_reach a-host fd00:2::10
    step "IPv4 hosts over $2" traffic_ping a-host 10.2.0.10 20
    step "IPv6 hosts over $2" traffic_ping a-host fd00:2::10 20
    step "IPv6 TCP over $2, equal checksums" \
        traffic_file a-host b-host '[fd00:2::10]' "$net_state/file"
    pair_stop
}

scene_begin
pair_net
head -c 5000000 /dev/urandom >"$net_state/file"
underlay over4 IPv4
underlay over6 IPv6
