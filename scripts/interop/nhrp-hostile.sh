#!/usr/bin/env bash
# What strangers try by NHRP, on a hub and on a spoke: each packet that is wrong is counted under
# its reason and under no other, errors are few, nobody else's binding or shortcut changes, memory
# stays where it was, and a spoke and the host behind the hub lose no packet meanwhile.
set -uo pipefail
# shellcheck source=../lib/scene.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/scene.sh"
# shellcheck source=../lib/hub.sh
. "$lib/hub.sh"

declare -A resident
stranger=198.51.100.66
# Memory that a gateway may take more than before, in kB.
memory_max=8000

# config SELF [LINE...]: lines at the end of the tunnel's NHRP.
config() {
    # As a NIC has room for a flood: more than the 512 frames of other scenes.
    hub_config "$1" | sed 's/framecnt=512/framecnt=4096/'
    hub_mgre dmvpn 42 "${tunnel[$1]}/16" '' "${@:2}"
    if [ "$1" = hub ]; then
        hub_mgre secure 43 10.254.0.1/24 'protection = "corp"'
        conf_profile corp transport aes256gcm16 true
        conf_route "${lan[spoke]}.0/24" "${tunnel[spoke]}"
    else
        conf_route "${lan[hub]}.0/24" "${tunnel[hub]}"
        conf_route 10.64.0.0/12 10.255.0.66
    fi
}

# The bindings of the hub, one a line.
legitimate="10.255.0.11 198.51.100.11 registered"
cache_is() {
    [ "$(gateway_ctl hub show nhrp cache --json |
        jq -r '.[] | "\(.protocol) \(.nbma) \(.kind)"')" = "$1" ]
}

# Drops of a gateway, NHRP's and those of the packet path, as {"reason": count}.
drops_of() {
    {
        gateway_ctl "$1" show nhrp traffic --json | jq '[.[].drops[]]'
        gateway_ctl "$1" show drops --json
    } | jq -s 'add | group_by(.reason) | map({key: .[0].reason, value: map(.count) | add}) |
        from_entries'
}

# drops_are SELF BEFORE EXPECTED: what was dropped since is what was expected, no more, no less.
# "A|B" is for what is dropped for one reason or the other.
drops_are() {
    local now
    now=$(drops_of "$1")
    jq -nc --argjson before "$2" --argjson now "$now" --argjson expected "$3" '
        $now | with_entries(.value -= ($before[.key] // 0)) | with_entries(select(.value != 0)) |
        reduce ($expected | keys[] | select(contains("|"))) as $either (.;
            ($either / "|") as $reasons | .[$either] = ([.[$reasons[]]] | add) |
            del(.[$reasons[]])) |
        . as $new | {$new, $expected}, if $new == $expected or $expected.any then empty
        else error("not as expected") end'
}

# With a hundred pings of the spoke's host meanwhile, or as many as "pings" says; COMMAND says in a
# line of JSON what is to be dropped by SELF, and then what it did.
meanwhile() {
    local self=$1 before ping said status
    shift
    before=$(drops_of "$self")
    in_ns spoke-host ping -n -q -c "${pings:-100}" -i 0.01 -W 2 10.1.0.10 >"$net_state/ping" &
    ping=$!
    said=$(in_ns peer timeout 60 "$@" 2>&1)
    status=$?
    wait $ping
    detail=$(tail -n +2 <<<"$said"; grep -o '[0-9]* received' "$net_state/ping")
    detail=${detail//$'\n'/; }
    [ $status = 0 ] && grep -q ' 0% packet loss' "$net_state/ping" && is_alive hub spoke &&
        drops_are "$self" "$before" "$(head -n 1 <<<"$said")"
}

is_alive() {
    local self pid
    for self; do net_alive "$self" || return 1; done
}

# tries GROUP [BINDINGS]: the hub has these bindings afterwards, or those from before.
tries() {
    meanwhile hub "$lib/../interop/nhrp_hostile.py" eth0 "$hub_mac" "$1" &&
        { [ "$1" = greed ] || cache_is "${2-$bindings}"; }
}

# The spoke has the stranger for a second server, with a network behind it.
trusts() {
    config spoke 'shortcut = true' "nhs = [{ nbma = \"${wan[hub]}\" }, { nbma = \"$stranger\" }]" |
        gateway_write spoke
    (sleep 0.5 && gateway_ctl spoke reload) &
    false_server joins
}

# false_server GROUP [SHORTCUTS]: the spoke has these shortcuts afterwards.
false_server() {
    meanwhile spoke "$lib/../interop/nhrp_false_server.py" eth0 "$spoke_mac" "$1" &&
        shortcuts_are "${2-}"
}
shortcuts_are() {
    [ "$(gateway_ctl spoke show nhrp shortcuts --json |
        jq -r '.[] | "\(.prefix) \(.nbma)"')" = "$1" ]
}

memory_of() { net_alive "$1" && awk '/^VmRSS/ { print $2 }' "/proc/$pid/status"; }
memory_stays() {
    local self grown status=0 pid
    detail=
    for self in hub spoke; do
        grown=$(($(memory_of $self) - resident[$self]))
        detail+="${detail:+, }$self ${grown} kB more"
        [ $grown -le $memory_max ] || status=1
    done
    return $status
}

scene_begin
hub_net
config hub 'redirect = true' | gateway_write hub
config spoke 'shortcut = true' "nhs = [{ nbma = \"${wan[hub]}\" }]" | gateway_write spoke
step "a hub and a spoke start" hub_start || exit 1
hub_mac=$(gateway_ctl hub show ports --json | jq -r '.[0].mac')
spoke_mac=$(gateway_ctl spoke show ports --json | jq -r '.[0].mac')
for self in hub spoke; do resident[$self]=$(memory_of $self); done
bindings="$legitimate
10.255.0.66 $stranger registered"
step "a stranger with the password registers" tries joins
step "cut off at every octet" tries truncated
step "each field wrong" tries fields
step "CIEs and extensions wrong" tries bodies
step "loops, hop counts, too large to be passed on" tries loops
step "replies that nobody asked for, messages for others" tries replies
step "addresses that are not its own" tries claims
step "purges of what is not its own" tries purges
step "1000 mistakes: few complaints, and none about complaints" tries errors
step "300 addresses for one" tries greed
step "and back" tries back
step "past the tunnel" tries wire
step "each octet another" tries octets
step "a false server: replies to a registration" trusts
step "answers to no question" false_server answers
step "indications of no packet, and of broken ones" false_server indications
pings=1300
step "indications for a million; an answer for everything" \
    false_server flood "10.64.0.0/12 198.51.100.67"
step "hub and spoke still know each other alone" cache_is "$bindings"
step "memory stays" memory_stays
