//! Runs the tree: lists, pipelines, conditions, loops, simple commands.

mod redirect;
mod state;
mod terminal;

use std::io::Write;

use crate::commands::{self, Context};
use crate::streams::{Buffer, Input, Output, Streams};
use crate::syntax::{AndOr, Command, Join, Kind, List, Pipeline, Word, parse};
use crate::{expand, interrupt};

pub(crate) use state::Shell;
pub(crate) use terminal::{Line, read_line};

/// A status for what has no sense: wrong options, a script that is none.
pub(crate) const MISUSE: i32 = 2;

/// Deepest recursion of scripts in scripts (`sh -c 'sh -c …'`, `$(…)`).
const DEEPEST: usize = 20;

/// Why the rest of a list is not run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leave {
    Exit(i32),
    Break,
    Continue,
    Interrupted,
}

/// A status, unless the rest is not to be run.
pub(crate) type Run = Result<i32, Leave>;

impl Shell {
    /// Runs a command of whatever kind by its words.
    pub(crate) fn invoke(&mut self, words: &[String], streams: &Streams<'_>) -> Run {
        let mut streams = streams.clone();
        let Some((name, args)) = words.split_first() else {
            return Ok(0);
        };
        let Some(command) = commands::find(name) else {
            let (status, sentence) = commands::not_found(self, name);
            // Whether anybody reads it changes nothing.
            let _ = writeln!(streams.stderr, "{sentence}");
            return Ok(status);
        };
        let mut context = Context {
            command,
            shell: self,
            args,
            streams: &mut streams,
        };
        let result = (command.run)(&mut context);
        let base = command.name;
        match result {
            Ok(status) => {
                if let Err(error) = streams.stdout.flush() {
                    let _ = writeln!(streams.stderr, "{base}: {error}");
                    return Ok(1);
                }
                Ok(status)
            }
            Err(commands::Failure::Leave(leave)) => Err(leave),
            Err(commands::Failure::Usage(text)) => {
                let _ = writeln!(streams.stderr, "{base}: {text}");
                Ok(MISUSE)
            }
            Err(commands::Failure::Io(error))
                if error.kind() == std::io::ErrorKind::Interrupted =>
            {
                Err(Leave::Interrupted)
            }
            Err(commands::Failure::Io(error)) => {
                let _ = writeln!(streams.stderr, "{base}: {error}");
                Ok(1)
            }
        }
    }

    /// Runs a script with a state of its own, as `sh -c` does.
    pub(crate) fn script(&mut self, text: &str, streams: &Streams<'_>) -> Run {
        match parse(text) {
            Ok(list) => self.list(&list, streams),
            Err(error) => {
                let _ = writeln!(streams.stderr.clone(), "sh: {error}");
                Err(Leave::Exit(MISUSE))
            }
        }
    }

    /// Runs something one level deeper.
    pub(crate) fn nested(
        &mut self,
        streams: &Streams<'_>,
        run: impl FnOnce(&mut Self) -> Run,
    ) -> Run {
        if self.depth == DEEPEST {
            let _ = writeln!(
                streams.stderr.clone(),
                "sh: scripts nested more than {DEEPEST} deep"
            );
            return Err(Leave::Exit(MISUSE));
        }
        self.depth += 1;
        let result = run(self);
        self.depth -= 1;
        result
    }

    /// Runs something that may not change this shell.
    pub(crate) fn subshell(
        &mut self,
        streams: &Streams<'_>,
        run: impl FnOnce(&mut Self) -> Run,
    ) -> Run {
        let mut inner = self.clone();
        match inner.nested(streams, run) {
            Ok(status) | Err(Leave::Exit(status)) => Ok(status),
            Err(Leave::Interrupted) => Err(Leave::Interrupted),
            Err(Leave::Break | Leave::Continue) => Ok(0),
        }
    }

    /// What a script says in `$(…)`.
    pub(crate) fn output(&mut self, list: &List, streams: &Streams<'_>) -> Result<String, Leave> {
        let buffer = Buffer::default();
        let inner = Streams {
            stdout: Output::new(buffer.clone()),
            ..streams.clone()
        };
        self.status = self.subshell(&inner, |shell| shell.list(list, &inner))?;
        Ok(String::from_utf8_lossy(&buffer.take()).into_owned())
    }

    pub(crate) fn list(&mut self, list: &List, streams: &Streams<'_>) -> Run {
        let mut status = 0;
        for and_or in &list.0 {
            status = self.and_or(and_or, streams)?;
        }
        Ok(status)
    }

    fn and_or(&mut self, and_or: &AndOr, streams: &Streams<'_>) -> Run {
        // `set -e` looks only at what ended the chain, and at nothing that a `!` has turned round.
        let last = and_or.rest.len();
        let mut ended = 0;
        let guarded = |shell: &mut Self, pipeline: &Pipeline, at: usize| {
            shell.guards += usize::from(at < last || pipeline.negated);
            let result = shell.pipeline(pipeline, streams);
            shell.guards -= usize::from(at < last || pipeline.negated);
            result
        };
        let mut negated = and_or.first.negated;
        self.status = guarded(self, &and_or.first, 0)?;
        for (at, (join, pipeline)) in and_or.rest.iter().enumerate() {
            if (*join == Join::And) == (self.status == 0) {
                self.status = guarded(self, pipeline, at + 1)?;
                negated = pipeline.negated;
                ended = at + 1;
            }
        }
        if self.exit_on_error && self.guards == 0 && self.status != 0 && ended == last && !negated {
            return Err(Leave::Exit(self.status));
        }
        Ok(self.status)
    }

    /// Runs a condition, in which `set -e` does not hold.
    fn condition(&mut self, list: &List, streams: &Streams<'_>) -> Result<bool, Leave> {
        self.guards += 1;
        let result = self.list(list, streams);
        self.guards -= 1;
        Ok(result? == 0)
    }

    fn pipeline(&mut self, pipeline: &Pipeline, streams: &Streams<'_>) -> Run {
        let status = match pipeline.commands.as_slice() {
            [command] => self.command(command, streams)?,
            commands => self.stages(commands, streams)?,
        };
        Ok(if pipeline.negated {
            i32::from(status == 0)
        } else {
            status
        })
    }

    /// One stage after the other, each with what the one before said.
    fn stages(&mut self, stages: &[Command], streams: &Streams<'_>) -> Run {
        let mut stdin = streams.stdin.clone();
        let mut status = 0;
        for (at, stage) in stages.iter().enumerate() {
            let buffer = Buffer::default();
            let last = at + 1 == stages.len();
            let inner = Streams {
                stdin: stdin.clone(),
                stdout: if last {
                    streams.stdout.clone()
                } else {
                    Output::new(buffer.clone())
                },
                stderr: streams.stderr.clone(),
            };
            status = self.subshell(&inner, |shell| {
                shell.in_pipe = !last;
                shell.command(stage, &inner)
            })?;
            stdin = Input::new(std::io::Cursor::new(buffer.take()));
        }
        Ok(status)
    }

    fn command(&mut self, command: &Command, streams: &Streams<'_>) -> Run {
        if self.interrupted() {
            return Err(Leave::Interrupted);
        }
        let streams = match self.redirected(&command.redirects, streams)? {
            Ok(streams) => streams,
            Err(sentence) => {
                let _ = writeln!(streams.stderr.clone(), "sh: {sentence}");
                return Ok(1);
            }
        };
        match &command.kind {
            Kind::Simple { assignments, words } => self.simple(assignments, words, &streams),
            Kind::Group(list) => self.list(list, &streams),
            Kind::Subshell(list) => self.subshell(&streams, |shell| shell.list(list, &streams)),
            Kind::If { arms, otherwise } => {
                for (condition, body) in arms {
                    if self.condition(condition, &streams)? {
                        return self.list(body, &streams);
                    }
                }
                otherwise
                    .as_ref()
                    .map_or(Ok(0), |body| self.list(body, &streams))
            }
            Kind::While {
                until,
                condition,
                body,
            } => {
                let mut status = 0;
                while self.condition(condition, &streams)? != *until {
                    match self.list(body, &streams) {
                        Ok(of_body) => status = of_body,
                        Err(Leave::Continue) => {}
                        Err(Leave::Break) => break,
                        Err(leave) => return Err(leave),
                    }
                }
                Ok(status)
            }
            Kind::For { name, words, body } => {
                let mut status = 0;
                for value in self.fields(words, &streams)? {
                    self.set(name, value);
                    match self.list(body, &streams) {
                        Ok(of_body) => status = of_body,
                        Err(Leave::Continue) => {}
                        Err(Leave::Break) => break,
                        Err(leave) => return Err(leave),
                    }
                }
                Ok(status)
            }
        }
    }

    fn simple(
        &mut self,
        assignments: &[(String, Word)],
        words: &[Word],
        streams: &Streams<'_>,
    ) -> Run {
        self.status_of_output = None;
        let words = self.fields(words, streams)?;
        let mut values = Vec::new();
        for (name, word) in assignments {
            values.push((name, expand::text(self, word, streams)?));
        }
        if words.is_empty() {
            for (name, value) in values {
                self.set(name, value);
            }
            return Ok(self.status_of_output.unwrap_or(0));
        }
        // For this command alone.
        let before = self.variables.clone();
        let temporary = !values.is_empty();
        for (name, value) in values {
            self.export(name, value);
        }
        let result = self.invoke(&words, streams);
        if temporary {
            self.variables = before;
        }
        result
    }

    /// Words, expanded, as a command's.
    fn fields(&mut self, words: &[Word], streams: &Streams<'_>) -> Result<Vec<String>, Leave> {
        let mut fields = Vec::new();
        for word in words {
            expand::fields(self, word, streams, &mut fields)?;
        }
        Ok(fields)
    }

    /// Whether Ctrl-C came.
    pub(crate) fn interrupted(&self) -> bool {
        self.terminal && interrupt::pending()
    }
}
