//! The shim's program itself, called as containerd calls it.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, Result, ensure};

use super::passed;
use crate::node::Node;
use crate::report::Outcome;

fn shim(node: &Node, bundle: &Path, arguments: &[&str]) -> Result<Output> {
    let output = Command::new(&node.paths.shim)
        .args(arguments)
        .current_dir(bundle)
        .env(
            "TTRPC_ADDRESS",
            format!("{}.ttrpc", node.args.socket.display()),
        )
        .stdin(Stdio::null())
        .output()
        .with_context(|| node.paths.shim.display().to_string())?;
    ensure!(output.status.success(), "{arguments:?}: {output:?}");
    // containerd takes both streams for the answer.
    ensure!(output.stderr.is_empty(), "{arguments:?}: {output:?}");
    Ok(output)
}

pub(super) fn version_and_info(node: &Node) -> Result<Outcome> {
    let here = node.folder("here")?;
    let version = String::from_utf8(shim(node, &here, &["-v"])?.stdout)?;
    ensure!(
        version.starts_with("containerd-shim-slipway-v1 "),
        "-v says {version:?}"
    );
    let info = shim(node, &here, &["-info"])?.stdout;
    let info = String::from_utf8_lossy(&info);
    ensure!(
        info.contains("io.containerd.slipway.v1"),
        "-info says {info:?}"
    );
    passed()
}

pub(super) fn delete_is_idempotent(node: &Node) -> Result<Outcome> {
    let address = node.args.socket.display().to_string();
    let delete = |bundle: &Path| {
        let name = bundle.display().to_string();
        let arguments = [
            "-namespace",
            "k8s.io",
            "-address",
            &address,
            "-id",
            "none",
            "-bundle",
            &name,
            "delete",
        ];
        shim(node, bundle, &arguments)
    };
    let empty = node.folder("empty")?;
    for _ in 0..2 {
        ensure!(!delete(&empty)?.stdout.is_empty(), "delete answers nothing");
    }
    // As a `start` leaves it that was killed between two of its steps.
    for (name, file, text) in [
        ("torn", "config.json", "{\"ociVersion\":"),
        ("stale", "address", "unix:///run/nobody/there.sock"),
        (
            "foreign",
            "slipway.json",
            "{\"pid\":1,\"born\":1,\"exit\":null}",
        ),
    ] {
        let bundle = node.folder(name)?;
        std::fs::create_dir_all(bundle.join("rootfs"))?;
        std::fs::write(bundle.join(file), text)?;
        for _ in 0..2 {
            ensure!(
                !delete(&bundle)?.stdout.is_empty(),
                "{name}: delete answers nothing"
            );
        }
    }
    passed()
}
