//! `grep`, with regular expressions that are linear in time.

use std::io::{self, Write};

use regex_lite::{Regex, RegexBuilder};

use super::text::{each_line, over};
use super::{Answer, Context, Failure};

/// Most bytes that a compiled pattern may take.
const PATTERN_LIMIT: usize = 1 << 20;

pub(super) fn grep(context: &mut Context<'_, '_>) -> Answer {
    let flags = context.flags("qivcnlowxEFrRhHs", "em")?;
    let mut names = flags.rest.clone();
    let pattern = match flags.value('e') {
        Some(pattern) => pattern,
        None if names.is_empty() => return Err(Failure::Usage("a pattern is missing".to_owned())),
        None => names.remove(0),
    };
    let mut source = match (flags.has('F'), flags.has('E')) {
        (true, _) => regex_lite::escape(pattern),
        (false, true) => pattern.to_owned(),
        (false, false) => extended(pattern),
    };
    if flags.has('w') {
        source = format!(r"\b(?:{source})\b");
    }
    if flags.has('x') {
        source = format!("^(?:{source})$");
    }
    let regex = RegexBuilder::new(&source)
        .case_insensitive(flags.has('i'))
        .size_limit(PATTERN_LIMIT)
        .build()
        .map_err(|error| Failure::Usage(format!("{pattern}: {error}")))?;

    let recursive = flags.has('r') || flags.has('R');
    let walked: Vec<String> = match recursive {
        true => walk(context, &names)?,
        false => Vec::new(),
    };
    if recursive {
        names = walked.iter().map(String::as_str).collect();
        if names.is_empty() {
            return Ok(1);
        }
    }
    let search = Search {
        regex,
        invert: flags.has('v'),
        quiet: flags.has('q'),
        count: flags.has('c'),
        number: flags.has('n'),
        names_only: flags.has('l'),
        matches_only: flags.has('o'),
        most: flags.number('m')?.unwrap_or(u64::MAX),
        with_name: flags.has('H') || (!flags.has('h') && (names.len() > 1 || recursive)),
    };
    let mut found = false;
    let status = over(context, &names, |context, name, reader| {
        found |= search.run(context, name, reader)?;
        Ok(())
    })?;
    Ok(match (found, status) {
        (true, _) if search.quiet => 0,
        (_, 1) => 2,
        (found, _) => i32::from(!found),
    })
}

struct Search {
    regex: Regex,
    invert: bool,
    quiet: bool,
    count: bool,
    number: bool,
    names_only: bool,
    matches_only: bool,
    most: u64,
    with_name: bool,
}

impl Search {
    /// Whether anything fits.
    fn run(
        &self,
        context: &mut Context<'_, '_>,
        name: &str,
        reader: &mut dyn io::BufRead,
    ) -> io::Result<bool> {
        let (mut number, mut hits) = (0u64, 0u64);
        each_line(context, reader, |context, line| {
            number += 1;
            let text = String::from_utf8_lossy(&line);
            let text = text.strip_suffix('\n').unwrap_or(&text);
            if hits >= self.most || self.regex.is_match(text) == self.invert {
                return Ok(());
            }
            hits += 1;
            if self.quiet || self.count || self.names_only {
                return Ok(());
            }
            let mut prefix = String::new();
            if self.with_name {
                prefix = format!("{name}:");
            }
            if self.number {
                prefix.push_str(&format!("{number}:"));
            }
            let output = &mut context.streams.stdout;
            if !self.matches_only || self.invert {
                return output.write_all(format!("{prefix}{text}\n").as_bytes());
            }
            for hit in self.regex.find_iter(text).filter(|hit| !hit.is_empty()) {
                output.write_all(format!("{prefix}{}\n", hit.as_str()).as_bytes())?;
            }
            Ok(())
        })?;
        if self.names_only && hits > 0 && !self.quiet {
            writeln!(context.streams.stdout, "{name}")?;
        } else if self.count && !self.quiet {
            let prefix = if self.with_name {
                format!("{name}:")
            } else {
                String::new()
            };
            writeln!(context.streams.stdout, "{prefix}{hits}")?;
        }
        Ok(hits > 0)
    }
}

/// The files below those named, or below the working directory.
fn walk(context: &mut Context<'_, '_>, names: &[&str]) -> Result<Vec<String>, Failure> {
    let mut files = Vec::new();
    let mut left: Vec<String> = names.iter().rev().map(|name| (*name).to_owned()).collect();
    if left.is_empty() {
        left.push(".".to_owned());
    }
    while let Some(path) = left.pop() {
        context.check()?;
        let Ok(metadata) = std::fs::symlink_metadata(context.shell.path(&path)) else {
            files.push(path);
            continue;
        };
        if metadata.is_dir() {
            let entries = super::list::names(&context.shell.path(&path), true).unwrap_or_default();
            left.extend(
                entries
                    .into_iter()
                    .rev()
                    .map(|name| format!("{path}/{name}")),
            );
        } else if metadata.is_file() {
            files.push(path);
        }
    }
    Ok(files)
}

/// A basic regular expression as an extended one: in it, `+ ? | ( ) { }` mean themselves, and the escaped ones do not.
fn extended(basic: &str) -> String {
    let mut result = String::with_capacity(basic.len() + 8);
    let mut characters = basic.chars().peekable();
    let mut in_set = false;
    let mut at_start = true;
    while let Some(c) = characters.next() {
        match c {
            _ if in_set => {
                in_set = c != ']';
                result.push(c);
            }
            '[' => {
                in_set = true;
                result.push(c);
                for literal in ['^', ']'] {
                    if characters.peek() == Some(&literal) {
                        characters.next();
                        result.push_str(if literal == ']' { r"\]" } else { "^" });
                    }
                }
            }
            '+' | '?' | '|' | '(' | ')' | '{' | '}' => result.extend(['\\', c]),
            '*' if at_start => result.push_str(r"\*"),
            '\\' => match characters.next() {
                Some(special @ ('+' | '?' | '|' | '(' | ')' | '{' | '}')) => result.push(special),
                Some('<' | '>') => result.push_str(r"\b"),
                Some(other) => result.extend(['\\', other]),
                None => result.push_str(r"\\"),
            },
            other => result.push(other),
        }
        at_start = at_start && c == '^';
    }
    result
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::extended;

    #[test]
    fn basic_expressions_become_extended_ones() {
        for (basic, expected) in [
            ("a+b", r"a\+b"),
            (r"a\+b", "a+b"),
            (r"\(a\|b\)", "(a|b)"),
            ("[]+]", r"[\]+]"),
            ("*a", r"\*a"),
            ("^a.*$", "^a.*$"),
        ] {
            assert_eq!(extended(basic), expected, "{basic}");
        }
    }

    proptest! {
        #[test]
        fn no_pattern_panics(pattern in any::<String>(), text in any::<String>()) {
            if let Ok(regex) = regex_lite::Regex::new(&extended(&pattern)) {
                let _ = regex.is_match(&text);
            }
        }
    }
}
