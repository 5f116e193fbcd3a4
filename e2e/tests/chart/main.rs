//! The chart, rendered by the real `helm` and without a cluster.

mod gitops;
mod kustomize;
mod refuses;
mod renders;

use slipway_e2e::helm;

#[tokio::test]
async fn lints_strictly() {
    let output = helm::lint().await.unwrap();
    assert!(output.ok, "{}{}", output.stdout, output.stderr);
}
