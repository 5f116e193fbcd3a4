//! `cat`, `head`, `tail`, `wc`.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::time::Duration;

use super::{Answer, Context, Failure};
use crate::streams::PIPE_LIMIT;

/// How often `tail -f` looks.
const LOOK: Duration = Duration::from_millis(250);

/// Runs `each` over the files named, or the input if none is; what cannot be read is said, and the rest goes on.
pub(super) fn over(
    context: &mut Context<'_, '_>,
    names: &[&str],
    mut each: impl FnMut(&mut Context<'_, '_>, &str, &mut dyn BufRead) -> io::Result<()>,
) -> Result<i32, io::Error> {
    let mut status = 0;
    let names = if names.is_empty() { &["-"] } else { names };
    for name in names {
        let mut reader: Box<dyn BufRead> = match *name {
            "-" => Box::new(BufReader::new(context.streams.stdin.clone())),
            name => match File::open(context.shell.path(name)) {
                Ok(file) => Box::new(BufReader::new(file)),
                Err(error) => {
                    status = 1;
                    context.complain(name, &error)?;
                    continue;
                }
            },
        };
        if let Err(error) = each(context, name, &mut *reader) {
            if error.kind() != io::ErrorKind::IsADirectory {
                return Err(error);
            }
            status = 1;
            context.complain(name, &error)?;
        }
    }
    Ok(status)
}

/// Reads until the end and hands on each piece; ends early at Ctrl-C.
fn pieces(
    context: &mut Context<'_, '_>,
    reader: &mut dyn BufRead,
    mut each: impl FnMut(&mut Context<'_, '_>, &[u8]) -> io::Result<bool>,
) -> io::Result<()> {
    loop {
        context.check()?;
        let piece = match reader.fill_buf() {
            Ok(piece) => piece,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let length = piece.len();
        if length == 0 || !each(context, piece)? {
            return Ok(());
        }
        reader.consume(length);
    }
}

pub(super) fn cat(context: &mut Context<'_, '_>) -> Answer {
    let flags = context.flags("u", "")?;
    let status = over(context, &flags.rest, |context, _, reader| {
        pieces(context, reader, |context, piece| {
            context.streams.stdout.write_all(piece)?;
            Ok(true)
        })
    })?;
    Ok(status)
}

/// `-5` is `-n 5`, as everybody writes it.
fn with_old_counts(args: &[String]) -> Vec<String> {
    let count = |arg: &String| {
        let digits = arg
            .strip_prefix('-')
            .filter(|digits| digits.parse::<u64>().is_ok());
        digits.map_or_else(|| arg.clone(), |digits| format!("-n{digits}"))
    };
    args.iter().map(count).collect()
}

fn header(
    context: &mut Context<'_, '_>,
    names: &[&str],
    name: &str,
    first: &mut bool,
) -> io::Result<()> {
    if names.len() > 1 {
        let gap = if std::mem::take(first) { "" } else { "\n" };
        writeln!(context.streams.stdout, "{gap}==> {name} <==")?;
    }
    Ok(())
}

pub(super) fn head(context: &mut Context<'_, '_>) -> Answer {
    let args = with_old_counts(context.args);
    let flags = crate::flags::Flags::parse(&args, "q", "nc")?;
    let bytes = flags.number('c')?;
    let lines = flags.number('n')?.unwrap_or(10);
    let mut first = true;
    let status = over(context, &flags.rest, |context, name, reader| {
        header(context, &flags.rest, name, &mut first)?;
        let (mut bytes_left, mut lines_left) = (bytes.unwrap_or(u64::MAX), lines);
        if bytes.is_some() {
            lines_left = u64::MAX;
        }
        if bytes_left == 0 || lines_left == 0 {
            return Ok(());
        }
        pieces(context, reader, |context, piece| {
            let limit = usize::try_from(bytes_left)
                .unwrap_or(usize::MAX)
                .min(piece.len());
            let mut end = 0;
            while end < limit && lines_left > 0 {
                lines_left -= u64::from(piece[end] == b'\n');
                end += 1;
            }
            bytes_left -= end as u64;
            context.streams.stdout.write_all(&piece[..end])?;
            Ok(bytes_left > 0 && lines_left > 0)
        })
    })?;
    Ok(status)
}

/// Where `tail` begins.
enum From {
    End(u64),
    /// `+N`: the Nth, counted from 1.
    Start(u64),
}

fn from(text: &str, letter: char) -> Result<From, Failure> {
    let digits = text.trim_start_matches(['+', '-']);
    let count = digits
        .parse()
        .map_err(|_| Failure::Usage(format!("-{letter}: expected a number, found {text}")))?;
    Ok(match text.starts_with('+') {
        true => From::Start(count),
        false => From::End(count),
    })
}

pub(super) fn tail(context: &mut Context<'_, '_>) -> Answer {
    let args = with_old_counts(context.args);
    let flags = crate::flags::Flags::parse(&args, "fFq", "nc")?;
    let follow = flags.has('f') || flags.has('F');
    if follow && context.shell.in_pipe {
        return Err(Failure::Usage(
            "-f in a pipe would never end: a pipe of this shell is read after the command has ended".to_owned(),
        ));
    }
    let bytes = flags.value('c').map(|text| from(text, 'c')).transpose()?;
    let lines = from(flags.value('n').unwrap_or("10"), 'n')?;
    let mut first = true;
    let status = over(context, &flags.rest, |context, name, reader| {
        header(context, &flags.rest, name, &mut first)?;
        match &bytes {
            Some(from) => tail_bytes(context, reader, from),
            None => tail_lines(context, reader, &lines),
        }
    })?;
    if let (true, [name]) = (follow, flags.rest.as_slice()) {
        return follow_file(context, name);
    }
    Ok(status)
}

fn tail_bytes(
    context: &mut Context<'_, '_>,
    reader: &mut dyn BufRead,
    from: &From,
) -> io::Result<()> {
    match *from {
        From::Start(at) => {
            let mut skip = at.saturating_sub(1);
            pieces(context, reader, |context, piece| {
                let skipped = skip.min(piece.len() as u64);
                skip -= skipped;
                context
                    .streams
                    .stdout
                    .write_all(&piece[skipped as usize..])?;
                Ok(true)
            })
        }
        From::End(count) => {
            let keep = usize::try_from(count).unwrap_or(usize::MAX).min(PIPE_LIMIT);
            let mut kept: VecDeque<u8> = VecDeque::new();
            pieces(context, reader, |_, piece| {
                kept.extend(piece);
                let over = kept.len().saturating_sub(keep);
                kept.drain(..over);
                Ok(true)
            })?;
            context.streams.stdout.write_all(kept.make_contiguous())
        }
    }
}

fn tail_lines(
    context: &mut Context<'_, '_>,
    reader: &mut dyn BufRead,
    from: &From,
) -> io::Result<()> {
    let mut number = 0;
    let mut kept: VecDeque<Vec<u8>> = VecDeque::new();
    let mut held = 0;
    each_line(context, reader, |context, line| {
        number += 1;
        match *from {
            From::Start(at) if number >= at => context.streams.stdout.write_all(&line)?,
            From::Start(_) => {}
            From::End(count) => {
                held += line.len();
                kept.push_back(line);
                while kept.len() as u64 > count || held > PIPE_LIMIT {
                    held -= kept.pop_front().map_or(held, |line| line.len());
                }
            }
        }
        Ok(())
    })?;
    let mut output = BufWriter::new(&mut context.streams.stdout);
    for line in kept {
        output.write_all(&line)?;
    }
    output.flush()
}

/// Reads line by line, each with its end; a longer one than a pipe holds is cut there.
pub(super) fn each_line(
    context: &mut Context<'_, '_>,
    reader: &mut dyn BufRead,
    mut each: impl FnMut(&mut Context<'_, '_>, Vec<u8>) -> io::Result<()>,
) -> io::Result<()> {
    loop {
        context.check()?;
        let mut line = Vec::new();
        if reader
            .take(PIPE_LIMIT as u64)
            .read_until(b'\n', &mut line)?
            == 0
        {
            return Ok(());
        }
        each(context, line)?;
    }
}

fn follow_file(context: &mut Context<'_, '_>, name: &str) -> Answer {
    let mut file = File::open(context.shell.path(name))?;
    let mut at = file.seek(SeekFrom::End(0))?;
    loop {
        context.check()?;
        std::thread::sleep(LOOK);
        let length = file.metadata()?.len();
        if length < at {
            // It was cut; begin again.
            at = file.seek(SeekFrom::Start(0))?;
        }
        at += io::copy(&mut file, &mut context.streams.stdout)?;
        context.streams.stdout.flush()?;
    }
}

pub(super) fn wc(context: &mut Context<'_, '_>) -> Answer {
    let flags = context.flags("lwcm", "")?;
    let all = !['l', 'w', 'c', 'm'].iter().any(|letter| flags.has(*letter));
    let show = |counts: [u64; 3], name: &str| {
        let wanted = [
            flags.has('l'),
            flags.has('w'),
            flags.has('c') || flags.has('m'),
        ];
        let shown = counts
            .iter()
            .zip(wanted)
            .filter(|(_, wanted)| all || *wanted);
        let mut line: Vec<String> = shown.map(|(count, _)| count.to_string()).collect();
        if name != "-" {
            line.push(name.to_owned());
        }
        line.join(" ")
    };
    let mut total = [0; 3];
    let status = over(context, &flags.rest, |context, name, reader| {
        let mut counts = [0; 3];
        let mut in_word = false;
        pieces(context, reader, |_, piece| {
            for byte in piece {
                let blank = byte.is_ascii_whitespace();
                counts[0] += u64::from(*byte == b'\n');
                counts[1] += u64::from(!blank && !in_word);
                in_word = !blank;
            }
            counts[2] += piece.len() as u64;
            Ok(true)
        })?;
        for (sum, count) in total.iter_mut().zip(counts) {
            *sum += count;
        }
        writeln!(context.streams.stdout, "{}", show(counts, name))
    })?;
    if flags.rest.len() > 1 {
        writeln!(context.streams.stdout, "{}", show(total, "total"))?;
    }
    Ok(status)
}
