//! `slipway-compile`: turns one wasm module or component into native code in the node's cache.
//!
//! Called by the pod process, as root, when the cache has no code for a module:
//!
//! ```text
//! slipway-compile --cache /var/lib/slipway/cache [--identity NAMESPACE]
//!   fd 3   the wasm file, for reading
//!   fd 4   a pipe for the answer, written at the end and closed; an empty line comes first when its turn has come
//! ```
//!
//! | exit status | answer on fd 4 |
//! |---|---|
//! | 0 | the module's digest, 64 hexadecimal digits and a line feed: `Cache::get` opens the code. What follows is for the log |
//! | 65 | one sentence: why this module cannot be run |
//! | 66 | the container's image has no wasm layers |
//! | other | one sentence: what failed here, whatever the module |
//!
//! `NAMESPACE` is the text form of `slipway_shim_cache::Namespace`; with it the file's inode is remembered.
//!
//! For a container whose root file system has no such file, the module is a layer of its image:
//!
//! ```text
//! slipway-compile --cache /var/lib/slipway/cache --containerd SOCKET --namespace k8s.io --container ID --named COMMAND
//! ```
//!
//! It is asked for by its digest first, so that code which is there already costs three calls to containerd and no
//! reading.
//!
//! The module is somebody's: it is read and compiled by a child without privileges, within limits of
//! memory, time and size ([`Limits`]), behind a system call filter; the parent only hashes, waits and renames. One
//! module is compiled at a time on a node, and both processes are the first to go when the node is short of memory.
//!
//! ```text
//! slipway-compile --output FILE.cwasm FILE.wasm
//! ```
//!
//! compiles outside the cache, without a child, for looking at code and for trying workers by hand.

mod answer;
mod args;
mod diagnose;
mod job;
mod limits;
mod outcome;
mod sandbox;
mod supervise;

pub use answer::answer;
pub use args::{Args, HELP, UsageError, Wanted};
pub use job::{Compiled, compile_file, run, run_image};
pub use limits::{Limits, expendable};
pub use outcome::{EXIT_INTERNAL, EXIT_NO_LAYER, EXIT_NOT_RUNNABLE, EXIT_USAGE, Failure};
