#!/usr/bin/env bash
# binfmt.sh: has the kernel run aarch64 programs through qemu-user, which making a foreign Debian root needs. Debian's
# packages register it where systemd runs; containers and small machines are left without.
. "$(dirname "$0")/../lib.sh"

BINFMT=/proc/sys/fs/binfmt_misc
RULE=/usr/lib/binfmt.d/qemu-aarch64.conf

register() {
    [ -e "$BINFMT/register" ] || as_root mount -t binfmt_misc binfmt_misc "$BINFMT"
    [ -e "$BINFMT/qemu-aarch64" ] || as_root tee "$BINFMT/register" <"$RULE"
}

[ -e "$BINFMT/qemu-aarch64" ] || step "having the kernel run aarch64 programs through qemu-user" binfmt register
