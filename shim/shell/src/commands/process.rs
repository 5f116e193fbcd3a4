//! `ps`, `kill`, `sleep`.

use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use super::{Answer, Context, Failure, list};
use crate::users;

/// Most bytes of a command line that are shown.
const COMMAND: usize = 4096;

/// Longest time between two looks for Ctrl-C.
const LOOK: Duration = Duration::from_millis(200);

/// Clock ticks a second, as `/proc` counts (`USER_HZ`, 100 on every architecture of ours).
const TICKS: u64 = 100;

/// Signals by name, without SIG.
const SIGNALS: &[(&str, Signal)] = &[
    ("HUP", Signal::HUP),
    ("INT", Signal::INT),
    ("QUIT", Signal::QUIT),
    ("KILL", Signal::KILL),
    ("USR1", Signal::USR1),
    ("USR2", Signal::USR2),
    ("TERM", Signal::TERM),
    ("CONT", Signal::CONT),
    ("STOP", Signal::STOP),
];

pub(super) fn ps(context: &mut Context<'_, '_>) -> Answer {
    // `ps aux`, `ps -ef`, `ps`: one answer for all.
    let mut pids: Vec<u32> = fs::read_dir("/proc")?
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    pids.sort_unstable();
    let mut text = format!(
        "{:>7} {:>7} {:<10} S {:>8}  COMMAND\n",
        "PID", "PPID", "USER", "TIME"
    );
    for pid in pids {
        // One that has gone meanwhile is left out.
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let Some(process) = Process::parse(&stat) else {
            continue;
        };
        let user = fs::metadata(format!("/proc/{pid}"))
            .map(|metadata| metadata.uid())
            .unwrap_or(0);
        let user = users::user(user).unwrap_or_else(|| user.to_string());
        let mut command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        command.truncate(COMMAND);
        let command: Vec<_> = command
            .split(|byte| *byte == 0)
            .filter(|word| !word.is_empty())
            .map(|word| String::from_utf8_lossy(word))
            .collect();
        let command = match command.is_empty() {
            true => format!("[{}]", process.name),
            false => command.join(" "),
        };
        let seconds = process.ticks / TICKS;
        text.push_str(&format!(
            "{pid:>7} {:>7} {user:<10} {} {:02}:{:02}:{:02}  {}\n",
            process.parent,
            process.state,
            seconds / 3600,
            seconds / 60 % 60,
            seconds % 60,
            list::printable(&command),
        ));
    }
    context.streams.stdout.write_all(text.as_bytes())?;
    Ok(0)
}

/// What `/proc/<pid>/stat` says (proc_pid_stat(5)).
#[derive(Debug, PartialEq, Eq)]
struct Process<'a> {
    name: &'a str,
    state: char,
    parent: u32,
    ticks: u64,
}

impl<'a> Process<'a> {
    /// The name may hold blanks and parentheses; it ends at the last one.
    fn parse(stat: &'a str) -> Option<Self> {
        let (head, tail) = stat.rsplit_once(')')?;
        let (_, name) = head.split_once('(')?;
        let fields: Vec<&str> = tail.split_whitespace().collect();
        let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
        Some(Self {
            name,
            state: fields.first()?.chars().next()?,
            parent: fields.get(1)?.parse().ok()?,
            ticks: number(11)? + number(12)?,
        })
    }
}

pub(super) fn kill(context: &mut Context<'_, '_>) -> Answer {
    let mut args = context.args.iter().map(String::as_str).peekable();
    let mut signal = Some(Signal::TERM);
    match args.peek().copied() {
        Some("-l") => {
            let names: Vec<&str> = SIGNALS.iter().map(|(name, _)| *name).collect();
            writeln!(context.streams.stdout, "{}", names.join(" "))?;
            return Ok(0);
        }
        Some(option) if option.starts_with('-') => {
            args.next();
            let name = match option {
                "-s" | "-n" => args.next().unwrap_or_default(),
                option => option.trim_start_matches('-'),
            };
            signal = named(name)?;
        }
        _ => {}
    }
    let mut status = 0;
    let mut any = false;
    for text in args {
        any = true;
        let pid = text
            .parse()
            .ok()
            .filter(|pid| *pid > 0)
            .and_then(Pid::from_raw);
        let pid = pid
            .ok_or_else(|| Failure::Usage(format!("expected a process's number, found {text}")))?;
        let result = match signal {
            Some(signal) => kill_process(pid, signal),
            None => test_kill_process(pid),
        };
        if let Err(error) = result {
            status = 1;
            context.complain(text, &error.into())?;
        }
    }
    match any {
        true => Ok(status),
        false => Err(Failure::Usage("a process's number is missing".to_owned())),
    }
}

/// A signal by its name or number; none for 0, which only asks.
fn named(name: &str) -> Result<Option<Signal>, Failure> {
    if name == "0" {
        return Ok(None);
    }
    let upper = name.to_uppercase();
    let base = upper.strip_prefix("SIG").unwrap_or(&upper);
    let found = SIGNALS
        .iter()
        .find(|(known, signal)| *known == base || signal.as_raw().to_string() == base);
    match found {
        Some((_, signal)) => Ok(Some(*signal)),
        None => Err(Failure::Usage(format!(
            "unknown signal {name} (kill -l lists them)"
        ))),
    }
}

pub(super) fn sleep(context: &mut Context<'_, '_>) -> Answer {
    let mut total = Duration::ZERO;
    if context.args.is_empty() {
        return Err(Failure::Usage("a time is missing".to_owned()));
    }
    for text in context.args {
        let time = duration(text)
            .ok_or_else(|| Failure::Usage(format!("expected seconds, found {text}")))?;
        total = total.saturating_add(time);
    }
    let begun = Instant::now();
    while let Some(left) = total
        .checked_sub(begun.elapsed())
        .filter(|left| !left.is_zero())
    {
        context.check()?;
        std::thread::sleep(left.min(LOOK));
    }
    Ok(0)
}

/// `5`, `0.2`, `5s`, `2m`, `1h`, `1d`.
fn duration(text: &str) -> Option<Duration> {
    let (digits, unit) = match text.char_indices().last()? {
        (at, 's') => (&text[..at], 1.0),
        (at, 'm') => (&text[..at], 60.0),
        (at, 'h') => (&text[..at], 3600.0),
        (at, 'd') => (&text[..at], 86400.0),
        _ => (text, 1.0),
    };
    Duration::try_from_secs_f64(digits.parse::<f64>().ok()? * unit).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_by_its_stat() {
        let stat = "12 (a) b (c) S 1 12 12 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 1 0 1 1 1";
        let expected = Process {
            name: "a) b (c",
            state: 'S',
            parent: 1,
            ticks: 300,
        };
        assert_eq!(Process::parse(stat), Some(expected));
        assert_eq!(Process::parse("nonsense"), None);
    }

    #[test]
    fn times() {
        assert_eq!(duration("0.5"), Some(Duration::from_millis(500)));
        assert_eq!(duration("2m"), Some(Duration::from_secs(120)));
        for bad in ["", "x", "-1", "nan", "1e400", "sé"] {
            assert_eq!(duration(bad), None, "{bad}");
        }
    }

    #[test]
    fn signals_by_name_and_number() {
        let is = |name: &str| named(name).ok().flatten().map(Signal::as_raw);
        assert_eq!(is("SIGTERM"), Some(15));
        assert_eq!(is("9"), Some(9));
        assert_eq!(is("kill"), Some(9));
        assert!(named("33").is_err());
    }
}
