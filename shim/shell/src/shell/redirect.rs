//! `<`, `>`, `>>` and `2>&1`.

use std::fs::{File, OpenOptions};

use super::{Leave, Shell};
use crate::expand;
use crate::streams::{Input, Output, Streams};
use crate::syntax::{Redirect, Target, Word};

impl Shell {
    /// The streams of a command with redirections, from left to right; a sentence if a file cannot be opened.
    pub(super) fn redirected<'a>(
        &mut self,
        redirects: &[Redirect],
        streams: &Streams<'a>,
    ) -> Result<Result<Streams<'a>, String>, Leave> {
        let mut result = streams.clone();
        for redirect in redirects {
            let opened = match &redirect.target {
                Target::Read(word) => self
                    .opened(word, streams, OpenOptions::new().read(true))?
                    .map(|file| {
                        if redirect.stream == 0 {
                            result.stdin = Input::new(file);
                        }
                    }),
                Target::Write(word) => {
                    let options = OpenOptions::new()
                        .write(true)
                        .create(true)
                        .truncate(true)
                        .clone();
                    self.opened(word, streams, &options)?
                        .map(|file| put(&mut result, redirect.stream, Output::new(file)))
                }
                Target::Append(word) => {
                    let options = OpenOptions::new().append(true).create(true).clone();
                    self.opened(word, streams, &options)?
                        .map(|file| put(&mut result, redirect.stream, Output::new(file)))
                }
                Target::Duplicate(of) => {
                    let output = match of {
                        1 => Some(result.stdout.clone()),
                        2 => Some(result.stderr.clone()),
                        _ => None,
                    };
                    if let Some(output) = output {
                        put(&mut result, redirect.stream, output);
                    }
                    Ok(())
                }
            };
            if let Err(sentence) = opened {
                return Ok(Err(sentence));
            }
        }
        Ok(Ok(result))
    }

    fn opened(
        &mut self,
        word: &Word,
        streams: &Streams<'_>,
        options: &OpenOptions,
    ) -> Result<Result<File, String>, Leave> {
        let name = expand::text(self, word, streams)?;
        let file = options.open(self.path(&name));
        Ok(file.map_err(|error| format!("{name}: {error}")))
    }
}

fn put<'a>(streams: &mut Streams<'a>, stream: u8, output: Output<'a>) {
    match stream {
        1 => streams.stdout = output,
        2 => streams.stderr = output,
        // Nothing here writes to its input.
        _ => {}
    }
}
