//! `slipway-compile`: see the library.

use std::fs::File;
use std::io::Write;
use std::os::fd::FromRawFd;
use std::process::ExitCode;

use slipway_shim_compile::{Args, EXIT_USAGE, answer, compile_file, run, run_image};

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
            answer(pipe(), |turn| run(&root, namespace, &wasm, limits, turn))
        }
        Ok(Args::Image {
            root,
            wanted,
            limits,
        }) => answer(pipe(), |turn| run_image(&root, &wanted, limits, turn)),
    }
}

/// The pipe for the answer.
fn pipe() -> File {
    // SAFETY: the caller hands over descriptor 4, and this is called once.
    unsafe { File::from_raw_fd(4) }
}
