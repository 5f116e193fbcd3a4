//! `Shim`s that a real API server admits, and what it says of those that it does not: the tables of `crds/tests/shims/`.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use slipway_e2e::scene::{Failure, Scene, Start, on_one_worker};

#[tokio::test]
async fn the_api_server_admits_what_can_work_and_says_why_not() -> Result<(), Failure> {
    let test = "the_api_server_admits_what_can_work_and_says_why_not";
    on_one_worker(test, Start::ReadyShared, 0, async |scene: &Scene| {
        for case in cases("admitted.yaml")? {
            let answer = ask(scene, &case).await?;
            ensure!(answer.is_ok(), "{}: {answer:?}", case["spec"]);
        }
        for case in cases("refused.yaml")? {
            let says = case["says"].as_str().context("what is said of it")?;
            let answer = ask(scene, &case).await?;
            let refused = answer.as_ref().is_err_and(|said| said.contains(says));
            ensure!(refused, "{}: wanted {says:?}: {answer:?}", case["spec"]);
        }
        Ok(())
    })
    .await
}

fn cases(file: &str) -> Result<Vec<Value>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crds/tests/shims");
    let text = std::fs::read_to_string(folder.join(file)).context(folder.display().to_string())?;
    let cases: Vec<Value> = serde_saphyr::from_str(&text)?;
    ensure!(!cases.is_empty(), "{file} is empty");
    Ok(cases)
}

/// What the API server says against it; nothing is stored.
async fn ask(scene: &Scene, case: &Value) -> Result<Result<(), String>> {
    let name = case["name"].as_str().unwrap_or("spin");
    let object = json!({
        "apiVersion": "slipway.dev/v1alpha1", "kind": "Shim",
        "metadata": { "name": name }, "spec": case["spec"],
    });
    let create = [
        "create",
        "--dry-run=server",
        "--validate=strict",
        "--filename=-",
    ];
    let answer = scene.kubectl(&create, &object.to_string()).await?;
    Ok(if answer.ok {
        Ok(())
    } else {
        Err(answer.stderr)
    })
}
