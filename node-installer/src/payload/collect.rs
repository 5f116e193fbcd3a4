//! Which payloads may go: those that no process maps and no bundle or record of containerd names.
//!
//! On reload containerd looks for the binary a bundle names, and throws the pod away when it is gone
//! (`loadShims`, `core/runtime/v2/shim_load.go`@v2.0), so an old payload stays as long as one pod made with it.
//!
//! The install root may be a link. Configuration and bundles name it as it was named to us, the kernel what it points to.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::digest;
use crate::failure::Reason;
use crate::host::files::{self, FileError, io_error};
use crate::host::{HostRoot, process, root::RootError};
use crate::payload::INSTALLER;

/// A pod or task whose shim is ours.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bundle {
    /// The containerd namespace and id.
    pub id: String,
    /// The shim it names, a host path.
    pub shim: PathBuf,
}

/// Why payloads could not be removed.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
    /// The path of the host.
    #[error(transparent)]
    Root(#[from] RootError),
}

impl Reason for CollectError {
    fn reason(&self) -> &'static str {
        match self {
            Self::File(error) => error.reason(),
            Self::Root(error) => error.reason(),
        }
    }
}

/// The bundles that name a binary below the install root: `<state>/<plugin>/<namespace>/<id>/shim-binary-path`.
pub fn bundles(
    root: &HostRoot,
    state: &Path,
    install_root: &Path,
) -> Result<BTreeSet<Bundle>, RootError> {
    let resolved = root.resolve(install_root)?;
    let mut found = BTreeSet::new();
    for plugin in subfolders(&root.locate(state)?) {
        for namespace in subfolders(&plugin) {
            for bundle in subfolders(&namespace) {
                let Some(shim) = read_shim_path(&bundle.join("shim-binary-path")) else {
                    continue;
                };
                if shim.starts_with(install_root) || shim.starts_with(&resolved) {
                    let name = |path: &Path| {
                        path.file_name()
                            .unwrap_or_default()
                            .to_string_lossy()
                            .into_owned()
                    };
                    found.insert(Bundle {
                        id: format!("{}/{}", name(&namespace), name(&bundle)),
                        shim,
                    });
                }
            }
        }
    }
    Ok(found)
}

/// Digests of the payloads that somebody still needs.
pub fn needed<'a>(
    root: &HostRoot,
    install_root: &Path,
    bundles: impl IntoIterator<Item = &'a Bundle>,
    recorded: &BTreeSet<String>,
) -> BTreeSet<String> {
    let resolved = root
        .resolve(install_root)
        .unwrap_or_else(|_| install_root.to_owned());
    let digest =
        |path: PathBuf| digest_of(install_root, &path).or_else(|| digest_of(&resolved, &path));
    process::mapped_below(root, install_root)
        .into_iter()
        // A watchdog is no pod, nor is who runs this very code.
        .filter(|path| path.file_name() != Some(OsStr::new(INSTALLER)))
        .chain(bundles.into_iter().map(|bundle| bundle.shim.clone()))
        .filter_map(digest)
        .chain(recorded.iter().cloned())
        .collect()
}

/// Removes the payloads nobody needs, and returns those removed and those kept.
pub fn collect(
    root: &HostRoot,
    install_root: &Path,
    needed: &BTreeSet<String>,
) -> Result<(Vec<String>, Vec<String>), CollectError> {
    let base = root.locate(install_root)?;
    let (mut removed, mut kept) = (Vec::new(), Vec::new());
    for folder in subfolders(&base) {
        let name = folder
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        // Only what we made: anything else in there is somebody else's.
        if !digest::is_digest(&name) {
            continue;
        }
        if needed.contains(&name) {
            kept.push(name);
            continue;
        }
        fs::remove_dir_all(&folder).map_err(io_error("remove", &folder))?;
        removed.push(name);
    }
    if !removed.is_empty() {
        files::sync_folder(&base)?;
    }
    Ok((removed, kept))
}

/// The digest in `<install root>/<digest>/<binary>`.
pub fn digest_of(install_root: &Path, binary: &Path) -> Option<String> {
    let name = binary
        .strip_prefix(install_root)
        .ok()?
        .components()
        .next()?
        .as_os_str()
        .to_str()?;
    digest::is_digest(name).then(|| name.to_owned())
}

fn subfolders(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

fn read_shim_path(file: &Path) -> Option<PathBuf> {
    let mut text = String::new();
    File::open(file)
        .ok()?
        .take(4096)
        .read_to_string(&mut text)
        .ok()?;
    Some(PathBuf::from(text.trim_end()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use rstest::rstest;

    use super::*;

    #[test]
    fn a_payload_stays_while_a_bundle_names_it() {
        let dir = tempfile::tempdir().unwrap();
        let root = HostRoot::new(dir.path()).unwrap();
        let (old, new) = (digest::of_bytes(b"old"), digest::of_bytes(b"new"));
        for name in [old.as_str(), new.as_str(), "notes"] {
            fs::create_dir_all(dir.path().join("opt/slipway").join(name)).unwrap();
        }
        let bundle = dir
            .path()
            .join("run/containerd/io.containerd.runtime.v2.task/k8s.io/pod1");
        fs::create_dir_all(&bundle).unwrap();
        let install_root = Path::new("/opt/slipway");
        fs::write(
            bundle.join("shim-binary-path"),
            format!("/opt/slipway/{old}/containerd-shim-slipway-v1"),
        )
        .unwrap();

        let found = bundles(&root, Path::new("/run/containerd"), install_root).unwrap();
        assert_eq!(found.first().unwrap().id, "k8s.io/pod1");
        let used = needed(&root, install_root, &found, &BTreeSet::new());
        assert_eq!(
            collect(&root, install_root, &used).unwrap(),
            (vec![new], vec![old.clone()])
        );

        let used = needed(&root, install_root, &BTreeSet::new(), &BTreeSet::new());
        assert_eq!(collect(&root, install_root, &used).unwrap().0, [old]);
        assert!(dir.path().join("opt/slipway/notes").exists(), "not ours");
    }

    #[rstest]
    #[case("/data/slipway")]
    #[case("../data/slipway")]
    fn an_install_root_that_is_a_link_is_looked_through(#[case] target: &str) {
        let dir = tempfile::tempdir().unwrap();
        let root = HostRoot::new(dir.path()).unwrap();
        let local = |path: &str| dir.path().join(path);
        let [named, mapped, run, unused] =
            [&b"named"[..], b"mapped", b"run", b"unused"].map(digest::of_bytes);
        for name in [&named, &mapped, &run, &unused] {
            fs::create_dir_all(local("data/slipway").join(name)).unwrap();
        }
        fs::create_dir(local("opt")).unwrap();
        symlink(target, local("opt/slipway")).unwrap();
        // The bundle has the path of the configuration, the kernel its own.
        let bundle = local("run/containerd/io.containerd.runtime.v2.task/k8s.io/pod1");
        fs::create_dir_all(&bundle).unwrap();
        fs::write(
            bundle.join("shim-binary-path"),
            format!("/opt/slipway/{named}/x"),
        )
        .unwrap();
        fs::create_dir_all(local("proc/77")).unwrap();
        symlink(format!("/data/slipway/{run}/x"), local("proc/77/exe")).unwrap();
        fs::write(
            local("proc/77/maps"),
            format!("0-1 r-xp 0 fd:03 9 /data/slipway/{mapped}/x\n"),
        )
        .unwrap();

        let install_root = Path::new("/opt/slipway");
        let found = bundles(&root, Path::new("/run/containerd"), install_root).unwrap();
        let used = needed(&root, install_root, &found, &BTreeSet::new());
        assert_eq!(used, BTreeSet::from([named, mapped, run]));
        assert_eq!(collect(&root, install_root, &used).unwrap().0, [unused]);
    }
}
