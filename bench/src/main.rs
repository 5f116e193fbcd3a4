//! `slipway-bench`: see the library.

use clap::Parser;

fn main() -> anyhow::Result<()> {
    slipway_bench::run(slipway_bench::args::Args::parse())
}
