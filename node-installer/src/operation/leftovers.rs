//! What other installers left on the node: named, or taken away with consent.
//!
//! Their tables go within the transaction, which gives them back if it is rolled back. Their folders go after its
//! commit, once no pod needs them.

use std::fs;
use std::path::{Path, PathBuf};

use super::settle::Found;
use crate::configuration::Configuration;
use crate::containerd::leftovers::{FOLDERS, Leftover};
use crate::host::{HostRoot, process};
use crate::payload::collect;
use crate::report::Report;
use crate::spec::Leftovers;

/// Names in the report what was found and stays, and tables that do not what they seem to.
pub(super) fn note(
    found: &Found<'_>,
    configuration: &Configuration,
    wish: Leftovers,
    report: &mut Report,
) {
    for left in &configuration.staying {
        report.note(format!(
            "the handler {} in {} is left from {} ({})",
            left.handler,
            left.file.display(),
            left.owner,
            left.program.display()
        ));
    }
    if wish == Leftovers::Keep {
        for (folder, owner) in present(&found.session.root) {
            report.note(format!("{} is left from {owner}", folder.display()));
        }
    }
    for oddity in &configuration.oddities {
        report.note(oddity.clone());
    }
}

/// Removes the folders, if that was asked for and no table and no pod needs them. The next run goes on with what could not
/// go.
pub(super) fn remove(
    found: &Found<'_>,
    configuration: &Configuration,
    wish: Leftovers,
    report: &mut Report,
) {
    if wish == Leftovers::Keep {
        return;
    }
    for (folder, owner) in present(&found.session.root) {
        let removed = refuse_named(&configuration.staying, &folder)
            .and_then(|()| remove_folder(&found.session.root, &found.state(), &folder));
        match removed {
            Ok(()) => report.note(format!("{} of {owner} was removed", folder.display())),
            Err(why) => report.note(format!("{} of {owner} stays: {why}", folder.display())),
        }
    }
}

/// A handler whose table stays needs its binary.
fn refuse_named(staying: &[Leftover], folder: &Path) -> Result<(), String> {
    match staying.iter().find(|left| left.program.starts_with(folder)) {
        None => Ok(()),
        Some(left) => Err(format!(
            "the handler {} in {} names {}",
            left.handler,
            left.file.display(),
            left.program.display()
        )),
    }
}

fn present(root: &HostRoot) -> Vec<(PathBuf, &'static str)> {
    let there = |folder: &Path| {
        root.entry(folder)
            .is_ok_and(|path| path.symlink_metadata().is_ok())
    };
    FOLDERS
        .iter()
        .map(|(folder, owner)| (PathBuf::from(folder), *owner))
        .filter(|(folder, _)| there(folder))
        .collect()
}

fn remove_folder(root: &HostRoot, state: &Path, folder: &Path) -> Result<(), String> {
    let bundles = collect::bundles(root, state, folder).map_err(|error| error.to_string())?;
    if let Some(bundle) = bundles.first() {
        return Err(format!("the pod {} runs on it", bundle.id));
    }
    if let Some(program) = process::mapped_below(root, folder).first() {
        return Err(format!("a process still runs {}", program.display()));
    }
    let local = root.entry(folder).map_err(|error| error.to_string())?;
    // A link is somebody's arrangement: the name goes, and what it points to is not ours to judge.
    let removed = if local.is_symlink() {
        fs::remove_file(&local)
    } else {
        fs::remove_dir_all(&local)
    };
    removed.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_stays_while_a_table_names_it() {
        let staying = [Leftover {
            handler: "spin".to_owned(),
            file: "/etc/containerd/config.toml".into(),
            program: "/opt/kwasm/bin/containerd-shim-spin-v1".into(),
            owner: "KWasm",
        }];
        assert_eq!(
            refuse_named(&staying, Path::new("/opt/kwasm")).unwrap_err(),
            "the handler spin in /etc/containerd/config.toml names /opt/kwasm/bin/containerd-shim-spin-v1"
        );
        assert!(refuse_named(&staying, Path::new("/opt/rcm")).is_ok());
    }

    #[test]
    fn a_folder_goes_once_no_pod_names_it() {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("opt/kwasm/bin/containerd-shim-spin-v1");
        fs::create_dir_all(program.parent().unwrap()).unwrap();
        fs::write(&program, "x").unwrap();
        let state = dir.path().join("run/containerd");
        let bundle = state.join("io.containerd.runtime.v2.task/k8s.io/pod1");
        fs::create_dir_all(&bundle).unwrap();
        fs::write(
            bundle.join("shim-binary-path"),
            "/opt/kwasm/bin/containerd-shim-spin-v1",
        )
        .unwrap();
        let root = HostRoot::new(dir.path()).unwrap();
        assert_eq!(present(&root), [(PathBuf::from("/opt/kwasm"), "KWasm")]);
        let remove = || remove_folder(&root, Path::new("/run/containerd"), Path::new("/opt/kwasm"));

        assert_eq!(remove().unwrap_err(), "the pod k8s.io/pod1 runs on it");
        assert!(program.exists());
        fs::remove_dir_all(&bundle).unwrap();
        remove().unwrap();
        assert!(present(&root).is_empty());
    }
}
