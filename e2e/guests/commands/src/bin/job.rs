//! A command that shows what it was given and ends as it is told.
//!
//! `job [--lines N] [--read PATH] [--write PATH TEXT] [--list PATH] [--stdin] [--sleep-ms N] [--exit N] [ARG…]`

use std::io::Read;
use std::process::ExitCode;
use std::time::Duration;
use std::{env, fs, io, thread};

use guest_commands::say;

fn main() -> ExitCode {
    for (index, arg) in env::args().enumerate() {
        say(format_args!("arg {index}={arg}"));
    }
    for (name, value) in env::vars() {
        say(format_args!("env {name}={value}"));
    }
    match run(env::args().skip(1)) {
        Ok(code) => ExitCode::from(code),
        Err(sentence) => {
            eprintln!("{sentence}");
            ExitCode::from(64)
        }
    }
}

/// Does what the options say, in their order. What is no option is only an argument.
fn run(mut args: impl Iterator<Item = String>) -> Result<u8, String> {
    let mut code = 0;
    while let Some(option) = args.next() {
        let mut value = || args.next().ok_or_else(|| format!("{option} needs a value"));
        match option.as_str() {
            "--lines" => {
                for line in 1..=number::<u64>(&value()?)? {
                    say(format_args!("out {line}"));
                    eprintln!("err {line}");
                }
            }
            "--read" => {
                let path = value()?;
                let text =
                    fs::read_to_string(&path).map_err(|error| format!("read {path}: {error}"))?;
                say(format_args!("read {path}: {}", text.trim_end()));
            }
            "--write" => {
                let (path, text) = (value()?, value()?);
                fs::write(&path, &text).map_err(|error| format!("write {path}: {error}"))?;
                say(format_args!("wrote {path}"));
            }
            "--list" => {
                let path = value()?;
                for entry in fs::read_dir(&path).map_err(|error| format!("list {path}: {error}"))? {
                    let entry = entry.map_err(|error| format!("list {path}: {error}"))?;
                    say(format_args!("entry {}", entry.file_name().display()));
                }
            }
            "--stdin" => {
                let mut bytes = Vec::new();
                io::stdin()
                    .read_to_end(&mut bytes)
                    .map_err(|error| format!("read stdin: {error}"))?;
                say(format_args!("stdin {} bytes", bytes.len()));
            }
            "--sleep-ms" => thread::sleep(Duration::from_millis(number(&value()?)?)),
            "--exit" => code = number(&value()?)?,
            _ => {}
        }
    }
    Ok(code)
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse()
        .map_err(|_| format!("{text:?} is not a number that fits here"))
}
