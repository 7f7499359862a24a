#!/usr/bin/env bash
# Two DMVPNs at one hub, each with a spoke and a password: as two networks their spokes talk by the
# hub; as one network they find each other, and go directly, without a packet lost on the way.
# Who asks for one who is gone is told so at once.
#
#   spoke1 --- tunnel "one", 10.255.0.0/24 --- hub --- tunnel "two", 10.254.0.0/24 --- spoke2
set -uo pipefail
# shellcheck source=../lib/scene.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/scene.sh"
# shellcheck source=../lib/dmvpn.sh
. "$lib/dmvpn.sh"
# shellcheck source=../lib/shortcut.sh
. "$lib/shortcut.sh"

# The hub's end of the second tunnel.
second=198.51.100.2
tunnel[spoke2]=10.254.0.12

# One tunnel: NAME LOCAL ADDRESS PASSWORD [LINE...]; the peers of both have the same key.
tunnel() {
    cat <<TOML

[[tunnel]]
name = "$1"
mode = "mgre"
source = "wan"
local = "$2"
key = $dmvpn_key
addresses = ["$3/24"]

[tunnel.nhrp]
authentication = "$4"
TOML
    printf '%s\n' "${@:5}"
}

# The hub's networks: of the first tunnel, and of the second.
hub() {
    dmvpn_ports hub | sed "s#\"${nbma[hub]}/24\"#&, \"$second/24\"#"
    tunnel one "${nbma[hub]}" 10.255.0.1 first 'redirect = true' "network_id = $1"
    tunnel two "$second" 10.254.0.1 second 'redirect = true' "network_id = $2"
    conf_route "${lan[spoke1]}.0/24" "${tunnel[spoke1]}"
    conf_route "${lan[spoke2]}.0/24" "${tunnel[spoke2]}"
}

# A spoke: NAME HUB-NBMA HUB-ADDRESS PASSWORD.
spoke() {
    dmvpn_ports "$1"
    tunnel dmvpn "${nbma[$1]}" "${tunnel[$1]}" "$4" 'shortcut = true' \
        "nhs = [{ nbma = \"$2\", protocol = \"$3\" }]"
    conf_route 10.0.0.0/8 "$3"
}

all_start() { dmvpn_start && until_ok 5 registered 2; }

has_shortcut() { shortcuts "$1" | grep -qx "${lan[$2]}.0/24=${nbma[$2]}"; }
both_have() { has_shortcut spoke1 spoke2 && has_shortcut spoke2 spoke1; }

indications() {
    gateway_ctl hub show nhrp traffic --json |
        jq '[.[].messages[] | select(.kind == "traffic_indication") | .sent] | add'
}
nobody_is_told() {
    traffic_ping spoke1-host 10.12.0.10 50 && [ "$(indications)" = 0 ] &&
        [ -z "$(shortcuts spoke1)$(shortcuts spoke2)" ]
}
one_network() { hub 7 7 | gateway_write hub && gateway_ctl hub reload >/dev/null && registered 2; }

# What spoke 2 takes back goes from tunnel to tunnel, too.
gone() { [ -z "$(shortcuts spoke1)" ]; }
leaves() { net_stop spoke2 && within 3 gone; }

# Its address is the next hop of a route of spoke 1 now, whose tunnel has a network that covers it.
asks_for_it() {
    {
        spoke spoke1 "${nbma[hub]}" 10.255.0.1 first |
            sed "s#${tunnel[spoke1]}/24#${tunnel[spoke1]}/15#"
        conf_route 10.99.0.0/16 "${tunnel[spoke2]}"
    } | gateway_write spoke1
    gateway_ctl spoke1 reload >/dev/null && within 3 is_denied
}
is_denied() {
    detail=$(gateway_ctl spoke1 events --json | jq -r --arg asked "${tunnel[spoke2]}" \
        'select(.kind == "nhrp_unresolved" and .destination == $asked) | .reason')
    [ "$detail" = "no binding" ]
}

scene_begin
dmvpn_net
hub 7 8 | gateway_write hub
spoke spoke1 "${nbma[hub]}" 10.255.0.1 first | gateway_write spoke1
spoke spoke2 "$second" 10.254.0.1 second | gateway_write spoke2
step "the gateways start, and both spokes register" all_start || exit 1
traffic_reach spoke1-host 10.12.0.10
step "two networks: packets go by the hub, and nobody is told" nobody_is_told
step "the hub makes one network of them" one_network
step "a shortcut forms under traffic" shortcut_forms spoke1-host 10.12.0.10 3000 both_have
step "the hub stands still" past_the_hub spoke1-host 10.12.0.10 50
step "TTL 2 ends at the other spoke" traffic_ttl spoke1-host 10.12.0.10 2 "${tunnel[spoke2]}" \
    10.12.0.1
step "spoke 2 leaves: the shortcut goes" leaves
step "spoke 1 asks for it: there is no binding" asks_for_it
