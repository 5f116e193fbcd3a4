#!/usr/bin/env bash
# build.sh ARCH[/PROGRAM]...: the programs that run on nodes and in the cluster, for x86_64 and aarch64: static, each
# built by itself so that features do not unify, and built again only when what it is made from changes.
# `build.sh --path ARCH PROGRAM` prints where one is. SLIPWAY_QUICK=1 asks, in both, for programs that are built in a
# fraction of the time and run slower: to try something out, or to run it once.
. "$(dirname "$0")/lib.sh"

# PROGRAM PACKAGE PROFILE MOST, in KiB: what is resident in every pod or container has a bound (docs/adr/0002).
PROGRAMS='containerd-shim-slipway-v1 slipway-shim-pod node 1536
slipway-worker slipway-shim-worker node 11264
slipway-compile slipway-shim-compile node -
slipway-node-installer slipway-node-installer node -
slipway-operator slipway-operator release -'

# Built only when asked for by name.
TESTS='cri-conformance slipway-e2e-cri release -
slipway-bench slipway-bench release -
slipway-bench-operator slipway-bench-operator release -'

if [ -n "${SLIPWAY_QUICK:-}" ]; then
    PROGRAMS=$(awk '{ print $1, $2, "quick", "-" }' <<<"$PROGRAMS")
    TESTS=$(awk '{ print $1, $2, "quick", "-" }' <<<"$TESTS")
fi

# tree PACKAGE ARCH: what a program is made from, with versions and features, a line each.
tree() {
    cd "$ROOT"
    cargo tree --locked -q -p "$1" -e normal,build --prefix none -f '{p} {f}' --target "$2-unknown-linux-musl" |
        sed 's/ (\*)$//' | LC_ALL=C sort -u
}

# path ARCH PROGRAM PACKAGE PROFILE: the name changes with what the program is made from, tests and other programs'
# dependencies left out.
path() {
    local tree crate part
    local -a made_from=("$ROOT/.cargo" "$ROOT/tools" "$ROOT/rust-toolchain.toml")
    tree=$(tree "$3" "$1")
    [ -n "$tree" ] || die "cargo tree does not know the package $3"
    while read -r crate; do
        for part in src Cargo.toml build.rs; do
            [ ! -e "$crate/$part" ] || made_from+=("$crate/$part")
        done
    done < <(grep -o '(/[^)]*)' <<<"$tree" | tr -d '()')
    made_from+=("${tree//"$ROOT/"/}" "$(sed -n '/^\[profile/,$p' "$ROOT/Cargo.toml")")
    printf '%s/dist/%s/%s/%s-%s/%s' "$CACHE" "$1" "$4" "$2" "$(fingerprint "$3" "${made_from[@]}")" "$2"
}

compile() {
    cd "$ROOT"
    cargo build --locked --profile "$3" -p "$2" --bin "$1" --target "$4-unknown-linux-musl"
}

# static FILE: refuses a program that wants a loader, which no node can be asked to have.
static() {
    ! readelf -l "$1" | grep -q INTERP || die "$1 is not static"
}

# build ARCH PROGRAM PACKAGE PROFILE MOST
build() {
    local out size
    out=$(path "$@")
    if [ ! -e "$out" ]; then
        step "building $2 for $1" "cargo-$2-$1" compile "$2" "$3" "$4" "$1"
        rm -rf "$CACHE/dist/$1/$4/$2-"*
        mkdir -p "$(dirname "$out")"
        cp "$CARGO_TARGET_DIR/$1-unknown-linux-musl/$4/$2" "$out.new"
        static "$out.new"
        size=$((($(stat -c %s "$out.new") + 1023) / 1024))
        [ "$5" = - ] || [ "$size" -le "$5" ] || die "$2 has $size KiB, and at most $5 are allowed (docs/adr/0002)"
        detail "$2: $size KiB"
        mv "$out.new" "$out"
    fi
}

if [ "${1:-}" = --path ]; then
    # shellcheck disable=SC2046 # program, package and profile are three words
    path "$2" $(grep "^$3 " <<<"$PROGRAMS"$'\n'"$TESTS")
    exit
fi

exclusively build
for wanted in "$@"; do
    rows=$PROGRAMS
    [[ $wanted != */* ]] || rows+=$'\n'$TESTS
    while read -r program package profile most; do
        case $wanted in
        "${wanted%%/*}" | */"$program") build "${wanted%%/*}" "$program" "$package" "$profile" "$most" ;;
        esac
    done <<<"$rows"
done
