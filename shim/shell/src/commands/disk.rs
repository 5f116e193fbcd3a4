//! `df` and `du`.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::statvfs;

use super::{Answer, Context, list};

pub(super) fn df(context: &mut Context<'_, '_>) -> Answer {
    let flags = context.flags("hkTP", "")?;
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let mounts: Vec<(&str, &str)> = mounts
        .lines()
        .filter_map(|line| line.split_once(' '))
        .filter_map(|(source, rest)| Some((source, rest.split(' ').next()?)))
        .collect();
    let all = flags.rest.is_empty();
    // A mount over another at the same place hides it.
    let mut points: Vec<String> = flags.rest.iter().map(|name| (*name).to_owned()).collect();
    if all {
        points = mounts
            .iter()
            .map(|(_, point)| (*point).to_owned())
            .collect();
        points.sort();
        points.dedup();
    }
    let size = |blocks: u64, block: u64| match flags.has('h') {
        true => list::size(blocks.saturating_mul(block), true),
        false => (blocks.saturating_mul(block) >> 10).to_string(),
    };
    let mut status = 0;
    let head = if flags.has('h') { "Size" } else { "1K-blocks" };
    writeln!(
        context.streams.stdout,
        "{:<20} {head:>10} {:>10} {:>10} {:>4} Mounted on",
        "Filesystem", "Used", "Available", "Use%"
    )?;
    for point in &points {
        let path = context.shell.path(point);
        let figures = match statvfs(&path) {
            Ok(figures) if figures.f_blocks > 0 || !all => figures,
            Ok(_) => continue,
            Err(_) if all => continue,
            Err(error) => {
                status = 1;
                context.complain(point, &error.into())?;
                continue;
            }
        };
        let mount = mounts
            .iter()
            .rev()
            .filter(|(_, mount)| path.starts_with(mount))
            .max_by_key(|(_, mount)| mount.len());
        let (source, mounted) = mount.copied().unwrap_or(("-", point));
        let used = figures.f_blocks.saturating_sub(figures.f_bfree);
        let usable = used + figures.f_bavail;
        let percent = (used * 100).checked_div(usable).unwrap_or(0);
        writeln!(
            context.streams.stdout,
            "{source:<20} {:>10} {:>10} {:>10} {percent:>3}% {mounted}",
            size(figures.f_blocks, figures.f_frsize),
            size(used, figures.f_frsize),
            size(figures.f_bavail, figures.f_frsize),
        )?;
    }
    Ok(status)
}

pub(super) fn du(context: &mut Context<'_, '_>) -> Answer {
    let flags = context.flags("hskac", "d")?;
    let deepest = match (flags.has('s'), flags.number('d')?) {
        (true, _) => 0,
        (false, depth) => depth.unwrap_or(u64::MAX),
    };
    let names = if flags.rest.is_empty() {
        vec!["."]
    } else {
        flags.rest.clone()
    };
    let mut walk = Walk {
        deepest,
        files: flags.has('a'),
        seen: BTreeSet::new(),
        lines: Vec::new(),
        failed: false,
    };
    for name in names {
        walk.of(context, name, &context.shell.path(name), 0)?;
    }
    for (blocks, name) in walk.lines {
        let text = match flags.has('h') {
            true => list::size(blocks << 9, true),
            false => (blocks >> 1).to_string(),
        };
        writeln!(context.streams.stdout, "{text}\t{}", list::printable(&name))?;
    }
    Ok(i32::from(walk.failed))
}

struct Walk {
    deepest: u64,
    files: bool,
    /// Files with several names count once.
    seen: BTreeSet<(u64, u64)>,
    /// Blocks of 512 bytes, and whose.
    lines: Vec<(u64, String)>,
    failed: bool,
}

impl Walk {
    fn of(
        &mut self,
        context: &mut Context<'_, '_>,
        name: &str,
        path: &Path,
        depth: u64,
    ) -> std::io::Result<u64> {
        context.check()?;
        let metadata = match fs::symlink_metadata(path) {
            Ok(metadata) => metadata,
            Err(error) => {
                self.failed = true;
                context.complain(name, &error)?;
                return Ok(0);
            }
        };
        if metadata.nlink() > 1
            && !metadata.is_dir()
            && !self.seen.insert((metadata.dev(), metadata.ino()))
        {
            return Ok(0);
        }
        let mut blocks = metadata.blocks();
        // Deeper than any path the kernel takes is a loop of mounts.
        if metadata.is_dir() && depth < super::find_files::DEEPEST {
            match list::names(path, true) {
                Ok(entries) => {
                    for entry in entries {
                        let below = format!("{}/{entry}", name.trim_end_matches('/'));
                        blocks += self.of(context, &below, &path.join(&entry), depth + 1)?;
                    }
                }
                Err(error) => {
                    self.failed = true;
                    context.complain(name, &error)?;
                }
            }
        }
        if depth <= self.deepest && (metadata.is_dir() || self.files || depth == 0) {
            self.lines.push((blocks, name.to_owned()));
        }
        Ok(blocks)
    }
}
