# shellcheck shell=bash
# A hub and two spokes over an internet, each with a host behind it; mGRE, key 42, under ESP.
#
#            hub 198.51.100.1 --- [ internet ] --+-- spoke1 203.0.113.11
#   LAN 10.1.0.0/24                              |     LAN 10.11.0.0/24
#                                                +-- spoke2 203.0.113.12
#            tunnel 10.255.0.0/24               |     LAN 10.12.0.0/24
#                                               |
#                        NAT 203.0.113.13 ------+     if dmvpn_gateways has spoke3
#                          `--- spoke3 192.168.77.13, LAN 10.13.0.0/24; and spoke2, after
#                               dmvpn_hide spoke2
#
#   dmvpn_net          namespaces, links, hosts
#   dmvpn_configure    keys and configurations
#   dmvpn_fresh SELF HOW    fresh keys and SPIs for all SAs of a gateway: its counters begin anew
#   dmvpn_ports, dmvpn_tunnel    the beginning of another configuration
#   dmvpn_start [GATEWAY...]     some of the gateways, or all
#
# Needs say.sh, net.sh, config.sh, gateway.sh. Namespaces: inet, hub, spoke1, spoke2, and a host
# "GATEWAY-host" behind each; nat, if there is a spoke3.

[ -n "${dmvpn_gateways-}" ] || dmvpn_gateways=(hub spoke1 spoke2)
dmvpn_key=42
dmvpn_holdtime=${dmvpn_holdtime-10m}
# How they find each other: static, nhrp.
dmvpn_peers=${dmvpn_peers-static}
declare -A nbma=([hub]=198.51.100.1 [spoke1]=203.0.113.11 [spoke2]=203.0.113.12)
declare -A inet=([hub]=198.51.100.254 [spoke1]=203.0.113.254 [spoke2]=203.0.113.254)
declare -A tunnel=([hub]=10.255.0.1 [spoke1]=10.255.0.11 [spoke2]=10.255.0.12)
declare -A lan=([hub]=10.1.0 [spoke1]=10.11.0 [spoke2]=10.12.0)
nbma[spoke3]=192.168.77.13 inet[spoke3]=192.168.77.1 tunnel[spoke3]=10.255.0.13 lan[spoke3]=10.13.0
# Where others see a gateway: the NAT before it.
declare -A outside=([spoke3]=203.0.113.13)
# The UDP port that the NAT sends from, or a range.
dmvpn_nat_port=62000
# SPI of the SA from one gateway to another: "FROM-TO".
declare -A spi=()
dmvpn_last_spi=0x1000

dmvpn_net() {
    local gateway before inside=() spokes=()
    net_ns inet
    in_ns inet sysctl -qw net.ipv4.ip_forward=1
    for gateway in "${dmvpn_gateways[@]}"; do
        before=inet
        if [ -n "${outside[$gateway]-}" ]; then
            before=nat
            [ ${#inside[@]} != 0 ] || net_ns nat
            inside+=("to-$gateway")
        elif [ "$gateway" != hub ]; then
            spokes+=("to-$gateway")
        fi
        net_ns "$gateway" "$gateway-host"
        net_link "$before" "to-$gateway" "$gateway" wan0
        net_link "$gateway" lan0 "$gateway-host" eth0
        net_host "$gateway-host" eth0 "${lan[$gateway]}.10/24" "${lan[$gateway]}.1"
    done
    net_bridge inet br-hub to-hub
    net_bridge inet br-spokes "${spokes[@]}"
    net_addr inet br-hub "${inet[hub]}/24"
    net_addr inet br-spokes "${inet[spoke1]}/24"
    [ ${#inside[@]} = 0 ] || dmvpn_nat "${inside[@]}"
}

# Puts a spoke behind the NAT of spoke 3.
dmvpn_hide() {
    nbma[$1]=${nbma[spoke3]%.*}.${nbma[$1]##*.}
    inet[$1]=${inet[spoke3]}
    outside[$1]=${outside[spoke3]}
}

# What comes from outside unasked is dropped in silence, or it would count as a connection.
dmvpn_nat() {
    net_link inet to-nat nat out
    in_ns inet ip link set to-nat master br-spokes
    net_bridge nat inside "$@"
    net_addr nat inside "${inet[spoke3]}/24"
    net_host nat out "${outside[spoke3]}/24" "${inet[spoke1]}"
    in_ns nat sysctl -qw net.ipv4.ip_forward=1
    in_ns nat nft -f - <<NFT || die "the kernel has no NAT"
table ip nat {
    chain leave {
        type nat hook postrouting priority srcnat
        oifname out meta l4proto udp masquerade to :$dmvpn_nat_port
        oifname out masquerade
    }
    chain enter {
        type filter hook input priority filter
        iifname out drop
    }
}
NFT
}

# Where others see a gateway.
dmvpn_seen() { echo "${outside[$1]:-${nbma[$1]}}"; }

# SPI and key of an SA, "FROM-TO", in a file of its own. $1: how it is made ("keygen", "random").
dmvpn_new_key() {
    local file=$net_state/$2.key
    dmvpn_last_spi=$((dmvpn_last_spi + 1))
    spi[$2]=$dmvpn_last_spi
    if [ "$1" = keygen ]; then
        rm -f "$file"
        "$greyhound" keygen -o "$file"
    else
        gateway_key "$file" 36
    fi
}

dmvpn_configure() {
    local from to
    for from in "${dmvpn_gateways[@]}"; do
        for to in "${dmvpn_gateways[@]}"; do
            [ "$from" = "$to" ] || dmvpn_new_key "${1:-random}" "$from-$to" || return 1
        done
    done
    dmvpn_write
    detail="${#spi[@]} SAs"
}

dmvpn_fresh() {
    local sa
    for sa in "${!spi[@]}"; do
        [[ -$sa- != *-$1-* ]] || dmvpn_new_key "$2" "$sa" || return 1
    done
    dmvpn_write
}

dmvpn_write() {
    local gateway
    for gateway in "${dmvpn_gateways[@]}"; do
        dmvpn_config "$gateway" | gateway_write "$gateway"
    done
}

# System and ports of a gateway.
dmvpn_ports() {
    local self=$1 number
    case $self in hub) number=0 ;; *) number=${self#spoke} ;; esac
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
    local self=$1 peer udp
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
        udp=
        [ -z "${outside[$self]-}${outside[$peer]-}" ] || udp="udp_encap = $(dmvpn_udp "$peer")"
        conf_sa corp out "$(dmvpn_seen "$peer")" "${spi[$self-$peer]}" "$self-$peer.key" "$udp"
        conf_sa corp in "$(dmvpn_seen "$peer")" "${spi[$peer-$self]}" "$peer-$self.key" "$udp"
    done
    "dmvpn_routes_$dmvpn_peers" "$self"
    printf '\n[[multicast]]\ngroups = ["239.0.0.0/8"]\ninterfaces = ["lan", "dmvpn"]\n'
}

# A number in place of the port that the NAT will give to a peer: it tells peers of one NAT apart.
dmvpn_udp() {
    case $1${outside[$1]-} in spoke2?*) echo '{ remote_port = 4502 }' ;; *) echo true ;; esac
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
    printf 'authentication = "s3cret"\nholdtime = "%s"\n' "$dmvpn_holdtime"
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
    [ $# != 0 ] || set -- "${dmvpn_gateways[@]}"
    for gateway; do
        gateway_start "$gateway" "$gateway" || return 1
    done
    detail="$# processes, one core each"
}

# The SAs for decrypt.py: SPI=KEY_FILE each.
dmvpn_sas() {
    local sa
    for sa in "${!spi[@]}"; do
        echo "${spi[$sa]}=$net_state/$sa.key"
    done
}
