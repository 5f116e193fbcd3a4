//! A command that asks for memory without end: it meets the limit of its container. `hoard --files DIRECTORY` hoards
//! files instead, which on a tmpfs are the container's memory as well.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::{env, io};

use guest_commands::say;

const MEBIBYTE: usize = 1 << 20;

fn main() {
    let args: Vec<String> = env::args().skip(1).collect();
    if let [option, directory] = &args[..]
        && option == "--files"
    {
        if let Err(error) = hoard_files(Path::new(directory)) {
            say(format_args!("refused: {error}"));
        }
        return;
    }
    let mut hoard: Vec<Vec<u8>> = Vec::new();
    loop {
        let mut piece = Vec::new();
        if piece.try_reserve_exact(MEBIBYTE).is_err() {
            say(format_args!("refused after {} MiB", hoard.len()));
            return;
        }
        // Written to, so that it is really used and not only promised.
        piece.resize(MEBIBYTE, 0xa5);
        hoard.push(piece);
        if hoard.len().is_multiple_of(8) {
            say(format_args!("have {} MiB", hoard.len()));
        }
    }
}

fn hoard_files(directory: &Path) -> io::Result<()> {
    for number in 1.. {
        let mut file = File::create(directory.join(number.to_string()))?;
        file.write_all(&vec![0xa5; MEBIBYTE])?;
        if number % 8 == 0 {
            say(format_args!("have {number} MiB"));
        }
    }
    Ok(())
}
