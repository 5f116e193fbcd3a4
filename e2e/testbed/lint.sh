#!/usr/bin/env bash
# lint.sh: formatting, lints as errors, generated files up to date, and the chart as helm sees it.
. "$(dirname "$0")/lib.sh"
cd "$ROOT"

# clippy TARGET FOLDER ARGUMENT...: of a workspace that is built for another target.
clippy() {
    cargo clippy --locked --manifest-path "$2/Cargo.toml" --target "$1" "${@:3}" -- -D warnings
}

guests() {
    local host
    host=$(rustc -vV | sed -n 's/^host: //p')
    clippy wasm32-wasip1 node-installer/canary
    clippy wasm32-wasip2 examples
    clippy wasm32-wasip1 e2e/guests -p guest-commands
    clippy wasm32-wasip2 e2e/guests -p guest-http
    clippy "$host" e2e/guests -p guest-native -p make-bad-modules -p make-large-module
    clippy wasm32-wasip1 e2e/guests/public/rust -p spin-p1
    clippy wasm32-wasip2 e2e/guests/public/rust -p spin-p3 -p wstd-http
    clippy wasm32-wasip1 bench/guests -p bench-hello
    clippy "$host" bench/guests -p bench-native-http
}

formatting() {
    local folder
    for folder in . node-installer/canary examples e2e/guests e2e/guests/public/rust bench/guests; do
        cargo fmt --all --check --manifest-path "$folder/Cargo.toml"
    done
}

step "checking the scripts (shellcheck)" shellcheck \
    shellcheck -x -P "$TESTBED" -P "$TESTBED/vm" -P "$TESTBED/vm/inside" just .ci/run "$TESTBED"/*.sh "$TESTBED/runc-narrow" \
    "$TESTBED"/vm/*.sh "$TESTBED/vm/root/slipway-vm" "$TESTBED"/vm/inside/* \
    "$TESTBED/node/entrypoint" "$TESTBED/node/kubelet-cgroups" "$TESTBED/node/containerd-cgroups" e2e/guests/build e2e/guests/public/build bench/guests/build tools/zig-*
step "checking the formatting" fmt formatting
"$TESTBED/binaries.sh" helm
step "checking the chart (helm lint)" helm-lint helm lint --strict charts/slipway
step "linting the workspace (clippy)" clippy cargo clippy --locked --workspace --all-targets -- -D warnings
step "linting what judges with containerd (clippy)" clippy-judge \
    cargo clippy --locked -p slipway-node-installer --test judge -- -D warnings
step "linting the guests (clippy)" clippy-guests guests
step "checking the generated files" generate "$TESTBED/generate.sh" --check
