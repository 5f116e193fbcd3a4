//! Probes and metrics over HTTP.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use kube::runtime::reflector::Store;
use slipway_crds::{NodeShim, Shim};

use crate::metrics::Metrics;

/// What the server tells of.
#[derive(Clone)]
pub struct Told {
    /// What is counted.
    pub metrics: Metrics,
    /// All `NodeShim`s, to count phases.
    pub node_shims: Store<NodeShim>,
    /// All `Shim`s, to count their nodes.
    pub shims: Store<Shim>,
    /// True on a standby, and on the leader once its caches are filled.
    pub ready: Arc<AtomicBool>,
}

/// The routes.
pub fn routes(told: Told) -> Router {
    Router::new()
        .route("/livez", get(alive))
        .route("/healthz", get(alive))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(told)
}

async fn alive() -> &'static str {
    "ok\n"
}

async fn ready(State(told): State<Told>) -> (StatusCode, &'static str) {
    if told.ready.load(Ordering::Acquire) {
        (StatusCode::OK, "ok\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "caches are being filled\n")
    }
}

async fn metrics(State(told): State<Told>) -> Response {
    let objects = told.node_shims.state();
    let phases = objects.iter().map(|object| {
        object
            .status
            .as_ref()
            .map(|status| status.phase)
            .unwrap_or_default()
    });
    match told.metrics.render(phases, &told.shims.state()) {
        Ok(text) => {
            const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response()
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
