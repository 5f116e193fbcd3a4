#!/usr/bin/env bash
# test.sh: every test, what fails soonest first. Ends with the closing line of the cluster tests.
. "$(dirname "$0")/lib.sh"
"$TESTBED/lint.sh"
"$TESTBED/unit.sh"
"$TESTBED/fuzz.sh"
"$TESTBED/build.sh" "$(uname -m)"
"$TESTBED/judge.sh"
"$TESTBED/foreign.sh"
"$TESTBED/vm.sh" x86_64
"$TESTBED/cluster.sh" up
"$TESTBED/cri.sh"
"$TESTBED/images.sh"
"$TESTBED/e2e.sh"
