//! `slipway-worker`: one process a container. It becomes the container, maps the code of the guest and runs
//! it; its exit status is the guest's.
//!
//! ```text
//! contain      the control channel: Plan, NeedCode, Code, Ready, Go (slipway_shim_wire)
//! probe        instead of all that: is this container native?
//! invocation   what to run: arguments, environment, directories, limits
//! guest        load, tell the kind, link: everything that can fail before the guest runs
//! module, component, server        run it
//! outbound     HTTP requests of a guest
//! exec         instead of a guest: the built-in shell of `kubectl exec`
//! function     arguments and results of a function that is called by name
//! settings     what `wasi:config` answers with
//! log          stdout and stderr of a server, whose reader may be away
//! heap         the allocator, which gives back what a server has used
//! ending       why it ended: exit status, and one sentence for the user
//! ```
//!
//! Whatever is wrong with a module is no failure of the container's creation: it is said after `Go`, on the
//! container's stderr and in its termination message, where users look.
//!
//! The worker has no compiler, opens no connection but the guest's, and knows no containerd.

mod args;
mod component;
mod contain;
mod ending;
mod exec;
mod function;
mod guest;
mod heap;
mod host;
mod invocation;
mod log;
mod memory;
mod module;
mod offer;
mod outbound;
mod probe;
mod server;
mod settings;
mod signals;

pub use args::{Args, UsageError};
pub use contain::serve;
pub use ending::Ending;
pub use guest::run_file;
pub use invocation::Invocation;
