//! Which containerd serves the kubelet, on hosts made of files: sockets somebody listens on, and a `/proc`.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use slipway_node_installer::detect::distribution::Distribution;
use slipway_node_installer::detect::find::{Found, serving};
use slipway_node_installer::detect::{DetectError, check_install_root, detect};
use slipway_node_installer::failure::Reason as _;
use slipway_node_installer::host::HostRoot;

const CONTAINERD: &str = "/run/containerd/containerd.sock";
const K3S: &str = "/run/k3s/containerd/containerd.sock";

/// A host.
struct Host {
    dir: tempfile::TempDir,
    sockets: Vec<UnixListener>,
}

impl Host {
    /// One whose first process has a name.
    fn new(init: &str) -> Self {
        let host = Self {
            dir: tempfile::tempdir().unwrap(),
            sockets: Vec::new(),
        };
        host.process(1, init, "/usr/sbin/init", &[], "init.scope");
        host.write(
            "/proc/1/net/unix",
            b"Num RefCount Protocol Flags Type St Inode Path\n",
        );
        host
    }

    fn root(&self) -> HostRoot {
        HostRoot::new(self.dir.path()).unwrap()
    }

    fn local(&self, path: &str) -> PathBuf {
        self.dir.path().join(path.trim_start_matches('/'))
    }

    fn write(&self, path: &str, bytes: &[u8]) {
        fs::create_dir_all(self.local(path).parent().unwrap()).unwrap();
        fs::write(self.local(path), bytes).unwrap();
    }

    fn program(&self, path: &str, mode: u32) {
        self.write(path, b"");
        fs::set_permissions(self.local(path), fs::Permissions::from_mode(mode)).unwrap();
    }

    /// Gives a process to somebody: its real, effective, saved and file system user.
    fn run_as(&self, pid: u32, users: &str) {
        let status = format!("Name:\tx\nUid:\t{users}\nNSpid:\t{pid}\n");
        self.write(&format!("/proc/{pid}/status"), status.as_bytes());
    }

    fn process(&self, pid: u32, name: &str, executable: &str, arguments: &[&[u8]], unit: &str) {
        let proc = format!("/proc/{pid}");
        self.write(&format!("{proc}/comm"), format!("{name}\n").as_bytes());
        self.write(
            &format!("{proc}/cmdline"),
            &[arguments.join(&0), vec![0]].concat(),
        );
        self.write(
            &format!("{proc}/cgroup"),
            format!("0::/system.slice/{unit}\n").as_bytes(),
        );
        self.write(
            &format!("{proc}/status"),
            format!("Name:\t{name}\nUid:\t0\t0\t0\t0\nNSpid:\t{pid}\n").as_bytes(),
        );
        symlink(executable, self.local(&format!("{proc}/exe"))).unwrap();
        symlink("/", self.local(&format!("{proc}/cwd"))).unwrap();
    }

    /// A process that listens on a socket.
    fn serves(
        &mut self,
        socket: &str,
        pid: u32,
        name: &str,
        executable: &str,
        arguments: &[&[u8]],
        unit: &str,
    ) {
        self.process(pid, name, executable, arguments, unit);
        fs::create_dir_all(self.local(socket).parent().unwrap()).unwrap();
        self.sockets
            .push(UnixListener::bind(self.local(socket)).unwrap());
        let inode = 4000 + pid;
        let table = self.local("/proc/1/net/unix");
        let line = format!("0000: 00000002 00000000 00010000 0001 01 {inode} {socket}\n");
        fs::write(
            &table,
            format!("{}{line}", fs::read_to_string(&table).unwrap()),
        )
        .unwrap();
        fs::create_dir_all(self.local(&format!("/proc/{pid}/fd"))).unwrap();
        symlink(
            format!("socket:[{inode}]"),
            self.local(&format!("/proc/{pid}/fd/3")),
        )
        .unwrap();
    }

    fn containerd(&mut self, pid: u32) {
        self.serves(
            CONTAINERD,
            pid,
            "containerd",
            "/usr/bin/containerd",
            &[b"containerd"],
            "containerd.service",
        );
    }

    fn k3s(&mut self, pid: u32) {
        let bin = "/var/lib/rancher/k3s/data/abc/bin";
        self.program(&format!("{bin}/k3s"), 0o755);
        symlink("k3s", self.local(&format!("{bin}/containerd"))).unwrap();
        let config = b"/var/lib/rancher/k3s/agent/etc/containerd/config.toml";
        let arguments: &[&[u8]] = &[
            b"containerd",
            b"-c",
            config,
            b"--state",
            b"/run/k3s/containerd",
        ];
        self.serves(
            K3S,
            pid,
            "containerd",
            &format!("{bin}/k3s"),
            arguments,
            "k3s-agent.service",
        );
    }

    fn kubelet(&self, pid: u32, arguments: &[&[u8]]) {
        self.process(
            pid,
            "kubelet",
            "/usr/bin/kubelet",
            arguments,
            "kubelet.service",
        );
    }

    fn found(&self) -> Found {
        serving(&self.root()).unwrap()
    }
}

#[test]
fn dockers_containerd_is_not_taken_for_that_of_k3s() {
    let mut host = Host::new("systemd");
    host.containerd(300);
    host.k3s(900);
    let (found, root) = (host.found(), host.root());
    assert_eq!((found.pid, found.distribution), (900, Distribution::K3s));
    assert_eq!(found.unit(&root).unwrap(), "k3s-agent.service");
    assert_eq!(
        found.config(&root).unwrap(),
        Path::new("/var/lib/rancher/k3s/agent/etc/containerd/config.toml")
    );
    // One program of many names: as `k3s` it would answer for itself.
    assert_eq!(
        found.binary(&root).unwrap(),
        Path::new("/var/lib/rancher/k3s/data/abc/bin/containerd")
    );
}

#[test]
fn what_the_kubelet_names_decides() {
    let mut host = Host::new("systemd");
    host.containerd(300);
    host.k3s(900);
    host.kubelet(
        500,
        &[
            b"kubelet",
            b"--container-runtime-endpoint=unix:///run/containerd/containerd.sock",
        ],
    );
    assert_eq!(host.found().pid, 300);
}

#[test]
fn the_kubelets_last_drop_in_decides_before_its_file() {
    let mut host = Host::new("systemd");
    host.containerd(300);
    host.k3s(900);
    host.kubelet(
        500,
        &[
            b"kubelet",
            b"--config",
            b"/etc/kubelet.yaml",
            b"--config-dir",
            b"/etc/kubelet.d",
        ],
    );
    host.write(
        "/etc/kubelet.yaml",
        b"containerRuntimeEndpoint: unix:///run/containerd/containerd.sock\n",
    );
    assert_eq!(host.found().pid, 300);
    host.write(
        "/etc/kubelet.d/10-a.conf",
        b"containerRuntimeEndpoint: unix:///run/none.sock\n",
    );
    host.write(
        "/etc/kubelet.d/20-b.conf",
        format!("containerRuntimeEndpoint: unix://{K3S}\n").as_bytes(),
    );
    host.write(
        "/etc/kubelet.d/30-c.yaml",
        b"containerRuntimeEndpoint: unix:///run/no-drop-in.sock\n",
    );
    assert_eq!(host.found().pid, 900);
}

#[test]
fn a_kubelet_inside_a_container_serves_another_node() {
    let mut host = Host::new("systemd");
    host.k3s(900);
    host.kubelet(
        700,
        &[
            b"kubelet",
            b"--container-runtime-endpoint=unix:///run/containerd/containerd.sock",
        ],
    );
    host.write(
        "/proc/700/status",
        b"Name:\tkubelet\nUid:\t0\t0\t0\t0\nNSpid:\t700\t56\n",
    );
    assert_eq!(host.found().pid, 900);
}

#[test]
fn a_kubelet_of_an_ordinary_user_is_not_asked() {
    let mut host = Host::new("systemd");
    host.k3s(900);
    host.containerd(300);
    let asked = |users: &str| {
        host.run_as(500, users);
        host.found().pid
    };
    let arguments: &[&[u8]] = &[
        b"kubelet",
        b"--container-runtime-endpoint=unix:///run/containerd/containerd.sock",
    ];
    host.kubelet(500, arguments);
    assert_eq!(asked("0\t0\t0\t0"), 300);
    assert_eq!(asked("1000\t1000\t1000\t1000"), 900);
    assert_eq!(
        asked("1000\t0\t0\t0"),
        900,
        "a link of that name to a set-uid program"
    );
}

#[test]
fn what_an_ordinary_user_serves_is_not_taken_for_containerd() {
    let mut host = Host::new("systemd");
    host.containerd(300);
    host.run_as(300, "1000\t1000\t1000\t1000");
    let error = serving(&host.root()).unwrap_err();
    assert_eq!(error.reason(), "ContainerdNotFound");
    // The socket's inode counts wherever it is held; root's process is the one that is meant.
    host.process(400, "containerd", "/usr/bin/containerd", &[], "x.service");
    fs::create_dir_all(host.local("/proc/400/fd")).unwrap();
    symlink("socket:[4300]", host.local("/proc/400/fd/3")).unwrap();
    assert_eq!(host.found().pid, 400);
}

#[test]
fn a_binary_that_others_can_write_to_is_not_run() {
    let mut host = Host::new("systemd");
    host.containerd(300);
    let root = host.root();
    let binary = || host.found().binary(&root).map(drop);
    for (mode, trusted) in [(0o755, true), (0o555, true), (0o775, false), (0o757, false)] {
        host.program("/usr/bin/containerd", mode);
        let why = binary()
            .err()
            .map(|error| (error.reason(), error.to_string()));
        assert_eq!(why.is_none(), trusted, "{mode:o}");
        if let Some((reason, why)) = why {
            assert_eq!(reason, "ContainerdUntrusted");
            assert!(why.starts_with("/usr/bin/containerd, "), "{why}");
        }
    }
    host.program("/usr/bin/containerd", 0o755);
    // Only root can give a file away.
    if chown(host.local("/usr/bin/containerd"), Some(1000), None).is_ok() {
        let why = binary().unwrap_err().to_string();
        assert!(why.contains("belongs to the user 1000"), "{why}");
    }
}

#[test]
fn two_that_nobody_chooses_between_are_both_named() {
    let mut host = Host::new("systemd");
    host.containerd(300);
    host.serves(
        "/run/crio/crio.sock",
        400,
        "crio",
        "/usr/bin/crio",
        &[b"crio"],
        "crio.service",
    );
    assert_eq!(
        serving(&host.root()).unwrap_err().to_string(),
        "containerd (process 300) on /run/containerd/containerd.sock and crio (process 400) on /run/crio/crio.sock both \
         serve CRI, and no kubelet says which it uses: set containerRuntimeEndpoint in its configuration, or stop the other"
    );
}

#[test]
fn nobody_at_all_is_said_with_the_places_that_were_looked_at() {
    let error = serving(&Host::new("systemd").root())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains(CONTAINERD) && error.contains("/run/k0s/containerd.sock"),
        "{error}"
    );
}

#[test]
fn a_root_file_is_relative_to_the_process_and_text() {
    let mut host = Host::new("systemd");
    let arguments: &[&[u8]] = &[b"containerd", b"--config=../etc/c.toml"];
    host.serves(
        CONTAINERD,
        300,
        "containerd",
        "/opt/bin/containerd",
        arguments,
        "containerd.service",
    );
    fs::remove_file(host.local("/proc/300/cwd")).unwrap();
    symlink("/srv", host.local("/proc/300/cwd")).unwrap();
    let root = host.root();
    assert_eq!(
        host.found().config(&root).unwrap(),
        Path::new("/srv/../etc/c.toml")
    );

    let odd = std::ffi::OsStr::from_bytes(b"containerd\0--config\0/etc/\xff.toml\0");
    fs::write(host.local("/proc/300/cmdline"), odd.as_bytes()).unwrap();
    let error = host.found().config(&root).unwrap_err();
    assert!(
        matches!(error, DetectError::Encoding { pid: 300, .. }),
        "{error}"
    );
}

#[test]
fn what_no_systemd_unit_runs_is_refused_by_name() {
    let mut host = Host::new("systemd");
    let hand = "../user.slice/session-2.scope";
    host.serves(
        CONTAINERD,
        300,
        "containerd",
        "/usr/bin/containerd",
        &[b"containerd"],
        hand,
    );
    let error = host.found().unit(&host.root()).unwrap_err().to_string();
    assert!(error.contains("started by hand"), "{error}");

    let mut host = Host::new("k3d-entrypoint");
    host.k3s(20);
    let error = host.found().unit(&host.root()).unwrap_err().to_string();
    assert!(error.contains("supervised by k3d-entrypoint"), "{error}");
}

#[test]
fn cri_o_is_found_with_its_file_its_folder_and_its_unit() {
    let mut host = Host::new("systemd");
    let socket = "/var/run/other/crio.sock";
    let arguments: &[&[u8]] = &[
        b"crio",
        b"--config-dir",
        b"crio.d",
        b"--listen",
        socket.as_bytes(),
    ];
    host.serves(
        socket,
        400,
        "crio",
        "/usr/bin/crio",
        arguments,
        "crio.service",
    );
    host.kubelet(
        500,
        &[
            b"kubelet",
            b"--container-runtime-endpoint=unix:///var/run/other/crio.sock",
        ],
    );
    let (found, root) = (host.found(), host.root());
    assert_eq!((found.pid, found.distribution), (400, Distribution::CriO));
    assert_eq!(
        found.config(&root).unwrap(),
        Path::new("/etc/crio/crio.conf")
    );
    assert_eq!(found.drop_ins(&root).unwrap(), Path::new("/crio.d"));
    assert_eq!(found.unit(&root).unwrap(), "crio.service");
    assert_eq!(found.binary(&root).unwrap(), Path::new("/usr/bin/crio"));
    host.write(
        "/proc/400/environ",
        b"PATH=/bin\0CONTAINER_CONFIG=/srv/crio.conf\0",
    );
    assert_eq!(found.config(&root).unwrap(), Path::new("/srv/crio.conf"));
}

#[test]
fn a_server_of_cri_that_is_neither_is_refused_by_name() {
    let mut host = Host::new("systemd");
    host.serves(
        CONTAINERD,
        400,
        "dockershim",
        "/usr/bin/x",
        &[b"x"],
        "x.service",
    );
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let error = detect(&runtime, &host.root()).unwrap_err();
    assert_eq!(error.reason(), "RuntimeUnsupported");
    assert!(error.to_string().contains("dockershim"), "{error}");
}

#[test]
fn a_strictly_confined_snap_gets_programs_where_it_can_run_them() {
    let host = Host::new("systemd");
    let check =
        |distribution, path: &str| check_install_root(&host.root(), distribution, Path::new(path));
    assert!(
        check(Distribution::MicroK8s, "/opt/slipway").is_ok(),
        "no snap says otherwise"
    );
    host.write(
        "/snap/microk8s/current/meta/snap.yaml",
        b"name: microk8s\nconfinement: classic\n",
    );
    assert!(check(Distribution::MicroK8s, "/opt/slipway").is_ok());
    host.write(
        "/snap/microk8s/current/meta/snap.yaml",
        b"name: microk8s\nconfinement: strict\n",
    );
    let error = check(Distribution::MicroK8s, "/opt/slipway").unwrap_err();
    assert_eq!(error.reason(), "InstallRootConfined");
    assert!(
        error.to_string().contains("/var/snap/microk8s/common"),
        "{error}"
    );
    assert!(check(Distribution::MicroK8s, "/var/snap/microk8s/common/slipway").is_ok());
    assert!(check(Distribution::K3s, "/opt/slipway").is_ok());
}
