//! `nc -z`: whether a port answers, for probes.

use std::io::{self, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use super::{Answer, Context, Failure};

/// Longest wait for an answer, unless `-w` says otherwise.
const WAIT: Duration = Duration::from_secs(10);

pub(super) fn nc(context: &mut Context<'_, '_>) -> Answer {
    let flags = context.flags("zv", "w")?;
    let (true, [host, port]) = (flags.has('z'), flags.rest.as_slice()) else {
        return Err(Failure::Usage(
            "only a look at a port is known here: nc -z [-v] [-w SECONDS] HOST PORT".to_owned(),
        ));
    };
    let number: u16 = port
        .parse()
        .map_err(|_| Failure::Usage(format!("expected a port, found {port}")))?;
    let wait = flags
        .number('w')?
        .map_or(WAIT, |seconds| Duration::from_secs(seconds.max(1)));
    let mut answer = Err(io::Error::new(io::ErrorKind::NotFound, "no such host"));
    if let Ok(addresses) = (*host, number).to_socket_addrs() {
        for address in addresses {
            answer = TcpStream::connect_timeout(&address, wait).map(drop);
            if answer.is_ok() {
                break;
            }
        }
    }
    match answer {
        Ok(()) => {
            if flags.has('v') {
                writeln!(context.streams.stderr, "{host} {port} is open")?;
            }
            Ok(0)
        }
        Err(error) => {
            context.complain(&format!("{host} {port}"), &error)?;
            Ok(1)
        }
    }
}
