#!/usr/bin/env bash
# unit.sh: unit, snapshot and integration tests, and the chart's: no cluster, no containerd.
. "$(dirname "$0")/lib.sh"
cd "$ROOT"
"$TESTBED/binaries.sh" helm
show "unit, snapshot and integration tests" unit cargo test --locked --workspace --exclude slipway-e2e
show "tests of the chart and of the test bed" unit-e2e cargo test --locked -p slipway-e2e --lib --test chart
