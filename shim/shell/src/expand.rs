//! From a word to what a command gets: variables, `$(…)`, fields, file names.

use std::io::Write;

use crate::glob;
use crate::shell::{Leave, Shell};
use crate::streams::Streams;
use crate::syntax::{Part, Word};

/// Most bytes of a word, expanded.
const LIMIT: usize = 1 << 20;

/// A character, and whether it was quoted.
pub(crate) type Character = (char, bool);

/// The word as one text: what an assignment or a redirection takes.
pub(crate) fn text(shell: &mut Shell, word: &Word, streams: &Streams<'_>) -> Result<String, Leave> {
    let mut fields = Fields::default();
    expand(shell, word, streams, false, &mut fields)?;
    let characters = fields.open.unwrap_or_default();
    Ok(characters.into_iter().map(|(c, _)| c).collect())
}

/// The fields of a word, added to `into`: none for an empty variable, several for one with blanks or for a pattern.
pub(crate) fn fields(
    shell: &mut Shell,
    word: &Word,
    streams: &Streams<'_>,
    into: &mut Vec<String>,
) -> Result<(), Leave> {
    let mut fields = Fields::default();
    expand(shell, word, streams, true, &mut fields)?;
    fields.close();
    for field in fields.closed {
        match glob::expand(&shell.cwd, &field) {
            Some(names) => into.extend(names),
            None => into.push(field.into_iter().map(|(c, _)| c).collect()),
        }
    }
    Ok(())
}

#[derive(Default)]
struct Fields {
    closed: Vec<Vec<Character>>,
    open: Option<Vec<Character>>,
    size: usize,
}

impl Fields {
    fn close(&mut self) {
        self.closed.extend(self.open.take());
    }

    /// Adds text to the open field; unquoted and with `split`, blanks end it.
    fn add(&mut self, text: &str, quoted: bool, split: bool) {
        if quoted {
            self.open.get_or_insert_default();
        }
        for c in text.chars() {
            if self.size >= LIMIT {
                return;
            }
            self.size += 1;
            if split && !quoted && matches!(c, ' ' | '\t' | '\n') {
                self.close();
            } else {
                self.open.get_or_insert_default().push((c, quoted));
            }
        }
    }
}

fn expand(
    shell: &mut Shell,
    word: &Word,
    streams: &Streams<'_>,
    split: bool,
    fields: &mut Fields,
) -> Result<(), Leave> {
    for part in &word.0 {
        match part {
            // Text of the script itself is not split: its blanks were quoted, or it would be two words.
            Part::Text { text, quoted } => fields.add(text, *quoted, false),
            Part::Output { list, quoted } => {
                let said = shell.output(list, streams)?;
                shell.status_of_output = Some(shell.status);
                fields.add(said.trim_end_matches('\n'), *quoted, split);
            }
            Part::Variable {
                name,
                default,
                quoted,
            } => {
                if name == "@" && *quoted && split && default.is_none() {
                    let parameters = shell.parameters.get(1..).unwrap_or_default().to_vec();
                    for (at, parameter) in parameters.iter().enumerate() {
                        if at > 0 {
                            fields.close();
                        }
                        fields.add(parameter, true, split);
                    }
                    continue;
                }
                let value = shell.value(name);
                let there =
                    |empty_too: bool| value.as_ref().is_some_and(|v| !(empty_too && v.is_empty()));
                match default {
                    Some(default) if there(default.empty_too) == default.if_set => {
                        shell.nested_word(streams, |shell| {
                            expand(shell, &default.word, streams, split, fields)
                        })?;
                    }
                    Some(default) if default.if_set => fields.add("", *quoted, split),
                    _ => fields.add(value.as_deref().unwrap_or_default(), *quoted, split),
                }
            }
        }
    }
    if fields.size >= LIMIT {
        let _ = writeln!(streams.stderr.clone(), "sh: a word of more than 1 MiB");
        return Err(Leave::Exit(1));
    }
    Ok(())
}

impl Shell {
    fn nested_word(
        &mut self,
        streams: &Streams<'_>,
        run: impl FnOnce(&mut Self) -> Result<(), Leave>,
    ) -> Result<(), Leave> {
        self.nested(streams, |shell| run(shell).map(|()| 0))
            .map(drop)
    }
}
