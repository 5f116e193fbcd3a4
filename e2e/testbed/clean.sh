#!/usr/bin/env bash
# clean.sh: removes everything the recipes keep, after the daemon and the cluster are gone.
. "$(dirname "$0")/lib.sh"
say "removing $CACHE"
# The Go module cache is not here, Cargo's and Go's own caches neither.
rm -rf "$CACHE"
