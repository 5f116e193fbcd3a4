#!/usr/bin/env bash
# soak.sh: the cluster tests again and again on one cluster: what a single run does not show, leftovers and races.
. "$(dirname "$0")/lib.sh"
rounds=${SLIPWAY_SOAK_ROUNDS:-10}
for round in $(seq "$rounds"); do
    say "round $round of $rounds"
    "$TESTBED/e2e.sh" "$@"
done
