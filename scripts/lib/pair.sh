# shellcheck shell=bash
# Two gateways, a and b, on one link, and a host behind each; IPv4 and IPv6 everywhere.
#
#   a 198.51.100.1, 2001:db8::1 --- [ inet ] --- b 198.51.100.2, 2001:db8::2
#   LAN 10.1.0.0/24, fd00:1::/64                 LAN 10.2.0.0/24, fd00:2::/64
#
#   pair_net                namespaces, links, hosts ("a-host", "b-host")
#   pair_keys               keys of the SAs a-b and b-a
#   pair_config SELF        what every configuration has: system, ports; on one core, unless
#                           pair_cores ("0, 1") and pair_preset say otherwise
#   pair_sas SELF PROFILE [V4|V6]   both SAs, as SELF sees them
#   pair_use FUNCTION       writes both configurations: what FUNCTION prints for SELF, PEER
#   pair_start              starts both gateways
#
# Needs what all.sh loads.

declare -A wan4=([a]=198.51.100.1 [b]=198.51.100.2)
declare -A wan6=([a]=2001:db8::1 [b]=2001:db8::2)
declare -A lan4=([a]=10.1.0 [b]=10.2.0)
declare -A lan6=([a]=fd00:1: [b]=fd00:2:)
declare -A pair_spi=([a-b]=0x3001 [b-a]=0x3002)
pair_cores=
pair_preset=run-to-completion

pair_net() {
    local self
    net_ns inet
    for self in a b; do
        net_ns $self $self-host
        net_link inet to-$self $self wan0
        net_link $self lan0 $self-host eth0
        net_host $self-host eth0 "${lan4[$self]}.10/24,${lan6[$self]}:10/64" \
            "${lan4[$self]}.1,${lan6[$self]}:1"
    done
    net_bridge inet br0 to-a to-b
}

pair_keys() {
    gateway_key "$net_state/a-b.key" 36
    gateway_key "$net_state/b-a.key" 36
}

pair_config() {
    local self=$1 number=0
    [ "$self" = a ] || number=1
    gateway_core "$number"
    [ "$pair_preset" != explicit ] || core=
    conf_system "$self" "${pair_cores:-$core}" "$(gateway_socket "$self")" "$pair_preset"
    conf_port wan 0 wan0 underlay "${wan4[$self]}/24,${wan6[$self]}/64"
    conf_port lan 1 lan0 overlay "${lan4[$self]}.1/24,${lan6[$self]}:1/64"
}

pair_sas() {
    local self=$1 peer=b remote
    [ "$self" = a ] || peer=a
    remote=${wan4[$peer]}
    [ "${3:-V4}" = V4 ] || remote=${wan6[$peer]}
    conf_sa "$2" out "$remote" "${pair_spi[$self-$peer]}" "$self-$peer.key"
    conf_sa "$2" in "$remote" "${pair_spi[$peer-$self]}" "$peer-$self.key"
}

# A point-to-point tunnel with routes for both families: SELF PEER REMOTE [LINE...].
pair_tunnel() {
    local self=$1 peer=$2
    conf_gre gre "$3" 'mtu = 1400' "${@:4}"
    conf_route "${lan4[$peer]}.0/24" gre
    conf_route "${lan6[$peer]}:/64" gre
}

pair_use() {
    local self peer=b
    for self in a b; do
        { pair_config $self; "$1" $self $peer; } | gateway_write $self
        peer=a
    done
}

pair_start() { gateway_start a a && gateway_start b b; }
pair_stop() { net_stop a && net_stop b; }
