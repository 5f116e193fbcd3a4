//! `slipway-operator`: parse, set up, run.

use clap::Parser as _;
use slipway_operator::args::{Args, Command};
use slipway_operator::settings::Settings;
use slipway_operator::{run, telemetry};

fn main() -> anyhow::Result<()> {
    rustls::crypto::ring::default_provider()
        .install_default()
        .map_err(|_| anyhow::anyhow!("a TLS provider is installed already"))?;
    match Args::parse().command {
        Command::Crd => run::print_definitions(),
        Command::Run(args) => {
            telemetry::init(&args.log, args.log_format)?;
            let settings = Settings::from_args(*args)?;
            tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()?
                .block_on(run::run(settings))
        }
    }
}
