#!/usr/bin/env bash
# Stages over two cores: by the preset "pipeline", then each where the configuration puts it. The
# same traffic passes either way, and both cores have taken part in it.
set -uo pipefail
# shellcheck source=../lib/scene.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/scene.sh"
# shellcheck source=../lib/pair.sh
. "$lib/pair.sh"

# Where the explicit configuration puts each stage: the first core takes in and sends out, the
# second one does the work in between.
first_stages=(rx classify tx)
second_stages=(reassemble esp_open gre_decap lookup replicate fragment gre_encap esp_seal
    fragment_outer)

tunnel() {
    local stage
    if [ "$pair_preset" = explicit ]; then
        for stage in "${first_stages[@]}"; do conf_stage "$stage" "$first"; done
        for stage in "${second_stages[@]}"; do conf_stage "$stage" "$second"; done
        conf_stage punt "$first, $second"
    fi
    pair_tunnel "$1" "$2" "${wan4[$2]}" 'protection = "site"'
    conf_profile site transport aes256gcm16 true
    pair_sas "$1" site
    printf '\n[[multicast]]\ngroups = ["239.0.0.0/8"]\ninterfaces = ["lan", "gre"]\n'
}

# Of each stage that has seen packets, on which core: "0:rx 1:lookup ...".
busy_stages() {
    gateway_ctl a show stages --json |
        jq -r '[.[] | select(.packets > 0) | "\(.core):\(.stage)"] | unique | join(" ")'
}

# Both cores have run stages, and each stage that this traffic needs has run on one.
both_cores() {
    detail=$(busy_stages)
    [[ " $detail" = *" $first:"* && " $detail" = *" $second:"* ]] || return 1
    local stage
    for stage in rx classify esp_open gre_decap lookup replicate fragment gre_encap esp_seal tx; do
        [[ "$detail " = *":$stage "* ]] || { detail+="; not $stage"; return 1; }
    done
}

as_placed() {
    local stage wanted
    detail=$(busy_stages)
    for stage in $detail; do
        wanted=$first
        [[ " ${second_stages[*]} " != *" ${stage#*:} "* ]] || wanted=$second
        [[ $stage = *:punt || $stage = "$wanted":* ]] || { detail="$stage is misplaced"; return 1; }
    done
}

# `show topology` names both cores, and of the stages all that are placed.
topology() {
    local text
    text=$(gateway_ctl a show topology) && echo "$text"
    grep -q "core $first" <<<"$text" && grep -q "core $second" <<<"$text" || return 1
    for stage in "${first_stages[@]}" "${second_stages[@]}"; do
        grep -qw "$stage" <<<"$text" || { detail="$stage is missing"; return 1; }
    done
}

lost_nothing() {
    detail=$(gateway_ctl a show drops --json | jq -r '[.[] | "\(.reason) \(.count)"] | join(", ")')
    [ "$(gateway_drops a ring_full)" = 0 ] && [ "$(gateway_drops a no_stage)" = 0 ]
}

traffic() {
    step "1000 pings" traffic_ping a-host 10.2.0.10 1000 -i 0.001
    step "4000-octet pings" traffic_ping a-host 10.2.0.10 20 -M dont -s 3972
    step "TCP, equal checksums" traffic_file a-host b-host 10.2.0.10 "$net_state/file"
    step "TCP the other way, equal checksums" \
        traffic_file b-host a-host 10.1.0.10 "$net_state/file"
    step "multicast" traffic_multicast a-host 10.1.0.10 100 200 b-host=10.2.0.10
}

preset() {
    pair_preset=$1 pair_cores=${2-}
    pair_keys
    pair_use tunnel
    step "$1: the gateways start" pair_start || { pair_stop; return 1; }
    traffic_reach a-host 10.2.0.10
    traffic
    step "show topology shows both cores and all stages" topology
    step "show stages: packets on both cores" both_cores
    [ "$1" != explicit ] || step "each stage ran where it was put" as_placed
    step "no ring was full, no stage missing" lost_nothing
    pair_stop
}

scene_begin
gateway_core 0 && first=$core
gateway_core 1 && second=$core
if [ "$first" = "$second" ]; then
    skip "stages over two cores" "there is only one core"
    exit 0
fi
pair_net
head -c 5000000 /dev/urandom >"$net_state/file"
preset pipeline "$first, $second"
preset explicit
