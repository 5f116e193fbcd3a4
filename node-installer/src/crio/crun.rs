//! crun with a Wasm engine inside, as a handler of CRI-O's.

use std::path::Path;
use std::time::Duration;

use tokio::runtime::Runtime;
use toml_edit::{Item, Table, Value};

use super::plan::Monitor;
use crate::containerd::handler::{Handler, Sandboxer};
use crate::failure::Failure;
use crate::host::{HostRoot, command};

/// Where crun keeps its state, its own default as root.
const STATE: &str = "/run/crun";

/// The annotation by which crun picks an engine (`handler-utils.c` of crun), and the value that leaves native containers of
/// a pod alone: Wasm is what is started from a file named `*.wasm` or `*.wat`.
const PICK: (&str, &str) = ("run.oci.handler", "wasm-smart");

const VERSION_LIMIT: Duration = Duration::from_secs(30);

/// A handler's table. A pod may set the annotation otherwise (`runSandbox`, `server/sandbox_run_linux.go`@v1.34.0).
pub(super) fn table(handler: &Handler, monitor: &Monitor) -> Table {
    let mut table = Table::new();
    let text = |value: &str| Item::Value(Value::from(value));
    table.insert("runtime_path", text(&handler.shim.to_string_lossy()));
    table.insert("runtime_type", text(&monitor.runtime_type));
    table.insert("runtime_root", text(STATE));
    for (key, value) in &monitor.settings {
        table.insert(key, Item::Value(value.clone()));
    }
    let mut annotations = Table::new();
    annotations.insert(PICK.0, text(PICK.1));
    table.insert("default_annotations", Item::Table(annotations));
    table
}

/// Refuses what crun and CRI-O have no place for.
///
/// # Errors
/// A refusal that names the handler.
pub fn check_handlers(handlers: &[Handler]) -> Result<(), Failure> {
    for handler in handlers {
        let name = &handler.name;
        if handler.sandboxer == Sandboxer::Shim {
            return Err(Failure::refusal(
                "SandboxerUnsupported",
                format!(
                    "the handler {name} asks for sandboxer \"shim\", which CRI-O does not have: use \"podsandbox\""
                ),
            ));
        }
        if !handler.options.is_empty() {
            return Err(Failure::refusal(
                "OptionsUnsupported",
                format!(
                    "the handler {name} has options, which crun does not take: leave them out on nodes with CRI-O"
                ),
            ));
        }
    }
    Ok(())
}

/// Refuses a program that is no crun with a Wasm engine. Most are built without, and then run nothing ("Exec format
/// error").
///
/// # Errors
/// A refusal with what the program says of itself.
pub fn check(runtime: &Runtime, root: &HostRoot, path: &Path) -> Result<(), Failure> {
    let output = command::run(runtime, root, path, &["--version"], VERSION_LIMIT)
        .map_err(|error| Failure::refused(&error))?;
    if has_engine(&output.stdout) {
        return Ok(());
    }
    let first = output.stdout.lines().next().unwrap_or_default().trim();
    Err(Failure::refusal(
        "AdoptUnusable",
        format!(
            "{} (it says {first:?}) is no crun with a Wasm engine, whose --version names one as +WASM:wasmedge: install such a \
             crun (crun-wasm) and name its path",
            path.display()
        ),
    ))
}

/// Whether the features that crun prints name a Wasm engine.
fn has_engine(version: &str) -> bool {
    version.starts_with("crun version")
        && version
            .split_whitespace()
            .any(|word| word.starts_with("+WASM:"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(
        "crun version 1.14.1\ncommit: x\n+SYSTEMD +SECCOMP +WASM:wasmedge +YAJL\n",
        true
    )]
    #[case("crun version 1.21\n+SYSTEMD +SECCOMP +YAJL\n", false)]
    #[case("runc version 1.3.0\n+WASM:none\n", false)]
    #[case("", false)]
    fn an_engine_is_among_cruns_features(#[case] version: &str, #[case] expected: bool) {
        assert_eq!(has_engine(version), expected);
    }

    #[test]
    fn what_crun_does_not_take_is_refused() {
        let mut handler = Handler::plain("wasm", Path::new("/usr/bin/crun-wasm"));
        assert!(check_handlers(std::slice::from_ref(&handler)).is_ok());
        handler.sandboxer = Sandboxer::Shim;
        let reason = |handler: &Handler| {
            check_handlers(std::slice::from_ref(handler))
                .unwrap_err()
                .reason
        };
        assert_eq!(reason(&handler), "SandboxerUnsupported");
        handler.sandboxer = Sandboxer::Podsandbox;
        handler.options.insert("a".to_owned(), true.into());
        assert_eq!(reason(&handler), "OptionsUnsupported");
    }
}
