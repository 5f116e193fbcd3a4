#!/usr/bin/env bash
# binaries.sh [MODULE...]: builds the Go programs of the test bed (all of them without arguments), each module once
# for its inputs, to the folder that `module_bin MODULE` names, and links what a person uses into $CACHE/bin.
. "$(dirname "$0")/lib.sh"

# build MODULE PATH VERSION LDFLAGS PACKAGE...: builds PACKAGEs of the Go module PATH, whose go.mod must have VERSION.
build() {
    local module=$1 path=$2 version=$3 ldflags=$4 out
    shift 4
    out=$(module_bin "$module")
    [ ! -e "$out/.complete" ] || return 0
    # One lock a module: helm is wanted long before Kubernetes is built.
    exclusively "testbed-bin-$module"
    [ ! -e "$out/.complete" ] || return 0
    grep -qE "(^|[[:space:]])$path $version( |\$)" "$TESTBED/go/$module/go.mod" ||
        die "versions.env says $path $version, e2e/testbed/go/$module/go.mod another version: make them agree"
    rm -rf "$out.new" "$out"
    mkdir -p "$out.new"
    step "building $module $version (Go)" "go-$module" compile "$module" "$out.new/" "-s -w $ldflags" "$@"
    touch "$out.new/.complete"
    mv "$out.new" "$out"
    keep_only "$CACHE/testbed" "bin-$module-" "${out##*-}"
}

# compile MODULE OUT LDFLAGS PACKAGE...: static, and the same bytes wherever it is built.
compile() {
    local module=$1 out=$2 ldflags=$3
    shift 3
    cd "$TESTBED/go/$module" || return
    CGO_ENABLED=0 GOFLAGS='' GOTOOLCHAIN=auto \
        nice go build -mod=readonly -trimpath -buildvcs=false -p "$(nproc)" -ldflags "$ldflags" -o "$out" "$@"
}

module_kubernetes() {
    # Without its version stamped in, kubeadm refuses itself ("v0.0.0-master") and kubelets report nonsense.
    local v=k8s.io/component-base/version minor=${KUBERNETES_VERSION#v1.}
    build kubernetes k8s.io/kubernetes "$KUBERNETES_VERSION" \
        "-X $v.gitVersion=$KUBERNETES_VERSION -X $v.gitMajor=1 -X $v.gitMinor=${minor%%.*} -X $v.gitTreeState=clean" \
        k8s.io/kubernetes/cmd/{kube-apiserver,kube-controller-manager,kube-proxy,kube-scheduler,kubeadm,kubectl,kubelet}
}
module_etcd() {
    build etcd go.etcd.io/etcd/server/v3 "$ETCD_VERSION" "" go.etcd.io/etcd/server/v3
}
module_coredns() {
    build coredns github.com/coredns/coredns "$COREDNS_VERSION" "" .
}
module_containerd() {
    local c=github.com/containerd/containerd/v2
    build containerd "$c" "$CONTAINERD_VERSION" "-X $c/version.Version=$CONTAINERD_VERSION" \
        $c/cmd/{containerd,containerd-shim-runc-v2,ctr}
}
module_metrics-server() {
    local m=sigs.k8s.io/metrics-server
    build metrics-server $m "$METRICS_SERVER_VERSION" "" $m/cmd/metrics-server
}
module_kind() {
    build kind sigs.k8s.io/kind "$KIND_VERSION" "" sigs.k8s.io/kind
    ln -sf "$(module_bin kind)/kind" "$CACHE/bin/kind"
}
module_helm() {
    build helm helm.sh/helm/v4 "$HELM_VERSION" "-X helm.sh/helm/v4/internal/version.version=$HELM_VERSION" \
        helm.sh/helm/v4/cmd/helm
    ln -sf "$(module_bin helm)/helm" "$CACHE/bin/helm"
}

mkdir -p "$CACHE/testbed"
[ $# -gt 0 ] || set -- kubernetes etcd coredns containerd metrics-server kind helm
for module in "$@"; do
    "module_$module"
done
if [ -e "$(module_bin kubernetes)/kubectl" ]; then
    ln -sf "$(module_bin kubernetes)/kubectl" "$CACHE/bin/kubectl"
fi
