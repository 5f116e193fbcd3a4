#!/usr/bin/env bash
# foreign.sh: the aarch64 programs of a node, run once in emulation: they start, say what they are, and compile and run a
# module. Built quickly: emulation runs them a few seconds, and link time optimisation for another processor takes ten
# minutes (`./just build-all`, and `./just vm aarch64`, have it).
export SLIPWAY_QUICK=1
. "$(dirname "$0")/lib.sh"

for program in containerd-shim-slipway-v1 slipway-worker slipway-compile slipway-node-installer; do
    PROGRAMS="${PROGRAMS:-} aarch64/$program"
done
# shellcheck disable=SC2086 # a list of words
"$TESTBED/build.sh" $PROGRAMS
"$TESTBED/guests.sh"

# emulated PROGRAM ARGUMENT...
emulated() {
    local program
    program=$("$TESTBED/build.sh" --path aarch64 "$1")
    qemu-aarch64-static "$program" "${@:2}"
}

# answers PROGRAM TEXT ARGUMENT...: whether the program ends well and its output has TEXT.
answers() {
    local output
    output=$(emulated "$1" "${@:3}" 2>&1)
    printf '%s\n' "$output"
    grep -qF -- "$2" <<<"$output" || {
        echo "error: $1 ${*:3}: its output lacks '$2'"
        return 1
    }
}

all() {
    local code=$CACHE/stage/canary-aarch64.cwasm
    answers containerd-shim-slipway-v1 containerd-shim-slipway-v1 -v
    answers slipway-worker slipway-worker --version
    answers slipway-compile slipway-compile --version
    answers slipway-node-installer uninstall --help
    emulated slipway-compile --output "$code" "$CACHE/stage/canary.wasm"
    answers slipway-worker 'slipway canary ok' run "$code"
}
step "running the aarch64 programs in emulation (qemu-user)" foreign all
