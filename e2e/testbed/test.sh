#!/usr/bin/env bash
# test.sh: every test, from nothing. What fails soonest comes first, and what computes runs beside what waits: first all
# that is built, then all that needs it.
. "$(dirname "$0")/lib.sh"
. "$TESTBED/tracks.sh"
ARCH=$(uname -m)

checks() {
    "$TESTBED/lint.sh"
    "$TESTBED/unit.sh"
}

programs() {
    "$TESTBED/build.sh" "$ARCH" "$ARCH/cri-conformance"
    "$TESTBED/guests.sh" --public
}

nodes() {
    "$TESTBED/vm/prerequisites.sh"
    "$TESTBED/cluster.sh" up
    "$TESTBED/binaries.sh" metrics-server
    "$TESTBED/vm/root.sh" x86_64
}

fuzzing() {
    yielding
    "$TESTBED/fuzz.sh"
}

machines() {
    yielding
    "$TESTBED/foreign.sh"
    "$TESTBED/judge.sh"
    "$TESTBED/vm.sh" x86_64
}

clusters() {
    "$TESTBED/cri.sh"
    "$TESTBED/images.sh"
    "$TESTBED/e2e.sh"
}

side_by_side checks programs nodes
side_by_side clusters machines fuzzing
say "every test has passed"
