#!/usr/bin/env bash
# Two spokes behind one NAT, under ESP in UDP: the hub and a third spoke see one address, and tell
# them apart by their SAs. Neither takes the other's traffic, also when the NAT gives them other
# ports.
set -uo pipefail
dmvpn_gateways=(hub spoke1 spoke2 spoke3)
# shellcheck disable=SC2034 # dmvpn.sh reads it
dmvpn_peers=nhrp dmvpn_holdtime=6s
# shellcheck source=../lib/scene.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/scene.sh"
# shellcheck source=../lib/dmvpn.sh
. "$lib/dmvpn.sh"
# shellcheck source=../lib/shortcut.sh
. "$lib/shortcut.sh"
dmvpn_hide spoke2
# shellcheck disable=SC2034 # dmvpn.sh reads it
dmvpn_nat_port=62000-62099

all_start() { dmvpn_start && within 5 registered 3; }

# Both have the NAT's address, what they say of themselves, and one of them has a port.
told_apart() {
    detail=$(gateway_ctl hub show nhrp cache --json | jq -r --arg nat "${outside[spoke3]}" \
        '[.[] | select(.nbma == $nat) | "\(.claimed) \(.nbma_port)"] | sort | join(", ")')
    [ "$detail" = "${nbma[spoke2]} 4502, ${nbma[spoke3]} null" ] ||
        [ "$detail" = "${nbma[spoke2]} null, ${nbma[spoke3]} 4500" ]
}

# Where the hub's packets to a spoke go, as its SA has learned it.
port_of() {
    gateway_ctl hub show sa --json |
        jq --argjson spi "$((spi[hub-$1]))" '.[] | select(.spi == $spi) | .udp.remote'
}
other_ports() { [ "$(port_of spoke2)" != "$(port_of spoke3)" ]; }

# Each host is sent packets of its own, and gets these and no others.
each_its_own() {
    local before to
    for to in spoke2 spoke3; do
        before=$(received "$to")
        traffic_ping hub-host "${lan[$to]}.10" "$1" -i 0.01 || return 1
        [ $(($(received "$to") - before)) = "$1" ] || return 1
    done
}
# Echo requests that a spoke's host has got.
received() { in_ns "$1-host" nstat -asz IcmpInEchos | awk '/^IcmpInEchos/ { print $2 }'; }

by_the_hub() {
    traffic_ping "$1-host" "${lan[$2]}.10" 200 -i 0.005 || return 1
    traffic_ttl "$1-host" "${lan[$2]}.10" 2 10.255.0.1 && no_shortcut "$1" "$2"
}
no_shortcut() {
    ! gateway_ctl "$1" show nhrp shortcuts --json | grep -q "\"${tunnel[$2]}\""
}
shortcut() {
    gateway_ctl "$1" show nhrp shortcuts --json | grep -q "\"${tunnel[$2]}\""
}
formed() { traffic_ping "$1-host" "${lan[$2]}.10" 1000 -i 0.002; }
# The NAT forgets whom it gave which port, and gives others.
rebound() {
    local before to
    declare -A before
    for to in spoke2 spoke3; do before[$to]=$(port_of "$to"); done
    in_ns nat nft flush chain ip nat leave
    in_ns nat nft add rule ip nat leave oifname out meta l4proto udp masquerade to :63000-63099
    in_ns nat conntrack -F 2>/dev/null || return 1
    within 5 all_ports_other
}
all_ports_other() {
    detail="$(port_of spoke2), $(port_of spoke3)"
    [ "$(port_of spoke2)" -ge 63000 ] && [ "$(port_of spoke3)" -ge 63000 ] && other_ports
}

leaves() { net_stop spoke3 && within 2 gone spoke3; }
gone() { ! gateway_ctl hub show nhrp cache --json | grep -q "\"${tunnel[$1]}\""; }

scene_begin
dmvpn_net
dmvpn_configure random
step "the gateways start, and all three register" all_start || exit 1
gateway_ctl hub show nhrp cache | sed 's/^/   /'
step "the hub tells both behind the NAT apart" told_apart
step "each is at a port of its own" within 3 other_ports
step "100 pings from the hub's host to each, and none to the other" each_its_own 100
step "ping, spoke 2 to hub" traffic_ping spoke2-host 10.1.0.10 20
step "ping, spoke 3 to hub" traffic_ping spoke3-host 10.1.0.10 20
step "between both behind the NAT: by the hub, and no shortcut" by_the_hub spoke2 spoke3
step "1000 pings, spoke 2 to spoke 1, while the shortcut forms" formed spoke2 spoke1
step "spoke 2 has a shortcut to spoke 1" until_ok 3 shortcut spoke2 spoke1
step "1000 pings, spoke 1 to spoke 3" formed spoke1 spoke3
step "spoke 1 has a shortcut to spoke 3" until_ok 3 shortcut spoke1 spoke3
step "100 pings, spoke 1 to spoke 3, past the hub" past_the_hub spoke1-host 10.13.0.10 100
step "the NAT gives both other ports: the hub follows" rebound
step "100 pings from the hub's host to each, and none to the other" each_its_own 100
step "one leaves" leaves
step "ping, hub to the other" traffic_ping hub-host 10.12.0.10 20
