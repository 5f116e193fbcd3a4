//! The shell as an exec uses it: arguments in, bytes and a status out.

mod commands;
mod scripts;

use std::path::Path;

use slipway_shim_shell::{Invocation, run};

/// What came of it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) status: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs `args` with some input.
pub(crate) fn exec(args: &[&str], input: &str) -> Outcome {
    let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
    let env = [("HOME", "/"), ("NAME", "value"), ("SPACED", "a b")];
    let env = env.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let (mut stdin, mut stdout, mut stderr) = (input.as_bytes(), Vec::new(), Vec::new());
    let status = run(Invocation {
        args: &args,
        env: &env,
        stdin: &mut stdin,
        stdout: &mut stdout,
        stderr: &mut stderr,
        terminal: false,
    });
    Outcome {
        status,
        stdout: String::from_utf8(stdout).expect("text"),
        stderr: String::from_utf8(stderr).expect("text"),
    }
}

/// Runs a script.
pub(crate) fn sh(script: &str) -> Outcome {
    exec(&["/bin/sh", "-c", script], "")
}

/// What a script says that ends well and complains of nothing.
pub(crate) fn says(script: &str) -> String {
    let outcome = sh(script);
    assert_eq!(
        (outcome.status, outcome.stderr.as_str()),
        (0, ""),
        "{script}"
    );
    outcome.stdout
}

/// A script in a folder.
pub(crate) fn within(folder: &Path, script: &str) -> Outcome {
    sh(&format!("cd '{}' || exit 99\n{script}", folder.display()))
}
