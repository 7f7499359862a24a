#!/usr/bin/env bash
# Path MTU: a router of the underlay, the kernel's own, has a smaller MTU than the gateways know of
# and says so of an ESP packet. Others who say so are not believed.
set -uo pipefail
# shellcheck source=../lib/scene.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/scene.sh"
# shellcheck source=../lib/dmvpn.sh
. "$lib/dmvpn.sh"

router_mtu=1300
# 1300 octets hold IP 20, ESP 8 + 8 + 16 and 1248, a multiple of 4; 2 of these end ESP, 8 are GRE.
inner_mtu=1238

mtu_of_tunnel() { gateway_ctl hub show tunnels --json | jq '.[0].mtu'; }

has_mtu() {
    detail=$(mtu_of_tunnel)
    [ "$detail" = "$1" ]
}

# The first packet that is too long is lost, and the second one answered by the hub itself.
learns() {
    local out
    out=$(in_ns hub-host ping -n -c 3 -i 0.3 -W 1 -M "do" -s 1372 10.11.0.10 2>&1)
    echo "$out"
    detail=$(grep -om 1 'From .*mtu = [0-9]*' <<<"$out")
    [[ $detail = "From 10.1.0.1 "*"mtu = $inner_mtu" ]]
}

router_said() {
    capture_stop router
    capture_show router
    detail=$(capture_show router 1 | grep -o 'ICMP .*')
    [[ $detail = *"need to frag (mtu $router_mtu)"* ]]
}

# refused TEXT MTU SPI LOCAL PEER: neither believed, nor answered, but counted.
refused() {
    local before
    before=$(gateway_drops hub unhandled)
    spoof "${@:2}" || return 1
    until_ok 2 gateway_dropped hub unhandled "$before" 5 || return 1
    detail="mtu $(mtu_of_tunnel), unhandled $(($(gateway_drops hub unhandled) - before))"
    [ "$(mtu_of_tunnel)" = $inner_mtu ]
}

spoof() {
    local mac
    mac=$(gateway_ctl hub show ports --json | jq -r '.[0].mac')
    in_ns inet "$lib/../interop/too_big.py" br-hub "$mac" "$@" 5
}

lower() { spoof "$@" && until_ok 2 has_mtu 1138; }

scene_begin
dmvpn_net
dmvpn_configure random
sa=${spi[hub-spoke1]}
step "hub and spoke 1 start" gateway_start hub hub && gateway_start spoke1 spoke1 || exit 1
traffic_reach hub-host 10.11.0.10
step "the tunnel's MTU is the configured one" has_mtu 1400
step "pings of that size with DF" traffic_ping hub-host 10.11.0.10 5 -M "do" -s 1372
# Of the bridge, not of its ports: what a veth refuses to take from net_af_packet blocks its ring.
in_ns inet ip link set br-spokes mtu $router_mtu
capture_start router inet br-hub 0 'icmp and src 198.51.100.254'
step "the way to spoke 1 gets narrower: the host is told" learns
step "by the router, of an ESP packet" router_said
step "show tunnels" has_mtu $inner_mtu
step "pings of the new size with DF" \
    traffic_ping hub-host 10.11.0.10 5 -M "do" -s $((inner_mtu - 28))
step "4000-octet pings" traffic_ping hub-host 10.11.0.10 5 -M dont -s 3972
head -c 5000000 /dev/urandom >"$net_state/file"
step "TCP, equal checksums" traffic_file hub-host spoke1-host 10.11.0.10 "$net_state/file"
in_ns hub-host ip route flush cache
step "the MSS of new connections" traffic_mss hub-host spoke1-host 10.11.0.10 $((inner_mtu - 40))

section "Spoofed"
step "an SPI that no SA has" refused spi 1000 0x9999 "${nbma[hub]}" "${nbma[spoke1]}"
step "the SPI of another peer" refused peer 1000 "$sa" "${nbma[hub]}" "${nbma[spoke2]}"
step "an MTU below the floor" refused floor 575 "$sa" "${nbma[hub]}" "${nbma[spoke1]}"
step "a larger MTU" refused larger 1350 "$sa" "${nbma[hub]}" "${nbma[spoke1]}"
step "an MTU that the packet had fitted in" refused fits 1499 "$sa" "${nbma[hub]}" "${nbma[spoke1]}"
step "of GRE in clear" refused gre 1000 gre "${nbma[hub]}" "${nbma[spoke1]}"
step "one with nothing wrong is believed: it shows that the others were understood" \
    lower 1200 "$sa" "${nbma[hub]}" "${nbma[spoke1]}"
step "ping goes on" traffic_ping hub-host 10.11.0.10 10
