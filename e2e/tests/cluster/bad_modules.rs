//! Modules that cannot run: each fails with one clear sentence, and nobody else notices.

use anyhow::{Context, Result, ensure};
use futures::future::join_all;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::Api;
use slipway_e2e::pods::{self, Ended, Runtime};
use slipway_e2e::scene::{Failure, Scene, Start, on_each_worker};

/// A pod whose command is this, the exit code it must have, and the words its sentence must hold.
struct Bad {
    name: &'static str,
    command: &'static str,
    exit_code: i32,
    words: &'static [&'static str],
}

/// As a shell says it.
const NOT_FOUND: i32 = 127;
/// As a shell says it: found, but not to be run.
const NOT_RUNNABLE: i32 = 126;
/// As of a process that aborts: 128 and SIGABRT.
const TRAPPED: i32 = 134;

/// A file of the guests' image that is there, but no module to be run.
const fn unfit(name: &'static str, command: &'static str, words: &'static [&'static str]) -> Bad {
    Bad {
        name,
        command,
        exit_code: NOT_RUNNABLE,
        words,
    }
}

const ALL: &[Bad] = &[
    Bad {
        name: "missing-file",
        command: "/no-such.wasm",
        exit_code: NOT_FOUND,
        words: &["/no-such.wasm"],
    },
    unfit("empty", "/empty.wasm", &["/empty.wasm"]),
    unfit("text", "/text.wasm", &["/text.wasm"]),
    unfit("truncated", "/truncated.wasm", &["/truncated.wasm"]),
    unfit("foreign-elf", "/foreign.wasm", &["/foreign.wasm", "ELF"]),
    unfit("no-entry", "/no-entry.wasm", &["/no-entry.wasm", "_start"]),
    unfit(
        "unknown-import",
        "/unknown-import.wasm",
        &["/unknown-import.wasm", "example:rockets/pad", "launch"],
    ),
    unfit(
        "proposal-off",
        "/proposal-off.wasm",
        &["/proposal-off.wasm", "threads"],
    ),
    Bad {
        name: "trap",
        command: "/trap.wasm",
        exit_code: TRAPPED,
        words: &["unreachable"],
    },
];

#[tokio::test]
async fn bad_modules_fail_readably() -> Result<(), Failure> {
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
            pods::until_says_more(client, ns, neighbour, heard).await?;
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
    // A module that never ran has said nothing itself: what stands on its log is the sentence alone.
    let lines = ended.log.lines().count();
    ensure!(
        lines == 1 || bad.exit_code == TRAPPED,
        "{lines} lines on the log:\n{}",
        ended.log
    );
    let fits = |line: &&str| bad.words.iter().all(|word| line.contains(word));
    let sentence = ended
        .log
        .lines()
        .find(fits)
        .with_context(|| format!("no line with {:?} on the log:\n{}", bad.words, ended.log))?;
    let message = state.message.as_deref().unwrap_or_default();
    for word in bad.words {
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
