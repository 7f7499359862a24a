# shellcheck shell=bash
# A hub and two spokes over an internet, each with a host behind it; mGRE, key 42, under ESP.
#
#            hub 198.51.100.1 --- [ internet ] --+-- spoke1 203.0.113.11
#   LAN 10.1.0.0/24                              |     LAN 10.11.0.0/24
#                                                +-- spoke2 203.0.113.12
#            tunnel 10.255.0.0/24                      LAN 10.12.0.0/24
#
#   dmvpn_net          namespaces, links, hosts
#   dmvpn_configure    keys and configurations
#   dmvpn_ports, dmvpn_tunnel    the beginning of another configuration
#   dmvpn_start        the three gateways
#
# Needs say.sh, net.sh, config.sh, gateway.sh. Namespaces: inet, hub, spoke1, spoke2, and a host
# "GATEWAY-host" behind each.

dmvpn_gateways=(hub spoke1 spoke2)
dmvpn_key=42
# How they find each other: static, nhrp.
dmvpn_peers=${dmvpn_peers-static}
declare -A nbma=([hub]=198.51.100.1 [spoke1]=203.0.113.11 [spoke2]=203.0.113.12)
declare -A inet=([hub]=198.51.100.254 [spoke1]=203.0.113.254 [spoke2]=203.0.113.254)
declare -A tunnel=([hub]=10.255.0.1 [spoke1]=10.255.0.11 [spoke2]=10.255.0.12)
declare -A lan=([hub]=10.1.0 [spoke1]=10.11.0 [spoke2]=10.12.0)
# SPI of the SA from one gateway to another: "FROM-TO".
declare -A spi=(
    [hub-spoke1]=0x1001 [spoke1-hub]=0x1002 [hub-spoke2]=0x1003
    [spoke2-hub]=0x1004 [spoke1-spoke2]=0x1005 [spoke2-spoke1]=0x1006
)

dmvpn_net() {
    local gateway
    net_ns inet
    in_ns inet sysctl -qw net.ipv4.ip_forward=1
    for gateway in "${dmvpn_gateways[@]}"; do
        net_ns "$gateway" "$gateway-host"
        net_link inet "to-$gateway" "$gateway" wan0
        net_link "$gateway" lan0 "$gateway-host" eth0
        net_host "$gateway-host" eth0 "${lan[$gateway]}.10/24" "${lan[$gateway]}.1"
    done
    net_bridge inet br-hub to-hub
    net_bridge inet br-spokes to-spoke1 to-spoke2
    net_addr inet br-hub "${inet[hub]}/24"
    net_addr inet br-spokes "${inet[spoke1]}/24"
}

# The key of an SA, "FROM-TO", in a file of its own. $1: how it is made ("keygen" or "random").
dmvpn_new_key() {
    local file=$net_state/$2.key
    if [ "$1" = keygen ]; then
        rm -f "$file"
        "$greyhound" keygen -o "$file"
    else
        gateway_key "$file" 36
    fi
}

dmvpn_configure() {
    local sa gateway
    for sa in "${!spi[@]}"; do
        dmvpn_new_key "${1:-random}" "$sa" || return 1
    done
    for gateway in "${dmvpn_gateways[@]}"; do
        dmvpn_config "$gateway" | gateway_write "$gateway"
    done
}

# System and ports of a gateway.
dmvpn_ports() {
    local self=$1 number
    case $self in hub) number=0 ;; spoke1) number=1 ;; *) number=2 ;; esac
    gateway_core "$number"
    conf_system "$self" "$core" "$(gateway_socket "$self")"
    conf_port wan 0 wan0 underlay "${nbma[$self]}/24" "${inet[$self]}"
    conf_port lan 1 lan0 overlay "${lan[$self]}.1/24"
}

# Its tunnel, with more lines if there are any, and the head of its NHRP.
dmvpn_tunnel() {
    local self=$1
    cat <<TOML

[[tunnel]]
name = "dmvpn"
mode = "mgre"
source = "wan"
key = $dmvpn_key
addresses = ["${tunnel[$self]}/24"]
TOML
    shift
    [ $# = 0 ] || printf '%s\n' "$@"
    printf '\n[tunnel.nhrp]\n'
}

dmvpn_config() {
    local self=$1 peer
    dmvpn_ports "$self"
    dmvpn_tunnel "$self" 'mtu = 1400' 'mss_clamp = true' 'protection = "corp"'
    "dmvpn_peers_$dmvpn_peers" "$self"
    # A spoke sends multicast to the hub alone, which replicates it to the other spokes.
    if [ "$self" = hub ]; then
        echo 'multicast = "dynamic"'
    else
        echo "multicast = [\"${nbma[hub]}\"]"
    fi
    conf_profile corp transport aes256gcm16 true
    for peer in "${dmvpn_gateways[@]}"; do
        [ "$peer" != "$self" ] || continue
        conf_sa corp out "${nbma[$peer]}" "${spi[$self-$peer]}" "$self-$peer.key"
        conf_sa corp in "${nbma[$peer]}" "${spi[$peer-$self]}" "$peer-$self.key"
    done
    "dmvpn_routes_$dmvpn_peers" "$self"
    printf '\n[[multicast]]\ngroups = ["239.0.0.0/8"]\ninterfaces = ["lan", "dmvpn"]\n'
}

# Each gateway knows where the others are, and what is behind them.
dmvpn_peers_static() {
    local peer map=
    for peer in "${dmvpn_gateways[@]}"; do
        [ "$peer" = "$1" ] ||
            map+="{ protocol = \"${tunnel[$peer]}\", nbma = \"${nbma[$peer]}\" }, "
    done
    echo "map = [${map%, }]"
}
dmvpn_routes_static() {
    local peer
    for peer in "${dmvpn_gateways[@]}"; do
        [ "$peer" = "$1" ] || conf_route "${lan[$peer]}.0/24" "${tunnel[$peer]}"
    done
}

# A spoke knows the hub alone, and finds the others by NHRP; the hub knows no spoke's whereabouts.
dmvpn_peers_nhrp() {
    echo 'authentication = "s3cret"'
    if [ "$1" = hub ]; then
        echo 'redirect = true'
    else
        echo 'shortcut = true'
        echo "nhs = [{ nbma = \"${nbma[hub]}\", protocol = \"${tunnel[hub]}\" }]"
    fi
}
dmvpn_routes_nhrp() {
    if [ "$1" = hub ]; then
        dmvpn_routes_static hub
    else
        conf_route 10.0.0.0/8 "${tunnel[hub]}"
    fi
}

dmvpn_start() {
    local gateway
    for gateway in "${dmvpn_gateways[@]}"; do
        gateway_start "$gateway" "$gateway" || return 1
    done
    detail="${#dmvpn_gateways[@]} processes, one core each"
}

# The SAs for decrypt.py: SPI=KEY_FILE each.
dmvpn_sas() {
    local sa
    for sa in "${!spi[@]}"; do
        echo "${spi[$sa]}=$net_state/$sa.key"
    done
}
