#!/usr/bin/env bash
# judge.sh: has the test bed's containerds (1.6, 1.7, 2.1, 2.4) judge what the installer writes, on every kind of node and
# after random sequences of what can happen to one. SLIPWAY_JUDGE_CASES is the number of sequences a version (default 8),
# SLIPWAY_JUDGE_SEED chooses others.
. "$(dirname "$0")/lib.sh"
cd "$ROOT"
export SLIPWAY_CONTAINERDS=$CACHE/judge
# Thousands of synced writes: in memory they cost nothing.
[ ! -w /dev/shm ] || export TMPDIR=/dev/shm

exclusively judge
# Copies, for as long as this runs: another command may lay out its node images anew meanwhile.
trap 'rm -rf "$SLIPWAY_CONTAINERDS"' EXIT
for version in 1.6 1.7 2.1 2.4; do
    "$TESTBED/node-images.sh" --containerd "$version" "$SLIPWAY_CONTAINERDS/containerd-$version"
done
show "containerd 1.6, 1.7, 2.1 and 2.4 judge what the installer writes" judge \
    cargo test --locked -p slipway-node-installer --test judge
