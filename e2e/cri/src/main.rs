//! `cri-conformance`: see the library.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    slipway_e2e_cri::run(slipway_e2e_cri::args::Args::parse())
}
