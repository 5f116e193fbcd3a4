//! What the caller is told, over a pipe.

use std::fs::File;
use std::io::Write;
use std::process::ExitCode;

use crate::{Compiled, Failure, expendable};

/// Does the work, which is told how to say that its turn has come, and answers as the library's table says.
pub fn answer(
    mut pipe: File,
    work: impl FnOnce(&dyn Fn()) -> Result<Compiled, Failure>,
) -> ExitCode {
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
