#!/usr/bin/env bash
# Gateways over DPDK's other virtual devices: two of them joined by memif, then by vhost and
# virtio-user; a host on a tap, the kernel's own; packets replayed from a file into a file; ring
# and null.
set -uo pipefail
# shellcheck source=../lib/scene.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/scene.sh"

# NAME DEVICE ROLE ADDRESS [LINE]
any_port() {
    printf '\n[[port]]\nname = "%s"\ndevice = "%s"\nrole = "%s"\n' "$1" "$2" "$3"
    printf 'addresses = ["%s"]\n%s\n' "$4" "${5-}"
}

# Both gateways are in one namespace: abstract sockets are those of a namespace.
#   kernel 10.1.0.10 --- tap-a a ===== b lan0 --- b-host 10.2.0.10
joined_net() {
    net_ns both b-host
    net_link both lan0 b-host eth0
    net_host b-host eth0 10.2.0.10/24 10.2.0.1
    # What comes in by lan0 is b's, though the kernel has its addressee, too.
    in_ns both sysctl -qw net.ipv4.conf.lan0.rp_filter=1
}

# DEVICE_A DEVICE_B
joined_config() {
    gateway_core 0
    {
        conf_system a "$core" "$(gateway_socket a)"
        any_port wan "$1" underlay 198.51.100.1/24
        any_port lan net_tap0,iface=tap-a overlay 10.1.0.1/24
        conf_gre gre 198.51.100.2
        conf_route 10.2.0.0/24 gre
    } | gateway_write a
    gateway_core 1
    {
        conf_system b "$core" "$(gateway_socket b)"
        any_port wan "$2" underlay 198.51.100.2/24
        conf_port lan 1 lan0 overlay 10.2.0.1/24
        conf_gre gre 198.51.100.1
        conf_route 10.1.0.0/24 gre
    } | gateway_write b
}

joined_start() {
    gateway_start b both && gateway_start a both || return 1
    # The driver gives both ends of the tap its own address; the host needs another one.
    in_ns both ip link set tap-a address 02:00:00:00:01:0a up || return 1
    net_host both tap-a 10.1.0.10/24 10.1.0.1
}

# One after the other, so that b sees its peer go; both end with status 0.
joined_stop() {
    local name pid
    for name in a b; do
        net_alive $name && kill -TERM "$pid" || return 1
        wait "$pid" || { detail="$name ended with status $?"; return 1; }
        net_stop $name
    done
}

uses() {
    detail=$(gateway_ctl "$1" show ports --json | jq -r '[.[] | .driver] | join(" ")')
    [ "$detail" = "$2" ]
}

# TEXT DEVICE_A DEVICE_B DRIVERS_A DRIVERS_B
joined() {
    joined_config "$2" "$3"
    step "$1: the gateways start" joined_start || { net_stop a; net_stop b; return 1; }
    traffic_reach both 10.2.0.10
    step "a's drivers" uses a "$4"
    step "b's drivers" uses b "$5"
    step "ping, from the kernel on the tap to the host behind b" traffic_ping both 10.2.0.10 50
    step "TCP, equal checksums" traffic_file both b-host 10.2.0.10 "$net_state/file"
    step "TCP back, equal checksums" traffic_file b-host both 10.1.0.10 "$net_state/file"
    step "SIGTERM ends both" joined_stop
}

# Virtio-user shares its memory with the gateway on the other end, which needs no huge pages: DPDK
# takes it from memfd_create() then.
joined_by_vhost() {
    local socket=$net_state/vhost.sock
    joined "vhost and virtio-user" "net_virtio_user0,path=$socket" "net_vhost0,iface=$socket" \
        "net_virtio_user net_tap" "net_vhost net_af_packet"
}

replay_config() {
    gateway_core 0
    conf_system gw "$core" "$(gateway_socket gw)"
    any_port wan "net_pcap0,rx_pcap=$net_state/in.pcap,tx_pcap=$net_state/wan.pcap" underlay \
        198.51.100.1/24
    any_port lan "net_pcap1,tx_pcap=$net_state/out.pcap" overlay \
        10.1.0.1/24 'neighbors = [{ address = "10.1.0.10", mac = "02:00:00:00:01:0a" }]'
    any_port ring net_ring0 overlay 10.3.0.1/24
    any_port null net_null0,no-rx=1 overlay 10.4.0.1/24
    conf_gre gre 198.51.100.2
    conf_route 10.2.0.0/24 gre
}

replay_peer() { detail=$(in_ns both "$lib/../interop/replay.py" "$1" "$net_state/$2" 2>&1); }

replayed() {
    gateway_start gw both || return 1
    until_ok 3 gateway_saw_all
    local rc=$?
    gateway_ctl gw show drops
    net_stop gw
    return $rc
}
gateway_saw_all() {
    [ "$(gateway_ctl gw show tunnels --json | jq '.[0].rx.packets')" = 100 ]
}

ring_and_null() {
    gateway_start gw both || return 1
    uses gw "net_pcap net_pcap net_ring net_null" || return 1
    detail+="; $(gateway_ctl gw show ports --json | jq -r '[.[] | .mac] | join(" ")')"
    net_stop gw
}

replay() {
    replay_config | gateway_write gw
    step "Scapy writes 100 GRE packets into a file" replay_peer write in.pcap
    step "pcap: a gateway replays them" replayed
    step "what it decapsulated is in another file" replay_peer check out.pcap
    step "ring and null start, too, and are shown" ring_and_null
}

scene_begin
joined_net
head -c 5000000 /dev/urandom >"$net_state/file"
memif=socket=/greyhound-interop,socket-abstract=yes
joined "memif" "net_memif0,role=client,$memif" "net_memif0,role=server,$memif" \
    "net_memif net_tap" "net_memif net_af_packet"
joined_by_vhost
replay
