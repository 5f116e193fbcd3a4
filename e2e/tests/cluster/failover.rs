//! Two operators: the one that works is killed half-way, the other finishes.

use anyhow::{Result, ensure};
use serde_json::json;
use slipway_e2e::nodeshim::Standing;
use slipway_e2e::provision::PATIENCE;
use slipway_e2e::scene::{Failure, Start};
use slipway_e2e::stage::{Stage, on_all_workers};
use slipway_e2e::wait::until;
use slipway_e2e::{lease, shim};

const SHIM: &str = "e2e-failover";

#[tokio::test]
async fn another_operator_finishes_a_rollout() -> Result<(), Failure> {
    let test = "another_operator_finishes_a_rollout";
    on_all_workers(test, Start::BareAlone, async |stage: &Stage| {
        stage
            .leaves_nothing_of(SHIM, async || takes_over(stage).await)
            .await
    })
    .await
}

async fn takes_over(stage: &Stage) -> Result<()> {
    let client = &stage.client;
    let first = lease::until_held(client).await?;
    let mut spec = stage.bundled(SHIM);
    spec["rollout"] = json!({ "type": "Rolling", "maxUnavailable": 1 });
    shim::apply(client, SHIM, &spec).await?;
    until("the first node to be changed", PATIENCE, || async {
        let standing = Standing::of(client, SHIM).await?;
        Ok(if standing.busy.is_empty() {
            Err(format!("{standing:?}"))
        } else {
            Ok(())
        })
    })
    .await?;
    lease::kill(client, &first).await?;
    let all = stage.scenes.len();
    let (second, done) = until("another leader", PATIENCE, || async {
        let standing = Standing::of(client, SHIM).await?;
        ensure!(
            standing.busy.len() <= 1,
            "changed at the same time: {:?}",
            standing.busy
        );
        let leader = lease::holder(client).await?;
        if leader != first {
            return Ok(Ok((leader, standing.ready.len())));
        }
        Ok(Err(format!(
            "{first} is dead and holds the Lease; {standing:?}"
        )))
    })
    .await?;
    ensure!(done < all, "{first} had finished before {second} took over");
    until("every node to have the shim", PATIENCE * 2, || async {
        let standing = Standing::of(client, SHIM).await?;
        ensure!(
            standing.busy.len() <= 1,
            "changed at the same time: {:?}",
            standing.busy
        );
        Ok(if standing.ready.len() == all {
            Ok(())
        } else {
            Err(format!("{standing:?}"))
        })
    })
    .await?;
    shim::until_reason(client, SHIM, "Ready", "AllNodesReady", PATIENCE).await?;
    let now = lease::holder(client).await?;
    ensure!(now == second, "the Lease went from {second} on to {now}");
    Ok(())
}
