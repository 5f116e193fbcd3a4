//! A command that writes much, as fast as it can: `flood MEBIBYTES` writes numbered lines of 1 KiB,
//! `flood --no-newline TEXT` a last line that has no end.

use std::io::{self, BufWriter, Write};

const LINE: usize = 1023;

fn main() -> io::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let mut out = BufWriter::with_capacity(64 << 10, io::stdout().lock());
    match &args[..] {
        [option, text] if option == "--no-newline" => write!(out, "{text}")?,
        [mebibytes] => {
            let lines: u64 = mebibytes.parse::<u64>().map_err(io::Error::other)? << 10;
            for line in 1..=lines {
                writeln!(out, "{line:0LINE$}")?;
            }
        }
        _ => {
            return Err(io::Error::other(
                "usage: flood MEBIBYTES | flood --no-newline TEXT",
            ));
        }
    }
    out.flush()
}
