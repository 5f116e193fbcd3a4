//! A bundle like the ones containerd's CRI plugin writes.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use slipway_shim_spec::{RootfsMount, Spec};
use slipway_shim_wire::Plan;
use tempfile::TempDir;

/// A bundle with an empty root file system.
pub(crate) struct Bundle {
    folder: TempDir,
    pub(crate) config: Value,
    pub(crate) rootfs_mounts: Vec<RootfsMount>,
}

impl Bundle {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("rootfs")).unwrap();
        Self {
            folder,
            config: config(),
            rootfs_mounts: Vec::new(),
        }
    }

    /// A path in the bundle, the node's view.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A directory of the bundle, made.
    pub(crate) fn directory(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(&path).unwrap();
        path
    }

    /// A file of the bundle, written.
    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    /// Adds a mount to the spec.
    pub(crate) fn mount(&mut self, destination: &str, source: &Path, options: &[&str]) {
        self.config["mounts"].as_array_mut().unwrap().push(json!({
            "destination": destination, "type": "bind", "source": source, "options": options,
        }));
    }

    /// The plan that the pod process would send.
    pub(crate) fn plan(&self) -> Plan {
        let json = serde_json::to_vec(&self.config).unwrap();
        let spec = Spec::parse(self.folder.path(), &json).unwrap();
        spec.plan("test", &self.path("rootfs"), &self.rootfs_mounts)
            .unwrap()
    }
}

fn config() -> Value {
    json!({
        "ociVersion": "1.2.1",
        "hostname": "wasm-pod",
        "root": {"path": "rootfs"},
        "process": {"user": {"uid": 0, "gid": 0}, "args": ["/a.wasm"], "env": [], "cwd": "/"},
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc",
             "options": ["nosuid", "noexec", "nodev"]},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
             "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
            {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
             "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]},
            {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue",
             "options": ["nosuid", "noexec", "nodev"]},
            {"destination": "/sys", "type": "sysfs", "source": "sysfs",
             "options": ["nosuid", "noexec", "nodev", "ro"]},
            {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
             "options": ["nosuid", "noexec", "nodev", "relatime", "ro"]},
            {"destination": "/dev/shm", "type": "tmpfs", "source": "shm",
             "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=64m"]},
        ],
        "linux": {
            "namespaces": [
                {"type": "pid"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"},
                {"type": "network"},
            ],
            "maskedPaths": ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/scsi",
                "/proc/acpi", "/sys/firmware", "/proc/not-there"],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys",
                "/proc/sysrq-trigger"],
        },
    })
}
