#!/usr/bin/env bash
# 10 000 pings at 1 000 a second, spoke to hub and spoke to spoke: not one is lost. A measurement
# of the round trip, too.
set -uo pipefail
# shellcheck source=../lib/scene.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/scene.sh"
# shellcheck source=../lib/dmvpn.sh
. "$lib/dmvpn.sh"

scene_begin
dmvpn_net
dmvpn_configure random
step "the gateways start" dmvpn_start || exit 1
traffic_reach spoke1-host 10.1.0.10
traffic_reach spoke1-host 10.12.0.10
step "spoke 1 to hub, 10 000 pings" traffic_ping spoke1-host 10.1.0.10 10000 -i 0.001
step "spoke 1 to spoke 2, 10 000 pings" traffic_ping spoke1-host 10.12.0.10 10000 -i 0.001
