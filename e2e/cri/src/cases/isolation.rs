//! Namespaces, power and files of a container, as the kernel shows them.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::passed;
use crate::cri::{ContainerConfig, Mount, NamespaceMode, Number, SecurityProfile};
use crate::node::Node;
use crate::report::Outcome;

/// A process's namespace of a kind.
pub(super) fn namespace(pid: u32, kind: &str) -> Result<String> {
    let path = format!("/proc/{pid}/ns/{kind}");
    let link = std::fs::read_link(&path).with_context(|| path.clone())?;
    Ok(link.display().to_string())
}

/// A field of `/proc/<pid>/status`.
pub(super) fn field(pid: u32, name: &str) -> Result<String> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let mut lines = status.lines().filter_map(|line| line.split_once(':'));
    let found = lines.find(|(key, _)| *key == name);
    let (_, value) = found.with_context(|| format!("no {name} in {status}"))?;
    Ok(value.split_whitespace().collect::<Vec<_>>().join(" "))
}

pub(super) fn containers_share_the_pods_namespaces(node: &Node) -> Result<Outcome> {
    let pod = node.pod()?;
    let first = pod.run("ticker.wasm", &[])?.process()?;
    let second = pod.run("ticker.wasm", &[])?.process()?;
    let sandbox = pod.process()?;
    for kind in ["net", "ipc", "uts"] {
        let shared = namespace(sandbox, kind)?;
        ensure!(
            namespace(first, kind)? == shared,
            "{kind} of the first container"
        );
        ensure!(
            namespace(second, kind)? == shared,
            "{kind} of the second container"
        );
        ensure!(
            namespace(std::process::id(), kind)? != shared,
            "{kind} is the node's"
        );
    }
    for kind in ["mnt", "pid"] {
        ensure!(
            namespace(first, kind)? != namespace(second, kind)?,
            "{kind} is shared"
        );
    }
    pod.remove()?;
    passed()
}

pub(super) fn processes_are_shared_when_asked_for(node: &Node) -> Result<Outcome> {
    let share = |config: &mut crate::cri::NamespaceOption| config.pid = NamespaceMode::Pod.into();
    let pod = node.pod_with(|config| {
        let linux = config.linux.get_or_insert_default();
        let context = linux.security_context.get_or_insert_default();
        share(context.namespace_options.get_or_insert_default());
    })?;
    let container = pod.run_with("ticker.wasm", &[], |config| {
        let linux = config.linux.get_or_insert_default();
        let context = linux.security_context.get_or_insert_default();
        share(context.namespace_options.get_or_insert_default());
    })?;
    container.says("tick 1")?;
    let shared = namespace(pod.process()?, "pid")?;
    ensure!(
        namespace(container.process()?, "pid")? == shared,
        "pid is not shared"
    );
    ensure!(
        namespace(std::process::id(), "pid")? != shared,
        "pid is the node's"
    );
    ensure!(
        field(pod.process()?, "NSpid")?.ends_with(" 1"),
        "the sandbox is not process 1"
    );
    pod.remove()?;
    passed()
}

pub(super) fn the_nodes_network_when_asked_for(node: &Node) -> Result<Outcome> {
    let host =
        |config: &mut crate::cri::NamespaceOption| config.network = NamespaceMode::Node.into();
    let pod = node.pod_with(|config| {
        config.hostname = String::new();
        let linux = config.linux.get_or_insert_default();
        let context = linux.security_context.get_or_insert_default();
        host(context.namespace_options.get_or_insert_default());
    })?;
    let container = pod.run_with("ticker.wasm", &[], |config| {
        let linux = config.linux.get_or_insert_default();
        let context = linux.security_context.get_or_insert_default();
        host(context.namespace_options.get_or_insert_default());
    })?;
    container.says("tick 1")?;
    ensure!(
        namespace(container.process()?, "net")? == namespace(std::process::id(), "net")?,
        "the network is not the node's"
    );
    pod.remove()?;
    passed()
}

pub(super) fn the_process_has_no_power(node: &Node) -> Result<Outcome> {
    let pod = node.pod()?;
    let container = pod.run_with("ticker.wasm", &[], |config| {
        let linux = config.linux.get_or_insert_default();
        let context = linux.security_context.get_or_insert_default();
        context.run_as_user = Some(Number { value: 1234 });
        context.run_as_group = Some(Number { value: 5678 });
        context.supplemental_groups = vec![4321, 8765];
        context.no_new_privs = true;
        context.seccomp = Some(SecurityProfile::default());
    })?;
    container.says("tick 1")?;
    let pid = container.process()?;
    for (name, wanted) in [
        ("Uid", "1234 1234 1234 1234"),
        ("Gid", "5678 5678 5678 5678"),
        ("CapEff", "0000000000000000"),
        ("CapPrm", "0000000000000000"),
        ("CapInh", "0000000000000000"),
        ("CapAmb", "0000000000000000"),
        ("NoNewPrivs", "1"),
        ("Seccomp", "2"),
    ] {
        let found = field(pid, name)?;
        ensure!(found == wanted, "{name} is {found}, not {wanted}");
    }
    let groups = field(pid, "Groups")?;
    for group in ["4321", "8765"] {
        ensure!(
            groups.split(' ').any(|g| g == group),
            "the groups are {groups}"
        );
    }
    pod.remove()?;
    passed()
}

/// A profile that allows what a worker does, and writing to all files but one.
const PROFILE: &str = "slipway-cri";
const PROFILE_TEXT: &str = "profile slipway-cri flags=(attach_disconnected,mediate_deleted) {
  file, network, unix, signal, capability,
  deny /forbidden w,
}
";

/// The AppArmor profile that a process is confined by, and how.
fn confinement(pid: u32) -> Result<String> {
    let path = format!("/proc/{pid}/attr/apparmor/current");
    let text = std::fs::read_to_string(&path).with_context(|| path.clone())?;
    Ok(text.trim().to_owned())
}

/// Gives a profile to the kernel.
fn load(profile: &str, file: &Path) -> Result<()> {
    std::fs::write(file, profile)?;
    let status = Command::new("apparmor_parser")
        .arg("--replace")
        .arg(file)
        .status();
    let status = status.context("apparmor_parser")?;
    ensure!(status.success(), "apparmor_parser ended with {status}");
    Ok(())
}

pub(super) fn apparmor_profiles_confine_the_guest(node: &Node) -> Result<Outcome> {
    let enabled = std::fs::read_to_string("/sys/module/apparmor/parameters/enabled");
    if !enabled.is_ok_and(|text| text.trim() == "Y") {
        return Ok(Outcome::DoesNotApply("this kernel has no AppArmor".into()));
    }
    load(PROFILE_TEXT, &node.folder("apparmor")?.join("profile"))?;
    let pod = node.pod()?;
    let container = pod.run("ticker.wasm", &[])?;
    container.says("tick 1")?;
    let found = confinement(container.process()?)?;
    ensure!(
        found == "cri-containerd.apparmor.d (enforce)",
        "by default the guest is confined by {found}"
    );
    let narrow = |config: &mut ContainerConfig| {
        let linux = config.linux.get_or_insert_default();
        let context = linux.security_context.get_or_insert_default();
        context.apparmor = Some(SecurityProfile {
            profile_type: 2,
            localhost_ref: PROFILE.into(),
        });
    };
    let container = pod.run_with("ticker.wasm", &[], narrow)?;
    container.says("tick 1")?;
    let found = confinement(container.process()?)?;
    ensure!(
        found == format!("{PROFILE} (enforce)"),
        "the guest is confined by {found}"
    );
    let container = pod.run_with("job.wasm", &["--write", "/allowed", "text"], narrow)?;
    container.ends_with(0)?;
    let container = pod.run_with("job.wasm", &["--write", "/forbidden", "text"], narrow)?;
    container.ends_with(64)?;
    container.says("write /forbidden")?;
    pod.remove()?;
    passed()
}

pub(super) fn a_read_only_root_is_read_only(node: &Node) -> Result<Outcome> {
    let pod = node.pod()?;
    let write = ["--write", "/new", "text"];
    let container = pod.run("job.wasm", &write)?;
    container.ends_with(0)?;
    container.says("wrote /new")?;
    let container = pod.run_with("job.wasm", &write, |config| {
        let linux = config.linux.get_or_insert_default();
        linux
            .security_context
            .get_or_insert_default()
            .readonly_rootfs = true;
    })?;
    container.ends_with(64)?;
    container.says("write /new")?;
    pod.remove()?;
    passed()
}

pub(super) fn volumes_are_seen_and_read_only_ones_kept(node: &Node) -> Result<Outcome> {
    let (open, shut) = (node.folder("open")?, node.folder("shut")?);
    std::fs::write(shut.join("note"), "from outside")?;
    let mounts = vec![
        Mount {
            container_path: "/data/open".into(),
            host_path: open.display().to_string(),
            readonly: false,
            ..Mount::default()
        },
        Mount {
            container_path: "/data/shut".into(),
            host_path: shut.display().to_string(),
            readonly: true,
            ..Mount::default()
        },
    ];
    let pod = node.pod()?;
    let args = [
        "--read",
        "/data/shut/note",
        "--write",
        "/data/open/note",
        "from inside",
    ];
    let container = pod.run_with("job.wasm", &args, |config| config.mounts = mounts.clone())?;
    container.ends_with(0)?;
    container.says("read /data/shut/note: from outside")?;
    ensure!(
        std::fs::read_to_string(open.join("note"))? == "from inside",
        "nothing was written"
    );
    let args = ["--write", "/data/shut/note", "from inside"];
    let container = pod.run_with("job.wasm", &args, |config| config.mounts = mounts)?;
    container.ends_with(64)?;
    ensure!(
        std::fs::read_to_string(shut.join("note"))? == "from outside",
        "it was written to"
    );
    pod.remove()?;
    passed()
}

pub(super) fn sysctls_are_set(node: &Node) -> Result<Outcome> {
    let name = "net.ipv4.ip_unprivileged_port_start";
    let pod = node.pod_with(|config| {
        let linux = config.linux.get_or_insert_default();
        linux.sysctls.insert(name.into(), "42".into());
    })?;
    // What /proc/sys/net shows depends on who reads it, so it is read from within.
    let output = Command::new("nsenter")
        .args(["-t", &pod.process()?.to_string(), "-n", "cat"])
        .arg("/proc/sys/net/ipv4/ip_unprivileged_port_start")
        .output()
        .context("nsenter")?;
    let value = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    ensure!(value == "42", "{name} is {value:?} in the pod");
    pod.remove()?;
    passed()
}
