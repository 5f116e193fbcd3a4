//! `containerd-shim-slipway-v1`, started by containerd for each pod.

use std::process::ExitCode;

fn main() -> ExitCode {
    // Arguments that are no text are no flags of containerd's; a replacement character makes that visible.
    let arguments = std::env::args_os().skip(1);
    slipway_shim_pod::run(arguments.map(|argument| argument.to_string_lossy().into_owned()))
}
