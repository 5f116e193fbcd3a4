//! `echo` and `printf`.

use std::io::Write;

use super::{Answer, Context, Failure};

pub(super) fn echo(context: &mut Context<'_, '_>) -> Answer {
    let (mut newline, mut escapes) = (true, false);
    let mut args = context.args;
    while let Some((first, rest)) = args.split_first() {
        let letters = first.strip_prefix('-').unwrap_or_default();
        if letters.is_empty() || letters.chars().any(|c| !"neE".contains(c)) {
            break;
        }
        newline &= !letters.contains('n');
        escapes |= letters.contains('e');
        args = rest;
    }
    let mut text = args.join(" ");
    if escapes {
        text = unescape(&text);
    }
    if newline {
        text.push('\n');
    }
    context.streams.stdout.write_all(text.as_bytes())?;
    Ok(0)
}

/// `%s`, `%d`, `%c`, `%x`, `%%`; the format is used again while arguments are left, as POSIX has it.
pub(super) fn printf(context: &mut Context<'_, '_>) -> Answer {
    let Some((format, args)) = context.args.split_first() else {
        return Err(Failure::Usage("a format is missing".to_owned()));
    };
    let format = unescape(format);
    let mut args = args.iter();
    loop {
        let before = args.len();
        let text = formatted(&format, &mut args)?;
        context.streams.stdout.write_all(text.as_bytes())?;
        if args.len() == 0 || args.len() == before {
            return Ok(0);
        }
    }
}

fn formatted(format: &str, args: &mut std::slice::Iter<'_, String>) -> Result<String, Failure> {
    let mut text = String::new();
    let mut characters = format.chars();
    while let Some(c) = characters.next() {
        if c != '%' {
            text.push(c);
            continue;
        }
        let kind = characters.next();
        if kind == Some('%') {
            text.push('%');
            continue;
        }
        let arg = args.next().map_or("", String::as_str);
        let number = || match arg {
            "" => Ok(0),
            arg => arg
                .parse::<i64>()
                .map_err(|_| Failure::Usage(format!("expected a number, found {arg}"))),
        };
        match kind {
            Some('s') => text.push_str(arg),
            Some('b') => text.push_str(&unescape(arg)),
            Some('c') => text.extend(arg.chars().next()),
            Some('d' | 'i') => text.push_str(&number()?.to_string()),
            Some('x') => text.push_str(&format!("{:x}", number()?)),
            Some('o') => text.push_str(&format!("{:o}", number()?)),
            _ => {
                return Err(Failure::Usage(
                    "only %s %b %c %d %x %o and %% are known here, without widths".to_owned(),
                ));
            }
        }
    }
    Ok(text)
}

fn unescape(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        if c != '\\' {
            result.push(c);
            continue;
        }
        match characters.next() {
            Some('n') => result.push('\n'),
            Some('t') => result.push('\t'),
            Some('r') => result.push('\r'),
            Some('e') => result.push('\x1b'),
            Some('a') => result.push('\x07'),
            Some('0') => result.push('\0'),
            Some('\\') | None => result.push('\\'),
            Some(other) => result.extend(['\\', other]),
        }
    }
    result
}

#[cfg(test)]
mod tests {
    #[test]
    fn escapes() {
        assert_eq!(super::unescape(r"a\nb\\c\qd\"), "a\nb\\c\\qd\\");
    }
}
