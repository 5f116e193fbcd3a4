//! What was changed on this node, with the exact bytes before and after, on the node's own disk.
//!
//! ```text
//! /var/lib/slipway/journal/open.json       the transaction under way; its removal is the commit
//! /var/lib/slipway/journal/installed.json  what stands on the node, and what was there without us
//! /var/lib/slipway/journal/blobs/<sha256>  the bytes both speak of
//! ```

pub mod record;
pub mod store;
mod upgrade;

pub use record::{
    Change, DaemonRecord, Expectation, Installed, InstalledShim, ManagedFile, Snapshot, Stage,
    Transaction,
};
pub use store::{Journal, STATE};
