//! Talking to systemd's manager over D-Bus: messages, the handshake, and one connection that never blocks to receive.
//!
//! The installer and the pod process both need a handful of method calls and one signal, so this crate is that much of
//! D-Bus and no more: no runtime, no threads, no object server, no introspection. What to ask for is the callers' own
//! ([`Body`] writes it, [`Incoming`] is what came).
//!
//! Not zbus: it takes systemd's signals on the private socket for malformed, because their sender is a well-known name
//! (`UniqueName::try_from` in zbus 6.2 `message/fields.rs`; systemd `bus_foreach_bus` sends them to every private
//! connection, asked for or not), and closes the connection at the very moment a job is awaited. See
//! `docs/adr/0006-own-dbus-client.md`.

mod body;
mod connection;
mod message;
#[cfg(any(test, feature = "peer"))]
pub mod peer;

pub use body::{Body, Signed};
pub use connection::{Connection, Error};
pub use message::{Incoming, Value};

/// systemd's own socket, spoken without a bus between as systemctl does for root.
pub const PRIVATE_SOCKET: &str = "/run/systemd/private";
/// The system bus, for hosts where the private socket is closed.
pub const BUS_SOCKET: &str = "/run/dbus/system_bus_socket";
/// The path of the manager object.
pub const MANAGER: &str = "/org/freedesktop/systemd1";
/// Its interface.
pub const MANAGER_INTERFACE: &str = "org.freedesktop.systemd1.Manager";
/// The error for a unit that systemd has not loaded.
pub const NO_SUCH_UNIT: &str = "org.freedesktop.systemd1.NoSuchUnit";

/// systemd's name on a bus.
const SYSTEMD: &str = "org.freedesktop.systemd1";
