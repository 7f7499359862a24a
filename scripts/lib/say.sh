# shellcheck shell=bash
# What scripts say, in plain words: sections, steps with a result, and how many went wrong.
#
#   section TEXT...          a headline
#   note TEXT...             a line of explanation
#   step TEXT COMMAND...     runs COMMAND (a function may set "detail") and prints its result
#   skip TEXT REASON         says and counts what cannot be tried here
#   steps_end                prints the counts; fails if a step did
#   die TEXT...              ends the script

steps_passed=0
steps_failed=0
steps_skipped=0
steps_log=

section() { printf '\n== %s\n' "$*"; }
note() { printf '   %s\n' "$*"; }
die() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

# Milliseconds, without a fork.
now_ms() { now=$((${EPOCHREALTIME/[.,]/} / 1000)); }
# Sets "took" to the seconds since START_MS.
since() {
    local now
    now_ms
    printf -v took '%d.%d' $(((now - $1) / 1000)) $(((now - $1) / 100 % 10))
}

step() {
    local text=$1 now start took
    [ -n "$steps_log" ] || steps_log=$(mktemp)
    shift
    detail=
    now_ms
    start=$now
    if "$@" >"$steps_log" 2>&1 </dev/null; then
        since "$start"
        steps_passed=$((steps_passed + 1))
        printf 'ok      %s%s [%s s]\n' "$text" "${detail:+: $detail}" "$took"
        return 0
    fi
    since "$start"
    steps_failed=$((steps_failed + 1))
    printf 'FAILED  %s%s [%s s]\n' "$text" "${detail:+: $detail}" "$took"
    tail -n "${STEP_LOG_LINES:-12}" "$steps_log" | sed 's/^/        | /'
    return 1
}

skip() {
    steps_skipped=$((steps_skipped + 1))
    printf 'skipped %s: %s\n' "$1" "$2"
}

steps_end() {
    [ -z "$steps_log" ] || rm -f "$steps_log"
    [ $steps_skipped = 0 ] || printf '\n%d skipped' $steps_skipped
    printf '\n%d passed, %d failed\n' "$steps_passed" "$steps_failed"
    [ "$steps_failed" = 0 ]
}

# until_ok, and its detail says after how many milliseconds.
within() {
    local now start
    now_ms
    start=$now
    until_ok "$@" || return 1
    now_ms
    detail="after $((now - start)) ms"
}

# Repeats COMMAND until it succeeds, at most SECONDS.
until_ok() {
    local now end
    now_ms
    end=$((now + $1 * 1000))
    shift
    until "$@"; do
        now_ms
        [ "$now" -lt "$end" ] || return 1
        sleep 0.1
    done
}
