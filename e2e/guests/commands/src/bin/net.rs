//! A command that uses the network: `net resolve NAME`, `net connect ADDRESS`, `net listen ADDRESS` or, for a socket
//! that is its standard input, `net listen -`.

use std::net::{TcpListener, TcpStream, ToSocketAddrs};
use std::os::fd::AsFd;
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
        _ => listen(whom),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{what} {whom}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// As servers have it that take the network for granted.
fn listen(address: &str) -> io::Result<()> {
    let listener = if address == "-" {
        TcpListener::from(io::stdin().as_fd().try_clone_to_owned()?)
    } else {
        TcpListener::bind(address).unwrap()
    };
    let (_, client) = listener.accept()?;
    say(format_args!("client {client}"));
    Ok(())
}

fn resolve(name: &str) -> io::Result<()> {
    for address in (name, 80).to_socket_addrs()? {
        say(format_args!("address {}", address.ip()));
    }
    Ok(())
}
