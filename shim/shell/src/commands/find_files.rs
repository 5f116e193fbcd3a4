//! `find`.

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use super::{Answer, Context, Failure, list};
use crate::expand::Character;
use crate::glob;

/// Deepest directory that is entered.
pub(super) const DEEPEST: u64 = 256;

#[derive(Default)]
struct Wanted {
    name: Option<(Vec<Character>, bool)>,
    kind: Option<char>,
    max: Option<u64>,
    min: u64,
}

pub(super) fn find(context: &mut Context<'_, '_>) -> Answer {
    let begin = |arg: &String| arg.starts_with('-') || arg == "!" || arg == "(";
    let split = context
        .args
        .iter()
        .position(begin)
        .unwrap_or(context.args.len());
    let (roots, tests) = context.args.split_at(split);
    let wanted = wanted(tests)?;
    let mut left: Vec<(String, PathBuf, u64)> = roots
        .iter()
        .rev()
        .map(|root| (root.clone(), context.shell.path(root), 0))
        .collect();
    if left.is_empty() {
        left.push((".".to_owned(), context.shell.cwd.clone(), 0));
    }
    let mut status = 0;
    while let Some((name, path, depth)) = left.pop() {
        context.check()?;
        let metadata = match fs::symlink_metadata(&path) {
            Ok(metadata) => metadata,
            Err(error) => {
                status = 1;
                context.complain(&name, &error)?;
                continue;
            }
        };
        let kind = match list::mode(&metadata).chars().next() {
            Some('-') | None => 'f',
            Some(kind) => kind,
        };
        if wanted.fits(&name, kind, depth) {
            writeln!(context.streams.stdout, "{}", list::printable(&name))?;
        }
        if !metadata.is_dir() || depth >= wanted.max.unwrap_or(DEEPEST).min(DEEPEST) {
            continue;
        }
        match list::names(&path, true) {
            Ok(entries) => left.extend(entries.into_iter().rev().map(|entry| {
                let shown = format!("{}/{entry}", name.trim_end_matches('/'));
                (shown, path.join(&entry), depth + 1)
            })),
            Err(error) => {
                status = 1;
                context.complain(&name, &error)?;
            }
        }
    }
    Ok(status)
}

fn wanted(tests: &[String]) -> Result<Wanted, Failure> {
    let mut wanted = Wanted::default();
    let mut tests = tests.iter();
    while let Some(test) = tests.next() {
        if matches!(test.as_str(), "-print" | "-xdev") {
            continue;
        }
        let known = ["-name", "-iname", "-type", "-maxdepth", "-mindepth"];
        if !known.contains(&test.as_str()) {
            return Err(Failure::Usage(format!(
                "{test}: not known here (known: {})",
                known.join(" ")
            )));
        }
        let value = tests
            .next()
            .ok_or_else(|| Failure::Usage(format!("{test}: a value is missing")))?;
        let number = || {
            value
                .parse()
                .map_err(|_| Failure::Usage(format!("{test}: expected a number, found {value}")))
        };
        match test.as_str() {
            "-name" => wanted.name = Some((glob::unquoted(value), false)),
            "-iname" => wanted.name = Some((glob::unquoted(&value.to_lowercase()), true)),
            "-maxdepth" => wanted.max = Some(number()?),
            "-mindepth" => wanted.min = number()?,
            _ => {
                let mut letters = value.chars();
                match (letters.next(), letters.next()) {
                    (Some(kind @ ('f' | 'd' | 'l' | 'p' | 's' | 'b' | 'c')), None) => {
                        wanted.kind = Some(kind);
                    }
                    _ => {
                        return Err(Failure::Usage(format!(
                            "-type: one of f d l p s b c, not {value}"
                        )));
                    }
                }
            }
        }
    }
    Ok(wanted)
}

impl Wanted {
    fn fits(&self, name: &str, kind: char, depth: u64) -> bool {
        let base = name
            .trim_end_matches('/')
            .rsplit('/')
            .next()
            .unwrap_or(name);
        let named = self
            .name
            .as_ref()
            .is_none_or(|(pattern, any_case)| match any_case {
                true => glob::matches(pattern, &base.to_lowercase()),
                false => glob::matches(pattern, base),
            });
        named && self.kind.is_none_or(|wanted| wanted == kind) && depth >= self.min
    }
}
