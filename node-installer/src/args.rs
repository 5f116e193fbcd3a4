//! The command line. Every flag can also come from the environment, because the operator sets a Job's environment
//! and people set flags.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand};

/// Installs, verifies and removes the slipway containerd shim on one node.
#[derive(Debug, Parser)]
#[command(name = "slipway-node-installer", version)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The operations.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Put the shim and its handlers on the node, and prove that containerd offers them.
    Install(InstallArgs),
    /// Give back every byte an install changed.
    Uninstall(UninstallArgs),
    /// Print what is detected and installed, as JSON.
    Status(NodeArgs),
    /// Wait for a transaction to be confirmed, else undo it (started by the installer, as a systemd unit of the host).
    #[command(hide = true)]
    Watchdog(WatchdogArgs),
    /// Change root and execute a program there (how the installer runs the host's own binaries).
    #[command(hide = true)]
    RunInRoot(RunInRootArgs),
}

/// Where the node is, and how patient to be with it.
#[derive(Debug, Clone, clap::Args)]
pub struct NodeArgs {
    /// Where the node's root file system is mounted.
    #[arg(long, env = "SLIPWAY_HOST_ROOT", default_value = "/host")]
    pub host_root: PathBuf,
    /// Folder on the node that holds the shim's binaries, one folder a digest.
    #[arg(long, env = "SLIPWAY_INSTALL_ROOT", default_value = "/opt/slipway")]
    pub install_root: PathBuf,
    /// Where to write the JSON report (at most 4096 bytes).
    #[arg(long, env = "SLIPWAY_REPORT")]
    pub report: Option<PathBuf>,
    /// Seconds containerd's unit may take to restart.
    #[arg(long, env = "SLIPWAY_RESTART_TIMEOUT", default_value = "120", value_parser = seconds)]
    pub restart_timeout: Duration,
    /// Seconds containerd may take to answer on its CRI socket after a restart.
    #[arg(long, env = "SLIPWAY_READY_TIMEOUT", default_value = "60", value_parser = seconds)]
    pub ready_timeout: Duration,
}

impl NodeArgs {
    /// How long a whole transaction may take, a rollback included, before the watchdog steps in.
    pub fn transaction_deadline(&self) -> Duration {
        (self.restart_timeout + self.ready_timeout) * 2 + Duration::from_secs(60)
    }
}

/// Arguments of `install`.
#[derive(Debug, Clone, clap::Args)]
pub struct InstallArgs {
    /// The node.
    #[command(flatten)]
    pub node: NodeArgs,
    /// Folder that holds the binaries to install.
    #[arg(long, env = "SLIPWAY_PAYLOAD", default_value = "/payload")]
    pub payload: PathBuf,
    /// A runtime handler to serve; may be given more than once.
    #[arg(long = "handler", env = "SLIPWAY_HANDLER", value_delimiter = ',', required = true, value_parser = handler)]
    pub handlers: Vec<String>,
}

/// Arguments of `uninstall`.
#[derive(Debug, Clone, clap::Args)]
pub struct UninstallArgs {
    /// The node.
    #[command(flatten)]
    pub node: NodeArgs,
    /// Ignored: the journal knows what was installed. Accepted so that one Job template serves both operations.
    #[arg(long, env = "SLIPWAY_PAYLOAD", hide = true)]
    pub payload: Option<PathBuf>,
    /// Ignored, as `--payload` is.
    #[arg(
        long = "handler",
        env = "SLIPWAY_HANDLER",
        value_delimiter = ',',
        hide = true
    )]
    pub handlers: Vec<String>,
    /// Take the handlers away even while pods still use them.
    #[arg(long, env = "SLIPWAY_FORCE")]
    pub force: bool,
}

/// Arguments of `watchdog`.
#[derive(Debug, Clone, clap::Args)]
pub struct WatchdogArgs {
    /// The node.
    #[command(flatten)]
    pub node: NodeArgs,
    /// The transaction to watch.
    #[arg(long)]
    pub transaction: String,
}

/// Arguments of `run-in-root`.
#[derive(Debug, Clone, clap::Args)]
pub struct RunInRootArgs {
    /// The new root.
    pub root: PathBuf,
    /// The program, as the new root names it.
    pub program: PathBuf,
    /// Its arguments.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub arguments: Vec<String>,
}

fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse::<u64>() {
        Ok(n @ 1..=3600) => Ok(Duration::from_secs(n)),
        _ => Err("expected a whole number of seconds from 1 to 3600".to_owned()),
    }
}

/// A handler becomes a TOML key and a RuntimeClass's handler, which Kubernetes limits to a DNS label
/// (`ValidateRuntimeClass`, kubernetes/pkg/apis/node/validation).
fn handler(text: &str) -> Result<String, String> {
    let label = !text.is_empty()
        && text.len() <= 63
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-');
    match (label, text) {
        (true, "runc") => Err("runc is the node's own handler".to_owned()),
        (true, _) => Ok(text.to_owned()),
        (false, _) => Err(
            "a handler is a DNS label: at most 63 of a-z, 0-9 and -, not starting or ending with -"
                .to_owned(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handlers_come_as_a_list_or_one_by_one() {
        let args = Args::parse_from([
            "x",
            "install",
            "--handler",
            "wasmtime,spin",
            "--handler",
            "wws",
        ]);
        let Command::Install(install) = args.command else {
            panic!("not an install")
        };
        assert_eq!(install.handlers, ["wasmtime", "spin", "wws"]);
        assert_eq!(install.node.host_root, PathBuf::from("/host"));
    }

    #[test]
    fn a_handler_that_is_no_label_or_the_nodes_own_is_refused() {
        for bad in ["", "Wasm", "a\"b", "-a", "a-", "runc", &"a".repeat(64)] {
            assert!(handler(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Args::command().debug_assert();
    }
}
