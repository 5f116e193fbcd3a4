//! Whether a container is native: what a short-lived worker has to know to look.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{Mount, Rootfs, UserNamespace};

/// Where a container's program is looked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// The root file system. For a native container it is left mounted at its path.
    pub rootfs: Rootfs,
    /// The pod's user namespace, whose ids the root file system may be mapped to.
    pub user_namespace: Option<UserNamespace>,
    /// The bind mounts of the spec that may hold the program.
    pub volumes: Vec<Mount>,
    /// The paths that `process.args[0]` may mean, in the order of execvp(3), absolute.
    pub candidates: Vec<PathBuf>,
}
