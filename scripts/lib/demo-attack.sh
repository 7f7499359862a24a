# shellcheck shell=bash
# What the demonstration shows of those who listen and forge on the internet, and of a gateway
# without an SA: nothing is in clear, nothing forged or replayed gets in.
#
#   watch_start, outside    a watch for whatever is not ESP, and what it has seen
#   attack                  forged and replayed packets
#   no_sa                   an SA is deleted: packets are dropped, and never sent in clear
#
# Needs all.sh, dmvpn.sh and the demonstration's own functions.

# One octet in UDP is a keepalive; an SPI of zero is no ESP (RFC 3948), and smaller ones than 256
# are nobody's.
demo_esp="(esp or (udp and port 4500 and
    (udp[4:2] = 9 or (port $dmvpn_nat_port and udp[8:4] > 0xff))))"

watch_start() {
    local side
    for side in hub spokes; do
        capture_start "watch-$side" inet "br-$side" 0 "not ($demo_esp or arp)" || return 1
    done
}

attack() {
    section "An attacker on the internet"
    capture_start stolen inet br-hub 100 "esp and dst ${nbma[hub]}"
    traffic_ping spoke1-host 10.1.0.10 20 >/dev/null
    capture_stop stolen
    step "100 forged packets are dropped" inject forge 100 icv_mismatch
    # Packets that came before are either in the window or, after many others, left of it.
    step "100 replayed packets are dropped" inject replay 100 replay_duplicate replay_too_old
    step "ping goes on: the replay window did not move" traffic_ping spoke1-host 10.1.0.10 20
}

# inject MODE COUNT REASON...: the reasons together must count all packets.
inject() {
    local mode=$1 count=$2 reason before=0 after=0
    shift 2
    for reason; do before=$((before + $(gateway_drops hub "$reason"))); done
    in_ns inet "$here/lib/inject.py" "$mode" "$(capture_file stolen)" br-hub \
        "${spi[spoke1-hub]}" "$count" || return 1
    sleep 0.3
    for reason; do after=$((after + $(gateway_drops hub "$reason"))); done
    detail="$* $((after - before))"
    [ $((after - before)) = "$count" ]
}

no_sa() {
    local before sa=spoke1-hub
    section "Without an SA"
    # For the shortcut.
    traffic_reach spoke1-host 10.12.0.10
    before=$(gateway_drops spoke1 no_sa)
    capture_start silent inet br-spokes 0 "src ${nbma[spoke1]} and dst ${nbma[hub]}"
    step "spoke 1's outbound SA to the hub is deleted" \
        gateway_ctl spoke1 sa del --direction out --spi "${spi[$sa]}"
    step "ping to the hub gets nowhere" lost spoke1-host 10.1.0.10 5
    step "its packets are dropped as no_sa" counted spoke1 no_sa "$before" 5
    capture_stop silent
    step "nothing of spoke 1 went to the hub, in clear or not" silence
    step "spoke 2 is still reached" traffic_ping spoke1-host 10.12.0.10 5
    # A key is never used again from the start of its counter: a fresh one, and a fresh SPI.
    step "a fresh key and SPI; reload at both ends" renew $sa
    step "ping to the hub works again" traffic_ping spoke1-host 10.1.0.10 20
}

lost() { ! in_ns "$1" ping -n -q -c "$3" -i 0.1 -W 1 "$2"; }

counted() {
    until_ok 2 gateway_dropped "$@"
    local rc=$?
    detail="$(($(gateway_drops "$1" "$2") - $3)) packets"
    return $rc
}

silence() {
    detail="$(capture_count silent) packets"
    capture_show silent
    [ "$(capture_count silent)" = 0 ]
}

renew() {
    dmvpn_new_key keygen "$1" && dmvpn_write && gateway_ctl "${1#*-}" reload &&
        gateway_ctl "${1%-*}" reload
}

outside() {
    section "What the internet saw in all this"
    step "on the hub's side nothing but ESP and ARP" watch_end hub
    step "on the spokes' side nothing but ESP and ARP" watch_end spokes
    # Or a watch that sees nothing would look the same.
    step "the watch would have noticed: it sees one packet in clear" watch_control
}

watch_end() {
    sleep 0.3
    net_alive "watch-$1" || { detail="the watch has ended"; return 1; }
    detail="$(capture_count "watch-$1") packets in clear"
    capture_show "watch-$1"
    [ "$(capture_count "watch-$1")" = 0 ]
}

watch_control() {
    in_ns inet ping -n -q -c 1 -W 1 "${nbma[hub]}"
    capture_stop watch-hub
    capture_stop watch-spokes
    capture_show watch-hub
    [ "$(capture_count watch-hub)" -ge 1 ]
}
