#!/usr/bin/env bash
# soak.sh: the cluster tests again and again on one cluster: what a single run does not show, leftovers and races. Before
# them the long cases over CRI: a gigabyte of output, two hundred pods.
. "$(dirname "$0")/lib.sh"
"$TESTBED/cri.sh" --long
rounds=${SLIPWAY_SOAK_ROUNDS:-10}
for round in $(seq "$rounds"); do
    say "round $round of $rounds"
    "$TESTBED/e2e.sh" "$@"
done
