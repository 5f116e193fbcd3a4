//! The log: on stderr, as text or JSON.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

use crate::args::LogFormat;

/// A log that cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The filter does not parse.
    #[error("--log {filter:?}: not a tracing filter")]
    Filter {
        /// What was given.
        filter: String,
        /// Where it fails.
        #[source]
        source: ParseError,
    },
    /// Someone was quicker.
    #[error("a log is set up already")]
    Twice,
}

/// Sets up the log of this process.
///
/// # Errors
/// When the filter does not parse.
pub fn init(filter: &str, format: LogFormat) -> Result<(), Error> {
    let parsed = EnvFilter::try_new(filter).map_err(|source| Error::Filter {
        filter: filter.to_owned(),
        source,
    })?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(parsed)
        .with_writer(std::io::stderr);
    let result = match format {
        LogFormat::Text => builder
            .with_ansi(std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none())
            .try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    result.map_err(|_| Error::Twice)
}
