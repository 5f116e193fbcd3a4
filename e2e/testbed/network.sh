#!/usr/bin/env bash
# network.sh: the pod network. Each node gets a point-to-point CNI configuration with its own pod range, and routes to
# the ranges of the other nodes; all nodes are on one bridge, so no overlay is needed. Running it again changes nothing.
. "$(dirname "$0")/lib.sh"

POD_SUBNET=10.244.0.0/16 # as in kind-config.yaml

NODES=$(kubectl get nodes -o json | jq -r '.items[] |
    [.metadata.name, .spec.podCIDR, (.status.addresses[] | select(.type == "InternalIP").address)] | @tsv')

conflist() {
    jq -n --arg subnet "$1" '{
        cniVersion: "1.0.0", name: "ptp", plugins: [
            {type: "ptp", ipMasq: false, mtu: 1500, ipam: {
                type: "host-local", dataDir: "/run/cni-ipam-state",
                ranges: [[{subnet: $subnet}]], routes: [{dst: "0.0.0.0/0"}]}},
            {type: "portmap", capabilities: {portMappings: true}}]}'
}

# What leaves the cluster does so under the node's address.
masquerade() {
    echo "rule='POSTROUTING -s $POD_SUBNET ! -d $POD_SUBNET -j MASQUERADE'"
    # shellcheck disable=SC2016 # expanded on the node
    echo 'iptables -t nat -C $rule 2>/dev/null || iptables -t nat -A $rule'
}

while read -r node cidr _; do
    {
        masquerade
        while read -r other range address; do
            [ "$other" = "$node" ] || echo "ip route replace $range via $address"
        done <<<"$NODES"
        echo "mkdir -p /etc/cni/net.d"
        echo "cat >/etc/cni/net.d/10-ptp.conflist <<'END'"
        conflist "$cidr"
        echo END
    } | docker exec -i "$node" sh -eu
done <<<"$NODES"
