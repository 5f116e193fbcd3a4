//! Modules that cannot run: each fails with one clear sentence, and nobody else notices.

use anyhow::{Context, Result, ensure};
use futures::future::join_all;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::Api;
use slipway_e2e::pods::{self, Ended, Runtime};
use slipway_e2e::scene::{Scene, Start, on_each_worker};

/// A pod whose command is this, the exit code it must have, and the words its sentence must hold.
struct Bad {
    name: &'static str,
    command: &'static str,
    exit_code: i32,
    words: &'static [&'static str],
}

/// 127 and 126 as a shell says it: not found, and found but not to be run. 134 is an abort.
const ALL: &[Bad] = &[
    Bad {
        name: "missing-file",
        command: "/no-such.wasm",
        exit_code: 127,
        words: &["/no-such.wasm", "not found"],
    },
    Bad {
        name: "text",
        command: "/text.wasm",
        exit_code: 126,
        words: &["/text.wasm", "not"],
    },
    Bad {
        name: "truncated",
        command: "/truncated.wasm",
        exit_code: 126,
        words: &["/truncated.wasm"],
    },
    Bad {
        name: "foreign-elf",
        command: "/foreign.wasm",
        exit_code: 126,
        words: &["/foreign.wasm", "ELF"],
    },
    Bad {
        name: "unknown-import",
        command: "/unknown-import.wasm",
        exit_code: 126,
        words: &["/unknown-import.wasm", "import"],
    },
    Bad {
        name: "proposal-off",
        command: "/proposal-off.wasm",
        exit_code: 126,
        words: &["/proposal-off.wasm"],
    },
    Bad {
        name: "trap",
        command: "/trap.wasm",
        exit_code: 134,
        words: &["unreachable"],
    },
];

#[tokio::test]
async fn bad_modules_fail_readably() -> Result<()> {
    on_each_worker(
        "bad_modules_fail_readably",
        Start::ReadyShared,
        async |scene: &Scene| {
            let (client, ns) = (&scene.client, scene.ns.as_str());
            let neighbour = "neighbour";
            pods::create(client, ns, scene.ticker(neighbour, Runtime::Wasm)).await?;
            let before = pods::until_ready(client, ns, neighbour).await?;
            let heard = pods::log(client, ns, neighbour).await?.lines().count();
            let ready_since = ready_since(scene).await?;

            for bad in ALL {
                let pod = scene.guest(bad.name, Runtime::Wasm, &[bad.command]);
                pods::create(client, ns, pod).await?;
            }
            let ends = join_all(
                ALL.iter()
                    .map(|bad| pods::until_ended(client, ns, bad.name)),
            )
            .await;
            let mut wrong = Vec::new();
            for (bad, ended) in ALL.iter().zip(ends) {
                if let Err(error) = ended.and_then(|ended| readable(bad, &ended)) {
                    wrong.push(format!("{}: {error:#}", bad.name));
                }
            }
            ensure!(wrong.is_empty(), "{}", wrong.join("\n"));

            let after = Api::<Pod>::namespaced(client.clone(), ns)
                .get(neighbour)
                .await?;
            let (was, is) = (pods::status(&before), pods::status(&after));
            ensure!(
                was.map(|s| (&s.container_id, s.restart_count))
                    == is.map(|s| (&s.container_id, s.restart_count)),
                "the neighbour was restarted: {was:?}, then {is:?}"
            );
            let hears = pods::log(client, ns, neighbour).await?.lines().count();
            ensure!(
                hears > heard,
                "the neighbour went silent after {heard} lines"
            );
            ensure!(
                self::ready_since(scene).await? == ready_since,
                "the node was not ready all along"
            );
            Ok(())
        },
    )
    .await
}

/// The sentence is on the container's log and in `kubectl describe pod`, and the exit code fits.
fn readable(bad: &Bad, ended: &Ended) -> Result<()> {
    let state = &ended.state;
    ensure!(ended.phase == "Failed", "phase {}", ended.phase);
    ensure!(
        state.exit_code == bad.exit_code,
        "exit code {}, not {}; log: {}",
        state.exit_code,
        bad.exit_code,
        ended.log
    );
    let sentence = ended.log.lines().next().context("the log is empty")?;
    let message = state.message.as_deref().unwrap_or_default();
    for word in bad.words {
        ensure!(
            sentence.contains(word),
            "no {word:?} in the log's first line: {sentence:?}"
        );
        ensure!(
            message.contains(word),
            "no {word:?} in the status' message: {message:?}"
        );
    }
    ensure!(
        sentence.len() < 1000,
        "a sentence of {} bytes",
        sentence.len()
    );
    Ok(())
}

/// Since when the node is ready without a break.
async fn ready_since(scene: &Scene) -> Result<String> {
    let node = Api::<Node>::all(scene.client.clone())
        .get(&scene.worker.name)
        .await?;
    let conditions = node
        .status
        .and_then(|status| status.conditions)
        .unwrap_or_default();
    let ready = conditions
        .iter()
        .find(|condition| condition.type_ == "Ready")
        .context("the node has no condition Ready")?;
    ensure!(ready.status == "True", "the node is not ready: {ready:?}");
    Ok(format!("{:?}", ready.last_transition_time))
}
