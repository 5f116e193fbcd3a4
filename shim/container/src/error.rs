//! Why a container could not be set up.

use std::io;

use rustix::io::Errno;

/// Why a container could not be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// The operating system refused.
    #[error("{action}: {source}")]
    System {
        /// What was being done, to what.
        action: String,
        /// The operating system's reason.
        source: io::Error,
    },
    /// Something is not as it has to be.
    #[error("{action}: {reason}")]
    Refused {
        /// What was being done, to what.
        action: String,
        /// What was found.
        reason: String,
    },
}

impl SetupError {
    pub(crate) fn refused(action: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Refused {
            action: action.into(),
            reason: reason.into(),
        }
    }
}

/// Says what was being done when a system call failed.
pub(crate) trait While<T> {
    fn when(self, action: impl FnOnce() -> String) -> Result<T, SetupError>;
}

impl<T> While<T> for Result<T, Errno> {
    fn when(self, action: impl FnOnce() -> String) -> Result<T, SetupError> {
        self.map_err(io::Error::from).when(action)
    }
}

impl<T> While<T> for io::Result<T> {
    fn when(self, action: impl FnOnce() -> String) -> Result<T, SetupError> {
        self.map_err(|source| SetupError::System {
            action: action(),
            source,
        })
    }
}
