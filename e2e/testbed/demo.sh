#!/usr/bin/env bash
# demo.sh: from nothing to a WebAssembly pod that answers HTTP through a Service. Running it again converges.
. "$(dirname "$0")/lib.sh"
. "$TESTBED/tracks.sh"
cd "$ROOT"

NODE=$CLUSTER-worker
PATIENCE=300

programs() {
    "$TESTBED/build.sh" "$(uname -m)"
    "$TESTBED/guests.sh"
}

nodes() { "$TESTBED/cluster.sh" up; }

# From nothing, both take long: linking uses one processor, and the nodes' programs are built on the other.
side_by_side programs nodes
"$TESTBED/images.sh"
# shellcheck source=/dev/null
. "$CACHE/images.env"

install_chart() {
    helm upgrade --install --namespace kwasm --create-namespace kwasm-operator charts/slipway \
        --set "image.tag=$SLIPWAY_TAG" --set "installer.image.tag=$SLIPWAY_TAG"
    kubectl --namespace kwasm rollout status deployment --timeout=180s
}

is_ready() { [ "$(kubectl get node "$NODE" -o jsonpath='{.metadata.labels.slipway\.dev/slipway}')" = ready ]; }

# progress: why the node is not ready yet, as `kubectl get nodeshims` has it.
progress() {
    kubectl get nodeshims -o json 2>/dev/null | jq -r --arg node "$NODE" '.items[] | select(.spec.nodeName == $node)
        | ([.status.conditions[]? | select(.type == "Ready")][0] | select(. != null) | [.reason, .message]) // [.status.phase]
        | map(select(. != null and . != "")) | join(": ")'
}

wait_until_ready() {
    local deadline=$(($(date +%s) + PATIENCE)) before='' now
    say "waiting until $NODE runs Wasm pods"
    until is_ready; do
        now=$(progress)
        if [ -n "$now" ] && [ "$now" != "$before" ]; then
            detail "$now"
            before=$now
        fi
        if [ "$(date +%s)" -ge "$deadline" ]; then
            kubectl describe node "$NODE" >"$LOGS/demo-node.log" 2>&1 || true
            kubectl --namespace kwasm logs deployment/kwasm-operator-slipway >>"$LOGS/demo-node.log" 2>&1 || true
            die "$NODE is not ready after ${PATIENCE}s: ${now:-the operator says nothing}" "$LOGS/demo-node.log"
        fi
        sleep 1
    done
    detail "kwasm.sh/kwasm-provisioned=$(kubectl get node "$NODE" \
        -o jsonpath='{.metadata.labels.kwasm\.sh/kwasm-provisioned}')"
}

# The manifest as users have it, but with the tag of the content, so that a changed example is rolled out.
apply_example() {
    sed "s|slipway/hello-http:dev|$SLIPWAY_HELLO_IMAGE|" examples/hello-http/k8s.yaml | kubectl apply -f -
    kubectl rollout status deployment/hello-http --timeout=180s
}

# ask: the answer, asked for on another node, through the Service.
ask() {
    local address
    address=$(kubectl get service hello-http -o jsonpath='{.spec.clusterIP}')
    ANSWER=$(docker exec "$CLUSTER-control-plane" curl -sf --max-time 5 "http://$address/demo")
}

step "installing the chart (helm)" demo-helm install_chart
step "annotating $NODE" demo-annotate kubectl annotate node "$NODE" kwasm.sh/kwasm-node=true --overwrite
wait_until_ready
step "applying examples/hello-http" demo-apply apply_example
until_true 30 ask || die "the Service hello-http does not answer"

say "the answer of the Wasm pod, through its Service:"
printf '\n    %s\n\n' "$ANSWER"
kubectl get pods -l app.kubernetes.io/name=hello-http -o wide
cat <<END

Look further:
    export KUBECONFIG=$KUBECONFIG PATH=$CACHE/bin:\$PATH
    kubectl get nodeshims -o wide            # what was done to which node
    kubectl describe node $NODE    # the events of the way there
    kubectl logs -l app.kubernetes.io/name=hello-http
    docker exec -it $NODE bash     # the node itself
Put the node back as it was:
    kubectl annotate node $NODE kwasm.sh/kwasm-node-
Remove everything:
    ./just demo-down
END
