//! A node as it was before a test touched it, to tell afterwards whether everything was given back.

use anyhow::{Result, ensure};

use crate::node::Inside;
use crate::tree::Tree;

/// The files an install may change, and the units that are ours.
#[derive(Debug, Clone)]
pub struct Untouched {
    /// The files.
    pub tree: Tree,
    units: Vec<String>,
}

impl Untouched {
    /// As the node is now.
    ///
    /// # Errors
    /// When the node cannot be entered.
    pub async fn of(inside: &Inside) -> Result<Self> {
        Ok(Self {
            tree: inside.tree().await?,
            units: inside.our_units().await?,
        })
    }

    /// Every byte is as it was, and no unit of ours is left.
    ///
    /// # Errors
    /// Names what is not.
    pub async fn is_back(&self, inside: &Inside) -> Result<()> {
        let changes = self.tree.changes(&inside.tree().await?);
        ensure!(changes.is_empty(), "not as before:\n{changes}");
        let units = inside.our_units().await?;
        ensure!(
            units == self.units,
            "units {:?} before, {units:?} now",
            self.units
        );
        Ok(())
    }
}
