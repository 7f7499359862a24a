# shellcheck shell=bash
# Gateways: the binary, their processes, and questions to them. Needs say.sh and net.sh.
#
#   gateway_build PROFILE       builds ("release" or "debug") and sets $greyhound, unless GREYHOUND
#                               already names a binary
#   gateway_write NAME          writes the configuration on standard input to its private file
#   gateway_start NAME NS       starts it and waits until it answers
#   gateway_kill NAME           ends it without a word, as a crash does
#   gateway_ctl NAME COMMAND... asks it: "gateway_ctl hub show peers"
#   gateway_drops NAME REASON   packets that it has dropped for a reason
#   gateway_deaths              says which gateways have ended by themselves, and their last words
#   gateway_key FILE OCTETS     random key material with its salt (36: AES-256, 20: AES-128)

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

gateway_build() {
    local profile=$1 flag=
    [ "$profile" = release ] && flag=--release
    greyhound=${GREYHOUND:-${CARGO_TARGET_DIR:-$root/target}/$profile/greyhound}
    if [ -z "${GREYHOUND-}" ]; then
        (cd "$root" && cargo build --quiet --locked $flag -p greyhound) || return 1
    fi
    [ -x "$greyhound" ] || { echo "there is no program $greyhound"; return 1; }
}

gateway_conf() { echo "$net_state/$1.toml"; }
gateway_socket() { echo "$net_state/$1.sock"; }

gateway_write() { (umask 077 && cat >"$(gateway_conf "$1")"); }

# Sets "core" to the Nth of the cores that this script may use, counted round.
gateway_core() {
    local list part cores=()
    list=$(sed -n 's/^Cpus_allowed_list:[[:space:]]*//p' /proc/self/status)
    for part in ${list//,/ }; do
        mapfile -t -O "${#cores[@]}" cores < <(seq "${part%-*}" "${part#*-}")
    done
    core=${cores[$1 % ${#cores[@]}]}
}

gateway_start() {
    net_spawn "$1" "$2" "$greyhound" run -c "$(gateway_conf "$1")"
    until_ok 10 gateway_answers "$1" && net_alive "$1" && return 0
    detail="the gateway $1 did not start"
    tail -n 20 "$(net_log "$1")"
    return 1
}

gateway_kill() {
    local pid
    net_alive "$1" && kill -KILL "$pid" && net_wait "$1" 2 && net_stop "$1" || return 1
    # Its last threads may hold the control socket a little longer.
    sleep 0.3
}

# Answers, or has ended, so that waiting is of no use.
gateway_answers() {
    net_alive "$1" || return 0
    gateway_ctl "$1" show ports >/dev/null 2>&1
}

gateway_ctl() {
    local name=$1
    shift
    timeout 10 "$greyhound" "$@" --socket "$(gateway_socket "$name")"
}

gateway_drops() {
    gateway_ctl "$1" show drops --json |
        jq --arg reason "$2" '[.. | objects | select(.reason? == $reason) | .count] | add // 0'
}

# Whether NAME has dropped at least COUNT more packets than BEFORE for REASON.
gateway_dropped() {
    local now
    now=$(gateway_drops "$1" "$2") && [ -n "$now" ] && [ "$now" -ge $(($3 + $4)) ]
}

gateway_deaths() {
    local file name
    for file in "$net_state"/run/*.pid; do
        name=${file##*/} name=${name%.pid}
        if [ ! -e "$(gateway_conf "$name")" ] || net_alive "$name"; then
            continue
        fi
        note "the gateway $name has ended by itself; its last words:"
        tail -n 12 "$(net_log "$name")" | sed 's/^/        | /'
    done
}

gateway_key() {
    (umask 077 && od -An -v -tx1 -N "$2" /dev/urandom | tr -d ' \n' >"$1")
}
