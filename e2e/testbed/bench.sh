#!/usr/bin/env bash
# bench.sh [--json FILE] [--markdown FILE] [ARGUMENT...]: measures how fast pods start, what they take and how much they
# serve (`bench`), with containerd 2.4 in one container made from the node image, without a kubelet. The results go to FILE as
# JSON, and into the block of FILE between the marks (docs/benchmarks.md). Arguments go to `slipway-bench run`:
# --only start|memory|worker|http|churn, --kinds 'NAME;NAME', --rounds N, --pods N,N, --seconds N, --churn N, … SLIPWAY_BENCH_WASMTIME=no leaves
# `wasmtime serve` out, whose build takes minutes, once.
. "$(dirname "$0")/lib.sh"
. "$TESTBED/measuring.sh"

ARCH=$(uname -m)
NODE=$CLUSTER-bench
measuring bench "$@"
NODE_PROGRAMS=(containerd-shim-slipway-v1 slipway-worker slipway-compile slipway-bench)

# build_wasmtime FOLDER VERSION: with what `serve` uses of its features, for the machine's own libc as it is published.
build_wasmtime() {
    rm -rf "$1" "$1.new" "$1.target"
    CARGO_TARGET_DIR=$1.target cargo install --locked --root "$1.new" --version "$2" wasmtime-cli --no-default-features \
        --features run,serve,cranelift,parallel-compilation,pooling-allocator,component-model-async,logging
    rm -rf "$1.target"
    mv "$1.new" "$1"
}

# wasmtime: prints where the engine's own program is, of the version that our shim has.
wasmtime() {
    local version
    version=$(sed -n '/^name = "wasmtime"$/{n;s/version = "\(.*\)"/\1/p}' "$ROOT/Cargo.lock")
    printf '%s/wasmtime/%s\n' "$CACHE" "$version"
}

# stage: lays out what the container is given, in $WORK.
stage() {
    local program files=("$CACHE/stage/bench-guests"/* "$CACHE/stage/hello-http/hello-http.wasm")
    rm -rf "$WORK/programs" "$WORK/containerd" "$WORK/loader" "$RESULTS"
    mkdir -p "$WORK/programs" "$WORK/loader"
    for program in "${NODE_PROGRAMS[@]}"; do
        cp "$("$TESTBED/build.sh" --path "$ARCH" "$program")" "$WORK/programs/"
    done
    # For the worker that is started alone.
    "$WORK/programs/slipway-compile" --output "$WORK/programs/hello.cwasm" "$CACHE/stage/bench-guests/hello.wasm"
    "$WORK/programs/slipway-compile" --output "$WORK/programs/hello-http.cwasm" "$CACHE/stage/hello-http/hello-http.wasm"
    "$TESTBED/node-images.sh" --containerd 2.4 "$WORK/containerd"
    if [ -x "$(wasmtime)/bin/wasmtime" ] && [ "${SLIPWAY_BENCH_WASMTIME:-}" != no ]; then
        dynamic "$(wasmtime)/bin/wasmtime"
        files+=("$(wasmtime)/bin/wasmtime" "$WORK/loader"/*)
    fi
    "$TESTBED/image-tar.sh" slipway/pause:cri "$(debian_name "$ARCH")" "$WORK/pause.tar" /pause "$WORK/pause"
    "$TESTBED/image-tar.sh" slipway/bench:dev "$(debian_name "$ARCH")" "$WORK/guests.tar" /hello.wasm "${files[@]}"
    cp "$TESTBED/cri-node.sh" "$WORK/"
}

# dynamic PROGRAM: the loader and the libraries of a program, flat: its image has nothing else.
dynamic() {
    local library
    while read -r library; do
        cp -L "$library" "$WORK/loader/"
    done < <(ldd "$1" | grep -o '/[^ ]*')
    cp "$WORK"/loader/ld-linux-* "$WORK/loader/loader"
}

pause() { "$ROOT/tools/zig-cc-$ARCH" -static -Os -s -o "$WORK/pause" "$TESTBED/node/pause.c"; }

remove() { docker rm -f -v "$NODE" >/dev/null 2>&1 || true; }

# make: the container, with systemd as its first process and one containerd.
make() {
    remove
    docker run -d --name "$NODE" --hostname "$NODE" --privileged --cgroupns private --network none \
        --tmpfs /tmp --tmpfs /run --volume /var --volume "$WORK:/bench:ro" \
        "$("$TESTBED/node-images.sh" --name worker 2.4)"
    until_true 60 docker exec "$NODE" sh -c '[ -S /run/systemd/private ] && systemctl is-active --quiet dbus.socket'
    # The node's own containerd and kubelet would be noise.
    docker exec "$NODE" systemctl stop slipway-images.service containerd.service kubelet.service
    docker exec "$NODE" /bench/cri-node.sh /bench/containerd /var/cri/bench /bench/programs 10.88.4 \
        /bench/pause.tar /bench/guests.tar
}

measure() {
    local status=0
    docker exec "$NODE" /bench/programs/slipway-bench run --socket /var/cri/bench/c.sock --scratch /var/cri/bench/scratch \
        --alone /bench/programs --about "$(about)" --json /var/cri/bench/results.json "${MEASURE[@]}" || status=$?
    [ $status -eq 0 ] || { docker exec "$NODE" tail -n 20 /var/cri/bench/log; return $status; }
    docker exec "$NODE" cat /var/cri/bench/results.json >"$RESULTS"
}

"$TESTBED/docker.sh" up
"$TESTBED/build.sh" "${NODE_PROGRAMS[@]/#/$ARCH/}"
"$TESTBED/guests.sh" --bench
"$TESTBED/node-images.sh" 2.4
exclusively bench
mkdir -p "$WORK"
if [ ! -x "$(wasmtime)/bin/wasmtime" ] && [ "${SLIPWAY_BENCH_WASMTIME:-}" != no ]; then
    step "building wasmtime $(basename "$(wasmtime)") to compare with (once; several minutes)" bench-wasmtime \
        build_wasmtime "$(wasmtime)" "$(basename "$(wasmtime)")"
fi
step "building the pause container" bench-pause pause
step "laying out what the benchmark needs" bench-stage stage
trap remove EXIT
step "making the node of the benchmark" bench-node make
others=$(docker ps --format '{{.Names}}' | grep -vx "$NODE" | paste -sd' ') || true
[ -z "$others" ] || detail "hint: other containers run meanwhile and will be heard: $others"
show "measuring" bench measure
show_results "$WORK/programs/slipway-bench"
