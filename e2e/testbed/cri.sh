#!/usr/bin/env bash
# cri.sh [ARGUMENT...]: the conformance cases over CRI (`e2e/cri`) against several containerds at once, in one container
# made from the node image, without a kubelet. Arguments go to the test program (--filter NAME, --long).
# SLIPWAY_CRI_VERSIONS chooses the containerds (default "2.4 2.1 1.7 1.6"); 1.6, out of support, runs those in OLD.
. "$(dirname "$0")/lib.sh"

read -ra VERSIONS <<<"${SLIPWAY_CRI_VERSIONS:-2.4 2.1 1.7 1.6}"
ARCH=$(uname -m)
NODE=$CLUSTER-cri
WORK=$CACHE/cri
OLD=(--filter lifecycle:: --filter endings:: --filter logs:: --filter resources:: --filter isolation:: --filter users:: --filter images::)

"$TESTBED/docker.sh" up
"$TESTBED/build.sh" "$ARCH/containerd-shim-slipway-v1" "$ARCH/slipway-worker" "$ARCH/slipway-compile" "$ARCH/cri-conformance"
"$TESTBED/guests.sh" --public
"$TESTBED/node-images.sh" 2.4
exclusively cri

# stage: lays out what the container is given, in $WORK.
stage() {
    local program version
    rm -rf "$WORK"
    mkdir -p "$WORK/programs"
    for program in containerd-shim-slipway-v1 slipway-worker slipway-compile cri-conformance; do
        cp "$("$TESTBED/build.sh" --path "$ARCH" $program)" "$WORK/programs/"
    done
    for version in "${VERSIONS[@]}"; do
        "$TESTBED/node-images.sh" --containerd "$version" "$WORK/containerd-$version"
    done
    # Any image needs a program; the shim's sandbox runs none.
    "$TESTBED/image-tar.sh" slipway/pause:cri "$(debian_name "$ARCH")" "$WORK/pause.tar" /native-ticker "$CACHE/stage/e2e-guests/native-ticker"
    "$TESTBED/image-tar.sh" slipway/cri-guests:cri "$(debian_name "$ARCH")" "$WORK/guests.tar" /job.wasm \
        "$CACHE"/stage/e2e-guests/* "$CACHE"/stage/public-guests/* "$CACHE"/stage/large-guest/*
    cp "$TESTBED/cri-node.sh" "$WORK/"
}

remove() { docker rm -f -v "$NODE" >/dev/null 2>&1 || true; }

# make: the container, with systemd as its first process and nothing else running.
make() {
    remove
    docker run -d --name "$NODE" --hostname "$NODE" --privileged --cgroupns private --network none \
        --tmpfs /tmp --tmpfs /run --volume /var --volume "$WORK:/cri:ro" \
        "$("$TESTBED/node-images.sh" --name worker 2.4)"
    until_true 60 docker exec "$NODE" sh -c '[ -S /run/systemd/private ] && systemctl is-active --quiet dbus.socket'
    # The node's own containerd is not the one under test.
    docker exec "$NODE" systemctl stop slipway-images.service containerd.service
}

# instance VERSION: a containerd in it.
instance() {
    docker exec "$NODE" /cri/cri-node.sh "/cri/containerd-$1" "/var/cri/$1" /cri/programs "10.88.${1#*.}" \
        /cri/pause.tar /cri/guests.tar
}

# cases VERSION ARGUMENT...
cases() {
    local version=$1
    shift
    case $version in 1.6) set -- "${OLD[@]}" "$@" ;; esac
    docker exec "$NODE" /cri/programs/cri-conformance --socket "/var/cri/$version/c.sock" \
        --start-command "/var/cri/$version/start" --local-pull-start-command "/var/cri/$version/start local" \
        --registry-hosts "/var/cri/$version/hosts" --scratch "/var/cri/$version/scratch" "$@"
}

# all ARGUMENT...: on all containerds at once; they mostly wait. The output comes one after the other.
all() {
    local version status=0
    local -A running=()
    for version in "${VERSIONS[@]}"; do
        cases "$version" "$@" >"$LOGS/cri-$version.log" 2>&1 &
        running[$version]=$!
    done
    for version in "${VERSIONS[@]}"; do
        wait "${running[$version]}" || status=1
        echo "--- containerd $version"
        cat "$LOGS/cri-$version.log"
    done
    return $status
}

step "laying out what the CRI cases need" cri-stage stage
trap remove EXIT
step "making the node of the CRI cases" cri-node make
for version in "${VERSIONS[@]}"; do
    step "starting containerd $version on it" "cri-instance-$version" instance "$version"
done
show "CRI conformance with containerd ${VERSIONS[*]}" cri all "$@"
