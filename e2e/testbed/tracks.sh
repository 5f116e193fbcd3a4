# shellcheck shell=bash
# Runs functions of a script side by side, each with its own log and its name before every line. Sourced, never run.

declare -A TRACKS=()

# end_tracks: ends those that still run, and waits until they have cleaned up.
end_tracks() {
    local name
    for name in "${!TRACKS[@]}"; do
        kill -TERM -- "-${TRACKS[$name]}" 2>/dev/null || true
    done
    wait
    TRACKS=()
}

# track NAME: runs the function NAME in a process group of its own, so that it can be ended with all it has started.
track() {
    set -m
    ("$1") > >(tee "$LOGS/track-$1.log" | sed -u "s/^/$(printf '%-9s' "$1") /") 2>&1 </dev/null &
    TRACKS[$1]=$!
    set +m
}

# name_of PID: the track that has it.
name_of() {
    local name
    for name in "${!TRACKS[@]}"; do
        [ "${TRACKS[$name]}" != "$1" ] || printf '%s' "$name"
    done
}

# side_by_side NAME...: runs these functions at once. The first that fails ends the others, and the script with its error.
side_by_side() {
    local ended name status said
    trap end_tracks EXIT
    trap 'exit 130' INT TERM
    for name; do
        track "$name"
    done
    while [ ${#TRACKS[@]} -gt 0 ]; do
        status=0
        wait -n -p ended "${TRACKS[@]}" || status=$?
        name=$(name_of "$ended")
        unset "TRACKS[$name]"
        [ "$status" -ne 0 ] || continue
        end_tracks
        said=$(tail -n 2 "$LOGS/track-$name.log")
        case $said in
        "error: "*$'\n'"logs:  "*) printf '\n%s\n' "$said" >&2 && exit 1 ;;
        *) die "$name ended with $status: $(culprit "$LOGS/track-$name.log")" "$LOGS/track-$name.log" ;;
        esac
    done
}

# yielding: what the track does from here on lets the others go first.
yielding() { renice -n 10 -p "$BASHPID" >/dev/null; }
