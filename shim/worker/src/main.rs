//! `slipway-worker`: see the library.

use std::io::Write;

use slipway_shim_worker::{Args, run_file, serve};

fn main() {
    let status = match Args::parse(std::env::args().skip(1)) {
        Ok(Args::Print(text)) => i32::from(writeln!(std::io::stdout(), "{text}").is_err()),
        Ok(Args::Serve) => serve(),
        Ok(Args::Run { code, invocation }) => run_file(&code, *invocation),
        Err(error) => {
            // Nobody is left to be told if this fails.
            let _ = writeln!(
                std::io::stderr(),
                "slipway-worker: {error}\n\nhint: see --help"
            );
            2
        }
    };
    // At once: threads that wait in the system for a name or for input do not hold up the end.
    std::process::exit(status)
}
