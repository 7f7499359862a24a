#!/usr/bin/env bash
# Ten thousand spokes register with a hub at once, as after its restart; they renew, at once and
# evenly, one more comes, and all leave at once. What another spoke sends by the hub meanwhile, a
# thousand packets a second, is all there.
set -uo pipefail
# shellcheck source=../lib/scene.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/scene.sh"
# shellcheck source=../lib/hub.sh
. "$lib/hub.sh"

spokes=10000
late=20
renewal_seconds=15

config() {
    hub_config "$1"
    hub_mgre dmvpn 42 "${tunnel[$1]}/16" '' "${@:2}"
    if [ "$1" = hub ]; then
        conf_route "${lan[spoke]}.0/24" "${tunnel[spoke]}"
    else
        conf_route "${lan[hub]}.0/24" "${tunnel[hub]}"
    fi
}

# storm MODE [ARGUMENT]: what nhrp_storm.py does, with pings of the spoke's host meanwhile.
storm() {
    local status cpu_all cpu_control resident pid before=() start now took full rate lost
    hub_threads || return 1
    before=("$cpu_all" "$cpu_control" "$resident")
    full=$(gateway_drops hub punt_full) rate=$(gateway_drops hub punt_rate)
    net_spawn ping spoke-host ping -n -i 0.001 10.1.0.10
    now_ms
    start=$now
    raw_peer nhrp_storm.py eth0 "$hub_mac" 198.51.100.1 $spokes 42 s3cret "$@"
    status=$?
    now_ms
    took=$((now - start))
    sleep 0.2
    net_alive ping && kill -INT "$pid" && net_wait ping 2
    net_stop ping
    # Without those that were on their way when it ended.
    lost=$(sed -n 's/.*icmp_seq=\([0-9]*\) .*/\1/p' "$(net_log ping)" |
        sort -n | uniq | awk 'END { print $1, NR }')
    hub_threads || return 1
    detail=$(tr '\n' ';' <<<"$detail")
    full=$(($(gateway_drops hub punt_full) - full))
    rate=$(($(gateway_drops hub punt_rate) - rate))
    detail+=" punt_full $full, punt_rate $rate;"
    detail+=" CPU $((cpu_all - before[0])) ms, control thread $((cpu_control - before[1])) ms"
    detail+=" ($(((cpu_control - before[1]) * 100 / took)) %),"
    detail+=" memory $((resident - before[2])) kB more;"
    detail+=" of ${lost% *} pings of another ${lost#* }"
    [ $status = 0 ] && [ $full = 0 ] && [ -n "$lost" ] && [ "${lost% *}" = "${lost#* }" ]
}

# The spoke itself, and COUNT others.
all_there() {
    detail="$(gateway_ctl hub show nhrp cache --json | jq length) bindings,"
    detail+=" $(gateway_ctl hub show peers --json | jq '[.[] | select(.next_hop == "resolved")] |
        length') resolved peers"
    [ "$detail" = "$(($1 + 1)) bindings, $(($1 + 1)) resolved peers" ]
}

# Those who left were answered, which makes no peers of them.
gone() {
    detail="$(gateway_ctl hub show nhrp cache --json | jq length) bindings,"
    detail+=" $(gateway_ctl hub show peers --json | jq length) peers"
    [ "$detail" = "$((late + 1)) bindings, $((late + 1)) peers" ]
}

scene_begin
hub_net
# As a NIC has room for what comes at once: more than the 512 frames of other scenes.
config hub 'redirect = true' | sed 's/framecnt=512/framecnt=4096/' | gateway_write hub
config spoke "nhs = [{ nbma = \"${wan[hub]}\" }]" | gateway_write spoke
step "a hub and a spoke start" hub_start || exit 1
hub_mac=$(gateway_ctl hub show ports --json | jq -r '.[0].mac')
step "$spokes spokes register at once" storm register 1
step "each of them is a peer" until_ok 3 all_there $spokes
step "they renew, at once, twice" storm register 2
step "they renew, evenly" storm renew $renewal_seconds
step "they are still there" all_there $spokes
step "$late more, one after the other" storm late $late
step "they, too, are peers" until_ok 3 all_there $((spokes + late))
step "$spokes leave at once" storm purge
step "the cache has the others, and nobody else" gone
step "the hub still answers the spoke's host" traffic_ping spoke-host 10.1.0.1 20
