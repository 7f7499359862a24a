#!/usr/bin/env bash
# GRE in clear with key, checksum and order, against packets that Scapy makes and reads; and what
# has to be dropped, each with its own reason.
set -uo pipefail
# shellcheck source=../lib/scene.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/scene.sh"

config() {
    raw_peer_config
    conf_gre gre 198.51.100.2 'key = 7' 'checksum = true' 'sequence = "ordered"'
    conf_route 10.2.0.0/24 gre
}

dropped() {
    local before rc
    before=$(gateway_drops gw "$1")
    raw_peer gre_peer.py send "$1" 10 || return 1
    until_ok 2 gateway_dropped gw "$1" "$before" 10
    rc=$?
    detail="$(($(gateway_drops gw "$1") - before)) of 10"
    [ $rc = 0 ] && [ "$detail" = "10 of 10" ]
}

scene_begin
raw_peer_net
config | gateway_write gw
step "the gateway starts" gateway_start gw gw || exit 1
step "100 pings by Scapy" raw_peer gre_peer.py ping 100
for reason in gre_key_wrong gre_key_missing gre_checksum gre_sequence gre_version gre_reserved \
    gre_truncated gre_protocol; do
    step "dropped as $reason" dropped $reason
done
