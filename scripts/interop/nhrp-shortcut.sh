#!/usr/bin/env bash
# DMVPN phase 3: spokes that know nothing but the hub talk through it at first, are told of each
# other, and go directly from then on, without a packet lost on the way.
set -uo pipefail
# shellcheck source=../lib/scene.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/scene.sh"
# shellcheck source=../lib/dmvpn.sh
. "$lib/dmvpn.sh"
# shellcheck source=../lib/shortcut.sh
. "$lib/shortcut.sh"

holdtime=8

# A second network of spoke 2's port, where the gateway itself answers.
second=10.99.0

config() {
    local self=$1
    dmvpn_ports "$self" | sed "s#\"${lan[spoke2]}.1/24\"#&, \"$second.1/24\"#"
    dmvpn_tunnel "$self"
    cat <<TOML
authentication = "s3cret"
holdtime = "${holdtime}s"
TOML
    if [ "$self" = hub ]; then
        echo 'redirect = true'
        for peer in spoke1 spoke2; do conf_route "${lan[$peer]}.0/24" "${tunnel[$peer]}"; done
        conf_route $second.0/24 "${tunnel[spoke2]}"
    else
        echo 'shortcut = true'
        echo "nhs = [{ nbma = \"${nbma[hub]}\", protocol = \"${tunnel[hub]}\" }]"
        # Of the other spoke it knows nothing: all networks are behind the hub.
        conf_route 10.0.0.0/8 "${tunnel[hub]}"
    fi
}

all_start() { dmvpn_start && until_ok 5 registered 2; }

has_shortcut() { shortcuts "$1" | grep -qx "${lan[$2]}.0/24=${nbma[$2]}"; }
both_have() { has_shortcut spoke1 spoke2 && has_shortcut spoke2 spoke1; }
neither_has() { [ -z "$(shortcuts spoke1)$(shortcuts spoke2)" ]; }

forms() { shortcut_forms spoke1-host 10.12.0.10 10000 both_have; }

# Longer than its holding time in use, and then idle. Another shortcut to the same spoke, which was
# used once, goes meanwhile: it has no use of its own.
two_shortcuts() { has_shortcut spoke1 spoke2 && has_second; }
has_second() { shortcuts spoke1 | grep -qx "$second.1/32=${nbma[spoke2]}"; }
to_second() { in_ns spoke1-host ping -n -q -c 1 -W 1 $second.1 >/dev/null && two_shortcuts; }
renewed() {
    local count=$(((holdtime + 4) * 20))
    until_ok 5 to_second || return 1
    traffic_ping spoke1-host 10.12.0.10 $count -i 0.05 && both_have && ! has_second
}
# The last packets may have earned it another holding time.
ends_idle() { within $((2 * holdtime)) neither_has; }

# The shortcut of spoke 1 is gone after "$@", at once.
gone() { ! has_shortcut spoke1 spoke2; }
gone_after() {
    has_shortcut spoke1 spoke2 && "$@" && within 3 gone
}

# Spoke 2 has another network behind it.
rerouted() {
    config spoke2 | sed "s#${lan[spoke2]}.1/24#10.98.0.1/24#" | gateway_write spoke2
    gateway_ctl spoke2 reload >/dev/null
}
# It has its own again.
back() {
    config spoke2 | gateway_write spoke2
    gateway_ctl spoke2 reload >/dev/null && until_ok 15 found_again
}
# The hub does not tell the same thing twice in a short time.
found_again() { in_ns spoke1-host ping -n -q -c 1 -W 1 10.12.0.10 >/dev/null && both_have; }

# A route to spoke 2's network by spoke 2 itself, as a routing protocol would have it; no shortcuts.
phase_2() {
    config spoke1 | sed '/^shortcut/d' | gateway_write spoke1
    conf_route "${lan[spoke2]}.0/24" "${tunnel[spoke2]}" >>"$(gateway_conf spoke1)"
    gateway_ctl spoke1 reload >/dev/null && until_ok 5 resolved || return 1
    detail=$(gateway_ctl spoke1 show nhrp cache --json | jq -c '[.[] | "\(.protocol) \(.kind)"]')
    traffic_reach spoke1-host 10.12.0.10
}
resolved() {
    [ "$(gateway_ctl spoke1 show nhrp cache --json |
        jq -r --arg of "${tunnel[spoke2]}" '.[] | select(.protocol == $of) | .kind')" = resolved ]
}
back_to_phase_3() {
    config spoke1 | gateway_write spoke1
    gateway_ctl spoke1 reload >/dev/null && until_ok 15 found_again
}

scene_begin
dmvpn_net
for gateway in "${dmvpn_gateways[@]}"; do config "$gateway" | gateway_write "$gateway"; done
step "the gateways start, and both spokes register" all_start || exit 1
traffic_reach spoke1-host 10.1.0.10 && traffic_reach spoke2-host 10.1.0.10
step "no shortcut where there is no traffic" neither_has
step "a shortcut forms under traffic" forms
step "the hub stands still" past_the_hub spoke1-host 10.12.0.10 50
step "TTL 2 ends at the other spoke" traffic_ttl spoke1-host 10.12.0.10 2 "${tunnel[spoke2]}" \
    10.12.0.1
step "what is used is renewed, and no other shortcut to the same spoke" renewed
step "what is idle ends" ends_idle
step "it forms again" forms
step "the route at the other spoke goes: so does the shortcut" gone_after rerouted
step "the route returns, and a shortcut with it" back
step "phase 2: a route names spoke 2, which NHRP finds" phase_2
step "the hub stands still" past_the_hub spoke1-host 10.12.0.10 50
step "and phase 3 again" back_to_phase_3
step "the other spoke leaves: the shortcut goes" gone_after net_stop spoke2
