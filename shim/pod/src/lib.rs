//! The pod process: `containerd-shim-slipway-v1`, one a pod, between containerd and the workers.
//!
//! ```text
//! containerd ── start ──► fork ──► the pod process ── spawn ──► slipway-worker, one a container
//!     └──────── ttrpc, events ─────────┘     └── when the cache has no code ──► slipway-compile
//! ```
//!
//! It keeps containerd's runtime v2 contract (task API v2 and v3), and nothing else: it knows no wasmtime, runs no
//! guest code, has one thread and opens no connection but to containerd and systemd.

pub mod api;
pub mod args;
pub mod bootstrap;
pub mod cleanup;
pub mod compile;
pub mod containerd;
pub mod events;
pub mod features;
pub mod log;
pub mod native;
pub mod options;
pub mod pause;
pub mod pod;
pub mod programs;
pub mod record;
pub mod sandbox;
pub mod signals;
pub mod socket;
pub mod spawn;
pub mod start;
pub mod task;
pub mod ttrpc;

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use prost::Message;

use api::types::{Any, RuntimeInfo, RuntimeVersion};
use args::Action;

/// The runtime's name, as `-info` gives it.
const NAME: &str = "io.containerd.slipway.v1";

/// Runs the program with these arguments; what goes wrong is one line on standard error.
#[must_use]
pub fn run(arguments: impl IntoIterator<Item = String>) -> ExitCode {
    match answer(arguments) {
        // A caller that does not read the answer does not need it.
        Ok(answer) => match std::io::stdout().write_all(&answer) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        },
        Err((status, sentence)) => {
            say(&sentence);
            ExitCode::from(status)
        }
    }
}

fn answer(arguments: impl IntoIterator<Item = String>) -> Result<Vec<u8>, (u8, String)> {
    let action = args::parse(arguments).map_err(|error| (2, error.to_string()))?;
    match action {
        Action::Start(flags) => start::start(&flags)
            .map(String::into_bytes)
            .map_err(|error| (1, error.to_string())),
        Action::Delete(flags) => Ok(cleanup::delete(&flags, |warning| say(&warning))),
        Action::Info => {
            // The options of the handler, if it has any; a person at a terminal gives none.
            let mut input = Vec::new();
            if !std::io::stdin().is_terminal() {
                input = start::read_input(std::io::stdin().lock())
                    .map_err(|error| (1, error.to_string()))?;
            }
            Ok(info(&input).encode_to_vec())
        }
        Action::Version => {
            let version = env!("CARGO_PKG_VERSION");
            Ok(format!("containerd-shim-slipway-v1 {version}\n").into_bytes())
        }
        Action::Help => Ok(args::USAGE.as_bytes().to_vec()),
    }
}

fn say(sentence: &str) {
    // Without a standard error there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "containerd-shim-slipway-v1: {sentence}");
}

fn info(options: &[u8]) -> RuntimeInfo {
    let options = Any::decode(options).ok();
    RuntimeInfo {
        name: NAME.to_owned(),
        version: Some(RuntimeVersion {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            revision: String::new(),
        }),
        features: Some(features::features(options.as_ref())),
    }
}
