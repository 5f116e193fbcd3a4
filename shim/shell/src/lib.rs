//! The small shell that `kubectl exec` and exec probes find in a Wasm container when they name no wasm file.
//!
//! ```text
//! Invocation ─► commands   one name, one function: ls, cat, test, ps …
//!                 └ sh ─► syntax (pure: text to tree) ─► shell (runs the tree) ─► expand, redirect, commands
//! ```
//!
//! An image with a wasm file alone has no `/bin/sh` to execute, and the process that runs this could not execute it: it
//! has given up `execve` and `fork`. So everything happens in this one process, with the rights of the container. A
//! pipe is a buffer: one stage runs to its end before the next begins, and a stage that says more than
//! [`PIPE_LIMIT`] bytes fails, saying so.
//!
//! It is no POSIX shell. What it lacks it refuses by name, so that no script half runs.

mod commands;
mod expand;
mod flags;
mod glob;
mod interrupt;
mod shell;
mod streams;
mod syntax;
mod users;

use std::io::{Read, Write};

pub use streams::PIPE_LIMIT;
pub use syntax::{SyntaxError, check};

use streams::{Input, Output, Streams};

/// What to run, and with what.
pub struct Invocation<'a> {
    /// The program's name and its arguments: `["/bin/ls", "-l"]`.
    pub args: &'a [String],
    /// The environment, in order; a later value wins.
    pub env: &'a [(String, String)],
    /// Where its input comes from.
    pub stdin: &'a mut dyn Read,
    /// Where its output goes.
    pub stdout: &'a mut dyn Write,
    /// Where its complaints go.
    pub stderr: &'a mut dyn Write,
    /// Whether the streams are a terminal: `sh` prompts then, and Ctrl-C ends a line and not the shell.
    pub terminal: bool,
}

/// Runs it in this process's working directory and answers the exit status, 0 to 255.
#[must_use]
pub fn run(invocation: Invocation<'_>) -> i32 {
    let Invocation {
        args,
        env,
        stdin,
        stdout,
        stderr,
        terminal,
    } = invocation;
    let mut streams = Streams {
        stdin: Input::new(stdin),
        stdout: Output::new(stdout),
        stderr: Output::new(stderr),
    };
    if terminal {
        interrupt::catch();
    }
    let mut shell = shell::Shell::new(env, terminal);
    let status = match shell.invoke(args, &streams) {
        Ok(status) | Err(shell::Leave::Exit(status)) => status,
        Err(shell::Leave::Break | shell::Leave::Continue) => 0,
        Err(shell::Leave::Interrupted) => interrupt::STATUS,
    };
    // The reader may have gone; there is nobody left to tell.
    let _ = streams.stdout.flush();
    let _ = streams.stderr.flush();
    status & 0xff
}

/// Whether `name`, as the first argument of an exec, is something this shell runs.
#[must_use]
pub fn knows(name: &str) -> bool {
    commands::find(name).is_some()
}
