#!/usr/bin/env bash
# bench-operator.sh [--json FILE] [--markdown FILE] [ARGUMENT...]: measures what the operator asks of an API server with many
# nodes (`bench/operator`), with etcd, the API server and the operator as processes of this machine. The results go to FILE as
# JSON, and into the block of FILE between the marks (docs/benchmarks.md). Arguments go to `slipway-bench-operator run`:
# --nodes N, --at-once N, --rest SECONDS, --deadline SECONDS.
. "$(dirname "$0")/lib.sh"
. "$TESTBED/measuring.sh"

ARCH=$(uname -m)
measuring bench-operator "$@"

program() { "$TESTBED/build.sh" --path "$ARCH" "$1"; }

measure() {
    rm -rf "$WORK/scratch" "$RESULTS"
    "$(program slipway-bench-operator)" run --etcd "$(module_bin etcd)/server" \
        --kube-apiserver "$(module_bin kubernetes)/kube-apiserver" --operator "$(program slipway-operator)" \
        --base "$ROOT/config/base/slipway.yaml" --scratch "$WORK/scratch" --about "$(about)" \
        --json "$RESULTS" "${MEASURE[@]}"
    rm -rf "$WORK/scratch"
}

"$TESTBED/binaries.sh" etcd kubernetes
"$TESTBED/build.sh" "$ARCH/slipway-operator" "$ARCH/slipway-bench-operator"
exclusively bench-operator
mkdir -p "$WORK"
show "measuring" bench-operator measure
show_results "$(program slipway-bench-operator)"
