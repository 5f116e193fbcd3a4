//! Wires it all together: watches, controllers, probes, the Lease, and an orderly end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, bail};
use futures::stream;
use kube::Client;
use slipway_crds::generate;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinSet;

use crate::args::CleanupArgs;
use crate::caches::{self, Caches, Writers};
use crate::context::Context;
use crate::events::Emitter;
use crate::lease::Leadership;
use crate::metrics::Metrics;
use crate::settings::Settings;
use crate::turns::Turns;
use crate::{
    claim_controller, cleanup, default_shim, node_controller, runtime_classes, server,
    shim_controller,
};

/// Prints the custom resource definitions.
///
/// # Errors
/// When standard output is closed.
pub fn print_definitions() -> anyhow::Result<()> {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    for (_, yaml) in generate::files()? {
        writeln!(out, "---\n{yaml}")?;
    }
    Ok(())
}

/// Deletes every `Shim` and waits until the nodes are clean.
///
/// # Errors
/// When they are not in time, or the API server cannot be asked.
pub async fn clean_up(args: CleanupArgs) -> anyhow::Result<()> {
    let client = Client::try_default()
        .await
        .context("no API server: want a service account's token or a kubeconfig")?;
    cleanup::run(client, &args).await
}

/// Runs the operator until it is told to stop, or the Lease is lost.
///
/// # Errors
/// When it cannot start, when the Lease is lost, or when a part of it ends by itself.
pub async fn run(settings: Settings) -> anyhow::Result<()> {
    let client = Client::try_default()
        .await
        .context("no API server: want a service account's token or a kubeconfig")?;
    let (caches, writers) = Caches::new();
    let metrics = Metrics::new();
    let ready = Arc::new(AtomicBool::new(true));
    let mut tasks = JoinSet::new();

    let listener = TcpListener::bind(settings.listen)
        .await
        .with_context(|| format!("{}: cannot listen there", settings.listen))?;
    tracing::info!(address = %settings.listen, version = env!("CARGO_PKG_VERSION"), "probes and metrics are served");
    let routes = server::routes(server::Told {
        metrics: metrics.clone(),
        node_shims: caches.node_shims.clone(),
        shims: caches.shims.clone(),
        ready: Arc::clone(&ready),
    });
    tasks.spawn(async move {
        if let Err(error) = axum::serve(listener, routes).await {
            tracing::error!(%error, "the server of probes and metrics has ended");
        }
    });

    let stop = stop_signal()?;
    let mut leadership = Leadership::new(
        client.clone(),
        &settings.namespace,
        settings.identity.clone(),
    );
    let elects = settings.leader_elect;
    let context = Arc::new(Context {
        client: client.clone(),
        caches,
        turns: Turns::new(settings.max_concurrent),
        events: Emitter::new(client, settings.identity.clone()),
        metrics: metrics.clone(),
        settings,
    });
    tokio::pin!(stop);
    if elects {
        tracing::info!(
            identity = context.settings.identity,
            "waiting for the Lease"
        );
        tokio::select! {
            () = leadership.acquire() => {}
            () = &mut stop => return Ok(()),
        }
    }
    tracing::info!("this replica does the work");
    metrics.lead(true);
    let work = work(Arc::clone(&context), writers, ready, &mut tasks);
    let held = async {
        if elects {
            leadership.hold().await;
        } else {
            std::future::pending::<()>().await;
        }
    };
    let result = tokio::select! {
        () = &mut stop => Ok(()),
        () = held => Err(anyhow::anyhow!("the Lease is lost: another replica does the work now")),
        ended = work => ended,
    };
    // Nothing of ours may still be changing anything when another replica begins.
    tasks.shutdown().await;
    if elects && result.is_ok() {
        leadership.release().await;
    }
    tracing::info!("stopped");
    result
}

/// Starts watches and controllers; ends only when one of them does.
async fn work(
    context: Arc<Context>,
    writers: Writers,
    ready: Arc<AtomicBool>,
    tasks: &mut JoinSet<()>,
) -> anyhow::Result<()> {
    ready.store(false, Ordering::Release);
    let settings = &context.settings;
    let wakes = caches::watch(
        &context.client,
        &settings.installer.namespace,
        &context.caches,
        writers,
        tasks,
    );
    context
        .caches
        .ready()
        .await
        .context("a watch has ended before it had begun")?;
    default_shim::first(&context).await;
    ready.store(true, Ordering::Release);
    tracing::info!(
        nodes = context.caches.nodes.len(),
        node_shims = context.caches.node_shims.len(),
        "caches are filled"
    );
    tasks.spawn(runtime_classes::run(
        Arc::clone(&context),
        wakes.runtime_classes,
    ));
    tasks.spawn(default_shim::run(Arc::clone(&context), wakes.default_shim));
    tasks.spawn(shim_controller::run(
        Arc::clone(&context),
        receive(wakes.shims),
    ));
    tasks.spawn(claim_controller::run(
        Arc::clone(&context),
        receive(wakes.nodes),
    ));
    tasks.spawn(node_controller::run(
        Arc::clone(&context),
        receive(wakes.node_shims),
    ));
    match tasks.join_next().await {
        Some(Err(error)) => Err(error).context("a part of the operator has crashed"),
        Some(Ok(())) | None => bail!("a part of the operator has ended"),
    }
}

fn receive<T: Send + 'static>(
    receiver: UnboundedReceiver<T>,
) -> impl futures::Stream<Item = T> + Send {
    stream::unfold(receiver, async |mut receiver| {
        let item = receiver.recv().await?;
        Some((item, receiver))
    })
}

fn stop_signal() -> anyhow::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM cannot be waited for")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT cannot be waited for")?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("told to stop");
    })
}
