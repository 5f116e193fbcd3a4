#!/usr/bin/env bash
# root.sh [--name] ARCH: makes what a machine boots from, once for its inputs: kernel, initrd, and a Debian root with
# systemd and containerd on an ext4 disk, in the folder that `--name` prints.
. "$(dirname "$0")/../lib.sh"

[ "$1" = --name ] && shift && only_name=yes
ARCH=$1
DEBIAN=$(debian_name "$ARCH")

PACKAGES=linux-image-cloud-$DEBIAN,initramfs-tools,systemd,systemd-sysv,udev,dbus,containerd,runc,crun
PACKAGES+=,containernetworking-plugins,iproute2,iptables,procps,util-linux,mount,kmod,jq,apparmor,ca-certificates
# What the kernel of a cloud image has as modules, and cannot reach its disk without.
MODULES=(virtio_pci virtio_blk ext4 crc32c)

KEY=$(fingerprint "$NODE_SUITE" "$ARCH" "$PACKAGES" "${MODULES[*]}" "$TESTBED/vm/root" "$TESTBED/vm/root.sh")
OUT=$CACHE/testbed/vm-$ARCH-$KEY
[ -z "${only_name:-}" ] || { printf '%s\n' "$OUT"; exit; }
[ ! -e "$OUT/disk.img" ] || exit 0

exclusively "testbed-vm-$ARCH"
NEW=$OUT.new
TAR=$NEW/root.tar

# debian_root: everything but what is written at boot. The initrd's modules are named before the kernel comes, so that it
# is made once, and small.
debian_root() {
    mmdebstrap --variant=minbase --format=tar --architectures="$DEBIAN" --include="$PACKAGES" \
        --aptopt='APT::Install-Recommends "false"' \
        --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' \
        --essential-hook="mkdir -p \"\$1/etc/initramfs-tools/conf.d\"" \
        --essential-hook="echo MODULES=list >\"\$1/etc/initramfs-tools/conf.d/slipway\"" \
        --essential-hook="printf '%s\n' ${MODULES[*]} >\"\$1/etc/initramfs-tools/modules\"" \
        --customize-hook="upload '$TESTBED/vm/root/slipway-vm' /usr/local/sbin/slipway-vm" \
        --customize-hook="upload '$TESTBED/vm/root/slipway-vm.service' /etc/systemd/system/slipway-vm.service" \
        --customize-hook="chroot \"\$1\" chmod 0755 /usr/local/sbin/slipway-vm" \
        --customize-hook="chroot \"\$1\" systemctl enable slipway-vm.service" \
        --customize-hook="chroot \"\$1\" systemctl mask apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer \
            dpkg-db-backup.timer systemd-networkd-wait-online.service getty@.service serial-getty@.service" \
        --customize-hook="download /vmlinuz '$NEW/kernel'" \
        --customize-hook="download /initrd.img '$NEW/initrd'" \
        --customize-hook="rm -rf \"\$1\"/boot/* \"\$1\"/var/cache/apt/* \"\$1\"/var/lib/apt/lists/*" \
        "$NODE_SUITE" "$TAR"
}

# disk: owners and device nodes are kept, for which only root, or a user namespace that mmdebstrap makes, is good.
disk() {
    local -a enter=()
    [ "$(id -u)" = 0 ] || enter=(mmdebstrap --unshare-helper)
    # shellcheck disable=SC2016 # expanded by the inner shell
    "${enter[@]}" sh -euc '
        mkdir "$1/root"
        tar -C "$1/root" --numeric-owner --xattrs --xattrs-include="*" -xf "$2"
        mke2fs -q -t ext4 -L root -d "$1/root" "$1/disk.img" 4G
        rm -rf "$1/root"' - "$NEW" "$TAR"
}

rm -rf "$NEW"
mkdir -p "$NEW"
[ "$ARCH" = "$(uname -m)" ] || "$TESTBED/vm/binfmt.sh"
step "making a Debian $NODE_SUITE root for $ARCH machines" "vm-root-$ARCH" debian_root
step "making a disk of it" "vm-disk-$ARCH" disk
rm -f "$TAR"
rm -rf "$OUT"
mv "$NEW" "$OUT"
keep_only "$CACHE/testbed" "vm-$ARCH-" "$KEY"
