# shellcheck shell=bash
# A hub and a spoke of it, both ours, with a host behind each, and a raw peer (Scapy, or octet by
# octet) on the same link, by GRE in clear.
#
#   hub 198.51.100.1 ------+------ spoke 198.51.100.11
#   LAN 10.1.0.0/24        |       LAN 10.11.0.0/24
#                         peer     198.51.100.2, .66, .67
#
#   hub_net              namespaces, links, hosts ("hub-host", "spoke-host")
#   hub_config SELF      system and ports of a gateway
#   hub_mgre NAME KEY ADDRESS [LINE [LINE...]]    an mGRE tunnel: the first line is of the tunnel,
#                        the others are of its NHRP
#   hub_start            starts both, and waits until the spoke is registered and reaches the hub
#   hub_threads          the hub's process as "pid", and milliseconds of CPU as "cpu_all" and of its
#                        control thread as "cpu_control", resident memory in kB as "resident"
#
# Needs what scene.sh loads.

declare -A wan=([hub]=198.51.100.1 [spoke]=198.51.100.11)
declare -A lan=([hub]=10.1.0 [spoke]=10.11.0)
declare -A tunnel=([hub]=10.255.0.1 [spoke]=10.255.0.11)

hub_net() {
    local self
    net_ns inet peer
    net_link peer eth0 inet to-peer
    # The peer's kernel answers ARP. It has no way to say anything else.
    net_addr peer eth0 198.51.100.2/32 198.51.100.66/32 198.51.100.67/32
    for self in hub spoke; do
        net_ns $self $self-host
        net_link inet to-$self $self wan0
        net_link $self lan0 $self-host eth0
        net_host $self-host eth0 "${lan[$self]}.10/24" "${lan[$self]}.1"
    done
    net_bridge inet br0 to-hub to-spoke to-peer
}

hub_config() {
    local self=$1 number=0
    [ "$self" = hub ] || number=1
    gateway_core $number
    conf_system "$self" "$core" "$(gateway_socket "$self")"
    conf_port wan 0 wan0 underlay "${wan[$self]}/24" 198.51.100.2
    conf_port lan 1 lan0 overlay "${lan[$self]}.1/24"
}

hub_mgre() {
    printf '\n[[tunnel]]\nname = "%s"\nmode = "mgre"\nsource = "wan"\nkey = %s\n' "$1" "$2"
    printf 'addresses = ["%s"]\n%s\n\n[tunnel.nhrp]\nauthentication = "s3cret"\n' "$3" "${4-}"
    [ $# -le 4 ] || printf '%s\n' "${@:5}"
}

hub_start() {
    gateway_start hub hub && gateway_start spoke spoke && traffic_reach spoke-host 10.1.0.10
}

hub_threads() {
    local fields tick
    tick=$(getconf CLK_TCK)
    net_alive hub || return 1
    read -ra fields <"/proc/$pid/stat"
    cpu_all=$(((fields[13] + fields[14]) * 1000 / tick))
    read -ra fields <"/proc/$pid/task/$pid/stat"
    cpu_control=$(((fields[13] + fields[14]) * 1000 / tick))
    resident=$(awk '/^VmRSS/ { print $2 }' "/proc/$pid/status")
}
