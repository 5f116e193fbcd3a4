//! What a person has `kubectl` do with a running Wasm pod besides exec: follow its log, attach, forward a port.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use slipway_e2e::pods::{self, CONTAINER, Runtime};
use slipway_e2e::scene::{Failure, Scene, Start, on_each_worker};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// For something to be seen in what kubectl shows.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn logs_are_followed_and_containers_attached_to() -> Result<(), Failure> {
    let test = "logs_are_followed_and_containers_attached_to";
    on_each_worker(test, Start::ReadyShared, async |scene: &Scene| {
        pods::create(
            &scene.client,
            &scene.ns,
            scene.ticker("ticks", Runtime::Wasm),
        )
        .await?;
        pods::until_ready(&scene.client, &scene.ns, "ticks").await?;
        // A line a second: these were written while kubectl was looking.
        for follow in [&["logs", "--follow", "ticks"][..], &["attach", "ticks"]] {
            let mut kubectl = scene.kubectl_start(follow)?;
            let lines = kubectl.lines(3, PATIENCE).await;
            let lines = lines.with_context(|| format!("kubectl {}", follow.join(" ")))?;
            let ticks: Vec<u64> = lines
                .iter()
                .filter_map(|line| line.rsplit(' ').next()?.parse().ok())
                .collect();
            ensure!(
                ticks.len() == 3 && ticks[0] + 1 == ticks[1] && ticks[1] + 1 == ticks[2],
                "kubectl {} showed {lines:?}",
                follow.join(" ")
            );
        }

        let mut reader = scene.guest("reads", Runtime::Wasm, &["/job.wasm", "--stdin"]);
        reader["spec"]["containers"][0]["stdin"] = json!(true);
        reader["spec"]["containers"][0]["stdinOnce"] = json!(true);
        pods::create(&scene.client, &scene.ns, reader).await?;
        pods::until_ready(&scene.client, &scene.ns, "reads").await?;
        let attached = scene
            .kubectl(&["attach", "--stdin", "reads"], "five!")
            .await?;
        ensure!(attached.ok, "kubectl attach: {}", attached.stderr);
        let ended = pods::until_ended(&scene.client, &scene.ns, "reads").await?;
        ensure!(
            ended.log.contains("stdin 5 bytes"),
            "it read: {}",
            ended.log
        );
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_port_is_forwarded_to_a_guest() -> Result<(), Failure> {
    let test = "a_port_is_forwarded_to_a_guest";
    on_each_worker(test, Start::ReadyShared, async |scene: &Scene| {
        let mut pod = pods::pod(
            "hello",
            &scene.worker.name,
            Runtime::Wasm,
            &scene.settings.hello,
            &[],
        );
        // The image's own entrypoint.
        let container = pod["spec"]["containers"][0].as_object_mut();
        container.context(CONTAINER)?.remove("command");
        pods::create(&scene.client, &scene.ns, pod).await?;
        pods::until_ready(&scene.client, &scene.ns, "hello").await?;
        let mut kubectl = scene.kubectl_start(&[
            "port-forward",
            "--address",
            "127.0.0.1",
            "pod/hello",
            ":8080",
        ])?;
        // "Forwarding from 127.0.0.1:40123 -> 8080"
        let said = kubectl.lines(1, PATIENCE).await?.concat();
        let local = said
            .split([':', ' '])
            .find_map(|word| word.parse::<u16>().ok());
        let local = local.with_context(|| format!("kubectl port-forward said {said:?}"))?;
        for _ in 0..3 {
            let answer = get(local).await?;
            ensure!(
                answer.starts_with("HTTP/1.1 200"),
                "through the port: {answer}"
            );
        }
        Ok(())
    })
    .await
}

/// What is answered through a port of this machine.
async fn get(port: u16) -> Result<String> {
    let mut connection = TcpStream::connect(("127.0.0.1", port)).await?;
    let request = "GET / HTTP/1.1\r\nHost: pod\r\nConnection: close\r\n\r\n";
    connection.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    let read = connection.read_to_string(&mut answer);
    timeout(PATIENCE, read).await.context("no answer")??;
    Ok(answer)
}
