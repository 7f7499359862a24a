#!/usr/bin/env bash
# Hostile control: the socket is its owner's alone; clients that send junk, too much, too slowly or
# never listen disturb neither each other nor the packets; files that others can read, and mistakes
# in them, are refused with file, line and key.
set -uo pipefail
# shellcheck source=../lib/scene.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/scene.sh"

config() {
    gateway_core 0
    conf_system "$1" "$core" "$(gateway_socket "$1")"
    conf_port left 0 lan0 overlay 10.1.0.1/24
    conf_port right 1 lan1 overlay 10.2.0.1/24
}

network() {
    net_ns left gw right
    net_link left eth0 gw lan0
    net_link gw lan1 right eth0
    net_host left eth0 10.1.0.10/24 10.1.0.1
    net_host right eth0 10.2.0.10/24 10.2.0.1
}

private() {
    detail=$(stat -c 'mode %a, of %U' "$(gateway_socket gw)")
    [ "$detail" = "mode 600, of root" ]
}

# What the gateway says to the user nobody.
listen_as_nobody() {
    setpriv --reuid=65534 --regid=65534 --clear-groups \
        socat -u -T 2 "UNIX-CONNECT:$(gateway_socket gw)" STDOUT 2>&1
}

no_entry() {
    detail=$(listen_as_nobody | grep -o 'Permission denied')
    [ "$detail" = "Permission denied" ]
}

# Even where somebody has opened the socket's file to all, the gateway asks who it is.
forbidden() {
    chmod 666 "$(gateway_socket gw)"
    detail=$(listen_as_nobody | jq -r .error.code)
    chmod 600 "$(gateway_socket gw)"
    [ "$detail" = forbidden ]
}

client() {
    detail=$(timeout 30 "$lib/../interop/control_client.py" "$(gateway_socket gw)" "$1" 2>&1)
}

answers() { gateway_ctl gw show ports; }

unharmed() {
    net_wait pinger 15
    detail=$(grep -o '.* packet loss' "$(net_log pinger)")
    grep -q ' 0% packet loss' "$(net_log pinger)"
}

few_words() {
    detail="$(wc -l <"$(net_log gw)") lines"
    [ "$(wc -l <"$(net_log gw)")" -lt 50 ]
}

# refused VERB PATTERN: the configuration "bad" is not accepted: exit code 2, and the error says
# why, after the file's name.
refused() {
    local verb=$1 pattern=$2 out status flag=()
    [ "$verb" = check ] || flag=(-c)
    out=$(in_ns gw timeout 5 "$greyhound" "$verb" "${flag[@]}" "$(gateway_conf bad)" 2>&1)
    status=$?
    echo "$out"
    detail=$(grep -oE "bad\.toml.*" <<<"$out" | head -n 1)
    detail="${detail:0:110}; status $status"
    [ $status = 2 ] && grep -qE "$pattern" <<<"$out"
}

bad_config() {
    rm -f "$(gateway_conf bad)"
    { config bad; cat; } | gateway_write bad
}

key_config() {
    gateway_key "$net_state/bad.key" 36
    chmod 644 "$net_state/bad.key"
    {
        conf_port wan 2 wan0 underlay 198.51.100.1/24
        conf_profile site transport aes256gcm16 true
        conf_sa site out 198.51.100.2 0x1001 bad.key
    } | bad_config
}

scene_begin
network
config gw | gateway_write gw
step "the gateway starts" gateway_start gw gw || exit 1
# Or nobody would get no further than this folder.
chmod 711 "$net_state"
step "the socket is for root alone" private
step "nobody is not let in" no_entry
step "nobody is told so, too, if the file is open to all" forbidden

traffic_reach left 10.2.0.10
net_spawn pinger left ping -n -q -i 0.002 -c 3000 10.2.0.10
for mode in junk deep binary long many slow deaf; do
    step "clients: $mode" client $mode
done
step "the gateway still answers" answers
step "3000 pings meanwhile, none lost" unharmed
step "it has not said much about it" few_words

section "Files"
bad_config <<<'' && chmod 640 "$(gateway_conf bad)"
step "a configuration that its group can read" refused check 'mode 640.*group can read.*chmod 600'
step "run refuses it, too" refused run 'mode 640.*group can read.*chmod 600'
key_config
step "a key that everyone can read" \
    refused check 'bad\.toml:[0-9]+:[0-9]+: ipsec\.sa\[0\]\.key_file: .*mode 644.*chmod 600'
bad_config <<<'sourc = "wan"'
step "an unknown key" refused check 'bad\.toml:[0-9]+:[0-9]+: port\[1\]\.sourc: unknown key'
bad_config <<<'mtu = "large"'
step "a value of the wrong type" refused check 'bad\.toml:[0-9]+:[0-9]+: port\[1\]\.mtu: '
conf_port again 2 wan0 overlay 10.2.0.2/24 | bad_config
step "prefixes that overlap" refused check 'bad\.toml:[0-9]+:[0-9]+: port\[2\]\.addresses.*'
conf_port none 2 none0 overlay 10.3.0.1/24 | bad_config
step "a device that is not there" refused run 'bad\.toml:[0-9]+:[0-9]+: port\[2\]\.device: .*none0'
conf_port none 2 none0 overlay 10.3.0.1/24 | sed 's/net_af_packet/net_nonsense/' | bad_config
step "a driver that is not there" \
    refused run 'bad\.toml:[0-9]+:[0-9]+: port\[2\]\.device: .*nonsense'
