//! Volumes as pods have them: a Secret, a claim on a PersistentVolume that outlives its first pod, and mounts that are
//! read-only.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use slipway_e2e::pods::{self, Runtime};
use slipway_e2e::scene::{Failure, Scene, Start, on_each_worker};

/// A folder on the node.
const ON_NODE: &str = "/var/lib/slipway-e2e-volume";

#[tokio::test]
async fn secrets_and_claims_are_the_guests_folders() -> Result<(), Failure> {
    let test = "secrets_and_claims_are_the_guests_folders";
    on_each_worker(test, Start::ReadyShared, async |scene: &Scene| {
        let inside = &scene.worker.inside;
        inside
            .bash(&format!("rm -rf {ON_NODE} && mkdir -m 0777 {ON_NODE}"))
            .await?;
        let volume = format!("{}-{}", scene.ns, scene.worker.name);
        let outcome = scenario(scene, &volume).await;
        // A volume is the cluster's, and outlives the test's namespace.
        let gone = scene
            .kubectl_ok(&[
                "delete",
                "pv",
                &volume,
                "--ignore-not-found",
                "--wait=false",
            ])
            .await;
        outcome?;
        gone?;
        let left = inside
            .bash(&format!("cat {ON_NODE}/note; rm -r {ON_NODE}"))
            .await?;
        ensure!(left == "kept", "on the node's disk: {left:?}");
        Ok(())
    })
    .await
}

async fn scenario(scene: &Scene, volume: &str) -> Result<()> {
    apply(
        scene,
        &json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "given" },
            "stringData": { "key": "of all doors" },
        }),
    )
    .await?;
    for object in claim(scene, volume) {
        apply(scene, &object).await?;
    }

    let writes = [
        "/job.wasm",
        "--read",
        "/secret/key",
        "--write",
        "/data/note",
        "kept",
    ];
    let log = job(scene, "writes", &writes, false).await?;
    ensure!(log.contains("read /secret/key: of all doors"), "{log}");
    // Another pod of the same claim.
    let log = job(scene, "reads", &["/job.wasm", "--read", "/data/note"], true).await?;
    ensure!(log.contains("read /data/note: kept"), "{log}");

    for (name, path, read_only) in [
        ("claim-read-only", "/data/note", true),
        ("secret-read-only", "/secret/key", false),
    ] {
        let overwrites = ["/job.wasm", "--write", path, "lost"];
        let log = job(scene, name, &overwrites, read_only)
            .await
            .err()
            .with_context(|| format!("{path} could be written to"))?
            .to_string();
        ensure!(log.contains(&format!("write {path}")), "{log}");
    }
    Ok(())
}

async fn apply(scene: &Scene, object: &Value) -> Result<()> {
    let output = scene
        .kubectl(&["apply", "--filename", "-"], &object.to_string())
        .await?;
    ensure!(output.ok, "kubectl apply: {}", output.stderr);
    Ok(())
}

/// A volume on this node, and a claim on just that.
fn claim(scene: &Scene, volume: &str) -> [Value; 2] {
    let size = json!({ "storage": "1Mi" });
    [
        json!({
            "apiVersion": "v1", "kind": "PersistentVolume", "metadata": { "name": volume },
            "spec": {
                "capacity": size, "accessModes": ["ReadWriteOnce"], "storageClassName": "",
                "claimRef": { "namespace": scene.ns, "name": "data" },
                "local": { "path": ON_NODE },
                "nodeAffinity": { "required": { "nodeSelectorTerms": [{ "matchExpressions": [{
                    "key": "kubernetes.io/hostname", "operator": "In", "values": [scene.worker.name],
                }]}]}},
            },
        }),
        json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": { "name": "data" },
            "spec": {
                "accessModes": ["ReadWriteOnce"], "storageClassName": "", "volumeName": volume,
                "resources": { "requests": size },
            },
        }),
    ]
}

/// Runs the command with the Secret and the claim mounted. Returns its log.
async fn job(scene: &Scene, name: &str, command: &[&str], read_only: bool) -> Result<String> {
    let mut pod = scene.guest(name, Runtime::Wasm, command);
    pod["spec"]["volumes"] = json!([
        { "name": "secret", "secret": { "secretName": "given" } },
        { "name": "data", "persistentVolumeClaim": { "claimName": "data" } },
    ]);
    pod["spec"]["containers"][0]["volumeMounts"] = json!([
        { "name": "secret", "mountPath": "/secret", "readOnly": true },
        { "name": "data", "mountPath": "/data", "readOnly": read_only },
    ]);
    pods::create(&scene.client, &scene.ns, pod).await?;
    let ended = pods::until_ended(&scene.client, &scene.ns, name).await?;
    ensure!(
        ended.state.exit_code == 0,
        "{:?}: {}",
        ended.state,
        ended.log
    );
    Ok(ended.log)
}
