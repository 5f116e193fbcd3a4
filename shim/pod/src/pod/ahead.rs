//! What is done ahead for a container that is about to be made.

use std::time::{Duration, Instant};

use slipway_shim_cgroup::SystemdConnection;
use slipway_shim_spec::PidNamespace;

use super::Pod;
use crate::spawn::{self, Birth};

/// How long a container is expected. The connection to systemd costs systemd something.
const SOON: Duration = Duration::from_secs(2);

impl Pod {
    /// A container is about to be made, whose process will be moved into its cgroup, by systemd if there are to be scopes:
    /// has the kernel's grace period waited for meanwhile, by a child, since this process has other things to do, and
    /// systemd let us in.
    pub(crate) fn expect_container(&mut self, scopes: bool) {
        // What cannot be done now is done later.
        if self.systemd.is_none() && scopes {
            self.systemd = SystemdConnection::open().ok();
        }
        if self.grace.is_some() {
            return;
        }
        if let Ok(hierarchies) = self.hierarchies() {
            let birth = Birth {
                pid_namespace: &PidNamespace::Host,
                cgroup: None,
            };
            let child = spawn::fork(birth, || {
                hierarchies.wait_for_grace_period();
                // SAFETY: ends this process without running what its parent registered for its own end.
                unsafe { libc::_exit(0) }
            });
            self.grace = child.ok();
        }
    }

    /// When to stop expecting a container.
    pub(super) fn unexpected_at(&self) -> Option<Instant> {
        self.systemd.as_ref().map(|ahead| ahead.opened() + SOON)
    }

    /// Stops expecting one that did not come.
    pub(super) fn expect_nothing_more(&mut self, now: Instant) {
        if self.unexpected_at().is_some_and(|at| at <= now) {
            self.systemd = None;
        }
    }
}
