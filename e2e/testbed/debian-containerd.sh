#!/usr/bin/env bash
# debian-containerd.sh SUITE FOLDER: puts the containerd programs of a Debian release into FOLDER.
. "$(dirname "$0")/lib.sh"

suite=$1 out=$2 root=$2.root
rm -rf "$out" "$root"
# A mirror may be older than its release file wants to be (sid's lasts a week); signatures are still checked.
step "fetching containerd from Debian $suite" "containerd-$suite" \
    mmdebstrap --variant=extract --aptopt='Acquire::Check-Valid-Until "false"' --include=containerd "$suite" "$root" --format=directory
mkdir -p "$out"
cp "$root"/usr/bin/{containerd,containerd-shim-runc-v2,ctr} "$out/"
rm -rf "$root"
