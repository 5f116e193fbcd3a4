//! `kubectl exec` into a Wasm container: its own wasm files, the built-in shell, a terminal, exit codes.

use anyhow::{Context, Result, ensure};
use slipway_e2e::pods::{self, Runtime};
use slipway_e2e::scene::{Failure, Scene, Start, on_each_worker};
use slipway_e2e::wait::until;

const POD: &str = "ticker";

#[tokio::test]
async fn kubectl_exec_runs_wasm_files_and_the_built_in_shell() -> Result<(), Failure> {
    let test = "kubectl_exec_runs_wasm_files_and_the_built_in_shell";
    on_each_worker(test, Start::ReadyShared, async |scene: &Scene| {
        pods::create(&scene.client, &scene.ns, scene.ticker(POD, Runtime::Wasm)).await?;
        pods::until_ready(&scene.client, &scene.ns, POD).await?;

        let listed = exec(scene, &["ls", "/"]).await?;
        ensure!(
            listed.lines().any(|line| line == "ticker.wasm"),
            "ls / does not show the image: {listed}"
        );
        let name = exec(scene, &["cat", "/etc/hostname"]).await?;
        ensure!(name.trim() == POD, "/etc/hostname: {name:?}");
        let said = exec(
            scene,
            &["sh", "-c", "test -f /ticker.wasm && echo it is $HOSTNAME"],
        )
        .await?;
        ensure!(said == format!("it is {POD}\n"), "sh said {said:?}");

        wasm_file_gets_arguments_input_and_its_exit_code(scene).await?;
        files_are_copied_both_ways(scene).await?;
        unknown_programs_say_so(scene).await?;
        terminal_shows_what_is_typed(scene).await?;

        let lines = pods::log(&scene.client, &scene.ns, POD)
            .await?
            .lines()
            .count();
        pods::until_says_more(&scene.client, &scene.ns, POD, lines)
            .await
            .context("the container after its execs")?;
        let pod = pods::until_ready(&scene.client, &scene.ns, POD).await?;
        let status = pods::status(&pod).context("no container status")?;
        ensure!(status.restart_count == 0, "restarted by an exec");
        no_process_is_left(scene, &pod).await
    })
    .await
}

async fn exec(scene: &Scene, command: &[&str]) -> Result<String> {
    let mut args = vec!["exec", POD, "--"];
    args.extend(command);
    scene.kubectl_ok(&args).await
}

async fn wasm_file_gets_arguments_input_and_its_exit_code(scene: &Scene) -> Result<()> {
    let args = [
        "exec",
        "-i",
        POD,
        "--",
        "/job.wasm",
        "--stdin",
        "--exit",
        "7",
    ];
    let output = scene.kubectl(&args, "four").await?;
    ensure!(
        output.stdout.contains("arg 1=--stdin") && output.stdout.contains("stdin 4 bytes"),
        "the exec said {output:?}"
    );
    ensure!(
        output.stderr.contains("exit code 7"),
        "kubectl said {:?}",
        output.stderr
    );
    Ok(())
}

/// `kubectl cp` wants a `tar` in the container; this does not.
async fn files_are_copied_both_ways(scene: &Scene) -> Result<()> {
    let bytes = "one line\n".repeat(10_000);
    let args = ["exec", "-i", POD, "--", "sh", "-c", "cat >/copied"];
    let output = scene.kubectl(&args, &bytes).await?;
    ensure!(output.ok, "copied into the container: {}", output.stderr);
    let back = exec(scene, &["cat", "/copied"]).await?;
    ensure!(back == bytes, "{} bytes came back", back.len());
    Ok(())
}

async fn unknown_programs_say_so(scene: &Scene) -> Result<()> {
    let output = scene
        .kubectl(&["exec", POD, "--", "frobnicate"], "")
        .await?;
    ensure!(
        !output.ok && output.stderr.contains("frobnicate"),
        "an unknown program: {output:?}"
    );
    Ok(())
}

async fn terminal_shows_what_is_typed(scene: &Scene) -> Result<()> {
    let typed = "echo on a $((1))terminal\rexit 5\r";
    let typed = typed.replace("$((1))", "");
    let shown = scene
        .kubectl_on_terminal(&["exec", "-it", POD, "--", "sh"], &typed)
        .await?;
    ensure!(
        shown.stdout.matches("on a terminal").count() >= 2,
        "neither echo nor answer: {shown:?}"
    );
    Ok(())
}

/// Execs end with what they ran; only the ticker may be left in the container's cgroup.
async fn no_process_is_left(scene: &Scene, pod: &k8s_openapi::api::core::v1::Pod) -> Result<()> {
    let id = pods::container_id(pod)?;
    let script = format!("ctr -n k8s.io task ps {id} | tail -n +2 | wc -l");
    until("the execs to be gone", pods::PATIENCE, || async {
        let count = scene.worker.inside.bash(&script).await?;
        Ok(if count.trim() == "1" {
            Ok(())
        } else {
            Err(format!("{} processes", count.trim()))
        })
    })
    .await
}
