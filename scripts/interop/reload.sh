#!/usr/bin/env bash
# Reload: a route is changed while other traffic passes, of which nothing is lost.
set -uo pipefail
# shellcheck source=../lib/scene.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/scene.sh"
# shellcheck source=../lib/pair.sh
. "$lib/pair.sh"

# The route that comes and goes: through the tunnel, then to b's host.
has_extra=
declare -A extra_via=([a]=gre [b]=10.2.0.10)

tunnel() {
    pair_tunnel "$1" "$2" "${wan4[$2]}" 'protection = "site"'
    conf_profile site transport aes256gcm16 true
    pair_sas "$1" site
    [ -z "$has_extra" ] || conf_route 10.77.0.0/24 "${extra_via[$1]}"
}

# 10.77.0.1 is an address of b's host.
far() { in_ns a-host ping -n -q -c 2 -i 0.1 -W 1 10.77.0.1; }
not_far() { ! far; }

reload_both() {
    pair_use tunnel
    gateway_ctl a reload && gateway_ctl b reload
}

bad_reload() {
    pair_use tunnel
    echo 'no_such_key = 1' >>"$(gateway_conf a)"
    ! gateway_ctl a reload
}

unharmed() {
    net_wait pinger 10
    local out
    out=$(cat "$(net_log pinger)")
    echo "$out"
    detail=$(grep -o '.* packet loss' <<<"$out")
    grep -q ' 0% packet loss' <<<"$out"
}

scene_begin
pair_net
net_addr b-host eth0 10.77.0.1/32
pair_keys
pair_use tunnel
step "the gateways start" pair_start || exit 1
traffic_reach a-host 10.2.0.10
step "10.77.0.1 is not reached yet" not_far
net_spawn pinger a-host ping -n -q -i 0.002 -c 2000 10.2.0.10
has_extra=1
step "the new route is loaded" reload_both
step "10.77.0.1 is reached" far
has_extra=
step "the route is taken away again" reload_both
step "10.77.0.1 is not reached any more" not_far
step "a configuration with a mistake is refused" bad_reload
step "2000 pings meanwhile, none lost" unharmed
