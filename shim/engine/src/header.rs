//! What compiled code says of itself before it is mapped.
//!
//! Compiled files are ELF (wasmtime-environ 48, `obj.rs`). Of the header's `e_flags` wasmtime uses the lowest
//! four bits and looks at no other; the highest are ours. They save a second mapping: which engine a file is
//! loaded with has to be known before.

use std::fs::File;
use std::os::unix::fs::FileExt;

use crate::load::LoadError;

/// Bytes of an ELF header of 64 bits.
const LENGTH: usize = 64;
/// `EI_OSABI` and wasmtime's value for it.
const OS_ABI: (usize, u8) = (7, 200);
/// Where `e_flags` is.
const FLAGS: std::ops::Range<usize> = 48..52;

const MODULE: u32 = 1 << 0;
const COMPONENT: u32 = 1 << 1;
const SERVER: u32 = 1 << 30;
const CONCURRENT: u32 = 1 << 31;

/// How code was compiled, where there is a choice ([`crate::config`]). Neither is what most modules are: a command of
/// WASI 0.1 or 0.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flavour {
    /// A component with asynchronous functions, as WASI 0.3 has them. With 0.2 it costs a tenth of a server's requests a
    /// second.
    pub concurrent: bool,
    /// A component that answers HTTP requests: it is interrupted for the others, and wants the pool of instances. To be
    /// interrupted costs an interpreter a sixth of its speed.
    pub server: bool,
}

/// The header of a compiled file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// What it was compiled for.
    pub flavour: Flavour,
    /// Whether it is a component, not a core module.
    pub component: bool,
}

impl Header {
    /// Reads the header of `file`.
    ///
    /// # Errors
    /// [`LoadError::Foreign`] if wasmtime has not compiled it.
    pub fn read(file: &File) -> Result<Self, LoadError> {
        let mut bytes = [0; LENGTH];
        match file.read_exact_at(&mut bytes, 0) {
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                Err(LoadError::Foreign)
            }
            other => other.map_err(LoadError::Read),
        }?;
        Self::parse(&bytes).ok_or(LoadError::Foreign)
    }

    fn parse(bytes: &[u8; LENGTH]) -> Option<Self> {
        if !bytes.starts_with(b"\x7fELF") || bytes[OS_ABI.0] != OS_ABI.1 {
            return None;
        }
        // In the machine's own order, since it was compiled for it.
        let flags = u32::from_ne_bytes(bytes[FLAGS].try_into().ok()?);
        Some(Self {
            flavour: Flavour {
                concurrent: flags & CONCURRENT != 0,
                server: flags & SERVER != 0,
            },
            component: match flags & (MODULE | COMPONENT) {
                MODULE => false,
                COMPONENT => true,
                _ => return None,
            },
        })
    }

    /// Writes what is ours into the header of compiled code.
    #[cfg(feature = "compiler")]
    pub(crate) fn mark(code: &mut [u8], flavour: Flavour) {
        let Some(field) = code.get_mut(FLAGS) else {
            return;
        };
        let mut flags = u32::from_ne_bytes([field[0], field[1], field[2], field[3]]);
        if flavour.concurrent {
            flags |= CONCURRENT;
        }
        if flavour.server {
            flags |= SERVER;
        }
        field.copy_from_slice(&flags.to_ne_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: Flavour = Flavour {
        concurrent: true,
        server: true,
    };

    fn header(flags: u32) -> [u8; LENGTH] {
        let mut bytes = [0; LENGTH];
        bytes[..4].copy_from_slice(b"\x7fELF");
        bytes[OS_ABI.0] = OS_ABI.1;
        bytes[FLAGS].copy_from_slice(&flags.to_ne_bytes());
        bytes
    }

    #[test]
    fn each_kind_of_code_is_told_apart() {
        let parse = |flags| Header::parse(&header(flags));
        let module = Header {
            flavour: Flavour::default(),
            component: false,
        };
        assert_eq!(parse(MODULE), Some(module));
        let server = Header {
            flavour: BOTH,
            component: true,
        };
        assert_eq!(parse(COMPONENT | SERVER | CONCURRENT), Some(server));
        assert_eq!(parse(0), None);
        assert_eq!(Header::parse(&[0; LENGTH]), None);
    }

    #[cfg(feature = "compiler")]
    #[test]
    fn marks_are_read_again() {
        let mut bytes = header(COMPONENT);
        Header::mark(&mut bytes, BOTH);
        assert_eq!(Header::parse(&bytes).unwrap().flavour, BOTH);
    }
}
