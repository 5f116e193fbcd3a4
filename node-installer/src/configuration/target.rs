//! A file, what it holds, and what it shall hold.

use std::path::{Path, PathBuf};

use super::{BaseFile, Node};
use crate::containerd::plan::{Plan, PlanError};
use crate::failure::Failure;
use crate::host::HostRoot;
use crate::host::files::Attributes;
use crate::journal::Snapshot;

/// A file to change, or one that was planned and is as it should be.
#[derive(Debug, Clone)]
pub struct Target {
    /// As containerd names it.
    pub path: PathBuf,
    /// Links resolved.
    pub resolved: PathBuf,
    /// What it shall hold; `None` if it is to go.
    pub after: Option<String>,
    /// Whether it will hold something of ours.
    pub(super) planned: bool,
    now: Option<(String, Attributes)>,
    base: Option<(String, Attributes)>,
}

/// The planned files, and those that hold something which is not to be there any more.
pub(super) fn of(
    node: &Node<'_>,
    files: &[BaseFile],
    plan: Option<&Plan>,
) -> Result<Vec<Target>, Failure> {
    let mut targets = Vec::new();
    for planned in plan.iter().flat_map(|plan| &plan.files) {
        let resolved = node
            .root
            .resolve(&planned.path)
            .map_err(|error| Failure::refused(&error))?;
        let known = files.iter().find(|file| file.resolved == resolved);
        targets.push(Target {
            path: planned.path.clone(),
            now: known.and_then(|file| file.now.clone()),
            base: known.and_then(|file| file.base.clone()),
            resolved,
            after: Some(planned.after.clone()),
            planned: true,
        });
    }
    for file in files.iter().filter(|file| file.is_touched()) {
        if !targets
            .iter()
            .any(|target| target.resolved == file.resolved)
        {
            targets.push(Target {
                path: file.path.clone(),
                resolved: file.resolved.clone(),
                now: file.now.clone(),
                base: file.base.clone(),
                after: file.base.as_ref().map(|(text, _)| text.clone()),
                planned: false,
            });
        }
    }
    // A file that is not among those containerd loads may still be there, under the very name we want.
    for target in targets.iter().filter(|target| target.now.is_none()) {
        if node.root.local(&target.resolved).exists() {
            return Err(Failure::refused(&PlanError::DropInTaken(
                target.path.clone(),
            )));
        }
    }
    Ok(targets)
}

impl Target {
    /// Whether there is anything to write.
    pub fn is_change(&self) -> bool {
        self.now.as_ref().map(|(text, _)| text) != self.after.as_ref()
    }

    pub(super) fn kept_now(&self, node: &Node<'_>) -> Result<Option<Snapshot>, Failure> {
        keep(node, self.now.as_ref().map(|(text, like)| (text, like)))
    }

    pub(super) fn kept_base(&self, node: &Node<'_>) -> Result<Option<Snapshot>, Failure> {
        keep(node, self.base.as_ref().map(|(text, like)| (text, like)))
    }

    /// What it shall hold, with the attributes it has, or had before us.
    pub(super) fn kept_after(&self, node: &Node<'_>) -> Result<Option<Snapshot>, Failure> {
        let ours = Attributes::ours();
        let given_back = self.base.as_ref().filter(|_| !self.planned);
        let like = given_back.or(self.now.as_ref());
        let like = like.map_or(&ours, |(_, attributes)| attributes);
        keep(node, self.after.as_ref().map(|text| (text, like)))
    }

    pub(super) fn missing_folders(&self, root: &HostRoot) -> Vec<PathBuf> {
        let missing = self
            .resolved
            .ancestors()
            .skip(1)
            .take_while(|folder| !root.local(folder).exists());
        let mut missing: Vec<PathBuf> = missing.map(Path::to_owned).collect();
        missing.reverse();
        missing
    }
}

fn keep(
    node: &Node<'_>,
    content: Option<(&String, &Attributes)>,
) -> Result<Option<Snapshot>, Failure> {
    let kept = content.map(|(text, like)| node.journal.keep(text.as_bytes(), like.clone()));
    kept.transpose().map_err(|error| Failure::refused(&error))
}
