//! `stat`.

use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;

use super::system::calendar;
use super::{Answer, Context, Failure, list};
use crate::users;

/// What `stat` shows without a format.
const DEFAULT: &str = "  File: %N\n  Size: %s\tBlocks: %b\t%F\nInode: %i\tLinks: %h\nAccess: (%a/%A)\tUid: (%u/%U)\tGid: (%g/%G)\nModify: %y";

pub(super) fn stat(context: &mut Context<'_, '_>) -> Answer {
    let flags = context.flags("L", "c")?;
    if flags.rest.is_empty() {
        return Err(Failure::Usage("a file is missing".to_owned()));
    }
    let format = flags.value('c').unwrap_or(DEFAULT);
    let mut status = 0;
    for name in &flags.rest {
        let path = context.shell.path(name);
        let looked = if flags.has('L') {
            fs::metadata(&path)
        } else {
            fs::symlink_metadata(&path)
        };
        match looked {
            Ok(metadata) => {
                let text = formatted(format, name, &metadata)?;
                writeln!(context.streams.stdout, "{text}")?;
            }
            Err(error) => {
                status = 1;
                context.complain(name, &error)?;
            }
        }
    }
    Ok(status)
}

fn formatted(format: &str, name: &str, metadata: &fs::Metadata) -> Result<String, Failure> {
    let mut text = String::new();
    let mut characters = format.chars();
    while let Some(c) = characters.next() {
        if c != '%' {
            text.push(c);
            continue;
        }
        let named = |name: Option<String>| name.unwrap_or_else(|| "UNKNOWN".to_owned());
        text.push_str(&match characters.next() {
            Some('n' | 'N') => list::printable(name),
            Some('s') => metadata.size().to_string(),
            Some('b') => metadata.blocks().to_string(),
            Some('i') => metadata.ino().to_string(),
            Some('h') => metadata.nlink().to_string(),
            Some('a') => format!("{:o}", metadata.mode() & 0o7777),
            Some('A') => list::mode(metadata),
            Some('u') => metadata.uid().to_string(),
            Some('U') => named(users::user(metadata.uid())),
            Some('g') => metadata.gid().to_string(),
            Some('G') => named(users::group(metadata.gid())),
            Some('Y') => metadata.mtime().to_string(),
            Some('y') => {
                let date = calendar(metadata.mtime());
                format!("{} {} +0000", date.day_text(), date.time_text())
            }
            Some('F') => kind(metadata).to_owned(),
            Some('%') => "%".to_owned(),
            _ => {
                return Err(Failure::Usage(
                    "-c: only %n %s %b %i %h %a %A %u %U %g %G %Y %y %F are known here".to_owned(),
                ));
            }
        });
    }
    Ok(text)
}

fn kind(metadata: &fs::Metadata) -> &'static str {
    match list::mode(metadata).as_bytes().first() {
        Some(b'd') => "directory",
        Some(b'l') => "symbolic link",
        Some(b'p') => "fifo",
        Some(b's') => "socket",
        Some(b'b') => "block special file",
        Some(b'c') => "character special file",
        _ => "regular file",
    }
}
