#!/usr/bin/env bash
# cri-node.sh BIN_DIR HOME SHIM_DIR SUBNET IMAGE_TAR...: makes a containerd of its own on the machine it runs on: the
# programs of BIN_DIR, everything it keeps under HOME, the shim of SHIM_DIR, pods in SUBNET (10.88.1), and the images of
# the tars. Needs nothing of the repository. HOME/start starts it, also after the tests have killed it; `start local` with
# the option by which containerd >= 2.1 pulls as those before it did. HOME/hosts tells 2.x which registries speak plain HTTP.
set -euo pipefail

bin=$(realpath "$1") home=$(realpath -m "$2") shim=$home/shim subnet=$4
unit=slipway-cri-$(basename "$home")
systemd=false
[ ! -d /run/systemd/system ] || systemd=true

# Programs of its own, by which its processes can be told from those of another containerd on the machine.
mkdir -p "$home/cni" "$home/counted" "$home/hosts" "$shim"
install -m 0755 "$3"/containerd-shim-slipway-v1 "$3"/slipway-worker "$3"/slipway-compile "$shim/"

# A shim that keeps count: every call is a line, then the shim itself. Its own directory, for the programs beside it.
cat >"$home/counted/containerd-shim-slipway-v1" <<WRAPPER
#!/bin/sh
echo "\$*" >>$home/counted/calls
exec $shim/containerd-shim-slipway-v1 "\$@"
WRAPPER
chmod 0755 "$home/counted/containerd-shim-slipway-v1"

cat >"$home/cni/10-pods.conflist" <<CNI
{
  "cniVersion": "0.4.0", "name": "slipway-cri",
  "plugins": [{
    "type": "ptp",
    "ipam": {"type": "host-local", "dataDir": "$home/cni/ipam", "ranges": [[{"subnet": "$subnet.0/24"}]],
             "routes": [{"dst": "0.0.0.0/0"}]}
  }]
}
CNI

# crun TABLE: the other runtime for native containers, where the machine has it.
crun() {
    cat <<TOML
[plugins.'$1'.containerd.runtimes.crun]
runtime_type = "io.containerd.runc.v2"
[plugins.'$1'.containerd.runtimes.crun.options]
BinaryName = "$(type -P crun)"
SystemdCgroup = $systemd
TOML
}

# handlers TABLE: the same runtimes under either name of CRI's table.
handlers() {
    cat <<TOML
[plugins.'$1'.containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins.'$1'.containerd.runtimes.runc.options]
SystemdCgroup = $systemd
$(! type -P crun >/dev/null || crun "$1")
[plugins.'$1'.containerd.runtimes.slipway]
runtime_type = "$shim/containerd-shim-slipway-v1"
pod_annotations = ["slipway.dev/*"]
[plugins.'$1'.containerd.runtimes.slipway-counted]
runtime_type = "$home/counted/containerd-shim-slipway-v1"
pod_annotations = ["slipway.dev/*"]
[plugins.'$1'.containerd.runtimes.slipway-closed]
runtime_type = "$shim/containerd-shim-slipway-v1"
[plugins.'$1'.containerd.runtimes.slipway-closed.options]
network = "none"
TOML
}

case $("$bin/containerd" --version) in
*' v2.'* | *' 2.'*)
    schema=3
    tables="[plugins.'io.containerd.cri.v1.images']
snapshotter = 'overlayfs'
use_local_image_pull = false
[plugins.'io.containerd.cri.v1.images'.registry]
config_path = '$home/hosts'
[plugins.'io.containerd.cri.v1.images'.pinned_images]
sandbox = 'slipway/pause:cri'
[plugins.'io.containerd.cri.v1.runtime']
restrict_oom_score_adj = true
tolerate_missing_hugetlb_controller = true
[plugins.'io.containerd.cri.v1.runtime'.cni]
bin_dirs = ['/usr/lib/cni']
conf_dir = '$home/cni'
[plugins.'io.containerd.nri.v1.nri']
disable = true
$(handlers io.containerd.cri.v1.runtime)
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.slipway-pauseless]
runtime_type = '$shim/containerd-shim-slipway-v1'
pod_annotations = ['slipway.dev/*']
sandboxer = 'shim'"
    ;;
*)
    schema=2
    tables="[plugins.'io.containerd.grpc.v1.cri']
sandbox_image = 'slipway/pause:cri'
restrict_oom_score_adj = true
tolerate_missing_hugetlb_controller = true
[plugins.'io.containerd.grpc.v1.cri'.cni]
bin_dir = '/usr/lib/cni'
conf_dir = '$home/cni'
$(handlers io.containerd.grpc.v1.cri)"
    ;;
esac

cat >"$home/config.toml" <<TOML
version = $schema
root = "$home/root"
state = "$home/state"
oom_score = -999
[grpc]
address = "$home/c.sock"
$tables
TOML

sed 's/^use_local_image_pull = false$/use_local_image_pull = true/' "$home/config.toml" >"$home/config-local.toml"

# The unit is the distributions' one as far as it concerns shims: they live on when containerd ends.
if $systemd; then
    cat >"/run/systemd/system/$unit.service" <<UNIT
[Unit]
StartLimitIntervalSec=0
[Service]
Type=notify
Environment=PATH=$bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
ExecStart=$bin/containerd -c $home/config-now.toml
StandardError=append:$home/log
Delegate=yes
KillMode=process
TasksMax=infinity
UNIT
    systemctl daemon-reload
fi
cat >"$home/start" <<START
#!/bin/sh
config=$home/config.toml
[ "\$1" != local ] || config=$home/config-local.toml
cp "\$config" $home/config-now.toml
! $systemd || exec systemctl start $unit.service
export PATH=$bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
setsid $bin/containerd -c $home/config-now.toml >>$home/log 2>&1 </dev/null &
START
chmod 0755 "$home/start"
"$home/start"

ctr=("$bin/ctr" -a "$home/c.sock" -n k8s.io)
for _ in $(seq 100); do
    ! "${ctr[@]}" version >/dev/null 2>&1 || break
    sleep 0.1
done
for tar in "${@:5}"; do
    "${ctr[@]}" images import "$tar"
done
