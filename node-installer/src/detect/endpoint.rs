//! Which CRI socket the kubelet uses.

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

/// The sockets to try: the kubelet's own if it names one, else the usual ones.
pub fn candidates(root: &HostRoot) -> Vec<PathBuf> {
    match kubelet_endpoint(root) {
        Some(endpoint) => vec![endpoint],
        None => USUAL.iter().map(PathBuf::from).collect(),
    }
}

fn kubelet_endpoint(root: &HostRoot) -> Option<PathBuf> {
    let pid = process::all(root)
        .into_iter()
        .find(|pid| process::name(root, *pid).as_deref() == Some("kubelet"))?;
    let arguments = process::arguments(root, pid);
    super::flag(&arguments, &["--container-runtime-endpoint"])
        .and_then(|path| socket_path(path.to_str()?))
        .or_else(|| {
            let config = super::flag(&arguments, &["--config"])?;
            let (bytes, _) = files::read(&root.locate(&config).ok()?, MAX_CONFIG_BYTES).ok()??;
            endpoint_of_config(str::from_utf8(&bytes).ok()?)
        })
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
