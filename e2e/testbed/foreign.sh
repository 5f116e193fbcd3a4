#!/usr/bin/env bash
# foreign.sh: the aarch64 programs of a node, run once in emulation: they start, say what they are, and compile and run a
# module. As cargo builds them for development: link time optimisation for another processor would take ten minutes, for
# seconds of emulation. `./just build-all` and `./just vm aarch64` have the real ones.
. "$(dirname "$0")/lib.sh"
TARGET=aarch64-unknown-linux-musl
# Its own: cargo has one build at a time in a folder, and the cluster tests do not wait for this one.
FOLDER=$CARGO_TARGET_DIR/foreign

"$TESTBED/guests.sh"

build() {
    cd "$ROOT"
    # zig has C checked at run time when it is not optimised, and this linker has not what that calls.
    export CFLAGS_aarch64_unknown_linux_musl=-fno-sanitize=undefined
    cargo build --locked --target-dir "$FOLDER" --target "$TARGET" --bins -p slipway-shim-pod -p slipway-shim-worker \
        -p slipway-shim-compile -p slipway-node-installer
}

# emulated PROGRAM ARGUMENT...
emulated() { qemu-aarch64-static "$FOLDER/$TARGET/debug/$1" "${@:2}"; }

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
step "building the node's programs for aarch64" foreign-build build
step "running the aarch64 programs in emulation (qemu-user)" foreign all
