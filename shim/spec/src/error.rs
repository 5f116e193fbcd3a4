//! Why a bundle cannot become a container.

use std::io;
use std::path::PathBuf;

use crate::MAX_SPEC_BYTES;

/// Why a bundle cannot become a container. Fields are named as in the OCI runtime specification.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpecError {
    /// The file cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// `<bundle>/config.json`
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
    /// The file is longer than any spec containerd can send.
    #[error("{}: longer than {MAX_SPEC_BYTES} bytes", path.display())]
    TooLong {
        /// `<bundle>/config.json`
        path: PathBuf,
    },
    /// The file is no runtime spec.
    #[error("{}: {source}", path.display())]
    Parse {
        /// `<bundle>/config.json`
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// A field that has to be there is not.
    #[error("{field}: missing")]
    Missing {
        /// The field.
        field: &'static str,
    },
    /// A value that the specification or the kernel rules out.
    #[error("{field}: {reason}")]
    Invalid {
        /// The field, with its index in a list.
        field: String,
        /// What was found and what was expected.
        reason: String,
    },
    /// A valid value that this runtime does not honour.
    #[error("{field}: {what} is not supported by this runtime; remove it from the pod")]
    Unsupported {
        /// The field, with its index in a list.
        field: String,
        /// What was asked for.
        what: String,
    },
}

impl SpecError {
    pub(crate) fn invalid(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Invalid {
            field: field.into(),
            reason: reason.into(),
        }
    }

    pub(crate) fn unsupported(field: impl Into<String>, what: impl Into<String>) -> Self {
        Self::Unsupported {
            field: field.into(),
            what: what.into(),
        }
    }
}

/// Refuses a NUL byte, which JSON can carry and no system call takes.
pub(crate) fn without_nul(field: impl Fn() -> String, value: &str) -> Result<(), SpecError> {
    if value.contains('\0') {
        return Err(SpecError::invalid(field(), "contains a NUL byte"));
    }
    Ok(())
}
