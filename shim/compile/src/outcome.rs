//! How a compilation ends when it does not end well.

use slipway_shim_cache::{CacheError, DEFAULT_ROOT};
use slipway_shim_image::ImageError;

/// Exit status for a command line that is not understood.
pub const EXIT_USAGE: u8 = 2;
/// Exit status for a module that cannot be run (`EX_DATAERR`, sysexits.h).
pub const EXIT_NOT_RUNNABLE: u8 = 65;
/// Exit status for an image without wasm layers (`EX_NOINPUT`).
pub const EXIT_NO_LAYER: u8 = 66;
/// Exit status for a failure of our own (`EX_SOFTWARE`).
pub const EXIT_INTERNAL: u8 = 70;

/// Exit status of the compiling process when the disk is full (`EX_IOERR`).
pub(crate) const EXIT_FULL: u8 = 74;

/// Why there is no code; the text is one sentence that follows the module's path.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// The module's fault.
    #[error("{0}")]
    NotRunnable(String),
    /// It took too long, be it the module's fault or that of a busy node, so it is no refusal to be remembered.
    #[error("takes longer to compile than {0}")]
    TooLate(String),
    /// The image has no wasm layers.
    #[error("the image has no wasm layers")]
    NoLayer,
    /// The image's wasm layer cannot be had.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The cache cannot be used.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// There is no room for the code.
    #[error(
        "no space is left for its code on the disk of {DEFAULT_ROOT}; free some, or run fewer different modules on \
         this node"
    )]
    Full,
    /// Something else here does not work.
    #[error("{0}")]
    Internal(String),
}

impl Failure {
    /// The exit status that tells it.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::NotRunnable(_) | Self::TooLate(_) => EXIT_NOT_RUNNABLE,
            Self::NoLayer => EXIT_NO_LAYER,
            // What the image's author or the pod's can mend.
            Self::Image(ImageError::Ambiguous { .. } | ImageError::TooLong { .. }) => {
                EXIT_NOT_RUNNABLE
            }
            Self::Image(_) | Self::Cache(_) | Self::Full | Self::Internal(_) => EXIT_INTERNAL,
        }
    }

    pub(crate) fn internal<E: std::fmt::Display>(action: &str) -> impl FnOnce(E) -> Self {
        move |error| Self::Internal(format!("{action}: {error}"))
    }
}
