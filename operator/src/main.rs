//! `slipway-operator`: parse, set up, run.

use clap::Parser as _;
use slipway_operator::args::{Args, Command, LogFormat};
use slipway_operator::settings::Settings;
use slipway_operator::{run, telemetry};
use tokio::runtime::{Builder, Runtime};

fn main() -> anyhow::Result<()> {
    rustls::crypto::ring::default_provider()
        .install_default()
        .map_err(|_| anyhow::anyhow!("a TLS provider is installed already"))?;
    match Args::parse().command {
        Command::Crd => run::print_definitions(),
        Command::Cleanup(args) => {
            telemetry::init("info", LogFormat::Text)?;
            runtime()?.block_on(run::clean_up(args))
        }
        Command::Run(args) => {
            telemetry::init(&args.log, args.log_format)?;
            let settings = Settings::from_args(*args)?;
            runtime()?.block_on(run::run(settings))
        }
    }
}

fn runtime() -> std::io::Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
}
