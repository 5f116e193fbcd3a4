#!/usr/bin/env bash
# guests.sh [--public|--bench]: builds everything that is WebAssembly into $CACHE/stage: the canary, the example, the test
# guests; with --public also those that nobody here wrote, with --bench what the benchmark compares.
. "$(dirname "$0")/lib.sh"
exclusively guests

STAGE=$CACHE/stage
mkdir -p "$STAGE"

# public: from packages, which takes minutes the first time.
public() {
    local inputs
    inputs=$(fingerprint "$ROOT/e2e/guests/public" "$ROOT/rust-toolchain.toml" "$(command -v npm || true)")
    [ "$(cat "$STAGE/public-guests.inputs" 2>/dev/null)" != "$inputs" ] || return 0
    rm -rf "$STAGE/public-guests.inputs" "$STAGE/public-guests"
    step "building public guests from their packages" public-guests "$ROOT/e2e/guests/public/build" "$STAGE/public-guests"
    echo "$inputs" >"$STAGE/public-guests.inputs"
}
[ "${1:-}" != --public ] || public

# bench: also from packages.
bench() {
    local inputs
    inputs=$(fingerprint "$ROOT/bench/guests" "$ROOT/.cargo" "$ROOT/rust-toolchain.toml" "$(command -v npm || true)")
    [ "$(cat "$STAGE/bench-guests.inputs" 2>/dev/null)" != "$inputs" ] || return 0
    rm -rf "$STAGE/bench-guests.inputs" "$STAGE/bench-guests"
    step "building what the benchmark compares" bench-guests "$ROOT/bench/guests/build" "$STAGE/bench-guests"
    echo "$inputs" >"$STAGE/bench-guests.inputs"
}
[ "${1:-}" != --bench ] || bench

INPUTS=$(fingerprint "$ROOT/node-installer/canary" "$ROOT/examples" "$ROOT"/e2e/guests/{bad-modules,build,commands,http,large-module,native} \
    "$ROOT"/e2e/guests/Cargo.{lock,toml} "$ROOT/rust-toolchain.toml")
[ "$(cat "$STAGE/guests.inputs" 2>/dev/null)" != "$INPUTS" ] || exit 0

# wasm TARGET FOLDER: builds the workspace in FOLDER.
wasm() {
    cd "$ROOT"
    cargo build --locked --release --target "$1" --manifest-path "$2/Cargo.toml"
}

rm -rf "$STAGE/guests.inputs" "$STAGE/hello-http" "$STAGE/e2e-guests" "$STAGE/large-guest"
step "building the canary (wasm32-wasip1)" canary wasm wasm32-wasip1 node-installer/canary
install -D -m 0644 "$CARGO_TARGET_DIR/wasm32-wasip1/release/canary.wasm" "$STAGE/canary.wasm"
step "building the example (wasm32-wasip2)" example wasm wasm32-wasip2 examples
install -D -m 0755 "$CARGO_TARGET_DIR/wasm32-wasip2/release/hello-http.wasm" "$STAGE/hello-http/hello-http.wasm"
step "building the test guests" guests "$ROOT/e2e/guests/build" "$STAGE/e2e-guests" "$STAGE/large-guest"
echo "$INPUTS" >"$STAGE/guests.inputs"
