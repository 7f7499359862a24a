# shellcheck shell=bash
# What the demonstration shows of gateways that come, go, die and return.
#
#   behind_nat      a third spoke, behind a NAT
#   departure       a spoke says that it leaves, and returns
#   death           a spoke dies without a word
#   hub_restart     the hub dies and returns
#
# Needs all.sh, dmvpn.sh, shortcut.sh and the demonstration's own functions.

behind_nat() {
    section "A third spoke, behind a NAT"
    note "it is ${nbma[spoke3]}, and seen as ${outside[spoke3]}, UDP port $dmvpn_nat_port;"
    note "the others have no port in their configuration but 4500, and are never told this one"
    capture_start nat inet br-spokes 1000 "host ${outside[spoke3]}"
    step "spoke 3 starts, and registers with the hub" joined spoke3
    gateway_ctl hub show nhrp cache | sed 's/^/   /'
    step "the hub has where it is seen, and what it says of itself" hub_has_both
    step "spoke 3 knows of the NAT" nat_is_known
    step "ping, spoke 3 to hub" traffic_ping spoke3-host 10.1.0.10 20
    step "ping, hub to spoke 3" traffic_ping hub-host 10.13.0.10 20
    step "2000 pings in 2 s from spoke 1, while the spokes find each other" formed 10.13.0.10
    step "spoke 1 has a shortcut, and spoke 3 has one back" until_ok 5 have_shortcuts spoke1 spoke3
    step "100 pings past the hub" past_the_hub spoke1-host 10.13.0.10 100
    capture_stop nat
    step "its first 1000 packets are ESP in UDP, decrypted by Scapy; GRE with key 42 in it" \
        capture_decrypt nat --key 42 --mtu 1400 --expect icmp --expect nhrp "${sas[@]}"
}

joined() { gateway_start "$1" "$1" && within 5 knows hub "$1"; }

# Whether a gateway has a peer in its NHRP cache.
knows() {
    gateway_ctl "$1" show nhrp cache --json |
        jq -e --arg of "${tunnel[$2]}" 'any(.[]; .protocol == $of)' >/dev/null
}
forgets() { ! knows "$@"; }

hub_has_both() {
    detail=$(gateway_ctl hub show nhrp cache --json |
        jq -r '.[] | select(.claimed) | "\(.nbma), \(.claimed)"')
    [ "$detail" = "${outside[spoke3]}, ${nbma[spoke3]}" ]
}

nat_is_known() {
    detail=$(gateway_ctl spoke3 show nhrp nhs --json | jq -r '.[0].outside')
    [ "$detail" = "${outside[spoke3]}" ]
}

departure() {
    section "A spoke leaves"
    step "spoke 2 stops: the hub and spoke 1 know at once" departed
    step "what is sent there is dropped as unresolved" dropped_as_unresolved 10.12.0.10
    step "it returns with fresh keys, and registers" returned spoke2
    step "ping, hub to spoke 2" traffic_ping hub-host 10.12.0.10 20
}

departed() { net_stop spoke2 && within 2 forgotten; }
forgotten() { forgets hub spoke2 && forgets spoke1 spoke2; }

dropped_as_unresolved() {
    local before
    before=$(gateway_drops hub unresolved)
    lost hub-host "$1" 5 && counted hub unresolved "$before" 5
}

# With fresh keys: its counters begin anew.
returned() {
    local gateway
    dmvpn_fresh "$1" keygen || return 1
    for gateway in "${dmvpn_gateways[@]}"; do
        [ "$gateway" = "$1" ] || gateway_ctl "$gateway" reload || return 1
    done
    joined "$1"
}

death() {
    section "A spoke dies"
    step "spoke 3 is killed: the hub forgets it at the end of its holding time" \
        died_and_forgotten spoke3
    step "what is sent there is dropped as unresolved" dropped_as_unresolved 10.13.0.10
    step "it returns with fresh keys, and registers" returned spoke3
    step "ping, hub to spoke 3" traffic_ping hub-host 10.13.0.10 20
}

died_and_forgotten() { gateway_kill "$1" && within "${dmvpn_holdtime%s}" forgets hub "$1"; }

hub_restart() {
    section "The hub dies"
    traffic_reach spoke1-host 10.12.0.10
    step "spoke 1 has a shortcut to spoke 2" until_ok 5 have_shortcuts spoke1 spoke2 || return
    step "the hub is killed" gateway_kill hub
    step "ping to the hub gets nowhere" lost spoke1-host 10.1.0.10 5
    step "1000 pings in 1 s from spoke 1 to spoke 2, by the shortcut" \
        pings spoke1-host 10.12.0.10 1000
    step "it returns with fresh keys: all three register again by themselves" hub_returned
    step "ping, hub to spoke 3" traffic_ping hub-host 10.13.0.10 20
    step "ping, spoke 2 to hub" traffic_ping spoke2-host 10.1.0.10 20
}

# The spokes are given the hub's new keys one by one: a reload would end their shortcuts.
hub_returned() {
    local before sa peer
    declare -A before
    for sa in "${!spi[@]}"; do before[$sa]=${spi[$sa]}; done
    dmvpn_fresh hub keygen && gateway_start hub hub || return 1
    for peer in spoke1 spoke2 spoke3; do
        rekey "$peer" out "$peer-hub" "${before[$peer-hub]}" &&
            rekey "$peer" in "hub-$peer" "${before[hub-$peer]}" || return 1
    done
    within 15 registered 3
}

# rekey GATEWAY DIRECTION SA OLD-SPI: the hub's SA is replaced by one with its new key.
rekey() {
    local udp=()
    [ "$1" != spoke3 ] || udp=(--udp-port 4500)
    gateway_ctl "$1" sa del --direction "$2" --spi "$4" &&
        gateway_ctl "$1" sa add --profile corp --direction "$2" --remote "${nbma[hub]}" \
            --spi "${spi[$3]}" --key-file "$net_state/$3.key" "${udp[@]}"
}
