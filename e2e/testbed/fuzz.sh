#!/usr/bin/env bash
# fuzz.sh [TARGET...]: feeds what reads untrusted bytes (fuzz/targets) with the inputs in fuzz/corpus and with what libFuzzer
# makes of them, SLIPWAY_FUZZ_SECONDS (60) each, two at a time. What it finds is a file, to be given to the program again.
. "$(dirname "$0")/lib.sh"
cd "$ROOT"
seconds=${SLIPWAY_FUZZ_SECONDS:-60}
found=$CACHE/fuzz/found
host=$(rustc -vV | sed -n 's/^host: //p')
programs=$CARGO_TARGET_DIR/$host/fuzz
targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
    for source in fuzz/targets/*.rs; do
        targets+=("$(basename "$source" .rs)")
    done
fi
mkdir -p "$found"
# Thousands of synced files, of what unpacks archives: in memory they cost nothing.
[ ! -w /dev/shm ] || export TMPDIR=/dev/shm

# Coverage that libFuzzer steers by, as cargo-fuzz asks for it; a stable compiler has all of it but the sanitizers.
build() {
    local flags=-Cpasses=sancov-module argument
    for argument in level=4 inline-8bit-counters pc-table trace-compares; do
        flags+=" -Cllvm-args=-sanitizer-coverage-$argument"
    done
    RUSTFLAGS=$flags cargo build --locked --profile fuzz --target "$host" -p slipway-fuzz
}

# one TARGET: no panic, no input that takes 5 s, no more than 512 MiB. New inputs are kept, so that the next run goes on.
one() {
    local corpus=$CACHE/fuzz/corpus/$1 options=()
    mkdir -p "$corpus"
    [ ! -f "fuzz/$1.dict" ] || options+=("-dict=fuzz/$1.dict")
    "$programs/fuzz-$1" "$corpus" "fuzz/corpus/$1" "${options[@]}" -max_total_time="$seconds" -max_len=16384 -timeout=5 \
        -rss_limit_mb=512 -print_final_stats=1 -verbosity=0 -artifact_prefix="$found/$1-" >"$LOGS/fuzz-$1.log" 2>&1
}

# all: two at a time.
all() {
    local target failed=0 pids=() names=()
    for target in "${targets[@]}" ''; do
        if [ ${#pids[@]} -eq 2 ] || [ -z "$target" ]; then
            for index in "${!pids[@]}"; do
                if wait "${pids[index]}"; then
                    detail "${names[index]}: $(summary "${names[index]}")"
                else
                    failed=1
                    echo "error: fuzz-${names[index]}: $(finding "$LOGS/fuzz-${names[index]}.log")"
                fi
            done
            pids=() names=()
        fi
        [ -n "$target" ] || break
        one "$target" &
        pids+=($!) names+=("$target")
    done
    return $failed
}

# finding LOG: what was wrong, and the input that shows it.
finding() {
    local what file
    what=$(grep -aA1 'panicked at' "$1" | paste -sd' ') || what=$(culprit "$1")
    file=$(sed -n 's/.*Test unit written to //p' "$1")
    echo "${what:0:400}; the input is ${file:-none}, the log $1"
}

# summary TARGET: what libFuzzer counted.
summary() {
    sed -n -e 's/^stat::number_of_executed_units: */inputs: /p' -e 's/^stat::peak_rss_mb: */MiB at most: /p' \
        "$LOGS/fuzz-$1.log" | paste -sd' ' | sed 's/ MiB/, MiB/'
}

step "building the fuzz targets" fuzz-build build
show "fuzzing what reads untrusted bytes (${#targets[@]} targets, ${seconds}s each)" fuzz all
