//! What changes files: `mkdir`, `rmdir`, `rm`, `cp`, `mv`, `touch`.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::find_files::DEEPEST;
use super::{Answer, Context, Failure};

/// Runs `each` over the names; what fails is said, and the rest goes on.
fn over(
    context: &mut Context<'_, '_>,
    names: &[&str],
    mut each: impl FnMut(&Context<'_, '_>, &Path) -> io::Result<()>,
) -> Answer {
    if names.is_empty() {
        return Err(Failure::Usage("a name is missing".to_owned()));
    }
    let mut status = 0;
    for name in names {
        context.check()?;
        if let Err(error) = each(context, &context.shell.path(name)) {
            status = 1;
            context.complain(name, &error)?;
        }
    }
    Ok(status)
}

pub(super) fn mkdir(context: &mut Context<'_, '_>) -> Answer {
    let flags = context.flags("p", "")?;
    over(context, &flags.rest, |_, path| match flags.has('p') {
        true => fs::create_dir_all(path),
        false => fs::create_dir(path),
    })
}

pub(super) fn rmdir(context: &mut Context<'_, '_>) -> Answer {
    let flags = context.flags("", "")?;
    over(context, &flags.rest, |_, path| fs::remove_dir(path))
}

pub(super) fn rm(context: &mut Context<'_, '_>) -> Answer {
    let flags = context.flags("rRf", "")?;
    if flags.rest.is_empty() && flags.has('f') {
        return Ok(0);
    }
    let recursive = flags.has('r') || flags.has('R');
    over(context, &flags.rest, |_, path| {
        let metadata = match fs::symlink_metadata(path) {
            Err(error) if flags.has('f') && error.kind() == io::ErrorKind::NotFound => {
                return Ok(());
            }
            metadata => metadata?,
        };
        match (metadata.is_dir(), recursive) {
            (true, true) => fs::remove_dir_all(path),
            (true, false) => Err(io::Error::new(
                io::ErrorKind::IsADirectory,
                "is a directory (-r removes it)",
            )),
            (false, _) => fs::remove_file(path),
        }
    })
}

pub(super) fn touch(context: &mut Context<'_, '_>) -> Answer {
    let flags = context.flags("c", "")?;
    over(context, &flags.rest, |_, path| {
        if !path.exists() {
            if flags.has('c') {
                return Ok(());
            }
            return OpenOptions::new()
                .append(true)
                .create(true)
                .open(path)
                .map(drop);
        }
        // A directory can be opened for reading only.
        let file = match path.is_dir() {
            true => File::open(path)?,
            false => OpenOptions::new().append(true).open(path)?,
        };
        file.set_modified(SystemTime::now())
    })
}

/// The last name, the others, and whether the last is a directory to put them into.
fn destination<'a>(
    context: &Context<'_, '_>,
    names: &[&'a str],
) -> Result<(PathBuf, Vec<&'a str>, bool), Failure> {
    match names.split_last() {
        Some((to, from)) if !from.is_empty() => {
            let to = context.shell.path(to);
            let into = to.is_dir();
            if from.len() > 1 && !into {
                return Err(Failure::Usage(format!("{}: not a directory", to.display())));
            }
            Ok((to, from.to_vec(), into))
        }
        _ => Err(Failure::Usage("two names are needed".to_owned())),
    }
}

fn place(to: &Path, from: &Path, into: bool) -> io::Result<PathBuf> {
    let placed = match (into, from.file_name()) {
        (true, Some(name)) => to.join(name),
        (true, None) => to.join(from.canonicalize()?.file_name().unwrap_or_default()),
        (false, _) => to.to_owned(),
    };
    // A file copied onto itself would be cut to nothing, and a directory copied into itself would have no end.
    let from = from.canonicalize()?;
    let refused = |text| Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    if placed.canonicalize().ok().as_ref() == Some(&from) {
        return refused("is the same file");
    }
    let parent = placed
        .parent()
        .and_then(|parent| parent.canonicalize().ok());
    if parent.is_some_and(|parent| from.is_dir() && parent.starts_with(&from)) {
        return refused("cannot be put into itself");
    }
    Ok(placed)
}

pub(super) fn cp(context: &mut Context<'_, '_>) -> Answer {
    let flags = context.flags("rRafp", "")?;
    let recursive = ['r', 'R', 'a'].iter().any(|letter| flags.has(*letter));
    let (to, from, into) = destination(context, &flags.rest)?;
    over(context, &from, |context, from| {
        if from.is_dir() && !recursive {
            return Err(io::Error::new(
                io::ErrorKind::IsADirectory,
                "is a directory (-r copies it)",
            ));
        }
        copy(context, from, &place(&to, from, into)?, 0)
    })
}

fn copy(context: &Context<'_, '_>, from: &Path, to: &Path, depth: u64) -> io::Result<()> {
    context.check()?;
    let metadata = if depth == 0 {
        fs::metadata(from)?
    } else {
        fs::symlink_metadata(from)?
    };
    if metadata.is_symlink() {
        return std::os::unix::fs::symlink(fs::read_link(from)?, to);
    }
    if metadata.is_file() {
        return fs::copy(from, to).map(drop);
    }
    if !metadata.is_dir() {
        return Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "neither a file nor a directory",
        ));
    }
    if depth >= DEEPEST {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "directories nested too deep",
        ));
    }
    match fs::create_dir(to) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    for entry in fs::read_dir(from)? {
        let name = entry?.file_name();
        copy(context, &from.join(&name), &to.join(&name), depth + 1)?;
    }
    Ok(())
}

pub(super) fn mv(context: &mut Context<'_, '_>) -> Answer {
    let flags = context.flags("f", "")?;
    let (to, from, into) = destination(context, &flags.rest)?;
    over(context, &from, |context, from| {
        let placed = match fs::symlink_metadata(from)?.is_symlink() {
            true if into => to.join(from.file_name().unwrap_or_default()),
            true => to.clone(),
            false => place(&to, from, into)?,
        };
        match fs::rename(from, &placed) {
            Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
                copy(context, from, &placed, 0)?;
                match from.is_dir() {
                    true => fs::remove_dir_all(from),
                    false => fs::remove_file(from),
                }
            }
            result => result,
        }
    })
}
