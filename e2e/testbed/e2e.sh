#!/usr/bin/env bash
# e2e.sh [ARGUMENT...]: the cluster tests, on the cluster and with the images that are there; arguments go to the test
# binary (a name, --nocapture).
. "$(dirname "$0")/lib.sh"
cd "$ROOT"
# Pods of the demo hold their node, which the tests want bare.
step "removing what the demo runs" e2e-demo kubectl delete --ignore-not-found -f examples/hello-http/k8s.yaml
# A thread for each: they wait for their turn on a node (e2e/src/turn.rs), not for a processor.
show "cluster tests" e2e cargo test --locked -p slipway-e2e --test cluster -- --test-threads 64 "$@"
