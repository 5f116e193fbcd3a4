//! `slipway-bench-operator`: see the library.

use clap::Parser as _;
use slipway_bench_operator::args::Args;

fn main() -> anyhow::Result<()> {
    rustls::crypto::ring::default_provider()
        .install_default()
        .map_err(|_| anyhow::anyhow!("a TLS provider is installed already"))?;
    slipway_bench_operator::run(Args::parse())
}
