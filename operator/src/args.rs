//! The command line. Every flag has an environment variable; those KWasm's chart sets keep their names.

use std::net::SocketAddr;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{ArgAction, Parser, Subcommand, ValueEnum};
use slipway_crds::shim::PullPolicy;

/// Makes Kubernetes nodes run WebAssembly pods.
#[derive(Parser, Debug)]
#[command(name = "slipway-operator", version, about)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Subcommands.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Run the operator.
    Run(Box<RunArgs>),
    /// Print the custom resource definitions as YAML.
    Crd,
    /// Delete every Shim and wait until the nodes are clean, as an uninstall does first.
    Cleanup(CleanupArgs),
}

/// What `run` takes.
#[derive(Parser, Debug, Clone)]
pub struct RunArgs {
    /// Namespace of the Lease and of the default Shim's ConfigMap [env also: `POD_NAMESPACE`].
    #[arg(long, env = "CONTROLLER_NAMESPACE")]
    pub namespace: Option<String>,
    /// Namespace of the installer Jobs and the canary pods; default: the operator's.
    #[arg(long, env = "SLIPWAY_INSTALLER_NAMESPACE")]
    pub installer_namespace: Option<String>,
    /// Who this process is among its replicas; default: the host's name.
    #[arg(long, env = "POD_NAME")]
    pub identity: Option<String>,
    /// Image that carries the installer, the shim and the canary.
    #[arg(long, env = "INSTALLER_IMAGE")]
    pub installer_image: String,
    /// Pull policy of that image.
    #[arg(
        long,
        env = "INSTALLER_PULL_POLICY",
        default_value = "IfNotPresent",
        value_parser = pull_policy()
    )]
    pub installer_pull_policy: PullPolicy,
    /// JSON with what else installer and canary pods get: imagePullSecrets, tolerations,
    /// priorityClassName, resources, labels, annotations, fetchEnv, fetchCa.
    #[arg(long, env = "SLIPWAY_INSTALLER_POD", default_value = "{}")]
    pub installer_pod: String,
    /// Take every Linux amd64 and arm64 node that does not opt out.
    #[arg(
        long,
        env = "AUTO_PROVISION_NODES",
        action = ArgAction::Set,
        default_value_t = false,
        num_args = 0..=1,
        default_missing_value = "true"
    )]
    pub auto_provision: bool,
    /// ConfigMap in the operator's namespace that says what the Shim `slipway` is (key `spec.json`).
    #[arg(long, env = "SLIPWAY_DEFAULT_SHIM")]
    pub default_shim: Option<String>,
    /// Folder on the nodes for the shim's binaries.
    #[arg(long, env = "SLIPWAY_INSTALL_ROOT", default_value = "/opt/slipway")]
    pub install_root: String,
    /// How many nodes may be changed at a time, whatever the Shims allow.
    #[arg(long, env = "SLIPWAY_MAX_CONCURRENT", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub max_concurrent: u32,
    /// How long an installer Job may take.
    #[arg(long, env = "SLIPWAY_JOB_DEADLINE_SECONDS", default_value_t = 600, value_parser = clap::value_parser!(u32).range(60..=86_400))]
    pub job_deadline_seconds: u32,
    /// How long a finished Job is kept.
    #[arg(long, env = "SLIPWAY_JOB_TTL_SECONDS", default_value_t = 3600, value_parser = clap::value_parser!(u32).range(60..=604_800))]
    pub job_ttl_seconds: u32,
    /// Work only while holding the Lease.
    #[arg(
        long,
        env = "SLIPWAY_LEADER_ELECT",
        action = ArgAction::Set,
        default_value_t = true,
        num_args = 0..=1,
        default_missing_value = "true"
    )]
    pub leader_elect: bool,
    /// Address of `/healthz`, `/livez`, `/readyz` and `/metrics`.
    #[arg(long, env = "SLIPWAY_LISTEN", default_value = "0.0.0.0:8080")]
    pub listen: SocketAddr,
    /// Form of the log.
    #[arg(long, env = "SLIPWAY_LOG_FORMAT", default_value = "text")]
    pub log_format: LogFormat,
    /// What is logged, as a tracing filter, e.g. `info,slipway_operator=debug`.
    #[arg(long, env = "SLIPWAY_LOG", default_value = "info")]
    pub log: String,
}

/// What `cleanup` takes.
#[derive(Parser, Debug, Clone)]
pub struct CleanupArgs {
    /// Namespace of the operator.
    #[arg(long, env = "CONTROLLER_NAMESPACE")]
    pub namespace: String,
    /// ConfigMap that says what the default Shim is; deleted first, so that the operator does not make the Shim anew.
    #[arg(long, env = "SLIPWAY_DEFAULT_SHIM")]
    pub default_shim: Option<String>,
    /// How long the nodes may take.
    #[arg(long, env = "SLIPWAY_CLEANUP_TIMEOUT_SECONDS", default_value_t = 270, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub timeout_seconds: u32,
}

/// The spellings of the API, and no others.
fn pull_policy() -> impl TypedValueParser<Value = PullPolicy> {
    PossibleValuesParser::new(PullPolicy::ALL.map(PullPolicy::as_str)).try_map(|name| {
        let mut all = PullPolicy::ALL.into_iter();
        all.find(|policy| policy.as_str() == name)
            .ok_or("no pull policy")
    })
}

/// Forms of the log.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(extra: &[&str]) -> RunArgs {
        let mut argv = vec!["slipway-operator", "run", "--installer-image", "i:1"];
        argv.extend(extra);
        match Args::try_parse_from(argv).unwrap().command {
            Command::Run(args) => *args,
            _ => unreachable!("`run` was given"),
        }
    }

    #[test]
    fn defaults() {
        let args = run(&[]);
        assert_eq!(args.default_shim, None);
        assert!(!args.auto_provision && args.leader_elect);
        assert_eq!(args.max_concurrent, 10);
        assert_eq!(args.installer_pull_policy, PullPolicy::IfNotPresent);
    }

    #[test]
    fn switches_take_a_value_as_kwasm_sets_it() {
        assert!(run(&["--auto-provision", "true"]).auto_provision);
        assert!(run(&["--auto-provision"]).auto_provision);
        assert!(!run(&["--leader-elect", "false"]).leader_elect);
    }

    #[test]
    fn nonsense_is_a_usage_error() {
        for bad in [
            ["--max-concurrent", "0"],
            ["--listen", "nowhere"],
            ["--installer-pull-policy", "Sometimes"],
        ] {
            let mut argv = vec!["slipway-operator", "run", "--installer-image", "i:1"];
            argv.extend(bad);
            assert!(Args::try_parse_from(argv).is_err(), "{bad:?}");
        }
    }
}
