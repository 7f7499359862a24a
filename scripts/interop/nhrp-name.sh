#!/usr/bin/env bash
# A spoke that knows its hub by name: unresolved at first, then found, and found again when the hub
# has moved to another address. Multicast goes to the server, wherever that is.
set -uo pipefail
# shellcheck source=../lib/scene.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/scene.sh"
# shellcheck source=../lib/dmvpn.sh
. "$lib/dmvpn.sh"

holdtime=6

config() {
    local self=$1
    dmvpn_ports "$self"
    dmvpn_tunnel "$self"
    cat <<TOML
authentication = "s3cret"
holdtime = "${holdtime}s"
TOML
    if [ "$self" = hub ]; then
        echo 'multicast = "dynamic"'
        conf_route "${lan[spoke1]}.0/24" "${tunnel[spoke1]}"
    else
        # After the move it is the same server at another address: not unique.
        cat <<TOML
unique = false
multicast = "nhs"
nhs = [{ nbma = "hub.example.net", protocol = "${tunnel[hub]}" }]
TOML
        conf_route "${lan[hub]}.0/24" "${tunnel[hub]}"
    fi
    printf '\n[[multicast]]\ngroups = ["239.0.0.0/8"]\ninterfaces = ["lan", "dmvpn"]\n'
}

# The program with a hosts file of its own, and mounts that nobody else sees.
with_hosts() {
    cat >"$net_state/with-hosts" <<SH
#!/bin/sh
exec unshare --mount \
    sh -c 'mount --bind "$net_state/hosts" /etc/hosts && exec "$greyhound" "\$@"' sh "\$@"
SH
    chmod 700 "$net_state/with-hosts"
}
hosts() { printf '%s hub.example.net\n' "$@" >"$net_state/hosts"; }

start() {
    : >"$net_state/hosts"
    with_hosts
    gateway_start hub hub || return 1
    greyhound="$net_state/with-hosts" gateway_start spoke1 spoke1
}

server() {
    gateway_ctl spoke1 show nhrp nhs --json | jq -r '.[0] | "\(.state) \(.name) \(.nbma)"'
}
server_is() {
    detail=$(server)
    [ "$detail" = "$1 hub.example.net $2" ]
}
unresolved() { until_ok 3 server_is unresolved null; }
told_once() {
    sleep 4
    detail=$(grep -c 'has no address' "$(net_log spoke1)")
    [ "$detail" = 1 ] && server_is unresolved null
}
appears() { hosts "${nbma[hub]}" && within 20 server_is up "${nbma[hub]}"; }

# One that leads into the tunnel is no address of a server.
in_tunnel() {
    hosts 10.1.0.77 && until_ok 20 grep -q '10.1.0.77 cannot be' "$(net_log spoke1)" &&
        server_is unresolved null
}

# The hub has another address, and nobody has the old one.
moved=198.51.100.2
moves() {
    net_stop hub
    config hub | sed "s#${nbma[hub]}/24#$moved/24#" | gateway_write hub
    gateway_start hub hub && hosts "$moved" && within 30 server_is up "$moved"
}

scene_begin
dmvpn_net
for gateway in hub spoke1; do config "$gateway" | gateway_write "$gateway"; done
step "the gateways start; the hub's name has no address" start || exit 1
step "the spoke says so" unresolved
step "once, and goes on asking" told_once
step "an address in the tunnel is refused" in_tunnel
step "the name has an address: the spoke registers" appears
traffic_reach spoke1-host 10.1.0.10
step "ping, spoke to hub" traffic_ping spoke1-host 10.1.0.10 20
step "a stream from the spoke's host reaches the hub's" traffic_multicast spoke1-host 10.11.0.10 \
    200 100 hub-host=10.1.0.10
step "the hub moves, and its name with it" moves
traffic_reach spoke1-host 10.1.0.10
step "ping, spoke to hub" traffic_ping spoke1-host 10.1.0.10 20
step "a stream from the spoke's host reaches the hub's" traffic_multicast spoke1-host 10.11.0.10 \
    200 100 hub-host=10.1.0.10
