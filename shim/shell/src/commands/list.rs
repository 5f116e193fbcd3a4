//! `ls`.

use std::fs::{self, Metadata};
use std::io::{self, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use super::system::calendar;
use super::{Answer, Context};
use crate::flags::Flags;
use crate::users;

/// Most files that one directory shows.
const LIMIT: usize = 100_000;

pub(super) fn ls(context: &mut Context<'_, '_>) -> Answer {
    let flags = context.flags("1AFadhlnR", "")?;
    let mut status = 0;
    let (mut files, mut directories) = (Vec::new(), Vec::new());
    let names = if flags.rest.is_empty() {
        vec!["."]
    } else {
        flags.rest.clone()
    };
    for name in &names {
        let path = context.shell.path(name);
        let looked = match flags.has('l') {
            true => fs::symlink_metadata(&path),
            false => fs::metadata(&path).or_else(|_| fs::symlink_metadata(&path)),
        };
        match looked {
            Ok(metadata) if metadata.is_dir() && !flags.has('d') => {
                directories.push((*name).to_owned());
            }
            Ok(_) => files.push((*name).to_owned()),
            Err(error) => {
                status = 1;
                context.complain(name, &error)?;
            }
        }
    }
    let heads = names.len() > 1 || flags.has('R');
    let mut gap = !files.is_empty();
    show(context, &flags, &context.shell.cwd.clone(), &files)?;
    directories.reverse();
    while let Some(name) = directories.pop() {
        context.check()?;
        let path = context.shell.path(&name);
        let mut entries = match self::names(&path, flags.has('a') || flags.has('A')) {
            Ok(entries) => entries,
            Err(error) => {
                status = 1;
                context.complain(&name, &error)?;
                continue;
            }
        };
        if heads {
            let before = if gap { "\n" } else { "" };
            writeln!(context.streams.stdout, "{before}{}:", printable(&name))?;
            gap = true;
        }
        if flags.has('R') {
            let below = entries.iter().rev().filter(|entry| {
                fs::symlink_metadata(path.join(entry)).is_ok_and(|metadata| metadata.is_dir())
            });
            directories
                .extend(below.map(|entry| format!("{}/{entry}", name.trim_end_matches('/'))));
        }
        if flags.has('a') {
            entries.splice(0..0, [".".to_owned(), "..".to_owned()]);
        }
        show(context, &flags, &path, &entries)?;
    }
    Ok(status)
}

/// The names in a directory, sorted. A name that is no UTF-8 is shown with marks in its place.
pub(super) fn names(directory: &Path, hidden: bool) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory)?.take(LIMIT) {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if hidden || !name.starts_with('.') {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

fn show(
    context: &mut Context<'_, '_>,
    flags: &Flags<'_>,
    directory: &Path,
    names: &[String],
) -> io::Result<()> {
    let mut rows: Vec<[String; 7]> = Vec::new();
    let mut text = String::new();
    for name in names {
        if !flags.has('l') && !flags.has('n') {
            text.push_str(&printable(name));
            text.push('\n');
            continue;
        }
        let path = directory.join(name);
        match fs::symlink_metadata(&path) {
            Ok(metadata) => rows.push(row(flags, &path, name, &metadata)),
            Err(error) => context.complain(name, &error)?,
        }
    }
    let mut widths = [0; 7];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.len().max(*width);
        }
    }
    for [mode, links, user, group, size, time, name] in &rows {
        text.push_str(&format!(
            "{mode} {links:>0$} {user:<1$} {group:<2$} {size:>3$} {time} {name}\n",
            widths[1], widths[2], widths[3], widths[4],
        ));
    }
    context.streams.stdout.write_all(text.as_bytes())
}

fn row(flags: &Flags<'_>, path: &Path, name: &str, metadata: &Metadata) -> [String; 7] {
    let numeric = flags.has('n');
    let user = Some(metadata.uid())
        .filter(|_| !numeric)
        .and_then(users::user);
    let group = Some(metadata.gid())
        .filter(|_| !numeric)
        .and_then(users::group);
    let date = calendar(metadata.mtime());
    let mut shown = printable(name);
    if metadata.is_symlink()
        && let Ok(target) = fs::read_link(path)
    {
        shown = format!("{shown} -> {}", printable(&target.to_string_lossy()));
    }
    [
        mode(metadata),
        metadata.nlink().to_string(),
        user.unwrap_or_else(|| metadata.uid().to_string()),
        group.unwrap_or_else(|| metadata.gid().to_string()),
        size(metadata.len(), flags.has('h')),
        format!(
            "{:04}-{:02}-{:02} {:02}:{:02}",
            date.year, date.month, date.day, date.hour, date.minute
        ),
        shown,
    ]
}

/// `drwxr-xr-x`
pub(super) fn mode(metadata: &Metadata) -> String {
    let kind = metadata.file_type();
    let mut text = String::from(match () {
        () if kind.is_dir() => "d",
        () if kind.is_symlink() => "l",
        () if kind.is_fifo() => "p",
        () if kind.is_socket() => "s",
        () if kind.is_block_device() => "b",
        () if kind.is_char_device() => "c",
        () => "-",
    });
    let bits = metadata.mode();
    for (shift, special, letter) in [(6, 0o4000, 's'), (3, 0o2000, 's'), (0, 0o1000, 't')] {
        let of = |bit: u32| bits >> shift & bit != 0;
        text.push(if of(4) { 'r' } else { '-' });
        text.push(if of(2) { 'w' } else { '-' });
        text.push(match (bits & special != 0, of(1)) {
            (true, true) => letter,
            (true, false) => letter.to_ascii_uppercase(),
            (false, true) => 'x',
            (false, false) => '-',
        });
    }
    text
}

/// A size in bytes, or for people.
pub(super) fn size(bytes: u64, for_people: bool) -> String {
    const UNITS: [&str; 6] = ["", "K", "M", "G", "T", "P"];
    if !for_people {
        return bytes.to_string();
    }
    let (mut value, mut unit) = (bytes as f64, 0);
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    match unit > 0 && value < 10.0 {
        true => format!("{value:.1}{}", UNITS[unit]),
        false => format!("{value:.0}{}", UNITS[unit]),
    }
}

/// A name without what a terminal would obey.
pub(super) fn printable(name: &str) -> String {
    name.chars()
        .map(|c| if c.is_control() { '?' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn sizes_for_people() {
        for (bytes, text) in [
            (0, "0"),
            (1023, "1023"),
            (1536, "1.5K"),
            (10 << 20, "10M"),
            (3 << 40, "3.0T"),
        ] {
            assert_eq!(super::size(bytes, true), text);
        }
        assert_eq!(super::size(1536, false), "1536");
    }
}
