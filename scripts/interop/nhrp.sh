#!/usr/bin/env bash
# Spokes that the hub's configuration does not know register with it, and are reached from then
# on, multicast included: DMVPN phase 1. They come, go, die, move and return; a stranger without
# the password stays outside.
set -uo pipefail
# shellcheck source=../lib/scene.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/scene.sh"
# shellcheck source=../lib/dmvpn.sh
. "$lib/dmvpn.sh"

holdtime=6
declare -A password=([hub]=s3cret [spoke1]=s3cret [spoke2]=s3cret)

config() {
    local self=$1 peer
    dmvpn_ports "$self"
    dmvpn_tunnel "$self"
    cat <<TOML
authentication = "${password[$self]}"
holdtime = "${holdtime}s"
multicast = "dynamic"
TOML
    if [ "$self" != hub ]; then
        echo "nhs = [{ nbma = \"${nbma[hub]}\", protocol = \"${tunnel[hub]}\" }]"
    fi
    for peer in "${dmvpn_gateways[@]}"; do
        case $self/$peer in
        hub/hub | spoke1/spoke1 | spoke2/spoke2) ;;
        hub/*) conf_route "${lan[$peer]}.0/24" "${tunnel[$peer]}" ;;
        *) conf_route "${lan[$peer]}.0/24" "${tunnel[hub]}" ;;
        esac
    done
    printf '\n[[multicast]]\ngroups = ["239.0.0.0/8"]\ninterfaces = ["lan", "dmvpn"]\n'
}

configure() { config "$1" | gateway_write "$1"; }

# NBMA address that the hub has for a spoke; nothing if it has none.
binding() {
    gateway_ctl hub show nhrp cache --json |
        jq -r --arg protocol "${tunnel[$1]}" '.[] | select(.protocol == $protocol) | .nbma'
}
is_registered() { [ "$(binding "$1")" = "${nbma[$1]}" ]; }
is_gone() { [ -z "$(binding "$1")" ]; }
server_is() {
    [ "$(gateway_ctl "$1" show nhrp nhs --json | jq -r '.[0].state')" = "$2" ]
}

all_start() { dmvpn_start && within 5 both_registered; }
both_registered() { is_registered spoke1 && is_registered spoke2; }

leaves() { net_stop "$1"; }
cleared() {
    detail=$(gateway_ctl hub clear nhrp) || return 1
    [ "$detail" = "cleared: 2" ] && is_gone spoke1 && within "$holdtime" both_registered
}
left() { leaves spoke2 && within 1 is_gone spoke2; }
forgotten() { gateway_kill spoke1 && within $((holdtime + 2)) is_gone spoke1; }
hub_anew() {
    gateway_kill hub && gateway_start hub hub && within $((holdtime + 2)) both_registered
}
returns() { gateway_start "$1" "$1" && within 5 is_registered "$1"; }

drops_of() {
    gateway_ctl hub show nhrp traffic --json |
        jq --arg reason "$1" '[.[].drops[] | select(.reason == $reason) | .count] | add // 0'
}
refused() {
    local before
    before=$(drops_of authentication)
    gateway_start spoke2 spoke2 || return 1
    sleep 2.5
    detail="authentication $(($(drops_of authentication) - before))"
    [ "$(drops_of authentication)" -gt "$before" ] && is_gone spoke2 && ! server_is spoke2 up
}

# The other spoke has the first one's configuration now, and its address is still taken.
unique() {
    config spoke2 | sed "s#\"${tunnel[spoke2]}/24\"#\"${tunnel[spoke1]}/24\"#" |
        gateway_write spoke2
    gateway_start spoke2 spoke2 || return 1
    sleep 1.5
    detail="refused $(drops_of refused)"
    [ "$(drops_of refused)" -gt 0 ] && is_registered spoke1
}

# A program that follows the hub's events, until the hub ends.
follow() {
    net_spawn events hub "$greyhound" events -f --json --socket "$(gateway_socket hub)"
    within 2 told spoke2 nhrp_registered
}
# Whether the last things that it was told of a spoke were KINDS.
told() {
    detail=$(jq -rn --arg protocol "${tunnel[$1]}" \
        '[inputs | select(.protocol == $protocol) | .kind] | join(" ")' "$(net_log events)")
    [[ " $detail" = *" $2" ]]
}
told_of_the_end() {
    net_wait events 2 && grep -q 'hub.sock has ended$' "$(net_log events)"
}

# What the hub says about who gets multicast.
receivers() {
    detail=$(gateway_ctl hub show nhrp multicast --json |
        jq -r '[.[] | "\(.nbma) \(.protocol[]) \(.reason)"] | join(", ")')
    [ "$detail" = "${nbma[spoke1]} ${tunnel[spoke1]} registered, \
${nbma[spoke2]} ${tunnel[spoke2]} registered" ]
}

secret_is_nowhere() {
    ! grep -rl s3cret "$net_state/log" 2>/dev/null | grep .
}

scene_begin
dmvpn_net
for gateway in "${dmvpn_gateways[@]}"; do configure "$gateway"; done
step "the gateways start, and both spokes register" all_start || exit 1
step "ping, spoke 1 to hub" traffic_ping spoke1-host 10.1.0.10 20
step "ping, hub to spoke 2" traffic_ping hub-host 10.12.0.10 20
step "ping, spoke 1 to spoke 2, by the hub" traffic_ping spoke1-host 10.12.0.10 20
step "TTL 2 ends at the hub" traffic_ttl spoke1-host 10.12.0.10 2 10.255.0.1
step "a stream from the hub's host reaches both spokes" traffic_multicast hub-host \
    10.1.0.10 200 100 spoke1-host=10.11.0.10 spoke2-host=10.12.0.10
step "and the hub says so" receivers
sleep "$holdtime"
step "registrations are renewed" both_registered
step "a program follows the hub's events" follow
step "spoke 2 leaves: the hub knows at once" left
step "and the program is told" within 1 told spoke2 "nhrp_registered nhrp_withdrawn"
password[spoke2]=guessed
configure spoke2
step "with another password it stays outside" refused
leaves spoke2
password[spoke2]=s3cret
step "with spoke 1's address it stays outside" unique
leaves spoke2
configure spoke2
step "it returns" returns spoke2
step "and the program is told" within 1 told spoke2 "nhrp_registered nhrp_withdrawn nhrp_registered"
step "ping, hub to spoke 2" traffic_ping hub-host 10.12.0.10 20
step "clear nhrp: forgotten, and learned again" cleared
step "spoke 1 dies: its registration ends" forgotten
step "and the program is told" within 1 told spoke1 nhrp_expired
step "it returns" returns spoke1
step "the hub dies and returns: both register again" hub_anew
step "the program has ended with the hub" told_of_the_end
step "ping, spoke 1 to spoke 2, by the hub" traffic_ping spoke1-host 10.12.0.10 20
step "the password is in no log" secret_is_nowhere
