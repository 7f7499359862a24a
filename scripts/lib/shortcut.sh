# shellcheck shell=bash
# Whether a shortcut is there, forms without a loss, and leads past the hub.
#
#   shortcuts SELF              those of a gateway, as PREFIX=NBMA, one a line
#   registered COUNT            whether so many peers are registered with the hub
#   shortcut_forms NS ADDRESS COUNT CHECK...    COUNT pings, one a millisecond, of which none may be
#                               lost or be there twice; CHECK has to be true within 5 s
#   past_the_hub NS ADDRESS COUNT               pings of which the hub sees none
#
# Needs net.sh, gateway.sh and traffic.sh; the hub is named "hub".

shortcuts() { gateway_ctl "$1" show nhrp shortcuts --json | jq -r '.[] | "\(.prefix)=\(.nbma)"'; }

registered() {
    [ "$(gateway_ctl hub show nhrp cache --json |
        jq '[.[] | select(.kind == "registered")] | length')" = "$1" ]
}

shortcut_forms() {
    local from=$1 to=$2 count=$3 start out pinging formed
    shift 3
    now_ms
    start=$now
    in_ns "$from" ping -q -c "$count" -i 0.001 -W 2 "$to" >"$net_state/form" 2>&1 &
    pinging=$!
    until_ok 5 "$@"
    formed=$?
    now_ms
    detail="after $((now - start)) ms"
    wait $pinging
    out=$(grep -o '[0-9]* received.*loss' "$net_state/form")
    detail+="; of $count: $out"
    [ $formed = 0 ] && [[ $out = "$count received, 0% packet loss" ]]
}

past_the_hub() {
    local before
    before=$(hub_packets)
    traffic_ping "$1" "$2" "$3" -i 0.01 || return 1
    detail+=", $(($(hub_packets) - before)) packets at the hub"
    [ "$(hub_packets)" = "$before" ]
}
hub_packets() { gateway_ctl hub show peers --json | jq '[.[].rx.packets] | add'; }
