//! `slipway-compile`: see the library.

use std::fs::File;
use std::io::Write;
use std::os::fd::FromRawFd;
use std::process::ExitCode;

use slipway_shim_compile::{
    Args, Compiled, EXIT_USAGE, Failure, compile_file, expendable, run, run_image,
};

fn main() -> ExitCode {
    let mut stderr = std::io::stderr();
    match Args::parse(std::env::args().skip(1)) {
        Err(error) => {
            // Nobody is left to be told if this fails.
            let _ = writeln!(stderr, "slipway-compile: {error}\n\nhint: see --help");
            ExitCode::from(EXIT_USAGE)
        }
        Ok(Args::Print(text)) => match writeln!(std::io::stdout(), "{text}") {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        },
        Ok(Args::File { wasm, output }) => match compile_file(&wasm, &output) {
            Ok(()) => ExitCode::SUCCESS,
            Err(failure) => {
                let _ = writeln!(stderr, "slipway-compile: {}: {failure}", wasm.display());
                ExitCode::from(failure.exit_code())
            }
        },
        Ok(Args::Cache {
            root,
            namespace,
            limits,
        }) => {
            // SAFETY: the caller hands over descriptor 3, and nothing else here has touched it.
            let wasm = unsafe { File::from_raw_fd(3) };
            answer(|turn| run(&root, namespace, &wasm, limits, turn))
        }
        Ok(Args::Image {
            root,
            wanted,
            limits,
        }) => answer(|turn| run_image(&root, &wanted, limits, turn)),
    }
}

/// Does the work, which is told how to say that its turn has come.
fn answer(work: impl FnOnce(&dyn Fn()) -> Result<Compiled, Failure>) -> ExitCode {
    // SAFETY: the caller hands over descriptor 4, and nothing else here has touched it.
    let mut pipe = unsafe { File::from_raw_fd(4) };
    // If nobody listens, the answer will show it.
    let turn = || drop((&pipe).write_all(b"\n"));
    let result = expendable().and_then(|()| work(&turn));
    let (text, code) = match result {
        Ok(Compiled { digest, note }) => {
            let note = note.map(|note| format!("\n{note}")).unwrap_or_default();
            (format!("{digest}{note}"), ExitCode::SUCCESS)
        }
        Err(failure) => (failure.to_string(), ExitCode::from(failure.exit_code())),
    };
    match writeln!(pipe, "{text}") {
        Ok(()) => code,
        Err(_) => ExitCode::FAILURE,
    }
}
