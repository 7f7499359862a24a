# shellcheck shell=bash
# What each of these scripts starts with.
lib=$(dirname "${BASH_SOURCE[0]}")
# shellcheck source=say.sh
. "$lib/say.sh"
# shellcheck source=net.sh
. "$lib/net.sh"
# shellcheck source=config.sh
. "$lib/config.sh"
# shellcheck source=gateway.sh
. "$lib/gateway.sh"
# shellcheck source=traffic.sh
. "$lib/traffic.sh"
