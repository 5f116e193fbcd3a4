//! Pods with users of their own (`hostUsers: false`).

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};

use super::isolation::{field, namespace};
use super::passed;
use crate::cri::{
    ContainerConfig, IdMapping, LinuxContainerSecurityContext, Mount, NamespaceMode, Number,
    PodSandboxConfig, UserNamespace,
};
use crate::node::Node;
use crate::pod::{Container, Pod};
use crate::report::Outcome;

/// Who root of the pod is on the node, and the first of so many as the kubelet gives to a pod.
const ROOT: u32 = 655_360;
const IDS: u32 = 65_536;

/// An ordinary user of the pod.
const USER: u32 = 1000;

fn range() -> IdMapping {
    IdMapping {
        host_id: ROOT,
        container_id: 0,
        length: IDS,
    }
}

fn users() -> UserNamespace {
    UserNamespace {
        mode: NamespaceMode::Pod.into(),
        uids: vec![range()],
        gids: vec![range()],
    }
}

/// Asks for them in a pod, as the kubelet does for `hostUsers: false`.
fn of_pod(config: &mut PodSandboxConfig) {
    let linux = config.linux.get_or_insert_default();
    let context = linux.security_context.get_or_insert_default();
    let namespaces = context.namespace_options.get_or_insert_default();
    namespaces.userns_options = Some(users());
}

/// Asks for the pod's in a container, and returns the rest of what it may do.
fn of_container(config: &mut ContainerConfig) -> &mut LinuxContainerSecurityContext {
    let linux = config.linux.get_or_insert_default();
    let context = linux.security_context.get_or_insert_default();
    let namespaces = context.namespace_options.get_or_insert_default();
    namespaces.userns_options = Some(users());
    context
}

fn run<'a>(pod: &Pod<'a>, guest: &str) -> Result<Container<'a>> {
    let container = pod.run_with(guest, &[], |config| {
        of_container(config);
    })?;
    container.says("tick 1")?;
    Ok(container)
}

/// The ids of a process on the node.
fn ids(pid: u32, user: u32) -> Result<()> {
    let wanted = [ROOT + user; 4].map(|id| id.to_string()).join(" ");
    for name in ["Uid", "Gid"] {
        let found = field(pid, name)?;
        ensure!(found == wanted, "{name} is {found}, not {wanted}");
    }
    Ok(())
}

fn owner(path: &Path) -> Result<(u32, u32)> {
    let stat = std::fs::symlink_metadata(path).with_context(|| path.display().to_string())?;
    Ok((stat.uid(), stat.gid()))
}

/// The handler's containers are made by the shim's sandbox, which has no users of its own to offer.
fn without_a_pause(node: &Node) -> Result<bool> {
    let handler = node.runtime.handler(&node.args.handler)?;
    Ok(handler["sandboxer"] == "shim")
}

pub(super) fn root_of_a_pod_is_nobody_on_the_node(node: &Node) -> Result<Outcome> {
    if without_a_pause(node)? {
        let Err(error) = node.pod_with(of_pod) else {
            bail!("a pod with users of its own was made");
        };
        ensure!(format!("{error:#}").contains("hostUsers"), "{error:#}");
        return passed();
    }
    if node.minor >= (2, 0) {
        // 2.1.9 asks runc only ("introspecting OCI runtime features needs the runtime type to be io.containerd.runc.v2"):
        // its kubelet refuses such a pod, which can be made all the same.
        let asks_us = node.minor >= (2, 2);
        ensure!(
            node.runtime.offers_users(&node.args.handler)? == asks_us,
            "what the handler offers to the kubelet is not what containerd {} asks for",
            node.version
        );
    }
    let pod = node.pod_with(of_pod)?;
    let container = run(&pod, "ticker.wasm")?;
    let pid = container.process()?;
    if node.minor < (1, 7) {
        // It does not know the field, which came with Kubernetes 1.25; a kubelet that does sends it to no such containerd.
        ensure!(
            namespace(pid, "user")? == namespace(std::process::id(), "user")?,
            "containerd {} knows users of pods",
            node.version
        );
        pod.remove()?;
        return passed();
    }
    let map = std::fs::read_to_string(format!("/proc/{pid}/uid_map"))?;
    let map: Vec<&str> = map.split_whitespace().collect();
    ensure!(
        map == ["0", &ROOT.to_string(), &IDS.to_string()],
        "its users are {map:?}"
    );
    ids(pid, 0)?;
    let shared = namespace(pid, "user")?;
    ensure!(
        namespace(pod.process()?, "user")? == shared,
        "the sandbox has other users"
    );
    // What root of the pod writes to its root file system is its own, and nobody's on the node.
    let answer = container.exec(&["/job.wasm", "--write", "/new", "text"], 20)?;
    ensure!(answer.exit_code == 0, "{answer:?}");
    let root = Path::new("/proc").join(pid.to_string()).join("root");
    for file in ["new", "job.wasm"] {
        let found = owner(&root.join(file))?;
        ensure!(found == (ROOT, ROOT), "/{file} belongs to {found:?}");
    }
    // A native container beside it has the same users.
    let native = run(&pod, "native-ticker")?.process()?;
    ids(native, 0)?;
    ensure!(
        namespace(native, "user")? == shared,
        "a native container has other users"
    );
    if node.minor >= (2, 0) {
        a_volume_keeps_its_owners(node, &pod)?;
    }
    pod.remove()?;
    passed()
}

/// Volumes are ID-mapped, so that a file of user 1000 is that user's in each pod; containerd 1.7 cannot.
fn a_volume_keeps_its_owners(node: &Node, pod: &Pod<'_>) -> Result<()> {
    let volume = node.folder("users")?;
    let secret = volume.join("secret");
    std::fs::write(&secret, "of one user")?;
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600))?;
    for path in [&volume, &secret] {
        chown(path, Some(USER), Some(USER))?;
    }
    let args = [
        "--read",
        "/data/secret",
        "--write",
        "/data/answer",
        "read it",
    ];
    let container = pod.run_with("job.wasm", &args, |config| {
        let context = of_container(config);
        let user = Number { value: USER.into() };
        (context.run_as_user, context.run_as_group) = (Some(user.clone()), Some(user));
        config.mounts = vec![Mount {
            container_path: "/data".into(),
            host_path: volume.display().to_string(),
            readonly: false,
            uid_mappings: vec![range()],
            gid_mappings: vec![range()],
        }];
    })?;
    container.ends_with(0)?;
    container.says("read /data/secret: of one user")?;
    let found = owner(&volume.join("answer"))?;
    ensure!(found == (USER, USER), "the answer belongs to {found:?}");
    Ok(())
}

/// containerd puts options of runc's in the place of the handler's where a pod has users of its own, and fails where
/// there are some (client/task.go@v2.4.2, getRuncOptions): the kubelet is not to send such pods.
pub(super) fn a_handler_with_options_offers_no_users(node: &Node) -> Result<Outcome> {
    let handler = &node.args.closed_handler;
    if node.minor < (2, 0) {
        return Ok(Outcome::DoesNotApply("it asks no handler".to_owned()));
    }
    if !node.runtime.has_handler(handler)? {
        return Ok(Outcome::DoesNotApply(format!(
            "there is no handler {handler}"
        )));
    }
    ensure!(
        !node.runtime.offers_users(handler)?,
        "{handler} offers users"
    );
    // What a kubelet is kept from; the day it works, the shim may offer it.
    let pod = node.pod_of(handler, of_pod)?;
    let Err(error) = run(&pod, "ticker.wasm") else {
        bail!("it runs");
    };
    ensure!(
        format!("{error:#}").contains("runtime v2 options"),
        "{error:#}"
    );
    pod.remove()?;
    passed()
}
