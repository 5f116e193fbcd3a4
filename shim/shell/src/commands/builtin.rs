//! What changes the shell itself, and `sh`.

use std::io::{self, Read, Write};

use super::{Answer, COMMANDS, Context, Failure};
use crate::shell::Leave;
use crate::syntax::SCRIPT_LIMIT;

/// `:` and `true`
pub(super) fn nothing(_: &mut Context<'_, '_>) -> Answer {
    Ok(0)
}

pub(super) fn fail(_: &mut Context<'_, '_>) -> Answer {
    Ok(1)
}

pub(super) fn leave_loop(_: &mut Context<'_, '_>) -> Answer {
    Err(Leave::Break.into())
}

pub(super) fn next_turn(_: &mut Context<'_, '_>) -> Answer {
    Err(Leave::Continue.into())
}

pub(super) fn exit(context: &mut Context<'_, '_>) -> Answer {
    let status = match context.args.first() {
        None => context.shell.status,
        Some(text) => number(text)? as i32 & 0xff,
    };
    Err(Leave::Exit(status).into())
}

pub(super) fn shift(context: &mut Context<'_, '_>) -> Answer {
    let by = match context.args.first() {
        None => 1,
        Some(text) => number(text)?,
    };
    let parameters = &mut context.shell.parameters;
    if by as usize >= parameters.len().max(1) {
        return Ok(1);
    }
    parameters.drain(1..=by as usize);
    Ok(0)
}

fn number(text: &str) -> Result<u32, Failure> {
    text.parse()
        .map_err(|_| Failure::Usage(format!("expected a number, found {text}")))
}

pub(super) fn cd(context: &mut Context<'_, '_>) -> Answer {
    let home = || {
        context
            .shell
            .value("HOME")
            .unwrap_or_else(|| "/".to_owned())
    };
    let to = match context.args.first().map(String::as_str) {
        None => home(),
        Some("-") => context.shell.value("OLDPWD").unwrap_or_else(home),
        Some(to) => to.to_owned(),
    };
    // Resolved, so that `..` is what the kernel says it is.
    let resolved = context.shell.path(&to).canonicalize();
    match resolved.and_then(|path| std::fs::read_dir(&path).map(|_| path)) {
        Ok(path) => {
            let old = context.shell.cwd.to_string_lossy().into_owned();
            context.shell.set("OLDPWD", old);
            context.shell.cwd = path;
            Ok(0)
        }
        Err(error) => {
            context.complain(&to, &error)?;
            Ok(1)
        }
    }
}

pub(super) fn pwd(context: &mut Context<'_, '_>) -> Answer {
    writeln!(context.streams.stdout, "{}", context.shell.cwd.display())?;
    Ok(0)
}

pub(super) fn set(context: &mut Context<'_, '_>) -> Answer {
    for arg in context.args {
        match arg.as_str() {
            "-e" => context.shell.exit_on_error = true,
            "+e" => context.shell.exit_on_error = false,
            other => {
                return Err(Failure::Usage(format!(
                    "only -e and +e are known here, not {other}"
                )));
            }
        }
    }
    Ok(0)
}

pub(super) fn exec(context: &mut Context<'_, '_>) -> Answer {
    if context.args.is_empty() {
        return Ok(0);
    }
    let status = context.shell.invoke(context.args, context.streams)?;
    Err(Leave::Exit(status).into())
}

pub(super) fn help(context: &mut Context<'_, '_>) -> Answer {
    let mut text = String::from(
        "The small shell built into Slipway, for WebAssembly containers. It has quotes, variables, $(…), ; && || | !, \
         redirections,\nfile name patterns, if, while, until and for. Commands:\n",
    );
    for command in COMMANDS {
        text.push_str("  ");
        text.push_str(command.line().trim_end());
        text.push('\n');
    }
    context.streams.stdout.write_all(text.as_bytes())?;
    Ok(0)
}

pub(super) fn source(context: &mut Context<'_, '_>) -> Answer {
    let Some(file) = context.args.first() else {
        return Err(Failure::Usage("a file is missing".to_owned()));
    };
    let text = script_of(context, file)?;
    let streams = context.streams.clone();
    Ok(context
        .shell
        .nested(&streams, |shell| shell.script(&text, &streams))?)
}

/// `sh -c SCRIPT`, `sh FILE`, or `sh` with commands from its input.
pub(super) fn sh(context: &mut Context<'_, '_>) -> Answer {
    let mut args = context.args.iter();
    let mut command = false;
    let mut exit_on_error = false;
    let mut first = args.next();
    while let Some(letters) = first.and_then(|arg| arg.strip_prefix('-')) {
        if letters == "-" {
            first = args.next();
            break;
        }
        for letter in letters.chars() {
            match letter {
                'c' => command = true,
                'e' => exit_on_error = true,
                // A login or an interactive shell, or commands from the input: all as it is.
                'i' | 'l' | 's' => {}
                other => return Err(Failure::Usage(format!("unknown option -{other}"))),
            }
        }
        first = args.next();
    }
    let first = first.cloned();
    let mut parameters: Vec<String> = args.cloned().collect();
    let script = match (&first, command) {
        (None, true) => return Err(Failure::Usage("-c: a script is missing".to_owned())),
        (Some(script), true) => {
            if parameters.is_empty() {
                parameters.push("sh".to_owned());
            }
            Some(script.clone())
        }
        (Some(file), false) => {
            parameters.insert(0, file.clone());
            Some(script_of(context, file)?)
        }
        (None, false) => {
            parameters.insert(0, "sh".to_owned());
            None
        }
    };
    let streams = context.streams.clone();
    let status = context.shell.subshell(&streams, |shell| {
        shell.parameters = parameters;
        shell.exit_on_error = exit_on_error;
        shell.guards = 0;
        match &script {
            Some(text) => shell.script(text, &streams),
            None => shell.session(&streams),
        }
    })?;
    Ok(status)
}

/// A script's text.
fn script_of(context: &Context<'_, '_>, file: &str) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    let opened = std::fs::File::open(context.shell.path(file));
    let read =
        opened.and_then(|opened| opened.take(SCRIPT_LIMIT as u64 + 1).read_to_end(&mut bytes));
    read.map_err(|error| io::Error::new(error.kind(), format!("{file}: {error}")))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
