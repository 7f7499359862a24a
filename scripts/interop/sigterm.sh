#!/usr/bin/env bash
# SIGTERM ends a gateway cleanly within a second, with status 0; its socket is gone, and another
# one starts in its place.
set -uo pipefail
# shellcheck source=../lib/scene.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/scene.sh"

config() {
    raw_peer_config
    conf_route 10.2.0.0/24 10.1.0.2
}

ends() {
    local pid now start status
    net_alive gw || return 1
    now_ms
    start=$now
    kill -TERM "$pid"
    # A child of this shell, which so learns its status.
    wait "$pid"
    status=$?
    now_ms
    detail="status $status after $((now - start)) ms"
    [ $status = 0 ] && [ $((now - start)) -lt 1000 ] || return 1
    [ ! -e "$(gateway_socket gw)" ] || { detail+="; its socket is still there"; return 1; }
}

scene_begin
raw_peer_net
config | gateway_write gw
step "the gateway starts" gateway_start gw gw || exit 1
step "SIGTERM ends it" ends
step "it starts again" gateway_start gw gw
