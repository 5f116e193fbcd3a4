//! The root file system: the snapshotter's mounts, in the worker's own mount namespace.

use std::borrow::Cow;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use libc::{MS_BIND, MS_PRIVATE, MS_REC, MS_SHARED, MS_SLAVE};
use rustix::fs::{Mode, OFlags, mkdirat, openat};
use rustix::io::Errno;
use slipway_shim_wire::{Mount, Rootfs};

use crate::SetupError;
use crate::error::While;
use crate::mount_api::{
    Attributes, attach, change, copy, create, map_ids, mount_classic, propagate, propagate_path,
};
use crate::root::Root;
use crate::user::{Mapping, Users};

/// The kernel takes options of one page, the final NUL included (mount(2)).
const MAX_OPTIONS: usize = 4096;

/// Makes the mounts and opens the root. The caller stands in a new mount namespace.
pub(crate) fn mount(rootfs: &Rootfs, users: Option<&Users>) -> Result<Root, SetupError> {
    let propagation = match rootfs.propagation {
        0 => MS_SLAVE | MS_REC,
        flags => flags,
    };
    propagate_path(Path::new("/"), propagation)
        .when(|| "change the propagation of /".to_owned())?;
    if propagation & MS_SHARED != 0 {
        hide_from_node(&rootfs.path)?;
    }
    if rootfs.mounts.is_empty() {
        bind_to_itself(&rootfs.path)
            .when(|| format!("bind the root file system {}", rootfs.path.display()))?;
    }
    for mount in &rootfs.mounts {
        mount_one(rootfs, mount, users)?;
    }
    Root::open(&rootfs.path, users.and_then(Users::root))
        .when(|| format!("open the root file system {}", rootfs.path.display()))
}

/// With `rshared` (mountPropagation: Bidirectional) our root would appear on the node as well, and
/// pivot_root(2) refuses a shared parent: makes the mount that holds `path` private, as runc does.
fn hide_from_node(path: &Path) -> Result<(), SetupError> {
    for ancestor in path.ancestors() {
        match propagate_path(ancestor, MS_PRIVATE) {
            // Not a mount point.
            Err(Errno::INVAL) => {}
            done => {
                return done.when(|| format!("make {} private", ancestor.display()));
            }
        }
    }
    Ok(())
}

fn bind_to_itself(path: &Path) -> Result<(), Errno> {
    let place = rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    attach(copy(path, true)?, place)
}

fn mount_one(rootfs: &Rootfs, mount: &Mount, users: Option<&Users>) -> Result<(), SetupError> {
    let ids = mount.id_map.as_ref().map(|ids| Mapping::of(ids, users));
    let ids = ids.transpose()?;
    let target = target(&rootfs.path, &mount.target);
    let action = || {
        let kind = if mount.fstype.is_empty() {
            "bind"
        } else {
            &mount.fstype
        };
        format!("mount the snapshot ({kind}) on {}", target.display())
    };
    if mount.flags & MS_BIND != 0 {
        return bind(mount, &target, ids.as_ref()).when(action);
    }
    let mut given = Cow::Borrowed(mount.data.as_str());
    if let (Some(ids), "overlay") = (&ids, mount.fstype.as_str()) {
        given = map_layers(&mount.data, &target, ids).when(|| {
            format!("ID-map the layers of the snapshot, which takes Linux 5.19 and a file system that can, on {}", target.display())
        })?.into();
    }
    let (base, data) = fit(&given)
        .ok_or(Errno::NAMETOOLONG)
        .when(|| format!("shorten the {} bytes of mount options", mount.data.len()))?;
    let before = rustix::fs::open(".", OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
    if let Some(base) = base {
        rustix::process::chdir(base).when(action)?;
    }
    let flags = mount.flags & !MS_REC;
    let mounted = mount_classic(&mount.fstype, &mount.source, &target, flags, &data);
    if base.is_some() {
        let back = before.and_then(rustix::process::fchdir);
        back.or_else(|_| rustix::process::chdir("/")).when(action)?;
    }
    mounted.when(action)?;
    if let Some(ids) = ids.filter(|_| mount.fstype != "overlay") {
        let mapped = || {
            let tree = copy(&target, false)?;
            map_ids(tree.as_fd(), ids.as_fd(), false)?;
            attach(
                &tree,
                rustix::fs::open(&target, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?,
            )
        };
        mapped().when(action)?;
    }
    if mount.propagation != 0 {
        propagate_path(&target, mount.propagation).when(action)?;
    }
    Ok(())
}

/// An overlay cannot be ID-mapped as a whole; its lower layers are, as containerd does it (`core/mount`,
/// `prepareIDMappedOverlay`). They stand in a tmpfs below the root file system to be, where only this process sees
/// them, and under short names.
fn map_layers(data: &str, target: &Path, ids: &Mapping<'_>) -> Result<String, Errno> {
    let layers = option(data, "lowerdir=").ok_or(Errno::INVAL)?;
    let folder = create("tmpfs", "layers", 0, "mode=700")?;
    attach(
        &folder,
        rustix::fs::open(target, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?,
    )?;
    let mut mapped = Vec::new();
    for (index, layer) in layers.split(':').enumerate() {
        let name = index.to_string();
        let tree = copy(Path::new(layer), false)?;
        map_ids(tree.as_fd(), ids.as_fd(), false)?;
        mkdirat(&folder, &name, Mode::from_raw_mode(0o700))?;
        let place = openat(
            &folder,
            &name,
            OFlags::PATH | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        attach(&tree, place)?;
        change(tree.as_fd(), Attributes::READ_ONLY)?;
        mapped.push(target.join(name).to_str().ok_or(Errno::INVAL)?.to_owned());
    }
    Ok(replace(data, &format!("lowerdir={}", mapped.join(":"))))
}

fn bind(mount: &Mount, target: &Path, ids: Option<&Mapping<'_>>) -> Result<(), Errno> {
    let place = rustix::fs::open(target, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    let tree = copy(Path::new(&mount.source), mount.flags & MS_REC != 0)?;
    if let Some(ids) = ids {
        map_ids(tree.as_fd(), ids.as_fd(), false)?;
    }
    attach(&tree, place)?;
    let attributes = Attributes::from_flags(mount.flags, mount.clear);
    if !attributes.is_empty() {
        change(tree.as_fd(), attributes)?;
    }
    if mount.propagation != 0 {
        propagate(tree.as_fd(), mount.propagation)?;
    }
    Ok(())
}

fn target(root: &Path, below: &Path) -> PathBuf {
    if below == Path::new("") {
        root.to_owned()
    } else {
        root.join(below)
    }
}

/// An overlay of many layers has more options than the kernel takes; relative to a directory that all
/// lower layers share they fit (containerd `core/mount/mount_linux.go` does the same). Gives that
/// directory and the options as seen from there.
fn fit(data: &str) -> Option<(Option<&Path>, Cow<'_, str>)> {
    if data.len() < MAX_OPTIONS {
        return Some((None, Cow::Borrowed(data)));
    }
    let layers: Vec<&Path> = option(data, "lowerdir=")?
        .split(':')
        .map(Path::new)
        .collect();
    let base = layers
        .iter()
        .skip(1)
        .fold(layers.first()?.parent()?, |base, layer| shared(base, layer));
    if !base.is_absolute() || base == Path::new("/") {
        return None;
    }
    let relative: Option<Vec<&str>> = layers
        .iter()
        .map(|layer| layer.strip_prefix(base).ok().and_then(Path::to_str))
        .collect();
    let lowerdir = format!("lowerdir={}", relative?.join(":"));
    let shorter = replace(data, &lowerdir);
    (shorter.len() < MAX_OPTIONS).then_some((Some(base), Cow::Owned(shorter)))
}

fn replace(data: &str, lowerdir: &str) -> String {
    let options: Vec<&str> = data
        .split(',')
        .map(|option| match option.strip_prefix("lowerdir=") {
            Some(_) => lowerdir,
            None => option,
        })
        .collect();
    options.join(",")
}

/// The part that `base` and the directory of `layer` have in common.
fn shared<'a>(base: &'a Path, layer: &Path) -> &'a Path {
    base.ancestors()
        .find(|ancestor| {
            layer
                .parent()
                .is_some_and(|parent| parent.starts_with(ancestor))
        })
        .unwrap_or(Path::new(""))
}

fn option<'a>(data: &'a str, name: &str) -> Option<&'a str> {
    data.split(',').find_map(|option| option.strip_prefix(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_options_stay_as_they_are() {
        let (base, data) = fit("lowerdir=/a:/b").unwrap();
        assert_eq!((base, &*data), (None, "lowerdir=/a:/b"));
    }

    #[test]
    fn long_lower_layers_become_relative() {
        let layers: Vec<String> = (0..100)
            .map(|n| {
                format!(
                    "/var/lib/containerd/io.containerd.snapshotter.v1.overlayfs/snapshots/{n}/fs"
                )
            })
            .collect();
        let data = format!(
            "index=off,workdir=/w,upperdir=/u,lowerdir={}",
            layers.join(":")
        );
        assert!(data.len() > MAX_OPTIONS);
        let (base, shorter) = fit(&data).unwrap();
        assert_eq!(
            base.unwrap(),
            Path::new("/var/lib/containerd/io.containerd.snapshotter.v1.overlayfs/snapshots")
        );
        assert!(shorter.starts_with("index=off,workdir=/w,upperdir=/u,lowerdir=0/fs:1/fs:"));
        assert!(shorter.len() < MAX_OPTIONS);
    }

    #[test]
    fn layers_without_a_common_directory_do_not_fit() {
        let layers: Vec<String> = (0..400).map(|n| format!("/layer-number-{n}/fs")).collect();
        assert!(fit(&format!("lowerdir={}", layers.join(":"))).is_none());
    }
}
