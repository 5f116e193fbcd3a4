#!/usr/bin/env bash
# vm.sh ARCH [ARGUMENT...]: tests on a whole machine, x86_64 or aarch64, that QEMU emulates: Debian with systemd, cgroup
# v2, and two containerds. The machine boots, runs what vm/inside/run says, boots once more in between, and ends; its answer
# is shown while it comes. Arguments choose the cases of cri-conformance (--filter :: is all of them), else the list below.
# With SLIPWAY_VM_POWER_CUTS=yes it does nothing but cut the power at each step of an install and an uninstall.
# No KVM: nested machines offer one that does not carry a stock kernel.
. "$(dirname "$0")/lib.sh"

ARCH=${1:?"vm.sh ARCH [ARGUMENT...]: x86_64 or aarch64"}
shift
DEBIAN=$(debian_name "$ARCH")
# Seconds until the machine is given up.
DEADLINE=${SLIPWAY_VM_DEADLINE:-3600}
WORK=$CACHE/vm/$ARCH
ANSWER=$LOGS/vm-$ARCH.answer
CONSOLE=$LOGS/vm-$ARCH.console

# What depends on the kernel, its cgroups and the processor; the rest is the same on any machine, and emulation is slow.
CASES=("$@")
[ $# -gt 0 ] || CASES=(--filter lifecycle:: --filter endings:: --filter resources:: --filter restart::pods_survive
    --filter isolation::apparmor
    --filter guests::public_servers --filter guests::names --filter guests::the_ --filter guests::a_server)

# What the installer puts on a node, and what runs beside it.
PAYLOAD=(containerd-shim-slipway-v1 slipway-worker slipway-compile)
TOOLS=(slipway-node-installer cri-conformance)

# native_guest: where the one guest that is no WebAssembly is.
native_guest() {
    if [ "$ARCH" = "$(uname -m)" ]; then
        echo "$CACHE/stage/e2e-guests/native-ticker"
    else
        (cd "$ROOT/e2e/guests" && cargo build --locked --quiet --release --target "$ARCH-unknown-linux-musl" -p guest-native)
        echo "$CARGO_TARGET_DIR/$ARCH-unknown-linux-musl/release/native-ticker"
    fi
}

# images: the guests, and an image for sandboxes, as archives that ctr imports. The guest of 25 MB is not among them: an
# emulated processor does not compile it, nor an interpreter or gojq, within the time that the compiler has.
images() {
    local out=$WORK/disk/images native
    mkdir -p "$out"
    native=$(native_guest)
    # Any image needs a program; the shim's sandbox runs none.
    "$TESTBED/image-tar.sh" slipway/pause:cri "$DEBIAN" "$out/pause.tar" /native-ticker "$native"
    "$TESTBED/image-tar.sh" slipway/cri-guests:cri "$DEBIAN" "$out/guests.tar" /job.wasm \
        "$CACHE"/stage/e2e-guests/*.wasm "$CACHE"/stage/public-guests/* "$native"
}

# disk: what the machine gets to see beside its root: what to run, and everything that is tested.
disk() {
    local name containerd
    containerd=$("$TESTBED/vm/containerd.sh" --name "$ARCH")
    rm -rf "$WORK"
    mkdir -p "$WORK/disk/payload" "$WORK/disk/containerd-2.4"
    install -m 0755 "$TESTBED"/vm/inside/* "$TESTBED/cri-node.sh" "$WORK/disk/"
    for name in "${PAYLOAD[@]}"; do
        install -m 0755 "$("$TESTBED/build.sh" --path "$ARCH" "$name")" "$WORK/disk/payload/$name"
    done
    for name in "${TOOLS[@]}"; do
        install -m 0755 "$("$TESTBED/build.sh" --path "$ARCH" "$name")" "$WORK/disk/$name"
    done
    install -m 0755 "$containerd"/{containerd,containerd-shim-runc-v2,ctr} "$WORK/disk/containerd-2.4/"
    printf '%s\n' "${CASES[@]}" >"$WORK/disk/cases"
    [ "${SLIPWAY_VM_POWER_CUTS:-}" != yes ] || touch "$WORK/disk/only-power-cuts"
    images
    mke2fs -q -t ext4 -L slipway -d "$WORK/disk" "$WORK/disk.img" 512M
    rm -rf "$WORK/disk"
}

# machine: the command that emulates it. The root's disk is a snapshot, which lasts as long as the command does: the
# machine finds its files again after a reboot, and the next run finds none of them.
machine() {
    local root append
    root=$("$TESTBED/vm/root.sh" --name "$ARCH")
    append="root=LABEL=root rw systemd.show_status=0 nowatchdog rcupdate.rcu_cpu_stall_suppress=1"
    # AppArmor's unit loads dozens of profiles of programs that are not there.
    append+=" systemd.mask=apparmor.service systemd.journald.forward_to_console=0"
    case $ARCH in
    x86_64)
        # A busy host makes the time stamp counter useless: calibrated by the wrong amount, a clock runs ten times too fast.
        append+=" console=ttyS0 tsc=unstable clocksource=hpet no_timer_check"
        MACHINE=(qemu-system-x86_64 -machine q35 -cpu max)
        ;;
    aarch64)
        append+=" console=ttyAMA0"
        MACHINE=(qemu-system-aarch64 -machine virt -cpu "max,pauth-impdef=on")
        ;;
    esac
    MACHINE+=(-accel "tcg,thread=multi" -smp 2 -m 2048 -display none -nodefaults -no-user-config
        -kernel "$root/kernel" -initrd "$root/initrd" -append "$append"
        -drive "file=$root/disk.img,if=virtio,format=raw,snapshot=on"
        -drive "file=$WORK/disk.img,if=virtio,format=raw,readonly=on"
        -netdev "user,id=net,restrict=on" -device "virtio-net-pci,netdev=net"
        -serial "file:$CONSOLE" -device virtio-serial-pci
        -chardev "file,id=answer,path=$ANSWER" -device "virtserialport,chardev=answer,name=slipway")
}

# run: boots it and shows its answer as it comes, until it ends or the time is up.
run() {
    local qemu status
    : >"$ANSWER"
    : >"$CONSOLE"
    timeout "$DEADLINE" "${MACHINE[@]}" &
    qemu=$!
    # shellcheck disable=SC2064 # the function's variable is gone when the trap runs
    trap "kill $qemu 2>/dev/null || true" EXIT
    tail -n +1 -f --pid=$qemu "$ANSWER" &
    wait "$qemu" || true
    wait
    status=$(sed -n 's/^@end //p' "$ANSWER" | tail -1)
    [ -n "$status" ] || status="no answer within ${DEADLINE}s, its console is $CONSOLE"
    [ "$status" = 0 ] || echo "error: the machine ended with $status: $(grep -aE '^(FAIL|not ok)' "$ANSWER" | head -1)"
    [ "$status" = 0 ]
}

"$TESTBED/vm/prerequisites.sh"
"$TESTBED/vm/root.sh" "$ARCH"
"$TESTBED/vm/containerd.sh" "$ARCH"
"$TESTBED/build.sh" "${PAYLOAD[@]/#/$ARCH/}" "${TOOLS[@]/#/$ARCH/}"
"$TESTBED/guests.sh" --public
exclusively "vm-$ARCH"
step "making the disk with what is tested" "vm-$ARCH-disk" disk
machine
show "testing on a whole $ARCH machine (QEMU)" "vm-$ARCH" run
rm -f "$WORK/disk.img"
