//! The hello of WebAssembly.
//!
//! `hello` writes a line and ends, `hello stay` writes it and stays until it is killed, `hello list` writes which files there
//! are.

use std::time::Duration;
use std::{env, fs, io, thread};

fn main() -> io::Result<()> {
    match env::args().nth(1).as_deref() {
        Some("list") => {
            for entry in fs::read_dir("/")? {
                println!("{}", entry?.file_name().display());
            }
        }
        Some(_) => {
            println!("hello");
            loop {
                thread::sleep(Duration::from_secs(3600));
            }
        }
        None => println!("hello"),
    }
    Ok(())
}
