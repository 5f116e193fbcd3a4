//! The command line. What the operator tells a Job can also come from the environment: the operator sets that, and people
//! set flags.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand};

use crate::spec::{self, Spec};
use crate::{digest, fetch};

/// The shim that a command without `--shim` concerns, and the one an installer that knew no other has left.
pub const DEFAULT_SHIM: &str = "slipway";

/// Installs, verifies and removes containerd shims on one node.
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
    /// Look at what was installed until something of it is gone, then say what, and end.
    Watch(WatchArgs),
    /// Download a shim, verify it and unpack it into a folder that an install takes as its payload.
    Fetch(FetchArgs),
    /// Copy binaries of an image into a folder that an install takes as its payload.
    Copy(CopyArgs),
    /// Wait for a transaction to be confirmed, else undo it (started by the installer, as a systemd unit of the host).
    #[command(hide = true)]
    Watchdog(WatchdogArgs),
    /// End a transaction that was open when the machine stopped (started at boot, by a systemd unit of the host).
    #[command(hide = true)]
    Recover(NodeArgs),
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
    /// Which shim this is, among those of the node.
    #[arg(long, env = "SLIPWAY_SHIM", default_value = DEFAULT_SHIM, value_parser = shim)]
    pub shim: String,
    /// What to install, as JSON: handlers with options, which file is the shim, and more.
    #[arg(long, env = "SLIPWAY_SPEC", conflicts_with = "handlers", value_parser = str::parse::<Spec>)]
    pub spec: Option<Spec>,
    /// A runtime handler to serve, without options; may be given more than once.
    #[arg(long = "handler", env = "SLIPWAY_HANDLER", value_delimiter = ',', required_unless_present = "spec", value_parser = handler)]
    pub handlers: Vec<String>,
}

impl InstallArgs {
    /// What is asked for, in whichever form.
    pub fn wanted(&self) -> Spec {
        self.spec
            .clone()
            .unwrap_or_else(|| Spec::of_names(&self.handlers))
    }
}

/// Arguments of `uninstall`.
#[derive(Debug, Clone, clap::Args)]
pub struct UninstallArgs {
    /// The node.
    #[command(flatten)]
    pub node: NodeArgs,
    /// Which shim to take away; the node's others stay.
    #[arg(long, env = "SLIPWAY_SHIM", default_value = DEFAULT_SHIM, value_parser = shim)]
    pub shim: String,
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
    /// Ignored, as `--payload` is.
    #[arg(long, env = "SLIPWAY_SPEC", hide = true)]
    pub spec: Option<String>,
    /// Take the handlers away even while pods still use them.
    #[arg(long, env = "SLIPWAY_FORCE")]
    pub force: bool,
}

/// Arguments of `fetch`.
#[derive(Debug, Clone, clap::Args)]
pub struct FetchArgs {
    /// Where the shim is: a binary, or a tar archive, gzipped or not. HTTPS, or HTTP on this machine.
    #[arg(long)]
    pub url: String,
    /// The SHA-256 of what is there, in hexadecimal.
    #[arg(long, value_parser = sha256)]
    pub sha256: String,
    /// The name of the shim: of the file in the archive, or for the binary.
    #[arg(long, value_parser = binary)]
    pub binary: String,
    /// Folder to put it in, with the files beside it in the archive.
    #[arg(long, env = "SLIPWAY_PAYLOAD", default_value = "/payload")]
    pub out: PathBuf,
    /// Certificates (PEM) of authorities to believe besides the usual ones.
    #[arg(long, env = "SLIPWAY_CA")]
    pub ca: Option<PathBuf>,
    /// Fetch over plain HTTP from other machines too.
    #[arg(long, env = "SLIPWAY_ALLOW_HTTP")]
    pub allow_http: bool,
    /// How often to try again what may pass.
    #[arg(long, default_value = "4", value_parser = clap::value_parser!(u32).range(..=20))]
    pub retries: u32,
    /// Most bytes to download; four times as many may come out of an archive.
    #[arg(long, default_value_t = fetch::MAX_BYTES)]
    pub max_bytes: u64,
    /// Where to write the JSON report (at most 4096 bytes).
    #[arg(long, env = "SLIPWAY_REPORT")]
    pub report: Option<PathBuf>,
}

/// Arguments of `copy`.
#[derive(Debug, Clone, clap::Args)]
pub struct CopyArgs {
    /// Copy this program itself into a folder.
    #[arg(
        long = "self",
        value_name = "FOLDER",
        conflicts_with = "from",
        required_unless_present = "from"
    )]
    pub own: Option<PathBuf>,
    /// The file to copy, or the folder whose files, but not the folders in it.
    #[arg(long, requires = "out")]
    pub from: Option<PathBuf>,
    /// Folder to put them in.
    #[arg(long, env = "SLIPWAY_PAYLOAD")]
    pub out: Option<PathBuf>,
    /// Where to write the JSON report (at most 4096 bytes).
    #[arg(long, env = "SLIPWAY_REPORT")]
    pub report: Option<PathBuf>,
}

/// Arguments of `watch`.
#[derive(Debug, Clone, clap::Args)]
pub struct WatchArgs {
    /// Where the node's root file system is mounted; reading suffices.
    #[arg(long, env = "SLIPWAY_HOST_ROOT", default_value = "/host")]
    pub host_root: PathBuf,
    /// Where to write the JSON report (at most 4096 bytes).
    #[arg(long, env = "SLIPWAY_REPORT")]
    pub report: Option<PathBuf>,
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

fn sha256(text: &str) -> Result<String, String> {
    let lower = text.to_ascii_lowercase();
    if digest::is_digest(&lower) {
        Ok(lower)
    } else {
        Err("expected 64 hexadecimal digits".to_owned())
    }
}

fn binary(text: &str) -> Result<String, String> {
    spec::file_name(text).map(|()| text.to_owned())
}

fn handler(text: &str) -> Result<String, String> {
    spec::handler_name(text).map(|()| text.to_owned())
}

/// A shim is a custom resource's name shortened to a label, which a node's label is made of.
fn shim(text: &str) -> Result<String, String> {
    if spec::is_label(text) {
        Ok(text.to_owned())
    } else {
        Err("a shim's name is a DNS label: at most 63 of a-z, 0-9 and -, not starting or ending with -".to_owned())
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
        assert_eq!(install.wanted().handlers.len(), 3);
        assert_eq!(install.shim, "slipway");
        assert_eq!(install.node.host_root, PathBuf::from("/host"));
    }

    #[test]
    fn a_handler_that_is_no_label_or_the_nodes_own_is_refused() {
        for bad in ["", "Wasm", "a\"b", "-a", "a-", "runc", &"a".repeat(64)] {
            assert!(handler(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_spec_is_instead_of_handlers() {
        let spec = r#"{"handlers":[{"name":"spin"}],"binary":"containerd-shim-spin-v2"}"#;
        let args = Args::parse_from(["x", "install", "--spec", spec, "--shim", "spin"]);
        let Command::Install(install) = args.command else {
            panic!("not an install")
        };
        assert_eq!(install.wanted().binary, "containerd-shim-spin-v2");
        let refused = |words: &[&str]| Args::try_parse_from(words).unwrap_err().to_string();
        assert!(refused(&["x", "install"]).contains("--handler"));
        assert!(
            refused(&["x", "install", "--spec", spec, "--handler", "a"])
                .contains("cannot be used with")
        );
        let why = refused(&[
            "x",
            "install",
            "--spec",
            r#"{"handlers":[{"name":"a"}],"x":1}"#,
        ]);
        assert!(why.contains("unknown field `x`"), "{why}");
        assert!(refused(&["x", "install", "--handler", "a", "--shim", "A"]).contains("DNS label"));
    }

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Args::command().debug_assert();
    }
}
