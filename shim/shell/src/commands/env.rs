//! Variables: `env`, `printenv`, `export`, `unset`, `read`.

use std::fmt::Write as _;
use std::io::Write;

use super::{Answer, Context, Failure};
use crate::shell::Leave;

pub(super) fn env(context: &mut Context<'_, '_>) -> Answer {
    let flags = context.flags("i", "u")?;
    let mut inner = context.shell.clone();
    if flags.has('i') {
        inner.variables.clear();
    }
    if let Some(name) = flags.value('u') {
        inner.variables.remove(name);
    }
    let mut words = flags.rest.iter();
    let mut command: Vec<String> = Vec::new();
    for word in words.by_ref() {
        match word.split_once('=') {
            Some((name, value)) => inner.export(name, value.to_owned()),
            None => {
                command.push((*word).to_owned());
                break;
            }
        }
    }
    command.extend(words.map(|word| (*word).to_owned()));
    if command.is_empty() {
        let mut text = String::new();
        for (name, value) in inner.environment() {
            let _ = writeln!(text, "{name}={value}");
        }
        context.streams.stdout.write_all(text.as_bytes())?;
        return Ok(0);
    }
    let streams = context.streams.clone();
    Ok(inner.subshell(&streams, |shell| shell.invoke(&command, &streams))?)
}

pub(super) fn printenv(context: &mut Context<'_, '_>) -> Answer {
    if context.args.is_empty() {
        return env(context);
    }
    let mut status = 0;
    for name in context.args {
        let variable = context
            .shell
            .variables
            .get(name)
            .filter(|variable| variable.exported);
        match variable {
            Some(variable) => writeln!(context.streams.stdout, "{}", variable.value)?,
            None => status = 1,
        }
    }
    Ok(status)
}

pub(super) fn export(context: &mut Context<'_, '_>) -> Answer {
    for arg in context.args.iter().filter(|arg| *arg != "-p") {
        let (name, value) = match arg.split_once('=') {
            Some((name, value)) => (name, value.to_owned()),
            None => (arg.as_str(), context.shell.value(arg).unwrap_or_default()),
        };
        if !is_name(name) {
            return Err(Failure::Usage(format!("{name}: not a variable's name")));
        }
        context.shell.export(name, value);
    }
    Ok(0)
}

pub(super) fn unset(context: &mut Context<'_, '_>) -> Answer {
    for name in context.args {
        context.shell.variables.remove(name);
    }
    Ok(0)
}

pub(super) fn read(context: &mut Context<'_, '_>) -> Answer {
    let flags = context.flags("r", "")?;
    let names = match flags.rest.as_slice() {
        [] => vec!["REPLY"],
        names => names.to_vec(),
    };
    let line = match crate::shell::read_line(&mut context.streams.stdin)? {
        crate::shell::Line::Text(line) => line,
        crate::shell::Line::End => return Ok(1),
        crate::shell::Line::Interrupted => return Err(Leave::Interrupted.into()),
    };
    let mut rest = line.trim_end_matches('\n').trim();
    for (at, name) in names.iter().enumerate() {
        let field = match rest.split_once([' ', '\t']) {
            Some((field, after)) if at + 1 < names.len() => {
                rest = after.trim_start();
                field
            }
            _ => std::mem::take(&mut rest),
        };
        context.shell.set(name, field.to_owned());
    }
    Ok(0)
}

fn is_name(name: &str) -> bool {
    let fits = |c: char| c == '_' || c.is_ascii_alphanumeric();
    !name.is_empty() && name.chars().all(fits) && !name.starts_with(|c: char| c.is_ascii_digit())
}
