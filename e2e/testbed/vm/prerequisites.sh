#!/usr/bin/env bash
# prerequisites.sh: the Debian packages that machines want; installed only by those who start one.
. "$(dirname "$0")/../lib.sh"

wanted=()
for pair in qemu-system-x86_64:qemu-system-x86 qemu-system-aarch64:qemu-system-arm mke2fs:e2fsprogs arch-test:arch-test; do
    have "${pair%%:*}" || wanted+=("${pair#*:}")
done
[ ${#wanted[@]} -gt 0 ] || exit 0
have apt-get || die "please install: ${wanted[*]} (only Debian's apt-get is known here)"
step "updating Debian's package lists" apt-update-vm as_root apt-get -q update
step "installing Debian packages: ${wanted[*]}" apt-install-vm \
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends "${wanted[@]}"
