//! `status`: what is detected and installed, without changing or locking anything.

use std::io::Write as _;
use std::process::ExitCode;

use serde_json::{Map, Value, json};

use super::session::runtime;
use crate::args::NodeArgs;
use crate::detect;
use crate::failure::{Failure, Reason as _, chain};
use crate::host::HostRoot;
use crate::journal::Journal;
use crate::payload::collect;

/// Prints it as JSON.
pub(super) fn print(args: &NodeArgs) -> ExitCode {
    let (value, code) = match status(args) {
        Ok(value) => (value, 0),
        Err(failure) => (
            json!({ "reason": failure.reason, "message": failure.message }),
            failure.outcome.exit_code(),
        ),
    };
    let text = serde_json::to_string_pretty(&value).unwrap_or_default();
    match writeln!(std::io::stdout(), "{text}") {
        Ok(()) => ExitCode::from(code),
        Err(_) => ExitCode::FAILURE,
    }
}

fn status(args: &NodeArgs) -> Result<Value, Failure> {
    let runtime = runtime()?;
    let root = HostRoot::new(&args.host_root).map_err(|error| Failure::refused(&error))?;
    let journal = Journal::of(&root).map_err(|error| Failure::refused(&error))?;
    let installed = journal
        .installed()
        .map_err(|error| Failure::refused(&error))?;
    let open = journal
        .open_transaction()
        .map_err(|error| Failure::refused(&error))?;
    let daemon = detect::detect(&runtime, &root);
    let state = daemon
        .as_ref()
        .ok()
        .map(|daemon| daemon.state_folder(None))
        .unwrap_or_else(|| "/run/containerd".into());
    let bundles = collect::bundles(&root, &state, &args.install_root)
        .map_err(|error| Failure::refused(&error))?;
    let containerd = match &daemon {
        Ok(daemon) => json!({
            "version": daemon.version.to_string(),
            "binary": daemon.binary,
            "config": daemon.config,
            "unit": daemon.unit,
            "socket": daemon.socket,
            "ready": daemon.status.runtime_ready,
            "runtimes": daemon.status.runtimes,
            "cgroupDriver": if daemon.systemd_cgroup { "systemd" } else { "cgroupfs" },
        }),
        Err(error) => json!({ "reason": error.reason(), "message": chain(error) }),
    };
    Ok(json!({
        "version": 2,
        "containerd": containerd,
        "installed": installed.map(|installed| json!({
            "shims": installed.shims.iter().map(|(name, shim)| (name.clone(), json!({
                "digest": shim.digest,
                "path": shim.path,
                "handlers": shim.names(),
            }))).collect::<Map<_, _>>(),
            "method": installed.method,
            "files": installed.files.iter().map(|file| &file.path).collect::<Vec<_>>(),
        })),
        "openTransaction": open.map(|open| json!({
            "id": open.id,
            "operation": open.operation,
            "stage": open.stage,
        })),
        "bundles": bundles.into_iter().map(|bundle| bundle.id).collect::<Vec<_>>(),
    }))
}
