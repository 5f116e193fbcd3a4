//! A command that uses the network: `net resolve NAME`, `net connect ADDRESS`, `net listen ADDRESS`.

use std::net::{TcpListener, TcpStream, ToSocketAddrs};
use std::process::ExitCode;
use std::{env, io};

use guest_commands::say;

fn main() -> ExitCode {
    let args: Vec<_> = env::args().skip(1).collect();
    let [what, whom] = &args[..] else {
        eprintln!("expected one of resolve, connect, listen, and a name or an address");
        return ExitCode::from(64);
    };
    let done = match what.as_str() {
        "resolve" => resolve(whom),
        "connect" => TcpStream::connect(whom).map(|_| say("connected")),
        // As servers have it that take the network for granted.
        _ => {
            TcpListener::bind(whom).unwrap();
            Ok(())
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{what} {whom}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn resolve(name: &str) -> io::Result<()> {
    for address in (name, 80).to_socket_addrs()? {
        say(format_args!("address {}", address.ip()));
    }
    Ok(())
}
