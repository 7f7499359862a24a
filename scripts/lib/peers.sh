# shellcheck shell=bash
# Our hub and spoke, and a hub and a spoke that are Linux with FRR; a host behind each.
#
#      hub 198.51.100.1 ----+                       +---- spoke    203.0.113.11
#      LAN 10.1.0.0/24      |                       |     LAN 10.11.0.0/24
#                           +---- [ internet ] -----+
#   frrhub 198.51.100.2 ----+                       +---- frrspoke 203.0.113.12
#      LAN 10.2.0.0/24         tunnel 10.255.0.0/24       LAN 10.12.0.0/24
#
#   peers_net               namespaces, links, hosts, taps
#   peers_boot, peers_end   the guests
#   peers_write SELF        writes the configuration of a gateway of ours
#   peers_nhrpd SELF        (re)starts nhrpd of a guest with its configuration
#   peers_join SELF HUB     makes a hub the server of a spoke; a gateway of ours is to be started
#   peers_behind_nat SELF   moves a spoke behind a NAT, a third guest: from outside it is
#                           "$nat_outside" now; its configuration is to be written anew
#   password[SELF]          what each says; holdtime, in seconds
#   frr_cache SELF, frr_nhs SELF, frr_shortcuts SELF    what nhrpd says
#   peers_passed HUB        packets from spoke to spoke that a hub has passed on
#
# "spoke" is registered with frrhub, "frrspoke" with hub, unless server[SELF] says otherwise. A hub
# has routes to the spokes, a spoke one to its hub for all there is.
# Needs all.sh and guest.sh.

holdtime=6
tunnel_key=42
declare -A nbma=([hub]=198.51.100.1 [frrhub]=198.51.100.2)
declare -A tunnel=([hub]=10.255.0.1 [frrhub]=10.255.0.2)
declare -A lan=([hub]=10.1.0 [frrhub]=10.2.0 [spoke]=10.11.0 [frrspoke]=10.12.0)
declare -A gateway=([hub]=198.51.100.254 [frrhub]=198.51.100.254)
declare -A server=([spoke]=frrhub [frrspoke]=hub)
declare -A password
nbma[spoke]=203.0.113.11 nbma[frrspoke]=203.0.113.12
tunnel[spoke]=10.255.0.11 tunnel[frrspoke]=10.255.0.12
gateway[spoke]=203.0.113.254 gateway[frrspoke]=203.0.113.254
nat_outside=203.0.113.13
nat_inside=192.168.77

peers_net() {
    local self
    net_ns inet
    in_ns inet sysctl -qw net.ipv4.ip_forward=1
    for self in hub spoke; do
        net_ns "$self" "$self-host"
        net_link inet "to-$self" "$self" wan0
        net_link "$self" lan0 "$self-host" eth0
    done
    for self in frrhub frrspoke; do
        net_ns "$self-host"
        guest_tap inet "to-$self" "lan-$self"
        net_link inet "h-$self" "$self-host" eth0
        # A wire from the guest's tap to the host.
        net_bridge inet "br-$self" "lan-$self" "h-$self"
    done
    net_bridge inet br-hubs to-hub to-frrhub
    guest_tap inet nat-out nat-in
    net_bridge inet br-spokes to-spoke to-frrspoke nat-out
    # A bridge takes the lowest address of its ports, unless it is told one: moving a port
    # elsewhere would change the address that neighbours have of it.
    in_ns inet ip link set br-spokes address 02:00:5e:00:54:01
    net_bridge inet br-inside nat-in
    net_addr inet br-hubs "${gateway[hub]}/24"
    net_addr inet br-spokes "${gateway[spoke]}/24"
    for self in "${!lan[@]}"; do
        net_host "$self-host" eth0 "${lan[$self]}.10/24" "${lan[$self]}.1"
        password[$self]=s3cret
    done
}

# All at once.
peers_boot() {
    local self
    for self in frrhub frrspoke; do
        guest_boot "$self" inet "to-$self" "lan-$self" || return 1
    done
    guest_boot nat inet nat-out nat-in || return 1
    for self in frrhub frrspoke; do
        guest_ready "$self" || return 1
        guest_run "$self" "$(frr_links "$self")" || return 1
        peers_nhrpd "$self" || return 1
    done
    guest_ready nat && guest_run nat "$(nat_links)" || return 1
    detail="Linux $(guest_run frrhub 'uname -r'), $(guest_run frrhub '/usr/lib/frr/nhrpd -v' |
        sed -n 's/.*version //p')"
}

# Routes of SELF, "PREFIX VIA" each.
peers_routes() {
    local other
    if [ -n "${server[$1]-}" ]; then
        echo "10.0.0.0/8 ${tunnel[${server[$1]}]}"
    else
        for other in spoke frrspoke; do echo "${lan[$other]}.0/24 ${tunnel[$other]}"; done
    fi
}
frr_routes() {
    peers_routes "$1" | sed 's/\(.*\) \(.*\)/ip route replace \1 via \2 dev gre1 onlink/'
}

# nhrpd wants a host's prefix for the tunnel's address, and learns its NBMA address from the
# device that the tunnel is bound to.
frr_links() {
    local self=$1
    cat <<SH
set -e
ip link set eth0 up
ip link set eth1 up
ip addr add ${nbma[$self]}/24 dev eth0
ip addr add ${lan[$self]}.1/24 dev eth1
ip route add default via ${gateway[$self]}
ip tunnel add gre1 mode gre key $tunnel_key ttl 64 dev eth0
ip addr add ${tunnel[$self]}/32 dev gre1
ip link set gre1 mtu 1400 multicast on up
$(frr_routes "$self")
$([ -n "${server[$self]-}" ] || frr_nflog)
mkdir -p /run/frr
chown frr:frr /run/frr
/usr/lib/frr/zebra -d -f /dev/null
SH
}

# What nhrpd of a hub has to see: packets from spoke to spoke, which are counted first, and
# multicast, which the kernel is not to send.
frr_nflog() {
    cat <<SH
iptables-legacy -A FORWARD -i gre1 -o gre1
iptables-legacy -A FORWARD -i gre1 -o gre1 -m hashlimit --hashlimit-upto 1/second \
    --hashlimit-burst 1 --hashlimit-mode srcip,dstip --hashlimit-name redirect \
    -j NFLOG --nflog-group 1 --nflog-size 128
iptables-legacy -A OUTPUT -d 224.0.0.0/4 -o gre1 -j NFLOG --nflog-group 2
iptables-legacy -A OUTPUT -d 224.0.0.0/4 -o gre1 -j DROP
SH
}

nat_links() {
    cat <<SH
set -e
ip link set eth0 up
ip link set eth1 up
ip addr add $nat_outside/24 dev eth0
ip addr add $nat_inside.1/24 dev eth1
ip route add default via ${gateway[spoke]}
iptables-legacy -t nat -A POSTROUTING -o eth0 -j MASQUERADE
SH
}

peers_behind_nat() {
    local self=$1
    in_ns inet ip link set "to-$self" master br-inside || return 1
    nbma[$self]=$nat_inside.${nbma[$self]##*.}
    gateway[$self]=$nat_inside.1
    [ "$self" = frrspoke ] || return 0
    guest_run "$self" "set -e
        ip addr flush dev eth0
        ip addr add ${nbma[$self]}/24 dev eth0
        ip route add default via ${gateway[$self]}"
}

frr_conf() {
    local self=$1 hub=${server[$1]-}
    cat <<CONF
nhrp nflog-group 1
nhrp multicast-nflog-group 2
interface gre1
 ip nhrp network-id 1
 ip nhrp authentication ${password[$self]}
 ip nhrp holdtime $holdtime
CONF
    if [ -n "$hub" ]; then
        printf ' ip nhrp shortcut\n ip nhrp nhs dynamic nbma %s\n' "${nbma[$hub]}"
    else
        printf ' ip nhrp redirect\n ip nhrp map multicast dynamic\n'
    fi
}

peers_nhrpd() {
    guest_run "$1" "
        if [ -e /run/frr/nhrpd.pid ]; then
            kill \$(cat /run/frr/nhrpd.pid)
            while pidof nhrpd; do sleep 0.05; done
        fi
        cat >/run/nhrpd.conf <<'CONF'
$(frr_conf "$1")
CONF
        /usr/lib/frr/nhrpd -d -f /run/nhrpd.conf --log file:/run/frr/nhrpd.log"
}

peers_end() {
    local self
    for self in frrhub frrspoke nat; do guest_stop "$self"; done
}

frr_cache() { guest_run "$1" 'vtysh -d nhrpd -c "show ip nhrp cache"'; }
frr_nhs() { guest_run "$1" 'vtysh -d nhrpd -c "show ip nhrp nhs"'; }
frr_shortcuts() { guest_run "$1" 'vtysh -d nhrpd -c "show ip nhrp shortcut"'; }

peers_join() {
    server[$1]=$2
    if [ "$1" = frrspoke ]; then
        guest_run "$1" "$(frr_routes "$1")" && peers_nhrpd "$1"
    else
        peers_write "$1"
    fi
}

peers_passed() {
    if [ "$1" = hub ]; then
        gateway_ctl hub show peers --json | jq '[.[].rx.packets] | add // 0'
    else
        guest_run "$1" 'iptables-legacy -L FORWARD -nvx' | awk 'NR == 3 { print $1 }'
    fi
}

peers_write() {
    local self=$1 hub=${server[$1]-} number=0 prefix via
    [ "$self" = hub ] || number=1
    gateway_core $number
    {
        conf_system "$self" "$core" "$(gateway_socket "$self")"
        conf_port wan $number wan0 underlay "${nbma[$self]}/24" "${gateway[$self]}"
        conf_port lan $((number + 2)) lan0 overlay "${lan[$self]}.1/24"
        cat <<TOML

[[tunnel]]
name = "dmvpn"
mode = "mgre"
source = "wan"
key = $tunnel_key
mtu = 1400
addresses = ["${tunnel[$self]}/24"]

[tunnel.nhrp]
authentication = "${password[$self]}"
holdtime = "${holdtime}s"
multicast = "dynamic"
TOML
        # Without its address in the tunnel: the reply tells.
        if [ -n "$hub" ]; then
            printf 'shortcut = true\nnhs = [{ nbma = "%s" }]\n' "${nbma[$hub]}"
        else
            echo 'redirect = true'
        fi
        while read -r prefix via; do conf_route "$prefix" "$via"; done < <(peers_routes "$self")
        printf '\n[[multicast]]\ngroups = ["239.0.0.0/8"]\ninterfaces = ["lan", "dmvpn"]\n'
    } | gateway_write "$self"
}
