//! Kinds of nodes: the files from which containerd is configured on each, as their makers write them (shortened).
//!
//! `@` stands for the root of the node, which is a folder in a test.

#[path = "nodes/crio.rs"]
pub(crate) mod crio;
#[path = "nodes/distributions.rs"]
mod distributions;

use slipway_node_installer::detect::distribution::Distribution;

/// A kind of node.
pub(crate) struct Kind {
    /// A name for people and snapshots.
    pub(crate) name: &'static str,
    /// The versions of containerd it is found with.
    pub(crate) versions: &'static [(u32, u32)],
    /// Who makes containerd's configuration.
    pub(crate) distribution: Distribution,
    /// The root file.
    pub(crate) config: &'static str,
    /// All files, by path.
    pub(crate) files: &'static [(&'static str, &'static str)],
}

const ONE: &[(u32, u32)] = &[(1, 6), (1, 7)];
const TWO: &[(u32, u32)] = &[(2, 1), (2, 4)];
const ALL: &[(u32, u32)] = &[(1, 6), (1, 7), (2, 1), (2, 4)];
const CONFIG: &str = "/etc/containerd/config.toml";

/// A node whose files nobody but people writes.
const fn own(
    name: &'static str,
    versions: &'static [(u32, u32)],
    files: &'static [(&'static str, &'static str)],
) -> Kind {
    Kind {
        name,
        versions,
        distribution: Distribution::Generic,
        config: CONFIG,
        files,
    }
}

const KUBEADM: &str = r#"# written by containerd config default, then by hand
disabled_plugins = []
version = 2

[grpc]
  max_recv_message_size = 16777216

[plugins]

  [plugins."io.containerd.grpc.v1.cri"]
    sandbox_image = "pause:3.9"

    [plugins."io.containerd.grpc.v1.cri".containerd]
      default_runtime_name = "runc"

      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes]

        [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
          runtime_type = "io.containerd.runc.v2"

          [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
            SystemdCgroup = true # kubelet too

    [plugins."io.containerd.grpc.v1.cri".registry]
      config_path = "/etc/containerd/certs.d"
"#;

/// Those whose files nobody but people writes.
pub(crate) const OWN: &[Kind] = &[
    own("no root file", ALL, &[]),
    own("an empty root file", ALL, &[(CONFIG, "")]),
    own(
        "root of version 1",
        &[(1, 6), (1, 7), (2, 4)],
        &[(
            CONFIG,
            r#"# old
[plugins.cri]
  sandbox_image = "pause"
  [plugins.cri.containerd.runtimes.crun]
    runtime_type = "io.containerd.runc.v2"
"#,
        )],
    ),
    own("root of version 2 (kubeadm)", ALL, &[(CONFIG, KUBEADM)]),
    own(
        "root of version 3",
        TWO,
        &[(
            CONFIG,
            r#"version = 3
root = '@/var/lib/containerd'

[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
  runtime_type = 'io.containerd.runc.v2' # mine
  [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
    SystemdCgroup = true
"#,
        )],
    ),
    own(
        "root of version 4",
        &[(2, 4)],
        &[(
            CONFIG,
            r#"version = 4

[debug]
  level = 'info'

[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.crun]
  runtime_type = 'io.containerd.runc.v2'
"#,
        )],
    ),
    own(
        "no runtime named (Debian)",
        ONE,
        &[(
            CONFIG,
            r#"version = 2

[plugins]
  [plugins."io.containerd.grpc.v1.cri"]
    [plugins."io.containerd.grpc.v1.cri".cni]
      bin_dir = "/usr/lib/cni"
      conf_dir = "/etc/cni/net.d"
  [plugins."io.containerd.internal.v1.opt"]
    path = "@/var/lib/containerd/opt"
"#,
        )],
    ),
    own(
        "an imported section (EKS AL2)",
        ONE,
        &[
            (
                CONFIG,
                r#"version = 2
root = "@/var/lib/containerd"
imports = ["@/etc/containerd/config.d/*.toml"]

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "pause:3.5"
"#,
            ),
            (
                "/etc/containerd/config.d/10-nvidia.toml",
                r#"version = 2
# GPU nodes
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "pause:3.5"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.nvidia]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.nvidia.options]
      BinaryName = "/usr/bin/nvidia-container-runtime"
"#,
            ),
        ],
    ),
    own(
        "an imported file without a section (minikube)",
        ALL,
        &[
            (
                CONFIG,
                r#"version = 2
imports = ["@/etc/containerd/containerd.conf.d/02-containerd.conf"]
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
    SystemdCgroup = false
"#,
            ),
            (
                "/etc/containerd/containerd.conf.d/02-containerd.conf",
                "version = 2\n[metrics]\n  address = \"127.0.0.1:1338\"\n",
            ),
        ],
    ),
    own(
        "root written at boot (EKS nodeadm)",
        TWO,
        &[
            (
                CONFIG,
                r#"version = 3
root = '@/var/lib/containerd'
state = '/run/containerd'

[grpc]
address = '/run/foo/containerd.sock'

[plugins.'io.containerd.cri.v1.images'.pinned_images]
sandbox = 'localhost/kubernetes/pause'
[plugins.'io.containerd.cri.v1.images'.registry]
config_path = '/etc/containerd/certs.d:/etc/docker/certs.d'

[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
runtime_type = 'io.containerd.runc.v2'
base_runtime_spec = '@/etc/containerd/base-runtime-spec.json'
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
BinaryName = '/usr/sbin/runc'
SystemdCgroup = true
"#,
            ),
            ("/etc/containerd/base-runtime-spec.json", "{}\n"),
        ],
    ),
    own(
        "a folder imported already (2.2 and later)",
        TWO,
        &[
            (
                CONFIG,
                "version = 3\nimports = ['@/etc/containerd/conf.d/*.toml']\n",
            ),
            (
                "/etc/containerd/conf.d/50-nvidia.toml",
                r#"version = 3
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.nvidia] # by the toolkit
runtime_type = 'io.containerd.runc.v2'
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.nvidia.options]
BinaryName = '/usr/bin/nvidia-container-runtime'
"#,
            ),
        ],
    ),
    own(
        "several runtimes (AKS)",
        ALL,
        &[(
            CONFIG,
            r#"version = 2
oom_score = -999
[plugins."io.containerd.grpc.v1.cri"]
	sandbox_image = "pause:3.6"
	[plugins."io.containerd.grpc.v1.cri".containerd]
		default_runtime_name = "runc"
		[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
			runtime_type = "io.containerd.runc.v2"
		[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
			BinaryName = "/usr/bin/runc"
			SystemdCgroup = true
		[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.untrusted]
			runtime_type = "io.containerd.runc.v2"
		[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.untrusted.options]
			BinaryName = "/usr/bin/runc"
[metrics]
	address = "0.0.0.0:10257"
"#,
        )],
    ),
    own(
        "short tables (GKE)",
        ALL,
        &[(
            CONFIG,
            r#"version = 2
required_plugins = ["io.containerd.grpc.v1.cri"]
# Kubernetes requires cri.
oom_score = -999
[debug]
  level = "info"
[plugins."io.containerd.grpc.v1.cri"]
  stream_server_address = "127.0.0.1"
  max_container_log_line_size = 262144
[plugins."io.containerd.grpc.v1.cri".containerd]
  default_runtime_name = "runc"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2""#,
        )],
    ),
    own(
        "dotted and inline tables",
        ALL,
        &[(
            CONFIG,
            r#"version = 2
plugins."io.containerd.grpc.v1.cri".sandbox_image = "p" # short
plugins."io.containerd.grpc.v1.cri".containerd.runtimes = { runc = { runtime_type = "io.containerd.runc.v2" }, kata = { runtime_type = "io.containerd.kata.v2" } }
"#,
        )],
    ),
    own(
        "lines that end as on Windows",
        ALL,
        &[(
            CONFIG,
            "version = 2\r\n[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc]\r\n  runtime_type = \"io.containerd.runc.v2\" # why\r\n",
        )],
    ),
];

/// Every kind.
pub(crate) fn kinds() -> impl Iterator<Item = &'static Kind> {
    OWN.iter().chain(distributions::KINDS)
}

impl Kind {
    /// What its distribution writes whenever it starts containerd, from the files as they are: path and text.
    pub(crate) fn render(
        &self,
        read: &dyn Fn(&str) -> Option<String>,
    ) -> Option<(&'static str, String)> {
        let first = |path: &str| {
            self.files
                .iter()
                .find(|(file, _)| *file == path)
                .map(|(_, text)| *text)
        };
        match self.distribution {
            Distribution::K3s | Distribution::Rke2 => {
                let base = first(self.config)?;
                let three = base.contains("version = 3");
                let name = if three {
                    "config-v3.toml.tmpl"
                } else {
                    "config.toml.tmpl"
                };
                let template = read(&self.config.replace("config.toml", name));
                let text = template.map_or_else(
                    || base.to_owned(),
                    |template| {
                        template
                            .replace("{{ template \"base\" . }}", base.trim_end())
                            .replace("{{ .Program }}", "k3s")
                    },
                );
                Some((self.config, text))
            }
            // Pieces with a CRI section are appended (1.27 to 1.29) or merged (since) into a file of k0s' own.
            Distribution::K0s => {
                let merged = "/run/k0s/containerd-cri.toml";
                let piece = read("/etc/k0s/containerd.d/99-slipway.toml").unwrap_or_default();
                Some((merged, format!("{}{piece}", first(merged)?)))
            }
            Distribution::MicroK8s => {
                let template = read("/var/snap/microk8s/1/args/containerd-template.toml")?;
                let text = template
                    .replace("${SNAPSHOTTER}", "overlayfs")
                    .replace("${RUNTIME}", "runc");
                Some((self.config, text))
            }
            Distribution::Generic | Distribution::CriO => None,
        }
    }
}
