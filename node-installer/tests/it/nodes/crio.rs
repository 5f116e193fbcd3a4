//! Nodes with CRI-O.

use slipway_node_installer::detect::distribution::Distribution;

use super::Kind;

const VERSIONS: &[(u32, u32)] = &[(1, 34)];
const CONFIG: &str = "/etc/crio/crio.conf";

const fn crio(name: &'static str, files: &'static [(&'static str, &'static str)]) -> Kind {
    Kind {
        name,
        versions: VERSIONS,
        distribution: Distribution::CriO,
        config: CONFIG,
        files,
    }
}

/// Every kind of such a node.
pub(crate) const KINDS: &[Kind] = &[
    crio("CRI-O without a file", &[]),
    crio(
        "CRI-O as it is packaged",
        &[(
            "/etc/crio/crio.conf.d/10-crio.conf",
            r#"[crio.image]
signature_policy = "/etc/crio/policy.json"

[crio.runtime]
default_runtime = "crun"

[crio.runtime.runtimes.crun]
runtime_path = "/usr/libexec/crio/crun"
runtime_root = "/run/crun"
runtime_type = "oci" # conmon
monitor_path = "/usr/libexec/crio/conmon"
allowed_annotations = [
    "io.containers.trace-syscall",
]

[crio.runtime.runtimes.runc]
runtime_path = "/usr/libexec/crio/runc"
runtime_root = "/run/runc"
"#,
        )],
    ),
    crio(
        "CRI-O with conmon-rs and drop-ins of others",
        &[
            (
                CONFIG,
                "[crio]\nversion_file = \"/run/crio/version\"\n[crio.runtime]\ncgroup_manager = \"systemd\"\n",
            ),
            (
                "/etc/crio/crio.conf.d/10-crun.conf",
                r#"# by the package
[crio.runtime]
default_runtime = "crun"
[crio.runtime.runtimes.crun]
runtime_type = "pod"
monitor_path = "/usr/libexec/crio/conmonrs"
monitor_cgroup = "system.slice"
"#,
            ),
            (
                "/etc/crio/crio.conf.d/50-kata.conf",
                r#"[crio.runtime.runtimes.kata]
runtime_path = "/usr/bin/containerd-shim-kata-v2"
runtime_type = "vm"
runtime_root = "/run/vc"
privileged_without_host_devices = true
"#,
            ),
            (
                "/etc/crio/crio.conf.d/zz-last/99-registries.conf",
                "[crio.image]\ndefault_transport = \"docker://\" # ours",
            ),
        ],
    ),
];
