//! What an install puts on the node beside containerd's configuration, and what may go of it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::settle::Found;
use crate::cri::{Cri, CriError};
use crate::failure::Failure;
use crate::host::HostRoot;
use crate::journal::Installed;
use crate::payload::collect;
use crate::payload::place::{self, Placed};
use crate::payload::source::Payload;
use crate::report::{Report, Steps as _};

/// What an install has put on the node before its transaction.
pub(super) struct OnNode {
    /// The payload's folder, if it was not there before.
    new: Option<PathBuf>,
    /// Folders made for it, host paths, outermost first.
    pub(super) folders: Vec<PathBuf>,
    /// Names the folder with the watchdog's binary.
    pub(super) digest: String,
}

impl OnNode {
    /// Takes it away again.
    pub(super) fn undo(&self, root: &HostRoot) {
        if let Some(folder) = &self.new {
            let _ = place::remove(root, folder, &self.folders);
        }
    }

    /// The same once containerd may have read of it: pods may have started from it, even if the change did not work in the
    /// end. Returns the folder if it stays for them, or because the digests in use cannot be told (`None`); the next run
    /// removes it then.
    pub(super) fn undo_unless_used(
        &self,
        root: &HostRoot,
        used: Option<&BTreeSet<String>>,
    ) -> Option<&Path> {
        if used.is_none_or(|digests| digests.contains(&self.digest)) {
            return self.new.as_deref();
        }
        self.undo(root);
        None
    }
}

/// Places the payload, or, for a shim that is adopted, what the watchdog needs; nothing if there is nothing to watch.
pub(super) fn place(
    found: &Found<'_>,
    payload: Option<&Payload>,
    is_bare: bool,
    report: &mut Report,
) -> Result<OnNode, Failure> {
    let root = &found.session.root;
    let refused = |error| Failure::refused(&error);
    if let Some(payload) = payload {
        report.enter("place");
        let Placed {
            folder,
            new,
            created_folders,
        } = place::place(root, &found.install_root, payload).map_err(refused)?;
        return Ok(OnNode {
            new: new.then_some(folder),
            folders: created_folders,
            digest: payload.digest.clone(),
        });
    }
    let digest = found.any_digest();
    let folder = place::folder(&found.install_root, &digest);
    let resolved = root
        .resolve(&folder)
        .map_err(|error| Failure::refused(&error))?;
    let new = !root.local(&resolved).exists();
    let mut folders = Vec::new();
    if !is_bare {
        report.enter("place");
        folders = place::place_installer(root, &folder).map_err(refused)?;
        // The folder of the watchdog itself is no folder of ours to give back: it is collected.
        folders.retain(|made| *made != resolved);
    }
    Ok(OnNode {
        new: (new && !is_bare).then_some(folder),
        folders,
        digest,
    })
}

/// Removes older payloads that no pod needs. Not being able to is no reason to fail: the next run tries again.
pub(super) fn collect_old(found: &Found<'_>, goal: Option<&Installed>, report: &mut Report) {
    report.enter("collect");
    let Some(mut needed) = needed(found) else {
        return;
    };
    needed.extend(goal.iter().flat_map(|goal| goal.digests().cloned()));
    match collect::collect(&found.session.root, &found.install_root, &needed) {
        Ok((removed, _)) if removed.is_empty() => {}
        Ok((removed, _)) => tracing::info!("removed {} old payloads", removed.len()),
        Err(error) => tracing::warn!(
            "cannot remove old payloads: {}",
            crate::failure::chain(&error)
        ),
    }
}

/// Digests of the payloads that pods run from; `None` if they cannot be told. Not those of containerd's records: what was not
/// there before is needed by no pod that has ended, though its record may name it still.
pub(super) fn in_use(found: &Found<'_>) -> Option<BTreeSet<String>> {
    let (root, install_root) = (&found.session.root, &found.install_root);
    let bundles = collect::bundles(root, &found.state(), install_root).ok()?;
    Some(collect::needed(
        root,
        install_root,
        &bundles,
        &BTreeSet::new(),
    ))
}

/// Those, and the ones that containerd's records name; `None` if they cannot be told.
fn needed(found: &Found<'_>) -> Option<BTreeSet<String>> {
    let mut needed = in_use(found)?;
    needed.extend(recorded(found).ok()?);
    Some(needed)
}

/// Digests that containerd's records of sandboxes name.
fn recorded(found: &Found<'_>) -> Result<BTreeSet<String>, CriError> {
    let session = found.session;
    let cri = Cri::new(&session.runtime, &session.root, &found.daemon.socket);
    let mut digests = BTreeSet::new();
    for sandbox in cri
        .sandboxes()?
        .into_iter()
        .filter(|sandbox| !sandbox.runtime_handler.is_empty())
    {
        if let Ok(Some(kind)) = cri.sandbox_runtime(&sandbox.id) {
            digests.extend(collect::digest_of(&found.install_root, Path::new(&kind)));
        }
    }
    Ok(digests)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::SHIM;
    use std::fs;

    #[test]
    fn a_payload_stays_after_a_roll_back_while_a_pod_runs_from_it() {
        let dir = tempfile::tempdir().unwrap();
        let root = HostRoot::new(dir.path()).unwrap();
        let digest = crate::digest::of_bytes(b"payload");
        let placed = OnNode {
            new: Some(place::folder(Path::new("/opt/slipway"), &digest)),
            folders: vec!["/opt".into(), "/opt/slipway".into()],
            digest: digest.clone(),
        };
        let folder = root.local(placed.new.as_ref().unwrap());
        fs::create_dir_all(&folder).unwrap();
        // Started while the restart that timed out was under way.
        let state = Path::new("/run/containerd");
        let bundle = root.local(&state.join("io.containerd.runtime.v2.task/k8s.io/pod1"));
        fs::create_dir_all(&bundle).unwrap();
        let shim = format!("/opt/slipway/{digest}/{SHIM}");
        fs::write(bundle.join("shim-binary-path"), shim).unwrap();
        let used = || {
            let install_root = Path::new("/opt/slipway");
            let bundles = collect::bundles(&root, state, install_root).unwrap();
            collect::needed(&root, install_root, &bundles, &BTreeSet::new())
        };

        let undo = |used: Option<BTreeSet<String>>| {
            let stays = placed.undo_unless_used(&root, used.as_ref());
            stays.map(Path::to_owned)
        };
        assert_eq!(undo(Some(used())), placed.new);
        fs::remove_dir_all(&bundle).unwrap();
        assert_eq!(undo(None), placed.new, "it cannot be told");
        assert!(folder.exists());
        assert_eq!(undo(Some(used())), None);
        assert!(!dir.path().join("opt").exists());
    }
}
