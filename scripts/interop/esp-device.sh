#!/usr/bin/env bash
# GRE under ESP against Scapy as the peer, sealed and opened by crypto devices; and a start with a
# device that is not there.
set -uo pipefail
# shellcheck source=../lib/scene.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/scene.sh"

# DEVICE ALGORITHM transport|tunnel esn|no-esn
config() {
    local esn=true
    [ "$4" = esn ] || esn=false
    # Behind the last key of [pipeline], which has the cores.
    raw_peer_config | sed "s/^cores = .*/&\\ncrypto = \"$1\"/"
    conf_profile peer "$3" "$2" $esn
    conf_gre gre 198.51.100.2 'key = 7' 'protection = "peer"'
    conf_sa peer out 198.51.100.2 0x3001 out.key
    conf_sa peer in 198.51.100.2 0x3002 in.key
    conf_route 10.2.0.0/24 gre
}

# DEVICE ALGORITHM KEY_OCTETS transport|tunnel esn|no-esn
variant() {
    local rc=0
    gateway_key "$net_state/out.key" "$3"
    gateway_key "$net_state/in.key" "$3"
    config "$1" "$2" "$4" "$5" | gateway_write gw
    gateway_start gw gw || return 1
    gateway_ctl gw show topology | grep -F "AEAD by $1: 2 of 2 SAs" || rc=1
    raw_peer esp_peer.py 50 "$net_state/out.key" "$net_state/in.key" "$4" "$5" esp || rc=1
    [ "$(gateway_drops gw crypto_device)" = 0 ] || rc=1
    net_stop gw
    return $rc
}

# Whether this machine lacks the driver of DEVICE. Another failure is not its lack.
lacks_driver() {
    gateway_key "$net_state/out.key" 36
    gateway_key "$net_state/in.key" 36
    config "$1" aes256gcm16 transport esn | gateway_write probe
    in_ns gw timeout 3 "$greyhound" run -c "$(gateway_conf probe)" 2>&1 |
        grep -qF "there is no device \"$1\""
    local rc=$?
    rm -f "$(gateway_conf probe)"
    return $rc
}

# A start that fails, and says which key and which device.
refused() {
    gateway_key "$net_state/out.key" 36
    gateway_key "$net_state/in.key" 36
    config crypto_nosuch0 aes256gcm16 transport esn | gateway_write bad
    "$greyhound" check "$(gateway_conf bad)" || return 1
    detail=$(in_ns gw timeout 20 "$greyhound" run -c "$(gateway_conf bad)" 2>&1) && return 1
    rm -f "$(gateway_conf bad)"
    detail=$(grep -F 'pipeline.crypto' <<<"$detail")
    grep -F 'there is no device "crypto_nosuch0"' <<<"$detail"
}

scene_begin
raw_peer_net
for device in crypto_aesni_gcm0 crypto_aesni_mb0 crypto_openssl0; do
    if lacks_driver $device; then
        skip "$device" "DPDK has no driver for it here"
        continue
    fi
    step "$device: AES-256, transport, ESN" variant $device aes256gcm16 36 transport esn
    step "$device: AES-128, tunnel mode, without ESN" \
        variant $device aes128gcm16 20 tunnel no-esn
done
step "a device that is not there" refused
