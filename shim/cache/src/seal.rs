//! What is written beside a compiled file to know it again: its length and digest.
//!
//! A truncated file would end in SIGBUS when it is mapped, a damaged one in worse; so the bytes are
//! compared once a boot, and after that only the inode is.

use std::fs::File;
use std::io::{self, Read};

use rustix::fs::Stat;

use crate::Digest;

/// The longest seal that is read.
const LONGEST: u64 = 1024;

/// The seal of one compiled file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seal {
    pub(crate) length: u64,
    pub(crate) digest: Digest,
    /// The boot in which the bytes were compared, and the inode then.
    pub(crate) checked: Option<Checked>,
}

/// A comparison that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Checked {
    boot: String,
    inode: String,
}

impl Checked {
    /// That `boot` has compared the bytes of the file with this inode.
    pub(crate) fn new(boot: &str, stat: &Stat) -> Self {
        Self {
            boot: boot.to_owned(),
            inode: format!(
                "{}:{}:{}.{}:{}.{}",
                stat.st_dev,
                stat.st_ino,
                stat.st_mtime,
                stat.st_mtime_nsec,
                stat.st_ctime,
                stat.st_ctime_nsec
            ),
        }
    }
}

impl Seal {
    /// Reads a seal; `None` for one that is not ours.
    pub(crate) fn read(file: File) -> io::Result<Option<Self>> {
        let mut text = String::new();
        match file.take(LONGEST).read_to_string(&mut text) {
            Ok(_) => Ok(Self::parse(&text)),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.strip_prefix("slipway code 1\n")?.lines();
        let length = lines.next()?.strip_prefix("length ")?.parse().ok()?;
        let digest = lines.next()?.strip_prefix("sha256 ")?.parse().ok()?;
        let checked = lines.next().and_then(|line| {
            let (boot, inode) = line.strip_prefix("checked ")?.split_once(' ')?;
            Some(Checked {
                boot: boot.to_owned(),
                inode: inode.to_owned(),
            })
        });
        let seal = Self {
            length,
            digest,
            checked,
        };
        // To the byte as it was written: neither torn, nor with more behind it, nor with a number spelt otherwise.
        (seal.render() == text).then_some(seal)
    }

    pub(crate) fn render(&self) -> String {
        let Self {
            length,
            digest,
            checked,
        } = self;
        let mut text = format!("slipway code 1\nlength {length}\nsha256 {digest}\n");
        if let Some(Checked { boot, inode }) = checked {
            text.push_str(&format!("checked {boot} {inode}\n"));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_and_read_again() {
        let stat = rustix::fs::stat("/").unwrap();
        for checked in [None, Some(Checked::new("some-boot", &stat))] {
            let seal = Seal {
                length: 7,
                digest: Digest::of(b"code"),
                checked,
            };
            assert_eq!(Seal::parse(&seal.render()), Some(seal));
        }
    }

    #[test]
    fn torn_and_foreign_text_is_no_seal() {
        let whole = Seal {
            length: 7,
            digest: Digest::of(b"code"),
            checked: None,
        }
        .render();
        for end in 0..whole.len() {
            assert_eq!(Seal::parse(&whole[..end]), None, "{end}");
        }
        assert_eq!(Seal::parse("\u{7f}ELF"), None);
        assert_eq!(Seal::parse(&whole.replace("length 7", "length +7")), None);
        assert_eq!(Seal::parse(&format!("{whole}more\n")), None);
    }
}
