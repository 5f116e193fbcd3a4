#!/usr/bin/env bash
# image-tar.sh NAME ARCH OUT COMMAND FILE...: writes an image of FILEs in one layer as a tar that `ctr images import` and
# `docker load` read. ARCH is Docker's word (amd64, arm64); no daemon is needed, and equal inputs give equal bytes.
set -euo pipefail

name=$1 arch=$2 out=$(realpath -m "$3") command=$4
shift 4
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# fixed TAR ARGUMENT...: a tar without anything of this machine or this moment.
fixed() {
    local tar=$1
    shift
    tar --format=ustar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -cf "$tar" "$@"
}

mkdir "$work/files" "$work/image"
install -m 0755 "$@" "$work/files/"
fixed "$work/image/layer.tar" -C "$work/files" .
layer=$(sha256sum <"$work/image/layer.tar" | cut -d' ' -f1)
printf '{"architecture":"%s","os":"linux","config":{"Env":["PATH=/"],"Cmd":["%s"]},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' \
    "$arch" "$command" "$layer" >"$work/image/config.json"
printf '[{"Config":"config.json","RepoTags":["%s"],"Layers":["layer.tar"]}]' "$name" >"$work/image/manifest.json"
mkdir -p "$(dirname "$out")"
fixed "$out" -C "$work/image" config.json manifest.json layer.tar
