# shellcheck shell=bash
# What the benchmarks' scripts share: their options, and where results go. Sourced after lib.sh, never run.

# measuring NAME OPTION...: for the benchmark NAME, takes --json FILE and --markdown FILE out of what the script was given and
# leaves the rest in $MEASURE, for the program. Results go to $RESULTS.
measuring() {
    WORK=$CACHE/$1
    RESULTS=$WORK/results.json
    JSON='' MARKDOWN=''
    MEASURE=()
    shift
    while [ $# -gt 0 ]; do
        case $1 in
        --json) JSON=$(realpath -m "$2") && shift 2 ;;
        --markdown) MARKDOWN=$(realpath "$2") && shift 2 ;;
        *) MEASURE+=("$1") && shift ;;
        esac
    done
}

# about: what is measured, for the results. The page that they are written into is no part of it.
about() {
    local dirty=''
    git -C "$ROOT" diff --quiet HEAD -- . ':!docs/benchmarks.md' || dirty=-dirty
    printf 'Measured on %s, commit %s%s%s' "$(date -u +%F)" "$(git -C "$ROOT" rev-parse --short=10 HEAD)" "$dirty" \
        "${SLIPWAY_QUICK:+ (quick builds of our programs: slower than what is shipped)}"
}

# show_results PROGRAM: prints $RESULTS and puts them where the options say.
show_results() {
    local -a page=()
    [ -z "$MARKDOWN" ] || page=(--markdown "$MARKDOWN")
    show "results" "$(basename "$WORK")-results" "$1" show "$RESULTS" "${page[@]}"
    [ -z "$JSON" ] || cp "$RESULTS" "$JSON"
    detail "all that was measured is in ${JSON:-$RESULTS}"
}
