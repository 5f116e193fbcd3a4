//! `*`, `?` and `[…]` in names.

use std::path::{Path, PathBuf};

use crate::expand::Character;

/// Most names that a pattern stands for.
const LIMIT: usize = 10_000;

/// The names that a field stands for, sorted; none if it is no pattern, or fits nothing.
pub(crate) fn expand(cwd: &Path, field: &[Character]) -> Option<Vec<String>> {
    if !is_pattern(field) {
        return None;
    }
    // What was found so far: the text to show, which is also the path from `cwd`.
    let mut found = vec![String::new()];
    let segments: Vec<&[Character]> = field.split(|(c, _)| *c == '/').collect();
    for (at, segment) in segments.iter().enumerate() {
        let last = at + 1 == segments.len();
        let mut next = Vec::new();
        for prefix in found {
            if is_pattern(segment) {
                for name in names(&cwd.join(&prefix), segment) {
                    next.push(format!("{prefix}{name}"));
                }
            } else {
                next.push(format!(
                    "{prefix}{}",
                    segment.iter().map(|(c, _)| c).collect::<String>()
                ));
            }
        }
        if !last {
            next.retain(|path| path.is_empty() || cwd.join(path).is_dir());
            for path in &mut next {
                path.push('/');
            }
        } else {
            next.retain(|path| std::fs::symlink_metadata(cwd.join(path)).is_ok());
        }
        next.truncate(LIMIT);
        found = next;
    }
    found.sort();
    (!found.is_empty()).then_some(found)
}

fn is_pattern(field: &[Character]) -> bool {
    field
        .iter()
        .any(|(c, quoted)| !quoted && matches!(c, '*' | '?' | '['))
}

/// The names in a directory that fit; hidden ones only if the pattern begins with a point.
fn names(directory: &Path, pattern: &[Character]) -> Vec<String> {
    let directory = match directory.as_os_str().is_empty() {
        true => PathBuf::from("."),
        false => directory.to_owned(),
    };
    let hidden = pattern.first().is_some_and(|(c, _)| *c == '.');
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| (hidden || !name.starts_with('.')) && matches(pattern, name))
        .take(LIMIT)
        .collect()
}

/// Whether a name fits a pattern. One step back suffices: a later `*` forgives what an earlier one took.
pub(crate) fn matches(pattern: &[Character], name: &str) -> bool {
    let name: Vec<char> = name.chars().collect();
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match one(&pattern[p..], name[n]) {
            Some(Step::Star) => {
                star = Some((p + 1, n));
                p += 1;
            }
            Some(Step::Fits(length)) => {
                p += length;
                n += 1;
            }
            None => match star {
                Some((after, from)) => {
                    star = Some((after, from + 1));
                    p = after;
                    n = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|part| *part == ('*', false))
}

/// A pattern without quotes, as `find -name` has it.
pub(crate) fn unquoted(pattern: &str) -> Vec<Character> {
    pattern.chars().map(|c| (c, false)).collect()
}

enum Step {
    Star,
    /// How many characters of the pattern stood for this one.
    Fits(usize),
}

fn one(pattern: &[Character], c: char) -> Option<Step> {
    match *pattern.first()? {
        ('*', false) => Some(Step::Star),
        ('?', false) => Some(Step::Fits(1)),
        ('[', false) => match set(pattern, c) {
            Some((fits, length)) => fits.then_some(Step::Fits(length)),
            None => (c == '[').then_some(Step::Fits(1)),
        },
        (literal, _) => (literal == c).then_some(Step::Fits(1)),
    }
}

/// Whether `c` is in the set that `pattern` begins with, and the set's length; none if the bracket is never closed.
fn set(pattern: &[Character], c: char) -> Option<(bool, usize)> {
    let negated = matches!(pattern.get(1), Some(('!' | '^', false)));
    let mut at = 1 + usize::from(negated);
    let first = at;
    let mut fits = false;
    loop {
        let (low, quoted) = *pattern.get(at)?;
        if low == ']' && !quoted && at > first {
            return Some((fits != negated, at + 1));
        }
        match (pattern.get(at + 1), pattern.get(at + 2)) {
            (Some(('-', false)), Some((high, _))) if *high != ']' => {
                fits |= (low..=*high).contains(&c);
                at += 3;
            }
            _ => {
                fits |= low == c;
                at += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fits(pattern: &str, name: &str) -> bool {
        matches(&unquoted(pattern), name)
    }

    #[test]
    fn stars_marks_and_sets() {
        for (pattern, name) in [
            ("*", ""),
            ("*.txt", "a.txt"),
            ("a*b*c", "aXbYbc"),
            ("?b", "ab"),
            ("[a-c]x", "bx"),
            ("[!a]", "b"),
            ("[]]", "]"),
            ("[", "["),
            ("a[", "a["),
            ("[a-]", "-"),
            ("é*", "été"),
        ] {
            assert!(fits(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("*.txt", "a.txt2"),
            ("?", ""),
            ("[a-c]", "d"),
            ("[!a]", "a"),
            ("a*b", "ac"),
        ] {
            assert!(!fits(pattern, name), "{pattern} {name}");
        }
        assert!(!matches(&[('*', true)], "a"), "a quoted star is a star");
    }

    #[test]
    fn names_are_looked_up() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.txt", "a.txt", ".hidden", "d/x.txt"] {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let find = |pattern: &str| expand(folder.path(), &unquoted(pattern));
        assert_eq!(
            find("*.txt"),
            Some(vec!["a.txt".to_owned(), "b.txt".to_owned()])
        );
        assert_eq!(find("*/x*"), Some(vec!["d/x.txt".to_owned()]));
        assert_eq!(find(".h*"), Some(vec![".hidden".to_owned()]));
        assert_eq!(find("*.none"), None);
        assert_eq!(find("plain"), None);
    }

    proptest! {
        #[test]
        fn any_pattern_and_any_name(pattern in "[a*?\\[\\]!-]{0,12}", name in "[ab\\]-]{0,12}") {
            let _ = fits(&pattern, &name);
            prop_assert!(fits("*", &name));
            prop_assert!(matches(&name.chars().map(|c| (c, true)).collect::<Vec<_>>(), &name));
        }
    }
}
