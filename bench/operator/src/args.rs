//! The command line.

use std::path::PathBuf;

/// Measures what the operator asks of an API server with many nodes.
#[derive(Debug, Clone, clap::Parser)]
#[command(name = "slipway-bench-operator", version)]
pub struct Args {
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum Command {
    /// Measures, with processes of its own on loopback
    Run(Box<Run>),
    /// Prints the results of a run
    Show(Show),
}

/// How to measure.
#[derive(Debug, Clone, clap::Args)]
pub struct Run {
    /// etcd's server
    #[arg(long)]
    pub etcd: PathBuf,
    /// The API server
    #[arg(long)]
    pub kube_apiserver: PathBuf,
    /// The operator
    #[arg(long)]
    pub operator: PathBuf,
    /// What the chart renders: definitions and roles are taken from it
    #[arg(long, default_value = "config/base/slipway.yaml")]
    pub base: PathBuf,
    /// What is measured, in words: a date, a commit, how the operator was built
    #[arg(long, default_value = "")]
    pub about: String,
    /// Where the results go
    #[arg(long)]
    pub json: PathBuf,
    /// Where logs and data go; a folder that is removed afterwards where nothing is said
    #[arg(long)]
    pub scratch: Option<PathBuf>,
    /// How many nodes there are
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub nodes: u32,
    /// How many may be changed at a time
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub at_once: u32,
    /// How long it is watched at rest, in seconds
    #[arg(long, default_value_t = 120, value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub rest: u32,
    /// How long a part of the run may take, in seconds
    #[arg(long, default_value_t = 1800, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub deadline: u32,
}

/// What to show.
#[derive(Debug, Clone, clap::Args)]
pub struct Show {
    /// The results of a run
    pub json: PathBuf,
    /// A page whose block between the marks `bench-operator` is written anew
    #[arg(long)]
    pub markdown: Option<PathBuf>,
}
