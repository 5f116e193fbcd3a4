//! The commands: one table, one function each.

mod builtin;
mod disk;
mod env;
mod files;
mod find_files;
mod grep;
mod list;
mod net;
mod print;
mod process;
mod stat;
mod system;
mod test;
mod text;

use std::io::{self, Write};
use std::path::Path;

use crate::flags::Flags;
use crate::shell::{Leave, Shell};
use crate::streams::Streams;

/// What a command works with.
pub(crate) struct Context<'a, 's> {
    pub(crate) command: &'static Command,
    pub(crate) shell: &'a mut Shell,
    pub(crate) args: &'a [String],
    pub(crate) streams: &'a mut Streams<'s>,
}

/// Why a command did not end by itself.
pub(crate) enum Failure {
    /// The shell is not to go on.
    Leave(Leave),
    /// Wrong arguments: status 2.
    Usage(String),
    /// Its output or input failed: status 1.
    Io(io::Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<String> for Failure {
    fn from(text: String) -> Self {
        Self::Usage(text)
    }
}

impl From<Leave> for Failure {
    fn from(leave: Leave) -> Self {
        Self::Leave(leave)
    }
}

/// What a command answers.
pub(crate) type Answer = Result<i32, Failure>;

/// A command of the table.
pub(crate) struct Command {
    pub(crate) name: &'static str,
    /// Its arguments, for `help`.
    pub(crate) usage: &'static str,
    pub(crate) run: fn(&mut Context<'_, '_>) -> Answer,
}

macro_rules! commands {
    ($($name:literal $usage:literal $run:path;)*) => {
        &[$(Command { name: $name, usage: $usage, run: $run }),*]
    };
}

/// All of them, sorted by name.
pub(crate) const COMMANDS: &[Command] = commands! {
    "." "FILE" builtin::source;
    ":" "" builtin::nothing;
    "[" "EXPRESSION ]" test::bracket;
    "ash" "[-c SCRIPT [NAME ARGUMENT…] | FILE [ARGUMENT…]]" builtin::sh;
    "bash" "[-c SCRIPT [NAME ARGUMENT…] | FILE [ARGUMENT…]]" builtin::sh;
    "break" "" builtin::leave_loop;
    "cat" "[FILE…]" text::cat;
    "cd" "[DIRECTORY]" builtin::cd;
    "continue" "" builtin::next_turn;
    "cp" "[-r] FROM… TO" files::cp;
    "date" "[-u] [+FORMAT]" system::date;
    "df" "[-h] [FILE…]" disk::df;
    "du" "[-h] [-s] [FILE…]" disk::du;
    "echo" "[-n] [-e] [TEXT…]" print::echo;
    "env" "[-i] [NAME=VALUE…] [COMMAND…]" env::env;
    "exec" "COMMAND…" builtin::exec;
    "exit" "[STATUS]" builtin::exit;
    "export" "[NAME[=VALUE]…]" env::export;
    "false" "" builtin::fail;
    "find" "[DIRECTORY…] [-name PATTERN] [-type d|f|l] [-maxdepth N]" find_files::find;
    "grep" "[-qivcnlowxEFrhHs] PATTERN [FILE…]" grep::grep;
    "head" "[-n LINES | -c BYTES] [FILE…]" text::head;
    "help" "" builtin::help;
    "hostname" "" system::hostname;
    "id" "[-u | -g | -G] [-n]" system::id;
    "kill" "[-SIGNAL] PID… | -l" process::kill;
    "ls" "[-1AadhlR] [FILE…]" list::ls;
    "mkdir" "[-p] DIRECTORY…" files::mkdir;
    "mv" "[-f] FROM… TO" files::mv;
    "nc" "-z [-v] [-w SECONDS] HOST PORT" net::nc;
    "printenv" "[NAME…]" env::printenv;
    "printf" "FORMAT [ARGUMENT…]" print::printf;
    "ps" "[-ef | aux]" process::ps;
    "pwd" "" builtin::pwd;
    "read" "[-r] NAME…" env::read;
    "rm" "[-f] [-r] FILE…" files::rm;
    "rmdir" "DIRECTORY…" files::rmdir;
    "set" "[-e | +e]" builtin::set;
    "sh" "[-c SCRIPT [NAME ARGUMENT…] | FILE [ARGUMENT…]]" builtin::sh;
    "shift" "[N]" builtin::shift;
    "sleep" "SECONDS" process::sleep;
    "stat" "[-c FORMAT] FILE…" stat::stat;
    "tail" "[-f] [-n [+]LINES | -c [+]BYTES] [FILE…]" text::tail;
    "test" "EXPRESSION" test::test;
    "touch" "[-c] FILE…" files::touch;
    "true" "" builtin::nothing;
    "uname" "[-asnrvm]" system::uname;
    "unset" "NAME…" env::unset;
    "wc" "[-l] [-w] [-c] [FILE…]" text::wc;
    "whoami" "" system::whoami;
};

/// The command that a name, or a path as in `/bin/ls`, stands for.
pub(crate) fn find(name: &str) -> Option<&'static Command> {
    let base = match name.rsplit_once('/') {
        Some((directory, base)) if directory.ends_with("/bin") || directory.ends_with("/sbin") => {
            base
        }
        Some(_) => return None,
        None => name,
    };
    let at = COMMANDS
        .binary_search_by(|command| command.name.cmp(base))
        .ok()?;
    COMMANDS.get(at)
}

/// The status and the sentence for a name that is no command: 126 for a file that is there, 127 else.
pub(crate) fn not_found(shell: &Shell, name: &str) -> (i32, String) {
    let wasm = |name: &str| name.split('#').next().unwrap_or(name).ends_with(".wasm");
    if name.contains('/') && wasm(name) {
        return (
            126,
            format!(
                "{name}: a wasm file runs as the exec's own command and not from this shell: kubectl exec POD -- {name}"
            ),
        );
    }
    if name.contains('/') && shell.path(Path::new(name)).exists() {
        return (
            126,
            format!(
                "{name}: this container is WebAssembly: native programs and scripts of the image do not run here"
            ),
        );
    }
    let names: Vec<&str> = COMMANDS.iter().map(|command| command.name).collect();
    (
        127,
        format!(
            "{name}: not found; this is the small shell built into Slipway for WebAssembly containers, which has: {}",
            names.join(" ")
        ),
    )
}

impl<'a> Context<'a, '_> {
    /// Its options; a wrong one ends the command with status 2.
    pub(crate) fn flags(&self, plain: &str, valued: &str) -> Result<Flags<'a>, Failure> {
        Flags::parse(self.args, plain, valued)
            .map_err(|text| Failure::Usage(format!("{text}; usage: {}", self.command.line())))
    }

    /// Says on the error stream what is wrong with one of several files, and goes on.
    pub(crate) fn complain(&mut self, subject: &str, error: &io::Error) -> io::Result<()> {
        // A sentence and not Rust's "(os error 2)".
        let text = error.to_string();
        let text = text.split(" (os error").next().unwrap_or(&text);
        writeln!(
            self.streams.stderr,
            "{}: {subject}: {text}",
            self.command.name
        )
    }

    /// Ends with `Interrupted` if Ctrl-C came.
    pub(crate) fn check(&self) -> io::Result<()> {
        match self.shell.interrupted() {
            true => Err(io::ErrorKind::Interrupted.into()),
            false => Ok(()),
        }
    }
}

impl Command {
    /// The line of `help`.
    pub(crate) fn line(&self) -> String {
        format!("{} {}", self.name, self.usage)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_so_that_it_can_be_searched() {
        assert!(COMMANDS.is_sorted_by(|a, b| a.name < b.name));
    }

    #[test]
    fn paths_of_programs_count_by_their_last_part() {
        for name in ["ls", "/bin/ls", "/usr/bin/ls", "/usr/local/bin/ls"] {
            assert_eq!(find(name).map(|command| command.name), Some("ls"), "{name}");
        }
        assert!(find("/app/ls").is_none());
        assert!(find("lsx").is_none());
    }
}
