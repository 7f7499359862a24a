#!/usr/bin/env bash
# Two hubs, of which the second is a spoke of the first as well: both roles on one tunnel. A spoke
# of each find each other through both, and go directly from then on.
#
#   spoke2 > hub > spoke1, the second hub > spoke3
set -uo pipefail
dmvpn_gateways=(hub spoke1 spoke2 spoke3)
# shellcheck source=../lib/scene.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/scene.sh"
# shellcheck source=../lib/dmvpn.sh
. "$lib/dmvpn.sh"
# shellcheck source=../lib/shortcut.sh
. "$lib/shortcut.sh"
# No NAT here.
unset 'outside[spoke3]'
nbma[spoke3]=203.0.113.13 inet[spoke3]=${inet[spoke1]}

# Lines of NHRP, then routes as GATEWAY-WHOSE-LAN:BY-GATEWAY.
config() {
    local self=$1 route
    dmvpn_ports "$self"
    dmvpn_tunnel "$self"
    printf 'authentication = "s3cret"\nholdtime = "10s"\n'
    case $self in hub) set -- redirect ;; spoke1) set -- redirect hub ;; esac
    case $self in spoke2) set -- shortcut hub ;; spoke3) set -- shortcut spoke1 ;; esac
    echo "$1 = true"
    [ -z "${2-}" ] ||
        echo "nhs = [{ nbma = \"${nbma[$2]}\", protocol = \"${tunnel[$2]}\" }]"
    [ -z "${2-}" ] || conf_route 10.0.0.0/8 "${tunnel[$2]}"
    case $self in hub) set -- 1:1 2:2 3:1 ;; spoke1) set -- 3:3 ;; *) set -- ;; esac
    for route; do
        conf_route "${lan[spoke${route%:*}]}.0/24" "${tunnel[spoke${route#*:}]}"
    done
}

# Peers that have registered with a hub.
of_hub() {
    gateway_ctl "$1" show nhrp cache --json |
        jq -r '[.[] | select(.kind == "registered") | .protocol] | sort | join(" ")'
}
all_registered() {
    detail="$(of_hub hub); $(of_hub spoke1)"
    [ "$detail" = "${tunnel[spoke1]} ${tunnel[spoke2]}; ${tunnel[spoke3]}" ]
}
all_start() { dmvpn_start && until_ok 5 all_registered; }

has_shortcut() { shortcuts "$1" | grep -qx "${lan[$2]}.0/24=${nbma[$2]}"; }
both_have() { has_shortcut spoke2 spoke3 && has_shortcut spoke3 spoke2; }
gone() { ! has_shortcut spoke2 spoke3; }
leaves() { net_stop spoke3 && within 3 gone; }

scene_begin
dmvpn_net
for gateway in "${dmvpn_gateways[@]}"; do config "$gateway" | gateway_write "$gateway"; done
step "the gateways start; the second hub has a spoke, and is one" all_start || exit 1
traffic_reach spoke2-host 10.1.0.10 && traffic_reach spoke3-host 10.11.0.10
step "TTL 3 ends at the second hub" traffic_ttl spoke2-host 10.13.0.10 3 "${tunnel[spoke1]}"
step "a shortcut forms, by questions through both hubs" \
    shortcut_forms spoke2-host 10.13.0.10 3000 both_have
step "the hub stands still" past_the_hub spoke2-host 10.13.0.10 50
step "spoke 3 leaves: the shortcut goes" leaves
