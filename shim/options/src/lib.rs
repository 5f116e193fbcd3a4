//! What may be chosen for a pod, or for all pods of a handler: see [`Options`].
//!
//! ```text
//! defaults  <  options of the handler in containerd's configuration  <  annotations of the pod
//!              http_request_timeout = "30s"                             slipway.dev/http-request-timeout: 30s
//! ```
//!
//! Both come from outside and are untrusted: a value that is wrong is refused with a sentence, a name that is
//! not known is only warned about, as containerd does. This crate decides nothing else and reads no file.

mod options;
mod setting;
mod value;

pub use options::{Http, Network, Options, Root, Seccomp};
pub use setting::OptionsError;

/// What the names of our annotations begin with.
pub const ANNOTATION_PREFIX: &str = "slipway.dev/";
