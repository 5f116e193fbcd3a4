//! The command line.

use std::path::PathBuf;

/// Tests a containerd with Slipway's handler through CRI, on the machine it runs on.
///
/// Runs as root, beside no kubelet: that would remove the pods it does not know. containerd is ended and started again,
/// and shims are killed.
#[derive(Debug, Clone, clap::Parser)]
#[command(name = "cri-conformance", version)]
pub struct Args {
    /// The socket of the containerd under test
    #[arg(long, default_value = "/run/containerd/containerd.sock")]
    pub socket: PathBuf,
    /// How that containerd is started (`sh -c`), after the tests have ended it
    #[arg(long, default_value = "systemctl start containerd")]
    pub start_command: String,
    /// The handler under test; its `runtime_type` is the shim's absolute path
    #[arg(long, default_value = "slipway")]
    pub handler: String,
    /// A second handler: a script that appends its arguments to `calls` beside it and goes on as the shim
    #[arg(long, default_value = "slipway-counted")]
    pub counted_handler: String,
    /// A third handler: the same shim with the option `network = "none"`
    #[arg(long, default_value = "slipway-closed")]
    pub closed_handler: String,
    /// The image with the guests of `e2e/guests`, on the node already
    #[arg(long, default_value = "slipway/cri-guests:cri")]
    pub image: String,
    /// Where that containerd looks for the `hosts.toml` of registries (`config_path`); without it nothing is pulled
    #[arg(long)]
    pub registry_hosts: Option<PathBuf>,
    /// How that containerd is started with `use_local_image_pull = true`; without it that is not tested
    #[arg(long)]
    pub local_pull_start_command: Option<String>,
    /// Where logs and volumes go
    #[arg(long, default_value = "/tmp/slipway-cri")]
    pub scratch: PathBuf,
    /// Who keeps cgroups: systemd where it is, unless said otherwise
    #[arg(long)]
    pub cgroup_driver: Option<Driver>,
    /// Only cases whose name (`group::name`) contains one of these
    #[arg(long)]
    pub filter: Vec<String>,
    /// No case whose name (`group::name`) contains one of these
    #[arg(long)]
    pub skip: Vec<String>,
    /// The long cases too: a gigabyte of output, two hundred pods
    #[arg(long)]
    pub long: bool,
    /// How many times longer than usual things may take, for machines that are emulated
    #[arg(long, default_value_t = 1)]
    pub patience: u32,
    /// Prints the names of the cases, and what each shows
    #[arg(long)]
    pub list: bool,
}

/// Who keeps cgroups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Driver {
    /// Scopes in slices.
    Systemd,
    /// Directories.
    Cgroupfs,
}
