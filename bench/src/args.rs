//! The command line.

use std::path::PathBuf;

use crate::subject::{BASELINE, STARTED};

/// Measures pods of several handlers through CRI, and shows what was measured.
#[derive(Debug, Clone, clap::Parser)]
#[command(name = "slipway-bench", version)]
pub struct Args {
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum Command {
    /// Measures, on the node itself, as root and beside no kubelet
    Run(Box<Run>),
    /// Prints the results of a run
    Show(Show),
}

/// How to measure.
#[derive(Debug, Clone, clap::Args)]
pub struct Run {
    /// The socket of the node's containerd
    #[arg(long, default_value = "/run/containerd/containerd.sock")]
    pub socket: PathBuf,
    /// The image with the guests of `bench/guests`, on the node already
    #[arg(long, default_value = "slipway/bench:dev")]
    pub image: String,
    /// Where logs go
    #[arg(long, default_value = "/tmp/slipway-bench")]
    pub scratch: PathBuf,
    /// The shim's cache of compiled code, which is set aside for pods that shall find none
    #[arg(long, default_value = "/var/lib/slipway/cache")]
    pub cache: PathBuf,
    /// A folder with `slipway-worker`, `hello.cwasm` and `hello-http.cwasm`; without one no worker is started alone
    #[arg(long)]
    pub alone: Option<PathBuf>,
    /// What is measured, in words: a date, a commit
    #[arg(long, default_value = "")]
    pub about: String,
    /// Where the results go
    #[arg(long)]
    pub json: PathBuf,
    /// Only these parts
    #[arg(long, value_delimiter = ',')]
    pub only: Vec<Part>,
    /// Only these kinds of pods, by their names in the tables, and `crun hello`, where pods are started or kept
    #[arg(long, value_delimiter = ';', value_parser = kind)]
    pub kinds: Vec<String>,
    /// Pods of each kind that are started one at a time, and workers without a pod
    #[arg(long, default_value_t = 30)]
    pub rounds: u32,
    /// Times that 24 pods of each kind are started several at a time
    #[arg(long, default_value_t = 3)]
    pub batches: u32,
    /// How many pods that is at a time
    #[arg(long, default_value_t = 4)]
    pub at_once: u32,
    /// How many pods are kept while memory is looked at
    #[arg(long, value_delimiter = ',', default_values_t = [100, 200])]
    pub pods: Vec<u32>,
    /// Times that each server is asked for a while
    #[arg(long, default_value_t = 5)]
    pub http_rounds: u32,
    /// How long that is, in seconds
    #[arg(long, default_value_t = 3.0)]
    pub seconds: f64,
    /// Pods that come and go while it is watched what stays
    #[arg(long, default_value_t = 1000)]
    pub churn: u32,
}

/// A part of the benchmark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    /// How fast pods come and go
    Start,
    /// What a pod that is kept takes
    Memory,
    /// A worker without a pod
    Worker,
    /// Requests
    Http,
    /// What stays behind
    Churn,
}

impl Run {
    /// Whether a part is wanted.
    #[must_use]
    pub fn wants(&self, part: Part) -> bool {
        self.only.is_empty() || self.only.contains(&part)
    }

    /// Whether pods of a kind are wanted.
    #[must_use]
    pub fn wants_kind(&self, name: &str) -> bool {
        self.kinds.is_empty() || name == BASELINE || self.kinds.iter().any(|kind| kind == name)
    }
}

/// A name of a kind of pods, as it is in the tables.
fn kind(name: &str) -> Result<String, String> {
    let mut known = STARTED.iter().map(|subject| subject.name);
    if known.any(|known| known == name) {
        return Ok(name.to_owned());
    }
    let known: Vec<_> = STARTED.iter().map(|subject| subject.name).collect();
    Err(format!("no such kind; there are: {}", known.join("; ")))
}

/// What to show.
#[derive(Debug, Clone, clap::Args)]
pub struct Show {
    /// The results of a run
    pub json: PathBuf,
    /// A page whose block between the marks `bench` is written anew
    #[arg(long)]
    pub markdown: Option<PathBuf>,
}
