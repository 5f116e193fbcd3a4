//! Which CRI socket the kubelet uses.

use std::fs;
use std::path::{Path, PathBuf};

use crate::host::files::{self, MAX_CONFIG_BYTES};
use crate::host::{HostRoot, process};

/// Tried in this order when the kubelet does not say. The distributions' own sockets are here so that they can be
/// named when they are what serves the node.
const USUAL: [&str; 5] = [
    "/run/containerd/containerd.sock",
    "/run/k3s/containerd/containerd.sock",
    "/run/k0s/containerd.sock",
    "/var/snap/microk8s/common/run/containerd.sock",
    "/run/crio/crio.sock",
];

/// What the kubelet uses when nothing says otherwise (`SetDefaults_KubeletConfiguration`, Kubernetes 1.27 and later;
/// before, the flag is required).
const KUBELETS_DEFAULT: &str = "/run/containerd/containerd.sock";

/// More drop-ins than any kubelet has.
const MAX_DROP_INS: usize = 256;

/// The sockets to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Candidates {
    /// The one that the kubelet uses.
    Kubelets(PathBuf),
    /// There is no kubelet to ask.
    Usual(Vec<PathBuf>),
}

impl Candidates {
    /// The sockets.
    pub fn sockets(&self) -> &[PathBuf] {
        match self {
            Self::Kubelets(socket) => std::slice::from_ref(socket),
            Self::Usual(sockets) => sockets,
        }
    }
}

/// The sockets to try: the kubelet's own if there is one, else the usual ones.
pub fn candidates(root: &HostRoot) -> Candidates {
    match kubelet(root) {
        Some(arguments) => Candidates::Kubelets(
            kubelet_endpoint(root, &arguments).unwrap_or_else(|| PathBuf::from(KUBELETS_DEFAULT)),
        ),
        None => Candidates::Usual(USUAL.iter().map(PathBuf::from).collect()),
    }
}

/// The command line of the node's own kubelet: those inside containers (kind's nodes) serve other nodes, and whatever an
/// ordinary user calls kubelet has nothing to say about what root runs.
fn kubelet(root: &HostRoot) -> Option<Vec<String>> {
    process::all(root)
        .into_iter()
        .filter(|pid| process::name(root, *pid).as_deref() == Some("kubelet"))
        .filter(|pid| process::is_roots(root, *pid))
        .find(|pid| !process::is_in_inner_namespace(root, *pid))
        .map(|pid| process::arguments(root, pid))
}

/// Flags come before the files of `--config-dir`, of which the last that says so counts, and those before `--config`.
fn kubelet_endpoint(root: &HostRoot, arguments: &[String]) -> Option<PathBuf> {
    super::flag(arguments, &["--container-runtime-endpoint"])
        .and_then(|path| socket_path(path.to_str()?))
        .or_else(|| {
            let folder = super::flag(arguments, &["--config-dir"])?;
            let mut files: Vec<PathBuf> = fs::read_dir(root.locate(&folder).ok()?)
                .ok()?
                .flatten()
                .map(|entry| entry.path())
                .filter(|path| {
                    path.extension()
                        .is_some_and(|extension| extension == "conf")
                })
                .take(MAX_DROP_INS)
                .collect();
            files.sort();
            files.iter().rev().find_map(|path| endpoint_in(path))
        })
        .or_else(|| {
            let config = super::flag(arguments, &["--config"])?;
            endpoint_in(&root.locate(&config).ok()?)
        })
}

fn endpoint_in(local: &Path) -> Option<PathBuf> {
    let (bytes, _) = files::read(local, MAX_CONFIG_BYTES).ok()??;
    endpoint_of_config(str::from_utf8(&bytes).ok()?)
}

/// `containerRuntimeEndpoint` of a KubeletConfiguration, which is a top-level key with a plain text: one line of YAML
/// or JSON, for which no YAML parser is worth its weight here.
fn endpoint_of_config(text: &str) -> Option<PathBuf> {
    let value = text.lines().find_map(|line| {
        let line = line.trim_end().trim_end_matches(',');
        let (key, value) = line.split_once(':')?;
        (key.trim().trim_matches('"') == "containerRuntimeEndpoint").then_some(value)
    })?;
    let value = value.split(" #").next().unwrap_or(value);
    socket_path(value.trim().trim_matches(['"', '\'']))
}

fn socket_path(endpoint: &str) -> Option<PathBuf> {
    let path = endpoint.strip_prefix("unix://").unwrap_or(endpoint);
    Path::new(path).is_absolute().then(|| PathBuf::from(path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(
        "kind: KubeletConfiguration\ncontainerRuntimeEndpoint: unix:///run/c.sock\n",
        Some("/run/c.sock")
    )]
    #[case(
        "containerRuntimeEndpoint: \"/run/c.sock\" # why\n",
        Some("/run/c.sock")
    )]
    #[case(
        "{\n  \"containerRuntimeEndpoint\": \"unix:///run/c.sock\",\n}",
        Some("/run/c.sock")
    )]
    #[case("containerRuntimeEndpoint: \"\"\n", None)]
    #[case("imageServiceEndpoint: unix:///run/i.sock\n", None)]
    fn the_kubelets_configuration_names_it(#[case] text: &str, #[case] expected: Option<&str>) {
        assert_eq!(endpoint_of_config(text), expected.map(PathBuf::from));
    }
}
