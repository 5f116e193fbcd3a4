//! CRI on a connection that stays open.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context as _, Result};
use prost::Message;
use slipway_e2e_cri::cri::{PodSandboxStatusResponse, StatusRequest};
use slipway_e2e_cri::grpc::Connection;

/// The longest that anything may take: compiling an interpreter on a busy machine does not take longer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// A method of CRI's `RuntimeService`.
pub(crate) fn call<Reply: Message + Default>(
    connection: &mut Connection,
    method: &str,
    request: &impl Message,
) -> Result<Reply> {
    let path = format!("/runtime.v1.RuntimeService/{method}");
    connection
        .call(&path, None, request, PATIENCE)
        .with_context(|| method.to_owned())
}

/// A pod's address.
pub(crate) fn address(connection: &mut Connection, sandbox: &str) -> Result<Ipv4Addr> {
    let request = StatusRequest {
        id: sandbox.to_owned(),
        verbose: false,
    };
    let answer: PodSandboxStatusResponse = call(connection, "PodSandboxStatus", &request)?;
    let network = answer.status.and_then(|status| status.network);
    let ip = network.context("the pod has no network")?.ip;
    ip.parse()
        .with_context(|| format!("the pod's address {ip:?}"))
}
