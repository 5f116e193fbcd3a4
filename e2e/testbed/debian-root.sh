#!/usr/bin/env bash
# debian-root.sh [--name]: makes the node's Debian root file system a Docker image; --name only prints its name.
. "$(dirname "$0")/lib.sh"

PACKAGES=systemd,systemd-sysv,dbus,containerd,runc,crun,containernetworking-plugins,iproute2,iptables,nftables
PACKAGES+=,conntrack,ethtool,util-linux,mount,kmod,libseccomp2,ca-certificates,curl,jq,procps,socat,iputils-ping

KEY=$(fingerprint "$NODE_SUITE" "$PACKAGES")
TAR=$CACHE/testbed/root-$KEY.tar
IMAGE=slipway-testbed/root:$KEY

[ "${1:-}" != --name ] || { printf '%s\n' "$IMAGE"; exit; }

exclusively testbed-root
mkdir -p "$CACHE/testbed"
if [ ! -e "$TAR" ]; then
    step "making a Debian $NODE_SUITE root for the nodes" debian-root \
        mmdebstrap --variant=minbase --format=tar --include="$PACKAGES" "$NODE_SUITE" "$TAR.new"
    mv "$TAR.new" "$TAR"
    keep_only "$CACHE/testbed" root- "$KEY.tar"
fi
image_exists "$IMAGE" || step "importing it into Docker" debian-root-import docker import "$TAR" "$IMAGE"
