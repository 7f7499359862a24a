#!/usr/bin/env bash
# A spoke behind a NAT has nothing to say for longer than the NAT remembers it: keepalives (RFC
# 3948) keep its port open, so that the hub reaches it all the same.
set -uo pipefail
dmvpn_gateways=(hub spoke1 spoke2 spoke3)
# Registrations are renewed later than the scene lasts.
# shellcheck disable=SC2034 # dmvpn.sh reads it
dmvpn_peers=nhrp dmvpn_holdtime=10m
# shellcheck source=../lib/scene.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/scene.sh"
# shellcheck source=../lib/dmvpn.sh
. "$lib/dmvpn.sh"
# shellcheck source=../lib/shortcut.sh
. "$lib/shortcut.sh"

memory=24 silence=50

# The NAT forgets a port soon, though later than the interval of keepalives.
forgetful() {
    in_ns nat sysctl -qw "net.netfilter.nf_conntrack_udp_timeout=$memory" \
        "net.netfilter.nf_conntrack_udp_timeout_stream=$memory"
}
all_start() { dmvpn_start && within 5 registered 3; }
kept_alive() {
    local count
    count=$(gateway_drops hub nat_keepalive)
    detail="$count keepalives"
    # One every 20 s.
    [ "$count" -ge 2 ] && [ "$count" -le 3 ]
}
# The hub's peer is seen elsewhere than where it is configured: it needs none.
none_back() { [ "$(gateway_drops spoke3 nat_keepalive)" = 0 ]; }

scene_begin
dmvpn_net
forgetful || die "the kernel has no connection tracking"
dmvpn_configure random
step "the gateways start, and all three register" all_start || exit 1
step "ping, hub to the spoke behind the NAT" traffic_ping hub-host 10.13.0.10 10
note "$silence s of silence; the NAT forgets after $memory s"
sleep "$silence"
step "the spoke has sent keepalives to the hub" kept_alive
step "and got none" none_back
step "ping, hub to the spoke behind the NAT" traffic_ping hub-host 10.13.0.10 10
