#!/usr/bin/env bash
# generate.sh --check|--write: the files generated from the API types.
. "$(dirname "$0")/lib.sh"
cd "$ROOT"
cargo run --locked -q -p slipway-crds --bin crdgen -- "$1"
