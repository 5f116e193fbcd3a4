#!/usr/bin/env bash
# cluster.sh up|down: the kind cluster. `up` leaves a healthy cluster of the right images alone and makes every other
# one again, which is quicker and surer than mending one whose nodes were killed.
. "$(dirname "$0")/lib.sh"

# The two workers of kind-config.yaml, and those asked for.
read -ra EXTRA <<<"${SLIPWAY_EXTRA_WORKERS:-}"

# node_source: public or built. SLIPWAY_NODE_IMAGE decides, or by default whether the public image can be pulled.
node_source() {
    case ${SLIPWAY_NODE_IMAGE:-auto} in
    public | built) echo "$SLIPWAY_NODE_IMAGE" ;;
    auto)
        if [ -e "$CACHE/testbed/node-source" ]; then
            cat "$CACHE/testbed/node-source"
        elif image_exists "$PUBLIC_NODE_IMAGE" ||
            timeout 15 docker manifest inspect "$PUBLIC_NODE_IMAGE" >/dev/null 2>&1; then
            echo public
        else
            echo built
        fi
        ;;
    *) die "SLIPWAY_NODE_IMAGE is '$SLIPWAY_NODE_IMAGE': it is public, built or auto" ;;
    esac
}

choose_source() {
    local source
    source=$(node_source)
    mkdir -p "$CACHE/testbed"
    echo "$source" >"$CACHE/testbed/node-source"
    if [ "$source" = public ] && ! image_exists "$PUBLIC_NODE_IMAGE"; then
        step "pulling the public node image" node-image-pull docker pull "$PUBLIC_NODE_IMAGE"
    fi
}

# config: kind-config.yaml with extra workers, and with the node image that fits each node's role and label.
config() {
    local role='' line version
    {
        cat "$ROOT/kind-config.yaml"
        for version in ${EXTRA[@]+"${EXTRA[@]}"}; do
            printf '  - role: worker\n    labels:\n      slipway.dev/testbed-containerd: "%s"\n' "$version"
        done
    } | while IFS= read -r line; do
        printf '%s\n' "$line"
        case $line in
        *'- role: '*) role=${line##*: } ;;
        *slipway.dev/testbed-containerd:*)
            version=${line#*\"}
            printf '    image: %s\n' "$("$TESTBED/node-images.sh" --name "$role" "${version%\"*}")"
            ;;
        esac
    done
}

running() { [ "$(docker inspect -f '{{.State.Running}}' "$1" 2>/dev/null)" = true ]; }

# nodes_are FILTER: whether as many nodes as there are containers pass a jq filter.
nodes_are() {
    local -a all
    mapfile -t all < <(cluster_nodes)
    [ "$(kubectl get nodes --request-timeout=5s -o json 2>/dev/null |
        jq "[.items[] | select($1)] | length")" = "${#all[@]}" ]
}

nodes_joined() { nodes_are '.spec.podCIDR'; }

nodes_ready() { nodes_are '[.status.conditions[] | select(.type == "Ready" and .status == "True")] | any'; }

# wait_for SECONDS CONDITION: and what is the matter with the nodes if it does not come.
wait_for() {
    until_true "$@" && return
    kubectl get nodes -o json | jq -r '.items[] | .metadata.name as $node | .status.conditions[]
        | select(.type == "Ready" and .status != "True") | "error: node \($node) is not ready: \(.message)"'
    echo "error: after $1s not all of $(cluster_nodes | wc -l) nodes pass $2"
    return 1
}

dns_ready() {
    kubectl -n kube-system rollout status deployment/coredns --timeout=1s >/dev/null 2>&1
}

# identity CONFIG: what the cluster is made from, and the run of its node containers: Docker starts them again after a
# reboot, but such a node has lost its routes and every pod's sandbox.
identity() {
    cat "$1"
    cluster_nodes | xargs -r docker inspect -f '# {{.Name}} {{.State.StartedAt}}'
}

# fits CONFIG: whether the cluster is made from CONFIG and all its nodes run and answer.
fits() {
    local node
    [ -n "$(cluster_nodes)" ] || return 1
    [ "$(cat "$CACHE/cluster-$CLUSTER.yaml" 2>/dev/null)" = "$(identity "$1")" ] || return 1
    for node in $(cluster_nodes); do
        running "$node" || return 1
    done
    kind export kubeconfig -q --name "$CLUSTER" --kubeconfig "$KUBECONFIG" 2>/dev/null || return 1
    until_true 45 nodes_ready && until_true 45 dns_ready
}

remove() {
    rm -f "$CACHE/cluster-$CLUSTER.yaml"
    kind delete cluster -q --name "$CLUSTER" --kubeconfig "$KUBECONFIG"
}

create() {
    kind create cluster --name "$CLUSTER" --kubeconfig "$KUBECONFIG" --config "$1" --wait 0
}

up() {
    local wanted=$CACHE/cluster-$CLUSTER.yaml.wanted
    "$TESTBED/docker.sh" up
    choose_source
    "$TESTBED/binaries.sh" kind helm kubernetes
    "$TESTBED/node-images.sh" 1.7 2.4 ${EXTRA[@]+"${EXTRA[@]}"}
    exclusively "cluster-$CLUSTER"
    config >"$wanted"
    if fits "$wanted"; then
        say "the cluster $CLUSTER is up: $(cluster_nodes | tr '\n' ' ')"
        return
    fi
    if [ -n "$(cluster_nodes)" ]; then
        step "removing a cluster $CLUSTER that is half made, stopped or out of date" cluster-remove remove
    fi
    step "creating the cluster $CLUSTER (kind, Kubernetes $KUBERNETES_VERSION)" cluster-create create "$wanted"
    # Their pod ranges are known only then.
    step "waiting until all nodes have joined" cluster-joined wait_for 180 nodes_joined
    step "laying the pod network" cluster-network "$TESTBED/network.sh"
    step "waiting until all nodes are ready" cluster-nodes wait_for 180 nodes_ready
    step "waiting for the cluster's DNS" cluster-dns kubectl -n kube-system rollout status deployment/coredns --timeout=180s
    identity "$wanted" >"$CACHE/cluster-$CLUSTER.yaml"
}

down() {
    docker info >/dev/null 2>&1 || return 0
    exclusively "cluster-$CLUSTER"
    if [ -n "$(cluster_nodes)" ]; then
        step "removing the cluster $CLUSTER" cluster-remove remove
    fi
    rm -f "$KUBECONFIG" "$CACHE/cluster-$CLUSTER.yaml"
}

case ${1:-} in
up) up ;;
down) down ;;
*) die "usage: cluster.sh up|down" ;;
esac
