//! `sh` without `-c`: commands from a terminal, line by line, or a script from the input.

use std::io::{self, Read, Write};

use super::{Leave, MISUSE, Run, Shell};
use crate::interrupt;
use crate::streams::Streams;
use crate::syntax::{SCRIPT_LIMIT, SyntaxError, parse};

/// What reading a line gave.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    Text(String),
    End,
    Interrupted,
}

impl Shell {
    /// Runs what its input says until that ends. Line by line, so that a command reads what follows it.
    pub(crate) fn session(&mut self, streams: &Streams<'_>) -> Run {
        let mut streams = streams.clone();
        let mut script = String::new();
        if self.terminal {
            let _ = writeln!(
                streams.stdout,
                "Slipway's built-in shell: this container is WebAssembly and has no shell of its own. See help."
            );
        }
        loop {
            self.prompt(&mut streams, script.is_empty());
            match read_line(&mut streams.stdin) {
                Err(error) => {
                    let _ = writeln!(streams.stderr, "sh: {error}");
                    return Err(Leave::Exit(1));
                }
                Ok(Line::Interrupted) => {
                    self.interrupted_line(&mut streams);
                    script.clear();
                    continue;
                }
                Ok(Line::End) if script.is_empty() => return Ok(self.status),
                Ok(Line::End) => return self.script(&script, &streams),
                Ok(Line::Text(line)) => script.push_str(&line),
            }
            let list = match parse(&script) {
                Err(SyntaxError::Incomplete(_)) if script.len() <= SCRIPT_LIMIT => continue,
                other => other,
            };
            script.clear();
            let result = match list {
                Ok(list) => self.list(&list, &streams),
                Err(error) => {
                    let _ = writeln!(streams.stderr, "sh: {error}");
                    if !self.terminal {
                        return Err(Leave::Exit(MISUSE));
                    }
                    Ok(MISUSE)
                }
            };
            match result {
                Ok(status) => self.status = status,
                Err(Leave::Break | Leave::Continue) => {}
                Err(Leave::Interrupted) if self.terminal => self.interrupted_line(&mut streams),
                Err(leave) => return Err(leave),
            }
        }
    }

    fn prompt(&self, streams: &mut Streams<'_>, fresh: bool) {
        if self.terminal {
            let _ = match fresh {
                true => write!(streams.stdout, "{} # ", self.cwd.display()),
                false => write!(streams.stdout, "> "),
            };
            let _ = streams.stdout.flush();
        }
    }

    fn interrupted_line(&mut self, streams: &mut Streams<'_>) {
        interrupt::clear();
        self.status = interrupt::STATUS;
        let _ = writeln!(streams.stdout);
    }
}

/// Reads up to the end of a line and not a byte further, since what follows may be for a command.
pub(crate) fn read_line(input: &mut impl Read) -> io::Result<Line> {
    let mut line = Vec::new();
    let mut byte = [0];
    loop {
        match input.read(&mut byte) {
            Ok(0) if line.is_empty() => return Ok(Line::End),
            Ok(0) => break,
            Ok(_) => line.push(byte[0]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                if interrupt::pending() {
                    return Ok(Line::Interrupted);
                }
            }
            Err(error) => return Err(error),
        }
        if byte[0] == b'\n' || line.len() > SCRIPT_LIMIT {
            break;
        }
    }
    Ok(Line::Text(String::from_utf8_lossy(&line).into_owned()))
}
