#!/usr/bin/env bash
# bench-operator.sh [--json FILE] [--markdown FILE] [ARGUMENT...]: measures what the operator asks of an API server with many
# nodes (`bench/operator`), with etcd, the API server and the operator as processes of this machine. The results go to FILE as
# JSON, and into the block of FILE between the marks (docs/benchmarks.md). Arguments go to `slipway-bench-operator run`:
# --nodes N, --at-once N, --rest SECONDS, --deadline SECONDS.
. "$(dirname "$0")/lib.sh"

ARCH=$(uname -m)
WORK=$CACHE/bench-operator
RESULTS=$WORK/results.json
JSON='' MARKDOWN=''
MEASURE=()
while [ $# -gt 0 ]; do
    case $1 in
    --json) JSON=$(realpath -m "$2") && shift 2 ;;
    --markdown) MARKDOWN=$(realpath "$2") && shift 2 ;;
    *) MEASURE+=("$1") && shift ;;
    esac
done

program() { "$TESTBED/build.sh" --path "$ARCH" "$1"; }

about() {
    printf 'Measured on %s, commit %s%s' "$(date -u +%F)" "$(git -C "$ROOT" describe --always --dirty --abbrev=10)" \
        "${SLIPWAY_QUICK:+ (quick build of the operator: slower than what is shipped)}"
}

measure() {
    rm -rf "$WORK/scratch" "$RESULTS"
    "$(program slipway-bench-operator)" run --etcd "$(module_bin etcd)/server" \
        --kube-apiserver "$(module_bin kubernetes)/kube-apiserver" --operator "$(program slipway-operator)" \
        --base "$ROOT/config/base/slipway.yaml" --scratch "$WORK/scratch" --about "$(about)" \
        --json "$RESULTS" "${MEASURE[@]}"
    rm -rf "$WORK/scratch"
}

results() {
    local -a page=()
    [ -z "$MARKDOWN" ] || page=(--markdown "$MARKDOWN")
    "$(program slipway-bench-operator)" show "$RESULTS" "${page[@]}"
}

"$TESTBED/binaries.sh" etcd kubernetes
"$TESTBED/build.sh" "$ARCH/slipway-operator" "$ARCH/slipway-bench-operator"
exclusively bench-operator
mkdir -p "$WORK"
show "measuring" bench-operator measure
show "results" bench-operator-results results
if [ -n "$JSON" ]; then
    cp "$RESULTS" "$JSON"
fi
detail "all counts are in ${JSON:-$RESULTS}"
