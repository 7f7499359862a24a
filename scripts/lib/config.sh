# shellcheck shell=bash
# Sections of a configuration file of Greyhound, each printed by a function.
#
#   conf_system NAME CORES SOCKET [PRESET]                   CORES: none with "explicit"
#   conf_stage STAGE CORES
#   conf_port NAME NUMBER IFACE ROLE ADDRESSES [GATEWAYS]    lists are separated by commas
#   conf_profile NAME MODE ALGORITHM ESN
#   conf_sa PROFILE DIRECTION REMOTE SPI KEY_FILE [LINE]     LINE: one more, as it is
#   conf_gre NAME REMOTE [LINE...]                           from the port wan; LINE: as it is
#   conf_policy PORT SRC DST PROTO ACTION [PROFILE REMOTE]
#   conf_route PREFIX VIA

# "a","b" of a,b.
conf_list() {
    local parts quoted=
    IFS=, read -r -a parts <<<"$1"
    [ ${#parts[@]} = 0 ] || printf -v quoted '"%s", ' "${parts[@]}"
    echo "[${quoted%, }]"
}

conf_system() {
    cat <<TOML
[system]
name = "$1"
socket = "$3"
hugepages = "off"
memory = "256MB"
mbufs = 16384

[pipeline]
preset = "${4:-run-to-completion}"
poll = "adaptive"
TOML
    [ -z "$2" ] || echo "cores = [$2]"
}

conf_stage() {
    printf '\n[[pipeline.stage]]\nstage = "%s"\ncores = [%s]\n' "$1" "$2"
}

conf_port() {
    cat <<TOML

[[port]]
name = "$1"
device = "net_af_packet$2,iface=$3,framesz=8192,blocksz=65536,framecnt=512"
role = "$4"
addresses = $(conf_list "$5")
TOML
    [ -z "${6-}" ] || echo "gateway = $(conf_list "$6")"
}

conf_profile() {
    cat <<TOML

[[ipsec.profile]]
name = "$1"
mode = "$2"
esp = ["$3"]
esn = $4
replay_window = 4096
TOML
}

conf_sa() {
    cat <<TOML

[[ipsec.sa]]
profile = "$1"
direction = "$2"
remote = "$3"
spi = $4
key_file = "$5"
${6-}
TOML
}

conf_gre() {
    printf '\n[[tunnel]]\nname = "%s"\nmode = "gre"\nsource = "wan"\nremote = "%s"\n' "$1" "$2"
    [ $# = 2 ] || printf '%s\n' "${@:3}"
}

conf_policy() {
    cat <<TOML

[[ipsec.policy]]
port = "$1"
select = { src = "$2", dst = "$3", proto = "$4" }
action = "$5"
TOML
    [ -z "${6-}" ] || printf 'profile = "%s"\nremote = "%s"\n' "$6" "$7"
}

conf_route() {
    printf '\n[[route]]\nprefix = "%s"\nvia = "%s"\n' "$1" "$2"
}
