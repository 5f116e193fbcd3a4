#!/usr/bin/env bash
# images.sh: builds the images of the operator, the installer, the example and the test guests, gives each a tag made
# from its content, loads what the nodes lack, and says what it made in $CACHE/images.env (read by the cluster tests).
. "$(dirname "$0")/lib.sh"

STAGE=$CACHE/stage
ARCH=$(uname -m)

"$TESTBED/docker.sh" up
"$TESTBED/build.sh" "$ARCH"
"$TESTBED/guests.sh"
"$TESTBED/binaries.sh" metrics-server
exclusively images

# put SOURCE STAGED: places a file in a build context, without its times.
put() { install -D -m 0755 "$1" "$STAGE/$2"; }

rm -rf "$STAGE/operator" "$STAGE/node-installer" "$STAGE/metrics-server"
put "$("$TESTBED/build.sh" --path "$ARCH" slipway-operator)" operator/slipway-operator
put "$("$TESTBED/build.sh" --path "$ARCH" slipway-node-installer)" node-installer/slipway-node-installer
for program in containerd-shim-slipway-v1 slipway-worker slipway-compile; do
    put "$("$TESTBED/build.sh" --path "$ARCH" $program)" node-installer/payload/$program
done
put "$STAGE/canary.wasm" node-installer/canary.wasm

# image NAME TAG DOCKERFILE CONTEXT [ARGUMENT...]: builds an image unless the daemon has it.
image() {
    image_exists "$1:$2" ||
        step "building the image $1:$2" "image-${1##*/}" docker build -t "$1:$2" -f "$3" "${@:5}" "$4"
}

put "$(module_bin metrics-server)/metrics-server" metrics-server/metrics-server

# The operator and the installer are released together, so they share a tag.
TAG=dev-$(fingerprint "$STAGE/operator" "$STAGE/node-installer" "$ROOT/operator/Dockerfile" "$ROOT/node-installer/Dockerfile")
image slipway/operator "$TAG" "$ROOT/operator/Dockerfile" "$STAGE/operator"
image slipway/node-installer "$TAG" "$ROOT/node-installer/Dockerfile" "$STAGE/node-installer"
# What a node is upgraded to.
mkdir -p "$STAGE/next-installer"
echo "a file of the next release" >"$STAGE/next-installer/next"
image slipway/node-installer "$TAG-next" "$TESTBED/next-installer.Dockerfile" "$STAGE/next-installer" \
    --build-arg "BASE=slipway/node-installer:$TAG"

IMAGES=("slipway/operator:$TAG" "slipway/node-installer:$TAG" "slipway/node-installer:$TAG-next")
printf 'SLIPWAY_TAG=%s\n' "$TAG" >"$CACHE/images.env.new"

# guest NAME VARIABLE DOCKERFILE: tagged by its own content, and `dev`, which the example's manifest names. (The
# metrics server is a guest of the test bed in this sense.)
guest() {
    local tag
    tag=dev-$(fingerprint "$STAGE/$1" "$3")
    image "slipway/$1" "$tag" "$3" "$STAGE/$1"
    docker tag "slipway/$1:$tag" "slipway/$1:dev"
    IMAGES+=("slipway/$1:$tag" "slipway/$1:dev")
    printf '%s=slipway/%s:%s\n' "$2" "$1" "$tag" >>"$CACHE/images.env.new"
}
guest hello-http SLIPWAY_HELLO_IMAGE "$ROOT/examples/hello-http/Dockerfile"
guest e2e-guests SLIPWAY_GUESTS_IMAGE "$ROOT/e2e/guests/Dockerfile"
guest metrics-server SLIPWAY_METRICS_SERVER_IMAGE "$TESTBED/metrics-server.Dockerfile"

# lacks NODE: whether the images loaded last on a node are others (written there by load).
lacks() {
    local loaded
    loaded=$(docker exec "$1" cat /var/lib/slipway-testbed-images 2>/dev/null) || return 0
    [ "$loaded" != "${IMAGES[*]}" ]
}

# load NODE...: into all of them from one archive.
load() {
    local node tar=$CACHE/images.tar
    docker save -o "$tar" "${IMAGES[@]}"
    for node in "$@"; do
        docker exec -i "$node" ctr -n k8s.io images import - <"$tar"
        docker exec "$node" sh -c "echo '${IMAGES[*]}' >/var/lib/slipway-testbed-images"
    done
    rm -f "$tar"
}

nodes=()
for node in $(cluster_nodes); do
    ! lacks "$node" || nodes+=("$node")
done
if [ ${#nodes[@]} -gt 0 ]; then
    step "loading the images into ${nodes[*]}" images-load load "${nodes[@]}"
fi
mv "$CACHE/images.env.new" "$CACHE/images.env"
