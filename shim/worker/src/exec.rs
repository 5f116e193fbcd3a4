//! What `kubectl exec` runs in a container: a wasm file or a function of one, as the container itself does, or else a
//! command of the built-in shell.

use std::io::{IsTerminal, Read, Seek};

use slipway_shim_container::open_module;
use slipway_shim_shell::{Invocation, run};
use slipway_shim_wire::{Plan, Process};

use crate::Ending;

/// Whether the first argument names a guest: by its name, or because such a file is there and is wasm. The caller stands
/// in the container.
pub(crate) fn is_wasm(plan: &Plan) -> bool {
    let Some(first) = plan.process.args.first() else {
        return false;
    };
    let path = first.rsplit_once('#').map_or(&**first, |(path, _)| path);
    if path.ends_with(".wasm") || path.ends_with(".wat") {
        return true;
    }
    path.contains('/') && open_module(plan).is_ok_and(|mut module| begins_as_wasm(&mut module.file))
}

fn begins_as_wasm(file: &mut (impl Read + Seek)) -> bool {
    let mut magic = [0; 4];
    file.read_exact(&mut magic).is_ok() && magic == *b"\0asm" && file.rewind().is_ok()
}

/// Runs a command of the built-in shell.
pub(crate) fn shell(process: &Process) -> Ending {
    let env: Vec<(String, String)> = process
        .env
        .iter()
        .filter_map(|entry| entry.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let terminal = std::io::stdin().is_terminal();
    Ending::exit(run(Invocation {
        args: &process.args,
        env: &env,
        stdin: &mut std::io::stdin(),
        stdout: &mut std::io::stdout(),
        stderr: &mut std::io::stderr(),
        terminal,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(first: &str) -> bool {
        let mut plan = Plan::default();
        plan.process.args = vec![first.to_owned()];
        plan.process.cwd = "/".into();
        is_wasm(&plan)
    }

    #[test]
    fn guests_are_told_by_their_names_or_their_first_bytes() {
        for name in ["/app.wasm", "app.wasm#check", "tool.wat"] {
            assert!(named(name), "{name}");
        }
        for name in ["ls", "/bin/sh", "", "/nowhere", "/"] {
            assert!(!named(name), "{name}");
        }
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tool");
        std::fs::write(&path, b"\0asm\x01\0\0\0").unwrap();
        assert!(named(path.to_str().unwrap()));
        std::fs::write(&path, b"\x7fELF").unwrap();
        assert!(!named(path.to_str().unwrap()));
    }
}
