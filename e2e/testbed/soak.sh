#!/usr/bin/env bash
# soak.sh: the cluster tests again and again on one cluster: what a single run does not show, leftovers and races. Before
# them the long cases over CRI: a gigabyte of output, two hundred pods; and whole machines of both
# architectures, their power cut and not.
. "$(dirname "$0")/lib.sh"
"$TESTBED/cri.sh" --long
for arch in x86_64 aarch64; do
    SLIPWAY_VM_POWER_CUTS=yes "$TESTBED/vm.sh" "$arch"
    "$TESTBED/vm.sh" "$arch" --skip restart::containerd_dies --skip churn:: --skip logs::megabytes \
        --skip guests::an_interpreter --skip guests::twenty_five --skip guests::public_commands
done
rounds=${SLIPWAY_SOAK_ROUNDS:-10}
for round in $(seq "$rounds"); do
    say "round $round of $rounds"
    "$TESTBED/e2e.sh" "$@"
done
