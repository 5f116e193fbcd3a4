#!/usr/bin/env bash
# containerd.sh [--name] ARCH: the newest containerd of the test bed for a machine, in the folder that `--name` prints.
. "$(dirname "$0")/../lib.sh"

[ "$1" = --name ] && shift && only_name=yes
ARCH=$1
if [ "$ARCH" = "$(uname -m)" ]; then
    OUT=$(module_bin containerd)
else
    KEY=$(fingerprint "$ARCH" "$TESTBED/go/containerd" "$TESTBED/vm/containerd.sh" "$CONTAINERD_VERSION" "$GO_TOOLCHAIN")
    OUT=$CACHE/testbed/containerd-$ARCH-$KEY
fi
[ -z "${only_name:-}" ] || { printf '%s\n' "$OUT"; exit; }

# cross_build: Go needs nothing but to be told.
cross_build() {
    local package=github.com/containerd/containerd/v2
    cd "$TESTBED/go/containerd" || return
    CGO_ENABLED=0 GOFLAGS='' GOTOOLCHAIN=auto GOOS=linux GOARCH=$(debian_name "$ARCH") \
        nice go build -mod=readonly -trimpath -buildvcs=false -p "$(nproc)" \
        -ldflags "-s -w -X $package/version.Version=$CONTAINERD_VERSION" -o "$OUT.new/" \
        "$package"/cmd/{containerd,containerd-shim-runc-v2,ctr}
}

if [ "$ARCH" = "$(uname -m)" ]; then
    "$TESTBED/binaries.sh" containerd
elif [ ! -e "$OUT" ]; then
    exclusively "testbed-containerd-$ARCH"
    rm -rf "$OUT.new"
    mkdir -p "$OUT.new"
    step "building containerd $CONTAINERD_VERSION for $ARCH (Go)" "go-containerd-$ARCH" cross_build
    mv "$OUT.new" "$OUT"
    keep_only "$CACHE/testbed" "containerd-$ARCH-" "${OUT##*-}"
fi
