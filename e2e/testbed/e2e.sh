#!/usr/bin/env bash
# e2e.sh [ARGUMENT...]: the cluster tests, on the cluster and with the images that are there; arguments go to the test
# binary (a name, --nocapture).
. "$(dirname "$0")/lib.sh"
cd "$ROOT"
show "cluster tests" e2e cargo test --locked -p slipway-e2e --test cluster -- "$@"
