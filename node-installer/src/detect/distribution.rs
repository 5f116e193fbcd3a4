//! Which distribution a containerd belongs to: a table of paths that give one away.

use std::path::Path;

/// Who makes containerd's configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Distribution {
    /// Nobody but the administrator: kubeadm, kind, minikube, AKS, EKS, GKE's Ubuntu and the like.
    Generic,
    /// Rendered from a template by k3s.
    K3s,
    /// Rendered from a template by RKE2.
    Rke2,
    /// Assembled from a folder by k0s.
    K0s,
    /// Rendered from a template inside a snap.
    MicroK8s,
    /// Not containerd at all.
    CriO,
}

/// Folders below which a distribution keeps its socket, binary or configuration.
const SIGNS: [(&str, Distribution); 8] = [
    ("/var/lib/rancher/k3s", Distribution::K3s),
    ("/var/lib/rancher/rke2", Distribution::Rke2),
    ("/run/k3s", Distribution::K3s),
    ("/run/k0s", Distribution::K0s),
    ("/var/lib/k0s", Distribution::K0s),
    ("/var/snap/microk8s", Distribution::MicroK8s),
    ("/snap/microk8s", Distribution::MicroK8s),
    ("/run/crio", Distribution::CriO),
];

impl Distribution {
    /// As people know it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Generic => "no distribution",
            Self::K3s => "K3s",
            Self::Rke2 => "RKE2",
            Self::K0s => "k0s",
            Self::MicroK8s => "MicroK8s",
            Self::CriO => "CRI-O",
        }
    }
}

/// The distribution, by the process that serves the socket and then by the socket: RKE2 uses
/// K3s's socket, so its own paths have to be seen first.
pub fn of(socket: &Path, executable: Option<&Path>, arguments: &[String]) -> Distribution {
    let words = arguments
        .iter()
        .map(|word| word.rsplit('=').next().unwrap_or(word).to_owned());
    let executable = executable.map(|path| path.to_string_lossy().into_owned());
    executable
        .into_iter()
        .chain(words)
        .chain([socket.to_string_lossy().into_owned()])
        .find_map(|word| {
            SIGNS
                .iter()
                .find(|(sign, _)| Path::new(&word).starts_with(sign))
                .map(|(_, distribution)| *distribution)
        })
        .unwrap_or(Distribution::Generic)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(
        "/run/containerd/containerd.sock",
        "/usr/bin/containerd",
        "",
        Distribution::Generic
    )]
    #[case(
        "/run/k3s/containerd/containerd.sock",
        "/var/lib/rancher/rke2/data/v1/bin/containerd",
        "-c=/var/lib/rancher/rke2/agent/etc/containerd/config.toml",
        Distribution::Rke2
    )]
    #[case(
        "/run/k3s/containerd/containerd.sock",
        "/usr/bin/containerd",
        "",
        Distribution::K3s
    )]
    #[case(
        "/run/k0s/containerd.sock",
        "/var/lib/k0s/bin/containerd",
        "--config=/etc/k0s/containerd.toml",
        Distribution::K0s
    )]
    #[case(
        "/run/x.sock",
        "/snap/microk8s/1/bin/containerd",
        "",
        Distribution::MicroK8s
    )]
    #[case("/var/run/crio/crio.sock", "/usr/bin/crio", "", Distribution::Generic)]
    #[case("/run/crio/crio.sock", "/usr/bin/crio", "", Distribution::CriO)]
    fn paths_give_it_away(
        #[case] socket: &str,
        #[case] executable: &str,
        #[case] argument: &str,
        #[case] expected: Distribution,
    ) {
        let arguments = ["containerd".to_owned(), argument.to_owned()];
        assert_eq!(
            of(Path::new(socket), Some(Path::new(executable)), &arguments),
            expected
        );
    }
}
