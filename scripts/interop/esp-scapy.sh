#!/usr/bin/env bash
# GRE under ESP against Scapy as the peer, both directions: AES-256 and AES-128, ESN on and off,
# transport and tunnel mode, ESP in UDP 4500.
set -uo pipefail
# shellcheck source=../lib/scene.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/scene.sh"

# ALGORITHM KEY_OCTETS transport|tunnel esn|no-esn esp|udp
config() {
    local esn=true encap=
    [ "$4" = esn ] || esn=false
    [ "$5" = esp ] || encap="udp_encap = true"
    raw_peer_config
    conf_profile peer "$3" "$1" $esn
    conf_gre gre 198.51.100.2 'key = 7' 'protection = "peer"'
    conf_sa peer out 198.51.100.2 0x3001 out.key "$encap"
    conf_sa peer in 198.51.100.2 0x3002 in.key "$encap"
    conf_route 10.2.0.0/24 gre
}

variant() {
    gateway_key "$net_state/out.key" "$2"
    gateway_key "$net_state/in.key" "$2"
    config "$@" | gateway_write gw
    gateway_start gw gw || return 1
    raw_peer esp_peer.py 50 "$net_state/out.key" "$net_state/in.key" "${@:3}"
    local rc=$?
    net_stop gw
    return $rc
}

scene_begin
raw_peer_net
step "AES-256, transport, ESN" variant aes256gcm16 36 transport esn esp
step "AES-256, transport, without ESN" variant aes256gcm16 36 transport no-esn esp
step "AES-128, transport, ESN" variant aes128gcm16 20 transport esn esp
step "AES-256, tunnel mode, ESN" variant aes256gcm16 36 tunnel esn esp
step "AES-256, transport, ESN, UDP 4500" variant aes256gcm16 36 transport esn udp
