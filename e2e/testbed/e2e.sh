#!/usr/bin/env bash
# e2e.sh [ARGUMENT...]: the cluster tests, on the cluster and with the images that are there; arguments go to the test
# binary (a name, --nocapture).
. "$(dirname "$0")/lib.sh"
cd "$ROOT"
# Pods of the demo hold their node, which the tests want bare.
step "removing what the demo runs" e2e-demo kubectl delete --ignore-not-found -f examples/hello-http/k8s.yaml

# run ARGUMENT...: a thread for each test, since they wait for their turn on a node (e2e/src/turn.rs) and not for a processor.
# That they wait long is nothing to tell.
run() {
    cargo test --locked -p slipway-e2e --test cluster -- --test-threads 64 "$@" |
        sed -u '/^test .* has been running for over 60 seconds$/d'
}

show "cluster tests" e2e run "$@"
