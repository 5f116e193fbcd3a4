#!/usr/bin/env bash
# node-images.sh VERSION...: makes a kind node image for each containerd VERSION (1.6, 1.7, 2.1, 2.4), and one for the
# control plane; `node-images.sh --name ROLE VERSION` prints the name of one. `node-images.sh --containerd VERSION FOLDER`
# only puts the programs of a containerd into a folder.
. "$(dirname "$0")/lib.sh"

# What the nodes are made from: `public` is kind's own image, `built` comes from packages.
SOURCE=$(cat "$CACHE/testbed/node-source" 2>/dev/null || echo built)
if [ "$SOURCE" = public ]; then
    KEY=$(fingerprint "$PUBLIC_NODE_IMAGE" "$TESTBED/public.Dockerfile" "$(module_key containerd)" "$TESTBED/versions.env")
else
    KEY=$(fingerprint "$TESTBED/node" "$TESTBED/node.Dockerfile" "$TESTBED/node-images.sh" \
        "$("$TESTBED/debian-root.sh" --name)" "$TESTBED/versions.env" \
        "$(module_key kubernetes)" "$(module_key etcd)" "$(module_key coredns)" "$(module_key containerd)")
fi

# name ROLE VERSION: the node image of a role (control-plane, worker) with a containerd.
name() { printf 'slipway-testbed/%s:containerd-%s-%s-%s\n' "$1" "$2" "$SOURCE" "$KEY"; }

[ "${1:-}" != --name ] || { name "$2" "$3"; exit; }

CONTEXT=$CACHE/testbed/node-context
exclusively testbed-node-images

# programs_of VERSION: lays the programs of a containerd into the build context.
programs_of() {
    local out=$CONTEXT/containerd-$1
    mkdir -p "$CONTEXT"
    case $1 in
    2.4) rm -rf "$out" && mkdir -p "$out" && ln -f "$(module_bin containerd)"/[c]* "$out/" ;;
    2.1) [ -e "$out/ctr" ] || "$TESTBED/debian-containerd.sh" "$SUITE_CONTAINERD_2_1" "$out" ;;
    1.7) [ -e "$out/ctr" ] || "$TESTBED/debian-containerd.sh" "$SUITE_CONTAINERD_1_7" "$out" ;;
    1.6) [ -e "$out/ctr" ] || "$TESTBED/debian-containerd.sh" "$SUITE_CONTAINERD_1_6" "$out" ;;
    *) die "no containerd $1 here: 1.6, 1.7, 2.1 and 2.4 can be had" ;;
    esac
}

# with_containerd VERSION: the same, and its configuration.
with_containerd() {
    local out=$CONTEXT/containerd-$1 schema=2 pause
    programs_of "$1"
    case $1 in 2.*) schema=3 ;; esac
    [ "$SOURCE" = built ] || return 0
    pause=$(kubeadm_images | grep pause)
    sed "s|PAUSE_IMAGE|$pause|" "$TESTBED/node/containerd-v$schema.toml" >"$out.toml"
}

# kubeadm_images: the images kubeadm wants, under the very names it uses.
kubeadm_images() {
    "$(module_bin kubernetes)/kubeadm" config images list --kubernetes-version "$KUBERNETES_VERSION"
}

# kubernetes_images: makes those images, each one static program, and saves them where the nodes import them at boot.
kubernetes_images() {
    local image program
    local -a workers=() control_plane=()
    rm -rf "$CONTEXT/programs" "$CONTEXT/images"
    mkdir -p "$CONTEXT/programs" "$CONTEXT/images"
    ln -f "$(module_bin kubernetes)"/kube-* "$(module_bin coredns)/coredns" "$CONTEXT/programs/"
    ln -f "$(module_bin etcd)/server" "$CONTEXT/programs/etcd"
    "$CACHE/venv/bin/python" -m ziglang cc -target "$(uname -m)-linux-musl" -static -Os -s \
        -o "$CONTEXT/programs/pause" "$TESTBED/node/pause.c"
    for image in $(kubeadm_images); do
        program=${image##*/}
        program=${program%%:*}
        case $program in
        kube-proxy | coredns | pause) workers+=("$image") ;;
        *) control_plane+=("$image") ;;
        esac
        root_of "$program" | docker import -c 'ENV PATH=/:/usr/sbin' -c "ENTRYPOINT $(entrypoint_of "$program")" - "$image"
    done
    docker save -o "$CONTEXT/images/worker.tar" "${workers[@]}"
    docker save -o "$CONTEXT/images/control-plane.tar" "${control_plane[@]}"
    docker rmi -f "${workers[@]}" "${control_plane[@]}" # only wanted in the nodes
}

# root_of PROGRAM: a tar of an image's files. kube-proxy calls tools, which the nodes' root lends with their libraries and
# plugins: the legacy ones, since with nf_tables services lose their addresses or get others' on kernel 6.18.
root_of() {
    local tar=$CONTEXT/programs/$1.tar
    if [ "$1" = kube-proxy ]; then
        docker run --rm --network none "$("$TESTBED/debian-root.sh" --name)" sh -euc '
            cd /usr/sbin
            set -- conntrack iptables-legacy iptables-legacy-save iptables-legacy-restore \
                ip6tables-legacy ip6tables-legacy-save ip6tables-legacy-restore
            plugins=$(ls /usr/lib/*/xtables/*.so)
            { ldd "$@" $plugins | grep -o "/[^ ]*[^: ]"; for tool; do echo "/usr/sbin/$tool"; done; } | sort -u >/tmp/files
            tar -chPf - --transform s,-legacy,, -T /tmp/files' >"$tar"
    else
        tar -cf "$tar" -T /dev/null
    fi
    tar -C "$CONTEXT/programs" --transform 's,^kube-proxy$,usr/local/bin/kube-proxy,' -rf "$tar" "$1"
    cat "$tar"
    rm -f "$tar"
}

# entrypoint_of PROGRAM: kubeadm's manifests give CoreDNS arguments only; the kubelet gives pause nothing at all.
entrypoint_of() {
    case $1 in
    coredns | pause) printf '["/%s"]' "$1" ;;
    *) printf '[]' ;;
    esac
}

common_context() {
    rm -rf "${CONTEXT:?}/bin"
    mkdir -p "$CONTEXT/bin"
    ln -f "$(module_bin kubernetes)"/kube{adm,ctl,let} "$CONTEXT/bin/"
    cp "$TESTBED"/node/{entrypoint,kubelet-cgroups,containerd-cgroups,containerd-cgroups.conf,kubelet.service,slipway-images.service} "$CONTEXT/"
    echo "$KUBERNETES_VERSION" >"$CONTEXT/version"
}

# node_image ROLE VERSION
node_image() {
    local image base=$PUBLIC_NODE_IMAGE file=public.Dockerfile
    image=$(name "$1" "$2")
    if [ "$SOURCE" = built ]; then
        base=$("$TESTBED/debian-root.sh" --name) file=node.Dockerfile
    fi
    step "building the $1 image with containerd $2" "node-image-$1-$2" docker build -t "$image" --target "$1" \
        --build-arg BASE="$base" --build-arg CONTAINERD="$2" -f "$TESTBED/$file" "$CONTEXT"
}

if [ "${1:-}" = --containerd ]; then
    "$TESTBED/binaries.sh" containerd
    programs_of "$2"
    mkdir -p "$3"
    cp "$CONTEXT/containerd-$2"/* "$3/"
    exit
fi

missing=
for version in "$@"; do
    image_exists "$(name worker "$version")" || missing="$missing $version"
done
[ -n "$missing" ] || image_exists "$(name control-plane 2.4)" || missing=2.4
[ -n "$missing" ] || exit 0

if [ "$SOURCE" = built ]; then
    "$TESTBED/binaries.sh" kubernetes etcd coredns containerd
    "$TESTBED/debian-root.sh"
    common_context
    step "building the images of Kubernetes' components" kubernetes-images kubernetes_images
else
    "$TESTBED/binaries.sh" containerd
fi
for version in $missing 2.4; do
    with_containerd "$version"
    image_exists "$(name worker "$version")" || node_image worker "$version"
done
node_image control-plane 2.4
docker image prune -f >>"$LOGS/node-images.log" 2>&1
