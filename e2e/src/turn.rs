//! Whose turn it is on a node: tests that reconfigure it alone, tests that only run pods together.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

static NODES: LazyLock<Mutex<HashMap<String, Arc<RwLock<()>>>>> = LazyLock::new(Mutex::default);

/// The right to use a node, until dropped. Held for its drop alone.
#[derive(Debug)]
pub struct Turn {
    _shared: Option<OwnedRwLockReadGuard<()>>,
    _alone: Option<OwnedRwLockWriteGuard<()>>,
}

impl Turn {
    /// Waits for the node to have no test that reconfigures it.
    pub async fn shared(node: &str) -> Self {
        Self {
            _shared: Some(lock(node).read_owned().await),
            _alone: None,
        }
    }

    /// Waits for the node to have no other test at all.
    pub async fn alone(node: &str) -> Self {
        Self {
            _shared: None,
            _alone: Some(lock(node).write_owned().await),
        }
    }
}

fn lock(node: &str) -> Arc<RwLock<()>> {
    let mut nodes = NODES.lock().unwrap_or_else(PoisonError::into_inner);
    Arc::clone(nodes.entry(node.to_owned()).or_default())
}
