//! `fetch`: brings a third-party shim into a folder that an install then reads as its payload.
//!
//! It runs in a container of its own, without the host's files and without privileges, because it is the one part that
//! talks to the network and unpacks what strangers have packed. Nothing is unpacked before its digest is known to be
//! right, and after a failure the folder is as empty as before.

mod archive;
mod connection;
mod download;
mod place;

pub use archive::{ArchiveError, unpack};
pub use connection::{ConnectError, Dialer};
pub use download::DownloadError;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::args::FetchArgs;
use crate::failure::{Failure, Reason};
use crate::payload::source::PayloadError;
use crate::report::{Outcome, Report, Steps as _};

/// Largest download. Shims with an engine inside have some 30 to 100 MB.
pub const MAX_BYTES: u64 = 256 * 1024 * 1024;

/// What to fetch.
#[derive(Debug, Clone)]
pub struct Order {
    /// Where from.
    pub url: String,
    /// The digest of what comes from there, in lower-case hexadecimal.
    pub sha256: String,
    /// The file that is the shim.
    pub binary: String,
    /// Where to put it, a folder.
    pub out: PathBuf,
    /// Most bytes to take; four times as many may come out of an archive.
    pub max_bytes: u64,
    /// How often to try again.
    pub retries: u32,
    /// How long to wait before the second try; twice as long before each that follows.
    pub delay: Duration,
}

/// Why nothing was fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The network or the server.
    #[error(transparent)]
    Download(#[from] DownloadError),
    /// The archive.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// A binary.
    #[error(transparent)]
    Payload(#[from] PayloadError),
    /// Other bytes than were named.
    #[error("{url} has the sha256 {found}, not {wanted}: nothing was unpacked")]
    WrongDigest {
        /// Where from.
        url: String,
        /// What came.
        found: String,
        /// What was asked for.
        wanted: String,
    },
    /// The file system.
    #[error("cannot {verb} {path}")]
    Io {
        /// What was tried.
        verb: &'static str,
        /// The path.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

impl Reason for FetchError {
    fn reason(&self) -> &'static str {
        match self {
            Self::Download(error) => error.reason(),
            Self::Archive(error) => error.reason(),
            Self::Payload(error) => error.reason(),
            Self::WrongDigest { .. } => "WrongDigest",
            Self::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull => "DiskFull",
            Self::Io { .. } => "PayloadUnwritable",
        }
    }
}

pub(crate) fn io_error(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FetchError {
    let path = path.to_owned();
    move |source| FetchError::Io { verb, path, source }
}

/// The command.
pub(crate) fn run(args: &FetchArgs, report: &mut Report) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| {
            Failure::refusal("Internal", format!("cannot make an event loop: {error}"))
        })?;
    let dialer = Dialer::new(args.ca.as_deref(), args.allow_http)
        .map_err(|error| Failure::refused(&error))?;
    let order = Order {
        url: args.url.clone(),
        sha256: args.sha256.clone(),
        binary: args.binary.clone(),
        out: args.out.clone(),
        max_bytes: args.max_bytes,
        retries: args.retries,
        delay: Duration::from_secs(1),
    };
    report.enter("fetch");
    let names = runtime
        .block_on(fetch(&dialer, &order))
        .map_err(|error| Failure::refused(&error))?;
    report.end(
        Outcome::Done,
        "Fetched",
        format!("brought {}", names.join(", ")),
    );
    Ok(())
}

/// Downloads, verifies and unpacks. Returns the names of the files that are in the folder then.
///
/// # Errors
/// When anything is not as it should be; the folder holds nothing new then.
pub async fn fetch(dialer: &Dialer, order: &Order) -> Result<Vec<String>, FetchError> {
    let place = place::Place::in_folder(&order.out)?;
    let found = download::to_file(dialer, order, &place.download()).await?;
    if found != order.sha256 {
        return Err(FetchError::WrongDigest {
            url: order.url.clone(),
            found,
            wanted: order.sha256.clone(),
        });
    }
    let most = order.max_bytes.saturating_mul(4);
    unpack(&place.download(), &order.binary, &place.unpacked(), most)?;
    place.finish()
}
